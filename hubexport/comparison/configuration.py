"""What two records say: field by field, and apart from that which tensor fills which variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubexport.comparison.changes import ADDED, REMOVED, Change, changes

LEFT_OUT: Mapping[str, str] = {
    "created": "when it was made says nothing of it",
    "saved_model": "what it describes is compared itself",
    "throughput": "it is a measurement of time",
}
"""Fields of a record, and of the records in a pipeline's, that are not compared, and why."""

TESTS = ("self_test", "validation")
LEFT_OUT_OF_TESTS = ("created", "files", "seconds")
"""Fields of `TESTS`, and of what is in them, that are not: files are compared themselves."""

_KEY_REPORT = ("tensors", "skipped_tensors")
_PARTS = ("encoder", "preprocessor")


def configuration_changes(
    a: Mapping[str, Any] | None, b: Mapping[str, Any] | None
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Changes of the configuration, and of the key report.

    Args:
      a, b: records; None for SavedModels without one.
    """
    if a is None or b is None:
        if a is b:
            return (), ()
        status = ADDED if a is None else REMOVED
        return (Change("record", status, a and a["kind"], b and b["kind"]),), ()
    found = changes(_compared(a), _compared(b))
    reports = {each.where: each for each in found if _is_of_key_report(each.where)}
    return tuple(each for each in found if each.where not in reports), tuple(
        each for each in found if each.where in reports
    )


def _compared(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if name not in LEFT_OUT}
    for part in _PARTS:
        if isinstance(kept.get(part), Mapping):
            kept[part] = _compared(kept[part])
    return kept | {name: _results(kept[name]) for name in TESTS if name in kept}


def _results(test: Any) -> Any:
    """What a test found, and not when or in which files."""
    if isinstance(test, Mapping):
        return {
            name: _results(each) for name, each in test.items() if name not in LEFT_OUT_OF_TESTS
        }
    return [_results(each) for each in test] if isinstance(test, list) else test


def _is_of_key_report(where: str) -> bool:
    parts = where.replace("[", ".").split(".")
    return next((part for part in parts if part not in _PARTS), "") in _KEY_REPORT

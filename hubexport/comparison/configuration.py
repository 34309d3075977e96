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

LEFT_OUT_OF_VALIDATION = ("created", "seconds")
"""Fields of `validation` and of its gates that are not."""

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
    if isinstance(validation := kept.get("validation"), list):
        kept["validation"] = [_without_times(each) for each in validation]
    return kept


def _without_times(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_times(each)
            for name, each in value.items()
            if name not in LEFT_OUT_OF_VALIDATION
        }
    return [_without_times(each) for each in value] if isinstance(value, list) else value


def _is_of_key_report(where: str) -> bool:
    parts = where.replace("[", ".").split(".")
    return next((part for part in parts if part not in _PARTS), "") in _KEY_REPORT

"""What gates are run on, in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.saved_model.record import load_record
from hubexport.validation.context import Context
from hubexport.validation.devices import connect
from hubexport.validation.reference_file import Reference
from hubexport.validation.results import GateResult


def context(
    saved_model: Path | None = None,
    preprocessor: Path | None = None,
    *,
    record: Mapping[str, Any] | None = None,
    preprocessor_record: Mapping[str, Any] | None = None,
    reference: Reference | None = None,
    reference_tokenizer: Path | None = None,
    recorded: bool = True,
) -> Context:
    """On the CPU; with the artifacts' own records unless others are given or `recorded` is off."""
    device = connect("cpu")
    if recorded:
        record = record or _record(saved_model)
        preprocessor_record = preprocessor_record or _record(preprocessor)
    return Context(
        saved_model,
        preprocessor,
        record,
        preprocessor_record,
        reference,
        reference_tokenizer,
        device,
        device.precisions[0],
    )


def failed(result: GateResult) -> set[str]:
    """The measurements that do not hold, by name."""
    assert (result.status == "failed") == bool(result.failures)
    return {each.what for each in result.failures}


def _record(directory: Path | None) -> Mapping[str, Any] | None:
    if directory is None or not (directory / "assets.extra" / "hubexport.json").is_file():
        return None
    return load_record(directory)

"""What gates are run on, in tests; artifacts are loaded once for all that look at them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hubexport.saved_model.record import load_record
from hubexport.validation.context import Context
from hubexport.validation.devices import Device, connect
from hubexport.validation.reference_file import Reference, read_reference
from hubexport.validation.results import GateResult
from hubexport.validation.sizes import SIZES


class _Device(Device):
    """Gives what it has loaded before as long as the graph is the same file."""

    def load(self, directory: Path) -> Any:
        return _load(super().load, directory)


class _Context(Context):
    @functools.cached_property
    def loaded_preprocessor(self) -> Any:
        assert self.preprocessor is not None
        load = Context.loaded_preprocessor.func
        return _load(lambda _: load(self), self.preprocessor)


_LOADED: dict[tuple[Path, int], Any] = {}


def _load(load: Callable[[Path], Any], directory: Path) -> Any:
    key = directory, (directory / "saved_model.pb").stat().st_mtime_ns
    if key not in _LOADED:
        _LOADED[key] = load(directory)
    return _LOADED[key]


@functools.cache
def _cpu() -> Device:
    device = connect("cpu")
    return _Device(**{each.name: getattr(device, each.name) for each in dataclasses.fields(device)})


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
    device = _cpu()
    if recorded:
        record = record or _record(saved_model)
        preprocessor_record = preprocessor_record or _record(preprocessor)
    return _Context(
        saved_model,
        preprocessor,
        record,
        preprocessor_record,
        reference,
        reference_tokenizer,
        device,
        device.precisions[0],
    )


def unsaved(checkpoint: Path, reference: Path, **options: Any) -> Context:
    """Of what an export with these options would save, for gates that only call it.

    Whatever is patched in the code that exports has to stay so while gates run.
    """
    from tests.unsaved import Unsaved

    encoder, device = Unsaved(checkpoint, **options), _cpu()
    given = _Context(
        Path("unsaved"), None, encoder.record, None, read_reference(reference), None, device,
        device.precisions[0],
    )  # fmt: skip
    architecture = encoder.record["architecture"]
    sizes = {name: architecture[name] for name in SIZES if architecture[name] is not None}
    given.__dict__.update(encoder=encoder, dtype=architecture["dtype"], sizes=sizes)
    return given


def failed(result: GateResult) -> set[str]:
    """The measurements that do not hold, by name."""
    assert (result.status == "failed") == bool(result.failures)
    return {each.what for each in result.failures}


def _record(directory: Path | None) -> Mapping[str, Any] | None:
    if directory is None or not (directory / "assets.extra" / "hubexport.json").is_file():
        return None
    return load_record(directory)

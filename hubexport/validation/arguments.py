"""What `validate` is called with, checked before TensorFlow is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, UsageError
from hubexport.paths import PathLike
from hubexport.saved_model.reading import is_saved_model
from hubexport.saved_model.record import RECORD_PATH, find_record
from hubexport.validation.devices import DEVICES
from hubexport.validation.gates import NAMES

RUNTIMES = ("tensorflow", "pjrt")

_WITH_ARTICLE = {"encoder": "an encoder", "preprocessor": "a preprocessor"}
_NEEDED = {
    "encoder": ("architecture", "checkpoint", "heads", "pooler", "saved_model", "tensors"),
    "preprocessor": ("saved_model", "tokenizer"),
}
"""Parts of records that the gates read."""


def check_arguments(
    saved_model: PathLike | None,
    preprocessor: PathLike | None,
    device: str,
    runtime: str,
    gates: Sequence[str] | None,
    tpu: str | None,
) -> None:
    """Fails where arguments do not go together; all of them at once.

    Raises:
      UsageError: they do not.
    """
    wrong = []
    if saved_model is None and preprocessor is None:
        wrong.append(("needed", "--saved_model, --preprocessor, or both"))
    if device not in DEVICES:
        wrong.append(("--device", f"{device}; there are {', '.join(DEVICES)}"))
    if runtime not in RUNTIMES:
        wrong.append(("--runtime", f"{runtime}; there are {', '.join(RUNTIMES)}"))
    if unknown := [name for name in gates or [] if name not in NAMES]:
        wrong.append(("--gates", f"{', '.join(unknown)}; there are {', '.join(NAMES)}"))
    if runtime == "pjrt":
        if saved_model is None:
            wrong.append(("--runtime=pjrt", "needs --saved_model"))
        if gates is not None:
            wrong.append(("--gates", "the PJRT runtime has its own; leave it out"))
    if tpu is not None and (device != "tpu" or runtime != "tensorflow"):
        wrong.append(("--tpu", "is for --device=tpu --runtime=tensorflow"))
    if tpu is None and device == "tpu" and runtime == "tensorflow":
        wrong.append(("--device=tpu", "needs --tpu=NAME, or --tpu=local on a TPU machine"))
    if wrong:
        raise UsageError("the arguments do not go together", wrong, "see `validate --help`.")


def check_report(path: PathLike | None) -> None:
    """Fails early where a report could not be written.

    Raises:
      UsageError: a directory is there, or one that must not be written to.
    """
    if path is None:
        return
    target = Path(path).absolute()
    above = next(each for each in target.parents if each.exists())
    if target.is_dir() or not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        found = "a directory" if target.is_dir() else f"no writable directory: {above}"
        raise UsageError(
            "the report cannot be written",
            [("--report", str(path)), ("found", found)],
            "choose a path of a file that you may write.",
        )


def directory_of(path: PathLike | None) -> Path | None:
    """The directory of a SavedModel; None for None.

    Raises:
      HubexportError: there is none.
    """
    if path is None:
        return None
    if not is_saved_model(Path(path)):
        raise HubexportError(
            "there is no SavedModel",
            [("looked for", str(Path(path) / "saved_model.pb"))],
            "pass a directory that `hubexport encoder` or `preprocessor` wrote, or any other.",
        )
    return Path(path)


def tokenizer_directory(path: PathLike | None) -> Path | None:
    """The directory of a tokenizer; None for None.

    Raises:
      UsageError: it is not one.
    """
    if path is not None and not Path(path).is_dir():
        raise UsageError(
            "the reference tokenizer is not a directory",
            [("--reference_tokenizer", str(path))],
            "pass a directory with tokenizer files.",
        )
    return None if path is None else Path(path)


def record_of(directory: Path | None, kind: str) -> dict[str, Any] | None:
    """The record of an artifact that has one.

    Args:
      kind: that it must be of.

    Raises:
      UsageError: it is of the other kind.
      HubexportError: it cannot be read.
    """
    record = find_record(directory)
    if directory is None or record is None:
        return None
    if missing := [name for name in _NEEDED.get(record["kind"], ()) if name not in record]:
        raise HubexportError(
            "the record is damaged",
            [("record", str(directory / RECORD_PATH)), ("missing", ", ".join(missing))],
            "export the artifact again.",
        )
    if record["kind"] != kind:
        flag = {"encoder": "--saved_model", "preprocessor": "--preprocessor"}[kind]
        raise UsageError(
            f"{flag} is not {_WITH_ARTICLE[kind]}",
            [(flag, str(directory)), ("its record says", str(record["kind"]))],
            "exchange --saved_model and --preprocessor."
            if record["kind"] in _WITH_ARTICLE
            else "pass an artifact of `hubexport encoder`, and one of `hubexport preprocessor`.",
        )
    return record


def check_records(
    encoder: Path | None,
    record: Mapping[str, Any] | None,
    text: Path | None,
    text_record: Mapping[str, Any] | None,
) -> None:
    """Fails where an artifact that was passed has no record.

    Raises:
      UsageError: one has none.
    """
    pairs = ((encoder, record), (text, text_record))
    without = [str(directory) for directory, found in pairs if directory and found is None]
    if without:
        raise UsageError(
            "there is no record to update",
            [("without a record", ", ".join(without))],
            "leave --update_record out; --report writes the results into a file.",
        )

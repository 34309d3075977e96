"""`hubexport.validate`: from paths to a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from hubexport.paths import PathLike
from hubexport.progress import steps_bar
from hubexport.saved_model.identity import artifact_identity
from hubexport.validation.arguments import (
    check_arguments,
    check_records,
    check_report,
    directory_of,
    record_of,
    tokenizer_directory,
)
from hubexport.validation.gates import GATES, NAMES
from hubexport.validation.pjrt.job import validate_on_pjrt
from hubexport.validation.processes import run_processes
from hubexport.validation.provenance import check_same_checkpoint
from hubexport.validation.record_entries import add_to_record
from hubexport.validation.reference_file import read_reference
from hubexport.validation.report import Report, read_report, write_report
from hubexport.validation.results import NOT_RUN
from hubexport.validation.runner import Request


def validate(
    *,
    saved_model: PathLike | None = None,
    preprocessor: PathLike | None = None,
    reference: PathLike | None = None,
    reference_tokenizer: PathLike | None = None,
    device: str = "cpu",
    tpu: str | None = None,
    runtime: str = "tensorflow",
    gates: Sequence[str] | None = None,
    allow_other_checkpoint: bool = False,
    report: PathLike | None = None,
    update_record: bool = False,
    show_progress: bool = False,
) -> Report:
    """Runs the gates on an encoder, a preprocessor, or both together, by anybody.

    Args:
      saved_model: directory of an encoder.
      preprocessor: directory of a preprocessor.
      reference: a file of `make_reference`: what the encoder must give.
      reference_tokenizer: directory of tokenizer files: what ids the preprocessor must give.
      device: of `DEVICES`.
      tpu: name or address of a TPU, for device "tpu" of runtime "tensorflow".
      runtime: "tensorflow", or "pjrt": the encoder's function lowered and run by JAX.
      gates: names in `gates.NAMES`; None for all.
      allow_other_checkpoint: whether the reference may be of another checkpoint.
      report: a JSON file to write.
      update_record: whether the results are written into the artifacts' records.
      show_progress: whether a bar is shown, on a terminal.

    Returns:
      The report; `report.passed` says whether every gate that ran passed.

    Raises:
      HubexportError: something about the arguments, the files or the device. What is wrong with
        an artifact is in the report.
    """
    check_arguments(saved_model, preprocessor, device, runtime, gates, tpu)
    check_report(report)
    encoder, text = directory_of(saved_model), directory_of(preprocessor)
    record, text_record = record_of(encoder, "encoder"), record_of(text, "preprocessor")
    if update_record:
        check_records(encoder, record, text, text_record)
    opened = read_reference(Path(reference)) if reference is not None else None
    if opened is not None and not allow_other_checkpoint:
        check_same_checkpoint(opened, record)
    if runtime == "pjrt":
        assert encoder is not None
        result = validate_on_pjrt(encoder, record, opened, device)
    else:
        tokenizer = tokenizer_directory(reference_tokenizer)
        names = [name for name in NAMES if gates is None or name in gates]
        request = Request(
            saved_model=_text(encoder),
            preprocessor=_text(text),
            reference=_text(reference),
            reference_tokenizer=_text(tokenizer),
            device=device,
            tpu=tpu,
            only=names,
        )
        with steps_bar("gates", len(names), show=show_progress) as advance:
            result = run_processes(request, advance)
    if report is not None:
        write_report(result, Path(report))
    if update_record:
        _update_records(result, encoder, text)
    return result


def add_reports(saved_model: PathLike, reports: Sequence[PathLike]) -> list[Report]:
    """Merges reports that were made elsewhere into the artifact's record; gives them.

    Raises:
      HubexportError: there is no record, or a report is damaged or of another artifact.
    """
    directory = directory_of(saved_model)
    assert directory is not None
    read = [read_report(Path(report)) for report in reports]
    add_to_record(directory, read)
    return read


def _text(path: PathLike | None) -> str | None:
    return None if path is None else str(Path(path).absolute())


def _update_records(report: Report, encoder: Path | None, text: Path | None) -> None:
    """Each artifact's record gets the gates that looked at it, where any did."""
    for directory, kind in ((encoder, "encoder"), (text, "preprocessor")):
        looked = {gate.NAME for gate in GATES if kind in gate.NEEDS}
        own = tuple(gate for gate in report.gates if gate.name.partition(" [")[0] in looked)
        if directory is not None and any(gate.status != NOT_RUN for gate in own):
            identity = artifact_identity(directory)
            add_to_record(directory, [dataclasses.replace(report, artifact=identity, gates=own)])

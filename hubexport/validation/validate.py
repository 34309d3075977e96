"""`hubexport.validate`: from paths to a report."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubexport.errors import HubexportError, UsageError
from hubexport.networks.config import DTYPES
from hubexport.progress import steps_bar
from hubexport.saved_model.reading import is_saved_model
from hubexport.saved_model.record import RECORD_PATH, load_record
from hubexport.saved_model.target import check_target
from hubexport.validation.recording import add_to_record
from hubexport.validation.reference_file import Reference, ReferenceError, read_reference
from hubexport.validation.report import Report, read_report, write_report

if TYPE_CHECKING:
    from hubexport.validation.context import Context

PathLike = str | Path

DEVICES = ("cpu", "gpu", "tpu")
RUNTIMES = ("tensorflow", "pjrt")
GATES = (
    "integrity",
    "interface",
    "numerics",
    "batch",
    "determinism",
    "mlm sanity",
    "portability",
    "preprocessor interface",
    "preprocessor ids",
    "end to end",
    "training",
)
"""In the order in which they run."""

_PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}


def validate(
    *,
    saved_model: PathLike | None = None,
    preprocessor: PathLike | None = None,
    reference: PathLike | None = None,
    reference_tokenizer: PathLike | None = None,
    device: str = "cpu",
    tpu: str | None = None,
    runtime: str = "tensorflow",
    dtype: str | None = None,
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
      dtype: that the encoder computes in, for artifacts without a record; None for float32.
      gates: names in `GATES`; None for all.
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
    _check_arguments(saved_model, preprocessor, device, runtime, gates, tpu)
    encoder, text = _directory(saved_model), _directory(preprocessor)
    record, text_record = _record(encoder, "encoder"), _record(text, "preprocessor")
    if update_record:
        _check_records(encoder, record, text, text_record)
    opened = read_reference(Path(reference)) if reference is not None else None
    if opened is not None and not allow_other_checkpoint:
        check_same_checkpoint(opened, record)
    computes = _dtype(dtype, record)
    if runtime == "pjrt":
        assert encoder is not None
        context = _context(encoder, record, opened, computes)
        result = _on_pjrt(context, device)
    else:
        from hubexport.validation.validating import run_gates

        names = list(gates) if gates is not None else list(GATES)
        with steps_bar("gates", len(names), show=show_progress) as advance:
            result = run_gates(
                saved_model=encoder,
                preprocessor=text,
                record=record,
                preprocessor_record=text_record,
                reference=opened,
                reference_tokenizer=_directory_of_tokenizer(reference_tokenizer),
                device=device,
                tpu=tpu,
                dtype=computes,
                only=gates,
                done=lambda name: advance(),
            )
    if report is not None:
        write_report(result, Path(report))
    if update_record:
        _update_records(result, encoder, text)
    return result


def write_pjrt_bundle(
    *,
    saved_model: PathLike,
    directory: PathLike,
    reference: PathLike | None = None,
    dtype: str | None = None,
    weights: str = "values",
    allow_other_checkpoint: bool = False,
    overwrite: bool = False,
) -> None:
    """Writes what `python -m hubexport.validation.pjrt` runs on machines with JAX alone.

    Args:
      saved_model, reference, dtype, allow_other_checkpoint: as of `validate`.
      directory: the bundle to write; complete when this returns, untouched if it raises.
      weights: "values", or "seed" for speed tests: nothing is compared then.
      overwrite: whether a directory that is not empty may be replaced.

    Raises:
      HubexportError: something about the arguments or files.
    """
    from hubexport.validation.pjrt.bundle import write_bundle

    encoder = _directory(saved_model)
    assert encoder is not None
    check_target(Path(directory), overwrite=overwrite, sources=[encoder])
    record = _record(encoder, "encoder")
    opened = read_reference(Path(reference)) if reference is not None else None
    if opened is None and weights == "values":
        raise UsageError(
            "a bundle needs reference outputs to compare with",
            [("--write_bundle", str(directory)), ("--reference", "not passed")],
            "pass --reference, or --bundle_weights=seed to measure speed alone.",
        )
    if opened is not None and not allow_other_checkpoint:
        check_same_checkpoint(opened, record)
    context = _context(encoder, record, opened, _dtype(dtype, record))
    write_bundle(context, Path(directory), weights=weights, overwrite=overwrite)  # type: ignore[arg-type]


def add_reports(saved_model: PathLike, reports: Sequence[PathLike]) -> list[Report]:
    """Merges reports that were made elsewhere into the artifact's record; gives them.

    Raises:
      HubexportError: there is no record, or a report is damaged or of another artifact.
    """
    directory = _directory(saved_model)
    assert directory is not None
    read = [read_report(Path(report)) for report in reports]
    add_to_record(directory, read)
    return read


def check_same_checkpoint(reference: Reference, record: Mapping[str, Any] | None) -> None:
    """Fails where a record says that the artifact was made from other files than the reference.

    Raises:
      ReferenceError: it was.
    """
    if record is None:
        return
    ours = {file["sha256"]: file["name"] for file in record["checkpoint"]["files"]}
    theirs = {file["sha256"]: file["name"] for file in reference.provenance.checkpoint}
    if ours.keys() != theirs.keys():
        raise ReferenceError(
            "the reference was made from another checkpoint",
            [
                ("reference", f"{reference.path} ({reference.provenance.made_by})"),
                ("its checkpoint", _digests(theirs)),
                ("the artifact's", _digests(ours)),
            ],
            "make a reference from the artifact's checkpoint, or pass --allow_other_checkpoint "
            "where both hold the same weights.",
        )


def _digests(files: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {digest[:12]}" for digest, name in files.items())


def _check_arguments(
    saved_model: PathLike | None,
    preprocessor: PathLike | None,
    device: str,
    runtime: str,
    gates: Sequence[str] | None,
    tpu: str | None,
) -> None:
    wrong = []
    if saved_model is None and preprocessor is None:
        wrong.append(("needed", "--saved_model, --preprocessor, or both"))
    if device not in DEVICES:
        wrong.append(("--device", f"{device}; there are {', '.join(DEVICES)}"))
    if runtime not in RUNTIMES:
        wrong.append(("--runtime", f"{runtime}; there are {', '.join(RUNTIMES)}"))
    if unknown := [name for name in gates or [] if name not in GATES]:
        wrong.append(("--gates", f"{', '.join(unknown)}; there are {', '.join(GATES)}"))
    if runtime == "pjrt":
        if saved_model is None:
            wrong.append(("--runtime=pjrt", "needs --saved_model"))
        if gates is not None:
            wrong.append(("--gates", "the PJRT runtime has its own; leave it out"))
    if tpu is not None and (device != "tpu" or runtime != "tensorflow"):
        wrong.append(("--tpu", "is for --device=tpu --runtime=tensorflow"))
    if wrong:
        raise UsageError("the arguments do not go together", wrong, "see `validate --help`.")


def _directory(path: PathLike | None) -> Path | None:
    if path is None:
        return None
    if not is_saved_model(Path(path)):
        raise HubexportError(
            "there is no SavedModel",
            [("looked for", str(Path(path) / "saved_model.pb"))],
            "pass a directory that `hubexport encoder` or `preprocessor` wrote, or any other.",
        )
    return Path(path)


def _directory_of_tokenizer(path: PathLike | None) -> Path | None:
    if path is not None and not Path(path).is_dir():
        raise UsageError(
            "the reference tokenizer is no directory",
            [("--reference_tokenizer", str(path))],
            "pass a directory with tokenizer files.",
        )
    return None if path is None else Path(path)


def _record(directory: Path | None, kind: str) -> dict[str, Any] | None:
    if directory is None or not (directory / RECORD_PATH).exists():
        return None
    record = load_record(directory)
    if record["kind"] != kind:
        flag = {"encoder": "--saved_model", "preprocessor": "--preprocessor"}[kind]
        raise UsageError(
            f"{flag} is no {kind}",
            [(flag, str(directory)), ("its record says", str(record["kind"]))],
            "exchange --saved_model and --preprocessor.",
        )
    return record


def _check_records(
    encoder: Path | None,
    record: Mapping[str, Any] | None,
    text: Path | None,
    text_record: Mapping[str, Any] | None,
) -> None:
    pairs = ((encoder, record), (text, text_record))
    without = [str(directory) for directory, found in pairs if directory and found is None]
    if without:
        raise UsageError(
            "there is no record to update",
            [("without a record", ", ".join(without))],
            "leave --update_record out; --report writes the results into a file.",
        )


def _dtype(dtype: str | None, record: Mapping[str, Any] | None) -> str:
    recorded = record["architecture"].get("dtype", "float32") if record else None
    wrong = [("--dtype", f"{dtype}; there are {', '.join(DTYPES)}")]
    if dtype is not None and dtype in DTYPES:
        wrong = [("--dtype", dtype), ("the record says", str(recorded))]
        if recorded in (None, dtype):
            return dtype
    elif dtype is None:
        return recorded or "float32"
    raise UsageError("the dtype cannot be used", wrong, "leave --dtype out.")


def _context(
    encoder: Path, record: Mapping[str, Any] | None, reference: Reference | None, dtype: str
) -> Context:
    from hubexport.validation.context import Context
    from hubexport.validation.devices import connect

    host = connect("cpu")
    return Context(encoder, None, record, None, reference, None, host, host.precisions[0], dtype)


def _on_pjrt(context: Context, device: str) -> Report:
    from hubexport.validation.pjrt.bundle import write_bundle
    from hubexport.validation.pjrt.child import check_jax, run_in_child

    check_jax()
    if context.reference is None:
        raise UsageError(
            "the PJRT runtime compares with reference outputs",
            [("--reference", "not passed")],
            "make them with `hubexport reference`.",
        )
    with tempfile.TemporaryDirectory(prefix="hubexport-pjrt-") as scratch:
        write_bundle(context, Path(scratch) / "bundle")
        context.close()
        path = Path(scratch) / "report.json"
        return run_in_child(Path(scratch) / "bundle", _PLATFORMS[device], path)


def _update_records(report: Report, encoder: Path | None, text: Path | None) -> None:
    """Each artifact's record gets the gates that looked at it."""
    if encoder is not None:
        add_to_record(encoder, [report])
    if text is not None:
        from hubexport.validation.identity import artifact_identity

        names = ("preprocessor interface", "preprocessor ids", "end to end")
        own = tuple(gate for gate in report.gates if gate.name.partition(" [")[0] in names)
        of_text = dataclasses.replace(report, artifact=artifact_identity(text), gates=own)
        add_to_record(text, [of_text])

"""Validation of an encoder that was written but not yet moved to its place."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubexport.children import run_python
from hubexport.errors import HubexportError, UsageError
from hubexport.exporting.job import Job
from hubexport.exporting.options import EncoderOptions
from hubexport.packages import check_installed
from hubexport.paths import PathLike
from hubexport.validation.references.sources import MAKERS, layout_of

if TYPE_CHECKING:
    from hubexport.validation.results import GateResult

_SOURCES = {
    "hugging_face": "transformers",
    "fairseq": "transformers",
    "openai": "transformers",
    "adaptive": "transformers",
    "xlm_original": "transformers",
    "tf1": "model_garden",
    "tf2": "model_garden",
}
"""Checkpoint layout, as `layout_of` tells it -> who can compute what its models give."""
_SHOWN = 12  # lines of what a process said before it failed


class ValidationError(HubexportError):
    """An artifact that does not do what its checkpoint does; it was not put in place."""


def check_validation(validate: bool, reference: PathLike | None, *, dry_run: bool) -> None:
    """Fails where arguments do not go together.

    Raises:
      UsageError: they do not.
    """
    if reference is not None and not validate:
        raise UsageError(
            "--reference is for --validate",
            [("--reference", str(reference))],
            "pass both, or neither.",
        )
    if validate and dry_run:
        raise UsageError(
            "a dry run writes nothing that could be validated",
            [("given", "--validate and --dry_run")],
            "pass one of them.",
        )


@contextlib.contextmanager
def reference_for(job: Job, options: EncoderOptions) -> Iterator[Path | None]:
    """The reference to compare with: what was passed, or one made for the time being.

    None is given where nothing is to be compared.

    Raises:
      ReferenceError: the file cannot be read.
      MissingPackageError: none was passed, and the packages that could make one are missing.
      ValidationError: none could be made.
    """
    if not options.validate:
        yield None
        return
    given = None if options.reference is None else Path(options.reference)
    layout = layout_of(job.source)
    _check_reference(given, layout)
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="hubexport-reference-") as directory:
        names = ("checkpoint", "bert_config", "encoder_config", "vocab_file")
        asked = options.given()
        paths = {name: Path(asked[name]) for name in names if name in asked}
        lower_case = (job.tokenizer.record() or {}).get("do_lower_case")
        facts = _facts(job, options)
        yield _make_reference(Path(directory) / "reference", layout, paths, lower_case, facts)


def _facts(job: Job, options: EncoderOptions) -> list[str]:
    """Flags for what the configuration does not say of the model."""
    flags = [] if options.causal is None else ["--causal" if options.causal else "--nocausal"]
    language = getattr(job.family.config, "language", None)
    return flags if language is None else [*flags, f"--language={language}"]


def _check_reference(reference: Path | None, layout: str) -> None:
    """Fails early where there will be nothing to compare with.

    Args:
      reference: what the user passed.
      layout: of the checkpoint.

    Raises:
      ReferenceError: the file cannot be read.
      MissingPackageError: none was passed, and the packages that could make one are missing.
    """
    if reference is not None:
        from hubexport.validation.reference_file import read_reference

        read_reference(reference)
        return
    source = _SOURCES[layout]
    check_installed(
        "--validate without --reference",
        *MAKERS[source].packages,
        otherwise=f", or make the reference elsewhere with `hubexport reference --source={source}` "
        "and pass it to `hubexport encoder --reference`.",
    )


def _make_reference(
    target: Path,
    layout: str,
    paths: Mapping[str, Path],
    do_lower_case: bool | None,
    facts: Sequence[str],
) -> Path:
    """Makes a reference in a process of its own; gives `target`.

    Args:
      target: the file to write.
      layout: of the checkpoint.
      paths: the checkpoint, its configuration and vocabulary, by the names of the flags.
      do_lower_case: of the vocabulary.
      facts: further flags.

    Raises:
      ValidationError: it could not be made.
    """
    source = _SOURCES[layout]
    takes = MAKERS[source].takes | {"checkpoint"}
    command = ["-m", "hubexport", "reference", f"--source={source}"]
    command += [f"--{name}={path}" for name, path in paths.items() if name in takes]
    if "vocab_file" in takes & paths.keys() and do_lower_case is not None:
        command.append("--do_lower_case" if do_lower_case else "--nodo_lower_case")
    command += facts
    done = run_python([*command, f"--output={target}"])
    if done.status:
        said = done.last_lines(_SHOWN)
        raise ValidationError(
            "no reference could be made, so the artifact was not written",
            [("command", " ".join(command)), ("it said", "\n    ".join(said))],
            "fix what it says, or pass --reference.",
        )
    return target


def validate_before_leaving(
    directory: Path, reference: Path, *, show_progress: bool
) -> dict[str, Any]:
    """Runs every gate on a written artifact; its record with the results.

    Raises:
      ReferenceError: the reference is of another checkpoint.
      ValidationError: a gate failed.
    """
    from hubexport.validation.job import validate
    from hubexport.validation.record_entries import add_to_record

    report = validate(saved_model=directory, reference=reference, show_progress=show_progress)
    if not report.passed:
        raise ValidationError(
            "the artifact does not do what its reference does, so it was not put in place",
            [(gate.name, _why(gate)) for gate in report.gates if gate.failures],
            "look at the first gate that failed; export without --validate to look at the "
            "artifact with `hubexport validate`.",
        )
    return add_to_record(directory, [report])


def _why(gate: GateResult) -> str:
    worst = gate.worst
    assert worst is not None  # something failed
    found = f" is {worst.figure}" if worst.figure is not None else ""
    needed = f", limit {worst.limit}" if worst.limit is not None else ""
    more = f" ({len(gate.failures)} measurements failed)" if len(gate.failures) > 1 else ""
    return f"{worst.what}{found}{needed}{more}. {gate.detail}".strip()

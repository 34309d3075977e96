"""An artifact that is to be published: its record, its files, and whether those were tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, some_of
from hubexport.publishing.archive import Member, members_of
from hubexport.publishing.manifest import Entry
from hubexport.saved_model.identity import RECORD
from hubexport.saved_model.record import load_record

VALIDATE = "run `hubexport validate --update_record` on it, or pass --allow_unvalidated."


@dataclass(frozen=True)
class Tested:
    """What the record says of one test.

    Attributes:
      where: in words.
      passed: its result.
      left_out: gates that were not asked for; empty where all were, or where there are none.
      files: path -> SHA-256 of what was tested; None where an older release did not write it.
    """

    where: str
    passed: bool
    left_out: tuple[str, ...]
    files: Mapping[str, str] | None


@dataclass(frozen=True)
class Artifact:
    """See `read_artifact`.

    Attributes:
      directory: where it lies.
      record: what it is.
      record_text: the record's file.
      members: what goes into the archive.
      tests: that its record has.
    """

    directory: Path
    record: Mapping[str, Any]
    record_text: bytes
    members: list[Member]
    tests: tuple[Tested, ...]

    @property
    def validated(self) -> bool:
        """Whether a test by all gates is among those of files that are known, and all passed."""
        return validated(self.tests)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(member.size or 0 for member in self.members)


def read_artifact(directory: Path, *, allow_unvalidated: bool = False) -> Artifact:
    """An artifact with a record, and its tests.

    Raises:
      HubexportError: there is no record, there are links, or it was not validated.
    """
    record = load_record(directory)
    artifact = Artifact(
        directory,
        record,
        (directory / RECORD).read_bytes(),
        members_of(directory),
        tuple(tests_of(record)),
    )
    if not allow_unvalidated:
        _check_tests(artifact)
    return artifact


def tests_of(record: Mapping[str, Any]) -> list[Tested]:
    """The validations of an artifact, or what its export tested: preprocessors and pipelines are
    always loaded again and asked."""
    validations = [
        Tested(
            f"validation on {entry.get('device')} by {entry.get('runtime')}",
            entry.get("passed") is True,
            _left_out(entry, record["kind"]),
            entry.get("files"),
        )
        for entry in record.get("validation", [])
    ]
    own = record.get("self_test")
    return validations + ([Tested("test at export", True, (), own.get("files"))] if own else [])


def validated(tests: Sequence[Tested]) -> bool:
    """Whether tests are enough to publish what they are of."""
    passed = all(test.passed and test.files is not None for test in tests)
    return passed and any(not test.left_out for test in tests)


def _left_out(entry: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Gates of TensorFlow's runtime that look at this artifact alone, and are not in an entry.

    Those that had nothing to look at are in it as not run, with the reason.
    """
    from hubexport.validation.gates import GATES  # a third of a second

    asked = {str(gate.get("name")).partition(" [")[0] for gate in entry.get("gates", [])}
    return tuple(gate.NAME for gate in GATES if (kind,) == gate.NEEDS and gate.NAME not in asked)


def differences(tested: Mapping[str, str], files: Sequence[Entry]) -> list[str]:
    """Files that are not the ones that were tested, by their paths; the record may change."""
    found = {file.path: file.sha256 for file in files if file.path != RECORD}
    words = []
    for path in sorted({*tested, *found}):
        if path not in found:
            words.append(f"{path}: missing")
        elif path not in tested:
            words.append(f"{path}: was not there")
        elif tested[path] != found[path]:
            words.append(f"{path}: SHA-256 {found[path][:16]}..., it was {tested[path][:16]}...")
    return words


def check_files(artifact: Artifact, files: Sequence[Entry]) -> None:
    """Fails where the files are not those of every test.

    Raises:
      HubexportError: one differs.
    """
    for test in artifact.tests:
        found = differences(test.files, files) if test.files is not None else []
        if found:
            raise HubexportError(
                "files are not the ones that were validated",
                [
                    ("artifact", str(artifact.directory)),
                    ("record", test.where),
                    ("first", found[0]),
                    ("all", some_of(word.partition(":")[0] for word in found)),
                ],
                "restore them, or export and validate the artifact again.",
            )


def _check_tests(artifact: Artifact) -> None:
    problem = None
    if not artifact.tests:
        problem, found = "the artifact was not validated", "no results in its record"
    elif failed := [test.where for test in artifact.tests if not test.passed]:
        problem, found = "the artifact did not pass", some_of(failed)
    elif any(test.files is None for test in artifact.tests):
        problem, found = (
            "which files were validated is not known",
            "results of an older release, without digests of the files",
        )
    elif not artifact.validated:
        fewest = min((test.left_out for test in artifact.tests), key=len)
        problem, found = (
            "the artifact was validated by some gates only",
            (f"nothing of {some_of(fewest)}"),
        )
    if problem:
        raise HubexportError(
            problem, [("artifact", str(artifact.directory)), ("record", found)], VALIDATE
        )

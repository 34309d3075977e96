"""Verifying: whether a version, or an artifact, is what it says it is, to the last byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hubexport.errors import HubexportError
from hubexport.progress import bytes_bar
from hubexport.publishing.archive import different, digest_of, unpack
from hubexport.publishing.artifact import differences, read_artifact, tests_of, validated
from hubexport.publishing.manifest import Entry, Manifest, media_type
from hubexport.publishing.places import Place, locate, manifest_of, read_text
from hubexport.publishing.tree import HTML, MANIFEST, PAGE, RECORD, SUMS
from hubexport.saved_model.identity import RECORD as INSIDE
from hubexport.saved_model.identity import file_digests
from hubexport.saved_model.record import parse_record


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
      address: of what was looked at.
      checked: what it was compared with, in words.
      files, bytes: how many were read.
      problems: what differs, file by file; empty where all is as it should be.
      validated: whether its record says that these files passed validation.
    """

    address: str
    checked: tuple[str, ...]
    files: int
    bytes: int
    problems: tuple[str, ...]
    validated: bool


def verify(*, source: str, hub: str | None = None, show_progress: bool = False) -> Verified:
    """Reads every byte of a published version, or of an artifact's directory, and compares.

    Of a version: the manifest, the archive and every file in it, the record and the pages beside
    it, SHA256SUMS, and the files that the record says were validated. Of an artifact: the latter.

    Args:
      source: URL or directory of a version, handle of one on `hub`, or directory of an artifact.
      hub: URL or directory of the hub, for handles.
      show_progress: whether a bar is shown, on a terminal.

    Raises:
      HubexportError: there is nothing to verify. What is wrong with it is in the result.
    """
    directory = Path(source)
    if directory.is_dir() and not (directory / MANIFEST).is_file():
        return _artifact(directory)
    place = locate(source, hub)
    manifest = manifest_of(place)
    total = manifest.archive.bytes
    with bytes_bar("verifying", total, show=show_progress) as advance:
        problems = _version(place, manifest, advance)
    files = len(manifest.files) + len(manifest.beside) + 2
    checked = ("manifest", SUMS, "archive", "record", "validation", "page")
    return Verified(
        place.address, checked, files, total, tuple(problems), manifest.validated and not problems
    )


def _artifact(directory: Path) -> Verified:
    artifact = read_artifact(directory, allow_unvalidated=True)
    digests = file_digests(directory)
    sizes = {member.path: member.size or 0 for member in artifact.members}
    files = [
        Entry(path, sizes.get(path, 0), digest, media_type(path))
        for path, digest in digests.items()
    ]
    problems = [
        f"{difference} ({test.where})"
        for test in artifact.tests
        for difference in differences(test.files or {}, files if test.files else [])
    ]
    problems += [f"{test.where}: did not pass" for test in artifact.tests if not test.passed]
    checked = tuple(test.where for test in artifact.tests if test.files) or ("record",)
    passed = artifact.validated and not problems
    return Verified(str(directory), checked, len(files), artifact.size, tuple(problems), passed)


def _version(place: Place, manifest: Manifest, advance: Callable[[int], object]) -> list[str]:
    texts: dict[str, bytes] = {}
    problems = []
    for name in (*(entry.path for entry in manifest.beside), SUMS):
        try:
            texts[name] = read_text(place, name)
        except HubexportError as error:
            problems.append(f"{name}: {error.problem}")
    for entry in manifest.beside:
        if entry.path in texts:
            size, digest = digest_of(iter([texts[entry.path]]))
            if (size, digest) != (entry.bytes, entry.sha256):
                problems.append(different(entry.path, entry, size, digest))
    listed = {entry.path for entry in manifest.beside}
    problems += [
        f"{name}: not in the manifest" for name in (RECORD, PAGE, HTML) if name not in listed
    ]
    if SUMS in texts and texts[SUMS] != manifest.sums().encode():
        problems.append(f"{SUMS}: not that of the manifest")
    with place.open(manifest.archive.path) as (_, stream):
        problems += unpack(stream, manifest, None, advance)
    return problems + _record(texts.get(RECORD), manifest)


def _record(text: bytes | None, manifest: Manifest) -> list[str]:
    """The record beside the archive is the one in it, and speaks of these files."""
    if text is None:
        return []
    inside = {(file.bytes, file.sha256) for file in manifest.files if file.path == INSIDE}
    if digest_of(iter([text])) not in inside:
        return [f"{RECORD}: not the record in the archive"]
    try:
        record = parse_record(text, RECORD)
    except HubexportError as error:
        return [f"{RECORD}: {error.problem}"]
    tests = tests_of(record)
    problems = [
        f"{difference} ({test.where})"
        for test in tests
        if test.files is not None
        for difference in differences(test.files, manifest.files)
    ]
    if validated(tests) != manifest.validated:
        said = "validated" if manifest.validated else "not validated"
        problems.append(f"{MANIFEST}: says {said}, which the record denies")
    if record["kind"] != manifest.kind:
        problems.append(f"{MANIFEST}: says {manifest.kind}, the record {record['kind']}")
    return problems

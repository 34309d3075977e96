"""Publishing: an artifact becomes a version on one hub or several, and is read back."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hubexport.errors import HubexportError, UsageError, some_of
from hubexport.paths import PathLike
from hubexport.progress import bytes_bar
from hubexport.publishing import page as pages
from hubexport.publishing.archive import NAMES, Packed, digest_of, pack
from hubexport.publishing.artifact import Artifact, check_files, read_artifact
from hubexport.publishing.handle import Handle, Model, parse_target
from hubexport.publishing.manifest import (
    MEDIA_TYPES,
    Entry,
    Manifest,
    media_type,
    parse_manifest,
)
from hubexport.publishing.target import ConflictError, Staged, Target, open_target
from hubexport.publishing.tree import HTML, MANIFEST, PAGE, RECORD, SUMS

HUB_URL = "http://127.0.0.1:8080"
"""Where `hubexport serve` is unless it is told otherwise."""

PUBLISHED, ALREADY, PLANNED = "published", "already published", "would be published"
_ATTEMPTS = 100
"""Conflicts that `next` bears; each means that another publisher succeeded."""


class OtherBytesError(HubexportError):
    """The version is there, and is not what would be published."""


@dataclass(frozen=True)
class Publication:
    """What became of a version on one target.

    Attributes:
      handle: of the version.
      where: it is, for people.
      state: `PUBLISHED`, `ALREADY` or `PLANNED`.
      manifest: of the version.
    """

    handle: Handle
    where: str
    state: str
    manifest: Manifest


def publish(
    *,
    saved_model: PathLike,
    handle: str,
    to: Sequence[PathLike],
    archive: str = "tar",
    card: Sequence[PathLike] = (),
    hub_url: str = HUB_URL,
    dry_run: bool = False,
    allow_unvalidated: bool = False,
    show_progress: bool = False,
) -> list[Publication]:
    """Publishes an artifact as a version that is never changed again.

    Where the same bytes are a version already, nothing is written. With `next`, that is the newest
    version; otherwise the one asked for.

    Args:
      saved_model: the exported artifact, with its record.
      handle: `publisher/name/version`; the version may be `next`.
      to: addresses of hubs, `file:///DIRECTORY` or a directory.
      archive: `tar` or `tar.gz`.
      card: a model card, files of Markdown that follow it, or both.
      hub_url: where the hub will be, for the page's lines of code.
      dry_run: whether everything is checked and nothing written.
      allow_unvalidated: whether the record may lack validation, or have one that failed.
      show_progress: whether a bar is shown, on a terminal.

    Returns:
      For each address, what became of it.

    Raises:
      HubexportError: the artifact must not be published, the version is another, or a target
        cannot be written.
    """
    model, version = parse_target(handle)
    if archive not in NAMES:
        raise UsageError(
            "there is no such archive",
            [("given", archive), ("known", ", ".join(NAMES))],
            "pass one of these.",
        )
    if not to:
        raise UsageError("there is nowhere to publish to", [], "pass the address of a hub.")
    addresses = list(dict.fromkeys(map(str, to)))
    artifact = read_artifact(Path(saved_model), allow_unvalidated=allow_unvalidated)
    total = 2 * artifact.size * len(addresses)
    with bytes_bar("publishing", total, show=show_progress and not dry_run) as advance:
        job = _Job(
            artifact=artifact,
            model=model,
            archive=NAMES[archive],
            cards=[Path(each) for each in card],
            hub_url=hub_url.rstrip("/"),
            targets=[open_target(address) for address in addresses],
            advance=advance,
        )
        return job.run(version, dry_run=dry_run)


@dataclass(frozen=True)
class _Job:
    """One call of `publish`: its arguments, read."""

    artifact: Artifact
    model: Model
    archive: str
    cards: list[Path]
    hub_url: str
    targets: list[Target]
    advance: Callable[[int], object]

    def run(self, version: int | None, *, dry_run: bool) -> list[Publication]:
        """Publishes; with a version of None as the next one, or as the newest if that is it."""
        # With a version that was asked for, the second turn finds what the other published.
        for left in reversed(range(_ATTEMPTS if version is None else 2)):
            taken = sorted({n for target in self.targets for n in target.taken(self.model)})
            handle = Handle(self.model, version or (taken[-1] + 1 if taken else 1))
            is_new = version is None
            if is_new and taken:
                newest = Handle(self.model, taken[-1])
                if self._is_there(newest):
                    handle, is_new = newest, False
            try:
                return self._publish(handle, dry_run=dry_run)
            except OtherBytesError:
                # Of a number that was free a moment ago, another publisher was faster.
                if not (is_new and left):
                    raise
            except ConflictError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _publish(self, handle: Handle, *, dry_run: bool) -> list[Publication]:
        page = pages.make_page(self.artifact, handle, self.cards, self.hub_url)
        there = [target.manifest(handle) for target in self.targets]
        manifest: Manifest | None = None
        if dry_run or any(text is not None for text in there):
            manifest, _ = self._described(handle, page, self._digested())
        for target, text in zip(self.targets, there, strict=True):
            if text is not None and manifest is not None:
                _check_same(handle, target, text, manifest)
                for entry in (manifest.archive, *manifest.beside):
                    self._check_read(handle, entry, target.read(handle, entry.path), "published")
        done: list[Publication] = []
        with contextlib.ExitStack() as stack:
            staged: dict[int, Staged] = {}
            for place, (target, text) in enumerate(zip(self.targets, there, strict=True)):
                if text is None and not dry_run:
                    staged[place] = stack.enter_context(target.stage(handle))
                    manifest = self._stage(staged[place], handle, page)
            assert manifest is not None
            for place, target in enumerate(self.targets):
                state = PLANNED if dry_run and there[place] is None else ALREADY
                if place in staged:
                    try:
                        staged[place].commit()
                    except ConflictError as error:
                        raise _partly(error, done) from error
                    state = PUBLISHED
                done.append(Publication(handle, target.describe(handle), state, manifest))
        if not dry_run:
            # Also where the version was there: whoever published it may have been killed before.
            for target in self.targets:
                target.refresh()
        return done

    def _is_there(self, newest: Handle) -> bool:
        """Whether what would be published is the newest version already, on any target."""
        for target in self.targets:
            with contextlib.suppress(HubexportError):
                text = target.manifest(newest)
                if text is None:
                    continue
                there = parse_manifest(text.encode(), str(newest))
                page = pages.make_page(self.artifact, newest, self.cards, self.hub_url)
                record = _entry(RECORD, self.artifact.record_text)
                same = {(each.path, each.sha256) for each in there.beside}
                if {(each.path, each.sha256) for each in (record, _entry(PAGE, page.text))} <= same:
                    return self._described(newest, page, self._digested())[0] == there
        return False

    def _digested(self) -> Packed:
        """The archive as it would be."""
        return pack(self.artifact.members, _Nowhere(), self.archive, MEDIA_TYPES[self.archive])

    def _stage(self, staged: Staged, handle: Handle, page: pages.Page) -> Manifest:
        """Writes a version's files, and reads them back."""
        with staged.put(self.archive) as file:
            media = MEDIA_TYPES[self.archive]
            packed = pack(self.artifact.members, file, self.archive, media, self.advance)
        manifest, texts = self._described(handle, page, packed)
        entries = [manifest.archive]
        for name, data in texts.items():
            with staged.put(name) as file:
                file.write(data)
            entries.append(_entry(name, data))
        for entry in entries:
            self._check_read(handle, entry, staged.read_back(entry.path), "written")
        return manifest

    def _check_read(self, handle: Handle, entry: Entry, pieces: Iterator[bytes], what: str) -> None:
        """Fails where a file is not what was written just now, or when it was published.

        Raises:
          HubexportError: it is not.
        """
        size, digest = digest_of(_told(pieces, self.advance))
        if (size, digest) != (entry.bytes, entry.sha256):
            raise HubexportError(
                f"what was {what} reads back as something else",
                [
                    ("version", str(handle)),
                    ("file", entry.path),
                    (what, f"{entry.bytes:,} bytes, SHA-256 {entry.sha256}"),
                    ("read back", f"{size:,} bytes, SHA-256 {digest}"),
                ],
                "check the medium that the hub is on, and the rest of it by `hubexport hub check`.",
            )

    def _described(
        self, handle: Handle, page: pages.Page, packed: Packed
    ) -> tuple[Manifest, dict[str, bytes]]:
        """The manifest, and the files beside the archive by name, the manifest among them."""
        check_files(self.artifact, packed.files)
        html = pages.page_html(page, handle, self.artifact, packed.archive)
        texts = {
            RECORD: self.artifact.record_text,
            PAGE: page.text.encode(),
            HTML: html.encode(),
        }
        manifest = Manifest(
            handle=str(handle),
            kind=self.artifact.record["kind"],
            description=page.description,
            validated=self.artifact.validated,
            archive=packed.archive,
            files=packed.files,
            beside=tuple(_entry(name, data) for name, data in texts.items()),
        )
        texts[MANIFEST] = manifest.text().encode()
        texts[SUMS] = manifest.sums().encode()
        return manifest, texts


class _Nowhere:
    """For archives of which only the digest is wanted."""

    def write(self, piece: bytes) -> int:
        return len(piece)


def _entry(name: str, data: bytes | str) -> Entry:
    data = data.encode() if isinstance(data, str) else data
    size, digest = digest_of(iter([data]))
    return Entry(name, size, digest, media_type(name))


def _told(pieces: Iterator[bytes], advance: Callable[[int], object]) -> Iterator[bytes]:
    for piece in pieces:
        advance(len(piece))
        yield piece


def _check_same(handle: Handle, target: Target, text: str, manifest: Manifest) -> None:
    """Fails where a version that is there is another.

    Raises:
      OtherBytesError: it is; versions are never changed.
    """
    there = parse_manifest(text.encode(), target.describe(handle))
    if there == manifest:
        return
    mine = {each.path: each for each in (manifest.archive, *manifest.files, *manifest.beside)}
    theirs = {each.path: each for each in (there.archive, *there.files, *there.beside)}
    differ = [path for path in sorted({*mine, *theirs}) if mine.get(path) != theirs.get(path)]
    raise OtherBytesError(
        "the version is published with other bytes, and versions are never changed",
        [
            ("version", str(handle)),
            ("found", target.describe(handle)),
            ("differ", some_of(differ) or "what the manifest says of the artifact"),
        ],
        "publish it as the next version: --handle=PUBLISHER/NAME/next.",
    )


def _partly(error: ConflictError, done: Sequence[Publication]) -> HubexportError:
    """A conflict on the first target can be tried again; on a later one, versions are out."""
    out = [each for each in done if each.state == PUBLISHED]
    if not out:
        return error
    facts = itertools.chain(error.facts, (("published", each.where) for each in out))
    return HubexportError(
        "the version is published on some of the hubs only",
        facts,
        "publish the next version, to all of them.",
    )

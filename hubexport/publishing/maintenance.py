"""Keeping a hub: its index, its digests, old versions, retractions, and copies of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hubexport.errors import HubexportError, UsageError
from hubexport.paths import PathLike
from hubexport.progress import bytes_bar, steps_bar
from hubexport.publishing import catalogue
from hubexport.publishing.archive import different, digest_of
from hubexport.publishing.handle import Handle, parse_handle
from hubexport.publishing.manifest import Entry, read_manifest
from hubexport.publishing.places import (
    Place,
    directory_of,
    index_of_server,
    is_url,
    locate,
    manifest_of,
    read_text,
)
from hubexport.publishing.target import ConflictError, LocalTarget, write_text
from hubexport.publishing.tree import INDEX, MANIFEST, RETRACTED, SUMS, Tree, open_tree
from hubexport.publishing.verification import verify
from hubexport.saved_model.staging import remove_abandoned
from hubexport.saved_model.target import sync_directory

_PARTIAL = (".partial", ".hubexport.partial", ".hubexport.old")


@dataclass
class Collected:
    """What `collect` does, or would do.

    Attributes:
      retracted: versions that are not to be had any more.
      swept: paths that are removed, and their sizes in bytes.
    """

    retracted: list[Handle] = field(default_factory=list)
    swept: dict[Path, int] = field(default_factory=dict)


def rebuild_index(root: PathLike) -> int:
    """Makes the index, the catalogue and nginx's map anew, from the manifests; gives the number of
    models.

    Raises:
      HubexportError: there is no hub, or it cannot be written.
    """
    target = LocalTarget(open_tree(Path(root)).root)
    target.refresh()
    return len(catalogue.index_of(target.tree)["models"])


def check(root: PathLike, *, show_progress: bool = False) -> tuple[int, list[str]]:
    """Reads every byte of a hub and compares; gives the number of versions, and what is wrong.

    Raises:
      HubexportError: there is no hub.
    """
    tree = open_tree(Path(root))
    handles = [
        Handle(model, number) for model in tree.models() for number in tree.all_versions(model)
    ]
    problems = [f"{path.relative_to(tree.root)}: a link" for path in _links(tree.root)]
    with steps_bar("checking", len(handles), show=show_progress) as advance:
        for handle in handles:
            problems += [f"{handle}: {problem}" for problem in _problems(tree, handle)]
            advance()
    text = catalogue.index_text(catalogue.index_of(tree))
    index = tree.root / INDEX
    if not index.is_file() or index.read_text("utf-8", "replace") != text:
        problems.append(f"{INDEX}: not that of the manifests; `hubexport hub index` makes it anew")
    return len(handles), problems


def retract(root: PathLike, handle: str, reason: str) -> Handle:
    """Makes a version unavailable: its address answers with the reason, its number stays taken.

    Raises:
      HubexportError: there is no such version, or the hub cannot be written.
    """
    tree, version = open_tree(Path(root)), parse_handle(handle)
    if not reason.strip():
        raise UsageError("a retraction has a reason", [("--reason", reason)], "say why.")
    if not (tree.is_published(version) or tree.is_retracted(version)):
        raise HubexportError(
            "the hub has no such version",
            [
                ("hub", str(tree.root)),
                ("looked for", str(version)),
                ("versions", ", ".join(map(str, tree.versions(version.model))) or "none"),
            ],
            "check the handle.",
        )
    _retract(tree, version, reason)
    LocalTarget(tree.root).refresh()
    return version


def collect(root: PathLike, *, keep: int | None, grace: float, dry_run: bool = True) -> Collected:
    """Removes what nobody is to have any more, in two steps that are a grace apart.

    Versions older than the newest `keep` are retracted. Files of versions that were retracted
    longer than `grace` ago are removed, but for the manifest and the reason, and so is what killed
    publishers left.

    Args:
      root: of the hub.
      keep: how many versions of a model stay; None for all.
      grace: seconds.
      dry_run: whether nothing is done.

    Raises:
      HubexportError: there is no hub, or it cannot be written.
    """
    tree, found = open_tree(Path(root)), Collected()
    if keep is not None and keep < 1:
        raise UsageError("a model keeps a version", [("--keep", str(keep))], "pass 1 or more.")
    before = time.time() - grace
    for model in list(tree.models()):
        old = tree.versions(model)[:-keep] if keep is not None else []
        found.retracted += [Handle(model, number) for number in old]
        for number in tree.all_versions(model):
            found.swept.update(_left_of(tree, Handle(model, number), before))
    found.swept.update(_abandoned(tree.root, before))
    if not dry_run:
        for handle in found.retracted:
            _retract(tree, handle, f"removed: the newest {keep} are kept")
        for path in found.swept:
            _remove(path)
        LocalTarget(tree.root).refresh()
    return found


def mirror(
    source: PathLike, target: PathLike, *, show_progress: bool = False
) -> tuple[list[Handle], list[str]]:
    """Copies versions that the target lacks, each checked on the way; gives them, and problems.

    Of a directory, retractions are copied, too.

    Args:
      source: URL or directory of a hub.
      target: directory of a hub; made if it is not there.

    Raises:
      HubexportError: the source is not a hub, or the target cannot be written.
    """
    hub = str(source)
    there = LocalTarget(Path(target))
    copied: list[Handle] = []
    problems: list[str] = []
    with bytes_bar("mirroring", 0, show=show_progress) as advance:
        for handle in _versions_of(hub):
            try:
                place = locate(str(handle), hub)
                if there.tree.is_retracted(handle):
                    continue
                text = there.manifest(handle)
                if text is None:
                    _copy(place, there, handle, advance)
                    copied.append(handle)
                elif text != manifest_of(place).text():
                    problems.append(f"{handle}: other bytes than in {there.describe(handle)}")
            except ConflictError:
                continue  # somebody else copied it just now
            except HubexportError as error:
                facts = "; ".join(f"{name}: {value}" for name, value in error.facts)
                problems.append(f"{handle}: {error.problem} ({facts})")
    if not is_url(hub):
        _copy_retractions(open_tree(directory_of(hub)), there)
    if there.root.exists():
        there.refresh()
    return copied, problems


def _versions_of(hub: str) -> list[Handle]:
    if is_url(hub):
        listed = index_of_server(hub.rstrip("/")).items()
        return [Handle(model, number) for model, numbers in listed for number in sorted(numbers)]
    tree = open_tree(directory_of(hub))
    return [Handle(model, number) for model in tree.models() for number in tree.versions(model)]


def _copy(
    place: Place, there: LocalTarget, handle: Handle, advance: Callable[[int], object]
) -> None:
    manifest = manifest_of(place)
    data = manifest.text().encode()
    sums = manifest.sums().encode()
    with there.stage(handle) as staged:
        for entry in (manifest.archive, *manifest.beside):
            with place.open(entry.path) as (_, stream), staged.put(entry.path) as out:
                digest, size = hashlib.sha256(), 0
                while piece := stream.read(1 << 20):
                    out.write(piece)
                    digest.update(piece)
                    size += len(piece)
                    advance(len(piece))
            _check(place, entry, size, digest.hexdigest(), "received")
        if read_text(place, SUMS) != sums:
            raise HubexportError(f"{SUMS} is not that of the manifest", [("from", place.address)])
        for name, text in ((MANIFEST, data), (SUMS, sums)):
            with staged.put(name) as out:
                out.write(text)
        for entry in (manifest.archive, *manifest.beside):
            _check(place, entry, *digest_of(staged.read_back(entry.path)), "read back")
        staged.commit()


def _check(place: Place, entry: Entry, size: int, digest: str, when: str) -> None:
    if (size, digest) != (entry.bytes, entry.sha256):
        raise HubexportError(
            "a file is not what the manifest says",
            [("from", place.address), (when, different(entry.path, entry, size, digest))],
            "check the hub that it is from: `hubexport hub check`.",
        )


def _copy_retractions(tree: Tree, there: LocalTarget) -> None:
    for model in tree.models():
        for number in tree.all_versions(model):
            handle = Handle(model, number)
            reason = tree.retraction(handle)
            if reason is not None and not there.tree.is_retracted(handle):
                _retract(there.tree, handle, reason)


def _retract(tree: Tree, handle: Handle, reason: str) -> None:
    place = tree.place(handle)
    fields = {"handle": str(handle), "reason": " ".join(reason.split())}
    try:
        place.mkdir(parents=True, exist_ok=True)  # of a version that a mirror never had
        write_text(place / RETRACTED, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")
        sync_directory(place)
    except OSError as error:
        raise HubexportError(
            "the hub cannot be written",
            [("version", str(place)), ("system", error.strerror or str(error))],
            "look at its permissions.",
        ) from error


def _problems(tree: Tree, handle: Handle) -> Sequence[str]:
    if tree.is_retracted(handle):
        return []
    try:
        manifest = read_manifest(tree.place(handle) / MANIFEST)
        expected = {MANIFEST, SUMS, manifest.archive.path, *(each.path for each in manifest.beside)}
        more = sorted(set(os.listdir(tree.place(handle))) - expected)
        found = verify(source=str(tree.place(handle))).problems
        return [*found, *(f"{name}: does not belong there" for name in more)]
    except HubexportError as error:
        return [error.problem]


def _links(root: Path) -> Iterator[Path]:
    for place, directories, files in os.walk(root):
        directories.sort()
        yield from (
            Path(place, name)
            for name in sorted([*directories, *files])
            if Path(place, name).is_symlink()
        )


def _left_of(tree: Tree, handle: Handle, before: float) -> dict[Path, int]:
    """Files of a version that was retracted before a time, but for what says so."""
    marker = tree.file(handle, RETRACTED)
    if marker is None or marker.stat().st_mtime > before:
        return {}
    return {
        path: path.stat().st_size
        for path in sorted(marker.parent.iterdir())
        if path.name not in (RETRACTED, MANIFEST)
    }


def _abandoned(root: Path, before: float) -> dict[Path, int]:
    """What was being written, and has not been touched since a time."""
    found = {}
    for place, directories, files in os.walk(root):
        hidden = [name for name in directories if name.startswith(".")]
        directories[:] = sorted(set(directories) - set(hidden))
        for name in (*hidden, *files):
            path = Path(place, name)
            if name.startswith(".") and name.endswith(_PARTIAL):
                with contextlib.suppress(OSError):
                    inside = list(path.rglob("*"))
                    newest = max(each.lstat().st_mtime for each in (path, *inside))
                    if newest <= before:
                        found[path] = sum(each.lstat().st_size for each in (path, *inside))
    return found


def _remove(path: Path) -> None:
    """A file, or what killed runs left: a directory whose owner lives stays."""
    with contextlib.suppress(FileNotFoundError):
        if not path.is_dir():
            path.unlink()
            return
    remove_abandoned(path.parent)
    if path.exists() and not path.name.endswith((".hubexport.partial", ".hubexport.old")):
        shutil.rmtree(path, ignore_errors=True)  # where locks tell nothing, the time decides

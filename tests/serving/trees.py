"""Trees of hubs, made by hand: what servers are shown without an export and a publication."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from hubexport.publishing.manifest import MEDIA_TYPES, Entry, Manifest, media_type

FILES = {"saved_model.pb": b"a model", "variables/variables.index": b"an index"}
"""Of a model that nobody loads."""


def make(root: Path) -> Path:
    """An empty hub."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "hub.json").write_text('{"format": 1}\n')
    return root


def add(
    root: Path,
    handle: str,
    files: Mapping[str, bytes] = FILES,
    archive: str = "model.tar",
    kind: str = "encoder",
    description: str = "A model.",
) -> Manifest:
    """Puts a version into a hub."""
    place = root / handle
    place.mkdir(parents=True)
    files = {**files, "assets/handle.txt": handle.encode()}
    (place / archive).write_bytes(packed(files, "w:gz" if archive.endswith(".gz") else "w:"))
    (place / "hubexport.json").write_text(json.dumps({"kind": kind}) + "\n")
    (place / "README.md").write_text(f"# {handle}\n")
    (place / "index.html").write_text(
        f'<!doctype html>\n<html lang="en"><title>{handle}</title><h1>{handle}</h1></html>\n'
    )
    beside = ("README.md", "hubexport.json", "index.html")
    manifest = Manifest(
        handle=handle,
        kind=kind,
        description=description,
        validated=True,
        archive=entry(archive, (place / archive).read_bytes(), MEDIA_TYPES[archive]),
        files=tuple(entry(name, files[name]) for name in sorted(files)),
        beside=tuple(entry(name, (place / name).read_bytes()) for name in beside),
    )
    (place / "manifest.json").write_text(manifest.text())
    names = sorted((archive, *beside, "manifest.json"))
    sums = (f"{hashlib.sha256((place / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    (place / "SHA256SUMS").write_text("".join(sums))
    return manifest


def retract(root: Path, handle: str, reason: str) -> None:
    """As `hubexport hub retract` does it."""
    (root / handle / "retracted.json").write_text(json.dumps({"reason": reason}) + "\n")


def entry(path: str, content: bytes, kind: str | None = None) -> Entry:
    digest = hashlib.sha256(content).hexdigest()
    return Entry(path, len(content), digest, kind or media_type(path))


def packed(files: Mapping[str, bytes], mode: str) -> bytes:
    """An archive with directories before what is in them."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:
        directories = sorted({str(Path(name).parent) for name in files} - {"."})
        for name in directories:
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            tar.addfile(info, io.BytesIO(files[name]))
    return stream.getvalue()

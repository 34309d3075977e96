"""Archives are the same everywhere, and nothing but what their manifests say comes out of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hubexport.errors import HubexportError
from hubexport.publishing.archive import NAMES, members_of, pack, unpack
from hubexport.publishing.manifest import MEDIA_TYPES, Entry, Manifest, parse_manifest
from tests.publishing.making import files_of, make_artifact

Member = tuple[tarfile.TarInfo, bytes]


def packed(directory: Path, archive: str = "tar") -> tuple[bytes, Manifest]:
    out = io.BytesIO()
    found = pack(members_of(directory), out, NAMES[archive], MEDIA_TYPES[NAMES[archive]])
    manifest = Manifest(
        "example/bert/1", "encoder", "", True, found.archive, found.files, beside=()
    )
    assert parse_manifest(manifest.text().encode(), "it") == manifest
    return out.getvalue(), manifest


@pytest.mark.parametrize("archive", NAMES)
def test_there_and_back(archive: str, tmp_path: Path) -> None:
    source = make_artifact(tmp_path / "a")
    data, manifest = packed(source, archive)
    assert hashlib.sha256(data).hexdigest() == manifest.archive.sha256
    out = tmp_path / "out"
    out.mkdir()
    assert unpack(io.BytesIO(data), manifest, out) == []
    assert files_of(out) == files_of(source)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:  # another reader
        members = tar.getmembers()
    assert {each.name for each in members if each.isfile()} == set(files_of(source))
    names = [each.name for each in members]
    assert names == sorted(names)
    assert {"variables", "assets", "assets.extra"} <= set(names)  # tensorflow_hub needs them


@pytest.mark.parametrize("archive", NAMES)
def test_nothing_of_the_machine_is_in_it(archive: str, tmp_path: Path) -> None:
    one, other = make_artifact(tmp_path / "a"), make_artifact(tmp_path / "deeper" / "b")
    for number, path in enumerate(sorted(other.rglob("*"), reverse=True)):
        os.utime(path, (number, number))
        path.chmod(0o700)
    assert packed(one, archive) == packed(other, archive)


def test_over_eight_gibibytes(tmp_path: Path) -> None:
    """The size does not fit into the old header; a reader that knows pax has it."""
    from hubexport.publishing import archive

    member = archive.Member("variables/data", tmp_path, 9 << 30)
    header = archive._header(member)
    with tarfile.open(fileobj=io.BytesIO(header), mode="r|") as tar:
        assert len(header) > 512 and tar.next().size == 9 << 30  # type: ignore[union-attr]


def test_links_are_refused(tmp_path: Path) -> None:
    source = make_artifact(tmp_path / "a")
    (source / "assets" / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "assets" / "pipe")
    with pytest.raises(HubexportError, match="assets/link, assets/pipe"):
        members_of(source)


def test_names_are_refused(tmp_path: Path) -> None:
    source = make_artifact(tmp_path / "a")
    (source / "assets" / "a\nb").write_bytes(b"")
    with pytest.raises(HubexportError, match="names that clients refuse"):
        members_of(source)


def test_every_cut_is_found(tmp_path: Path) -> None:
    data, manifest = packed(make_artifact(tmp_path / "a"))
    boundaries = range(0, len(data), 512)
    for end in (*boundaries[:40], *boundaries[-12:], 100, 700, len(data) // 2 + 77, len(data) - 1):
        assert unpack(io.BytesIO(data[:end]), manifest, None), end
    assert unpack(io.BytesIO(data + bytes(512)), manifest, None)


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    data, manifest = packed(make_artifact(tmp_path / "a"))
    for place in range(3, len(data), len(data) // 40):
        damaged = bytearray(data)
        damaged[place] ^= 1
        problems = unpack(io.BytesIO(damaged), manifest, None)
        assert (problems and "model.tar" in "".join(problems)) or "SHA-256" in "".join(problems)


def test_the_file_is_named(tmp_path: Path) -> None:
    data, manifest = packed(make_artifact(tmp_path / "a"))
    damaged = bytearray(data)
    damaged[data.index("wörter".encode())] ^= 1
    problems = unpack(io.BytesIO(damaged), manifest, None)
    assert any(each.startswith("assets/vocab.txt: SHA-256") for each in problems)


def member(name: str, data: bytes = b"", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


HOSTILE: dict[str, Callable[[], Member]] = {
    "outside": lambda: member("../outside", b"x"),
    "absolute": lambda: member("/tmp/outside", b"x"),
    "link": lambda: member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": lambda: member("hard", type=tarfile.LNKTYPE, linkname="saved_model.pb"),
    "device": lambda: member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "directory outside": lambda: member("../directory", type=tarfile.DIRTYPE),
    "not in the manifest": lambda: member("more.txt", b"x"),
    "twice": lambda: member("saved_model.pb", b"x"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_members(what: str, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for info, content in (member("saved_model.pb", b"x"), HOSTILE[what]()):
            tar.addfile(info, io.BytesIO(content))
    archive = data.getvalue()
    digest = hashlib.sha256(archive).hexdigest()
    manifest = Manifest(
        "example/bert/1", "encoder", "", True,
        Entry("model.tar", len(archive), digest, MEDIA_TYPES["model.tar"]),
        (Entry("saved_model.pb", 1, hashlib.sha256(b"x").hexdigest(), "x"),), (),
    )  # fmt: skip
    (problem,) = unpack(io.BytesIO(archive), manifest, out)
    assert problem
    assert files_of(tmp_path) == {"deep/out/saved_model.pb": b"x"}


def test_a_member_that_is_larger_than_it_says_is_not_unpacked(tmp_path: Path) -> None:
    data, manifest = packed(make_artifact(tmp_path / "a"), "tar.gz")
    files = tuple(
        replace(each, bytes=5) if each.path == "saved_model.pb" else each for each in manifest.files
    )
    out = tmp_path / "out"
    out.mkdir()
    problems = unpack(io.BytesIO(data), replace(manifest, files=files), out)
    assert any(each.startswith("saved_model.pb: 900 bytes") for each in problems)
    assert not (out / "saved_model.pb").exists()


def test_gzip_has_neither_name_nor_time(tmp_path: Path) -> None:
    data, _ = packed(make_artifact(tmp_path / "a"), "tar.gz")
    assert data[3] == 0 and data[4:8] == bytes(4)
    assert gzip.decompress(data)


@pytest.mark.parametrize("path", ["../a", "/a", "a/../b", "a//b", "", "a\0", "a\\b", ".", "a\nb"])
def test_paths_in_manifests(path: str, tmp_path: Path) -> None:
    _, manifest = packed(make_artifact(tmp_path / "a"))
    (first, *rest) = manifest.files
    changed = replace(manifest, files=(replace(first, path=path), *rest))
    with pytest.raises(HubexportError, match="manifest is damaged"):
        parse_manifest(changed.text().encode(), "it")

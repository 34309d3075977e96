"""Archives of checkpoints: what is inside comes out, and nothing else is written anywhere."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import random
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path
from typing import Literal

import pytest

from hubexport.checkpoints import archive as archives
from hubexport.checkpoints.archive import extract
from hubexport.errors import CheckpointError, ExportPathError, UnsafeCheckpointError

FILES = {"bert_config.json": b"{}", "pytorch_model.bin": os.urandom(300_000)}


def add(tar: tarfile.TarFile, name: str, data: bytes = b"", **fields) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def tar_of(path: Path, *members: tuple[str, dict], mode: Literal["w", "w:gz"] = "w") -> Path:
    """FILES, then the given members."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in FILES.items():
            add(tar, name, data)
        for name, fields in members:
            add(tar, name, **fields)
    return path


def zip_of(path: Path, folder: str = "") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in FILES.items():
            opened.writestr(folder + name, data)
    return path


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.mark.parametrize(("suffix", "mode"), [("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz")])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar(tmp_path, suffix, mode, form):
    path, long_name = tmp_path / f"model.{suffix}", "x" * 90
    with tarfile.open(path, mode, format=form) as tar:
        for name, data in FILES.items():
            add(tar, f"./{name}", data)
        add(tar, long_name, b"long")
    found = extract(path, tmp_path / "out")
    assert found == tmp_path / "out"
    assert contents(found) == {**FILES, long_name: b"long"}
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([path.name, "out"])


def test_zip_with_one_folder(tmp_path):
    path = zip_of(tmp_path / "uncased_L-2_H-128_A-2.zip", "uncased_L-2_H-128_A-2/")
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("__MACOSX/._vocab.txt", b"")
    found = extract(path, tmp_path / "new" / "out")
    assert found == tmp_path / "new" / "out" / "uncased_L-2_H-128_A-2"
    assert contents(found) == FILES


def test_zip_without_folder_into_an_empty_directory(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert contents(extract(zip_of(tmp_path / "a.zip"), out)) == FILES


def test_a_tar_that_ends_in_a_zip_is_a_tar(tmp_path):
    inner = zip_of(tmp_path / "inner").read_bytes()
    path = tmp_path / "model.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "pytorch_model.bin", inner)
    assert contents(extract(path, tmp_path / "out")) == {"pytorch_model.bin": inner}


REFUSED = [
    ("../outside", {}),
    ("a/../../outside", {}),
    ("/tmp/outside", {}),
    ("..\\outside", {}),
    ("C:/outside", {}),
    ("symbolic", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}),
    ("hard", {"type": tarfile.LNKTYPE, "linkname": "bert_config.json"}),
    ("device", {"type": tarfile.CHRTYPE}),
    ("pipe", {"type": tarfile.FIFOTYPE}),
    ("bert_config.json", {}),
    ("../folder", {"type": tarfile.DIRTYPE}),
]


@pytest.mark.parametrize("member", REFUSED, ids=lambda member: member[0])
def test_refused_tar_members(tmp_path, member):
    path = tar_of(tmp_path / "model.tar.gz", member, mode="w:gz")
    with pytest.raises(UnsafeCheckpointError, match="refused \\(1\\)"):
        extract(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.tar.gz"]


def test_all_offenders_are_named(tmp_path):
    path = tar_of(tmp_path / "model.tar", *REFUSED)
    with pytest.raises(UnsafeCheckpointError) as caught:
        extract(path, tmp_path / "out")
    assert f"refused ({len(REFUSED)})" in str(caught.value)
    assert "link to /etc/passwd" in str(caught.value)


def test_refused_zip_members(tmp_path):
    path = zip_of(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("../outside", b"x")
        opened.writestr("/absolute", b"x")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeCheckpointError, match="refused \\(3\\)"):
        extract(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.zip"]


def test_not_an_archive(tmp_path):
    path = tmp_path / "model.tar.gz"
    for data in (b"", b"no archive", b"<html>", os.urandom(2000), gzip.compress(b"x" * 5000)):
        path.write_bytes(data)
        with pytest.raises(CheckpointError):
            extract(path, tmp_path / "out")
    with pytest.raises(CheckpointError):
        extract(tmp_path / "absent.zip", tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.tar.gz"]


def test_target_that_is_not_empty(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(ExportPathError):
        extract(zip_of(tmp_path / "a.zip"), tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "keep"


def test_bombs(tmp_path, monkeypatch):
    path = tmp_path / "many.tar"
    monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
    tar_of(path, *[(f"f{i}", {}) for i in range(30)])
    with pytest.raises(CheckpointError, match="too many members"):
        extract(path, tmp_path / "out")

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage(0, 0, 100_000))
    for path in (tar_of(tmp_path / "a.tgz", mode="w:gz"), zip_of(tmp_path / "a.zip")):
        with pytest.raises(CheckpointError, match="free disk space"):
            extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_name_of_many_megabytes(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(64 << 20))
    with pytest.raises(CheckpointError, match="header of"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_truncated(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zip_of(path)
    else:
        tar_of(path, mode="w:gz" if kind == "tgz" else "w")
    good, rng = path.read_bytes(), random.Random(0)
    end = len(good) if kind != "tar" else len(good.rstrip(b"\0"))  # behind it lies padding
    for _ in range(40):
        path.write_bytes(good[: rng.randrange(end)])
        with pytest.raises(CheckpointError):
            extract(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["tar", "tgz", "zip"])
def test_flipped_bytes_never_crash(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zip_of(path)
    else:
        tar_of(path, mode="w:gz" if kind == "tgz" else "w")
    good, rng = path.read_bytes(), random.Random(0)
    for number in range(40):
        damaged = bytearray(good)
        for _ in range(3):  # in the headers: the front for tar, the end for zip
            place = rng.randrange(600)
            damaged[-1 - place if kind == "zip" else place] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError, ExportPathError):
            extract(path, tmp_path / f"out{number}")

"""A target is complete or as it was before, however the work on it ends."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubexport.errors import ExportPathError
from hubexport.saved_model import target
from hubexport.saved_model.target import check_space, check_target, staged_directory


def tree(directory: Path) -> dict[str, object]:
    """Everything below a directory: contents of files, targets of links, modes of directories."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", path.stat().st_mode)
        else:
            found[name] = ("file", path.read_bytes())
    return found


def fill(directory: Path) -> None:
    (directory / "saved_model.pb").write_bytes(b"new")
    (directory / "variables").mkdir()
    (directory / "variables" / "variables.index").write_bytes(b"new index")


def export(path: Path, *, overwrite: bool = False) -> None:
    with staged_directory(path, overwrite=overwrite) as staging:
        fill(staging)


def assert_new(path: Path) -> None:
    assert set(tree(path)) == {
        "saved_model.pb", "variables", "variables/variables.index",
    }  # fmt: skip
    assert (path / "saved_model.pb").read_bytes() == b"new"


@pytest.fixture
def old(tmp_path) -> Path:
    """A target that holds an earlier artifact."""
    path = tmp_path / "out"
    (path / "assets").mkdir(parents=True)
    (path / "assets" / "vocab.txt").write_bytes(b"old vocabulary")
    (path / "saved_model.pb").write_bytes(b"old")
    return path


@pytest.fixture(params=["exchange", "two renames"])
def way(request, monkeypatch) -> str:
    """Both ways in which a directory is replaced: with renameat2(2), and without."""
    if request.param == "two renames":
        monkeypatch.setattr(target, "_exchange", lambda one, other: False)
    return request.param


class TestSuccess:
    def test_parents_are_made(self, tmp_path):
        export(tmp_path / "a" / "b" / "out")
        assert_new(tmp_path / "a" / "b" / "out")
        assert os.listdir(tmp_path / "a" / "b") == ["out"]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_an_empty_directory_is_taken(self, tmp_path, overwrite):
        (tmp_path / "out").mkdir()
        export(tmp_path / "out", overwrite=overwrite)
        assert_new(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]

    def test_nothing_is_at_the_target_before_the_end(self, tmp_path):
        with staged_directory(tmp_path / "out", overwrite=False) as staging:
            fill(staging)
            assert staging.parent == tmp_path  # one file system: a rename is enough
            assert os.listdir(tmp_path) == [staging.name]
            assert re.fullmatch(r"\.out\.[0-9a-f]{8}\.hubexport\.partial", staging.name)
        assert os.listdir(tmp_path) == ["out"]

    def test_overwrite(self, tmp_path, old, way):
        with staged_directory(old, overwrite=True) as staging:
            fill(staging)
            assert (old / "saved_model.pb").read_bytes() == b"old"
        assert_new(old)
        assert os.listdir(tmp_path) == ["out"]

    def test_overwrite_of_nothing(self, tmp_path):
        export(tmp_path / "out", overwrite=True)
        assert_new(tmp_path / "out")

    def test_an_open_file_of_the_old_artifact_can_be_read_on(self, old, way):
        """Programs that serve it have its files open."""
        with open(old / "assets" / "vocab.txt", "rb") as file:
            export(old, overwrite=True)
            assert file.read() == b"old vocabulary"

    @pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0])
    def test_permissions_follow_the_umask(self, tmp_path, umask):
        """Temporary directories are for their owner alone; artifacts are as others are made."""
        before = os.umask(umask)
        try:
            export(tmp_path / "parent" / "out")
            (tmp_path / "usual").mkdir()
            assert os.umask(umask) == umask  # as it was
        finally:
            os.umask(before)
        usual = (tmp_path / "usual").stat().st_mode
        assert (tmp_path / "parent" / "out").stat().st_mode == usual
        assert (tmp_path / "parent").stat().st_mode == usual

    @pytest.mark.parametrize("path", ["out", "./out", "a/b/out", "made/../made/out", "out/"])
    def test_relative_paths(self, tmp_path, monkeypatch, path):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "made").mkdir()
        export(Path(path))
        assert_new(tmp_path / path)
        assert not [name for name in tree(tmp_path) if "partial" in name]

    def test_two_at_once_do_not_meet(self, tmp_path):
        with staged_directory(tmp_path / "a", overwrite=False) as one:
            with staged_directory(tmp_path / "b", overwrite=False) as other:
                fill(one)
                fill(other)
        assert_new(tmp_path / "a")
        assert_new(tmp_path / "b")

    def test_a_link_among_the_parents(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        export(tmp_path / "link" / "out")
        assert_new(tmp_path / "real" / "out")


class Stop(Exception):
    """Any failure of the work."""


class TestFailure:
    @pytest.mark.parametrize("kind", [Stop, KeyboardInterrupt, SystemExit, MemoryError])
    @pytest.mark.parametrize("name", ["new", "a/b/new", "out"])
    def test_everything_is_as_it_was(self, tmp_path, old, kind, name):
        before = tree(tmp_path)
        with pytest.raises(kind):
            with staged_directory(tmp_path / name, overwrite=True) as staging:
                fill(staging)
                raise kind
        assert tree(tmp_path) == before

    def test_an_empty_target_stays(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(Stop):
            with staged_directory(tmp_path / "empty", overwrite=False):
                raise Stop
        assert os.listdir(tmp_path) == ["empty"]

    def test_made_parents_that_others_use_meanwhile_stay(self, tmp_path):
        with pytest.raises(Stop):
            with staged_directory(tmp_path / "a" / "b" / "out", overwrite=False):
                (tmp_path / "a" / "neighbour").touch()
                raise Stop
        assert list(tree(tmp_path)) == ["a", "a/neighbour"]

    def test_a_full_disk(self, tmp_path, old):
        before = tree(tmp_path)
        with pytest.raises(ExportPathError) as caught:
            with staged_directory(old, overwrite=True) as staging:
                fill(staging)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        text = str(caught.value)
        assert "the artifact cannot be written" in text
        assert f"export path: {old}" in text
        assert "system: No space left on device" in text
        assert re.search(r"free: [\d,]+ MiB", text)
        assert "hint: make room" in text
        assert tree(tmp_path) == before

    def test_other_errors_of_the_system_do_not_speak_of_room(self, tmp_path):
        with pytest.raises(ExportPathError) as caught:
            with staged_directory(tmp_path / "out", overwrite=False):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        assert "Input/output error" in str(caught.value)
        assert "free: " not in str(caught.value)

    def test_the_first_sync_that_fails(self, tmp_path, old, monkeypatch):
        """Where a disk is full without saying so, fsync does."""
        before = tree(tmp_path)

        def fsync(descriptor: int) -> None:
            raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(ExportPathError, match=r"(?s)quota exceeded.*free: "):
            export(old, overwrite=True)
        assert tree(tmp_path) == before

    def test_an_exchange_that_fails(self, tmp_path, old, monkeypatch):
        before = tree(tmp_path)

        def exchange(one: Path, other: Path) -> bool:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(target, "_exchange", exchange)
        with pytest.raises(ExportPathError, match="Permission denied"):
            export(old, overwrite=True)
        assert tree(tmp_path) == before

    @pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
    @pytest.mark.parametrize("failing", [0, 1])
    def test_renames_that_fail(self, tmp_path, old, monkeypatch, failing, kind):
        """Without renameat2, the old one is moved aside first: it comes back."""
        monkeypatch.setattr(target, "_exchange", lambda one, other: False)
        before = tree(tmp_path)
        calls: Iterator[int] = iter(range(9))
        rename = os.rename

        def sometimes(source: Path, destination: Path) -> None:
            if next(calls) == failing:
                raise kind(errno.EBUSY, "busy")
            rename(source, destination)

        monkeypatch.setattr(os, "rename", sometimes)
        with pytest.raises(ExportPathError if kind is OSError else kind):
            export(old, overwrite=True)
        assert tree(tmp_path) == before

    def test_a_parent_that_cannot_be_made(self, tmp_path, monkeypatch):
        """Those above it are taken back."""
        mkdir = Path.mkdir

        def sometimes(self: Path, *arguments: object) -> None:
            if self.name == "third":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            mkdir(self)

        monkeypatch.setattr(Path, "mkdir", sometimes)
        with pytest.raises(ExportPathError, match="No space left"):
            export(tmp_path / "first" / "second" / "third" / "out")
        assert os.listdir(tmp_path) == []

    def test_a_name_that_is_too_long(self, tmp_path):
        for path in (tmp_path / ("x" * 300), tmp_path / "made" / ("x" * 300) / "out"):
            with pytest.raises(ExportPathError, match="File name too long"):
                export(path)
        assert os.listdir(tmp_path) == []

    def test_the_longest_name(self, tmp_path):
        export(tmp_path / ("x" * 255))
        assert_new(tmp_path / ("x" * 255))

    def test_somebody_else_writes_there_meanwhile(self, tmp_path):
        with pytest.raises(ExportPathError, match="the export path is not empty"):
            with staged_directory(tmp_path / "out", overwrite=False) as staging:
                fill(staging)
                (tmp_path / "out").mkdir()
                (tmp_path / "out" / "theirs").write_bytes(b"precious")
        assert list(tree(tmp_path)) == ["out", "out/theirs"]

    def test_a_parent_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_bytes(b"text")
        for path in (tmp_path / "file" / "out", tmp_path / "file" / "deeper" / "out"):
            with pytest.raises(ExportPathError, match="Not a directory"):
                export(path)
        assert list(tree(tmp_path)) == ["file"]

    def test_links_that_lead_to_each_other(self, tmp_path):
        (tmp_path / "one").symlink_to("other")
        (tmp_path / "other").symlink_to("one")
        with pytest.raises(ExportPathError, match="Too many levels of symbolic links"):
            export(tmp_path / "one" / "out")
        assert sorted(os.listdir(tmp_path)) == ["one", "other"]


class TestRefusal:
    def check(self, path: Path, tmp_path: Path, *, overwrite: bool) -> str:
        """Refused at once, in the same words before the work and at its beginning."""
        before = tree(tmp_path)
        with pytest.raises(ExportPathError) as caught:
            with staged_directory(path, overwrite=overwrite):
                raise AssertionError("the work was begun")
        with pytest.raises(ExportPathError) as early:
            check_target(path, overwrite=overwrite)
        assert str(early.value) == str(caught.value)
        assert tree(tmp_path) == before
        return str(caught.value)

    def test_not_empty(self, tmp_path, old):
        text = self.check(old, tmp_path, overwrite=False)
        assert "the export path is not empty" in text
        assert f"export path: {old}" in text
        assert "found: assets, saved_model.pb" in text
        assert "hint: choose another path, or pass --overwrite to replace it." in text

    def test_a_hidden_file_is_content(self, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / ".git").touch()
        assert "found: .git" in self.check(tmp_path / "out", tmp_path, overwrite=False)

    @pytest.mark.parametrize("overwrite", [False, True])
    @pytest.mark.parametrize("kind", ["file", "link", "link to nothing", "pipe"])
    def test_no_directory(self, tmp_path, old, kind, overwrite):
        path = tmp_path / "there"
        if kind == "file":
            path.write_bytes(b"precious")
        elif kind == "pipe":
            os.mkfifo(path)
            assert path.exists()
            with pytest.raises(ExportPathError, match="is not a directory"):
                check_target(path, overwrite=overwrite)
            return
        else:
            path.symlink_to(old if kind == "link" else tmp_path / "nothing")
        text = self.check(path, tmp_path, overwrite=overwrite)
        assert "the export path is not a directory" in text

    @pytest.mark.parametrize("path", [".", "..", "../here", "../.."])
    def test_the_current_directory(self, tmp_path, monkeypatch, path):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        text = self.check(Path(path), tmp_path, overwrite=True)
        assert "the export path is the current directory, or holds it" in text

    def test_what_it_is_made_from(self, tmp_path, old):
        (tmp_path / "link").symlink_to(old)
        for source in (old, old / "saved_model.pb", tmp_path / "link" / "assets"):
            with pytest.raises(ExportPathError, match="holds what the artifact is made from"):
                check_target(old, overwrite=True, sources=[source])
        check_target(old, overwrite=True, sources=[tmp_path, tmp_path / "outside"])

    def test_what_may_be_written(self, tmp_path, old):
        (tmp_path / "empty").mkdir()
        check_target(tmp_path / "empty", overwrite=False)
        check_target(tmp_path / "new" / "out", overwrite=False)
        check_target(old, overwrite=True)
        assert sorted(os.listdir(tmp_path)) == ["empty", "out"]


Usage = namedtuple("Usage", "total used free")


class TestSpace:
    @pytest.fixture
    def disk(self, monkeypatch):
        """A disk of so many free bytes; tells which path was asked about."""
        asked: list[Path] = []

        def make(free: int, total: int = 1 << 40) -> list[Path]:
            def usage(path: Path) -> Usage:
                asked.append(Path(path))
                return Usage(total, total - free, free)

            monkeypatch.setattr(shutil, "disk_usage", usage)
            return asked

        return make

    def test_enough(self, tmp_path, disk):
        asked = disk(100)
        check_space(tmp_path / "a" / "b" / "out", 100)
        assert asked == [tmp_path]  # the nearest that is there

    def test_not_enough(self, tmp_path, disk):
        disk(3 << 20)
        with pytest.raises(ExportPathError) as caught:
            check_space(tmp_path / "out", 5000 << 20)
        text = str(caught.value)
        assert "there is not enough room for the artifact" in text
        assert "needed: 5,000 MiB" in text and "free: 3 MiB" in text
        assert "hint: make room, or choose a path on another file system." in text

    def test_file_systems_that_do_not_tell(self, tmp_path, disk):
        disk(0, total=0)
        check_space(tmp_path, 1 << 60)

    def test_relative_path(self, tmp_path, disk, monkeypatch):
        monkeypatch.chdir(tmp_path)
        asked = disk(100)
        check_space(Path("new/out"), 1)
        assert asked == [tmp_path]

    def test_the_real_disk(self, tmp_path):
        check_space(tmp_path, 1)
        with pytest.raises(ExportPathError):
            check_space(tmp_path, 1 << 62)

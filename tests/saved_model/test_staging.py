"""Directories that are being written: whose they are, and which of them may be removed."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubexport.errors import ExportPathError
from hubexport.saved_model import staging, target
from hubexport.saved_model.staging import make_staging, release, remove, remove_abandoned
from hubexport.saved_model.target import clear_abandoned, staged_directory

ROOT = Path(__file__).parents[2]
LITTER = ".out.0123abcd.hubexport.partial"
OLD = ".out.0123abcd.hubexport.old"


def fill(directory: Path, content: str = "new") -> Path:
    (directory / "assets").mkdir(parents=True)
    (directory / "saved_model.pb").write_text(content)
    (directory / "assets" / "vocab.txt").write_text(content)
    return directory


def content(directory: Path) -> str:
    both = {(directory / name).read_text() for name in ("saved_model.pb", "assets/vocab.txt")}
    assert len(both) == 1
    return both.pop()


def export(path: Path) -> None:
    with staged_directory(path, overwrite=True) as staged:
        fill(staged)


@pytest.fixture
def without_exchange(monkeypatch):
    monkeypatch.setattr(target, "_exchange", lambda one, other: False)


@pytest.fixture
def unseen_locks(monkeypatch):
    """As on a file system that other machines write to as well."""
    monkeypatch.setattr(staging, "_locks_are_seen_by_all", lambda directory: False)


@pytest.fixture
def owner(tmp_path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a process that is in the middle of writing; gives it."""
    started = []

    def start(then: str = "") -> subprocess.Popen[str]:
        code = (
            "import os, signal, subprocess, sys\n"
            "from pathlib import Path\n"
            "from hubexport.saved_model.target import staged_directory\n"
            f"with staged_directory(Path({str(tmp_path / 'out')!r}), overwrite=True) as staged:\n"
            "    (staged / 'saved_model.pb').write_text('half')\n"
            f"    {then or 'pass'}\n"
            "    print(staged.name, flush=True)\n"
            "    sys.stdin.read()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def name_said_by(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.wait()


class TestOwners:
    def test_a_living_one_is_left_alone_and_a_dead_one_is_not(self, tmp_path, owner):
        process = owner()
        name = name_said_by(process)
        assert name.startswith(".out.") and name.endswith(".hubexport.partial")
        export(tmp_path / "beside")
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == [name, "beside", "out"]
        assert (tmp_path / name / "saved_model.pb").read_text() == "half"
        end(process)
        export(tmp_path / "beside")
        assert sorted(os.listdir(tmp_path)) == ["beside", "out"]

    def test_a_living_one_gets_its_directory_in_place(self, tmp_path, owner):
        process = owner()
        name_said_by(process)
        clear_abandoned(tmp_path / "out")
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert os.listdir(tmp_path) == ["out"]
        assert (tmp_path / "out" / "saved_model.pb").read_text() == "half"

    def test_the_lock_ends_with_the_work(self, tmp_path):
        """A finished artifact is not locked, so that a later one may replace and remove it."""
        export(tmp_path / "out")
        descriptor = os.open(tmp_path / "out", os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError])
    def test_no_descriptor_is_left_open(self, tmp_path, kind):
        before = os.listdir("/proc/self/fd")
        export(tmp_path / "out")
        with pytest.raises((KeyboardInterrupt, ExportPathError)):
            with staged_directory(tmp_path / "other", overwrite=False):
                raise kind
        assert os.listdir("/proc/self/fd") == before

    def test_two_in_one_process(self, tmp_path):
        with staged_directory(tmp_path / "a", overwrite=False) as one:
            fill(one / "x", "one")
            with staged_directory(tmp_path / "b", overwrite=False) as other:
                fill(other / "x", "other")
                clear_abandoned(tmp_path / "c")
        assert content(tmp_path / "a" / "x") == "one"
        assert content(tmp_path / "b" / "x") == "other"

    def test_programs_that_the_owner_started_do_not_own(self, tmp_path, owner):
        process = owner(
            "child = subprocess.Popen(['sleep', '1000'], stdout=subprocess.DEVNULL); "
            "print(child.pid, flush=True)"
        )
        child = int(name_said_by(process))
        try:
            name = name_said_by(process)
            end(process)
            clear_abandoned(tmp_path / "out")
            assert name and os.listdir(tmp_path) == []
            os.kill(child, 0)  # it lives
        finally:
            os.kill(child, signal.SIGKILL)

    def test_forked_copies_of_the_owner_own(self, tmp_path, owner):
        """They may be at work in the directory."""
        process = owner(
            "child = os.fork()\n"
            "    if not child:\n"
            "        os.close(1), signal.pause()\n"
            "    print(child, flush=True)"
        )
        child = int(name_said_by(process))
        name = name_said_by(process)
        end(process)
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == [name, "out"]
        copy = os.pidfd_open(child)
        signal.pidfd_send_signal(copy, signal.SIGKILL)
        select.select([copy], [], [])  # until it has ended
        os.close(copy)
        export(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]


class TestNames:
    def test_a_long_one(self, tmp_path):
        path, descriptor = make_staging(tmp_path / ("é" * 127))
        assert re.fullmatch(
            rf"\.é{{{staging._SHOWN}}}\.[0-9a-f]{{8}}\.hubexport\.partial", path.name
        )
        release(descriptor)
        remove_abandoned(tmp_path)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        "name", ["a\nb", "a.b", ".hidden", "x.0123abcd.hubexport.partial", "😀"]
    )
    def test_odd_ones(self, tmp_path, name):
        _, descriptor = make_staging(tmp_path / name)
        release(descriptor)
        remove_abandoned(tmp_path)
        assert os.listdir(tmp_path) == []
        (tmp_path / f".{name}.0123abcd.hubexport.old").mkdir()
        remove_abandoned(tmp_path)
        assert os.listdir(tmp_path) == [name]

    @pytest.mark.parametrize(
        "name",
        [
            "out", ".out", ".out.partial", ".out.0123abcd.partial",
            "out.0123abcd.hubexport.partial",
            ".out.0123abc.hubexport.partial", ".out.0123abcg.hubexport.partial",
            ".0123abcd.hubexport.partial", "..0123abcd.hubexport.partial", ".out.hubexport.partial",
            ".out.0123abcd.hubexport.partial.bak", ".out.0123abcd.hubexport.old2", ".hubexport.old",
            ".out.0123ABCD.hubexport.partial", ".out.0123abcd.hubexport_partial",
        ],
    )  # fmt: skip
    def test_other_names_are_somebody_else_s(self, tmp_path, name):
        fill(tmp_path / name)
        remove_abandoned(tmp_path)
        assert os.listdir(tmp_path) == [name]


class TestWhatIsRemoved:
    def test_of_any_target_in_the_same_directory_only(self, tmp_path):
        for name in (LITTER, ".other.89abcdef.hubexport.partial", f"below/{LITTER}", "mine"):
            fill(tmp_path / name)
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == ["below", "mine", "out"]
        assert os.listdir(tmp_path / "below") == [LITTER]

    def test_before_the_work_begins(self, tmp_path):
        fill(tmp_path / LITTER)
        with staged_directory(tmp_path / "out", overwrite=False) as staged:
            assert os.listdir(tmp_path) == [staged.name]

    @pytest.mark.parametrize("kind", ["file", "link", "link to nothing"])
    def test_no_files_and_links(self, tmp_path, kind):
        path, kept = tmp_path / LITTER, fill(tmp_path / "kept")
        if kind == "file":
            path.write_text("text")
        else:
            path.symlink_to(kept if kind == "link" else tmp_path / "nothing")
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == [LITTER, "kept", "out"]
        assert content(kept) == "new"

    def test_links_inside_are_not_followed(self, tmp_path):
        kept = fill(tmp_path / "kept")
        (fill(tmp_path / LITTER) / "link").symlink_to(kept)
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == ["kept", "out"]
        assert content(kept) == "new"

    def test_nothing_of_other_users(self, tmp_path, monkeypatch):
        fill(tmp_path / LITTER)
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == [LITTER, "out"]

    def test_nothing_that_anybody_holds(self, tmp_path):
        fill(tmp_path / LITTER)
        descriptor = os.open(tmp_path / LITTER, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        export(tmp_path / "out")
        assert content(tmp_path / LITTER) == "new"
        os.close(descriptor)
        export(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]

    def test_directories_that_are_not_there_or_no_directories(self, tmp_path):
        (tmp_path / "file").touch()
        for path in (tmp_path / "nothing", tmp_path / "file", Path("nul\0")):
            remove_abandoned(path)
            clear_abandoned(path / "out")
        (tmp_path / "loop").symlink_to("loop")
        clear_abandoned(tmp_path / "loop" / "out")

    @pytest.mark.parametrize("call", ["scandir", "rmtree", "open"])
    def test_failure_to_look_or_remove_is_no_failure_of_the_run(self, tmp_path, monkeypatch, call):
        fill(tmp_path / LITTER)

        def refuse(path: object, *arguments: object, **others: object) -> None:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        with monkeypatch.context() as patched:
            patched.setattr(shutil if call == "rmtree" else os, call, refuse)
            clear_abandoned(tmp_path / "out")
        assert content(tmp_path / LITTER) == "new"


class TestReplacedInTwoSteps:
    """`.out.XXXXXXXX.hubexport.old` holds the only copy of an artifact, for a moment."""

    def test_put_back_where_the_target_is_missing(self, tmp_path):
        fill(tmp_path / OLD, "old")
        fill(tmp_path / LITTER)
        clear_abandoned(tmp_path / "another")
        assert os.listdir(tmp_path) == ["out"] and content(tmp_path / "out") == "old"

    def test_put_back_in_place_of_an_empty_directory(self, tmp_path):
        fill(tmp_path / OLD, "old")
        (tmp_path / "out").mkdir()
        clear_abandoned(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"] and content(tmp_path / "out") == "old"

    @pytest.mark.parametrize("kind", ["directory", "file"])
    def test_removed_where_the_target_is_there(self, tmp_path, kind):
        fill(tmp_path / OLD, "old")
        fill(tmp_path / "out") if kind == "directory" else (tmp_path / "out").write_text("new")
        clear_abandoned(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]
        assert kind == "file" or content(tmp_path / "out") == "new"

    def test_not_touched_while_its_owner_lives(self, tmp_path, without_exchange, monkeypatch):
        """Another run comes just between the two renames."""
        fill(tmp_path / "out", "old")
        rename, between = os.rename, []

        def watched(source: Path, goal: Path) -> None:
            rename(source, goal)
            if Path(source).name == "out":
                clear_abandoned(tmp_path / "other")
                between.append(sorted(name.rpartition(".")[2] for name in os.listdir(tmp_path)))

        monkeypatch.setattr(os, "rename", watched)
        export(tmp_path / "out")
        assert between == [["old", "partial"]]
        assert os.listdir(tmp_path) == ["out"] and content(tmp_path / "out") == "new"

    def test_put_back_too_early_where_locks_do_not_tell(
        self, tmp_path, without_exchange, unseen_locks, monkeypatch
    ):
        """The run that is at work fails, and the old artifact is where it was."""
        fill(tmp_path / "out", "old")
        rename = os.rename

        def watched(source: Path, goal: Path) -> None:
            rename(source, goal)
            if Path(source).name == "out":
                clear_abandoned(tmp_path / "other")

        monkeypatch.setattr(os, "rename", watched)
        with pytest.raises(ExportPathError, match="Directory not empty"):
            export(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"] and content(tmp_path / "out") == "old"

    @pytest.mark.parametrize("step", [0, 1])
    @pytest.mark.parametrize("after", [False, True])
    def test_interrupted_before_or_after_a_step(
        self, tmp_path, without_exchange, monkeypatch, step, after
    ):
        fill(tmp_path / "out", "old")
        rename, calls = os.rename, iter(range(9))

        def interrupted(source: Path, goal: Path) -> None:
            now = next(calls) == step
            if not now or after:
                rename(source, goal)
            if now:
                raise KeyboardInterrupt

        monkeypatch.setattr(os, "rename", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"]
        assert content(tmp_path / "out") == ("new" if (step, after) == (1, True) else "old")

    def test_somebody_else_writes_there_between(self, tmp_path, without_exchange, monkeypatch):
        fill(tmp_path / "out", "old")
        rename = os.rename

        def watched(source: Path, goal: Path) -> None:
            rename(source, goal)
            if Path(source).name == "out":
                fill(tmp_path / "out", "theirs")

        monkeypatch.setattr(os, "rename", watched)
        with pytest.raises(ExportPathError, match="Directory not empty"):
            export(tmp_path / "out")
        assert os.listdir(tmp_path) == ["out"] and content(tmp_path / "out") == "theirs"

    def test_a_name_that_leaves_no_room(self, tmp_path, without_exchange):
        fill(tmp_path / ("x" * 255), "old")
        with pytest.raises(ExportPathError, match="File name too long"):
            export(tmp_path / ("x" * 255))
        assert os.listdir(tmp_path) == ["x" * 255]
        assert content(tmp_path / ("x" * 255)) == "old"


class TestWhereLocksDoNotTell:
    def test_which_file_systems(self, tmp_path):
        assert staging._locks_are_seen_by_all(tmp_path)
        assert staging._locks_are_seen_by_all(Path("/dev/shm"))
        assert not staging._locks_are_seen_by_all(Path("/proc"))
        assert not staging._locks_are_seen_by_all(tmp_path / "nothing")

    def test_other_systems(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "platform", "darwin")
        assert not staging._locks_are_seen_by_all(tmp_path)

    def test_nothing_is_removed(self, tmp_path, unseen_locks):
        for name in (LITTER, OLD, "out"):
            fill(tmp_path / name)
        export(tmp_path / "out")
        assert sorted(os.listdir(tmp_path)) == sorted([LITTER, OLD, "out"])

    def test_the_only_copy_is_put_back(self, tmp_path, unseen_locks):
        fill(tmp_path / OLD, "old")
        clear_abandoned(tmp_path / "other")
        assert os.listdir(tmp_path) == ["out"] and content(tmp_path / "out") == "old"

    def test_names_are_of_those_that_nobody_removes(self, tmp_path, monkeypatch):
        """A server of files sees its own disk, and none of its clients' locks."""
        with monkeypatch.context() as patched:
            patched.setattr(staging, "_locks_are_seen_by_all", lambda directory: False)
            path, descriptor = make_staging(tmp_path / "out")
        assert descriptor is None
        remove_abandoned(tmp_path)
        assert path.is_dir() and os.listdir(tmp_path) == [path.name]

    @pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.EBADF])
    def test_no_lock_to_be_had(self, tmp_path, monkeypatch, code):
        fill(tmp_path / LITTER, "litter")

        def refuse(descriptor: int, operation: int) -> None:
            raise OSError(code, os.strerror(code))

        before = os.listdir("/proc/self/fd")
        with monkeypatch.context() as patched:
            patched.setattr(fcntl, "flock", refuse)
            export(tmp_path / "out")
            path, descriptor = make_staging(tmp_path / "out")
        assert descriptor is None
        assert os.listdir("/proc/self/fd") == before
        assert content(tmp_path / LITTER) == "litter" and content(tmp_path / "out") == "new"
        export(tmp_path / "out")  # here locks are had, but that one is not known to be abandoned
        assert sorted(os.listdir(tmp_path)) == sorted([path.name, "out"])


class TestTakenForAbandoned:
    """Another run comes between making the directory and locking it."""

    @pytest.mark.parametrize("when", ["before it is opened", "before it is locked", "it is held"])
    def test_another_name_is_tried(self, tmp_path, monkeypatch, when):
        taken: list[Path] = []
        held: list[int] = []
        open_, flock = os.open, fcntl.flock

        def opened(path: Path, flags: int, *arguments: int, **others: int) -> int:
            if not taken and str(path).endswith(".hubexport.partial"):
                taken.append(Path(path))
                if when == "before it is opened":
                    shutil.rmtree(path)
                elif when == "it is held":
                    held.append(open_(path, flags))
                    flock(held[0], fcntl.LOCK_EX)
            return open_(path, flags, *arguments, **others)

        def locked(descriptor: int, operation: int) -> None:
            if len(taken) == 1 and when == "before it is locked":
                shutil.rmtree(taken[0])
                taken.append(taken[0])
                taken[0].mkdir()  # even of the same name
            flock(descriptor, operation)

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(fcntl, "flock", locked)
        path, descriptor = make_staging(tmp_path / "out")
        assert taken and path != taken[0]
        assert descriptor is not None and path.is_dir()
        for each in (descriptor, *held):
            os.close(each)

    def test_it_happens_every_time(self, tmp_path, monkeypatch):
        monkeypatch.setattr(staging, "_lock", remove)
        path, descriptor = make_staging(tmp_path / "out")
        assert descriptor is None and os.listdir(tmp_path) == [path.name]
        assert path.name.endswith(".partial") and "hubexport" not in path.name


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of a user for whom permissions hold."""
    directory = Path(tempfile.mkdtemp())
    superuser = os.geteuid() == 0
    if superuser:
        os.chown(directory, 65534, -1)
        os.seteuid(65534)
    try:
        yield directory
    finally:
        if superuser:
            os.seteuid(0)
        directory.chmod(0o700)
        shutil.rmtree(directory)


def write_protect(directory: Path) -> None:
    for root, _, _ in os.walk(directory, topdown=False):
        Path(root).chmod(0o555)


class TestPermissions:
    def test_a_write_protected_artifact_is_removed_when_it_is_replaced(self, place):
        write_protect(fill(place / "out", "old"))
        export(place / "out")
        assert os.listdir(place) == ["out"] and content(place / "out") == "new"

    def test_write_protected_litter(self, place):
        write_protect(fill(place / LITTER))
        export(place / "out")
        assert os.listdir(place) == ["out"]

    def test_links_in_it_are_not_followed(self, place):
        kept = fill(place / "kept")
        kept.chmod(0o555)
        (fill(place / LITTER) / "assets" / "link").symlink_to(kept)
        write_protect(place / LITTER)
        remove_abandoned(place)
        assert os.listdir(place) == ["kept"]
        assert kept.stat().st_mode & 0o777 == 0o555
        kept.chmod(0o755)

    @pytest.mark.parametrize("mode", [0o555, 0o333])
    def test_a_place_that_cannot_be_listed_or_changed(self, place, mode):
        fill(place / LITTER)
        place.chmod(mode)
        remove_abandoned(place)
        place.chmod(0o755)
        assert os.listdir(place) == [LITTER]

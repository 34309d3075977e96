"""Runs that are killed: the old artifact stays whole, and the next run removes what they left."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import time
from collections import namedtuple
from pathlib import Path

import pytest

from hubexport import cli
from hubexport.errors import ExportPathError
from hubexport.saved_model.record import load_record
from hubexport.saved_model.target import clear_abandoned, staged_directory
from tests import forks, tiny
from tests.saved_model.writer import export, number_of

KILLS = int(os.environ.get("HUBEXPORT_TEST_KILLS", "40"))
"""At random moments, for each way of replacing a directory."""

Usage = namedtuple("Usage", "total used free")
WRITER = "import hubexport.saved_model.target"


@pytest.fixture(params=["exchange", "two renames"])
def way(request) -> str:
    """Both ways in which a directory is replaced: with renameat2(2), and without."""
    return request.param


def check_target(path: Path, way: str, numbers: set[int]) -> None:
    """One of these artifacts is there as a whole.

    Where the directory is replaced in two steps, a kill between them leaves nothing there.
    """
    if way == "two renames" and not path.exists():
        hidden = [name for name in os.listdir(path.parent) if name.endswith(".hubexport.old")]
        assert len(hidden) == 1
        path = path.parent / hidden[0]
    assert number_of(path) in numbers


def test_at_every_step(tmp_path, way):
    out = tmp_path / "out"
    export(out, 1)
    left, missing = set(), 0
    for step in itertools.count(1):
        process = forks.run("tests.saved_model.writer", out, way, 2, step, preload=WRITER)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        check_target(out, way, {1, 2})
        left |= {name.rpartition(".")[2] for name in os.listdir(tmp_path) if name != "out"}
        if not out.exists():
            missing += 1
            with pytest.raises(ExportPathError, match="the export path is not empty"):
                with staged_directory(out, overwrite=False):
                    raise AssertionError("the old artifact was not put back")
        clear_abandoned(out)
        assert number_of(out) in {1, 2}
        assert os.listdir(tmp_path) == ["out"]
        export(out, 1)
        assert number_of(out) == 1
    assert number_of(out) == 2 and os.listdir(tmp_path) == ["out"]
    # The kills did hit what they are about.
    assert left == ({"partial"} if way == "exchange" else {"partial", "old"})
    assert missing == (0 if way == "exchange" else 1)


def test_at_random_moments(tmp_path, way):
    moments = random.Random(20)
    out = tmp_path / "out"
    export(out, 0)
    last = 0
    for _ in range(KILLS):
        process = forks.start("tests.saved_model.writer", out, way, last + 1, preload=WRITER)
        process.wait_for(f"{last + 1}\n")
        time.sleep(moments.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        last += len(process.stdout.splitlines())
        check_target(out, way, {last, last + 1})
        last += 2
        export(out, last)
        assert number_of(out) == last
        assert os.listdir(tmp_path) == ["out"]


def test_an_export(tmp_path):
    """Killed while weights stream, with an artifact in place; the next one is as if nothing was."""
    prefix = tiny.write_checkpoint(tmp_path / "checkpoint", heads=False)
    out = tmp_path / "exported" / "out"
    export(out, 1)
    arguments = ["encoder", f"--checkpoint={prefix}", f"--export_path={out}", "--overwrite"]
    code = (
        "import hubexport.saved_model.weights as weights, runpy, sys, time\n"
        "def stalled(*arguments):\n"
        "    print('streaming', flush=True)\n"
        "    time.sleep(60)\n"
        "weights.fill_variables = stalled\n"
        "sys.argv[0] = 'hubexport'\n"
        "runpy.run_module('hubexport', run_name='__main__')\n"
    )
    process = forks.start(code, *arguments)
    process.wait_for("streaming\n")
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert number_of(out) == 1
    assert len(os.listdir(out.parent)) == 2
    done = forks.hubexport(*arguments)
    assert done.returncode == 0, done.stderr
    assert os.listdir(out.parent) == ["out"]
    assert load_record(out)["kind"] == "encoder"


@pytest.mark.parametrize("dry_run", [False, True])
def test_room_is_made_before_it_is_measured(tmp_path, monkeypatch, capsys, dry_run):
    """What a killed export left may be what fills the disk. A dry run changes nothing."""
    prefix = tiny.write_checkpoint(tmp_path / "checkpoint", heads=False)
    left = tmp_path / "exported" / ".out.0123abcd.hubexport.partial"
    left.mkdir(parents=True)
    there: list[bool] = []

    def usage(path: Path) -> Usage:
        there.append(left.exists())
        return Usage(total=1 << 40, used=1 << 40, free=0)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    arguments = [f"--checkpoint={prefix}", f"--export_path={tmp_path / 'exported' / 'out'}"]
    assert cli.run(["encoder", *arguments, *["--dry_run"] * dry_run]) == 1
    assert "there is not enough room" in capsys.readouterr().err
    assert there == [dry_run]

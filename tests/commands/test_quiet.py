"""What the commands print besides their own words: nothing of TensorFlow's."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import tiny

COMMANDS = {
    "encoder": "--checkpoint=checkpoint/bert_model.ckpt --export_path=out/encoder "
    "--vocab_file=vocab.txt --do_lower_case",
    "preprocessor": "--vocab_file=vocab.txt --do_lower_case --export_path=out/preprocessor",
    "reference": "--source=model_garden --checkpoint=checkpoint/bert_model.ckpt "
    "--bert_config=checkpoint/bert_config.json --output=out/reference",
    "validate": "--saved_model=out/encoder --gates=interface,determinism",
    "inspect": "out/encoder",
}
_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("quiet")
    tiny.write_checkpoint(work / "checkpoint")
    tiny.write_vocabulary(work / "vocab.txt")
    return work


def stderr(command: str, work: Path, settings: Mapping[str, str] | None = None) -> str:
    """What a command prints on it in a process where nobody said how much to print."""
    environment = {k: v for k, v in os.environ.items() if k not in (_LEVEL, "CUDA_VISIBLE_DEVICES")}
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "hubexport", command, *COMMANDS[command].split()],
        env={**environment, "PYTHONPATH": root, **(settings or {})},
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_of_tensorflow_is_printed(command: str, work: Path) -> None:
    if command == "reference":
        pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    lines = stderr(command, work).splitlines()
    assert [line for line in lines if not line.startswith("hubexport: warning: ")] == []


def test_unless_it_is_asked_for(work: Path, tmp_path: Path) -> None:
    """Else there would be nothing to keep quiet."""
    for name in ("checkpoint", "vocab.txt"):
        (tmp_path / name).symlink_to(work / name)
    shown = stderr("encoder", tmp_path, {_LEVEL: "0"})
    assert any(name in shown for name in ("oneDNN", "cuda", "CUDA"))


@pytest.mark.parametrize(("command", "bar"), [("encoder", "weights"), ("preprocessor", "/4 ")])
def test_progress_on_a_terminal(command: str, bar: str, work: Path, tmp_path: Path) -> None:
    """Elsewhere there is none: see above."""
    for name in ("checkpoint", "vocab.txt"):
        (tmp_path / name).symlink_to(work / name)
    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.Popen(
        [sys.executable, "-m", "hubexport", command, *COMMANDS[command].split()],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    )
    os.close(terminal)
    shown = b""
    try:
        while data := os.read(controller, 4096):
            shown += data
    except OSError:  # Linux's way to say that the other end was closed
        pass
    finally:
        os.close(controller)
    assert done.wait() == 0
    assert bar in shown.decode()

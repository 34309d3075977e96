"""What the commands print besides their own words: nothing of TensorFlow's."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests import tiny

COMMANDS = {
    "encoder": "--checkpoint=checkpoint/bert_model.ckpt --export_path=out/encoder --overwrite "
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


def program(*commands: str) -> list[str]:
    """Runs commands one after another, in one process."""
    argv = [[command, *COMMANDS[command].split()] for command in commands]
    code = f"from hubexport.cli import run\nassert not any(run(argv) for argv in {argv})"
    return [sys.executable, "-c", code]


def environment(**settings: str) -> dict[str, str]:
    """Where nobody said how much to print, unless the settings do."""
    kept = {k: v for k, v in os.environ.items() if k not in (_LEVEL, "CUDA_VISIBLE_DEVICES")}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **settings}


@pytest.mark.parametrize(
    "commands",
    [
        ("encoder", "preprocessor", "inspect"),
        # TensorFlow is imported once more.
        pytest.param(("encoder", "validate"), marks=pytest.mark.exhaustive),
        # Model Garden takes long to import.
        pytest.param(("reference",), marks=pytest.mark.exhaustive),
    ],
)
def test_nothing_of_tensorflow_is_printed(commands: tuple[str, ...], work: Path) -> None:
    if "reference" in commands:
        pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    done = subprocess.run(
        program(*commands), env=environment(), cwd=work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("hubexport: warning: ")] == []


@pytest.mark.parametrize(
    ("command", "bar"),
    [
        ("encoder", "weights"),
        pytest.param("preprocessor", "/4 ", marks=pytest.mark.exhaustive),
    ],
)
def test_on_a_terminal(command: str, bar: str, work: Path, tmp_path: Path) -> None:
    """Progress, and what TensorFlow prints where it is asked for: else there would be nothing to
    keep quiet."""
    for name in ("checkpoint", "vocab.txt"):
        (tmp_path / name).symlink_to(work / name)
    controller, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    done = subprocess.Popen(
        program(command),
        env=environment(**{_LEVEL: "0"}),
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
    text = shown.decode()
    assert bar in text
    assert any(name in text for name in ("oneDNN", "cuda", "CUDA"))

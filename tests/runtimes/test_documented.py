"""What docs/runtimes.md shows runs as it stands there, and gives what TensorFlow gives."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.artifacts import export_encoder, export_preprocessor
from tests.runtimes.converters import RUNTIMES, require

pytestmark = pytest.mark.runtimes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "runtimes.md").read_text("utf-8")
SECTIONS = {
    part.partition("\n")[0]: re.findall(r"```(sh|python)\n(.*?)```", part, re.DOTALL)
    for part in PAGE.split("\n## ")[1:]
}
RUNTIME_OF = {"LiteRT": "TensorFlow Lite", "ONNX": "ONNX", "OpenVINO": "OpenVINO"}

_COMPARE = """
import numpy as np

outputs_of_tensorflow = tf.saved_model.load("out/encoder").signatures["serving_default"](
    **{name: tf.constant(value) for name, value in inputs.items()}
)
assert set(outputs) == set(outputs_of_tensorflow) and len(outputs) == 3
for name, value in outputs_of_tensorflow.items():
    np.testing.assert_allclose(outputs[name], value.numpy(), rtol=0, atol=LIMIT, err_msg=name)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With out/encoder and out/preprocessor, of 128 positions."""
    if importlib.util.find_spec("tensorflow_text") is None:
        pytest.skip("tensorflow_text is not installed")
    directory = tmp_path_factory.mktemp("documented")
    sizes = {"max_position_embeddings": 128, "hidden_act": "gelu_erf", "intermediate_size": 128}
    export_encoder(
        checkpoint=tiny.write_checkpoint(directory, {**tiny.CONFIG, **sizes}),
        export_path=directory / "out" / "encoder",
    )
    export_preprocessor(
        vocab_file=tiny.write_vocabulary(directory / "vocab.txt"),
        export_path=directory / "out" / "preprocessor",
        do_lower_case=True,
    )
    return directory


def execute(directory: Path, command: list[str]) -> None:
    """As a reader would, in a process of its own, and without OpenVINO's statistics."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={
            **os.environ,
            "CI": "true",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def test_every_section_is_known() -> None:
    by_hand = {"TensorFlow.js", "What does not convert"}
    assert set(SECTIONS) == {"Inputs", "Heads", *RUNTIME_OF, *by_hand}
    assert {language for parts in SECTIONS.values() for language, _ in parts} == {"sh", "python"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("section", RUNTIME_OF)
def test_examples_give_what_tensorflow_gives(directory: Path, section: str) -> None:
    require(RUNTIMES[RUNTIME_OF[section]])
    ((_, inputs),) = SECTIONS["Inputs"]
    for language, command in SECTIONS[section]:
        if language == "sh":
            execute(directory, ["bash", "-ec", command])
    programs = [code for language, code in SECTIONS[section] if language == "python"]
    limit = "LIMIT = 2e-5\n"
    execute(directory, [sys.executable, "-c", inputs + programs[0] + limit + _COMPARE])


@pytest.mark.exhaustive
def test_int8_as_it_is_shown(directory: Path) -> None:
    require(RUNTIMES["TensorFlow Lite"])
    ((_, inputs),) = SECTIONS["Inputs"]
    (_, program), (_, option) = SECTIONS["LiteRT"]
    start, end = program.split("with open")
    program = f"{start}{option}with open{end}LIMIT = 0.2\n{_COMPARE}"
    check = """
tensors = Interpreter("encoder.tflite").get_tensor_details()
assert any(tensor["dtype"] == np.int8 for tensor in tensors)
"""
    execute(directory, [sys.executable, "-c", inputs + program + check])


@pytest.mark.exhaustive
def test_heads_as_they_are_shown(directory: Path) -> None:
    require(RUNTIMES["OpenVINO"])
    ((_, program),) = SECTIONS["Heads"]
    check = 'assert {n for output in model.outputs for n in output.names} == {"mlm_logits"}\n'
    execute(directory, [sys.executable, "-c", program + check])

"""Encoders converted for other runtimes give there what they give in TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.poolers import MODES
from tests import tiny
from tests.artifacts import export_encoder
from tests.oracles import inputs
from tests.runtimes.converters import RUNTIMES, Run, Tensors, require

pytestmark = pytest.mark.runtimes

TOLERANCE = 2e-5
"""Largest absolute difference in float32, of values around 1."""

VOCABULARY, POSITIONS, TYPES = 50, 12, 2
EXACT = tuple(name for name in RUNTIMES if "int8" not in name)
SIGNATURES = ("serving_default", "mlm", "nsp")


def _hugging_face(directory: Path) -> dict[str, Any]:
    """The exact GELU, all heads, and a vector of every pooling that sentence-transformers knows;
    dense layers that are large enough to be quantized."""
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import hugging_face

    model = hugging_face.build("BertForPreTraining", intermediate_size=128, type_vocab_size=TYPES)
    checkpoint = hugging_face.save_safetensors(model, directory / "model")
    pooling = {"pooling_mode": list(MODES)}
    hugging_face.write_sentence_transformers(checkpoint, pooling, normalize=True, newer=True)
    return {"checkpoint": checkpoint}


def _google(directory: Path, layers: int = 5) -> dict[str, Any]:
    """google-research/bert's: the approximate GELU, and no vector but the pooler's; as many layers
    as make the index of the variables larger than LevelDB's blocks usually are."""
    config = {**tiny.CONFIG, "num_hidden_layers": layers}
    checkpoint = tiny.write_checkpoint(directory / "model", config)
    return {"checkpoint": checkpoint, "heads": "none"}


MODELS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "hugging_face": _hugging_face,
    "google": _google,
    "hugging_face_tokens_only": lambda directory: {**_hugging_face(directory), "padding": "skip"},
    "google_tokens_only": lambda directory: {**_google(directory, 2), "padding": "skip"},
}


class Artifacts:
    """Artifacts, and what was made of them, each once and when it is first asked for."""

    def __init__(self, directory: Path):
        self._directory = directory
        self.export = functools.cache(self._export)
        self.converted = functools.cache(self._converted)
        self.expected = functools.cache(self._expected)

    def _export(self, model: str) -> Path:
        directory = self._directory / model
        directory.mkdir()
        export_encoder(**MODELS[model](directory), export_path=directory / "out")
        return directory / "out"

    def _converted(self, model: str, runtime: str, signature: str) -> Path:
        how = RUNTIMES[runtime]
        require(how)
        path = self._directory / f"{model}-{signature}{how.suffix}"
        how.convert(self.export(model), signature, path)
        return path

    def run(self, model: str, runtime: str, signature: str) -> Run:
        path = self.converted(model, runtime, signature)
        return RUNTIMES[runtime].load(path, signature)

    def _expected(self, model: str, signature: str) -> list[tuple[Tensors, Tensors]]:
        """Inputs of that signature and TensorFlow's own outputs, for batches of several shapes."""
        import tensorflow as tf

        function = tf.saved_model.load(str(self.export(model))).signatures[signature]
        pairs = []
        unused = inputs.batch(np.random.default_rng(1), 2, POSITIONS - 1, VOCABULARY, TYPES)
        unused["input_mask"][:, POSITIONS // 2 :] = 0  # columns that no text uses
        for batch in [*inputs.batches(VOCABULARY, POSITIONS, TYPES), unused]:
            fed = {name: batch[name] for name in function.structured_input_signature[1]}
            outputs = function(**{name: tf.constant(value) for name, value in fed.items()})
            pairs.append((fed, {name: value.numpy() for name, value in outputs.items()}))
        return pairs


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(tmp_path_factory.mktemp("runtimes"))


@pytest.mark.parametrize(
    ("model", "signature"),
    [("google", "serving_default"), ("google_tokens_only", "serving_default")]
    + [
        pytest.param(model, signature, marks=pytest.mark.exhaustive)
        for model in ("hugging_face", "hugging_face_tokens_only")
        for signature in SIGNATURES
    ],
)
@pytest.mark.parametrize("runtime", EXACT)
def test_outputs_are_the_same(
    artifacts: Artifacts, runtime: str, model: str, signature: str
) -> None:
    run = artifacts.run(model, runtime, signature)
    pairs = artifacts.expected(model, signature)
    assert len({fed["input_word_ids"].shape for fed, _ in pairs}) == len(pairs) > 4
    for fed, expected in pairs:
        outputs = run(fed)
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            assert outputs[name].shape == value.shape, name
            assert outputs[name].dtype == np.float32, name
            assert np.ptp(value) > 0.05, name
            np.testing.assert_allclose(outputs[name], value, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize("model", ["google", "google_tokens_only"])
@pytest.mark.parametrize("runtime", EXACT)
def test_sequences_longer_than_the_positions_are_an_error(
    artifacts: Artifacts, runtime: str, model: str
) -> None:
    run = artifacts.run(model, runtime, "serving_default")
    positions = tiny.CONFIG["max_position_embeddings"]
    fed, _ = artifacts.expected(model, "serving_default")[0]
    assert run({name: np.ones((2, positions), np.int32) for name in fed})
    # Slicing the table of positions fails, or using what is left of it.
    with pytest.raises(Exception, match=r"(?i)slice|Add|Gather|Minimum"):
        run({name: np.ones((2, positions + 1), np.int32) for name in fed})


@pytest.mark.exhaustive
@pytest.mark.parametrize("signature", ["serving_default", "mlm"])
def test_quantized_outputs_are_similar(artifacts: Artifacts, signature: str) -> None:
    """Kernels of int8: vectors keep their direction, and are not what they were."""
    run = artifacts.run("hugging_face", "TensorFlow Lite, int8", signature)
    differences = []
    for fed, expected in artifacts.expected("hugging_face", signature):
        outputs = run(fed)
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            assert outputs[name].shape == value.shape, name
            norms = np.linalg.norm(outputs[name], axis=-1) * np.linalg.norm(value, axis=-1)
            assert np.min(np.sum(outputs[name] * value, axis=-1) / norms) > 0.995, name
            differences.append(np.max(np.abs(outputs[name] - value)))
    assert max(differences) > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize("quantized", [False, True], ids=["float32", "int8"])
@pytest.mark.parametrize("signature", ["serving_default", "mlm"])
def test_ops_of_tensorflow_lite(artifacts: Artifacts, signature: str, quantized: bool) -> None:
    """One for the activation, and none that only a build with TensorFlow's ops ("Flex") has."""
    runtime = "TensorFlow Lite, int8" if quantized else "TensorFlow Lite"
    path = artifacts.converted("hugging_face", runtime, signature)
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    ops = [op["op_name"] for op in interpreter._get_ops_details()]
    assert "FULLY_CONNECTED" in ops
    assert not [op for op in ops if op.startswith(("Flex", "Custom"))]
    assert ops.count("GELU") == (3 if signature == "mlm" else 2)  # layers, and the head's own
    kernels = [t["shape"] for t in interpreter.get_tensor_details() if t["dtype"] == np.int8]
    # Of each layer those of [16, 128] and [128, 16]: smaller ones stay as they are.
    assert len(kernels) == (4 if quantized else 0)

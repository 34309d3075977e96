"""Encoders that compute in a narrow dtype, against those that compute in float32."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from tests import tiny
from tests.oracles import compare, inputs
from tests.tiers import examples

UNIT_ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11}
LAYERS, VOCABULARY, POSITIONS, TYPES = 2, 50, 12, 2
LIMIT = 4 * np.sqrt(LAYERS + 2)
"""Of relative errors, in units of roundoff: every layer, the embeddings and the head add theirs."""


class Exports:
    """Artifacts by model and dtype, each made and loaded once, when it is first asked for."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.checkpoint = functools.cache(lambda model: CHECKPOINTS[model](directory / model))
        self.artifact = functools.cache(lambda *key: compare.Artifact(self.path(*key)))

    def path(self, model: str, dtype: str) -> Path:
        path = self.directory / f"{model}-{dtype}"
        if not path.exists():
            hubexport.export_encoder(**self.checkpoint(model), export_path=path, dtype=dtype)
        return path

    def root(self, model: str, dtype: str) -> Any:
        return self.artifact(model, dtype).root


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    return Exports(tmp_path_factory.mktemp("precision"))


def _bert(directory: Path) -> dict[str, Any]:
    return {"checkpoint": tiny.write_checkpoint(directory)}


def _talking_heads(directory: Path) -> dict[str, Any]:
    pytest.importorskip("official", reason="tf-models-official is not installed")
    import tensorflow as tf

    from tests.oracles import model_garden

    sizes = model_garden.Sizes(type_vocab_size=TYPES)
    model = model_garden.trained(sizes, "talking_heads", next_sentence=True)
    directory.mkdir()
    tf.train.Checkpoint(model=model).write(str(directory / "checkpoint"))
    return {
        "checkpoint": directory / "checkpoint",
        "pooler": "next_sentence",
        **model_garden.write_configuration("bert.yaml", sizes, directory),
    }


def _large(directory: Path) -> dict[str, Any]:
    """Activations of several hundreds wherever there is no norm."""

    def change(values: inputs.Tensors) -> None:
        for name, value in values.items():
            if name.endswith(("query/bias", "key/bias", "value/bias")):
                value += LARGE
            if name.endswith("intermediate/dense/bias"):
                value += LARGE * (-1.0) ** np.arange(value.size)

    return {"checkpoint": tiny.write_checkpoint(directory, change=change)}


LARGE = 400.0
CHECKPOINTS: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "bert": _bert,
    "talking_heads": _talking_heads,
    "large": _large,
}

both_models = pytest.mark.parametrize("model", examples(["bert", "talking_heads"], ["bert"]))
both_dtypes = pytest.mark.parametrize("dtype", examples(UNIT_ROUNDOFF, ["bfloat16"]))


def flat(outputs: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Output name -> its values of all batches, one after the other; checks that all are finite
    float32."""
    parts = defaultdict(list)
    for each in outputs:
        for name, value in each.items():
            for array in value if name == "encoder_outputs" else [value]:
                assert array.dtype == np.float32, f"{name} is {array.dtype}"
                assert np.isfinite(array).all(), f"{name} is not finite"
                parts[name].append(array.ravel())
    return {name: np.concatenate(values).astype(np.float64) for name, values in parts.items()}


def relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    """Of Frobenius norms."""
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def relative_errors(
    actual: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> dict[str, float]:
    assert set(actual) == set(expected)
    return {name: relative_error(actual[name], expected[name]) for name in expected}


def batches(types: int = TYPES) -> list[inputs.Tensors]:
    """Four rows of 7 tokens, and of as many as there are positions."""
    return inputs.batches(VOCABULARY, POSITIONS, types)[-2:]


ALL_OUTPUTS = {
    "sequence_output", "pooled_output", "default", "encoder_outputs", "mlm_logits", "nsp_logits",
}  # fmt: skip


@both_models
@both_dtypes
def test_errors_are_those_of_the_dtype(exports: Exports, model: str, dtype: str) -> None:
    """Not larger, and not so small that something wider must have been at work."""
    narrow = flat(map(exports.artifact(model, dtype), batches()))
    errors = relative_errors(narrow, flat(map(exports.artifact(model, "float32"), batches())))
    assert set(errors) == ALL_OUTPUTS
    u = UNIT_ROUNDOFF[dtype]
    assert all(u / 8 < error < LIMIT * u for error in errors.values()), errors


@both_models
@both_dtypes
def test_variables_are_float32(exports: Exports, model: str, dtype: str) -> None:
    import tensorflow as tf

    narrow, wide = exports.root(model, dtype), exports.root(model, "float32")
    for ours, theirs in ((narrow, wide), (narrow.mlm, wide.mlm), (narrow.nsp, wide.nsp)):
        assert len(ours.variables) == len(theirs.variables) > 0
        for variable, same in zip(ours.variables, theirs.variables, strict=True):
            assert (variable.name, variable.dtype) == (same.name, tf.float32)
            np.testing.assert_array_equal(variable.numpy(), same.numpy())


def functions(artifact: Path) -> Iterator[Any]:
    """The NodeDefs of every function in the artifact, by TensorFlow's own messages."""
    from tensorflow.core.protobuf import saved_model_pb2

    program = saved_model_pb2.SavedModel.FromString((artifact / "saved_model.pb").read_bytes())
    for function in program.meta_graphs[0].graph_def.library.function:
        yield function.node_def


def dtypes_of_ops(artifact: Path) -> dict[str, dict[str, int]]:
    """Op -> dtype that it computes in -> number of nodes."""
    import tensorflow as tf

    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for nodes in functions(artifact):
        for node in nodes:
            if "T" in node.attr:
                found[node.op][tf.as_dtype(node.attr["T"].type).name] += 1
    return {op: dict(dtypes) for op, dtypes in found.items()}


@both_models
@both_dtypes
def test_what_is_computed_in_which_dtype(exports: Exports, model: str, dtype: str) -> None:
    narrow = dtypes_of_ops(exports.path(model, dtype))
    wide = dtypes_of_ops(exports.path(model, "float32"))
    # "Pow" and "Tanh" are of gelu_tanh, "Tanh" of the pooler, too.
    for op in ("MatMul", "BatchMatMulV2", "Pow", "Tanh"):
        assert narrow[op] == {dtype: wide[op]["float32"]}, op
    # "Mean", "Square" and "Rsqrt" are of layer norms.
    for op in ("Softmax", "Mean", "Square", "Rsqrt"):
        assert narrow[op] == wide[op] == {"float32": wide[op]["float32"]}, op


@both_dtypes
def test_tables_are_not_cast_as_a_whole(exports: Exports, dtype: str) -> None:
    """Where rows of words, types and positions are gathered, these tables are not read besides."""
    gathering = 0
    for nodes in functions(exports.path("bert", dtype)):
        gathered = {node.input[0] for node in nodes if node.op == "ResourceGather"}
        read = {node.input[0] for node in nodes if node.op == "ReadVariableOp"}
        assert len(gathered) in (0, 3) and not gathered & read
        gathering += len(gathered) > 0
    assert gathering > 0


@both_models
@both_dtypes
def test_padding_has_no_influence(exports: Exports, model: str, dtype: str) -> None:
    generator = np.random.default_rng(1)
    long = inputs.batch(generator, 4, POSITIONS, VOCABULARY)
    size = 5
    long["input_mask"][:] = np.arange(POSITIONS) < size
    long["masked_lm_positions"] %= size
    short = {
        name: value if name == "masked_lm_positions" else value[:, :size]
        for name, value in long.items()
    }
    artifact = exports.artifact(model, dtype)
    padded, expected = artifact(long), artifact(short)
    padded["sequence_output"] = padded["sequence_output"][:, :size]
    padded["encoder_outputs"] = [layer[:, :size] for layer in padded["encoder_outputs"]]
    errors = relative_errors(flat([padded]), flat([expected]))
    # Padding has a weight of exactly 0; matmuls of other shapes may add up in another order.
    assert max(errors.values()) < 2 * UNIT_ROUNDOFF[dtype], errors
    # Nothing but padding: there is nothing to expect but numbers.
    long["input_mask"][:] = 0
    flat([artifact(long)])


@pytest.mark.parametrize("dtype", examples(UNIT_ROUNDOFF, ["float16"]))
def test_large_activations(exports: Exports, dtype: str) -> None:
    head_size = tiny.CONFIG["hidden_size"] // tiny.CONFIG["num_attention_heads"]
    with np.errstate(over="ignore"):
        assert np.isinf(np.float16(head_size * LARGE**2)), "products must be too large for float16"
    generator = np.random.default_rng(2)
    batch = inputs.batch(generator, 4, POSITIONS, VOCABULARY)
    outputs = flat([exports.artifact("large", dtype)(batch)])
    assert set(outputs) == ALL_OUTPUTS


def gradients(root: Any, batch: inputs.Tensors) -> dict[str, np.ndarray]:
    """Variable -> gradient of a sum of all outputs, each element with a weight of its own."""
    import tensorflow as tf

    variables = {v.name: v for v in [*root.mlm.variables, *root.nsp.variables]}
    tensors = {name: tf.constant(value) for name, value in batch.items()}
    with tf.GradientTape() as tape:
        outputs = root.mlm(tensors, training=False)
        of_nsp = {name: tensors[name] for name in compare.ENCODER_INPUTS}
        outputs["nsp_logits"] = root.nsp(of_nsp, training=False)["nsp_logits"]
        loss = tf.add_n([
            tf.reduce_sum(value * tf.random.stateless_normal(tf.shape(value), (1, i)))
            for i, (_, value) in enumerate(sorted(outputs.items()))
            if isinstance(value, tf.Tensor)
        ])  # fmt: skip
    found = tape.gradient(loss, variables)
    assert None not in found.values(), [name for name in found if found[name] is None]
    assert {gradient.dtype for gradient in found.values()} == {tf.float32}
    return {name: tf.convert_to_tensor(value).numpy() for name, value in found.items()}


@both_models
@both_dtypes
def test_gradients(exports: Exports, model: str, dtype: str) -> None:
    batch = batches()[-1]
    narrow = gradients(exports.root(model, dtype), batch)
    wide = gradients(exports.root(model, "float32"), batch)
    assert all(np.isfinite(gradient).all() for gradient in narrow.values())
    # Keys' biases have none but rounding's: the softmax cancels them.
    names = [name for name in wide if not name.endswith("key/bias:0")]
    errors = {name: relative_error(narrow[name], wide[name]) for name in names}
    assert 0 < max(errors.values()) < 4 * LIMIT * UNIT_ROUNDOFF[dtype], errors


@both_dtypes
def test_xla(exports: Exports, dtype: str) -> None:
    import tensorflow as tf

    root = exports.root("bert", dtype)
    compiled = tf.function(lambda tensors: root.mlm(tensors, training=False), jit_compile=True)
    batch = batches()[-1]
    outputs = compiled({name: tf.constant(value) for name, value in batch.items()})
    ours = flat([tf.nest.map_structure(lambda tensor: tensor.numpy(), outputs)])
    expected = flat([exports.artifact("bert", "float32")(batch)])
    del expected["nsp_logits"]
    errors = relative_errors(ours, expected)
    assert max(errors.values()) < LIMIT * UNIT_ROUNDOFF[dtype], errors


@both_dtypes
def test_dropout_drops_what_it_drops_in_float32(dtype: str) -> None:
    import tensorflow as tf

    from hubexport.networks.layers import dropout

    dropped = {}
    for each in (dtype, "float32"):
        tf.random.set_seed(3)
        result = dropout(tf.ones([1000, 1000], each), 0.1, training=True)
        assert result.dtype == each
        dropped[each] = tf.equal(result, 0).numpy()
    np.testing.assert_array_equal(dropped[dtype], dropped["float32"])
    # Its standard deviation is 0.0003.
    assert abs(dropped[dtype].mean() - 0.1) < 0.0015


@pytest.fixture(scope="module")
def hf() -> Any:
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from tests.oracles import hugging_face

    return hugging_face


@pytest.mark.parametrize("hidden_act", examples(["gelu", "gelu_new"], ["gelu"]))
@both_dtypes
def test_errors_are_not_larger_than_torch_s(
    hf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, hidden_act: str
) -> None:
    """transformers' model in the same dtype, each against itself in float32."""
    import torch

    model = hf.build("BertForPreTraining", hidden_act=hidden_act)
    hf.save_safetensors(model, tmp_path / "model")
    hubexport.export_encoder(
        checkpoint=tmp_path / "model", export_path=tmp_path / "out", dtype=dtype
    )
    of_types = batches(types=hf.SIZES["type_vocab_size"])
    expected = flat(hf.expected_outputs(model, batch) for batch in of_types)
    to_numpy = torch.Tensor.numpy  # which knows no bfloat16
    monkeypatch.setattr(torch.Tensor, "numpy", lambda tensor: to_numpy(tensor.float()))
    narrow = model.to(getattr(torch, dtype))
    theirs = relative_errors(
        flat(hf.expected_outputs(narrow, batch) for batch in of_types), expected
    )
    outputs = flat(map(compare.Artifact(tmp_path / "out"), of_types))
    assert outputs.keys() - expected.keys() == {"default"}
    ours = relative_errors({name: outputs[name] for name in expected}, expected)
    for name, error in ours.items():
        assert 0 < error < 2 * theirs[name], f"{name}: ours {error}, theirs {theirs[name]}"


@both_dtypes
def test_sentence_embeddings_are_pooled_in_float32(hf: Any, tmp_path: Path, dtype: str) -> None:
    model = hf.build("BertModel")
    hf.save_safetensors(model, tmp_path / "model")
    pooling = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    hf.write_sentence_transformers(tmp_path / "model", pooling, normalize=True, newer=False)
    hubexport.export_encoder(
        checkpoint=tmp_path / "model", export_path=tmp_path / "out", dtype=dtype
    )
    artifact = compare.Artifact(tmp_path / "out")
    for batch in batches(types=hf.SIZES["type_vocab_size"]):
        outputs = artifact(batch)
        expected = hf.sentence_embedding(
            outputs["sequence_output"], batch["input_mask"], ["mean"], normalize=True
        )
        np.testing.assert_allclose(outputs["default"], expected, atol=1e-6)

"""Encoders that skip padding give what those give that compute it, and zeros at padding."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import hubexport
from hubexport.errors import UsageError
from hubexport.validation.artifact import flatten, heads_of
from hubexport.validation.expected import along_sequence
from tests import tiny
from tests.artifacts import export_encoder
from tests.tiers import examples
from tests.unsaved import Unsaved

VOCABULARY, POSITIONS = 50, 12
TOLERANCE = 2e-5
"""Largest absolute difference in float32, of values around 1."""

Tensors = dict[str, np.ndarray]


def _bert(directory: Path) -> Path:
    return tiny.write_checkpoint(directory)


def _talking_heads(directory: Path) -> dict[str, Any]:
    pytest.importorskip("official", reason="tf-models-official is not installed")
    from tests.oracles import model_garden

    sizes = model_garden.Sizes()
    model = model_garden.trained(sizes, "talking_heads", next_sentence=True)
    directory.mkdir()
    tf.train.Checkpoint(model=model).write(str(directory / "checkpoint"))
    configuration = model_garden.write_configuration("bert.yaml", sizes, directory)
    return {"checkpoint": directory / "checkpoint", "pooler": "next_sentence", **configuration}


def _of_class(name: str) -> Callable[[Path], Path]:
    def write(directory: Path) -> Path:
        pytest.importorskip("transformers", reason="transformers is not installed")
        from tests.oracles import families

        families.build(name).save_pretrained(directory)
        return directory

    return write


MODELS: Mapping[str, Callable[[Path], Any]] = {
    "bert": _bert,
    "talking_heads": _talking_heads,
    **{
        name: _of_class(name)
        for name in (
            "RobertaForTokenClassification", "DistilBertForQuestionAnswering",
            "RobertaForMaskedLM", "BertForMultipleChoice", "DistilBertForSequenceClassification",
        )
    },
}  # fmt: skip


BERT: tuple[str, dict[str, Any]] = ("bert", {})
"""Saved and loaded: what it is compared with, and in which ways, nothing else is."""


class Pair:
    """One checkpoint exported in both ways; those that need not be saved are not."""

    def __init__(self, arguments: Mapping[str, Any], directory: Path, *, saved: bool):
        self.paths, self.roots = {}, {}
        self._traced: dict[Any, Callable[..., Any]] = {}
        for padding in ("compute", "skip"):
            if saved:
                path = self.paths[padding] = directory / padding
                self.record = export_encoder(**arguments, export_path=path, padding=padding)
                self.roots[padding] = tf.saved_model.load(str(path))
            else:
                encoder = Unsaved(**arguments, padding=padding)
                self.record, self.roots[padding] = encoder.record, encoder.root
        self.heads = heads_of(self.record)

    def outputs(self, padding: str, batch: Tensors, **keywords: Any) -> Tensors:
        """Of the root and of every head."""
        found = flatten(self._call(padding, "", batch, keywords))
        for name, head in self.heads.items():
            own = {key: np.zeros([len(batch["input_mask"]), 3], np.int32) for key in head.inputs}
            fed = {**batch, **own}
            if "C" in head.lead:
                fed = {key: value[:, np.newaxis] for key, value in fed.items()}
            given = self._call(padding, name, fed, keywords)
            found |= {key: given[key].numpy() for key in head.outputs}
        return found

    def _call(self, padding: str, head: str, batch: Tensors, keywords: Mapping[str, Any]) -> Any:
        """What the root ("") or a head gives; traced once, which eagerly each shape is anew."""
        key = (padding, head, *keywords.items())
        if key not in self._traced:
            root = self.roots[padding]
            function = getattr(root, head) if head else root
            specs = {name: tf.TensorSpec([None] * x.ndim, tf.int32) for name, x in batch.items()}
            self._traced[key] = tf.function(
                lambda given: function(given, **keywords), input_signature=[specs], autograph=False
            )
        return self._traced[key](_tensors(batch))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    @functools.cache
    def make(model: str, *, saved: bool = False, **options: Any) -> Pair:
        directory = tmp_path_factory.mktemp("padding")
        made = MODELS[model](directory / "model")
        arguments = made if isinstance(made, dict) else {"checkpoint": made}
        return Pair({**arguments, **options}, directory, saved=saved or (model, options) == BERT)

    return make


def _tensors(batch: Tensors) -> dict[str, tf.Tensor]:
    return {key: tf.constant(value, tf.int32) for key, value in batch.items()}


def batch_of(mask: Any, seed: int = 0) -> Tensors:
    """Random ids, at padding too, for a mask [B, S]."""
    mask = np.array(mask, np.int32)
    generator = np.random.default_rng(seed)
    ids = generator.integers(2, VOCABULARY, mask.shape)
    types = np.sort(generator.integers(0, 2, mask.shape), axis=1)
    return {
        "input_word_ids": ids.astype(np.int32),
        "input_mask": mask,
        "input_type_ids": types.astype(np.int32),
    }


def masks() -> Iterator[np.ndarray]:
    """Of many forms: each first place holds a token, as poolers and heads need."""
    generator = np.random.default_rng(1)
    places = np.arange(POSITIONS)
    yield np.ones([2, POSITIONS])
    yield np.ones([3, 1])
    yield places[:1, np.newaxis] == places  # one token of one text
    yield places < np.array([[5], [1], [3], [12]])  # right
    yield places < np.array([[5], [1], [3]])  # columns that no text uses
    yield (places % 3 == 0) | (places < np.array([[2], [1], [9]]))  # holes that all texts have
    for _ in range(8):
        rows, length = generator.integers(1, 6), generator.integers(1, POSITIONS + 1)
        mask = generator.random([rows, length]) < generator.random()
        mask[:, 0] = True
        yield mask


def assert_equal(batch: Tensors, actual: Tensors, expected: Tensors) -> None:
    """Tokens to rounding, and zeros at padding."""
    is_token = batch["input_mask"] != 0
    assert set(actual) == set(expected)
    for name, value in expected.items():
        if along_sequence(name):
            assert not actual[name][~is_token].any(), name
            value, found = value[is_token], actual[name][is_token]
        else:
            found = actual[name]
        np.testing.assert_allclose(found, value, rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(
    "model",
    examples(list(MODELS), ["bert", "RobertaForTokenClassification"]),
)
def test_every_output_of_every_mask(pair: Callable[..., Pair], model: str) -> None:
    both = pair(model)
    for mask in masks():
        batch = batch_of(mask)
        assert_equal(batch, both.outputs("skip", batch), both.outputs("compute", batch))


@pytest.mark.parametrize("model", ["bert", "RobertaForTokenClassification"])
def test_tokens_whatever_the_first_place_holds(pair: Callable[..., Pair], model: str) -> None:
    """Padding on the left, and rows without any token."""
    both, places = pair(model), np.arange(POSITIONS)
    for mask in (
        places >= np.array([[5], [11], [3]]),
        (places < np.array([[4], [0], [6]])) & (places > 1),
        np.array([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]]),
    ):
        batch = batch_of(mask)
        actual, expected = both.outputs("skip", batch), both.outputs("compute", batch)
        along = [name for name in actual if along_sequence(name)]
        assert len(along) >= 3
        assert_equal(batch, *({n: each[n] for n in along} for each in (actual, expected)))


@pytest.mark.parametrize("compiled", [False, True])
def test_no_token_at_all(pair: Callable[..., Pair], compiled: bool) -> None:
    """The sequence is 0, and what poolers and heads make of it."""
    root = pair("bert").roots["skip"]
    function = tf.function(lambda inputs: root(inputs), jit_compile=compiled)
    bias = next(v for v in root.variables if "pooler" in v.name and "bias" in v.name)
    for shape in ([1, 1], [3, 5]):
        outputs = flatten(function(_tensors(batch_of(np.zeros(shape)))))
        assert outputs["sequence_output"].shape == (*shape, 16)
        assert not outputs["sequence_output"].any()
        pooled = np.tanh(bias.numpy())
        for row in outputs["pooled_output"]:
            np.testing.assert_allclose(row, pooled, rtol=0, atol=1e-6)


@pytest.mark.parametrize("called", ["root", "signature"])
def test_compiled(pair: Callable[..., Pair], called: str) -> None:
    both = pair("bert")
    root = both.roots["skip"]
    serve = root.signatures["serving_default"]
    call = (lambda inputs: root(inputs)) if called == "root" else (lambda inputs: serve(**inputs))
    function = tf.function(call, jit_compile=True)
    for mask in (np.arange(7) < np.array([[3], [5]]), np.array([[1, 0, 1, 0, 0, 1, 0]])):
        batch = batch_of(mask)
        expected = both.outputs("compute", batch)
        actual = flatten(function(_tensors(batch)))
        assert_equal(batch, actual, {name: expected[name] for name in actual})


def test_signatures_are_for_every_runtime(pair: Callable[..., Pair]) -> None:
    """Converters know neither the choice by device nor branches."""
    path = pair("bert").paths["skip"] / "saved_model.pb"
    graph = saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0].graph_def
    functions = {each.signature.name: each.node_def for each in graph.library.function}

    def reached(name: str) -> set[str]:
        ops = set()
        for node in functions[name]:
            ops.add(node.op)
            called = [attribute.func.name for attribute in node.attr.values()]
            called += [f.name for attribute in node.attr.values() for f in attribute.list.func]
            for each in called:
                if each in functions:
                    ops |= reached(each)
        return ops

    chosen = {"DeviceIndex", "Case", "StatelessCase"}
    served = [name for name in functions if "signature_wrapper" in name]
    assert len(served) == 3
    for name in served:
        assert not chosen & reached(name), name
    assert any(chosen & reached(name) for name in functions)


def test_a_session_serves_it(pair: Callable[..., Pair]) -> None:
    both, batch = pair("bert"), batch_of(np.arange(9) < np.array([[3], [7]]))
    expected = both.outputs("compute", batch)
    tf1 = tf.compat.v1
    with tf.Graph().as_default(), tf1.Session() as session:
        loaded = tf1.saved_model.load(session, ["serve"], str(both.paths["skip"]))
        signature = loaded.signature_def["serving_default"]
        names = {key: tensor.name for key, tensor in signature.outputs.items()}
        feeds = {tensor.name: batch[key] for key, tensor in signature.inputs.items()}
        actual = session.run(names, feeds)
    assert_equal(batch, actual, {name: expected[name] for name in actual})


def _loss(root: Any, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Of the tokens' vectors and the pooled one, which is all that training can see."""
    outputs = root(inputs, training=False)
    is_token = tf.cast(inputs["input_mask"], tf.float32)[..., tf.newaxis]
    squares = tf.reduce_sum(is_token * tf.square(outputs["encoder_outputs"][0]))
    return squares + tf.reduce_sum(outputs["pooled_output"] * outputs["default"])


def _gradients(root: Any, inputs: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        loss = _loss(root, inputs)
    gradients = tape.gradient(loss, root.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


HOLES = [[1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 0, 0]]


@pytest.fixture(scope="module")
def wanted(pair: Callable[..., Pair]) -> list[tf.Tensor]:
    return _gradients(pair("bert").roots["compute"], _tensors(batch_of(HOLES)))


@pytest.mark.parametrize("how", ["eager", "function", "compiled", "persistent"])
def test_gradients(pair: Callable[..., Pair], wanted: list[tf.Tensor], how: str) -> None:
    inputs, root = _tensors(batch_of(HOLES)), pair("bert").roots["skip"]
    if how == "persistent":
        with tf.GradientTape(persistent=True) as tape:
            loss = _loss(root, inputs)
        found = [
            tf.convert_to_tensor(tape.gradient(loss, variable))
            for variable in root.trainable_variables
        ]
        assert tape.gradient(loss, root.trainable_variables[-1]) is not None
    else:
        step = functools.partial(_gradients, root)
        step = step if how == "eager" else tf.function(step, jit_compile=how == "compiled")
        found = step(inputs)
    for variable, a, b in zip(root.trainable_variables, found, wanted, strict=True):
        scale = 1 + float(tf.reduce_max(tf.abs(b)))
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE * scale, err_msg=variable.name)


@pytest.mark.parametrize("padding", ["compute", "skip"])
@pytest.mark.parametrize(
    "model", examples(["bert", "talking_heads", "RobertaForTokenClassification"], ["bert"])
)
def test_weights_are_no_constants_to_xla(
    pair: Callable[..., Pair], model: str, padding: str
) -> None:
    """What XLA takes for a constant has it compile the graph anew whenever that changes: a weight,
    at every step of training."""
    made = pair(model) if model == "bert" else pair(model, saved=True)
    root = tf.saved_model.load(str(made.paths[padding]))  # as a program that trains has it

    def gradients(inputs: Mapping[str, tf.Tensor]) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = _loss(root, inputs)
        # As they are: to make a dense one of a table's is a constant shape for XLA.
        return list(tape.gradient(loss, root.trainable_variables))

    step = tf.function(gradients, autograph=False, jit_compile=True)
    program = step.experimental_get_compiler_ir(_tensors(batch_of(HOLES)))(stage="hlo")
    found = re.findall(r"= f32(\[[\d,]+\])\S* constant\(", program)
    sizes = {
        str(v.shape.as_list()).replace(" ", "")
        for v in root.variables
        if v.shape.num_elements() > 9
    }
    assert not sizes & set(found)


@pytest.mark.exhaustive
def test_second_order(pair: Callable[..., Pair]) -> None:
    both = pair("bert")
    inputs = _tensors(batch_of(np.array([[1, 1, 0, 1], [1, 1, 0, 0]])))

    def of_gradient(root: Any) -> tf.Tensor:
        bias = next(v for v in root.trainable_variables if "layer_0/output/dense/bias" in v.name)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = _loss(root, inputs)
            norm = tf.reduce_sum(tf.square(inner.gradient(loss, bias)))
        return outer.gradient(norm, bias)

    found, wanted = (of_gradient(both.roots[padding]) for padding in ("skip", "compute"))
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_fine_tuning_takes_the_same_course(pair: Callable[..., Pair]) -> None:
    """Losses of ten steps through hub.KerasLayer, without dropout."""
    hub = pytest.importorskip("tensorflow_hub")
    without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    both = pair("bert", saved=True, heads="none", **without)
    inputs = _tensors(batch_of(np.arange(8) < np.array([[3], [8], [5], [2]])))
    targets = tf.constant(np.random.default_rng(3).normal(size=[4, 16]), tf.float32)
    losses = {}
    for padding, path in both.paths.items():
        layer = hub.KerasLayer(str(path), trainable=True)
        losses[padding] = []
        for _ in range(20):
            with tf.GradientTape() as tape:
                pooled = layer(inputs, training=True)["pooled_output"]
                loss = tf.reduce_mean(tf.square(pooled - targets))
            gradients = tape.gradient(loss, layer.trainable_weights)
            for variable, gradient in zip(layer.trainable_weights, gradients, strict=True):
                if gradient is not None:
                    variable.assign_sub(0.05 * tf.convert_to_tensor(gradient))
            losses[padding].append(float(loss))
    assert losses["compute"][-1] < 0.9 * losses["compute"][0]
    np.testing.assert_allclose(losses["skip"], losses["compute"], rtol=0, atol=1e-6)


def test_replicas(pair: Callable[..., Pair]) -> None:
    both, batch = pair("bert"), batch_of(np.arange(6) < np.array([[3], [6]]))
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        root = tf.saved_model.load(str(both.paths["skip"]))
    outputs = strategy.run(tf.function(lambda inputs: root(inputs)), [_tensors(batch)])
    expected = both.outputs("compute", batch)
    actual = flatten(outputs)
    assert_equal(batch, actual, {name: expected[name] for name in actual})


def test_inside_another_model(pair: Callable[..., Pair], tmp_path: Path) -> None:
    both, batch = pair("bert"), batch_of(np.arange(6) < np.array([[3], [6]]))
    module = tf.Module()
    module.encoder = both.roots["skip"]
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in batch}
    module.run = tf.function(lambda inputs: module.encoder(inputs), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "outer"))
    outer = tf.saved_model.load(str(tmp_path / "outer"))
    actual = flatten(outer.run(_tensors(batch)))
    expected = both.outputs("compute", batch)
    assert_equal(batch, actual, {name: expected[name] for name in actual})


def test_narrow_dtypes(pair: Callable[..., Pair]) -> None:
    both = pair("bert", dtype="bfloat16")
    batch = batch_of(np.arange(8) < np.array([[3], [8], [5]]))
    actual, expected = both.outputs("skip", batch), both.outputs("compute", batch)
    is_token = batch["input_mask"] != 0
    for name, value in expected.items():
        found = actual[name]
        if along_sequence(name):
            assert not found[~is_token].any(), name
            value, found = value[is_token], found[is_token]
        np.testing.assert_allclose(found, value, rtol=0, atol=0.02 * np.abs(value).max())


def test_training_drops_as_much(pair: Callable[..., Pair]) -> None:
    """A third of the embeddings, counted at tokens, and nothing at padding but zeros."""
    both = pair("bert", heads="none", hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.0)
    mask = np.arange(12) < np.array([[12], [7]] * 8)
    batch = batch_of(mask)
    stds = {}
    for padding in both.roots:
        runs = [
            both.outputs(padding, batch, training=True)["encoder_outputs[0]"] for _ in range(30)
        ]
        assert not np.array_equal(runs[0], runs[1])
        stds[padding] = np.std(runs, axis=0)[mask].mean()
    assert stds["skip"] == pytest.approx(stds["compute"], rel=0.05)


def test_the_record_says_so(pair: Callable[..., Pair]) -> None:
    for padding, path in pair("bert").paths.items():
        record = hubexport.load_record(path)
        assert record["architecture"]["padding"] == padding
        assert f"--padding={padding}" in record["command"]


def test_another_word_is_refused(tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "model")
    with pytest.raises(UsageError, match="compute, skip"):
        hubexport.export_encoder(
            checkpoint=checkpoint, export_path=tmp_path / "out", padding="drop"
        )

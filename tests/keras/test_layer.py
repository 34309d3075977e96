"""`HubLayer` in models of Keras 3: trained, saved, exported, and beside hub.KerasLayer."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import hubexport.keras
from hubexport.errors import HubexportError
from hubexport.saved_model.reading import read_saved_model
from tests import forks, tiny
from tests.artifacts import export_encoder, export_preprocessor

keras = pytest.importorskip("keras", "3.4")
from hubexport.keras import HubLayer  # noqa: E402  where there is no Keras 3, an error

CONFIG = {**tiny.CONFIG, "num_hidden_layers": 1}
STILL = {**CONFIG, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
NAMES = ("input_word_ids", "input_mask", "input_type_ids")
TEXTS = ["cab fade", "a bad cab", "", "d"]
ROWS, LENGTH = 12, 7
WEIGHTS = len(tiny.tensor_shapes(CONFIG, heads=False))
CLOSE = 1e-6


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`encoder`, `still`, which has no dropout, and `preprocessor`."""
    directory = tmp_path_factory.mktemp("work")
    for name, config in (("encoder", CONFIG), ("still", STILL)):
        checkpoint = tiny.write_checkpoint(directory / f"{name}_checkpoint", config)
        export_encoder(checkpoint=checkpoint, export_path=directory / name)
    vocabulary = tiny.write_vocabulary(directory / "vocab.txt")
    export_preprocessor(
        vocab_file=vocabulary, do_lower_case=True, default_seq_length=LENGTH,
        export_path=directory / "preprocessor",
    )  # fmt: skip
    return directory


@pytest.fixture(autouse=True)
def plain_keras() -> Iterator[None]:
    """Names and seeds begin anew; what a test sets is taken back."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1)
    yield
    keras.config.set_dtype_policy("float32")


def inputs(rows: int = ROWS, **more: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Of an encoder: texts of different lengths, and two segments."""
    generator = np.random.default_rng(3)
    ids = generator.integers(5, 50, (rows, LENGTH))
    mask = np.arange(LENGTH) < generator.integers(2, LENGTH + 1, (rows, 1))
    types = (np.arange(LENGTH) > 3) & mask
    values = dict(zip(NAMES, (ids * mask, mask, types), strict=True))
    return {name: value.astype(np.int32) for name, value in {**values, **more}.items()}


X = inputs()
Y = (X["input_word_ids"][:, 0] % 2).astype(np.int32)


def symbolic(values: Mapping[str, np.ndarray[Any, Any]] = X) -> dict[str, Any]:
    """Keras' inputs of these ranks."""
    return {
        name: keras.Input([None] * (value.ndim - 1), dtype="int32", name=name)
        for name, value in values.items()
    }


def classifier(layer: Any, *, compiled: bool = True, **options: Any) -> Any:
    """A functional model of two classes on `pooled_output`."""
    tensors = symbolic()
    dense = keras.layers.Dense(2, kernel_initializer=keras.initializers.GlorotUniform(seed=5))
    model = keras.Model(tensors, dense(layer(tensors)["pooled_output"]))
    if compiled:
        compile_(model, **options)
    return model


def compile_(model: Any, optimizer: Any = None, **options: Any) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.Adam(1e-2), loss, **options)


def fit(model: Any, epochs: int = 3, x: Any = X) -> list[float]:
    """The losses of that many epochs, of one step each."""
    history = model.fit(x, Y, batch_size=ROWS, epochs=epochs, shuffle=False, verbose=0)
    return list(history.history["loss"])


def values(layer: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {weight.name: weight.numpy() for weight in layer.weights}


def moved(layer: Any, before: Mapping[str, np.ndarray[Any, Any]]) -> set[str]:
    """Names of the weights that are not what they were."""
    after = values(layer)
    return {name for name in before if not np.array_equal(before[name], after[name])}


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(HubexportError) as caught:
        call()
    return str(caught.value)


def same(one: Any, other: Any, limit: float = 0.0) -> None:
    """The same structure, and numbers that differ by no more than that."""
    tf.nest.assert_same_structure(one, other)
    for a, b in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=limit)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_fit_lowers_the_loss_and_moves_every_variable(work: Path, jit_compile: bool) -> None:
    # XLA takes long to compile random numbers.
    layer = HubLayer(work / ("still" if jit_compile else "encoder"))
    before = values(layer)
    losses = fit(classifier(layer, jit_compile=jit_compile), epochs=8)
    assert losses[-1] < losses[0] / 2
    assert len(before) == WEIGHTS
    assert moved(layer, before) == {*before}


def test_sizes_of_gradients_are_known_to_xla(work: Path) -> None:
    """Those of tables, which optimizers make dense: otherwise each step would be compiled anew."""
    layer = HubLayer(work / "still")
    variables = [weight.value for weight in layer.trainable_weights]
    given = {name: tf.constant(value) for name, value in X.items()}

    def tables() -> dict[str, Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(given, training=True)["sequence_output"])
        found = zip(variables, tape.gradient(loss, variables), strict=True)
        return {v.name: g for v, g in found if isinstance(g, tf.IndexedSlices)}

    traced: dict[str, Any] = {}
    step = tf.function(lambda: traced.update(tables()), autograph=False, jit_compile=True)
    step.get_concrete_function()
    assert len(traced) >= 2  # words and types
    for variable in variables:
        if variable.name in traced:
            size = tf.get_static_value(traced[variable.name].dense_shape)
            assert size is not None and list(size) == variable.shape.as_list()


def test_losses_are_those_of_tf_keras(work: Path) -> None:
    hub = pytest.importorskip("tensorflow_hub")
    tf_keras = pytest.importorskip("tf_keras")
    mine = classifier(HubLayer(work / "still"), compiled=False)
    # Their Adams differ where a row of a table has several gradients in a step: Keras 3 adds up
    # the squares, tf_keras squares the sum.
    compile_(mine, keras.optimizers.SGD(0.2, momentum=0.9))
    kernel, bias = mine.layers[-1].get_weights()
    tensors = {name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in NAMES}
    dense = tf_keras.layers.Dense(2)
    encoder = hub.KerasLayer(str(work / "still"), trainable=True)
    theirs = tf_keras.Model(tensors, dense(encoder(tensors)["pooled_output"]))
    dense.set_weights([kernel, bias])
    theirs.compile(
        tf_keras.optimizers.SGD(0.2, momentum=0.9),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    expected, found = fit(theirs, epochs=20), fit(mine, epochs=20)
    assert expected[-1] < expected[0] / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_trainable_is_switched_before_and_after_compile(work: Path) -> None:
    layer = HubLayer(work / "encoder", trainable=False)
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == WEIGHTS
    model = classifier(layer)
    before = values(layer)
    fit(model)
    assert moved(layer, before) == set()
    layer.trainable = True  # from here on in models that are compiled anew
    assert len(layer.trainable_weights) == WEIGHTS
    compile_(model)
    fit(model)
    assert moved(layer, before) == {*before}
    layer.trainable = False
    compile_(model)
    before = values(layer)
    fit(model)
    assert moved(layer, before) == set()
    compile_(model)
    layer.trainable = True  # after compile, and before the first step
    fit(model)
    assert moved(layer, before) == {*before}


def test_a_frozen_model_trains_again(work: Path) -> None:
    layer = HubLayer(work / "encoder")
    model = classifier(layer, compiled=False)
    model.trainable = False
    assert model.trainable_weights == []
    model.trainable = True
    assert len(model.trainable_weights) == WEIGHTS + 2


def test_dropout_is_active_in_training_alone(work: Path) -> None:
    layer = HubLayer(work / "encoder")
    root = tf.saved_model.load(str(work / "encoder"))
    expected = root(X)["sequence_output"]
    for options in ({}, {"training": False}, {"training": None}):
        same(layer(X, **options)["sequence_output"], expected)
    trained = [layer(X, training=True)["sequence_output"] for _ in range(2)]
    assert np.abs(trained[0] - trained[1]).max() > 0.01
    model = classifier(layer)
    same(model.predict(X, verbose=0), model.predict(X, verbose=0))
    assert np.abs(model(X, training=True) - model(X, training=True)).max() > 1e-4
    layer.trainable = False  # as hub.KerasLayer and batch normalization have it
    same(layer(X, training=True)["sequence_output"], expected)


@pytest.mark.parametrize(
    "part",
    [
        "mlm",
        pytest.param(None, marks=pytest.mark.exhaustive),
        pytest.param("nsp", marks=pytest.mark.exhaustive),
    ],
)
def test_outputs_are_those_of_the_saved_model(work: Path, part: str | None) -> None:
    x = inputs(masked_lm_positions=np.tile([1, 2], (ROWS, 1))) if part == "mlm" else X
    root = tf.saved_model.load(str(work / "encoder"))
    callee = getattr(root, part) if part else root
    expected = tf.nest.map_structure(lambda t: t.numpy(), dict(callee(x)))
    expected["encoder_outputs"] = list(expected["encoder_outputs"])
    layer = HubLayer(work / "encoder", part=part)
    assert type(layer(x)) is dict and type(layer(x)["encoder_outputs"]) is list
    same(layer(x), expected)
    tensors = symbolic(x)
    outputs = layer(tensors)
    assert outputs["sequence_output"].shape == (None, None, 16)
    assert len(outputs["encoder_outputs"]) == 1
    same(keras.Model(tensors, outputs).predict(x, verbose=0), expected, 1e-6)
    assert {w.name for w in layer.weights} == {
        v.name.split(":")[0].replace("/", ".") for v in callee.variables
    }


@pytest.mark.exhaustive
def test_a_head_trains_with_its_encoder(work: Path) -> None:
    layer = HubLayer(work / "encoder", part="nsp")
    before = values(layer)
    tensors = symbolic()
    model = keras.Model(tensors, layer(tensors)["nsp_logits"])
    compile_(model)
    losses = fit(model, epochs=8)
    assert losses[-1] < losses[0] / 2 and moved(layer, before) == {*before}


def test_numbers_are_cast_to_what_is_taken(work: Path) -> None:
    layer = HubLayer(work / "encoder")
    expected = layer(X)
    same(layer({name: value.astype(np.int64) for name, value in X.items()}), expected, 1e-6)
    mixed = {**X, "input_mask": X["input_mask"].astype(np.int64)}
    same(layer(mixed), expected)
    for dtype in (tf.uint8, tf.float32):
        same(layer({name: tf.constant(value, dtype) for name, value in X.items()}), expected)


class Subclassed(keras.Model):
    """A user's model, which is given names as well as numbers."""

    def __init__(self, handle: str, **options: Any):
        super().__init__(**options)
        self.handle = handle
        self.encoder = HubLayer(handle)
        self.dense = keras.layers.Dense(2)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        outputs = self.encoder(inputs, training=training)
        return self.dense(sum(outputs["encoder_outputs"])[:, 0])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "handle": self.handle}


@pytest.mark.exhaustive
def test_a_subclassed_model_trains_and_is_saved(work: Path, tmp_path: Path) -> None:
    model = Subclassed(str(work / "encoder"))
    compile_(model)
    before = values(model.encoder)
    losses = fit(model, epochs=6)
    assert losses[-1] < losses[0]
    unmoved = {*before} - moved(model.encoder, before)
    assert unmoved == {"pooler.dense.kernel", "pooler.dense.bias"}  # it is not asked for them
    model.save(tmp_path / "model.keras")
    objects = {"Subclassed": Subclassed}
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects=objects)
    same(again.predict(X, verbose=0), model.predict(X, verbose=0), CLOSE)


def test_weights_are_saved_and_loaded(work: Path, tmp_path: Path) -> None:
    model = classifier(HubLayer(work / "encoder"))
    fit(model)
    expected = model.predict(X, verbose=0)
    model.save_weights(tmp_path / "tuned.weights.h5")
    other = classifier(HubLayer(work / "encoder"))
    assert np.abs(other.predict(X, verbose=0) - expected).max() > 0.1
    other.load_weights(tmp_path / "tuned.weights.h5")
    same(other.predict(X, verbose=0), expected, CLOSE)
    h5py = pytest.importorskip("h5py")
    names: list[str] = []
    with h5py.File(tmp_path / "tuned.weights.h5") as file:
        file.visit(names.append)
    assert any(name.endswith("/encoder.layer_0.output.LayerNorm.gamma") for name in names)


def test_weights_of_another_saved_model_are_refused(work: Path, tmp_path: Path) -> None:
    model = classifier(HubLayer(work / "encoder"))
    model.save_weights(tmp_path / "tuned.weights.h5")
    small = {**CONFIG, "num_hidden_layers": 2, "vocab_size": 51}
    checkpoint = tiny.write_checkpoint(tmp_path / "checkpoint", small)
    export_encoder(checkpoint=checkpoint, export_path=tmp_path / "small")
    layer = HubLayer(tmp_path / "small")
    before = values(layer)
    with pytest.raises((HubexportError, ValueError)) as caught:
        classifier(layer).load_weights(tmp_path / "tuned.weights.h5")
    message = str(caught.value)
    assert "the weights are those of another SavedModel" in message
    assert "differences: 17" in message and "is not in the file" in message
    assert moved(layer, before) == set()


def test_a_saved_model_of_keras_is_loaded(work: Path, tmp_path: Path) -> None:
    layer = HubLayer(work / "encoder", trainable=False, part="nsp", name="next")
    tensors = symbolic()
    model = keras.Model(tensors, layer(tensors)["nsp_logits"])
    for weight in layer.weights:
        weight.assign(weight.numpy() + 0.01)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found = again.get_layer("next")
    assert type(found) is HubLayer
    assert (found.handle, found.part, found.trainable) == (layer.handle, "nsp", False)
    assert found.get_config() == layer.get_config()
    same(values(found), values(layer))
    same(again.predict(X, verbose=0), model.predict(X, verbose=0), CLOSE)
    json.dumps(layer.get_config())  # as Keras writes it


@pytest.mark.exhaustive
def test_training_goes_on_from_a_file(work: Path, tmp_path: Path) -> None:
    model = classifier(HubLayer(work / "still"))
    fit(model)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(fit(again), fit(model), rtol=0, atol=1e-5)  # Adam's slots, too


def test_a_file_needs_the_saved_model(work: Path, tmp_path: Path) -> None:
    model = classifier(HubLayer(work / "encoder"))
    model.save(tmp_path / "model.keras")
    config = model.layers[-2].get_config()
    message = refusal(lambda: HubLayer.from_config({**config, "handle": str(tmp_path / "gone")}))
    assert "there is no SavedModel at the handle" in message and str(tmp_path / "gone") in message
    assert "a .keras file needs the SavedModel where it was" in message


def test_nothing_is_downloaded_in_safe_mode(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = "https://example.org/encoder/1"
    asked: list[str] = []
    hub = pytest.importorskip("tensorflow_hub")
    monkeypatch.setattr(hub, "resolve", lambda h: asked.append(h) or str(work / "encoder"))
    layer = HubLayer(handle)
    assert asked == [handle] and len(layer.weights) == WEIGHTS
    config = keras.saving.serialize_keras_object(layer)
    with pytest.raises((HubexportError, TypeError)) as caught:
        keras.saving.deserialize_keras_object(config, safe_mode=True)
    assert "would download a SavedModel" in str(caught.value)
    assert handle in str(caught.value) and len(asked) == 1
    again = keras.saving.deserialize_keras_object(config, safe_mode=False)
    assert again.handle == handle and len(asked) == 2


def test_copies_are_made_from_the_handle(work: Path) -> None:
    model = classifier(HubLayer(work / "encoder", name="encoder"))
    copied = keras.models.clone_model(model)
    one, other = (each.get_layer("encoder") for each in (model, copied))
    assert one is not other and one.weights[0].value is not other.weights[0].value
    same(values(one), values(other))


USER = """
import sys
import numpy as np
import tensorflow as tf
import tensorflow_text

for name, texts in (("text", ["cab fade", "", "d"]), ("whole", ["a bad cab"])):
    loaded = tf.saved_model.load(f"{sys.argv[1]}/{name}")
    print(loaded.serve(tf.constant(texts)).numpy().round(4).tolist())
    served = loaded.signatures["serving_default"]
    (key,) = served.structured_input_signature[1]
    (value,) = served(**{key: tf.constant(texts)}).values()
    print(value.numpy().round(4).tolist())
assert "hubexport" not in sys.modules
"""


def test_an_exported_model_runs_elsewhere(work: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow_text")
    text = keras.Input((), dtype="string")
    preprocessor = HubLayer(work / "preprocessor")
    model = classifier(HubLayer(work / "encoder"))
    fit(model)
    whole = keras.Model(text, model(preprocessor(text)))
    ids = keras.Model(text, preprocessor(text)["input_word_ids"])
    expected = [ids(tf.constant(TEXTS[:1] + TEXTS[2:])), whole(tf.constant(TEXTS[1:2]))]
    ids.export(str(tmp_path / "text"))
    whole.export(str(tmp_path / "whole"))
    done = forks.run(USER, tmp_path, preload="import tensorflow")
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for one, each in zip(found, (expected[0], expected[0], expected[1], expected[1]), strict=True):
        np.testing.assert_allclose(one, each.numpy(), rtol=0, atol=1e-4)
    summary = read_saved_model(tmp_path / "whole")
    assert "encoder/layer_0/output/LayerNorm/gamma" in {v.name for v in summary.variables}


@pytest.mark.parametrize("where", ["model", "data"])
def test_text_is_taken(work: Path, where: str) -> None:
    pytest.importorskip("tensorflow_text")
    preprocessor = HubLayer(work / "preprocessor", trainable=False)
    assert preprocessor.weights == [] and not preprocessor.supports_jit
    encoder = HubLayer(work / "encoder")
    root = tf.saved_model.load(str(work / "preprocessor"))
    expected = encoder(root(tf.constant(TEXTS)))["default"]
    texts = tf.data.Dataset.from_tensor_slices(TEXTS).batch(3)
    if where == "model":
        text = keras.Input((), dtype="string")
        model = keras.Model(text, encoder(preprocessor(text))["default"])
        same(model.predict(tf.constant(TEXTS), verbose=0), expected, CLOSE)
        same(model(np.array(TEXTS)), expected, CLOSE)
    else:
        tensors = symbolic()
        model = keras.Model(tensors, encoder(tensors)["default"])
        texts = texts.map(preprocessor, tf.data.AUTOTUNE)
    same(model.predict(texts, verbose=0), expected, CLOSE)


def test_parts_of_a_preprocessor(work: Path) -> None:
    pytest.importorskip("tensorflow_text")
    root = tf.saved_model.load(str(work / "preprocessor"))
    tokenize = HubLayer(work / "preprocessor", part="tokenize")
    pack = HubLayer(work / "preprocessor", part="bert_pack_inputs", arguments={"seq_length": 9})
    texts = tf.constant(TEXTS)
    expected = root.bert_pack_inputs([root.tokenize(texts)] * 2, seq_length=9)

    def packed(texts: tf.Tensor) -> dict[str, tf.Tensor]:
        tokens = tokenize(texts)
        return pack([tokens, tokens])

    (found,) = tf.data.Dataset.from_tensors(texts).map(packed)
    same(found, dict(expected))
    assert pack.get_config()["arguments"] == {"seq_length": 9}


TWO_DEVICES = """
import json, sys
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from hubexport.keras import HubLayer
from tests.keras.test_layer import classifier, fit, values

def losses(strategy):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        layer = HubLayer(sys.argv[1])
        # Not Adam: of a row of a table, it adds up the squares of what each device has.
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model = classifier(layer, optimizer=optimizer, jit_compile=False)
    found = fit(model, epochs=6)
    model.save_weights(sys.argv[2])
    model.load_weights(sys.argv[2])
    return found + fit(model, 1), {k: v.tolist() for k, v in values(layer).items()}

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert mirrored.num_replicas_in_sync == 2
print(json.dumps([losses(each) for each in (tf.distribute.get_strategy(), mirrored)]))
"""


@pytest.mark.exhaustive
def test_two_devices_train_as_one(work: Path, tmp_path: Path) -> None:
    weights = tmp_path / "two.weights.h5"
    done = forks.run(TWO_DEVICES, work / "still", weights, preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr[-4000:]
    (one, values_of_one), (two, values_of_two) = json.loads(done.stdout.splitlines()[-1])
    assert one[-1] < one[0]
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-4)
    for name, value in values_of_one.items():
        np.testing.assert_allclose(values_of_two[name], value, rtol=0, atol=1e-2)


@pytest.mark.exhaustive
def test_a_policy_of_keras_has_no_effect_and_says_so(work: Path, tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    with pytest.warns(UserWarning, match="the policy mixed_bfloat16 has no effect") as caught:
        layer = HubLayer(work / "still")
    assert "hubexport encoder --dtype=bfloat16" in str(caught[0].message)
    assert (layer.compute_dtype, layer.variable_dtype) == ("float32", "float32")
    assert layer(X)["pooled_output"].dtype == tf.float32
    losses = fit(classifier(layer), epochs=8)
    assert losses[-1] < losses[0] / 2
    export_encoder(
        checkpoint=work / "still_checkpoint" / "bert_model.ckpt", dtype="bfloat16",
        export_path=tmp_path / "narrow",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HubLayer(tmp_path / "narrow")  # that is what it computes in


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16", "float16"])
def test_a_dtype_is_refused(work: Path, dtype: str) -> None:
    message = refusal(lambda: HubLayer(work / "encoder", dtype=dtype))
    assert "computes in the dtype that it was exported for" in message
    assert f"dtype: {dtype}" in message and "--dtype=bfloat16" in message
    assert HubLayer(work / "encoder", dtype="float32").dtype == "float32"


def test_weight_decay_leaves_out_what_is_named(work: Path) -> None:
    layer = HubLayer(work / "encoder", name="bert")
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["LayerNorm", "bias"])
    optimizer.build(layer.trainable_weights)
    decayed = [w.name for w in layer.trainable_weights if optimizer._use_weight_decay(w)]
    assert decayed[:2] == ["embeddings.word_embeddings", "embeddings.position_embeddings"]
    assert all(name.endswith(("kernel", "embeddings")) for name in decayed)
    assert len(decayed) == 3 + 6 + 1
    paths = [weight.path for weight in layer.weights]
    assert "bert/encoder.layer_0.attention.self.query.kernel" in paths


def test_other_weights_than_its_own_are_refused(work: Path) -> None:
    model = classifier(HubLayer(work / "encoder"))
    zeros = [tf.zeros_like(w.value) for w in model.trainable_variables]
    with pytest.raises(HubexportError, match="cannot be called with other weights"):
        model.stateless_call(zeros, [], X)


class Normalizer(tf.Module):
    """Not hubexport's: state that training changes, a loss of its own, no dict, one name twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = tf.Variable([2.0, 3.0], name="norm/scale")
        self.seen = tf.Variable([0.0, 0.0], trainable=False, name="seen")
        self.twin = tf.Variable(1.0, name="seen")
        self.variables_ = [self.scale, self.scale, self.seen, self.twin]

    def build(self, path: Path) -> None:
        call = tf.function(self.run)
        specs = [tf.TensorSpec([None, 2]), tf.TensorSpec([None, 2])]
        for training in (False, True):
            call.get_concrete_function(specs, training=training)
        saved = tf.train.Checkpoint()
        saved.__call__ = call
        saved.variables = self.variables_
        saved.trainable_variables = [self.scale, self.scale, self.twin]
        loss = tf.function(lambda: 0.5 * tf.reduce_sum(self.scale**2), input_signature=[])
        saved.regularization_losses = [loss]
        saved.loss = loss
        tf.saved_model.save(saved, str(path))

    def run(self, pair: Any, training: bool = False) -> tf.Tensor:
        if training:
            self.seen.assign_add(tf.reduce_sum(pair[0], axis=0))
        return self.scale * pair[0] + self.twin * pair[1]


@pytest.fixture
def normalizer(tmp_path: Path) -> Path:
    Normalizer().build(tmp_path / "normalizer")
    return tmp_path / "normalizer"


def test_any_reusable_saved_model(normalizer: Path, tmp_path: Path) -> None:
    layer = HubLayer(normalizer)
    assert len(layer.trainable_weights) == 2 and len(layer.non_trainable_weights) == 1
    names = [weight.name for weight in layer.weights]
    assert names == ["norm.scale", "seen", "seen_2"]
    pair = [np.ones([4, 2], np.float32), np.full([4, 2], 5.0)]  # float64
    same(layer(pair), np.tile([7.0, 8.0], (4, 1)))
    assert layer.weights[2].numpy().tolist() == [0, 0]
    tensors = [keras.Input([2]), keras.Input([2])]
    model = keras.Model(tensors, layer(tensors))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = values(layer)
    found = model.fit(pair, np.zeros([4, 2]), epochs=1, verbose=0).history["loss"][0]
    assert found == pytest.approx((7**2 + 8**2) / 2 + 0.5 * (4 + 9))  # and its own loss
    assert moved(layer, before) == {*names} and layer.weights[2].numpy().tolist() == [4, 4]
    layer.trainable = False
    model.compile("sgd", "mse")
    before = values(layer)
    found = model.fit(pair, np.zeros([4, 2]), epochs=1, verbose=0).history["loss"][0]
    assert moved(layer, before) == set()
    model.save_weights(tmp_path / "n.weights.h5")
    again = HubLayer(normalizer)
    other = keras.Model(tensors, again(tensors))
    other.load_weights(tmp_path / "n.weights.h5")
    same(values(again), values(layer))


def test_no_saved_model_there(tmp_path: Path) -> None:
    message = refusal(lambda: HubLayer(tmp_path))
    assert f"handle: {tmp_path}" in message and "no saved_model.pb in it" in message


def test_an_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("tensorflow_hub")

    def fail(handle: str) -> str:
        raise OSError(f"{handle} is not known")

    monkeypatch.setattr(hub, "resolve", fail)
    message = refusal(lambda: HubLayer("https://example.org/no/1"))
    assert "handle: https://example.org/no/1" in message and "is not known" in message


@pytest.mark.parametrize("part", ["classifier", "mlm.labels", "variables", "nsp.nothing.at.all"])
def test_no_such_part(work: Path, part: str) -> None:
    message = refusal(lambda: HubLayer(work / "encoder", part=part))
    assert f"part: {part}" in message and "can be called: mlm, nsp" in message


@pytest.mark.parametrize("how", ["eager", "symbolic", "in a model"])
def test_missing_and_unknown_inputs(work: Path, how: str) -> None:
    layer = HubLayer(work / "encoder", name="bert")
    x: dict[str, Any] = {"input_word_ids": X["input_word_ids"], "tokens": X["input_mask"]}
    if how == "symbolic":
        x = symbolic(x)
    call = Subclassed(str(work / "encoder")) if how == "in a model" else layer
    message = refusal(lambda: call(x))
    assert "called with other inputs than its SavedModel takes" in message
    assert "given: a dict of input_word_ids, tokens" in message
    assert "missing: input_mask, input_type_ids" in message and "not known: tokens" in message
    assert "taken: a dict of input_mask, input_type_ids, input_word_ids" in message


def test_one_tensor_for_a_dict(work: Path) -> None:
    message = refusal(lambda: HubLayer(work / "encoder")(X["input_mask"]))
    assert "given: one tensor" in message
    message = refusal(lambda: HubLayer(work / "encoder")([X["input_mask"]] * 3))
    assert "given: a list of 3" in message


@pytest.mark.parametrize(
    ("version", "backend", "said"),
    [
        ("2.15.0", "tensorflow", "installed: keras 2.15.0"),
        ("3.3.3", "tensorflow", "installed: keras 3.3.3"),
        ("3.10.0", "jax", "KERAS_BACKEND=tensorflow"),
    ],
)
def test_another_keras(
    version: str, backend: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other: Any = ModuleType("keras")
    other.__version__ = version
    other.config = ModuleType("config")
    other.config.backend = lambda: backend
    monkeypatch.setitem(sys.modules, "keras", other)
    assert said in refusal(lambda: hubexport.keras.HubLayer)


def test_keras_is_imported_with_the_layer() -> None:
    done = forks.run(
        "import hubexport, sys\n"
        "hubexport.keras\n"
        "assert not {'keras', 'tensorflow'} & {*sys.modules}\n"
        "assert hubexport.keras.HubLayer.__name__ == 'HubLayer'\n"
        "assert 'keras' in sys.modules and not hasattr(hubexport.keras, 'Layer')\n",
        preload="import numpy",
    )
    assert done.returncode == 0, done.stderr

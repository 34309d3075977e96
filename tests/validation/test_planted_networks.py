"""Networks and graphs that are wrong: each fault is found by the gates that should find it.

Faults are planted in the code that exports, or in the graph that was written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hubexport
from tests.validation.conftest import Trained
from tests.validation.faults import FAST, failing, failures, validated, with_graph

Patch = pytest.MonkeyPatch


def mask_ignored(patch: Patch) -> None:
    from hubexport.networks import transformer

    old = transformer.mask_bias
    patch.setattr(transformer, "mask_bias", lambda mask, shape: 0.0 * old(mask, shape))


def mask_inverted(patch: Patch) -> None:
    from hubexport.networks import transformer

    old = transformer.mask_bias
    patch.setattr(transformer, "mask_bias", lambda mask, shape: old(1 - mask, shape))


def scale_forgotten(patch: Patch) -> None:
    from hubexport.networks import attention

    patch.setattr(attention, "math", SimpleNamespace(sqrt=lambda size: 1.0))


def types_ignored(patch: Patch) -> None:
    from hubexport.networks.embeddings import BertEmbeddings

    old = BertEmbeddings.types
    patch.setattr(BertEmbeddings, "types", lambda self, type_ids: old(self, 0 * type_ids))


def positions_clamped(patch: Patch) -> None:
    """Sequences that are too long give something, instead of an error."""
    import tensorflow as tf

    from hubexport.networks import embeddings

    def slice_(table: Any, begin: Any, size: Any) -> Any:
        return tf.gather(table, tf.minimum(tf.range(size[0]), table.shape[0] - 1))

    patch.setattr(embeddings, "tf", _with(tf, slice=slice_))


def pooled_without_tanh(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks import pooling

    patch.setattr(pooling, "tf", _with(tf, tanh=lambda x: x))


def pooled_from_the_last_token(patch: Patch) -> None:
    from hubexport.networks.pooling import FirstTokenDense

    old = FirstTokenDense.__call__
    patch.setattr(
        FirstTokenDense, "__call__", lambda self, sequence, mask: old(self, sequence[:, ::-1], mask)
    )


def predictions_off_by_one(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks.heads import MaskedLanguageModel

    old = MaskedLanguageModel.__call__

    def call(self: Any, inputs: Any, outputs: Any) -> Any:
        shifted = {"sequence_output": tf.roll(outputs["sequence_output"], 1, axis=1)}
        return old(self, inputs, {**outputs, **shifted})

    patch.setattr(MaskedLanguageModel, "__call__", call)


def dropout_missing(patch: Patch) -> None:
    from hubexport.networks import attention, embeddings, transformer

    for module in (attention, embeddings, transformer):
        patch.setattr(module, "dropout", lambda x, rate, training: x)


def dropout_always(patch: Patch) -> None:
    from hubexport.networks import embeddings

    old = embeddings.dropout
    patch.setattr(embeddings, "dropout", lambda x, rate, training: old(x, rate, True))


def rows_depend_on_each_other(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks.embeddings import BertEmbeddings

    old = BertEmbeddings.__call__

    def call(self: Any, inputs: Any, training: bool) -> Any:
        x = old(self, inputs, training)
        return x - 0.01 * tf.reduce_mean(x, axis=0, keepdims=True)

    patch.setattr(BertEmbeddings, "__call__", call)


def gradient_stopped(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.networks.feed_forward import FeedForward

    old = FeedForward.hidden
    patch.setattr(FeedForward, "hidden", lambda self, x: tf.stop_gradient(old(self, x)))


def outputs(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Patch], None]:
    """A fault in what the root gives."""

    def plant(patch: Patch) -> None:
        import tensorflow as tf

        from hubexport.saved_model import reusable

        def function(encode: Any, **options: Any) -> Any:
            if encode.__name__ != "encode":
                return tf.function(encode, **options)

            def encode_wrongly(inputs: Any, training: bool = False) -> Any:
                return change(encode(inputs, training))

            return tf.function(encode_wrongly, **options)

        patch.setattr(reusable, "tf", _with(tf, function=function))

    return plant


def _float16(given: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    return {**given, "pooled_output": tf.cast(given["pooled_output"], tf.float16)}


def _with_assert(given: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    finite = tf.reduce_all(tf.math.is_finite(given["sequence_output"]))
    with tf.control_dependencies([tf.debugging.Assert(finite, ["not finite"])]):
        return {**given, "pooled_output": tf.identity(given["pooled_output"])}


def _through_python(given: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    pooled = given["pooled_output"]
    same = tf.numpy_function(lambda x: x, [pooled], pooled.dtype)
    return {**given, "pooled_output": tf.ensure_shape(same, pooled.shape)}


def assert_allowed(patch: Patch) -> None:
    from hubexport.saved_model import finish

    patch.setattr(finish, "_refuse_asserts", lambda graph: None)
    outputs(_with_assert)(patch)


def variable_is_not_trainable(patch: Patch) -> None:
    from hubexport.saved_model import reusable

    old = reusable._sub_object

    def sub_object(*arguments: Any) -> Any:
        saved = old(*arguments)
        saved.trainable_variables = list(saved.variables)[1:]
        return saved

    patch.setattr(reusable, "_sub_object", sub_object)


def fixed_batch(patch: Patch) -> None:
    import tensorflow as tf

    from hubexport.saved_model import reusable

    patch.setattr(
        reusable,
        "_specs",
        lambda inputs, dtype=tf.int32: {n: tf.TensorSpec([1, None], dtype, name=n) for n in inputs},
    )


def no_signature(patch: Patch) -> None:
    from hubexport.exporting import network

    old = network.reusable_encoder
    patch.setattr(network, "reusable_encoder", lambda *arguments: (old(*arguments)[0], {}))


def losses_missing(patch: Patch) -> None:
    from hubexport.saved_model import reusable

    old = reusable._sub_object

    def sub_object(*arguments: Any) -> Any:
        saved = old(*arguments)
        del saved.regularization_losses
        return saved

    patch.setattr(reusable, "_sub_object", sub_object)


PLANTED: dict[str, tuple[Callable[[Patch], None], set[str], str]] = {
    "mask ignored": (mask_ignored, {"numerics", "batch", "interface"}, "padding"),
    "mask inverted": (mask_inverted, {"numerics", "batch"}, "encoder_outputs[0]"),
    "scale of scores forgotten": (scale_forgotten, {"numerics"}, "scale of the scores"),
    "token types ignored": (types_ignored, {"numerics", "interface"}, "second segment"),
    "positions clamped": (positions_clamped, {"interface"}, "a sequence of 41 tokens is refused"),
    "pooled without tanh": (pooled_without_tanh, {"numerics"}, "tanh missing"),
    "pooled from the last token": (
        pooled_from_the_last_token, {"numerics", "batch"}, "All layers agree"
    ),
    "predictions off by one": (
        predictions_off_by_one, {"numerics", "batch"}, "positions off by one"
    ),
    "dropout always": (
        dropout_always, {"determinism", "numerics", "batch", "interface"}, "repeats"
    ),
    "rows depend on each other": (rows_depend_on_each_other, {"numerics", "batch"}, "batch 1"),
    "default is another": (
        outputs(lambda given: {**given, "default": given["sequence_output"][:, 0]}),
        {"interface", "numerics"},
        "default is pooled_output",
    ),
    "default missing": (
        outputs(lambda given: {k: v for k, v in given.items() if k != "default"}),
        {"interface", "numerics"},
        "default",
    ),
    "a layer missing": (
        outputs(lambda given: {**given, "encoder_outputs": given["encoder_outputs"][1:]}),
        {"interface", "numerics"},
        "number of encoder_outputs",
    ),
    "layers in another order": (
        outputs(lambda given: {**given, "encoder_outputs": given["encoder_outputs"][::-1]}),
        {"interface", "numerics"},
        "the last layer is sequence_output",
    ),
    "an output of float16": (outputs(_float16), {"interface", "numerics"}, "pooled_output: dtype"),
    "a variable that is not trainable": (
        variable_is_not_trainable, {"interface"}, "all variables are trainable"
    ),
    "batches of one only": (
        fixed_batch, {"interface", "numerics", "batch", "determinism"}, "ragged"
    ),
    "no signature": (no_signature, {"interface"}, "signature serving_default"),
    "no regularization_losses": (losses_missing, {"interface"}, "regularization_losses"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PLANTED)
def test_faults_of_the_network(
    fault: str, trained: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    plant, expected, said = PLANTED[fault]
    artifact = _exported(plant, trained, tmp_path, monkeypatch)
    report = validated(artifact, trained.reference)
    assert failing(report) == expected
    assert any(said in failures(report, gate) for gate in expected)


@pytest.mark.parametrize("plant, said", [
    (dropout_missing, "of two passes with training=True differ"),
    (gradient_stopped, "gradients that are None"),
], ids=["dropout missing", "gradient stopped"])  # fmt: skip
def test_faults_of_training(
    plant: Callable[[Patch], None], said: str, trained: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    artifact = _exported(plant, trained, tmp_path, monkeypatch)
    report = validated(artifact, trained.reference, [*FAST, "training"])
    assert failing(report) == {"training"}
    assert said in failures(report, "training")


@pytest.mark.parametrize("plant, said", [
    (assert_allowed, "Assert nodes"),
    (outputs(_through_python), "ops that call Python"),
], ids=["an Assert", "a Python function"])  # fmt: skip
def test_faults_of_the_graph(
    plant: Callable[[Patch], None], said: str, trained: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    artifact = _exported(plant, trained, tmp_path, monkeypatch)
    report = validated(artifact, trained.reference, [*FAST, "portability"])
    # A Python function may be gone by now, and then nothing runs.
    assert "portability" in failing(report)
    assert said in failures(report, "portability")


def test_a_device_in_the_graph(trained: Trained, tmp_path: Path) -> None:
    def pin(message: Any) -> None:
        functions = message.meta_graphs[0].graph_def.library.function
        node = next(n for f in functions for n in f.node_def if n.op == "MatMul")
        node.device = "/device:GPU:0"

    artifact = with_graph(trained.encoder, tmp_path / "encoder", pin)
    report = validated(artifact, trained.reference, ["integrity", "numerics", "portability"])
    assert failing(report) == {"portability"}
    assert "pinned" in failures(report, "portability")


def test_a_graph_that_the_record_does_not_tell_of(trained: Trained, tmp_path: Path) -> None:
    artifact = with_graph(trained.encoder, tmp_path / "encoder", lambda message: None)
    path = artifact / "saved_model.pb"
    path.write_bytes(path.read_bytes() + b"\x12\x00")  # one more, empty graph
    report = validated(artifact, trained.reference, ["integrity"])
    assert failing(report) == {"integrity"}
    assert "is the one of the record" in failures(report, "integrity")


@pytest.mark.parametrize("flags", [
    {"hidden_act": "gelu_tanh"}, {"layer_norm_eps": 1e-5}, {"hidden_act": "relu"},
], ids=str)  # fmt: skip
def test_other_formulas(flags: dict[str, Any], trained: Trained, tmp_path: Path) -> None:
    """Another GELU and another epsilon, small as the difference is."""
    hubexport.export_encoder(
        checkpoint=trained.checkpoint, export_path=tmp_path / "encoder", **flags
    )
    report = validated(tmp_path / "encoder", trained.reference)
    assert failing(report) == {"numerics"}
    cause = failures(report, "numerics")
    assert "encoder_outputs[0]" in cause
    assert ("formula" in cause) == ("relu" not in flags.values())


def _exported(
    plant: Callable[[Patch], None], trained: Trained, work: Path, monkeypatch: Patch
) -> Path:
    with monkeypatch.context() as patch:
        plant(patch)
        hubexport.export_encoder(checkpoint=trained.checkpoint, export_path=work / "encoder")
    return work / "encoder"


class _Module:
    """A module some of whose names mean something else."""

    def __init__(self, module: Any, others: dict[str, Any]):
        self._module, self._others = module, others

    def __getattr__(self, name: str) -> Any:
        return self._others[name] if name in self._others else getattr(self._module, name)


def _with(module: Any, **others: Any) -> Any:
    return _Module(module, others)

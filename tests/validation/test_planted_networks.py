"""Networks and graphs that are wrong: each fault is found by the gates that should find it.

Faults are planted in the code that exports, or in the graph that was written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hubexport
from hubexport.validation.gates import numerics
from hubexport.validation.gates.portability import graph_measurements
from tests.validation.conftest import Trained
from tests.validation.faults import failing, failures, judged, validated, with_graph
from tests.validation.gates.contexts import context, unsaved
from tests.validation.made import Patch, faulty


def mask_ignored(patch: Patch) -> None:
    from hubexport.networks import transformer

    old = transformer.mask_bias
    patch.setattr(transformer, "mask_bias", lambda mask: 0.0 * old(mask))


def mask_inverted(patch: Patch) -> None:
    from hubexport.networks import transformer

    old = transformer.mask_bias
    patch.setattr(transformer, "mask_bias", lambda mask: old(1 - mask))


def scale_forgotten(patch: Patch) -> None:
    from hubexport.networks import attention

    patch.setattr(attention, "math", SimpleNamespace(sqrt=lambda size: 1.0))


def types_ignored(patch: Patch) -> None:
    from hubexport.networks.embeddings import BertEmbeddings

    old = BertEmbeddings.types
    patch.setattr(BertEmbeddings, "types", lambda self, ids, state: old(self, 0 * ids, state))


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
    from hubexport.networks.pooling import TokenDense

    old = TokenDense.__call__
    patch.setattr(
        TokenDense, "__call__", lambda self, sequence, mask: old(self, sequence[:, ::-1], mask)
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

    def call(self: Any, inputs: Any, state: Any, training: bool) -> Any:
        x = old(self, inputs, state, training)
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


@dataclasses.dataclass(frozen=True)
class Fault:
    """One or several that are told apart by what is said of them.

    Attributes:
      plant: into the code that exports.
      failing: the gates that fail, of `FAST`.
      said: by any of them; each of these.
      of: the fixture with the checkpoint.
    """

    plant: tuple[Callable[[Patch], None], ...]
    failing: set[str]
    said: tuple[str, ...]
    of: str = "plain"


PLANTED: dict[str, Fault] = {
    "mask ignored": Fault((mask_ignored,), {"numerics", "batch", "interface"}, ("padding",)),
    "mask inverted": Fault((mask_inverted,), {"numerics", "batch"}, ("encoder_outputs[0]",)),
    "scale of scores forgotten": Fault((scale_forgotten,), {"numerics"}, ("scale of the scores",)),
    "token types ignored": Fault((types_ignored,), {"numerics", "interface"}, ("second segment",)),
    "pooled without tanh": Fault((pooled_without_tanh,), {"numerics"}, ("tanh missing",)),
    "pooled from the last token": Fault(
        (pooled_from_the_last_token,), {"numerics", "batch"}, ("All layers agree",)
    ),
    "predictions off by one": Fault(
        (predictions_off_by_one,), {"numerics", "batch"}, ("positions off by one",), "trained"
    ),
    "dropout always": Fault(
        (dropout_always,), {"determinism", "numerics", "batch", "interface"}, ("repeats",)
    ),
    "rows depend on each other": Fault(
        (rows_depend_on_each_other,), {"numerics", "batch"}, ("batch 1",)
    ),
    "default is another, layers in another order": Fault(
        (
            outputs(
                lambda given: {
                    **given,
                    "default": given["sequence_output"][:, 0],
                    "encoder_outputs": given["encoder_outputs"][::-1],
                }
            ),
        ),
        {"interface", "numerics"},
        ("default is pooled_output", "the last layer is sequence_output"),
    ),
    "default and a layer missing, an output of float16": Fault(
        (
            outputs(
                lambda given: _float16(
                    {
                        "sequence_output": given["sequence_output"],
                        "pooled_output": given["pooled_output"],
                        "encoder_outputs": given["encoder_outputs"][1:],
                    }
                )
            ),
        ),
        {"interface", "numerics"},
        (": outputs", "number of encoder_outputs", "pooled_output: dtype"),
    ),
    "batches of one only": Fault(
        (fixed_batch,), {"interface", "numerics", "batch", "determinism"}, ("ragged",)
    ),
    "of the interface": Fault(
        (positions_clamped, variable_is_not_trainable, no_signature, losses_missing),
        {"interface"},
        (
            "a sequence of 13 tokens is refused",
            "all variables are trainable",
            "signature serving_default",
            "regularization_losses",
        ),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_faults_of_the_network(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Patch
) -> None:
    fault = PLANTED[name]
    of = request.getfixturevalue(fault.of)
    if "interface" in fault.failing:
        report = validated(_exported(fault.plant, of, tmp_path, monkeypatch), of.reference)
    else:
        report = faulty(of, ("numerics", "batch", "determinism"), monkeypatch, *fault.plant)
    assert failing(report) == fault.failing
    found = "\n".join(failures(report, gate) for gate in fault.failing)
    assert [said for said in fault.said if said not in found] == []


@pytest.mark.parametrize(("plant", "said"), [
    (dropout_missing, "of two passes with training=True differ"),
    (gradient_stopped, "gradients that are None"),
], ids=["dropout missing", "gradient stopped"])  # fmt: skip
def test_faults_of_training(
    plant: Callable[[Patch], None], said: str, plain: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    artifact = _exported((plant,), plain, tmp_path, monkeypatch)
    report = validated(artifact, plain.reference, ["numerics", "training"])
    assert failing(report) == {"training"}
    assert said in failures(report, "training")


GRAPHS = {
    "an Assert": (assert_allowed, "Assert nodes"),
    "a Python function": (outputs(_through_python), "ops that call Python"),
}


@pytest.mark.parametrize("fault", GRAPHS)
def test_faults_of_the_graph(
    fault: str, plain: Trained, tmp_path: Path, monkeypatch: Patch
) -> None:
    plant, said = GRAPHS[fault]
    artifact = _exported((plant,), plain, tmp_path, monkeypatch)
    wrong = [each.what for each in graph_measurements(context(artifact)) if not each.passed]
    assert wrong == [said]


def pinned(message: Any) -> None:
    """One node only runs on a GPU."""
    functions = message.meta_graphs[0].graph_def.library.function
    node = next(n for f in functions for n in f.node_def if n.op == "MatMul")
    node.device = "/device:GPU:0"


def test_a_device_in_the_graph(plain: Trained, tmp_path: Path) -> None:
    artifact = with_graph(plain.encoder, tmp_path / "encoder", pinned)
    report = validated(artifact, plain.reference, ["integrity", "numerics"])
    assert not failing(report)
    wrong = [each for each in graph_measurements(context(artifact)) if not each.passed]
    assert [each.what for each in wrong] == ["devices that nodes are pinned to"]


@pytest.mark.exhaustive
def test_portability_fails_of_a_graph_alone(plain: Trained, tmp_path: Path) -> None:
    artifact = with_graph(plain.encoder, tmp_path / "encoder", pinned)
    report = validated(artifact, plain.reference, ["portability"])
    assert failing(report) == {"portability"}
    assert "pinned" in failures(report, "portability")


def test_a_graph_that_the_record_does_not_tell_of(plain: Trained, tmp_path: Path) -> None:
    artifact = with_graph(plain.encoder, tmp_path / "encoder", lambda message: None)
    path = artifact / "saved_model.pb"
    path.write_bytes(path.read_bytes() + b"\x12\x00")  # one more, empty graph
    report = validated(artifact, plain.reference, ["integrity"])
    assert failing(report) == {"integrity"}
    assert "is the one of the record" in failures(report, "integrity")


@pytest.mark.parametrize("flags", [
    {"hidden_act": "gelu_tanh"}, {"layer_norm_eps": 1e-5}, {"hidden_act": "relu"},
], ids=str)  # fmt: skip
def test_other_formulas(flags: dict[str, Any], plain: Trained, monkeypatch: Patch) -> None:
    """Another GELU and another epsilon, small as the difference is."""
    report = faulty(plain, ("numerics", "batch"), monkeypatch, **flags)
    assert failing(report) == {"numerics"}
    cause = failures(report, "numerics")
    assert "encoder_outputs[0]" in cause
    assert ("formula" in cause) == ("relu" not in flags.values())


def positions_of_the_rest(patch: Patch) -> None:
    """Tokens are numbered as if masked ones had not been there."""
    import tensorflow as tf

    from hubexport.networks.padding import TokensOnly

    def state(self: TokensOnly, inputs: Any, *, portable: bool) -> Any:
        made = old(self, inputs, portable=portable)
        mask = inputs["input_mask"]
        numbers = tf.transpose(tf.cumsum(mask, axis=1) - 1)  # [S, B]
        return {**made, "positions": tf.gather(tf.reshape(numbers, [-1]), made["tokens"])}

    old = TokensOnly.state
    patch.setattr(TokensOnly, "state", state)


def padding_is_another_token(patch: Patch) -> None:
    """At padding is not 0 but the vector of the token before."""
    import tensorflow as tf

    from hubexport.networks.padding import TokensOnly

    old = TokensOnly.sequence
    patch.setattr(
        TokensOnly,
        "sequence",
        lambda self, rows, state: old(
            self, rows, {**state, "places": tf.maximum(state["places"], 1)}
        ),
    )


def rows_of_the_next(patch: Patch) -> None:
    """Attention's results go to the row behind."""
    import tensorflow as tf

    from hubexport.networks.padding import TokensOnly

    old = TokensOnly.join
    patch.setattr(
        TokensOnly,
        "join",
        lambda self, context, state, like: tf.roll(old(self, context, state, like), 1, axis=0),
    )


SKIPPING: dict[str, Callable[[Patch], None]] = {
    "holes are not counted": positions_of_the_rest,
    "padding is another token": padding_is_another_token,
    "rows of the next": rows_of_the_next,
}


@pytest.mark.parametrize("name", SKIPPING)
def test_faults_of_skipping_padding(name: str, plain: Trained, monkeypatch: Patch) -> None:
    report = faulty(plain, {"numerics"}, monkeypatch, SKIPPING[name], padding="skip")
    assert failing(report) == {"numerics"}
    assert "ragged" in failures(report, "numerics")


@pytest.mark.parametrize(("is_", "said"), [("skip", "compute"), ("compute", "skip")])
def test_the_record_says_what_padding_is_not(is_: str, said: str, plain: Trained) -> None:
    given = unsaved(plain.checkpoint, plain.reference, padding=is_)
    assert not failing(judged(given, numerics))
    record = given.record
    given.record = {**record, "architecture": {**record["architecture"], "padding": said}}
    report = judged(given, numerics)
    assert failing(report) == {"numerics"}
    assert "padding only" in failures(report, "numerics")


def _exported(
    plants: Iterable[Callable[[Patch], None]],
    of: Trained,
    work: Path,
    monkeypatch: Patch,
    **flags: str,
) -> Path:
    with monkeypatch.context() as patch:
        for plant in plants:
            plant(patch)
        hubexport.export_encoder(checkpoint=of.checkpoint, export_path=work / "encoder", **flags)
    return work / "encoder"


class _Module:
    """A module some of whose names mean something else."""

    def __init__(self, module: Any, others: dict[str, Any]):
        self._module, self._others = module, others

    def __getattr__(self, name: str) -> Any:
        return self._others[name] if name in self._others else getattr(self._module, name)


def _with(module: Any, **others: Any) -> Any:
    return _Module(module, others)

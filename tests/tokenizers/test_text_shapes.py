"""The shapes that text may have, and those that the graph of a user's program knows of the results:
of artifacts as they are loaded, one whose tokens are in words and one where they are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")
hub = pytest.importorskip("tensorflow_hub")
pytest.importorskip("tensorflow_text")
import tf_keras  # noqa: E402

import hubexport  # noqa: E402
from tests import tiny  # noqa: E402
from tests.cards.rendering.exported import MAKERS  # noqa: E402

LENGTH = 128  # the default
KINDS = {
    "wordpiece": "wordpiece bert",
    "byte_level_bpe": "byte_level_bpe gpt2",
    "bpe": "bpe openai-gpt",
    "xlm": "xlm xlm",
    "transformer_xl": "transformer_xl transfo-xl",
    "sentencepiece": "sentencepiece xlnet",
}
WORDS = ("wordpiece", "bpe", "tfhub")
"""The kinds whose tokens are [batch, (words), (pieces)]."""
TEXTS = [
    "Who wrote it?", "", "Nobody knows who did.", "a", "A sentence.", "[MASK]", "And one more",
]  # fmt: skip


@pytest.fixture(
    scope="module",
    params=[
        "wordpiece",
        *(
            pytest.param(kind, marks=pytest.mark.exhaustive)
            for kind in ("sentencepiece", "byte_level_bpe", "bpe", "xlm", "transformer_xl", "tfhub")
        ),
    ],
)
def preprocessor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    work = tmp_path_factory.mktemp("shapes")
    path = work / "artifact"
    if request.param == "tfhub":
        hubexport.export_preprocessor(
            export_path=path,
            vocab_file=tiny.write_vocabulary(work / "vocab.txt"),
            do_lower_case=True,
            normalization="tfhub",
        )
    else:
        kind = f"{KINDS[request.param]} "
        next(make for name, make in MAKERS.items() if name.startswith(kind))(work, path)
    loaded = tf.saved_model.load(str(path))
    loaded.rank = 3 if request.param in WORDS else 2
    return loaded


def known(function: Callable[..., Any], *shape: int | None) -> Any:
    """The shapes that a graph knows of what a function gives for text of that shape."""
    traced = tf.function(function, autograph=False)
    outputs = traced.get_concrete_function(tf.TensorSpec(shape, tf.string)).structured_outputs
    if isinstance(outputs, dict):
        return [tensor.shape.as_list() for tensor in outputs.values()]
    return outputs.shape.as_list()


def ids(packed: dict[str, Any]) -> list[list[int]]:
    return packed["input_word_ids"].numpy().tolist()


def in_order(outputs: dict[str, Any]) -> list[Any]:
    return [outputs[name].numpy().tolist() for name in sorted(outputs)]


@pytest.mark.parametrize("batch", [7, None])
def test_shapes_that_are_known(preprocessor: Any, batch: int | None) -> None:
    tokenize, pack = preprocessor.tokenize, preprocessor.bert_pack_inputs
    free = [None] * (preprocessor.rank - 1)
    assert known(preprocessor, batch) == [[batch, LENGTH]] * 3
    assert known(tokenize, batch) == [batch, *free]
    assert known(lambda text: pack([tokenize(text)]), batch) == [[batch, LENGTH]] * 3
    for segments in (1, 2):
        assert (
            known(lambda text, n=segments: pack([tokenize(text)] * n, seq_length=64), batch)
            == [[batch, 64]] * 3
        )
    if hasattr(preprocessor, "tokenize_with_offsets"):
        for part in range(3):
            found = known(lambda text, i=part: preprocessor.tokenize_with_offsets(text)[i], batch)
            assert found == [batch, *free]


def test_batches_of_a_dataset(preprocessor: Any) -> None:
    texts = tf.data.Dataset.from_tensor_slices(TEXTS * 3)
    batches = texts.batch(8, drop_remainder=True).map(preprocessor)
    assert [spec.shape.as_list() for spec in batches.element_spec.values()] == [[8, LENGTH]] * 3
    first = tf.constant([*TEXTS, TEXTS[0]])
    assert ids(next(iter(batches))) == ids(preprocessor(first))


def test_one_text_and_a_column_of_texts(preprocessor: Any) -> None:
    expected = ids(preprocessor(tf.constant(TEXTS)))
    column = tf.constant(TEXTS)[:, tf.newaxis]
    tokens = preprocessor.tokenize(tf.constant(TEXTS)).to_list()
    unknown_rank = tf.function(
        lambda text: preprocessor(text), [tf.TensorSpec(None, tf.string)], autograph=False
    )
    serve = preprocessor.signatures["serving_default"]
    for call in (preprocessor, unknown_rank, lambda text: serve(text=text)):
        assert ids(call(tf.constant(TEXTS))) == expected
        assert ids(call(column)) == expected
        for text, row in zip(TEXTS[:3], expected, strict=False):
            assert ids(call(tf.constant(text))) == [row]
    assert preprocessor.tokenize(column).to_list() == tokens
    assert preprocessor.tokenize(tf.constant(TEXTS[0])).to_list() == tokens[:1]
    assert known(preprocessor) == [[1, LENGTH]] * 3
    assert known(preprocessor, 7, 1) == [[7, LENGTH]] * 3


def test_texts_in_several_columns_are_an_error(preprocessor: Any) -> None:
    table = tf.constant([["one", "two"], ["three", "four"]])
    # Whether a loaded function refuses them or runs depends on what it was called with before.
    no_trace, no_reshape = r"shape=\(2, 2\)", "Input to reshape is a tensor with 4 values"
    with pytest.raises(
        (TypeError, ValueError, tf.errors.InvalidArgumentError), match=f"{no_trace}|{no_reshape}"
    ):
        preprocessor(table)
    with pytest.raises(tf.errors.InvalidArgumentError, match=no_reshape):
        preprocessor.signatures["serving_default"](text=table)


def test_users_model_is_served_single_texts(preprocessor: Any, tmp_path: Path) -> None:
    """A model of two texts is saved, and its signature called with scalars."""
    names = ("sentence1", "sentence2")
    inputs = [tf_keras.Input(shape=(), dtype=tf.string, name=name) for name in names]
    tokenize = hub.KerasLayer(preprocessor.tokenize)
    pack = hub.KerasLayer(preprocessor.bert_pack_inputs, arguments={"seq_length": 16})
    model = tf_keras.Model(inputs, pack([tokenize(text) for text in inputs]))
    model.save(str(tmp_path / "model"), include_optimizer=False)
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    rows = tf.data.Dataset.from_tensor_slices(dict.fromkeys(names, TEXTS))
    together = in_order(model([tf.constant(TEXTS)] * 2))
    alone = [in_order(serve(**row)) for row in rows]  # Keras names its outputs, in the same order
    assert [[row[0] for row in parts] for parts in zip(*alone, strict=True)] == together

    column = tf_keras.Input(shape=(1,), dtype=tf.string)
    layer = hub.KerasLayer(preprocessor)
    outputs = tf_keras.Model(column, layer(column))(tf.constant(TEXTS)[:, tf.newaxis])
    assert ids(outputs) == ids(preprocessor(tf.constant(TEXTS)))
    fixed = tf_keras.Input(shape=(), dtype=tf.string, batch_size=4)
    assert [output.shape.as_list() for output in layer(fixed).values()] == [[4, LENGTH]] * 3

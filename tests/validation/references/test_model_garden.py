"""References by Model Garden are its models' own outputs, of checkpoints restored completely."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import (
    CheckpointError,
    ConfigurationError,
    HubexportError,
    TensorMismatchError,
)
from hubexport.validation.references.job import make_reference
from tests import tiny
from tests.material import material
from tests.validation.references.expected import RANDOM_CASES, assert_outputs

pytestmark = [
    pytest.mark.filterwarnings("ignore:Input dict contained keys"),
    pytest.mark.filterwarnings("ignore:The initializer TruncatedNormal is unseeded"),
]


@pytest.fixture(scope="module")
def garden() -> Any:
    """`tests.oracles.model_garden`, imported when needed."""
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    from tests.oracles import model_garden

    return model_garden


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`make_reference` into `tmp_path / "reference"`."""

    def call(checkpoint: Path | str, **arguments: Any) -> dict[str, Any]:
        return make_reference(
            source="model_garden",
            checkpoint=checkpoint,
            output=tmp_path / "reference",
            **arguments,
        )

    return call


@pytest.fixture
def refused(tmp_path: Path, make: Any) -> Callable[..., str]:
    """Expects an error and no file; gives the message."""

    def call(error: type[HubexportError], checkpoint: Path | str, **arguments: Any) -> str:
        with pytest.raises(error) as caught:
            make(checkpoint, **arguments)
        assert not (tmp_path / "reference").exists()
        return str(caught.value)

    return call


def save(directory: Path, writer: str = "save", **items: Any) -> str:
    import tensorflow as tf

    return getattr(tf.train.Checkpoint(**items), writer)(str(directory / "ckpt"))


def build(garden: Any, encoder: str, *, next_sentence: bool = False, **sizes: Any) -> Any:
    """Sizes and a `BertPretrainerV2` of random weights."""
    chosen = garden.Sizes(**sizes)
    return chosen, garden.trained(chosen, encoder, next_sentence=next_sentence)


def expected(garden: Any, model: Any, *heads: str) -> Callable[..., dict[str, Any]]:
    """The model's outputs: of the heads "mlm", "nsp" and the head's pooler "pooled" those named."""

    def outputs(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        found = garden.expected_outputs(model, inputs)
        left_out = {"mlm_logits", "nsp_logits"} - {f"{head}_logits" for head in heads}
        found = {key: value for key, value in found.items() if key not in left_out}
        if "pooled" in heads:
            pooled = garden.next_sentence_pooled(model, inputs)
            found["next_sentence_pooled_output"] = pooled
        return found

    return outputs


ALL = ("mlm", "nsp", "pooled")
LAYOUTS: list[tuple[str, str, str, tuple[str, ...], dict[str, Any]]] = [
    ("functional", "model=", "bert_config.json", (), {}),
    ("functional", "pretrainer=", "type.yaml", ("mlm",), {}),
    ("functional", "checkpoint_items", "bert.yaml", ("mlm", "pooled"), {"next_sentence": True}),
    ("functional", "older", "bert_config.json", ("mlm",), {"embedding_size": 10}),
    ("functional", "trainer", "bert.yaml", ALL, {"next_sentence": True}),
    ("v2", "encoder=", "bert_config.json", (), {"activation": "relu"}),
    ("v2", "model=pretrainer", "bert_v2.yaml", ("mlm",), {}),
    ("v2", "pretrainer=", "params.yaml", ALL, {"next_sentence": True, "embedding_size": 10}),
    ("v2", "trainer", "params.yaml", ALL, {"next_sentence": True}),
    ("talking_heads", "checkpoint_items", "bert.yaml", ("mlm",), {}),
    ("talking_heads", "model=", "bert_config.json", (), {}),
]
"""Encoder, how it is saved, configuration file, heads that are in the checkpoint, and options."""


SOME = ("functional older", "v2 pretrainer=", "talking_heads model=")
"""Each encoder, and the layouts that differ most; the others are of the exhaustive tier."""


@pytest.mark.parametrize(("encoder", "layout", "form", "heads", "options"), [
    pytest.param(*row, id=name, marks=() if name in SOME else pytest.mark.exhaustive)
    for name, row in ((" ".join(row[:2]), row) for row in LAYOUTS)
])  # fmt: skip
def test_every_layout(
    encoder: str,
    layout: str,
    form: str,
    heads: tuple[str, ...],
    options: dict[str, Any],
    garden: Any,
    make: Any,
    tmp_path: Path,
) -> None:
    sizes, model = build(garden, encoder, **options)
    items = {
        "model=": lambda: {"model": model.encoder_network},
        "encoder=": lambda: {"encoder": model.encoder_network},
        "pretrainer=": lambda: {"pretrainer": model},
        "model=pretrainer": lambda: {"model": model},
        "checkpoint_items": lambda: model.checkpoint_items,
        "older": lambda: {
            "encoder": garden.as_older_functional(model.encoder_network),
            "masked_lm": model.masked_lm,
        },
        "trainer": lambda: {
            "model": model, "optimizer": garden.with_new_adam(model), **model.checkpoint_items
        },
    }[layout]()  # fmt: skip
    writer = "write" if encoder == "v2" else "save"
    summary = make(
        save(tmp_path, writer, **items), **garden.write_configuration(form, sizes, tmp_path)
    )
    assert list(summary["cases"]) == RANDOM_CASES
    reference = assert_outputs(tmp_path / "reference", expected(garden, model, *heads))
    architecture = reference.provenance.architecture
    assert architecture["num_hidden_layers"] == sizes.num_layers
    assert architecture["type_vocab_size"] == sizes.type_vocab_size
    assert reference.provenance.source == "model_garden"


@pytest.fixture(scope="module")
def tf1(garden: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A google-research/bert checkpoint: its directory, its values, and the model that Model
    Garden's own converter makes of it."""
    directory = tmp_path_factory.mktemp("tf1")
    sizes = garden.Sizes()
    values = garden.write_tf1_checkpoint(sizes, directory / "bert_model.ckpt")
    config = garden.write_configuration("bert_config.json", sizes, directory)["bert_config"]
    (directory / "converted").mkdir()
    prefix = directory / "bert_model.ckpt"
    return directory, values, garden.converted_tf1(config, prefix, directory / "converted")


def with_nsp(garden: Any, model: Any, values: Any) -> Callable[..., dict[str, Any]]:
    """With next-sentence logits by google-research/bert's formula."""

    def outputs(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        found = garden.expected_outputs(model, inputs)
        weights = values["cls/seq_relationship/output_weights"]
        bias = values["cls/seq_relationship/output_bias"]
        return {**found, "nsp_logits": found["pooled_output"] @ weights.T + bias}

    return outputs


def test_tf1(tf1: Any, garden: Any, make: Any, tmp_path: Path) -> None:
    directory, values, model = tf1
    make(directory / "bert_model.ckpt")
    assert_outputs(tmp_path / "reference", with_nsp(garden, model, values))


def tiny_checkpoint(directory: Path, *names: str, drop: bool = True) -> Path:
    """`tests.tiny`'s checkpoint without (or with) tensors whose names hold one of these."""

    def change(values: dict[str, np.ndarray]) -> None:
        for name in list(values):
            if drop and any(part in name for part in names):
                del values[name]
        if not drop:
            values.update({name: np.full([3, 5], 7, np.float32) for name in names})

    return tiny.write_checkpoint(directory, change=change)


def test_tf1_without_pooler(garden: Any, make: Any, tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "bare", "pooler", "seq_relationship")
    summary = make(checkpoint)
    assert "pooled_output" not in summary["outputs"]
    assert "mlm_logits" in summary["outputs"]
    assert any("no pooled_output" in note for note in summary["provenance"]["notes"])
    # The rest is what the whole checkpoint gives.
    whole = tiny.write_checkpoint(tmp_path / "whole")
    (tmp_path / "converted").mkdir()
    config = tmp_path / "whole" / "bert_config.json"
    model = garden.converted_tf1(config, whole, tmp_path / "converted")

    def outputs(inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        found = garden.expected_outputs(model, inputs)
        del found["pooled_output"]
        return found

    assert_outputs(tmp_path / "reference", outputs)


EXHAUSTIVE = pytest.mark.exhaustive


@pytest.mark.parametrize(("part", "message"), [
    ("layer_1/output/dense/bias", "not filled (1): transformer/layer_1/output/bias:0"),
    pytest.param(
        "predictions/output_bias", "not filled (1): bert/cls/predictions/output_bias/bias:0",
        marks=EXHAUSTIVE,
    ),
    pytest.param(
        "pooler/dense/bias", "not filled (1): pooler_transform/bias:0", marks=EXHAUSTIVE
    ),
    pytest.param(
        "seq_relationship/output_bias", "missing: cls/seq_relationship/output_bias",
        marks=EXHAUSTIVE,
    ),
    ("pooler", "missing: bert/pooler/dense"),
])  # fmt: skip
def test_a_missing_tensor_is_never_random(
    part: str, message: str, garden: Any, refused: Any, tmp_path: Path
) -> None:
    assert message in refused(TensorMismatchError, tiny_checkpoint(tmp_path / "bare", part))


def test_a_tensor_of_no_use_is_refused(garden: Any, refused: Any, tmp_path: Path) -> None:
    names = ("bert/extra/kernel", "bert/pooler/dense/kernel/adam_m")
    checkpoint = tiny_checkpoint(tmp_path / "more", *names, drop=False)
    message = refused(TensorMismatchError, checkpoint)
    assert "not used (1): bert/extra/kernel\n" in message


def test_tf1_of_other_sizes(garden: Any, refused: Any, tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "model")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**tiny.CONFIG, "num_hidden_layers": 1}))
    message = refused(TensorMismatchError, checkpoint, bert_config=config)
    assert "not used (16): bert/encoder/layer_1/" in message
    config.write_text(json.dumps({**tiny.CONFIG, "type_vocab_size": 5, "vocab_size": 51}))
    message = refused(CheckpointError, checkpoint, bert_config=config)
    assert "token_type_embeddings [2, 16], needed [5, 16]" in message
    assert "output_bias [50], needed [51]" in message


def test_tf2_deeper_than_configured(garden: Any, refused: Any, tmp_path: Path) -> None:
    _, model = build(garden, "v2")
    shallow = garden.Sizes(num_layers=1)
    configuration = garden.write_configuration("bert_v2.yaml", shallow, tmp_path)
    message = refused(
        TensorMismatchError, save(tmp_path, encoder=model.encoder_network), **configuration
    )
    assert "not used (16): encoder/_transformer_layers/1/" in message
    deep = garden.write_configuration("bert_v2.yaml", garden.Sizes(num_layers=3), tmp_path)
    message = refused(TensorMismatchError, save(tmp_path, encoder=model.encoder_network), **deep)
    assert "not filled (16): " in message and "transformer/layer_2/" in message


def test_another_encoder_class(garden: Any, refused: Any, tmp_path: Path) -> None:
    _, model = build(garden, "v2")
    prefix = save(tmp_path, encoder=model.encoder_network)
    config = tmp_path / "encoder.yaml"
    config.write_text("albert: {hidden_size: 16}")
    message = refused(ConfigurationError, prefix, encoder_config=config)
    assert "encoder type albert" in message
    config.write_text("bert_v2: {hidden_size: 24, surprise: 1}")
    message = refused(ConfigurationError, prefix, encoder_config=config)
    assert "surprise" in message


def test_a_checkpoint_of_something_else(garden: Any, refused: Any, tmp_path: Path) -> None:
    sizes, model = build(garden, "v2")
    configuration = garden.write_configuration("bert_v2.yaml", sizes, tmp_path)
    message = refused(CheckpointError, save(tmp_path, head=model.masked_lm), **configuration)
    assert "not where its checkpoints have it" in message


def test_a_real_toy_checkpoint(garden: Any, make: Any, tmp_path: Path) -> None:
    """keras-bert's test checkpoint, with texts by its vocabulary."""
    directory = material("checkpoints/tf1_keras-bert_toy")
    import tensorflow as tf

    summary = make(directory, vocab_file=directory / "vocab.txt", do_lower_case=True)
    assert [*RANDOM_CASES, "texts", "text_pairs"] == list(summary["cases"])
    prefix = directory / "bert_model.ckpt"
    model = garden.converted_tf1(directory / "bert_config.json", prefix, tmp_path)
    reader = tf.train.load_checkpoint(str(prefix))
    names = ("cls/seq_relationship/output_weights", "cls/seq_relationship/output_bias")
    values = {name: reader.get_tensor(name) for name in names}
    assert_outputs(tmp_path / "reference", with_nsp(garden, model, values), least=0)

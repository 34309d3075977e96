"""What a page says of `pooled_output` is what the artifact computes, for every pooler.

The page is written by the command line, and what it says is computed with NumPy from the
artifact's own `sequence_output`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport import cli
from hubexport.poolers import POOLERS
from tests import tiny
from tests.artifacts import export_encoder
from tests.cards.rendering.of_artifact import encoder_card, preprocessor_card, write_cards

Layer = tuple[np.ndarray, np.ndarray]
"""Kernel [H, H] and bias [H]."""

TOLERANCE = 2e-6

EACH = [
    # Model Garden takes longer to import than all others to test.
    pytest.param(name, marks=pytest.mark.exhaustive) if name == "next_sentence" else name
    for name in POOLERS
]


class Made:
    """An artifact, the layers of the checkpoint that it was made of, and its record."""

    def __init__(self, path: Path, layers: Mapping[str, Layer]):
        self.path, self.layers = path, layers
        self.record = hubexport.load_record(path)

    @functools.cached_property
    def found(self) -> dict[str, np.ndarray]:
        """Outputs for random tokens and some padding, and the weights of the pooler."""
        import tensorflow as tf

        loaded = tf.saved_model.load(str(self.path))
        generator = np.random.default_rng(3)
        mask = np.array([[1] * 9, [1] * 5 + [0] * 4, [1] + [0] * 8], np.int32)
        ids = generator.integers(5, 50, mask.shape).astype(np.int32)
        types = np.zeros_like(mask)
        inputs = {"input_word_ids": ids * mask, "input_mask": mask, "input_type_ids": types}
        outputs = loaded({name: tf.constant(value) for name, value in inputs.items()})
        found = {name: outputs[name].numpy() for name in ("sequence_output", "pooled_output")}
        found |= {"default": outputs["default"].numpy(), "mask": mask}
        for variable in loaded.variables:
            if variable.name.startswith("pooler/dense/"):
                found[variable.name.split(":")[0].rpartition("/")[2]] = variable.numpy()
        return found


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("poolers")


@pytest.fixture(scope="module")
def make(work: Path) -> Callable[[str], Made]:
    """Pooler -> an artifact that has it, each made once."""
    made: dict[str, Made] = {}

    def get(name: str) -> Made:
        if name not in made:
            maker = {"next_sentence": _garden, "sentence_embedding": _sentences}.get(name, _tiny)
            made[name] = maker(work / name, name)
        return made[name]

    return get


def _tiny(directory: Path, name: str) -> Made:
    values = tiny.tensors()
    kernel, bias = (values[f"bert/pooler/dense/{each}"] for each in ("kernel", "bias"))
    export_encoder(
        export_path=directory / "out",
        checkpoint=tiny.write_checkpoint(directory),
        heads="none",
        pooler=name,
    )
    return Made(directory / "out", {"own": (kernel, bias)})


def _garden(directory: Path, name: str) -> Made:
    pytest.importorskip("official.nlp.modeling", reason="Model Garden is not installed")
    import tensorflow as tf

    from tests.oracles import model_garden

    directory.mkdir()
    sizes = model_garden.Sizes(type_vocab_size=2)
    model = model_garden.trained(sizes, "v2", next_sentence=True)
    tf.train.Checkpoint(pretrainer=model).write(str(directory / "ckpt"))
    configuration = model_garden.write_configuration("bert_config.json", sizes, directory)
    export_encoder(
        checkpoint=directory / "ckpt", export_path=directory / "out", heads="none", pooler=name,
        **configuration,
    )  # fmt: skip
    dense = model.classification_heads[0].dense
    own = model.encoder_network.pooler_layer
    return Made(
        directory / "out",
        {
            "head": (dense.kernel.numpy(), dense.bias.numpy()),
            "own": (own.kernel.numpy(), own.bias.numpy()),
        },
    )


def _sentences(directory: Path, name: str) -> Made:
    pytest.importorskip("transformers")
    from tests.oracles import hugging_face

    model = hugging_face.build("BertForMaskedLM", type_vocab_size=2)  # without a pooler
    model.save_pretrained(directory / "checkpoint")
    hugging_face.write_sentence_transformers(
        directory / "checkpoint",
        {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
        normalize=True, newer=False,
    )  # fmt: skip
    export_encoder(export_path=directory / "out", checkpoint=directory / "checkpoint", heads="none")
    return Made(directory / "out", {})


def page(made: Made, directory: Path, pooler: Mapping[str, str] | None = None) -> str:
    """The page's text, as `hubexport card` writes it, on one line."""
    card = encoder_card(made.record) | ({"pooler": dict(pooler)} if pooler else {})
    file = write_cards(
        directory / "cards", card, preprocessor_card(made.record["architecture"]["vocab_size"])
    )
    argv = [f"--card={file}", f"--saved_model={made.path}", f"--output={directory / 'page.md'}"]
    assert cli.run(["card", *argv]) == 0
    text = (directory / "page.md").read_text("utf-8")
    return " ".join(text.split("## Architecture")[1].split("\n## ")[0].split())


def said(text: str, made: Made, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """What the page's words amount to, in NumPy: of the words alone, not of the pooler's name."""
    sequence, mask = found["sequence_output"].astype(np.float64), found["mask"]
    (words,) = re.findall(r"`pooled_output` is (.*?\.)(?= [A-Z]|$)", text)[:1]
    first = sequence[:, 0]
    mean = np.stack([row[keep == 1].mean(0) for row, keep in zip(sequence, mask, strict=True)])
    if "tanh of a dense layer on the first token's vector" in words:
        size = first.shape[1]
        layers = {
            "the encoder's own pooler: tanh": made.layers.get("own"),
            "the checkpoint's next-sentence head": made.layers.get("head"),
            "starts as the identity matrix": (np.eye(size), np.zeros(size)),
            "starts with random weights": (found.get("kernel"), found.get("bias")),
        }
        (layer,) = (layer for part, layer in layers.items() if part in text)
        assert layer is not None
        if "starts with random weights" in text:
            assert 0.01 < layer[0].std() < 0.03 and abs(layer[0].mean()) < 0.01
        return np.tanh(first @ layer[0] + layer[1])
    if "the mean of the tokens' vectors in `sequence_output`" in words:
        assert "at all positions where `input_mask` is 1" in words
        return mean
    if "the first token's vector in `sequence_output`" in words:
        return first
    if "the last token's vector in `sequence_output`" in words:
        assert "at the last position where `input_mask` is 1" in words
        return np.stack([row[keep == 1][-1] for row, keep in zip(sequence, mask, strict=True)])
    assert "the sentence embedding that the checkpoint's files declare" in words
    highest = np.stack([row[keep == 1].max(0) for row, keep in zip(sequence, mask, strict=True)])
    assert (
        "Both it and `default` are the maximum of the tokens' vectors in each dimension and the "
        "mean of the tokens' vectors, joined in this order, scaled to length 1." in text
    )
    joined = np.concatenate([highest, mean], axis=1)
    return joined / np.linalg.norm(joined, axis=1, keepdims=True)


@pytest.mark.parametrize("name", EACH)
def test_the_sentence_is_what_the_artifact_computes(
    name: str, make: Callable[[str], Made], tmp_path: Path
) -> None:
    made = make(name)
    assert made.record["pooler"]["pooled_output"] == name
    text = page(made, tmp_path)
    assert POOLERS[name].sentence in text
    assert text.count("`pooled_output` is ") == POOLERS[name].sentence.count("`pooled_output` is ")
    found = made.found
    np.testing.assert_allclose(found["pooled_output"], said(text, made, found), atol=TOLERANCE)
    for other in {"mean", "cls", "identity", "checkpoint"} - {name}:
        wrong = text.replace(POOLERS[name].sentence, POOLERS[other].sentence)
        if name == "sentence_embedding" or (other == "checkpoint" and not made.layers):
            continue
        assert np.abs(found["pooled_output"] - said(wrong, made, found)).max() > 0.01, other


@pytest.mark.parametrize("name", [name for name in POOLERS if POOLERS[name].of_sequence])
def test_references_are_what_the_sentence_says(name: str, make: Callable[[str], Made]) -> None:
    found, compute = make(name).found, POOLERS[name].of_sequence
    assert compute is not None
    reference = compute(found["sequence_output"], found["mask"])
    np.testing.assert_allclose(found["pooled_output"], reference, atol=TOLERANCE)


TRAINED = {
    "checkpoint": "It was trained.",
    "next_sentence": "It was trained.",
    "identity": "That layer was not trained: fine-tune it before use.",
    "untrained": "That layer was not trained: fine-tune it before use.",
}
"""Of poolers that have weights; the others say nothing of training."""


@pytest.mark.parametrize("name", EACH)
def test_trained_is_said_as_the_record_says_it(
    name: str, make: Callable[[str], Made], tmp_path: Path
) -> None:
    text = page(make(name), tmp_path)
    assert re.findall(r"\b(?:It|That layer) was (?:not )?trained[^.]*\.", text) == (
        [TRAINED[name]] if name in TRAINED else []
    )
    recorded = {"It": True, "That": False}.get(TRAINED.get(name, "").split(" ")[0])
    assert make(name).record["pooler"]["trained"] is recorded
    assert ("once it is fine-tuned" in whole_page(tmp_path)) == (recorded is False)


def whole_page(directory: Path) -> str:
    """The last page that was written there, on one line."""
    return " ".join((directory / "page.md").read_text("utf-8").split())


@pytest.fixture(scope="module")
def doubtful(work: Path) -> Made:
    def change(values: dict[str, np.ndarray]) -> None:
        values["bert/pooler/dense/bias"][:] = 0

    prefix = tiny.write_checkpoint(work / "doubtful", change=change)
    export_encoder(export_path=work / "doubtful" / "out", checkpoint=prefix, heads="none")
    return Made(work / "doubtful" / "out", {})


class TestDoubts:
    """The encoder's own pooler, of which the checkpoint does not show that it was trained."""

    ZEROS = "the pooler's bias is all zeros: it was probably never trained."

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (None, f"Whether it was trained is not known. The export warned: {ZEROS}"),
            (
                "trained",
                "The model's authors trained a pooler, but it is not certain that it is this one. "
                f"The export warned: {ZEROS}",
            ),
            ("untrained", f"It was not trained; the export warned: {ZEROS}"),
        ],
    )
    def test_of_zeros(self, status: str | None, words: str, doubtful: Made, tmp_path: Path) -> None:
        assert doubtful.record["pooler"]["trained"] is None
        assert self.ZEROS.rstrip(".") in doubtful.record["warnings"]
        stated = {"status": status, "note": "The note says it."} if status else None
        text = page(doubtful, tmp_path, stated)
        assert words in text
        assert "It was trained." not in text and "pooler was trained" not in text
        # What follows from training is not said where training is in doubt.
        assert ("The note says it." in text) == (status == "untrained")

    def test_of_records_that_have_no_doubts(self, doubtful: Made, tmp_path: Path) -> None:
        recorded = {key: v for key, v in doubtful.record["pooler"].items() if key != "doubts"}
        made = _with_record(doubtful, tmp_path, pooler=recorded)
        text = page(made, tmp_path)
        assert "Whether it was trained is not known. The export warned: see what it" in text
        assert f"- {self.ZEROS.rstrip('.')}" in whole_page(tmp_path)

    @pytest.mark.exhaustive
    def test_of_another_pooler_than_pre_training_used(
        self, make: Callable[[str], Made], work: Path, tmp_path: Path
    ) -> None:
        make("next_sentence")  # its checkpoint
        directory = work / "next_sentence"
        out = directory / "own"
        export_encoder(
            checkpoint=directory / "ckpt", export_path=out, heads="none",
            bert_config=directory / "bert_config.json",
        )  # fmt: skip
        text = page(Made(out, {}), tmp_path, {"status": "trained", "note": "The note says it."})
        assert "The export warned: pre-training trained the next-sentence head's pooler" in text
        assert "The note says it." not in text


class TestCards:
    """What a card says of the checkpoint's pooler, beside what the record says of the artifact."""

    NOTE: Mapping[str, str] = {"note": "The note says it."}

    def test_trained(self, make: Callable[[str], Made], tmp_path: Path) -> None:
        text = page(make("checkpoint"), tmp_path, {"status": "trained", **self.NOTE})
        assert "It was trained. The note says it." in text

    @pytest.mark.parametrize("name", ["mean", "cls", "identity", "untrained"])
    def test_a_pooler_that_is_not_used(
        self, name: str, make: Callable[[str], Made], tmp_path: Path
    ) -> None:
        text = page(make(name), tmp_path, {"status": "trained", **self.NOTE})
        unused = "The checkpoint's own pooler, which this SavedModel does not use, was trained."
        assert unused in text and "The note" not in text

    def test_absent(self, make: Callable[[str], Made], tmp_path: Path) -> None:
        text = page(make("sentence_embedding"), tmp_path, {"status": "absent", **self.NOTE})
        assert "The checkpoint has no pooler. The note says it." in text


def _with_record(made: Made, directory: Path, **changes: Any) -> Made:
    """An artifact that is nothing but a record."""
    from hubexport.saved_model.record import write_record

    path = directory / "changed"
    (path / "assets.extra").mkdir(parents=True)
    write_record(path, {**made.record, **changes})
    return Made(path, made.layers)

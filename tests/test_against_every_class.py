"""Every class of transformers in every format: the exported encoder and head are exact."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.saved_model.reading import read_saved_model
from tests.oracles import compare, inputs
from tests.planned import planned
from tests.tiers import examples
from tests.unsaved import Unsaved

HEADS = {
    "Model": (),
    "ForMaskedLM": ("mlm",),
    "ForPreTraining": ("mlm", "nsp"),
    "ForNextSentencePrediction": ("nsp",),
    "ForSequenceClassification": ("classifier",),
    "ForTokenClassification": ("token_classifier",),
    "ForQuestionAnswering": ("qa",),
    "ForMultipleChoice": ("multiple_choice",),
}
"""End of a class's name -> the heads of its artifact."""
PREFIXES = {
    "Bert": "bert", "Roberta": "roberta", "XLMRoberta": "roberta", "Camembert": "roberta",
    "DistilBert": "distilbert",
}  # fmt: skip
"""Start of a class's name -> the family that it is exported as."""
CLASSES = {
    f"{prefix}{head}": (prefix, head)
    for prefix in PREFIXES
    for head in HEADS
    if prefix == "Bert" or head not in ("ForPreTraining", "ForNextSentencePrediction")
}
TWINS = ("XLMRoberta", "Camembert")
"""RoBERTas by another name, which are to give the very files."""
WHOLE = "CamembertForMaskedLM"
"""The twin that is exported; of the others it is enough to know that they give the same values for
the same variables."""
WITHOUT_POOLER = ("BertForMaskedLM", "BertForTokenClassification", "BertForQuestionAnswering")

FORMATS = {
    "sharded bin": "DistilBertForMaskedLM",
    "pytorch_transformers": "DistilBertForSequenceClassification",
}
"""Format -> the class of which it is exported whole; all others are planned."""
NETWORKS = [name for name, (prefix, _) in CLASSES.items() if prefix not in TWINS or name == WHOLE]
EXAMPLES = (
    "BertForPreTraining", "BertForSequenceClassification", "RobertaForMaskedLM",
    "RobertaForMultipleChoice", "DistilBertModel", "DistilBertForTokenClassification",
    "DistilBertForQuestionAnswering",
)  # fmt: skip
"""Always, and exported whole: every head, and every family. Of the others the functions are called
that would be."""
UNTOLD = ("pytorch_transformers", "tar.gz")
"""Formats whose configuration does not name the class."""


@pytest.fixture(scope="module")
def oracles() -> Iterator[SimpleNamespace]:
    """The modules that know transformers, on one thread: models of this size wait longer for
    PyTorch's threads than they compute."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import families, saving

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield SimpleNamespace(families=families, saving=saving, torch=torch)
    torch.set_num_threads(threads)


class Exported:
    """Models by class, and their artifacts, made of what transformers saves today."""

    def __init__(self, oracles: SimpleNamespace, work: Path):
        self.oracles, self.work = oracles, work
        self.model = functools.cache(oracles.families.build)

    @functools.cache  # noqa: B019  as long as the tests run
    def checkpoint(self, name: str) -> Path:
        (self.work / name / "model").mkdir(parents=True)
        return self.oracles.saving.save_safetensors(self.model(name), self.work / name / "model")

    @functools.cache  # noqa: B019
    def path(self, name: str) -> Path:
        """An artifact."""
        hubexport.export_encoder(
            checkpoint=self.checkpoint(name), export_path=self.work / name / "out", **_pooler(name)
        )
        return self.work / name / "out"

    @functools.cache  # noqa: B019
    def artifact(self, name: str) -> tuple[compare.Artifact, Mapping[str, Any]]:
        """What is called, and its record."""
        if name in (*EXAMPLES, WHOLE):
            path = self.path(name)
            return compare.Artifact(path), hubexport.load_record(path)
        encoder = Unsaved(self.checkpoint(name), **_pooler(name))
        return compare.Artifact(encoder), encoder.record

    def batches(self, name: str) -> dict[str, inputs.Tensors]:
        """Batches of every kind, as the model's class takes them."""
        c = self.model(name).config
        positions = self.oracles.families.longest(self.model(name))
        types = c.type_vocab_size if name.startswith("Bert") else 2
        kinds = inputs.kinds(c.vocab_size, positions, c.pad_token_id, types)
        if CLASSES[name][1] == "ForMultipleChoice":
            return {kind: inputs.choices(batch, 2) for kind, batch in kinds.items()}
        return kinds

    def expected(self, name: str, batch: inputs.Tensors) -> dict[str, Any]:
        outputs = self.oracles.families.expected_outputs(self.model(name), batch)
        if self.artifact(name)[1]["pooler"]["pooled_output"] == "cls":
            outputs["pooled_output"] = outputs["sequence_output"][:, 0]
        return outputs


def _pooler(name: str) -> dict[str, str]:
    return {"pooler": "cls"} if name in WITHOUT_POOLER else {}


@pytest.fixture(scope="module")
def exported(oracles: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(oracles, tmp_path_factory.mktemp("classes"))


def files_of(path: Path) -> dict[str, bytes]:
    """The program and the weights."""
    files = (path / "saved_model.pb", *sorted((path / "variables").iterdir()))
    return {file.name: file.read_bytes() for file in files}


def test_all_classes_are_here(oracles: SimpleNamespace) -> None:
    assert set(CLASSES) == set(oracles.families.CLASSES)
    assert {*FORMATS} <= {*oracles.saving.SAVERS}


@pytest.mark.parametrize("name", examples(NETWORKS, EXAMPLES))
def test_every_class(name: str, exported: Exported) -> None:
    prefix, head = CLASSES[name]
    (artifact, record), model = exported.artifact(name), exported.model(name)
    assert tuple(record["heads"]) == HEADS[head]
    assert record["family"]["name"] == PREFIXES[prefix]
    assert record["architecture"]["hidden_act"] == "gelu_erf"
    assert record["architecture"]["max_position_embeddings"] == 12
    conventions = {
        "padding_side": "any" if PREFIXES[prefix] == "roberta" else "right",
        "causal": False,
        "ignored_inputs": [] if prefix == "Bert" else ["input_type_ids"],
    }
    assert conventions.items() <= record["conventions"].items()
    if name in EXAMPLES:
        signatures = set(read_saved_model(exported.path(name)).signatures)
        assert signatures == {"serving_default", *HEADS[head]}
    if name == WHOLE:  # the same weights: the very files
        assert files_of(exported.path(name)) == files_of(exported.path(f"Roberta{head}"))
    for kind, batch in exported.batches(name).items():
        found, expected = artifact(batch), exported.expected(name, batch)
        assert compare.assert_same(found, expected) <= compare.TOLERANCE, kind
    encoder = exported.oracles.families.encoder_of(model)
    layers = encoder.transformer.layer if prefix == "DistilBert" else encoder.encoder.layer
    for i, layer in enumerate(layers):
        # The softmax cancels the keys' bias: the outputs would not show that it is lost.
        key = layer.attention.k_lin if prefix == "DistilBert" else layer.attention.self.key
        np.testing.assert_array_equal(
            artifact.variable(f"encoder/layer_{i}/attention/self/key/bias"),
            key.bias.detach().numpy(),
        )


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [n for n, (prefix, _) in CLASSES.items() if prefix in TWINS])
def test_twins(name: str, exported: Exported, tmp_path: Path) -> None:
    """What makes an artifact is that of the RoBERTa, and so are transformers' outputs."""
    twin = f"Roberta{CLASSES[name][1]}"
    model = exported.model(name)
    record, values = planned(exported.oracles.saving.save_safetensors(model, tmp_path))
    other, same = planned(exported.checkpoint(twin))
    assert (
        values == same and record["family"]["evidence"] == f"model_type {model.config.model_type}"
    )
    for part in ("architecture", "heads", "pooler", "conventions", "warnings"):
        assert record[part] == other[part], part
    for batch in exported.batches(name).values():
        found, expected = (
            exported.oracles.families.expected_outputs(exported.model(each), batch)
            for each in (name, twin)
        )
        assert compare.worst_difference(found, expected, expected) == 0


def test_kinds_of_batches_differ_by_more_than_the_tolerance(exported: Exported) -> None:
    """A RoBERTa that counted positions as BERT does would not pass."""
    name = "RobertaForMaskedLM"
    batch = exported.batches(name)["padding ids in the text"]
    without = batch["input_word_ids"] + (batch["input_word_ids"] == 1)
    other = batch | {"input_word_ids": without.astype(np.int32)}
    difference = compare.worst_difference(
        exported.expected(name, batch), exported.expected(name, other), ["mlm_logits"]
    )
    assert difference > 100 * compare.TOLERANCE


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_in_every_format(name: str, oracles: SimpleNamespace, tmp_path: Path) -> None:
    """The same values for the same variables, to the bit, whatever they are read from."""
    # Of an old RoBERTa without heads, its row of zeros alone tells what it is.
    model = oracles.families.build(name, zero_padding_row=True)
    prefix, head = CLASSES[name]
    plans = {}
    for saver in oracles.saving.SAVERS if prefix == "Bert" else oracles.saving.SAVERS_OF_ALL:
        (tmp_path / saver).mkdir()
        plans[saver] = planned(
            oracles.saving.SAVERS[saver](model, tmp_path / saver),
            heads=",".join(HEADS[head]) or "none" if saver in UNTOLD else "auto",
            **_pooler(name),
        )
    record, values = plans.pop("safetensors")
    assert tuple(record["heads"]) == HEADS[head]
    for saver, (other, other_values) in plans.items():
        assert other_values == values, saver
        for part in ("architecture", "heads", "pooler", "conventions"):
            assert other[part] == record[part], (saver, part)
        assert other["family"]["name"] == PREFIXES[prefix]
    tied = "tied to another tensor, checked to be equal"
    if HEADS[head][:1] == ("mlm",):
        copy = {"Bert": "cls.predictions.decoder.weight", "DistilBert": "vocab_projector.weight"}
        assert (
            copy.get(prefix, "lm_head.decoder.weight") in plans["bin"][0]["skipped_tensors"][tied]
        )
        # transformers itself leaves tied tensors out of files of today.
        assert tied not in record["skipped_tensors"]
    prefixed = "" if head == "Model" else f"{model.base_model_prefix}."
    buffers = {f"{prefixed}embeddings.position_ids"}
    if prefix != "DistilBert":
        buffers.add(f"{prefixed}embeddings.token_type_ids")
    assert set(plans["index buffers"][0]["skipped_tensors"]["index buffers"]) == buffers


@pytest.mark.parametrize("saver", FORMATS)
def test_every_format(saver: str, exported: Exported, tmp_path: Path) -> None:
    """The artifact is that of the same model in safetensors, byte for byte."""
    name = FORMATS[saver]
    (tmp_path / "model").mkdir()
    model = exported.model(name)
    checkpoint = exported.oracles.saving.SAVERS[saver](model, tmp_path / "model")
    record = hubexport.export_encoder(
        checkpoint=checkpoint,
        export_path=tmp_path / "out",
        heads=",".join(HEADS[CLASSES[name][1]]) if saver in UNTOLD else "auto",
    )
    assert tuple(record["heads"]) == HEADS[CLASSES[name][1]]
    assert files_of(tmp_path / "out") == files_of(exported.path(name))

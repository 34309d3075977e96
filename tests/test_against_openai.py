"""OpenAI's releases of GPT and GPT-2 give what transformers' models of the same numbers give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.errors import ConfigurationError, TensorMismatchError, UsageError
from hubexport.exporting import validation
from hubexport.exporting.job import make_job
from hubexport.exporting.options import EncoderOptions
from hubexport.families import openai_config
from hubexport.families.opening import open_model
from hubexport.inspection.facts import facts_about
from hubexport.validation.reference_file import read_reference
from tests.material import material
from tests.oracles import inputs
from tests.oracles.called import loaded, unsaved
from tests.oracles.openai import sparse_release, write_gpt, write_gpt2
from tests.planned import planned, rewritten

SIZES = {"vocab_size": 50, "n_positions": 12, "n_embd": 16, "n_layer": 2, "n_head": 2}
SPECIAL = {"bos_token_id": None, "eos_token_id": None}  # of the published vocabulary
NAMES = {"gpt": "OpenAIGPT", "gpt2": "GPT2"}
TOLERANCE = 2e-5  # of the largest value of an output
SAME = ("architecture", "heads", "pooler", "conventions", "warnings", "tokenizer")
"""Of the record, what does not depend on where the numbers were."""


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    """Family -> a language model, every weight random."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = {}
    for family, name in NAMES.items():
        config = getattr(transformers, f"{name}Config")(**SIZES, **SPECIAL)
        made[family] = getattr(transformers, f"{name}LMHeadModel")(config).eval()
        with torch.no_grad():
            for parameter in made[family].parameters():
                parameter.uniform_(-0.4, 0.4)
    yield made
    torch.set_num_threads(threads)


@pytest.fixture
def write(models: dict[str, Any], tmp_path: Path) -> Callable[[str], Path]:
    """Writes the release of a family, with what tells its number of heads; gives its directory."""

    def call(family: str) -> Path:
        directory = tmp_path / f"release of {family}"
        if family == "gpt":
            write_gpt(directory, models[family])
            (directory / "config.json").write_text('{"n_head": 2}')
        else:
            write_gpt2(directory, models[family])
        return directory

    return call


@pytest.mark.parametrize("positions", [None, 5])
@pytest.mark.parametrize("family", NAMES)
def test_the_same_as_of_transformers(
    family: str, positions: int | None, models: Any, write: Any, tmp_path: Path
) -> None:
    """The same values for the same variables, to the bit, whoever kept them."""
    options = {} if positions is None else {"max_position_embeddings": positions}
    record, values = planned(write(family), **options)
    theirs = rewritten(models[family], tmp_path / "theirs", without=["lm_head.weight"])
    other, other_values = planned(theirs, **options)
    assert values == other_values
    for part in SAME:
        assert record[part] == other[part], part
    assert not record["skipped_tensors"]
    assert list(record["heads"]) == ["lm"]


@pytest.mark.parametrize("family", NAMES)
def test_outputs(family: str, models: Any, write: Any, tmp_path: Path) -> None:
    import torch

    directory = write(family)
    if family == "gpt2":
        hubexport.export_encoder(checkpoint=directory, export_path=tmp_path / "out")
        artifact = loaded(tmp_path / "out")
    else:  # the functions that would be exported
        artifact = unsaved(directory)
    record = artifact.record
    words = {"gpt": "model/we", "gpt2": "model/wte"}[family]
    assert record["family"] == {
        "name": family, "evidence": f"no model_type, but a tensor {words}"
    }  # fmt: skip
    formats = {
        "gpt": {"format": "OpenAI's release in .npy files", "layout": "openai"},
        "gpt2": {"format": "TensorFlow checkpoint", "layout": "tf1"},
    }
    assert formats[family].items() <= record["checkpoint"].items()
    assert record["configuration"]["name"] == {"gpt": "config.json", "gpt2": "hparams.json"}[family]
    for batch in inputs.batches(SIZES["vocab_size"], SIZES["n_positions"]):
        positions = batch["masked_lm_positions"]
        found = artifact(batch)
        with torch.no_grad():
            expected = models[family](
                input_ids=torch.from_numpy(batch["input_word_ids"]).long(),
                attention_mask=torch.from_numpy(batch["input_mask"]).long(),
                output_hidden_states=True,
            )
        tokens = batch["input_mask"].astype(bool)
        layers = [layer.numpy() for layer in expected.hidden_states[1:]]
        assert len(found["encoder_outputs"]) == len(layers)
        for ours, theirs in zip(
            [*found["encoder_outputs"], found["sequence_output"]], [*layers, layers[-1]],
            strict=True,
        ):  # fmt: skip
            assert_same(ours[tokens], theirs[tokens])
        logits = np.take_along_axis(expected.logits.numpy(), positions[..., None], axis=1)
        assert_same(found["lm_logits"], logits)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("family", NAMES)
def test_inspection(family: str, write: Any) -> None:
    facts = facts_about(write(family))
    assert facts["family"] == family
    tensors = 2 + 12 * 2 + 2 * (family == "gpt2")
    weights = tensors + 2 * 2 * 2  # three kernels and biases of a block are one of each
    assert facts["encoder_tensors"] == {"found": weights, "of": weights}
    assert facts["parameters"]["tensors"] == tensors
    assert not facts["disagreements"] and not facts["not_parameters"]
    assert facts["configured"]["num_attention_heads"] == 2
    assert facts["layout"] == {"gpt": "openai-gpt layout", "gpt2": "openai/gpt-2 layout"}[family]


def test_small_model_of_the_material(tmp_path: Path) -> None:
    (tmp_path / "heads.json").write_text('{"n_head": 2}')
    archive = material("checkpoints/gpt1_allennlp_transformer_small/transformer_small.tar.gz")
    record, values = planned(archive, bert_config=tmp_path / "heads.json")
    assert record["family"]["name"] == "gpt"
    assert record["architecture"]["num_parameters"] == 3_660
    assert sum(map(len, values.values())) == 4 * 3_660


def test_published_model(tmp_path: Path) -> None:
    """It is known by its shapes alone, and needs no configuration."""
    model, _ = open_model(sparse_release(tmp_path)).model()
    config = model.config
    assert (config.num_attention_heads, config.intermediate_size) == (12, 3072)
    assert (config.hidden_act, config.layer_norm_eps) == ("gelu_tanh", 1e-5)


def test_a_configuration_that_is_in_the_shapes(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the published model, no file is recorded, since none is needed."""
    shapes = {"vocab_size": 50, "n_positions": 12, "n_embd": 16, "n_layer": 2}
    monkeypatch.setattr(openai_config, "_PUBLISHED", shapes)
    monkeypatch.setattr(openai_config, "_PUBLISHED_HEADS", 2)
    directory = write("gpt")
    with_file, values = planned(directory)
    (directory / "config.json").unlink()
    without, same_values = planned(directory)
    assert values == same_values
    assert without["configuration"] is None
    assert {**with_file, "configuration": None} == without


@pytest.mark.parametrize("family", NAMES)
def test_references(family: str, models: Any, write: Any, tmp_path: Path) -> None:
    """The outputs of transformers' model, whether it was read from OpenAI's files or its own."""
    theirs = rewritten(models[family], tmp_path / "theirs", without=["lm_head.weight"])
    made = {}
    for name, checkpoint in (("openai", write(family)), ("transformers", theirs)):
        path = tmp_path / f"{name}.reference"
        hubexport.make_reference(source="transformers", checkpoint=checkpoint, output=path)
        made[name] = read_reference(path)
    ours, other = made["openai"], made["transformers"]
    assert ours.provenance.architecture == other.provenance.architecture
    assert ours.provenance.made_by == other.provenance.made_by
    assert list(ours.cases) == list(other.cases)
    for case in ours.cases:
        assert ours.outputs(case) == other.outputs(case)
        for output in ours.outputs(case):
            np.testing.assert_array_equal(ours.output(case, output), other.output(case, output))


@pytest.mark.parametrize("family", NAMES)
def test_who_validates(family: str, write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Model Garden, which has the references of other TensorFlow checkpoints, has no GPT-2."""
    failed = SimpleNamespace(status=1, last_lines=lambda shown: ["nothing"])
    monkeypatch.setattr(validation, "run_python", lambda command: failed)
    asked = EncoderOptions(checkpoint=write(family), export_path="", validate=True)
    job = make_job(asked.checkpoint, asked, asked.read_tokenizer())
    with pytest.raises(validation.ValidationError, match="--source=transformers "):
        validation.reference_for(job, asked).__enter__()


class TestRefused:
    def test_heads_unknown(self, write: Any) -> None:
        directory = write("gpt")
        (directory / "config.json").unlink()
        with pytest.raises(ConfigurationError, match="nothing tells the number of attention heads"):
            planned(directory)

    def test_hparams_lost(self, write: Any) -> None:
        directory = write("gpt2")
        (directory / "hparams.json").unlink()
        with pytest.raises(ConfigurationError, match=r"hparams\.json or .* beside it"):
            planned(directory)

    def test_hparams_of_another(self, write: Any) -> None:
        directory = write("gpt2")
        hparams = json.loads((directory / "hparams.json").read_text())
        (directory / "hparams.json").write_text(json.dumps({**hparams, "n_layer": 3}))
        with pytest.raises(TensorMismatchError) as caught:
            planned(directory)
        assert "model/h2/attn/c_attn/w" in str(caught.value)

    def test_a_tensor_too_many(self, models: Any, tmp_path: Path) -> None:
        write_gpt2(tmp_path, models["gpt2"], **{"model/h0/attn/c_attn/v": np.zeros(3, np.float32)})
        with pytest.raises(TensorMismatchError, match="model/h0/attn/c_attn/v"):
            planned(tmp_path)

    def test_an_optimizer_is_left_out(self, models: Any, tmp_path: Path) -> None:
        slot = {"model/wte/Adam": np.zeros((50, 16), np.float32)}
        write_gpt2(tmp_path, models["gpt2"], **slot)
        record, _ = planned(tmp_path)
        assert record["skipped_tensors"] == {"optimizer slots": ["model/wte/Adam"]}

    @pytest.mark.parametrize(("family", "other"), [("gpt", "gpt2"), ("gpt2", "bert")])
    def test_another_family(self, family: str, other: str, write: Any) -> None:
        with pytest.raises((UsageError, ConfigurationError)):
            planned(write(family), family=other)

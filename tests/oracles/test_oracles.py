"""What the oracles write is what they compute with, read by those whose formats they are."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.oracles import inputs

if TYPE_CHECKING:
    import torch
    import transformers

    from tests.oracles import families, saving
else:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import families, saving


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models of this size wait longer for PyTorch's threads than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batches_for(model: Any) -> dict[str, inputs.Tensors]:
    """Batches of every kind, as the model's class takes them."""
    c = model.config
    types = c.type_vocab_size if c.model_type == "bert" else 2
    batches = inputs.kinds(c.vocab_size, families.longest(model), c.pad_token_id, types)
    if families.head_of(type(model).__name__) == "ForMultipleChoice":
        return {kind: inputs.choices(batch, 2) for kind, batch in batches.items()}
    return batches


def flat(outputs: dict[str, Any]) -> dict[str, np.ndarray]:
    layers = outputs.pop("encoder_outputs")
    return outputs | {f"encoder_outputs[{i}]": layer for i, layer in enumerate(layers)}


def assert_equal_outputs(model: Any, other: Any) -> None:
    batches = batches_for(model)
    for kind in ("padding ids in the text", "full length"):
        batch = batches[kind]
        found, expected = (flat(families.expected_outputs(each, batch)) for each in (other, model))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=f"{kind}: {name}")


def load(model: Any, checkpoint: Path) -> Any:
    """The checkpoint by `from_pretrained` of the model's class; nothing may be missing."""
    loaded, report = type(model).from_pretrained(
        checkpoint, attn_implementation="eager", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["mismatched_keys"], report
    return loaded.eval()


@pytest.mark.parametrize("name", families.CLASSES)
def test_every_class_gives_its_outputs(name: str) -> None:
    model = families.build(name)
    head = families.head_of(name)
    c = model.config
    for kind, batch in batches_for(model).items():
        outputs = families.expected_outputs(model, batch)
        *leading, length = batch["input_word_ids"].shape
        rows = int(np.prod(leading))
        shapes = {
            "sequence_output": (rows, length, 16),
            "pooled_output": (rows, 16),
            "mlm_logits": (rows, 3, 50),
            "nsp_logits": (rows, 2),
            "classifier_logits": (rows, 3),
            "token_logits": (rows, length, 5),
            "start_logits": (rows, length),
            "end_logits": (rows, length),
            "choice_logits": (rows // 2, 2),
        }
        layers = outputs.pop("encoder_outputs")
        assert [layer.shape for layer in layers] == [shapes["sequence_output"]] * 2, kind
        assert set(families.LOGITS[head]) <= set(outputs)
        pooled = "pooled_output" in outputs
        assert outputs.keys() - {"sequence_output", "pooled_output"} == set(families.LOGITS[head])
        assert pooled == (getattr(families.encoder_of(model), "pooler", None) is not None)
        for key, value in outputs.items():
            assert value.shape == shapes[key], (kind, key)
            assert value.dtype == np.float32 and np.isfinite(value).all(), (kind, key)
        if head == "Model":
            ids, mask = (torch.from_numpy(batch[f"input_{k}"]).long() for k in ("word_ids", "mask"))
            more = {}
            if c.model_type == "bert":
                more["token_type_ids"] = torch.from_numpy(batch["input_type_ids"]).long()
            with torch.no_grad():
                theirs = model(input_ids=ids, attention_mask=mask, **more)
            np.testing.assert_array_equal(outputs["sequence_output"], theirs.last_hidden_state)
            if pooled:
                np.testing.assert_array_equal(outputs["pooled_output"], theirs.pooler_output)
    for key, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        assert np.unique(values).size > values.size * 0.99 and (values != 0).all(), key


RELOADED = [
    *itertools.product(
        (
            "BertForSequenceClassification", "RobertaModel", "RobertaForMaskedLM",
            "RobertaForSequenceClassification", "DistilBertModel", "DistilBertForMaskedLM",
        ),
        saving.SAVERS_OF_ALL,
    ),
    *itertools.product(
        (
            "XLMRobertaForMultipleChoice", "CamembertForTokenClassification",
            "DistilBertForQuestionAnswering",
        ),
        ("bin", "pytorch_transformers"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "saver"), RELOADED)
def test_every_layout_is_reloaded_equal(name: str, saver: str, tmp_path: Path) -> None:
    model = families.build(name)
    checkpoint = saving.SAVERS[saver](model, tmp_path)
    if checkpoint.is_file():  # which transformers would not find by itself
        checkpoint = checkpoint.rename(tmp_path / "model.safetensors").parent
    loaded = load(model, checkpoint)
    assert loaded.config.num_labels == model.config.num_labels
    assert_equal_outputs(model, loaded)


@pytest.mark.parametrize("saver", saving.ONLY_BERT)
def test_layouts_of_bert_alone_are_reloaded_equal(saver: str, tmp_path: Path) -> None:
    model = families.build("BertForPreTraining")
    checkpoint = saving.SAVERS[saver](model, tmp_path)
    if saver == "tar.gz":
        import tarfile

        with tarfile.open(checkpoint) as archive:
            archive.extractall(tmp_path, filter="data")
        (tmp_path / "bert_config.json").rename(tmp_path / "config.json")
    assert_equal_outputs(model, load(model, tmp_path))


@pytest.mark.parametrize("name", ["RobertaForSequenceClassification", "DistilBertForMaskedLM"])
def test_old_configurations_do_not_tell_their_family(name: str, tmp_path: Path) -> None:
    saving.SAVERS["pytorch_transformers"](families.build(name), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert not {"model_type", "architectures", "id2label", "pad_token_id"} & config.keys()
    assert config["pruned_heads"] == {} and config["num_labels"] == (3 if "Seq" in name else 2)
    state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
    assert "lm_head.decoder.bias" not in state
    assert not any(key.endswith("position_ids") for key in state)


def test_index_buffers_are_there(tmp_path: Path) -> None:
    for name, prefix in (("RobertaForMaskedLM", "roberta."), ("DistilBertModel", "")):
        saving.SAVERS["index buffers"](families.build(name), tmp_path)
        state = torch.load(tmp_path / "pytorch_model.bin", weights_only=True)
        assert state[f"{prefix}embeddings.position_ids"].dtype == torch.int64
        types = f"{prefix}embeddings.token_type_ids"
        assert (types in state) == (name == "RobertaForMaskedLM")


def test_labels_and_the_problem_are_configured(tmp_path: Path) -> None:
    labels = {0: "bad", 1: "so so", 2: "good", 3: "best"}
    model = families.build(
        "RobertaForSequenceClassification",
        id2label=labels,
        problem_type="multi_label_classification",
    )
    config = json.loads((saving.save_safetensors(model, tmp_path) / "config.json").read_text())
    assert config["id2label"] == {str(i): label for i, label in labels.items()}
    assert config["problem_type"] == "multi_label_classification"
    assert config["architectures"] == ["RobertaForSequenceClassification"]
    batch = batches_for(model)["padded right"]
    assert families.expected_outputs(model, batch)["classifier_logits"].shape == (4, 4)
    assert families.build("DistilBertForTokenClassification", num_labels=7).num_labels == 7


@pytest.mark.parametrize("name", ["RobertaModel", "DistilBertModel", "BertModel"])
def test_padding_rows_can_be_zero(name: str) -> None:
    model = families.build(name, zero_padding_row=True)
    pad = model.config.pad_token_id
    embeddings = families.encoder_of(model).embeddings
    zero = {embeddings.word_embeddings.weight[pad].any().item()}
    if name == "RobertaModel":
        zero.add(embeddings.position_embeddings.weight[pad].any().item())
        assert embeddings.position_embeddings.weight[pad + 1].all()
    else:
        assert embeddings.position_embeddings.weight.all()
    assert zero == {False}


@pytest.mark.parametrize(("first", "second"), [("Roberta", "XLMRoberta"), ("Roberta", "Camembert")])
def test_models_of_a_family_have_the_same_encoder(first: str, second: str) -> None:
    """Files of several models' tensors are made by that."""
    one = families.build(f"{first}ForMaskedLM")
    for name in (f"{second}ForMaskedLM", f"{first}ForSequenceClassification"):
        other = families.encoder_of(families.build(name)).state_dict()
        for key, value in families.encoder_of(one).state_dict().items():
            assert torch.equal(value, other[key]), key


@pytest.mark.parametrize(
    ("name", "same"), [("RobertaForMaskedLM", True), ("DistilBertForMaskedLM", False)]
)
def test_padding_on_the_left_moves_the_same_tokens(name: str, same: bool) -> None:
    """RoBERTa counts positions from the first token on, wherever it is."""
    model = families.build(name)
    pad = model.config.pad_token_id
    batch = inputs.batch(np.random.default_rng(1), 4, 7, 50)
    # A padding id in the text would have no position of its own.
    batch["input_word_ids"][batch["input_word_ids"] == pad] = pad + 1
    assert (batch["input_mask"] == 0).any()
    right, left = inputs.right_padded(batch, pad), inputs.left_padded(batch, pad)
    for row, mask in enumerate(batch["input_mask"]):
        np.testing.assert_array_equal(
            left["input_word_ids"][row][left["input_mask"][row] == 1],
            right["input_word_ids"][row][mask == 1],
        )
    outputs = [families.expected_outputs(model, each)["mlm_logits"] for each in (right, left)]
    assert np.allclose(*outputs, atol=1e-5) == same


def test_kinds_of_batches_are_what_they_are_called() -> None:
    kinds = inputs.kinds(50, 12, 1)
    assert {kind: batch["input_word_ids"].shape[1] for kind, batch in kinds.items()} == {
        "random padding": 12, "padded right": 7, "padded left": 7, "holes": 7,
        "padding ids in the text": 7, "one token": 1, "full length": 12,
    }  # fmt: skip
    assert (kinds["padded right"]["input_mask"][1] == [1, 0, 0, 0, 0, 0, 0]).all()
    assert (kinds["padded left"]["input_mask"][1] == [0, 0, 0, 0, 0, 0, 1]).all()
    assert (kinds["holes"]["input_mask"][0] == [1, 0, 1, 1, 0, 1, 1]).all()
    inside = kinds["padding ids in the text"]
    assert ((inside["input_word_ids"] == 1) & (inside["input_mask"] == 1)).any()
    assert kinds["full length"]["input_mask"].all()
    for batch in kinds.values():
        assert (batch["input_mask"].sum(axis=1) > 0).all()
        assert batch["masked_lm_positions"].max() < batch["input_word_ids"].shape[1]

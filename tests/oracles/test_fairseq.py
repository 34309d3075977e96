"""fairseq's files hold the tensors of the model that they were made of, under fairseq's names."""

from __future__ import annotations

import argparse
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.oracles import inputs

if TYPE_CHECKING:
    import torch

    from tests.oracles import fairseq, families
else:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tests.oracles import fairseq, families

ROBERTA = ("RobertaModel", "RobertaForMaskedLM", "RobertaForSequenceClassification")

TO_TRANSFORMERS = (
    (r"^(decoder|encoder)\.(sentence_encoder\.)?", ""),
    (r"^embed_tokens", "embeddings.word_embeddings"),
    (r"^embed_positions", "embeddings.position_embeddings"),
    (r"^(emb_layer_norm|layernorm_embedding)", "embeddings.LayerNorm"),
    (r"^layers", "encoder.layer"),
    (r"self_attn\.q_proj", "attention.self.query"),
    (r"self_attn\.k_proj", "attention.self.key"),
    (r"self_attn\.v_proj", "attention.self.value"),
    (r"self_attn\.out_proj", "attention.output.dense"),
    (r"self_attn_layer_norm", "attention.output.LayerNorm"),
    (r"fc1", "intermediate.dense"),
    (r"fc2", "output.dense"),
    (r"final_layer_norm", "output.LayerNorm"),
    (r"^(embeddings|encoder)\.", r"roberta.\1."),
    (r"^lm_head\.weight", "lm_head.decoder.weight"),
    (r"^classification_heads\.mnli", "classifier"),
)


def read(path: Path) -> dict[str, Any]:
    """What the file holds, by PyTorch, with the one class that it needs."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, weights_only=True)


def back(state: dict[str, Any]) -> dict[str, Any]:
    """The tensors under transformers' names, as fairseq itself reads older files."""
    separate = {}
    for name, tensor in state.items():
        if "in_proj_" in name:
            for part, rows in zip("qkv", tensor.chunk(3), strict=True):
                separate[re.sub(r"in_proj_", f"{part}_proj.", name)] = rows
        elif not name.endswith(".version"):
            separate[name] = tensor
    renamed = {}
    for name, tensor in separate.items():
        for pattern, replacement in TO_TRANSFORMERS:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", fairseq.LAYOUTS)
@pytest.mark.parametrize("name", ROBERTA)
def test_the_tensors_come_back(name: str, layout: str, legacy: bool, tmp_path: Path) -> None:
    model = fairseq.build(name)
    path = fairseq.write_checkpoint(tmp_path / "model.pt", model, layout=layout, legacy=legacy)
    assert zipfile.is_zipfile(path) != legacy
    content = read(path)
    state = back(content["model"])
    expected = model.state_dict()
    if name == "RobertaModel":
        expected = {f"roberta.{key}": tensor for key, tensor in expected.items()}
    del expected["roberta.embeddings.token_type_embeddings.weight"]
    expected.pop("lm_head.decoder.bias", None)
    assert state.keys() == expected.keys()
    for key, tensor in expected.items():
        assert torch.equal(state[key], tensor), key
    if name == "RobertaForMaskedLM":
        tied = ("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight")
        assert len({state[key].untyped_storage().data_ptr() for key in tied}) == 1
    assert any("in_proj_weight" in key for key in content["model"]) == (layout == "old")
    arguments = content["args"] or content["cfg"]["model"]
    assert (content["args"] is None) == (layout == "new, cfg")
    assert (arguments.encoder_embed_dim, arguments.max_positions) == (16, 12)
    assert content["last_optimizer_state"]["state"][0]["exp_avg"].any()


def test_a_model_of_the_tensors_gives_the_same(tmp_path: Path) -> None:
    """Of several heads beside the masked language model, as fine-tuned files have them."""
    model = fairseq.build("RobertaForMaskedLM")
    heads = {
        "mnli": fairseq.build("RobertaForSequenceClassification"),
        "rte": fairseq.build("RobertaForSequenceClassification", num_labels=2),
    }
    path = fairseq.write_checkpoint(
        tmp_path / "model.pt", model, heads=heads, optimizer=False, encoder_layers=9
    )
    content = read(path)
    assert content["args"].encoder_layers == 9 and "last_optimizer_state" not in content
    state = back(content["model"])
    assert state["classification_heads.rte.out_proj.weight"].shape == (2, 16)
    batch = inputs.kinds(50, 12, 1)["padded right"]
    expected = fairseq.expected_outputs(model, batch, heads)
    assert expected["mnli_logits"].shape == (4, 3) and expected["rte_logits"].shape == (4, 2)
    assert "pooled_output" not in expected
    for name, output in (
        ("RobertaForMaskedLM", "mlm_logits"),
        ("RobertaForSequenceClassification", "mnli_logits"),
    ):
        other = fairseq.build(name, zero_padding_row=True)
        own = {key: state[key] for key in other.state_dict() if key in state}
        assert not other.load_state_dict(own, strict=False).unexpected_keys
        logits = families.expected_outputs(other, batch)
        found = logits["mlm_logits" if output == "mlm_logits" else "classifier_logits"]
        np.testing.assert_array_equal(found, expected[output])


def test_another_encoder_is_refused() -> None:
    model = fairseq.build("RobertaForMaskedLM")
    other = fairseq.build("RobertaForSequenceClassification", zero_padding_row=True)
    with pytest.raises(AssertionError, match="another encoder"):
        fairseq.state_of(model, "new", {"mnli": other})
    with pytest.raises(AssertionError, match="no token types"):
        fairseq.state_of(families.build("RobertaForMaskedLM"), "new")

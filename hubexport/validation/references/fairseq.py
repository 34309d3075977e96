"""fairseq's RoBERTa as transformers knows it: state dict and configuration translated.

Names and meanings are those of fairseq's models/roberta and of transformers' conversion script
(`convert_roberta_original_pytorch_checkpoint_to_pytorch`), read independently of what the export
goes by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hubexport.errors import CheckpointError, some_of

_RENAMED = (
    (r"sentence_encoder\.embed_tokens\.weight", "roberta.embeddings.word_embeddings.weight"),
    (r"sentence_encoder\.embed_positions\.weight", "roberta.embeddings.position_embeddings.weight"),
    (r"sentence_encoder\.(emb_layer_norm|layernorm_embedding)\.(\w+)",
     r"roberta.embeddings.LayerNorm.\2"),
    (r"sentence_encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)",
     r"roberta.encoder.layer.\1.attention.output.dense.\2"),
    (r"sentence_encoder\.layers\.(\d+)\.self_attn_layer_norm\.(\w+)",
     r"roberta.encoder.layer.\1.attention.output.LayerNorm.\2"),
    (r"sentence_encoder\.layers\.(\d+)\.fc1\.(\w+)",
     r"roberta.encoder.layer.\1.intermediate.dense.\2"),
    (r"sentence_encoder\.layers\.(\d+)\.fc2\.(\w+)", r"roberta.encoder.layer.\1.output.dense.\2"),
    (r"sentence_encoder\.layers\.(\d+)\.final_layer_norm\.(\w+)",
     r"roberta.encoder.layer.\1.output.LayerNorm.\2"),
    (r"lm_head\.weight", "lm_head.decoder.weight"),
    (r"lm_head\.(dense|layer_norm)\.(\w+)", r"lm_head.\1.\2"),
    (r"lm_head\.bias", "lm_head.bias"),
)  # fmt: skip
_PROJECTION = re.compile(r"sentence_encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj\.(weight|bias)")
_FUSED = re.compile(r"sentence_encoder\.layers\.(\d+)\.self_attn\.in_proj_(weight|bias)")
_NAMES = {"q": "query", "k": "key", "v": "value"}
_HEAD = re.compile(r"classification_heads\.([^.]+)\.(dense|out_proj)\.(\w+)")
_BUFFER = re.compile(r".*(\.version|_float_tensor)")


def as_transformers(state: Mapping[str, Any]) -> dict[str, Any]:
    """fairseq's tensors under transformers' names.

    Of several classification heads none is taken: all keep fairseq's names.

    Raises:
      CheckpointError: a tensor that RoBERTa does not have.
    """
    translated: dict[str, Any] = {}
    strangers = []
    names = {full: re.sub(r"^(encoder|decoder)\.", "", full) for full in state}
    several = len({match[1] for name in names.values() if (match := _HEAD.fullmatch(name))}) > 1
    for full, value in state.items():
        name = names[full]
        if _BUFFER.fullmatch(name):
            continue
        if match := _HEAD.fullmatch(name):
            translated[full if several else f"classifier.{match[2]}.{match[3]}"] = value
        elif match := _PROJECTION.fullmatch(name):
            translated[_attention(match[1], _NAMES[match[2]], match[3])] = value
        elif match := _FUSED.fullmatch(name):
            for which, part in zip(_NAMES.values(), value.chunk(3), strict=True):
                translated[_attention(match[1], which, match[2])] = part.contiguous()
        else:
            for pattern, template in _RENAMED:
                if match := re.fullmatch(pattern, name):
                    translated[match.expand(template)] = value
                    break
            else:
                strangers.append(full)
    if strangers:
        raise CheckpointError(
            "the checkpoint is of another model than fairseq's RoBERTa",
            [("not known", some_of(strangers))],
            "record the outputs in the model's own code, and pass --source=file.",
        )
    bias = translated.get("lm_head.bias")
    if bias is not None:
        translated["lm_head.decoder.bias"] = bias
    words = translated.get("roberta.embeddings.word_embeddings.weight")
    if words is not None:  # fairseq has no token types: nothing is added
        translated["roberta.embeddings.token_type_embeddings.weight"] = words.new_zeros(
            1, words.shape[1]
        )
    return translated


def _attention(layer: str, which: str, leaf: str) -> str:
    return f"roberta.encoder.layer.{layer}.attention.self.{which}.{leaf}"


def configuration(settings: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """transformers' configuration of fairseq's settings; `state` is the translated one."""
    words = state["roberta.embeddings.word_embeddings.weight"]
    positions = state.get("roberta.embeddings.position_embeddings.weight")
    # Without the table it is listed among what is missing.
    rows = settings.get("max_positions", 512) + 2 if positions is None else positions.shape[0]
    classifier = state.get("classifier.out_proj.weight")
    return {
        "vocab_size": words.shape[0],
        "hidden_size": words.shape[1],
        "num_hidden_layers": settings.get("encoder_layers", 12),
        "num_attention_heads": settings.get("encoder_attention_heads", 12),
        "intermediate_size": settings.get("encoder_ffn_embed_dim", 3072),
        "max_position_embeddings": rows,
        "type_vocab_size": 1,
        "hidden_act": settings.get("activation_fn", "gelu"),
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
        "num_labels": 2 if classifier is None else classifier.shape[0],
    }

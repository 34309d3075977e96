"""The configurations of GPT and GPT-2."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from hubexport.families.bert_config import activation
from hubexport.families.configuration import Configuration
from hubexport.networks.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class GptConfig(EncoderConfig):
    """What shapes a GPT or GPT-2; see `EncoderConfig`.

    Attributes:
      embedding_dropout_prob: of the embeddings; None where it is `hidden_dropout_prob`.
      scale_attn_weights: whether attention scores are divided by the square root of the head size.
      scale_attn_by_inverse_layer_idx: whether they are divided by the block's number, too, counted
        from 1.
    """

    embedding_dropout_prob: float | None = None
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False


def read_gpt(
    configuration: Configuration, overridden: Collection[str], *, activation_key: str
) -> GptConfig:
    """config.json of transformers, or of pytorch_pretrained_bert.

    Both programs compute the tanh approximation where the configuration says nothing. "gelu" is
    that approximation, too, in GPT (key `afn`), and the error function in GPT-2
    (`activation_function`).

    Args:
      activation_key: what the family calls its activation.
    """
    get = configuration.integer
    for key in ("is_decoder", "add_cross_attention"):
        configuration.refuse(key, False, why="the model has no other to attend to")
    configuration.refuse("pruned_heads", {}, why="every layer must have all its heads")
    tied = "the language model multiplies by the table of words"
    configuration.refuse("tie_word_embeddings", True, why=tied)
    size = get("n_embd", aliases=("hidden_size",))
    layer_dropout = configuration.fraction("resid_pdrop", 0.1)
    embedding_dropout = configuration.fraction("embd_pdrop", 0.1)
    # pytorch_pretrained_bert counts the rows of special tokens, which come last, on their own.
    words = get("vocab_size", aliases=("vocab_size_or_config_json_file", "n_vocab"))
    words += get("n_special", 0, minimum=0)
    inner = configuration.values.get("n_inner")
    pad = configuration.values.get("pad_token_id")
    said = configuration.values.get(activation_key) is not None
    of_gelu = "tf1" if activation_key == "afn" else "hugging_face"
    return GptConfig(
        vocab_size=words,
        hidden_size=size,
        num_hidden_layers=get("n_layer", aliases=("num_hidden_layers",)),
        num_attention_heads=get("n_head", aliases=("num_attention_heads",)),
        intermediate_size=4 * size if inner is None else get("n_inner"),
        max_position_embeddings=get("n_positions", aliases=("n_ctx", "max_position_embeddings")),
        type_vocab_size=0,
        embedding_size=size,
        hidden_act=(
            activation(configuration, activation_key, of_gelu, overridden) if said else "gelu_tanh"
        ),
        layer_norm_eps=configuration.fraction("layer_norm_epsilon", 1e-5),
        hidden_dropout_prob=layer_dropout,
        attention_probs_dropout_prob=configuration.fraction("attn_pdrop", 0.1),
        pad_token_id=0 if pad is None else get("pad_token_id", minimum=0),
        embedding_dropout_prob=None if embedding_dropout == layer_dropout else embedding_dropout,
    )

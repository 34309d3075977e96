"""BERT's configuration files."""

from __future__ import annotations

from collections.abc import Collection

from hubexport.errors import ConfigurationError
from hubexport.families.configuration import Configuration
from hubexport.networks.config import ACTIVATIONS, EncoderConfig

_ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_approximate": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",  # fairseq's
    "gelu_python": "gelu_erf",
    "gelu_tanh": "gelu_tanh",
    "gelu_erf": "gelu_erf",
    "relu": "relu",
}
_GELU = {"tf1": "gelu_tanh", "tf2": "gelu_tanh", "hugging_face": "gelu_erf"}
"""What plain "gelu" computes: google-research/bert modeling.py and Model Garden's
activations.gelu take the tanh approximation, PyTorch's BERTs the error function."""


def read_json(
    configuration: Configuration,
    layout: str,
    overridden: Collection[str] = (),
    *,
    padded_positions: bool = False,
) -> EncoderConfig:
    """bert_config.json of google-research/bert, or config.json of transformers.

    Args:
      padded_positions: whether padding has a position of its own, its id's, and tokens those that
        follow, as in RoBERTa: the table has that many rows more than there are positions.
    """
    get, absolute = configuration.integer, "only absolute positions are supported"
    configuration.refuse("position_embedding_type", "absolute", why=absolute)
    configuration.refuse("is_decoder", False, why="an encoder sees both directions")
    configuration.refuse("add_cross_attention", False, why="an encoder has none")
    configuration.refuse("pruned_heads", {}, why="every layer must have all its heads")
    eps = 1e-12
    if layout == "hugging_face":
        eps = configuration.fraction("layer_norm_eps", eps)
    elif "layer_norm_eps" not in overridden:  # the other readers have 1e-12 in their code
        why = "google-research/bert and Model Garden compute with 1e-12 whatever it says; "
        why += "`hubexport encoder --layer_norm_eps` says which"
        configuration.refuse("layer_norm_eps", eps, why=why)
    factorized = configuration.values.get("embedding_size") is not None
    default_types = 2 if layout == "hugging_face" else 16
    positions = get("max_position_embeddings", 512)
    default_pad = 1 if padded_positions else 0
    pad = default_pad
    if configuration.values.get("pad_token_id") is not None:
        pad = get("pad_token_id", minimum=0)
    if padded_positions:
        positions -= pad + 1
        if positions < 1:
            why = f"padding's position is row {pad}, so that none is left"
            configuration.refuse("max_position_embeddings", why=why)
    return EncoderConfig(
        vocab_size=get("vocab_size"),
        hidden_size=get("hidden_size"),
        num_hidden_layers=get("num_hidden_layers"),
        num_attention_heads=get("num_attention_heads"),
        intermediate_size=get("intermediate_size"),
        max_position_embeddings=positions,
        type_vocab_size=get("type_vocab_size", default_types),
        embedding_size=get("embedding_size") if factorized else get("hidden_size"),
        hidden_act=activation(configuration, "hidden_act", layout, overridden),
        layer_norm_eps=eps,
        hidden_dropout_prob=configuration.fraction("hidden_dropout_prob", 0.1),
        attention_probs_dropout_prob=configuration.fraction("attention_probs_dropout_prob", 0.1),
        pad_token_id=pad,
    )


def read_model_garden(
    configuration: Configuration, layout: str, overridden: Collection[str] = ()
) -> EncoderConfig:
    """`BertEncoderConfig` of official/nlp/configs/encoders.py, with its defaults."""
    get = configuration.integer
    configuration.refuse("norm_first", False, why="only post-norm blocks are supported")
    configuration.refuse("output_range", why="the whole sequence is exported")
    hidden_size = get("hidden_size", 768)
    factorized = configuration.values.get("embedding_size") is not None
    return EncoderConfig(
        vocab_size=get("vocab_size", 30522),
        hidden_size=hidden_size,
        num_hidden_layers=get("num_layers", 12),
        num_attention_heads=get("num_attention_heads", 12),
        intermediate_size=get("intermediate_size", 3072),
        max_position_embeddings=get("max_position_embeddings", 512),
        type_vocab_size=get("type_vocab_size", 2),
        embedding_size=get("embedding_size") if factorized else hidden_size,
        hidden_act=activation(configuration, "hidden_activation", layout, overridden),
        layer_norm_eps=1e-12,
        hidden_dropout_prob=configuration.fraction("dropout_rate", 0.1),
        attention_probs_dropout_prob=configuration.fraction("attention_dropout_rate", 0.1),
    )


def activation(
    configuration: Configuration, name: str, layout: str, overridden: Collection[str]
) -> str:
    """The activation as what it computes, one of `ACTIVATIONS`."""
    value = configuration.text(name, "gelu")
    if "hidden_act" in overridden:  # replaced by the caller, and so whatever it is
        return value
    if value == "gelu":
        return _GELU[layout]
    if value not in _ACTIVATIONS:
        raise ConfigurationError(
            f"the activation {value!r} is not supported",
            [("configuration", str(configuration.path)), ("supported", ", ".join(_ACTIVATIONS))],
            f"if it computes the same as one of {', '.join(ACTIVATIONS)}, pass that to "
            "`hubexport encoder` as --hidden_act.",
        )
    return _ACTIVATIONS[value]

"""Model Garden's own networks, made from a model's configuration by its own classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from hubexport.errors import ConfigurationError
from hubexport.families.configuration import Configuration
from hubexport.families.heads import POSITIONS
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.references.sources import SIZES, first_line

_FIELDS = {"num_hidden_layers": "num_layers"}  # others are called the same


def read_config(configuration: Configuration) -> Any:
    """The model's `BertEncoderConfig`, of official/nlp/configs/encoders.py.

    Raises:
      ConfigurationError: a value is missing, or one that Model Garden does not know.
    """
    from official.legacy.bert import configs
    from official.nlp.configs import encoders

    try:
        if configuration.kind == "model_garden":
            config = encoders.BertEncoderConfig()
            config.override(dict(configuration.values))
            return config
        legacy = configs.BertConfig.from_json_file(str(configuration.path))
        return encoders.BertEncoderConfig(
            vocab_size=legacy.vocab_size,
            hidden_size=legacy.hidden_size,
            num_layers=legacy.num_hidden_layers,
            num_attention_heads=legacy.num_attention_heads,
            hidden_activation=legacy.hidden_act,
            intermediate_size=legacy.intermediate_size,
            max_position_embeddings=legacy.max_position_embeddings,
            type_vocab_size=legacy.type_vocab_size,
            embedding_size=legacy.embedding_size,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            "Model Garden cannot use the configuration",
            [("configuration", str(configuration.path)), ("Model Garden", first_line(error))],
            "pass the configuration that the checkpoint was trained with.",
        ) from error


def architecture(config: Any) -> Mapping[str, Any]:
    """Sizes as `Provenance.architecture` has them."""
    return {name: getattr(config, _FIELDS.get(name, name)) for name in SIZES}


def build_pretrainer(config: Any, kind: str, heads: Sequence[Mapping[str, Any]]) -> Any:
    """A `BertPretrainerV2` of random weights.

    Args:
      config: of `read_config`.
      kind: a key of `_ENCODERS`.
      heads: arguments of each `ClassificationHead`.

    Raises:
      ConfigurationError: Model Garden cannot make it.
    """
    import tensorflow as tf
    from official.modeling import tf_utils
    from official.nlp.modeling import layers, models

    try:
        pretrainer = models.BertPretrainerV2(
            _ENCODERS[kind](config),
            mlm_activation=tf_utils.get_activation(config.hidden_activation),
            classification_heads=[layers.ClassificationHead(**each) for each in heads],
        )
        with warnings.catch_warnings():
            # The encoder is given the heads' input, too, and says so.
            warnings.simplefilter("ignore", UserWarning)
            token = tf.zeros([1, 1], tf.int32)
            # Makes the heads' variables.
            pretrainer(dict.fromkeys((*ENCODER_INPUTS, POSITIONS), token))
    except (ValueError, TypeError, KeyError, AttributeError, ZeroDivisionError) as error:
        raise ConfigurationError(
            "Model Garden cannot make the model",
            [("Model Garden", first_line(error))],
            "pass the configuration that the checkpoint was trained with.",
        ) from error
    return pretrainer


def _functional(config: Any) -> Any:
    from official.nlp.configs import encoders

    return encoders.build_encoder(encoders.EncoderConfig(type="bert", bert=config))


def _v2(config: Any) -> Any:
    from official.nlp.configs import encoders

    return encoders.build_encoder(encoders.EncoderConfig(type="bert_v2", bert_v2=config))


def _talking_heads(config: Any) -> Any:
    """No factory of Model Garden makes it; dropout is left out, since nothing is trained here."""
    import tf_keras
    from official.modeling import tf_utils
    from official.nlp.modeling import layers, networks

    activation = tf_utils.get_activation(config.hidden_activation)
    heads, inner = config.num_attention_heads, config.intermediate_size
    block = {
        "num_attention_heads": heads,
        "inner_dim": inner,
        "inner_activation": activation,
        "attention_cls": layers.TalkingHeadsAttention,
        "attention_cfg": {
            "num_heads": heads,
            "key_dim": config.hidden_size // heads,
            "name": "self_attention",
        },
        "feedforward_cls": layers.GatedFeedforward,
        "feedforward_cfg": {
            "inner_dim": inner,
            "inner_activation": activation,
            "dropout": 0.0,
            "name": "feedforward",
        },
    }
    embeddings = {
        "vocab_size": config.vocab_size,
        "type_vocab_size": config.type_vocab_size,
        "hidden_size": config.hidden_size,
        "max_seq_length": config.max_position_embeddings,
        "initializer": tf_keras.initializers.Zeros(),
        "dropout_rate": 0.0,
    }
    return networks.EncoderScaffold(
        pooled_output_dim=config.hidden_size,
        embedding_cfg=embeddings,
        num_hidden_instances=config.num_layers,
        hidden_cls=layers.TransformerScaffold,
        hidden_cfg=block,
        return_all_layer_outputs=True,
        dict_outputs=True,
    )


_ENCODERS = {"functional": _functional, "v2": _v2, "scaffold": _talking_heads}
"""`BertEncoder`, `BertEncoderV2`, and `EncoderScaffold` of talking heads and gated GELU."""

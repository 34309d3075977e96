"""XLM's configurations: transformers' config.json, and `params` of the original program."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError, some_of
from hubexport.families.configuration import Configuration
from hubexport.networks.config import EncoderConfig

WORDS, POSITIONS = "embeddings.weight", "position_embeddings.weight"
"""Tables; in checkpoints they may be below a prefix."""


@dataclasses.dataclass(frozen=True)
class XlmConfig(EncoderConfig):
    """What shapes an XLM; see `EncoderConfig`.

    Attributes:
      causal: whether a token sees only those before it.
      language_vocab_size: rows of the table of languages; 0 where the network has none.
      language: name of the one that is added where no input says which; None for none.
      language_id: its row.
    """

    causal: bool = False
    language_vocab_size: int = 0
    language: str | None = None
    language_id: int | None = None


def read_xlm(
    configuration: Configuration, source: TensorSource, overridden: Collection[str]
) -> XlmConfig:
    """The configuration of either program; defaults are those of transformers' XLMConfig.

    The original program has the number of positions in its code, and takes that of words from a
    dictionary that is kept beside the weights: here, they are those of the tables' rows.
    """
    _refuse_others(source)
    get, flag = configuration.integer, configuration.flag
    refuse = configuration.refuse
    refuse("pruned_heads", {}, why="every layer must have all its heads")
    refuse("is_encoder", True, why="a decoder attends to another network")
    refuse("encoder_only", True, why="only encoders of their own are supported")
    refuse("asm", False, why="words are predicted by one layer, not by an adaptive softmax")
    refuse("use_memory", False, why="layers with memories are another network")
    refuse("pre_norm", False, why="only blocks that are normalized behind each layer are known")
    original = configuration.kind == "xlm_original"
    size, languages = get("emb_dim", aliases=("hidden_size",)), get("n_langs", 1)
    return XlmConfig(
        vocab_size=get(
            "n_words",
            _rows(source, WORDS) if original else None,
            aliases=("vocab_size", "vocab_size_or_config_json_file"),
        ),
        hidden_size=size,
        num_hidden_layers=get("n_layers", aliases=("num_hidden_layers",)),
        num_attention_heads=get("n_heads", aliases=("num_attention_heads",)),
        intermediate_size=4 * size,  # in the code of either program
        max_position_embeddings=get(
            "max_position_embeddings", _rows(source, POSITIONS) if original else 512
        ),
        type_vocab_size=0,
        embedding_size=size,
        hidden_act="gelu_erf" if flag("gelu_activation", True) else "relu",
        # In the original program's code.
        layer_norm_eps=1e-12 if original else configuration.fraction("layer_norm_eps", 1e-12),
        hidden_dropout_prob=configuration.fraction("dropout", 0.1),
        attention_probs_dropout_prob=configuration.fraction("attention_dropout", 0.1),
        pad_token_id=get("pad_token_id", 2, aliases=("pad_index",), minimum=0),
        causal=bool(says_causal(configuration)),
        language_vocab_size=languages if languages > 1 and flag("use_lang_emb", True) else 0,
    )


_OTHERS = {
    "a decoder's attention to another network": re.compile(
        r"(.*\.)?(encoder_attn|layer_norm15)\..*"
    ),
    "layers with memories": re.compile(r"(.*\.)?memories\..*"),
    "an adaptive softmax": re.compile(r"(.*\.)?pred_layer\.proj\.(head|tail)\b.*"),
}


def _refuse_others(source: TensorSource) -> None:
    for what, pattern in _OTHERS.items():
        if found := [name for name in source.tensors if pattern.fullmatch(name)]:
            raise ConfigurationError(
                f"the model has {what}, which is not supported",
                [("checkpoint", str(source.path)), (f"found ({len(found)})", some_of(found))],
                "pass an XLM that is an encoder of its own.",
            )


def _rows(source: TensorSource, table: str) -> int | None:
    found = (source.find(f"{prefix}{table}") for prefix in ("", "module."))
    return next((tensor.shape[0] for tensor in found if tensor and tensor.shape), None)


def says_causal(configuration: Configuration) -> bool | None:
    """Whether the model reads from left to right only; None where nothing says so.

    That is `causal`, or what the original program was told to train: words that come next
    (`clm_steps`) or masked ones (`mlm_steps`). Configurations of the published causal models have
    none of these.
    """
    values = configuration.values
    if values.get("causal") is not None:
        return configuration.flag("causal", False)
    causal, masked = (bool(values.get(f"{kind}_steps")) for kind in ("clm", "mlm"))
    return None if causal == masked else causal


def read_languages(configuration: Configuration) -> dict[str, int]:
    """Name -> row of the table of languages; {} where the configuration names none.

    Raises:
      ConfigurationError: `lang2id` or `id2lang` is of no usable form, or they contradict each
        other.
    """
    values = configuration.values
    numbers = _numbers(configuration, "lang2id", values.get("lang2id"))
    by_number = _numbers(configuration, "id2lang", _inverse(values.get("id2lang")))
    languages = numbers or by_number
    rows = set(range(configuration.integer("n_langs", 1)))
    wrong = [f"{name!r}: {row}" for name, row in languages.items() if row not in rows]
    if by_number and by_number != languages:
        found = f"lang2id {languages}, id2lang {by_number}"
        raise _unusable(configuration, found, "the same languages in both")
    if wrong or len(set(languages.values())) < len(languages):
        found = some_of(wrong) or f"lang2id {languages}"
        raise _unusable(configuration, found, f"numbers from 0 to {max(rows)}, each of one name")
    return languages


def _inverse(names: Any) -> Any:
    """JSON has no numbers for keys: {"0": "en"}."""
    if not isinstance(names, Mapping):
        return names
    return {
        name: int(key) if isinstance(key, str) and key.isdecimal() else key
        for key, name in names.items()
        if isinstance(name, str)
    }


def _numbers(configuration: Configuration, key: str, value: Any) -> dict[str, int]:
    if not value:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and type(number) is int for name, number in value.items()
    ):
        raise _unusable(configuration, f"{key} {str(value)[:80]}", "names and numbers")
    return dict(value)


def _unusable(configuration: Configuration, found: str, needed: str) -> ConfigurationError:
    return ConfigurationError(
        "the configuration's languages cannot be used",
        [("configuration", str(configuration.path)), ("found", found), ("needed", needed)],
        "pass the configuration that the checkpoint was trained with.",
    )

"""The words that a card may choose from, and what they are called on a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hubexport.families.heads import ARCHITECTURES, INTERFACES
from hubexport.families.registry import families
from hubexport.poolers import MODES

_UNCASED = 'Text is normalized the "uncased" way: it is lower-cased before it is split into'
_LOWER = "Text is lower-cased before it is split into pieces"
_CASED = 'Text is used the "cased" way: capitals'

CASINGS: Mapping[str, str] = {
    "lower case, accents stripped": f"{_UNCASED} pieces, and accents are stripped.",
    "lower case, accents kept": f"{_LOWER}; accents are kept.",
    "lower case": f"{_LOWER}.",
    "capitals kept, accents kept": f"{_CASED} and accents are kept.",
    "capitals kept, accents stripped": f"{_CASED} are kept, and accents are stripped.",
    "capitals kept": f"{_CASED} are kept.",
}
"""What `hubexport.cards.casing` knows of a tokenizer -> the page's sentence."""

OBJECTIVES: Mapping[str, str] = {
    # A head that is left of pre-training was trained by the objective of its name.
    **{
        head: INTERFACES[head].purpose
        for head, classes in ARCHITECTURES.items()
        if "ForPreTraining" in classes
    },
    "clm": "predicting the next token from those before it",
    "tlm": "guessing masked words with a translation of the text at hand",
    "plm": "predicting tokens in random order",
    "contrastive": "telling which of many texts belongs to a given one",
    "distillation": "predicting what a larger model predicts (distillation)",
    "cosine_embedding": "matching the direction of a larger model's vectors",
}

MASKING_UNITS: Mapping[str, str] = {
    "word_piece": "Words were masked piece by piece, each piece independently of the word's others",
    "whole_word": "Whole words were masked: all pieces of a word or none",
    "token": "Tokens were masked independently of each other",
}

WEIGHTS: Mapping[str, str] = {
    "unchanged": "The weights are unchanged from their original release{layout}.",
    "converted": "The weights are those of the original release, converted{layout}.",
}

LAYOUTS: Mapping[str, str] = {
    "tf1": " for TensorFlow 1",
    "tf2": " for TensorFlow 2",
    "hugging_face": " in Hugging Face's format",
    "openai": " in OpenAI's format",
    "fairseq": " in fairseq's format",
    "xlm_original": " in XLM's own format",
    "other": "",
}

RELATIONS: Mapping[str, str] = {
    "converted": "Converted from",
    "fine_tuned": "Fine-tuned from",
    "distilled": "Distilled from",
}

ACTIVATIONS: Mapping[str, str] = {
    "gelu_tanh": "GELU, approximated with tanh",
    "gelu_erf": "GELU, exact (erf)",
    "relu": "ReLU",
}

PADDINGS: Mapping[str, str] = {
    "compute": "computed as tokens are",
    "skip": "skipped: outputs are 0 there",
}

TRUNCATIONS: Mapping[str, str] = {
    "round_robin": "sharing the space evenly between segments that do not fit",
    "longest_first": "truncating the longest segment first where they do not fit",
}

TOKENIZERS: Mapping[str, str] = {
    "wordpiece": "WordPiece",
    "byte_level_bpe": "byte-level BPE",
    "bpe": "BPE",
    "xlm": "XLM's BPE",
    "transformer_xl": "whole words, as in Transformer-XL",
    "sentencepiece": "SentencePiece",
}

AXES: Mapping[str, str] = {
    "B": "batch_size", "S": "seq_length", "N": "num_predict", "C": "num_choices",
}  # fmt: skip
"""Axes of `hubexport.families.heads` -> what the pages call them."""

POOLINGS = MODES
"""Pooling of sentence-transformers -> what it gives."""

SIMILARITIES: Mapping[str, str] = {
    "cosine": "the cosine of the angle between their embeddings",
    "dot": "the dot product of their embeddings",
    "euclidean": "the distance between their embeddings, with a minus sign",
    "manhattan": "the sum of the differences between the numbers of their embeddings, with a minus "
    "sign",
}
"""As sentence-transformers calls them -> how similar two texts are."""

AGGREGATIONS: Mapping[str, str] = {
    "none": "each is an entity by itself",
    "simple": "neighbours of the same class are an entity",
    "first": "neighbouring words of the same class are an entity; a word has the class of its "
    "first token",
    "average": "neighbouring words of the same class are an entity; a word has the class with the "
    "highest mean over its tokens",
    "max": "neighbouring words of the same class are an entity; a word has the class of its "
    "likeliest token",
}
"""How tokens become entities, as transformers calls it."""

LANGUAGES: Mapping[str, str] = {
    # ISO 639-1, of the languages that the catalogue needs; one for all that are not listed.
    "ar": "Arabic", "bg": "Bulgarian", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fr": "French", "hi": "Hindi", "ro": "Romanian", "ru": "Russian",
    "sw": "Swahili", "th": "Thai", "tr": "Turkish", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese", "multilingual": "many languages",
}  # fmt: skip


DESCRIBED: Mapping[str, str] = {}
"""Families that cards may name though hubexport does not export them, and their names in print."""


def shape(axes: Iterable[str | int]) -> str:
    """Of a tensor: `[batch_size, 3]`."""
    return f"[{', '.join(AXES.get(str(axis), str(axis)) for axis in axes)}]"


def tensor(spec: Mapping[str, Any]) -> str:
    """Of a signature's input or output, as the record has it: `float32 [batch_size, 384]`."""
    axes = ["?" if axis is None else axis for axis in spec["shape"]]
    return f"{spec['dtype']} {shape(['B', *axes[1:]] if axes[:1] == ['?'] else axes)}"


def head_title(name: str) -> str:
    """A head as it is called in print; one that is not known stays a name."""
    return INTERFACES[name].title if name in INTERFACES else name


def family_name(family: str) -> str:
    """A family as it is called in print: "BERT", "Transformer-XL"."""
    return families()[family].title if family in families() else DESCRIBED[family]

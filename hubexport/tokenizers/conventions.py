"""What the tokenizers of each kind of model agree on: special tokens and packing.

Model types are called as in the `model_type` of Hugging Face configurations. Packing templates are
written much as Hugging Face's `TemplateProcessing` does: `$A` and `$B` are the texts, `start` and
`end` the special tokens, and each place has its entry of `input_type_ids` behind a colon.

Sources: google-research/bert, run_classifier.py; zihangdai/xlnet, classifier_utils.py; and the
tokenization modules of huggingface/transformers, which are what users of the others know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping
from typing import Literal

from hubexport.tokenizers.definition import AddedToken, PackingTemplate, Segment, Token

OPTIONAL = ("mask_id",)
"""The special tokens that a vocabulary may lack: packing needs all others, and fine-tuned models
are published without a token to mask with."""


@dataclasses.dataclass(frozen=True)
class Convention:
    """Attributes:

    kind: the kind of tokenizer.
    special_tokens: standard name -> piece, of those that there are.
    literals: the pieces that are recognised in text, where a file does not tell.
    lstrip: those of them that take white space in front of them along.
    single, pair: the packing of one and of two texts.
    padding_type_id, padding_side: see `PackingTemplate`.
    appended: pieces that have their ids behind those of a SentencePiece model.
    appended_have_scores: whether the model may spell text with them, too.
    fairseq_ids: whether a SentencePiece model's ids are fairseq's: its three special pieces are
      four, and a mask follows the others.
    options: the attributes of `TokenizerOptions` that say something of such a tokenizer, beside
      those that do of all.
    """

    kind: str
    special_tokens: Mapping[str, str]
    literals: tuple[str, ...]
    single: str
    pair: str
    lstrip: tuple[str, ...] = ()
    padding_type_id: int = 0
    padding_side: Literal["right", "left"] = "right"
    appended: tuple[str, ...] = ()
    appended_have_scores: bool = False
    fairseq_ids: bool = False
    options: tuple[str, ...] = ()

    def evidence(self, vocabulary: Container[str]) -> int:
        """How many of the pieces a vocabulary has; 0 if a special one is missing."""
        if not all(piece in vocabulary for piece in self.special_tokens.values()):
            return 0
        return len([piece for piece in self.literals if piece in vocabulary])

    def added_tokens(self, vocabulary: Mapping[str, int]) -> tuple[AddedToken, ...]:
        """The literals that are recognised in text."""
        return tuple(
            AddedToken(piece, vocabulary[piece], lstrip=piece in self.lstrip)
            for piece in self.literals
            if piece in vocabulary
        )

    def packing(self, special_tokens: Mapping[str, int]) -> PackingTemplate:
        """The template with ids.

        Args:
          special_tokens: standard name -> id.
        """
        return PackingTemplate(
            _places(self.single, special_tokens),
            _places(self.pair, special_tokens),
            padding_id=special_tokens["padding_id"],
            padding_type_id=self.padding_type_id,
            padding_side=self.padding_side,
        )


_NAMES = {"start": "start_of_sequence_id", "end": "end_of_segment_id"}


def _places(template: str, special_tokens: Mapping[str, int]) -> tuple[Token | Segment, ...]:
    places: list[Token | Segment] = []
    for place in template.split():
        name, type_id = place.rsplit(":", 1)
        if name in _NAMES:
            places.append(Token(special_tokens[_NAMES[name]], int(type_id)))
        else:
            places.append(Segment("AB".index(name[1]), int(type_id)))
    return tuple(places)


def _special(padding: str, start: str = "", end: str = "", mask: str = "") -> dict[str, str]:
    names = {
        "padding_id": padding,
        "start_of_sequence_id": start,
        "end_of_segment_id": end,
        "mask_id": mask,
    }
    return {name: piece for name, piece in names.items() if piece}


_BERT = Convention(
    "wordpiece",
    _special("[PAD]", "[CLS]", "[SEP]", "[MASK]"),
    ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    "start:0 $A:0 end:0",
    "start:0 $A:0 end:0 $B:1 end:1",
    options=("do_lower_case", "strip_accents", "normalization"),
)
_ROBERTA = Convention(
    "byte_level_bpe",
    _special("<pad>", "<s>", "</s>", "<mask>"),
    ("<s>", "<pad>", "</s>", "<unk>", "<mask>"),
    "start:0 $A:0 end:0",
    "start:0 $A:0 end:0 end:0 $B:0 end:0",
    lstrip=("<mask>",),
)
# <extra_id_0> is the last piece of all.
_SENTINELS = tuple(f"<extra_id_{number}>" for number in reversed(range(100)))
_WITHOUT_SPECIALS = ("$A:0", "$A:0 $B:1")

CONVENTIONS: Mapping[str, Convention] = {
    "bert": _BERT,
    "distilbert": _BERT,
    "electra": _BERT,
    "roberta": _ROBERTA,
    # No padding of their own: the mask tells it apart. Users of GPT-2 commonly take this one.
    "gpt2": Convention(
        "byte_level_bpe", _special("<|endoftext|>"), ("<|endoftext|>",), *_WITHOUT_SPECIALS
    ),
    "openai-gpt": Convention("bpe", _special("<unk>"), ("<unk>",), *_WITHOUT_SPECIALS),
    "xlm": Convention(
        "xlm",
        _special("<pad>", "<s>", "</s>", "<special1>"),
        ("<s>", "<pad>", "</s>", "<unk>", *(f"<special{number}>" for number in range(10))),
        "start:0 $A:0 end:0",
        "start:0 $A:0 end:0 $B:1 end:1",
        options=("do_lower_case", "language"),
    ),
    "transfo-xl": Convention(
        "transformer_xl",
        _special("<eos>"),
        ("<eos>", "<unk>"),
        *_WITHOUT_SPECIALS,
        options=("do_lower_case",),
    ),
    "xlnet": Convention(
        "sentencepiece",
        _special("<pad>", "<cls>", "<sep>", "<mask>"),
        ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eop>", "<eod>"),
        "$A:0 end:0 start:2",
        "$A:0 end:0 $B:1 end:1 start:2",
        lstrip=("<mask>",),
        padding_type_id=3,
        padding_side="left",
        options=("do_lower_case", "strip_accents"),
    ),
    "albert": Convention(
        "sentencepiece",
        _special("<pad>", "[CLS]", "[SEP]", "[MASK]"),
        ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        "start:0 $A:0 end:0",
        "start:0 $A:0 end:0 $B:1 end:1",
        lstrip=("[MASK]",),
        options=("do_lower_case", "strip_accents", "normalization"),
    ),
    "xlm-roberta": dataclasses.replace(_ROBERTA, kind="sentencepiece", fairseq_ids=True),
    "t5": Convention(
        "sentencepiece",
        _special("<pad>", end="</s>"),
        ("</s>", "<unk>", "<pad>", *_SENTINELS),
        "$A:0 end:0",
        "$A:0 end:0 $B:0 end:0",
        appended=_SENTINELS,
        appended_have_scores=True,
    ),
}
"""Model type -> convention. LAMBERT, talking-heads BERT and the like are "bert" here."""

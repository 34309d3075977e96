"""Model buffers that make tensorflow_text's fast BERT kernels do what `tokenizers` does.

FastBertNormalizer maps code points to text, by a table. FastWordpieceTokenizer splits at white
space, punctuation and CJK characters - those of its own Unicode version - and finds the pieces of
each word. Where the two sides disagree, the table makes up for it:

- what the kernel does not split at, but should, is padded with spaces;
- what it splits at, but should not, becomes a private use character: one of its own where pieces
  have it (they are translated alike), and otherwise one that no piece has, so that the word is
  unknown, as it was. Private use characters of the text itself are dropped by BERT's cleaning.

Code points that Unicode has not assigned yet are kept out in the same way: a later version of the
kernel may split at them. So ids do not depend on the version that runs the graph.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_text as text
from tensorflow_text.core.pybinds import (
    pywrap_fast_wordpiece_tokenizer_model_builder as model_builder,
)

from hubexport.tokenizers.tables import bert_characters
from hubexport.tokenizers.tables.normalizer import build_normalizer
from hubexport.tokenizers.wordpiece.json import CONTINUATION
from hubexport.tokenizers.wordpiece.model import WordPieceModel

_UNKNOWN_CHARACTER = "\ue000"
_STAND_INS = (*range(0xE001, 0xF900), *range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE))
_UNASSIGNED_BELOW = 0x20000
"""No punctuation is to be expected in the planes from here on."""
_LAST = 0x40000
"""No letters either, only variation selectors, tags and private use."""
_UNKNOWN_SCRIPT = 103  # ICU's USCRIPT_UNKNOWN: unassigned, private use or no character


class Buffers(NamedTuple):
    """Attributes:

    normalizer: uint8, for FastBertNormalizer.
    wordpiece: uint8, for FastWordpieceTokenizer; ids are those of the model.
    lengths: int32 [pieces], characters of text that each piece spells; 0 if none does.
    """

    normalizer: np.ndarray
    wordpiece: np.ndarray
    lengths: np.ndarray


def build_buffers(model: WordPieceModel) -> Buffers:
    """The buffers of a model."""
    kernel = _kernel()
    kept_together = _kept_together(model.tokenize_chinese_chars)
    alphabet = set(map(ord, set().union(*model.pieces)))
    known = frozenset(alphabet & (kept_together | kernel.unassigned))
    pieces = _spelled(model.pieces, _stand_ins(model.tokenize_chinese_chars, known))
    normalizer = _normalizer(
        model.lower_case, model.strip_accents, model.tokenize_chinese_chars, known
    )
    wordpiece = model_builder.build_fast_wordpiece_model(
        pieces,
        # Longer words have more characters than are allowed, in whatever script.
        4 * (model.max_input_chars_per_word + 1),
        CONTINUATION,
        pieces[model.unknown_id],
        False,  # no_pretokenization
        False,  # support_detokenization
    )
    lengths = [
        len(piece.removeprefix(CONTINUATION)) if piece == own_piece else 0
        for piece, own_piece in zip(_spelled(model.pieces, {}), model.pieces, strict=True)
    ]
    return Buffers(normalizer, np.frombuffer(wordpiece, np.uint8), np.array(lengths, np.int32))


@functools.cache
def _kept_together(tokenize_chinese_chars: bool) -> frozenset[int]:
    """Code points that the kernel splits at, and should not."""
    splits = bert_characters.punctuation()
    if tokenize_chinese_chars:
        splits |= bert_characters.cjk()
    return (_kernel().splits | _kernel().spaces) - splits - bert_characters.white_space()


def _stand_ins(tokenize_chinese_chars: bool, known: frozenset[int]) -> dict[int, str]:
    """Code point -> the private use character in its place.

    Args:
      tokenize_chinese_chars: see `WordPieceModel`.
      known: the code points in question that pieces have.
    """
    kept_together = _kept_together(tokenize_chinese_chars)
    stand_ins = dict.fromkeys((kept_together | _kernel().unassigned) - known, _UNKNOWN_CHARACTER)
    own = zip(sorted(kept_together & known), _STAND_INS, strict=False)
    return stand_ins | {code_point: chr(stand_in) for code_point, stand_in in own}


@functools.lru_cache(maxsize=8)
def _normalizer(
    lower_case: bool, strip_accents: bool, tokenize_chinese_chars: bool, known: frozenset[int]
) -> np.ndarray:
    """The buffer of FastBertNormalizer; a second of work, and the same for most vocabularies."""
    kernel_splits = _kernel().splits
    changed = bert_characters.normalized(lower_case, strip_accents)
    padded = {c: f" {chr(c)} " for c in bert_characters.punctuation() - kernel_splits}
    single = {**_stand_ins(tokenize_chinese_chars, known), **padded}
    cjk = bert_characters.cjk() if tokenize_chinese_chars else frozenset()

    def replacement(code_point: int) -> str:
        characters = changed.get(code_point, chr(code_point))
        if code_point in cjk:
            alone = len(characters) == 1 and ord(characters) in kernel_splits
            return characters if alone else f" {characters} "
        return characters.translate(single)

    candidates = changed.keys() | single.keys() | (cjk - kernel_splits)
    result = {c: replacement(c) for c in candidates}
    return build_normalizer({c: new for c, new in result.items() if new != chr(c)})


def _spelled(pieces: Sequence[str], stand_ins: dict[int, str]) -> list[str]:
    """Pieces as normalized text spells them, for the kernel.

    Those that no text can reach, but the kernel would, get a name that it skips: several
    characters with punctuation, and with a control character, which no other piece has then.
    """
    unreachable = _unreachable()
    return [
        f"[\x11{number}]"
        if piece == CONTINUATION or not unreachable.isdisjoint(piece)
        else piece.translate(stand_ins)
        for number, piece in enumerate(pieces)
    ]


@functools.cache
def _unreachable() -> frozenset[str]:
    """Characters that no word has."""
    return frozenset(map(chr, bert_characters.removed() | bert_characters.white_space()))


class _Kernel(NamedTuple):
    """Code points as the installed packages see them.

    Attributes:
      splits: what FastWordpieceTokenizer makes words of.
      spaces: what it drops between words.
      unassigned: what has no script yet, in the first planes; private use is not among it.
    """

    splits: frozenset[int]
    spaces: frozenset[int]
    unassigned: frozenset[int]


@functools.cache
def _kernel() -> _Kernel:
    """Asks the kernel by "a.a": punctuation gives three words, white space two, all else one."""
    code_points = np.array([*range(1, 0xD800), *range(0xE000, _LAST)], np.int32)
    model = model_builder.build_fast_wordpiece_model(
        ["[UNK]", "a"], 16, CONTINUATION, "[UNK]", False, False
    )
    tokenizer = text.FastWordpieceTokenizer(
        model_buffer=tf.constant(np.frombuffer(model, np.uint8)), token_out_type=tf.int32
    )
    around = np.full_like(code_points, ord("a"))
    texts = tf.strings.unicode_encode(np.stack([around, code_points, around], axis=1), "UTF-8")
    words = tokenizer.tokenize(texts).row_lengths().numpy()
    without_script = tf.strings.unicode_script(code_points).numpy() == _UNKNOWN_SCRIPT
    unassigned = without_script & (code_points < _UNASSIGNED_BELOW)
    return _Kernel(
        frozenset(code_points[words == 3].tolist()),
        frozenset(code_points[words == 2].tolist()),
        frozenset(code_points[unassigned].tolist()) - bert_characters.removed(),
    )

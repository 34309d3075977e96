"""What is done to text before a tokenizer sees it, and undone in its result.

1. Bytes that are not UTF-8 become U+FFFD, one for each maximal wrong sequence, as in Python's
   `bytes.decode("utf-8", "replace")`. So every tokenizer may take text to be valid, and use the
   bytes 0xF8 to 0xFF, which UTF-8 never has, for marks of its own.
2. Literal special tokens (`[MASK]`, `<|endoftext|>`) cut the text into fragments, which are
   tokenized apart; the literals themselves become their ids. Where several match, the leftmost
   and then the longest counts, as in Hugging Face's tokenizers (`AddedVocabulary`).

Both cost next to nothing where there is nothing to do: one look at the batch decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from hubexport.tokenizers.definition import AddedToken, InGraphTokenizer
from hubexport.tokenizers.graph.ragged import rows_of_values
from hubexport.tokenizers.tables.characters import re2_class, re2_class_without

WHITE_SPACE = (
    r"\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}"
    r"\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
"""Unicode's White_Space for an RE2 class; RE2's own \\s is ASCII only."""

_SEPARATOR = b"\xfe"
_MARK = b"\xfd"  # in front of a literal
_ALL = 2**31 - 1
# RE2's dot would also take overlong forms and code points beyond the last.
_VALID = r"[\x{0}-\x{d7ff}\x{e000}-\x{10ffff}]*"


class SpecialTokensInText(tf.Module):
    """A tokenizer that takes any bytes and knows literal special tokens."""

    def __init__(self, tokenizer: InGraphTokenizer, added_tokens: Sequence[AddedToken]):
        """Args:
        tokenizer: for the text between the literals.
        added_tokens: the literals; none to take all text as text.
        """
        super().__init__(name="special_tokens_in_text")
        self._tokenizer = tokenizer
        self._literals = tuple(added_tokens)
        if self._literals:
            longest_first = sorted(self._literals, key=lambda token: -len(token.content))
            alternatives = "|".join(map(_pattern, longest_first))
            self._any = f"(?s).*(?:{'|'.join(re.escape(t.content) for t in longest_first)}).*"
            self._each = f"({alternatives})"
            self._plain = _plain([token.content for token in longest_first])

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)] or [batch, (words), (pieces)]."""
        return self.group(self.pieces(texts))

    def pieces(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """As `tokenize`, but without words where the tokenizer finds them afterwards."""
        tokenize = getattr(self._tokenizer, "pieces", self._tokenizer.tokenize)
        if not self._literals:
            return tokenize(valid_utf8(texts))
        cut = self._cut(texts)
        return _join(cut, tokenize(cut.fragments), cut.literal)

    def group(self, ids: tf.RaggedTensor) -> tf.RaggedTensor:
        """What `pieces` gave -> what `tokenize` gives."""
        return self._tokenizer.group(ids) if hasattr(self._tokenizer, "group") else ids

    def tokenize_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Ids with the bytes of the text that each stands for.

        Where the text is not UTF-8, the bytes are those of the text with U+FFFD in it.

        Args:
          texts: string [batch].

        Returns:
          ids int32, first byte int64, byte after the last int64, of the same row splits.
        """
        tokenizer: Any = self._tokenizer
        return self._with_offsets(texts, tokenizer.tokenize_with_offsets)

    def words_with_offsets(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """As `tokenize_with_offsets`, [batch, (words), (pieces)] whatever `tokenize` gives.

        Words are what the tokenizer cuts texts into before it looks for pieces; a literal is one.
        """
        tokenizer: Any = self._tokenizer
        tokenize = getattr(tokenizer, "words_with_offsets", tokenizer.tokenize_with_offsets)
        return self._with_offsets(texts, tokenize)

    def _with_offsets(
        self, texts: tf.Tensor, tokenize: Callable[[tf.Tensor], Any]
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        if not self._literals:
            ids, starts, limits = tokenize(valid_utf8(texts))
            return ids, starts, limits
        cut = self._cut(texts)
        ids, starts, limits = tokenize(cut.fragments)
        splits = ids.row_splits
        for inner in ids.nested_row_splits[1:]:
            splits = tf.gather(inner, splits)
        begins = tf.gather(cut.begins, rows_of_values(splits))  # one per piece
        return (
            _join(cut, ids, cut.literal),
            _join(cut, starts.with_flat_values(starts.flat_values + begins), cut.begins),
            _join(cut, limits.with_flat_values(limits.flat_values + begins), cut.ends),
        )

    def _cut(self, texts: tf.Tensor) -> _Cut:
        def pieces(texts: tf.Tensor) -> list[tf.Tensor]:
            marked = tf.strings.regex_replace(
                texts, self._each, _SEPARATOR + _MARK + rb"\1" + _SEPARATOR
            )
            split = tf.strings.split(marked, _SEPARATOR)
            flat, splits = split.values, tf.cast(split.row_splits, tf.int64)
            is_literal = tf.equal(tf.strings.substr(flat, 0, 1), _MARK)
            # The op refuses to take anything off an empty string.
            unmarked = tf.strings.substr(tf.where(is_literal, flat, _MARK), 1, _ALL)
            flat = tf.where(is_literal, unmarked, flat)
            stripped = tf.strings.regex_replace(flat, f"^[{WHITE_SPACE}]+|[{WHITE_SPACE}]+$", "")
            contents = tf.constant([token.content.strip() for token in self._literals])
            same = tf.equal(stripped[:, tf.newaxis], contents)  # [F, literals]
            ids = tf.constant([token.id for token in self._literals], tf.int32)
            literal = tf.gather(ids, tf.argmax(tf.cast(same, tf.int32), axis=1))
            literal = tf.where(is_literal, literal, -1)
            # Bytes in front of each fragment, less those in front of its text.
            ends = tf.cumsum(tf.cast(tf.strings.length(flat), tf.int64))
            before = tf.gather(tf.concat([[0], ends], axis=0), splits[:-1])
            ends -= tf.gather(before, rows_of_values(splits))
            begins = ends - tf.cast(tf.strings.length(flat), tf.int64)
            return [tf.where(is_literal, "", flat), literal, splits, begins, ends]

        def whole(texts: tf.Tensor) -> list[tf.Tensor]:
            count = tf.size(texts, out_type=tf.int64)
            zeros = tf.zeros([count], tf.int64)
            return [texts, tf.fill([count], -1), tf.range(count + 1), zeros, zeros]

        def suspicious() -> list[tf.Tensor]:
            valid = valid_utf8(texts)
            found = tf.reduce_any(tf.strings.regex_full_match(valid, self._any))
            return [found, *tf.cond(found, lambda: pieces(valid), lambda: whole(valid))]

        # One look at all texts is quicker than one at each. No character and no literal goes on
        # behind a line feed.
        everything = tf.strings.reduce_join(texts, separator="\n")
        plain = tf.strings.regex_full_match(everything, self._plain)
        return _Cut(*tf.cond(plain, lambda: [tf.constant(False), *whole(texts)], suspicious))


class _Cut(NamedTuple):
    """Texts in fragments, F in all.

    Attributes:
      found: bool scalar, whether there is any literal. If not, the fragments are the texts.
      fragments: string [F]; "" in the place of a literal.
      literal: int32 [F], a literal's id, or -1.
      splits: int64 [batch + 1], each text's share of the fragments.
      begins, ends: int64 [F], first byte and byte after the last in the text.
    """

    found: tf.Tensor
    fragments: tf.Tensor
    literal: tf.Tensor
    splits: tf.Tensor
    begins: tf.Tensor
    ends: tf.Tensor


def _join(cut: _Cut, values: tf.RaggedTensor, own: tf.Tensor) -> tf.RaggedTensor:
    """[F, (pieces)] or [F, (words), (pieces)] -> [batch, ...], with the literals in their places.

    Args:
      values: of the fragments; nothing for literals.
      own: [F], the value that a literal has instead.
    """

    def joined() -> list[tf.Tensor]:
        is_literal = cut.literal >= 0
        inner, splits = values.values, values.row_splits
        count, extra = splits[-1], tf.size(own, tf.int64)
        # Behind all values (words) come the literals', one for each fragment.
        if isinstance(inner, tf.RaggedTensor):
            last = inner.row_splits[-1]
            inner = tf.RaggedTensor.from_row_splits(
                tf.concat([inner.values, own], axis=0),
                tf.concat([inner.row_splits, last + 1 + tf.range(extra)], axis=0),
                validate=False,
            )
        else:
            inner = tf.concat([inner, own], axis=0)
        starts = tf.where(is_literal, count + tf.range(extra), splits[:-1])
        limits = tf.where(is_literal, starts + 1, splits[1:])
        index = tf.raw_ops.RaggedRange(
            starts=starts, limits=limits, deltas=tf.constant(1, tf.int64)
        )
        return _parts(tf.gather(inner, index.rt_dense_values), index.rt_nested_splits)

    def as_is() -> list[tf.Tensor]:
        return _parts(values.values, values.row_splits)

    *inner, flat, splits = tf.cond(cut.found, joined, as_is)
    splits = tf.gather(splits, cut.splits)
    for inner_splits in inner:
        flat = tf.RaggedTensor.from_row_splits(flat, inner_splits, validate=False)
    return tf.RaggedTensor.from_row_splits(flat, splits, validate=False)


def _parts(inner: tf.Tensor | tf.RaggedTensor, splits: tf.Tensor) -> list[tf.Tensor]:
    if isinstance(inner, tf.RaggedTensor):
        return [inner.row_splits, inner.values, splits]
    return [inner, splits]


def _pattern(token: AddedToken) -> str:
    before = f"[{WHITE_SPACE}]*" if token.lstrip else ""
    after = f"[{WHITE_SPACE}]*" if token.rstrip else ""
    return before + re.escape(token.content) + after


def _plain(literals: Sequence[str]) -> str:
    """A regular expression of texts that are UTF-8 and have no beginning of a literal.

    One look at a text is to clear it of both suspicions. It matches unless somewhere a first
    character of literals is followed by a second and that by a third one.
    """
    first = {ord(literal[0]) for literal in literals}
    other = re2_class_without(first)
    second, third = ({ord(literal[i]) for literal in literals if len(literal) > i} for i in (1, 2))
    if min(map(len, literals)) < 3 or first & (second | third) or "\n" in "".join(literals):
        return f"[{other}]*"
    a, b = re2_class(first), re2_class(second)
    not_second, not_third = re2_class_without(first | second), re2_class_without(first | third)
    # Behind a first character: nothing that leads on, or a second one and nothing that does.
    return (
        f"(?:[{other}]|[{a}]+(?:[{b}][{a}]+)*(?:[{not_second}]|[{b}][{not_third}]))*"
        f"(?:[{a}]+(?:[{b}][{a}]+)*[{b}]?)?"
    )


def valid_utf8(texts: tf.Tensor) -> tf.Tensor:
    """string [batch], with U+FFFD in the place of bytes that are not UTF-8."""
    return tf.cond(
        tf.reduce_all(tf.strings.regex_full_match(texts, _VALID)),
        lambda: texts,
        lambda: tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace"),
    )

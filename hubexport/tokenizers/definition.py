"""What a tokenizer is, before any graph is made of it.

Readers of tokenizer files (`wordpiece`, `byte_level_bpe`, ...) check what they are given and
answer a `TokenizerDefinition`. It says everything that the exporter, the record and the packing
need; only its `make` imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import tensorflow as tf

Reference: TypeAlias = Callable[[Sequence[str]], list[list[int]]]
"""An independent implementation: texts -> ids. Literal special tokens are recognised; none are
added."""


class InGraphTokenizer(Protocol):
    """What `TokenizerDefinition.make` gives: a tf.Module with at least `tokenize`.

    Texts arrive as valid UTF-8, and free of the literal special tokens that are to be recognised:
    see `hubexport.tokenizers.graph.special_tokens`. Ids are int32. All methods can be traced.

    A tokenizer may also have

        tokenize_with_offsets(texts) -> (ids, starts, limits)

    with int64 starts and limits of the same row splits: the bytes of the *text as given* that each
    piece stands for; and

        detokenize(ids) -> string [batch]       for int32 ids [batch, (pieces)]

    and, where words take time that packing can do without, the two halves of `tokenize`:

        pieces(texts) -> int32 [batch, (pieces)]
        group(ids) -> int32 [batch, (words), (pieces)].
    """

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """string [batch] -> int32 [batch, (pieces)] or [batch, (words), (pieces)]."""


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A literal that is recognised in text before anything else is done to it.

    Attributes:
      content: the literal.
      id: its id.
      lstrip, rstrip: whether white space in front of or behind it goes with it.
    """

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False


@dataclasses.dataclass(frozen=True)
class Token:
    """A special token's place in a packed sequence, and its entry in `input_type_ids`."""

    id: int
    type_id: int = 0


@dataclasses.dataclass(frozen=True)
class Segment:
    """A text's place in a packed sequence: 0 for the first, 1 for the second."""

    index: int
    type_id: int = 0


@dataclasses.dataclass(frozen=True)
class PackingTemplate:
    """How a family of encoders arranges one or two texts.

    Attributes:
      single: the places for one text.
      pair: the places for two texts.
      padding_id: what fills up `input_word_ids`.
      padding_type_id: what fills up `input_type_ids`.
      padding_side: where the padding stands.
    """

    single: tuple[Token | Segment, ...]
    pair: tuple[Token | Segment, ...]
    padding_id: int
    padding_type_id: int = 0
    padding_side: Literal["right", "left"] = "right"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerDefinition:
    """Attributes:

    kind: "wordpiece", "byte_level_bpe", ...: a term of the field, for the record.
    pieces: the pieces in the order of their ids, special ones included.
    unknown_id: the id for what cannot be spelled; None where there is nothing of that kind.
    special_tokens: standard name (`padding_id`, `start_of_sequence_id`, `end_of_segment_id`,
      `mask_id`) -> id, of those that the tokenizer has.
    added_tokens: the literals recognised in text.
    packing: how encoder inputs are arranged.
    settings: what else decides the ids (casing, normalization, ...), as the record shows it.
    files: what it was read from, the vocabulary first.
    make: builds the graph's part; imports TensorFlow.
    reference: builds an independent implementation from the same files; raises ImportError where
      its package is not installed. None where there is none.
    reference_name: the package of it, such as "tokenizers", or "one and another".
    differences: why some texts may have ids other than the reference's; "" if none may.
    no_offsets: why there is no `tokenize_with_offsets`; "" if there is one.
    no_detokenize: why there is no `detokenize`; "" if there is one.
    warnings: sentences for the user.
    """

    kind: str
    pieces: tuple[str, ...] = dataclasses.field(repr=False)
    unknown_id: int | None
    special_tokens: Mapping[str, int]
    added_tokens: tuple[AddedToken, ...]
    packing: PackingTemplate
    settings: Mapping[str, Any]
    files: tuple[Path, ...]
    make: Callable[[], InGraphTokenizer] = dataclasses.field(repr=False)
    reference: Callable[[], Reference] | None = dataclasses.field(repr=False)
    reference_name: str = "tokenizers"
    differences: str = ""
    no_offsets: str = ""
    no_detokenize: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def special_tokens_dict(self) -> dict[str, int]:
        """What `.tokenize.get_special_tokens_dict()` answers."""
        return {"vocab_size": len(self.pieces), **self.special_tokens}

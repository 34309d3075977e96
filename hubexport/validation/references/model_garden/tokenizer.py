"""Model Garden's WordPiece tokenizer, and the packing of its BERT examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hubexport.tokenizers.casing import decide_lower_case
from hubexport.tokenizers.wordpiece.vocabulary import read_wordpiece


class GardenTokenizer:
    """See `texts.TextTokenizer`.

    Args:
      vocab_file: a WordPiece vocabulary, one piece per line.
      do_lower_case: None for what the evidence beside the vocabulary says.

    Raises:
      UsageError: there is no evidence.
      VocabularyError: the file cannot be used.
    """

    truncation = "a piece at a time off the longer segment"

    def __init__(self, vocab_file: Path, do_lower_case: bool | None):
        from official.nlp.data import classifier_data_lib
        from official.nlp.tools import tokenization

        casing = decide_lower_case(do_lower_case, read_wordpiece(vocab_file))
        self._library = classifier_data_lib
        self._tokenizer = tokenization.FullTokenizer(str(vocab_file), casing.lower_case)
        lower = "lower-cased" if casing.lower_case else "not lower-cased"
        self.name = f"Model Garden's FullTokenizer ({lower}: {casing.reason})"
        self.mask_id = self._tokenizer.vocab.get("[MASK]")
        self.unknown_id = self._tokenizer.vocab.get("[UNK]")

    def ids(self, text: str) -> list[int]:
        """The pieces of a text, without special ones."""
        tokenizer = self._tokenizer
        ids: list[int] = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        return ids

    def pack(
        self, segments: Sequence[str], length: int
    ) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Ids, mask and type ids of a row of that length, for one or two segments."""
        first, second = (*segments, None)[:2]
        example = self._library.InputExample("", text_a=first, text_b=second, label="0")
        # From 5 on, it does not log what it does.
        row = self._library.convert_single_example(5, example, None, length, self._tokenizer)
        return row.input_ids, row.input_mask, row.segment_ids

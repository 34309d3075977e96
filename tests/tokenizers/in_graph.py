"""What a preprocessor does, by its parts: without the time that tracing and saving take."""

import tensorflow as tf

from hubexport.tokenizers.graph.packing import bert_pack_inputs
from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText


class InGraph:
    """A tokenizer as `export_preprocessor` puts it together, run eagerly."""

    def __init__(self, definition, truncation="round_robin"):
        self._definition, self._truncation = definition, truncation
        self._inner = definition.make()
        self._tokenizer = SpecialTokensInText(self._inner, definition.added_tokens)

    def tokenize(self, texts):
        """Texts -> int32 [batch, (pieces)]."""
        return without_words(self._tokenizer.tokenize(_constant(texts)))

    def tokenize_with_offsets(self, texts):
        """Texts -> ids, starts and limits, [batch, (pieces)] each."""
        parts = self._tokenizer.tokenize_with_offsets(_constant(texts))
        return tuple(map(without_words, parts))

    def detokenize(self, ids):
        """[batch, (pieces)] -> texts."""
        return [text.decode() for text in self._inner.detokenize(ids).numpy()]

    def packed(self, *texts, seq_length):
        """One or two lists of texts -> encoder inputs as lists."""
        segments = [self.tokenize(part) for part in texts]
        packing = self._definition.packing
        inputs = bert_pack_inputs(segments, seq_length, packing, self._truncation)
        return {name: value.numpy().tolist() for name, value in inputs.items()}


def without_words(ids):
    return ids.merge_dims(1, -1) if ids.ragged_rank > 1 else ids


def _constant(texts):
    return tf.constant([text.encode() for text in texts], tf.string)

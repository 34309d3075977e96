"""ALBERT's SentencePiece tokenization in the graph, by tensorflow_text's ops.

The steps are those of Model Garden's `SentencepieceTokenizer` layer as its ALBERT preprocessors
use it, id for id (tested): diacritics are stripped whether or not case is folded.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_text as text

from hubexport.tokenizers.sentencepiece.model import SentencePieceModel


class TFHubSentencePiece(tf.Module):
    """Text to ragged pieces. The model is part of the graph: loading it reads no other file.

    There is no `tokenize_with_offsets`: stripping diacritics drops bytes, and the op's offsets
    would be those of the stripped text.
    """

    def __init__(self, model: SentencePieceModel, lower_case: bool):
        """Args:
        model: the pieces and the model file's bytes.
        lower_case: whether to fold case before the model's own normalization.
        """
        super().__init__(name="sentencepiece")
        self._lower_case = lower_case
        self._tokenizer = text.SentencepieceTokenizer(model.serialized, out_type=tf.int32)

    def tokenize(self, inputs: tf.Tensor) -> tf.RaggedTensor:
        """[batch] string -> int32 [batch, (pieces)]."""
        inputs = text.normalize_utf8(inputs, "NFD")
        inputs = tf.strings.regex_replace(inputs, r"\p{Mn}", "")
        if self._lower_case:
            inputs = text.case_fold_utf8(inputs)
        return self._tokenizer.tokenize(inputs)

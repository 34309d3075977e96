"""Tokenizing each distinct word of a batch once."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


def tokenize_unique(
    words: tf.RaggedTensor, tokenize: Callable[[tf.Tensor], tf.RaggedTensor]
) -> tf.RaggedTensor:
    """Each word's pieces, by looking only at distinct words.

    Args:
      words: string [batch, (words)].
      tokenize: string [words] -> [words, (pieces)], of each word by itself.

    Returns:
      [batch, (words), (pieces)].
    """
    distinct, index = tf.unique(words.values)
    pieces = tf.gather(tokenize(distinct), index)
    return words.with_values(pieces)

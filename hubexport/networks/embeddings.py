"""Token ids to vectors."""

from __future__ import annotations

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import Dense, LayerNorm, dropout
from hubexport.networks.variables import Variables


class BertEmbeddings(tf.Module):
    """Sum of word, position and token type embeddings, normalized.

    Where `embedding_size` is not the hidden size, a dense layer follows (factorized embeddings,
    arxiv.org/abs/1909.11942).
    """

    def __init__(self, config: EncoderConfig, variables: Variables):
        super().__init__()
        c, size = config, config.embedding_size
        self.word_embeddings = variables("embeddings/word_embeddings", c.vocab_size, size)
        self.position_embeddings = variables(
            "embeddings/position_embeddings", c.max_position_embeddings, size
        )
        self.token_type_embeddings = variables(
            "embeddings/token_type_embeddings", c.type_vocab_size, size
        )
        self.norm = LayerNorm(variables, "embeddings/LayerNorm", size, c.layer_norm_eps)
        self.projection = (
            Dense(variables, "encoder/embedding_hidden_mapping_in", size, c.hidden_size)
            if size != c.hidden_size
            else None
        )
        self.embedding_size = size
        self.dropout_rate = c.hidden_dropout_prob
        self.dtype = c.dtype

    def __call__(self, word_ids: tf.Tensor, type_ids: tf.Tensor, training: bool) -> tf.Tensor:
        """[B, S] int32 ids and token types -> [B * S, H] in the network's dtype.

        Summed and normalized in float32: casting rows is cheap, casting tables is not.
        """
        shape = tf.shape(word_ids)  # [B, S]
        words = tf.gather(self.word_embeddings, word_ids)  # [B, S, E]
        types = tf.gather(self.token_type_embeddings, type_ids)  # [B, S, E]
        # A slice, not a gather: a sequence longer than the table is an error on every device.
        positions = tf.slice(
            self.position_embeddings, [0, 0], tf.stack([shape[1], self.embedding_size])
        )  # [S, E]
        x = tf.reshape(words + types + positions, [-1, self.embedding_size])  # [B * S, E]
        x = dropout(tf.cast(self.norm(x), self.dtype), self.dropout_rate, training)
        return x if self.projection is None else self.projection(x)

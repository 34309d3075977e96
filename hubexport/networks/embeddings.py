"""Token ids to vectors."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import Dense, LayerNorm, dropout
from hubexport.networks.padding import State, layout_of
from hubexport.networks.variables import Variables


class BertEmbeddings(tf.Module):
    """Sum of word, position and token type embeddings, normalized.

    Where `embedding_size` is not the hidden size, a dense layer follows (factorized embeddings,
    arxiv.org/abs/1909.11942). Where `type_vocab_size` is 0 there are no token types.

    Args:
      config: of the network.
      variables: where the tables are.
      position_rows: of the table of positions, where it has others than positions.
    """

    def __init__(
        self, config: EncoderConfig, variables: Variables, position_rows: int | None = None
    ):
        super().__init__()
        c, size = config, config.embedding_size
        self.config, self.layout = c, layout_of(c)
        self.word_embeddings = variables("embeddings/word_embeddings", c.vocab_size, size)
        rows = position_rows or c.max_position_embeddings
        assert rows is not None
        self.position_embeddings = variables("embeddings/position_embeddings", rows, size)
        self.token_type_embeddings = (
            variables("embeddings/token_type_embeddings", c.type_vocab_size, size)
            if c.type_vocab_size
            else None
        )
        self.norm = LayerNorm(variables, "embeddings/LayerNorm", size, c.layer_norm_eps)
        self.projection = (
            Dense(variables, "encoder/embedding_hidden_mapping_in", size, c.hidden_size)
            if size != c.hidden_size
            else None
        )

    def __call__(self, inputs: Mapping[str, tf.Tensor], state: State, training: bool) -> tf.Tensor:
        """The encoder's inputs, int32 [B, S] -> rows [N, H] in the network's dtype.

        Summed and normalized in float32: casting rows is cheap, casting tables is not.
        """
        c, size = self.config, self.config.embedding_size
        # [B, S, E], or rows as below
        x = tf.gather(self.word_embeddings, self.layout.of_rows(inputs["input_word_ids"], state))
        x = self.marked(x, inputs, state)
        x = tf.reshape(x + self.positions(inputs, state), [-1, size])  # [N, E]
        x = dropout(tf.cast(self.norm(x), c.dtype), c.hidden_dropout_prob, training)
        return x if self.projection is None else self.projection(x)

    def marked(self, x: tf.Tensor, inputs: Mapping[str, tf.Tensor], state: State) -> tf.Tensor:
        """Words' embeddings with what else is known of their rows added: token types, if any."""
        if self.token_type_embeddings is None:
            return x
        return x + self.types(inputs["input_type_ids"], state)

    def types(self, type_ids: tf.Tensor, state: State) -> tf.Tensor:
        """Embeddings of token types [B, S]: of each row, or what is added to all alike."""
        return tf.gather(self.token_type_embeddings, self.layout.of_rows(type_ids, state))

    def positions(self, inputs: Mapping[str, tf.Tensor], state: State) -> tf.Tensor:
        """Embeddings of positions: of each row, or what is added to the columns."""
        length = tf.shape(inputs["input_word_ids"])[1]
        return self.layout.of_positions(self.first_positions(length), state)

    def first_positions(self, rows: tf.Tensor) -> tf.Tensor:
        """The first rows of the table: [rows, E]."""
        return first_rows(self.position_embeddings, rows)


def first_rows(table: tf.Variable | tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """The first rows of a table: [rows, E].

    Numbers are sliced, so that a sequence longer than the table is an error on every device. Rows
    are gathered, because the gradient of a slice has XLA know at compile time where it began, and
    for that everything that the function around it is given, weights included: each step of
    training would be compiled anew.
    """
    return tf.gather(table, tf.slice(tf.range(table.shape[0]), [0], [rows]))


class GptEmbeddings(tf.Module):
    """Sum of word and position embeddings, as it is: no norm, no token types.

    Positions are counted from the first token of a text, so that padding may be on either side:
    on the left of it nothing is counted, on the right it goes on, as it does for models that know
    of no padding.

    Args:
      config: of the network.
      variables: where the tables are.
      dropout_rate: of the sum.
    """

    def __init__(self, config: EncoderConfig, variables: Variables, dropout_rate: float):
        super().__init__()
        c = config
        assert c.max_position_embeddings is not None
        self.config, self.layout, self.dropout_rate = c, layout_of(c), dropout_rate
        self.word_embeddings = variables("embeddings/word_embeddings", c.vocab_size, c.hidden_size)
        self.position_embeddings = variables(
            "embeddings/position_embeddings", c.max_position_embeddings, c.hidden_size
        )

    def __call__(self, inputs: Mapping[str, tf.Tensor], state: State, training: bool) -> tf.Tensor:
        """The encoder's inputs -> rows [N, H] in the network's dtype.

        Of `input_word_ids` [B, S], which may be the last of the columns that `input_mask` is of.
        """
        size = self.config.hidden_size
        table = first_rows(self.position_embeddings, tf.shape(inputs["input_mask"])[1])
        x = tf.gather(self.word_embeddings, self.layout.of_rows(inputs["input_word_ids"], state))
        x = x + tf.gather(table, self.layout.of_rows(counted_from_the_first(inputs), state))
        x = tf.cast(tf.reshape(x, [-1, size]), self.config.dtype)  # [N, H]
        return dropout(x, self.dropout_rate, training)


def counted_from_the_first(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Numbers of positions from the first token of each text on: [B, S], of `input_word_ids`, which
    may be the last of the columns that `input_mask` [B, P + S] is of."""
    mask = inputs["input_mask"]
    columns = tf.shape(mask)[1]
    first = tf.argmax(mask, axis=1, output_type=tf.int32)  # [B]
    numbers = tf.maximum(tf.range(columns) - tf.expand_dims(first, 1), 0)  # [B, P + S]
    return numbers[:, columns - tf.shape(inputs["input_word_ids"])[1] :]


class XlmEmbeddings(BertEmbeddings):
    """XLM's: in the place of token types, languages. Without any nothing is added, as in
    transformers.

    Args:
      config: of the network.
      variables: where the tables are.
      languages: rows of their table; 0 for none.
      usual: the row that is added where no input says which; None for none.
    """

    def __init__(
        self, config: EncoderConfig, variables: Variables, languages: int, usual: int | None
    ):
        super().__init__(config, variables)
        self.usual_language = usual
        self.language_embeddings = (
            variables("embeddings/language_embeddings", languages, config.embedding_size)
            if languages
            else None
        )

    def marked(self, x: tf.Tensor, inputs: Mapping[str, tf.Tensor], state: State) -> tf.Tensor:
        ids, usual = inputs.get("input_language_ids"), self.usual_language
        if self.language_embeddings is None:
            return x
        if ids is not None:
            return x + tf.gather(self.language_embeddings, self.layout.of_rows(ids, state))
        return x if usual is None else x + tf.gather(self.language_embeddings, usual)


class CausalXlmEmbeddings(XlmEmbeddings):
    """Those of an XLM that is a language model: positions are counted from each text's first token,
    as in GPT."""

    def positions(self, inputs: Mapping[str, tf.Tensor], state: State) -> tf.Tensor:
        table = self.first_positions(tf.shape(inputs["input_mask"])[1])
        return tf.gather(table, self.layout.of_rows(counted_from_the_first(inputs), state))


class PaddedPositionEmbeddings(BertEmbeddings):
    """RoBERTa's: positions are counted from the ids, and padding has a position of its own.

    Row 0 of the table is padding's, row n the n-th token's that is not padding (fairseq's
    `make_positions`, less its offset). A single token type is added to all tokens, whatever
    `input_type_ids` says.
    """

    def __init__(self, config: EncoderConfig, variables: Variables):
        assert config.max_position_embeddings is not None
        super().__init__(config, variables, position_rows=config.max_position_embeddings + 1)

    def types(self, type_ids: tf.Tensor, state: State) -> tf.Tensor:
        if self.config.type_vocab_size == 1:
            return tf.reshape(self.token_type_embeddings, [-1])  # [E]
        return super().types(type_ids, state)

    def positions(self, inputs: Mapping[str, tf.Tensor], state: State) -> tf.Tensor:
        word_ids = inputs["input_word_ids"]
        is_token = tf.cast(tf.not_equal(word_ids, self.config.pad_token_id), tf.int32)
        numbers = tf.cumsum(is_token, axis=1) * is_token  # [B, S]
        table = self.first_positions(tf.shape(word_ids)[1] + 1)
        return tf.gather(table, self.layout.of_rows(numbers, state))

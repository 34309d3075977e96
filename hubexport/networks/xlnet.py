"""XLNet (arxiv.org/abs/1906.08237): attention by distance and by segment, in one stream of content,
or in two, of which the second guesses tokens that it does not see."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import tensorflow as tf

from hubexport.networks.config import MEMORY, NEW_MEMORY
from hubexport.networks.feed_forward import FeedForward
from hubexport.networks.layers import LayerNorm, dropout, tied_logits
from hubexport.networks.padding import State, layout_of
from hubexport.networks.place import Place, Tensors
from hubexport.networks.relative import (
    RelativeAttention,
    RelativeEncoder,
    as_bias,
    distances,
    seen_tokens,
)
from hubexport.networks.relative_config import RelativeConfig
from hubexport.networks.transformer import Encoded, PostNorm, Stack, TransformerBlock
from hubexport.networks.variables import NamedVariables, Variables

QUERY_STREAM = "query_stream"
"""What the second stream ends with, [B, N, H]."""

Streams = tuple[tf.Tensor, tf.Tensor]
"""Rows of contents, [N, H], and of what is guessed, [B * N', H]."""


class WordEmbeddings(tf.Module):
    """Word embeddings as they are: where tokens are, attention is told."""

    def __init__(self, config: RelativeConfig, variables: Variables):
        super().__init__()
        self.config, self.layout = config, layout_of(config)
        self.word_embeddings = variables(
            "embeddings/word_embeddings", config.vocab_size, config.hidden_size
        )

    def __call__(self, inputs: Mapping[str, tf.Tensor], state: State, training: bool) -> tf.Tensor:
        """Ids [B, S] -> rows [N, H] in the network's dtype."""
        c = self.config
        x = tf.gather(self.word_embeddings, self.layout.of_rows(inputs["input_word_ids"], state))
        x = tf.cast(tf.reshape(x, [-1, c.hidden_size]), c.dtype)
        return dropout(x, c.hidden_dropout_prob, training)


class TwoStreamAttention(RelativeAttention):
    """The attention of both streams: they share all weights, and what they see."""

    def streams(self, x: Streams, state: State, training: bool) -> Streams:
        """Rows of both -> the same. Queries of the second stream are those of the places that they
        are to guess, which `target_mapping` [B, N, S] tells."""
        content, guessed = x
        seen, mapping = self.seen(content, state), state["target_mapping"]

        def attend(queries: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
            return self.context(queries, seen, bias, state, training)

        rows = self.query(content)
        found = attend(self.layout.split(rows, state), state["bias"])
        of_content = self.output(self.layout.join(found, state, rows))
        lead = tf.shape(mapping)[:2]
        queries = self._of_heads(self.query(guessed), lead)  # [B, N, A, D]
        placed = tf.einsum("bnad,bns->basd", queries, mapping)
        found = attend(placed, state["query_bias"])  # [B, A, S, D]
        back = tf.einsum("basd,bns->bnad", found, mapping)
        of_guessed = self.output(tf.reshape(back, [-1, rows.shape[-1]]))
        return of_content, of_guessed


class TwoStreamBlock(tf.Module):
    """A block of both streams, with the weights of a block of one."""

    def __init__(self, attention: TwoStreamAttention, norm: LayerNorm, rest: PostNorm):
        super().__init__()
        self.attention, self.norm, self.rest = attention, norm, rest

    def __call__(self, x: Streams, state: State, training: bool) -> Streams:
        def finished(rows: tf.Tensor, of_attention: tf.Tensor) -> tf.Tensor:
            sum_of_both = rows + dropout(of_attention, self.rest.dropout_rate, training)
            return self.rest(self.norm(sum_of_both), state, training)

        content, guessed = self.attention.streams(x, state, training)
        return finished(x[0], content), finished(x[1], guessed)


def _parts(
    config: RelativeConfig, shared: str, variables: NamedVariables, scope: str
) -> tuple[TwoStreamAttention, LayerNorm, PostNorm]:
    c = config

    def norm(scope: str) -> LayerNorm:
        return LayerNorm(variables, f"{scope}/output/LayerNorm", c.hidden_size, c.layer_norm_eps)

    attention = TwoStreamAttention(c, variables, f"{scope}/attention", shared=shared, segments=True)
    feed_forward = FeedForward(c, variables, scope, c.hidden_dropout_prob)
    return (
        attention,
        norm(f"{scope}/attention"),
        PostNorm(feed_forward, norm(scope), c.hidden_dropout_prob),
    )


def one_stream(
    config: RelativeConfig, shared: str, variables: NamedVariables, scope: str
) -> TransformerBlock:
    """A block of contents."""
    attention, norm, rest = _parts(config, shared, variables, scope)
    return TransformerBlock(PostNorm(attention, norm, config.hidden_dropout_prob), rest)


def two_streams(
    config: RelativeConfig, shared: str, variables: NamedVariables, scope: str
) -> TwoStreamBlock:
    """The same block of both streams."""
    return TwoStreamBlock(*_parts(config, shared, variables, scope))


class XlnetEncoder(RelativeEncoder):
    """A stack of blocks of contents.

    Args:
      config: of the network.
      variables: where its weights are.
      shared: scope of the biases of attention, where all blocks have the same; else "".
    """

    def __init__(self, config: RelativeConfig, variables: Variables, shared: str = ""):
        scopes = [f"encoder/layer_{i}" for i in range(config.num_hidden_layers)]

        def stack(make: Callable[..., TransformerBlock | TwoStreamBlock]) -> Stack:
            of_kind = functools.partial(make, config, shared)
            return Stack(variables, [(of_kind, scope) for scope in scopes])

        embeddings = WordEmbeddings(config, variables)
        super().__init__(config, embeddings, stack(one_stream), self.content_bias)
        self.of_streams = stack(two_streams)

    def content_bias(self, mask: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
        """All tokens are seen (of a causal network, those before); padding sees itself, too."""
        return as_bias(tf.logical_or(self._seen(mask, memory), self._itself(mask, memory)))

    def _seen(self, mask: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
        """Bool [B, S, M + S]."""
        far = self._far(mask, memory)
        visible = far >= 0 if self.config.causal else tf.ones_like(far, tf.bool)
        return tf.logical_and(seen_tokens(mask, memory), visible)

    def _itself(self, mask: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
        """Bool [S, M + S]."""
        return tf.equal(self._far(mask, memory), 0)

    def _far(self, mask: tf.Tensor, memory: tf.Tensor) -> tf.Tensor:
        queries = tf.shape(mask)[1]
        return distances(queries, memory + queries)

    def state(
        self, inputs: Mapping[str, tf.Tensor], training: bool, *, portable: bool
    ) -> dict[str, tf.Tensor]:
        """Also what is of another segment, which is of another type: [B, 1, S, M + S], in the
        network's dtype. The memory's type is 0."""
        state = super().state(inputs, training, portable=portable)
        types = self.layout.of_columns(inputs["input_type_ids"], 1, state)
        before = tf.shape(state["bias"])[3] - tf.shape(types)[1]
        of_keys = tf.pad(types, [[0, 0], [before, 0]])
        differ = tf.not_equal(tf.expand_dims(types, 2), tf.expand_dims(of_keys, 1))
        state["types_differ"] = tf.cast(tf.expand_dims(differ, 1), self.config.dtype)
        return state

    def guessing(
        self,
        mask_embedding: tf.Tensor,
        inputs: Mapping[str, tf.Tensor],
        training: bool,
        *,
        portable: bool = False,
    ) -> Encoded:
        """Both streams.

        Args:
          mask_embedding: [H], what the second stream begins with, wherever it guesses.
          inputs: the encoder's, and int32 `perm_mask` [B, S, S], 1 where token i (the second axis)
            must not see token j, and `target_mapping` [B, N, S], 1 where the token to guess is.
          training: whether dropout is active.
          portable: as of `Encoder`.

        Returns:
          What the first stream gives, which sees what `perm_mask` lets it see; and
          `QUERY_STREAM`, float32 [B, N, H].
        """
        c, columns = self.config, self.layout.of_columns
        state = self.state(inputs, training, portable=portable)
        mapping = columns(inputs["target_mapping"], 2, state)
        state["target_mapping"] = tf.cast(mapping, c.dtype)
        hidden = columns(columns(inputs["perm_mask"], 1, state), 2, state)
        memory = inputs.get(MEMORY)
        length = tf.constant(0) if memory is None else tf.shape(memory)[2]
        hidden = tf.pad(hidden, [[0, 0], [0, 0], [length, 0]])
        mask = state["mask"]
        seen = tf.logical_and(self._seen(mask, length), tf.equal(hidden, 0))
        state["query_bias"] = as_bias(seen)
        state["bias"] = as_bias(tf.logical_or(seen, self._itself(mask, length)))
        batch, guesses = tf.unstack(tf.shape(mapping)[:2])
        guessed = tf.tile(tf.expand_dims(mask_embedding, 0), [batch * guesses, 1])
        guessed = dropout(tf.cast(guessed, c.dtype), c.hidden_dropout_prob, training)
        content = self.embeddings(inputs, state, training)
        blocks = self.of_streams((content, guessed), state, training, self.of_blocks(memory))
        streams = [(content, guessed), *blocks]
        sequences = [self.layout.sequence(rows, state) for rows, _ in streams]
        last = dropout(streams[-1][1], c.hidden_dropout_prob, training)
        last = tf.reshape(tf.cast(last, tf.float32), tf.stack([batch, guesses, c.hidden_size]))
        others = {QUERY_STREAM: last}
        if memory is not None:
            others[NEW_MEMORY] = self.remembered(memory, sequences[:-1])
        return Encoded(sequences[1:], others)


class PermutationLanguageModel(tf.Module):
    """Scores every piece of the vocabulary as the token at each place that is to be guessed."""

    def __init__(self, place: Place):
        super().__init__()
        c, variables, scope = place.config, place.variables, place.scope
        assert isinstance(place.encoder, XlnetEncoder)
        self.dtype = c.dtype
        self.output_bias = variables(f"{scope}/output_bias", c.vocab_size)
        self.mask_embedding = variables(f"{scope}/mask_emb", c.hidden_size)
        self.word_embeddings = place.encoder.embeddings.word_embeddings
        self.encoder = functools.partial(place.encoder.guessing, self.mask_embedding)

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        """[B, N, V] of what `target_mapping` [B, N, S] points at."""
        stream = outputs[QUERY_STREAM]  # [B, N, H]
        rows = tf.cast(tf.reshape(stream, [-1, stream.shape[-1]]), self.dtype)
        logits = tf.nn.bias_add(tied_logits(rows, self.word_embeddings), self.output_bias)
        shape = tf.concat([tf.shape(stream)[:2], [logits.shape[-1]]], axis=0)
        return (tf.reshape(logits, shape),)

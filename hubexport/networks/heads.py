"""Heads: what an encoder was trained to predict, one small class each.

A head gives its outputs, in the order of its interface (`hubexport.families.heads`), from its
inputs and the encoder's outputs. Those are float32; the matmuls before them are in the network's
dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from hubexport.networks.adaptive import AdaptiveEmbeddings, AdaptiveSoftmax
from hubexport.networks.beam import BeamQuestionAnswering
from hubexport.networks.decoding import decode
from hubexport.networks.layers import ACTIVATIONS, Dense, LayerNorm, tied_logits
from hubexport.networks.place import Network, Place, Tensors
from hubexport.networks.variables import in_dtype
from hubexport.networks.xlnet import PermutationLanguageModel


class OutputLayer(tf.Module):
    """[..., size] -> float32 [..., classes], its weights kept as [classes, size]; the size is that
    of the hidden layers, if no other layer is between."""

    def __init__(self, place: Place):
        super().__init__()
        scope, classes = place.scope, place.shape[0]
        self.weights = place.variables(f"{scope}/output_weights", *place.shape, dense=True)
        self.bias = place.variables(f"{scope}/output_bias", classes) if place.has_bias else None
        self.dtype, self.layout = place.config.dtype, place.encoder.layout

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Rows [N, size] -> [N, classes]."""
        weights = in_dtype(self.weights, self.dtype)
        logits = tf.matmul(tf.cast(x, self.dtype), weights, transpose_b=True)
        logits = tf.cast(logits, tf.float32)
        return logits if self.bias is None else tf.nn.bias_add(logits, self.bias)

    def of_tokens(self, sequence: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """[B, S, H] and its mask -> [B, S, classes]."""
        logits = self(tf.reshape(sequence, [-1, sequence.shape[-1]]))  # [B * S, classes]
        shape = tf.concat([tf.shape(sequence)[:2], [logits.shape[-1]]], axis=0)
        return self.layout.at_padding(tf.reshape(logits, shape), mask)


class MaskedLanguageModel(tf.Module):
    """Scores every piece of the vocabulary at chosen positions.

    Positions int32 [B, N], zero-padded, give [B, N, V]. The output layer is tied to the encoder's
    word embeddings, [V, E].
    """

    def __init__(self, place: Place):
        super().__init__()
        c, variables, scope = place.config, place.variables, place.scope
        self.output_bias = variables(f"{scope}/output_bias", c.vocab_size)
        self.dense = Dense(variables, f"{scope}/transform/dense", c.hidden_size, c.embedding_size)
        self.norm = LayerNorm(
            variables, f"{scope}/transform/LayerNorm", c.embedding_size, c.layer_norm_eps
        )
        self.activation = ACTIVATIONS[place.activation]
        self.dtype = c.dtype
        self.word_embeddings = place.encoder.embeddings.word_embeddings

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        positions = inputs["masked_lm_positions"]
        x = tf.gather(outputs["sequence_output"], positions, batch_dims=1)  # [B, N, H]
        x = tf.cast(tf.reshape(x, [-1, x.shape[-1]]), self.dtype)  # [B * N, H]
        x = self.norm(self.activation(self.dense(x)))  # [B * N, E]
        logits = tf.nn.bias_add(tied_logits(x, self.word_embeddings), self.output_bias)
        shape = tf.concat([tf.shape(positions), [logits.shape[-1]]], axis=0)
        return (tf.reshape(logits, shape),)


SCORES_AT_ONCE = 1 << 22
"""Scores that `LanguageModel.score` holds at a time: 16 MiB, and as many of their softmax."""


class LanguageModel(tf.Module):
    """Scores every piece of the vocabulary as the next token, by the table of words alone."""

    positions = "lm_positions"
    """The input that says which tokens are read."""

    def __init__(self, place: Place):
        super().__init__()
        self.config, self.decoder = place.config, place.decoder
        self.word_embeddings = place.encoder.embeddings.word_embeddings

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        """After the tokens at the positions [B, N]: [B, N, V]."""
        positions = inputs[self.positions]
        rows = tf.gather(outputs["sequence_output"], positions, batch_dims=1)  # [B, N, H]
        logits = self.logits(tf.reshape(rows, [-1, rows.shape[-1]]))
        shape = tf.concat([tf.shape(positions), [logits.shape[-1]]], axis=0)
        return (tf.reshape(logits, shape),)

    def logits(self, rows: tf.Tensor) -> tf.Tensor:
        """[N, H] -> [N, V]."""
        return tied_logits(tf.cast(rows, self.config.dtype), self.word_embeddings)

    def score(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        """The log-probability of each token after those before it: of tokens [B, S], 0 for what no
        token is before and for padding, and their sum [B].

        A few rows of [V] scores are held at a time, whatever the batch is.
        """
        ids, mask = inputs["input_word_ids"], inputs["input_mask"]
        follows = tf.logical_and(mask[:, 1:] > 0, mask[:, :-1] > 0)
        before = tf.cast(tf.where(follows), tf.int32)  # [T, 2], row and column
        after = before + tf.constant([[0, 1]])
        rows = tf.gather_nd(outputs["sequence_output"], before)  # [T, H]
        log_probs = self._log_probs(rows, tf.gather_nd(ids, after))  # [T]
        of_tokens = tf.scatter_nd(after, log_probs, tf.shape(ids))
        return of_tokens, tf.reduce_sum(of_tokens, axis=1)

    def _log_probs(self, rows: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
        """Of tokens [T] after rows [T, H]: [T]."""
        count, size = tf.shape(tokens)[0], max(1, SCORES_AT_ONCE // self.config.vocab_size)
        chunks = tf.maximum((count + size - 1) // size, 1)

        def some(i: tf.Tensor, done: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            here = slice(i * size, (i + 1) * size)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels=tokens[here], logits=self.logits(rows[here])
            )
            return i + 1, done.write(i, -losses)

        done = tf.TensorArray(tf.float32, chunks, element_shape=[None], infer_shape=False)
        start = (tf.constant(0), done)
        _, done = tf.while_loop(lambda i, _: i < chunks, some, start, parallel_iterations=1)
        return tf.reshape(done.concat(), tf.shape(tokens))

    def step(self, inputs: Tensors, outputs: None) -> tuple[tf.Tensor, ...]:
        """Scores of the token after the last [B, V], and what was kept with what there is to keep;
        see `hubexport.networks.decoding.decode`."""
        sequence, present = decode(self.decoder(), inputs, inputs["past"])
        return self.logits(sequence[:, -1]), present

    def instead(self, inputs: Tensors) -> dict[str, tf.Tensor]:
        """Nothing that was kept, for the first step."""
        c, batch = self.config, tf.shape(inputs["input_word_ids"])[0]
        heads = [c.num_attention_heads, 0, c.head_size]
        shape = tf.concat([[c.num_hidden_layers, 2], [batch], heads], axis=0)
        return {"past": tf.zeros(shape)}


class AdaptiveLanguageModel(LanguageModel):
    """The same by clusters of words; what it gives for a word is its log-probability."""

    def __init__(self, place: Place):
        tf.Module.__init__(self)
        self.config, embeddings = place.config, place.encoder.embeddings
        assert isinstance(embeddings, AdaptiveEmbeddings)
        self.softmax = AdaptiveSoftmax(place.variables, place.scope, embeddings)

    def logits(self, rows: tf.Tensor) -> tf.Tensor:
        return self.softmax(rows)  # whose softmax is what they already are


class BiasedLanguageModel(LanguageModel):
    """The same with a bias for each piece."""

    def __init__(self, place: Place):
        super().__init__(place)
        self.output_bias = place.variables(f"{place.scope}/output_bias", self.config.vocab_size)

    def logits(self, rows: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(super().logits(rows), self.output_bias)


class TiedMaskedLanguageModel(BiasedLanguageModel):
    """The same of the token itself, by an encoder that sees both sides of it."""

    positions = "masked_lm_positions"


class DoubleHeads(tf.Module):
    """A language model that also scores each choice, at the token that it ends with."""

    def __init__(self, place: Place):
        super().__init__()
        self.language_model, self.output = LanguageModel(place), OutputLayer(place)

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        """At `lm_positions` [B, N] and `mc_positions` [B]: [B, N, V] and [B, 1]."""
        (logits,) = self.language_model(inputs, outputs)
        row = tf.gather(outputs["sequence_output"], inputs["mc_positions"], batch_dims=1)  # [B, H]
        return logits, self.output(row)


class PooledClassifier(tf.Module):
    """Scores of a whole sequence, [B, classes], from the pooling that the head was trained on,
    which is not always `pooled_output`."""

    def __init__(self, place: Place):
        super().__init__()
        self.pooling = place.pooling()
        self.output = OutputLayer(place)

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        return (self.output(self.pooling(outputs["sequence_output"], inputs["input_mask"])),)


class TokenClassifier(tf.Module):
    """Scores of each token, [B, S, classes]."""

    def __init__(self, place: Place):
        super().__init__()
        self.output = OutputLayer(place)

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        return (self.output.of_tokens(outputs["sequence_output"], inputs["input_mask"]),)


class SpanClassifier(TokenClassifier):
    """Scores of each token as a span's first and as its last, [B, S] each."""

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        logits = self.output.of_tokens(outputs["sequence_output"], inputs["input_mask"])
        return tuple(tf.unstack(logits, num=2, axis=2))


HEADS: Mapping[str, Callable[[Place], Network]] = {
    "masked_language_model": MaskedLanguageModel,
    "tied_masked_language_model": TiedMaskedLanguageModel,
    "language_model": LanguageModel,
    "permutation_language_model": PermutationLanguageModel,
    "adaptive_language_model": AdaptiveLanguageModel,
    "biased_language_model": BiasedLanguageModel,
    "double_heads": DoubleHeads,
    "pooled_classifier": PooledClassifier,
    "token_classifier": TokenClassifier,
    "span_classifier": SpanClassifier,
    "beam_question_answering": BeamQuestionAnswering,
}
"""By the `network` of a family's head."""

"""The head of XLNet and XLM for questions: the likeliest beginnings of an answer, and for each of
them the likeliest ends (arxiv.org/abs/1906.08237)."""

from __future__ import annotations

import tensorflow as tf

from hubexport.networks.layers import Dense, LayerNorm
from hubexport.networks.place import Place, Tensors
from hubexport.networks.variables import in_dtype


class BeamQuestionAnswering(tf.Module):
    """The beginnings and ends of the likeliest answers, and a score for there being none.

    An answer lies where both `answer_mask` and `input_mask` [B, S] are 1. Of T beginnings and E
    ends of each, all places [B, T] and [B, E * T] with their probabilities; the end of rank e for
    the beginning of rank t is at e * T + t. Where there are not places enough, the probability
    is 0 and the place, too. The score [B] is read at `cls_positions` [B].
    """

    def __init__(self, place: Place):
        super().__init__()
        variables, scope, size = place.variables, place.scope, place.config.hidden_size
        ends, answers = f"{scope}/end_logits", f"{scope}/answer_class"
        self.start = Dense(variables, f"{scope}/start_logits/dense", size, 1)
        self.end_hidden = Dense(variables, f"{ends}/dense_0", 2 * size, size)
        self.end_norm = LayerNorm(variables, f"{ends}/LayerNorm", size, place.config.layer_norm_eps)
        self.end = Dense(variables, f"{ends}/dense_1", size, 1)
        self.answer_hidden = Dense(variables, f"{answers}/dense_0", 2 * size, size)
        self.answer = variables(f"{answers}/dense_1/kernel", size, 1, dense=True)
        self.dtype = place.config.dtype
        self.beginnings, ends_of_all = (
            int(place.outputs[name][1]) for name in ("start_top_index", "end_top_index")
        )
        self.ends = ends_of_all // self.beginnings

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        sequence = outputs["sequence_output"]  # [B, S, H]
        possible = tf.logical_and(inputs["answer_mask"] > 0, inputs["input_mask"] > 0)
        rows = self._rows(sequence)
        logits = tf.reshape(self.start(rows), tf.shape(possible))
        starts = _probabilities(logits, possible)
        start_probs, start_index = _best(starts, self.beginnings)  # [B, T]
        vectors = tf.gather(sequence, start_index, batch_dims=1)  # [B, T, H]
        begun = tf.expand_dims(start_probs > 0, 2)  # of no beginning there is no end
        of_begun = tf.logical_and(tf.expand_dims(possible, 1), begun)  # [B, T, S]
        ends = _probabilities(self._end_logits(rows, vectors, possible), of_begun)
        end_probs, end_index = (self._by_rank(each) for each in _best(ends, self.ends))
        mean = tf.einsum("bs,bsh->bh", starts, sequence)
        token = tf.gather(sequence, inputs["cls_positions"], batch_dims=1)  # [B, H]
        return start_probs, start_index, end_probs, end_index, self._no_answer(mean, token)

    def _rows(self, x: tf.Tensor) -> tf.Tensor:
        """[..., H] -> [N, H], in the network's dtype."""
        return tf.cast(tf.reshape(x, [-1, x.shape[-1]]), self.dtype)

    def _end_logits(self, rows: tf.Tensor, starts: tf.Tensor, possible: tf.Tensor) -> tf.Tensor:
        """Of every place [B * S, H] as the end of what begins with [B, T, H]: [B, T, S].

        The dense layer on both is the sum of one on each: that on the places is computed once.
        """
        of_end, of_start = tf.split(in_dtype(self.end_hidden.kernel, self.dtype), 2)
        at_end = tf.nn.bias_add(tf.matmul(rows, of_end), in_dtype(self.end_hidden.bias, self.dtype))
        at_start = tf.matmul(self._rows(starts), of_start)
        (batch, length), size = tf.unstack(tf.shape(possible)), rows.shape[-1]
        both = tf.reshape(at_end, tf.stack([batch, 1, length, size])) + tf.reshape(
            at_start, tf.stack([batch, self.beginnings, 1, size])
        )
        x = self.end_norm(tf.tanh(tf.reshape(both, [-1, size])))
        return tf.reshape(self.end(x), tf.stack([batch, self.beginnings, length]))

    def _by_rank(self, x: tf.Tensor) -> tf.Tensor:
        """[B, T, E] -> [B, E * T]."""
        return tf.reshape(tf.transpose(x, [0, 2, 1]), [-1, self.ends * self.beginnings])

    def _no_answer(self, mean: tf.Tensor, token: tf.Tensor) -> tf.Tensor:
        """A number [B] of two vectors [B, H]: the beginnings', and that of the token that stands
        for the text."""
        x = tf.tanh(self.answer_hidden(self._rows(tf.concat([mean, token], axis=1))))
        logits = tf.matmul(x, in_dtype(self.answer, self.dtype))
        return tf.cast(tf.reshape(logits, [-1]), tf.float32)


def _probabilities(logits: tf.Tensor, possible: tf.Tensor) -> tf.Tensor:
    """The softmax over the last axis, in float32, of what is possible; 0 where nothing is."""
    probabilities = tf.nn.softmax(tf.where(possible, tf.cast(logits, tf.float32), -1e30))
    return tf.where(possible, probabilities, 0.0)


def _best(probabilities: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest of the last axis, and their places; see the class for what there are not."""
    before = [[0, 0]] * (probabilities.shape.rank - 1)
    enough = tf.pad(probabilities, [*before, [0, count]])
    best, places = tf.math.top_k(enough, count)
    return best, tf.where(best > 0, places, 0)

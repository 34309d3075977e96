"""The encoder: embeddings and a stack of Transformer blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from hubexport.networks.attention import SelfAttention, mask_bias
from hubexport.networks.embeddings import BertEmbeddings
from hubexport.networks.feed_forward import FeedForward
from hubexport.networks.variables import NamedVariables

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
"""Keys of an encoder's inputs, each int32 [batch, sequence]."""


class TransformerBlock(tf.Module):
    """Attention, then feed-forward: post-norm, each with its own residual."""

    def __init__(self, attention: SelfAttention, feed_forward: FeedForward):
        super().__init__()
        self.attention = attention
        self.feed_forward = feed_forward

    def __call__(
        self, x: tf.Tensor, bias: tf.Tensor, shape: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """[B * S, H] -> [B * S, H]; arguments as of `SelfAttention`."""
        return self.feed_forward(self.attention(x, bias, shape, training), training)


MakeBlock = Callable[[NamedVariables, str], Callable[..., tf.Tensor]]
"""Makes a block of the variables below a scope."""


class Stack:
    """Blocks that differ in their variables alone, the graph of which is made once.

    Of twelve blocks, a SavedModel then holds one, and twelve calls of it. That is less to trace,
    save, load and differentiate; what runs is the same, since TensorFlow puts a function's body
    in the place of its call before it optimizes a graph.

    Args:
      make_block: of a family.
      variables: all of the network.
      scopes: one for each block.
    """

    def __init__(self, make_block: MakeBlock, variables: NamedVariables, scopes: Sequence[str]):
        self._weights = [_asked_for(make_block, variables, scope) for scope in scopes]

        def transformer_block(
            x: tf.Tensor,
            bias: tf.Tensor,
            shape: tf.Tensor,
            weights: dict[str, tf.Tensor],
            training: bool,
        ) -> tf.Tensor:
            def given(name: str, *shape: int, dense: bool = False) -> tf.Tensor:
                return weights[name]

            return make_block(given, "block")(x, bias, shape, training)

        self._block = tf.function(transformer_block, autograph=False)

    def __call__(
        self, x: tf.Tensor, bias: tf.Tensor, shape: tf.Tensor, training: bool
    ) -> Iterator[tf.Tensor]:
        """The output of each block, [B * S, H]; arguments as of `SelfAttention`."""
        for weights in self._weights:
            values = {name: tf.convert_to_tensor(weight) for name, weight in weights.items()}
            x = self._block(x, bias, shape, values, training)
            yield x


def _asked_for(
    make_block: MakeBlock, variables: NamedVariables, scope: str
) -> dict[str, tf.Variable]:
    """The variables of a block, by names that are the same for each of a stack."""
    found = {}

    def ask(name: str, *shape: int, dense: bool = False) -> tf.Variable:
        variable = variables(name, *shape, dense=dense)
        found["block" + name.removeprefix(scope)] = variable
        return variable

    make_block(ask, scope)
    return found


class Encoder(tf.Module):
    """A stack of blocks over embeddings."""

    def __init__(self, embeddings: BertEmbeddings, blocks: Stack):
        super().__init__()
        self.embeddings = embeddings
        self.blocks = blocks

    def __call__(self, inputs: dict[str, tf.Tensor], training: bool) -> list[tf.Tensor]:
        """The outputs of every block.

        Args:
          inputs: int32 [B, S] tensors of the keys in `INPUTS`.
          training: whether dropout is active.

        Returns:
          One float32 [B, S, H] per block.
        """
        word_ids, mask, type_ids = (inputs[key] for key in INPUTS)
        shape = tf.shape(word_ids)  # [B, S]
        x = self.embeddings(word_ids, type_ids, training)  # [B * S, H]
        bias = mask_bias(mask, shape)
        sequence_shape = tf.concat([shape, [x.shape[-1]]], axis=0)
        outputs = []
        for rows in self.blocks(x, bias, shape, training):
            outputs.append(tf.cast(tf.reshape(rows, sequence_shape), tf.float32))
        return outputs

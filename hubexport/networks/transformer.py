"""The encoder: embeddings and a stack of Transformer blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from hubexport.networks.attention import Memory, causal_bias, mask_bias
from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import LayerNorm, dropout
from hubexport.networks.padding import State, layout_of
from hubexport.networks.variables import NamedVariables

INPUTS = ("input_word_ids", "input_mask", "input_type_ids")
"""Keys of an encoder's inputs, each int32 [batch, sequence]."""


class Layer(Protocol):
    """A part of a block: rows [N, H] -> [N, H]."""

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor: ...


class PostNorm(tf.Module):
    """norm(x + layer(x)), as the Transformer was published (arxiv.org/abs/1706.03762)."""

    def __init__(self, layer: Layer, norm: LayerNorm, dropout_rate: float):
        super().__init__()
        self.layer, self.norm, self.dropout_rate = layer, norm, dropout_rate

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor:
        return self.norm(x + dropout(self.layer(x, state, training), self.dropout_rate, training))


class PreNorm(tf.Module):
    """x + layer(norm(x)): the sum itself is never normalized, and grows from block to block."""

    def __init__(self, layer: Layer, norm: LayerNorm, dropout_rate: float):
        super().__init__()
        self.layer, self.norm, self.dropout_rate = layer, norm, dropout_rate

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor:
        return x + dropout(self.layer(self.norm(x), state, training), self.dropout_rate, training)


class TransformerBlock(tf.Module):
    """Layers one after another: attention, then feed-forward, each with its own residual."""

    def __init__(self, *layers: Layer):
        super().__init__()
        self.layers = layers

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor:
        for layer in self.layers:
            x = layer(x, state, training)
        return x


MakeBlock = Callable[[NamedVariables, str], Layer]
"""Makes a block of the variables below a scope."""


class Stack:
    """Blocks, the graph of each kind of which is made once.

    Of twelve blocks that differ in their variables alone, a SavedModel then holds one, and twelve
    calls of it. That is less to trace, save, load and differentiate; what runs is the same, since
    TensorFlow puts a function's body in the place of its call before it optimizes a graph.

    Args:
      variables: all of the network.
      blocks: what makes each block, and its scope. Those of an equal maker are of one kind; those
        of an equal scope share their variables.
    """

    def __init__(self, variables: NamedVariables, blocks: Sequence[tuple[MakeBlock, str]]):
        functions = {make: _graph(make) for make, _ in blocks}
        self._makers = [make for make, _ in blocks]
        self._blocks = [
            (functions[make], _asked_for(make, variables, scope)) for make, scope in blocks
        ]

    def __call__(
        self, x: Any, state: State, training: bool, each: Sequence[State] = ()
    ) -> Iterator[Any]:
        """The output of each block, rows [N, H].

        Args:
          x: rows, or whatever blocks take and give.
          state: of all blocks.
          training: whether dropout is active.
          each: what each block has beside that; none for nothing.
        """
        nothing: Sequence[State] = [{}] * len(self._blocks)
        for (block, weights), own in zip(self._blocks, each or nothing, strict=True):
            values = {name: tf.convert_to_tensor(weight) for name, weight in weights.items()}
            x = block(x, {**state, **own}, values, training)
            yield x

    def remembering(
        self, x: tf.Tensor, state: State, past: tf.Tensor
    ) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """The output of each block, and the keys and values that its attention saw.

        Args:
          past: of earlier tokens, [L, 2, B, A, P, D].
        """
        functions = {make: _remembering(make) for make in self._makers}
        pasts = tf.unstack(past, num=len(self._blocks))
        for make, (_, weights), of_block in zip(self._makers, self._blocks, pasts, strict=True):
            values = {name: tf.convert_to_tensor(weight) for name, weight in weights.items()}
            x, present = functions[make](x, dict(state), of_block, values)
            yield x, present


def _graph(make_block: MakeBlock) -> Callable[..., tf.Tensor]:
    """A block of one kind as a function of its weights."""

    def transformer_block(
        x: tf.Tensor, state: State, weights: dict[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        return make_block(_given(weights), "block")(x, state, training)

    graph: Callable[..., tf.Tensor] = tf.function(transformer_block, autograph=False)
    return graph


def _remembering(make_block: MakeBlock) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """The same, given and giving what attention keeps."""

    def remembering_block(
        x: tf.Tensor, state: State, past: tf.Tensor, weights: dict[str, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        memory = Memory(past)
        block = make_block(_given(weights), "block")
        return block(x, {**state, "memory": memory}, False), memory.present()

    graph: Callable[..., tuple[tf.Tensor, tf.Tensor]] = tf.function(
        remembering_block, autograph=False
    )
    return graph


def _given(weights: Mapping[str, tf.Tensor]) -> NamedVariables:
    """Hands out what is already there."""

    def given(name: str, *shape: int, dense: bool = False) -> tf.Tensor:
        return weights[name]

    return given


def _asked_for(
    make_block: MakeBlock, variables: NamedVariables, scope: str
) -> dict[str, tf.Variable]:
    """The variables of a block, by names that are the same for each of a stack."""
    found = {}

    def ask(name: str, *shape: int, dense: bool = False) -> tf.Variable:
        variable = variables(name, *shape, dense=dense)
        # What is not below the scope is shared with other blocks.
        found["block" + name.removeprefix(scope) if name.startswith(scope) else name] = variable
        return variable

    make_block(ask, scope)
    return found


class Embeddings(Protocol):
    """Inputs int32 [B, S] -> rows [N, H]; output layers may be tied to its table of words."""

    word_embeddings: tf.Variable  # [V, E]

    def __call__(
        self, inputs: Mapping[str, tf.Tensor], state: State, training: bool
    ) -> tf.Tensor: ...


def masked_state(state: State) -> State:
    """What attention needs to see all tokens that the mask lets through."""
    return {**state, "bias": mask_bias(state["mask"])}


def causal_state(state: State) -> State:
    """What attention needs to see the tokens that the mask lets through, and none to come."""
    return {**state, "bias": causal_bias(state["mask"])}


class Encoded(NamedTuple):
    """What an encoder gives.

    Attributes:
      layers: the outputs of every block, float32 [B, S, H] each.
      others: what is given for optional inputs, and for heads with an encoder of their own.
    """

    layers: list[tf.Tensor]
    others: Mapping[str, tf.Tensor]


class Encoder(tf.Module):
    """A stack of blocks over embeddings.

    Args:
      config: says what is done with padding.
      embeddings: makes rows of inputs.
      blocks: the stack.
      state: adds what all blocks share to the layout's.
      last: norm behind the last block, which networks of `PreNorm` end with.
    """

    def __init__(
        self,
        config: EncoderConfig,
        embeddings: Embeddings,
        blocks: Stack,
        state: Callable[[State], State] = masked_state,
        last: LayerNorm | None = None,
    ):
        super().__init__()
        self.layout = layout_of(config)
        self.embeddings, self.blocks, self.state, self.last = embeddings, blocks, state, last

    def __call__(
        self, inputs: Mapping[str, tf.Tensor], training: bool, *, portable: bool = False
    ) -> Encoded:
        """The outputs of every block, the last one's normalized where the network ends so.

        Args:
          inputs: int32 [B, S] tensors of the keys in `INPUTS`, and of the family's optional ones
            those that are given.
          training: whether dropout is active.
          portable: whether the graph must do without operations that converters do not know.
        """
        state = self.state(self.layout.state(inputs, portable=portable))
        x = self.embeddings(inputs, state, training)
        rows = list(self.blocks(x, state, training))
        if self.last is not None:
            rows[-1] = self.last(rows[-1])
        return Encoded([self.layout.sequence(each, state) for each in rows], {})


class ZeroAtPadding(Encoder):
    """An encoder whose outputs are 0 at padding, as XLM's are.

    XLM multiplies by the mask behind every layer. What is made of padding reaches no token, so that
    it is enough to do so to what is given.
    """

    def __call__(
        self, inputs: Mapping[str, tf.Tensor], training: bool, *, portable: bool = False
    ) -> Encoded:
        layers, others = super().__call__(inputs, training, portable=portable)
        is_token = tf.expand_dims(tf.cast(inputs["input_mask"], tf.float32), 2)  # [B, S, 1]
        return Encoded([x * is_token for x in layers], others)

"""The position-wise half of a Transformer block."""

from __future__ import annotations

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.layers import ACTIVATIONS, Dense, dropout
from hubexport.networks.padding import State
from hubexport.networks.variables import NamedVariables


class FeedForward(tf.Module):
    """Two dense layers with an activation between them: [N, H] -> [N, H].

    Args:
      config: of the network.
      variables: where the weights are, below `scope`.
      dropout_rate: of what is between the layers.
    """

    def __init__(
        self,
        config: EncoderConfig,
        variables: NamedVariables,
        scope: str,
        dropout_rate: float = 0.0,
    ):
        super().__init__()
        c, self.dropout_rate = config, dropout_rate
        self.intermediate = Dense(
            variables, f"{scope}/intermediate/dense", c.hidden_size, c.intermediate_size
        )
        self.output = Dense(variables, f"{scope}/output/dense", c.intermediate_size, c.hidden_size)
        self.activation = ACTIVATIONS[c.hidden_act]

    def __call__(self, x: tf.Tensor, state: State, training: bool) -> tf.Tensor:
        return self.output(dropout(self.hidden(x), self.dropout_rate, training))

    def hidden(self, x: tf.Tensor) -> tf.Tensor:
        """[N, H] -> [N, I]."""
        return self.activation(self.intermediate(x))


class GatedFeedForward(FeedForward):
    """The activated layer times a linear one (GEGLU of arxiv.org/abs/2002.05202, with biases, as
    Model Garden's `GatedFeedforward` has them)."""

    def __init__(self, config: EncoderConfig, variables: NamedVariables, scope: str):
        super().__init__(config, variables, scope)
        self.gate = Dense(
            variables, f"{scope}/gate/dense", config.hidden_size, config.intermediate_size
        )

    def hidden(self, x: tf.Tensor) -> tf.Tensor:
        return super().hidden(x) * self.gate(x)

"""What a head is made of, and what it is called with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Protocol

import tensorflow as tf

from hubexport.networks.config import EncoderConfig
from hubexport.networks.pooling import Pooling
from hubexport.networks.transformer import Encoder
from hubexport.networks.variables import Variables

Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a head stands.

    Attributes:
      config: of the network.
      variables: where the head's are, below `scope`.
      encoder: what it stands on.
      shape: of the weights of its output layer, [classes, size], where it has one of its own.
      has_bias: whether there is one to add to them.
      pooling: gives what a sentence-level head was trained on.
      activation: of a hidden layer of the head's own; of `ACTIVATIONS`.
      decoder: gives the encoder once more, made to compute every position.
      outputs: of the head, their axes by name.
    """

    config: EncoderConfig
    variables: Variables
    scope: str
    encoder: Encoder
    shape: tuple[int, ...]
    has_bias: bool
    pooling: Callable[[], Pooling]
    activation: str
    decoder: Callable[[], Encoder]
    outputs: Mapping[str, tuple[str | int, ...]]


class Network(Protocol):
    """A head's network; for functions of its interface, it has methods of their names, and
    `instead`, which gives what optional inputs are where they are left out."""

    def __call__(self, inputs: Tensors, outputs: Tensors) -> tuple[tf.Tensor, ...]:
        """The head's outputs.

        Args:
          inputs: the encoder's, [B, S] each, and the head's own.
          outputs: the encoder's.
        """

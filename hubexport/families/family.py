"""What the rest of hubexport relies on of a model family."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from hubexport.checkpoints.source import TensorSource
from hubexport.families.configuration import Configuration
from hubexport.families.names import Names
from hubexport.families.tensor_map import Part
from hubexport.networks.config import EncoderConfig

if TYPE_CHECKING:
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables


class Family(Protocol):
    """One model of a family: made of its configuration and its checkpoint.

    Attributes:
      name: of the family, as --family takes it.
      title: of the family, as pages call it.
      model_types: values of `model_type` in JSON configurations; "" for those without one.
      encoder_types: names of Model Garden's encoders.
      layouts: the checkpoint layouts that it comes in.
      marker: part of a tensor's name that only this family has, or "".
      duplicates: tensors that are copies of others: name -> (variable that the copy matters to,
        variable whose tensor it must equal).
      other_heads: parts of checkpoints that are known and not exported, by what they are.
      config: what shapes the network.
      names: how this checkpoint spells the weights of the parts.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    encoder_types: ClassVar[tuple[str, ...]]
    layouts: ClassVar[tuple[str, ...]]
    marker: ClassVar[str]
    duplicates: ClassVar[Mapping[str, tuple[str, str]]]
    other_heads: ClassVar[Mapping[str, re.Pattern[str]]]
    config: EncoderConfig
    names: Names

    def __init__(
        self, configuration: Configuration, source: TensorSource, overrides: Mapping[str, object]
    ): ...

    def encoder(self) -> list[Part]:
        """Everything but the pooler."""

    def pooler(self, scope: str) -> Part:
        """The dense layer, followed by tanh, that the encoder itself carries."""

    def heads(self) -> dict[str, list[Part]]:
        """Head -> its parts, less its pooler."""

    def head_pooler(self, head: str, scope: str) -> Part | None:
        """The pooler that a head was trained on; None for a head that needs none."""

    def network(self, variables: Variables) -> Encoder:
        """The network, its variables taken from `variables` by name."""

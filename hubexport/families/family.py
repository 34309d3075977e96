"""What the rest of hubexport relies on of a model family."""

from __future__ import annotations

import abc
import copy
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError, UsageError
from hubexport.families.configuration import Configuration
from hubexport.families.heads import Head, OptionalInput, output_layer
from hubexport.families.labels import Labels, read_labels
from hubexport.families.names import Names
from hubexport.families.tensor_map import Name, Part
from hubexport.families.transforms import AS_IS
from hubexport.networks.config import EncoderConfig

if TYPE_CHECKING:
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables


class Family(abc.ABC):
    """One model of a family: made of its configuration and its checkpoint.

    Args:
      configuration: the model's configuration file.
      source: the checkpoint's tensors.
      overrides: values of `EncoderConfig` that replace the configuration's; `causal` and
        `language`, of the models that have them.

    Raises:
      UsageError: an override is out of range.
      ConfigurationError: values missing, unusable, or asking for another network.

    Attributes:
      name: of the family, as --family takes it.
      title: of the family, as pages call it.
      model_types: values of `model_type` in JSON configurations; "" for those without one.
      encoder_types: names of Model Garden's encoders.
      layouts: the checkpoint layouts that it comes in.
      marker: part of a tensor's name that only this family has, or "".
      keys: of JSON configurations that only this family has, all of them; for those that name no
        model_type.
      duplicates: tensors that are copies of others: name -> (variable that the copy matters to,
        variable whose tensor it must equal). Where only the copy is stored, it is taken.
      other_heads: parts of checkpoints that are known and not exported, by what they are.
      default_pooler: of `hubexport.poolers.POOLERS`, where nothing is asked for.
      pooler_is_pretrained: whether pre-training trains the pooler that checkpoints hold.
      padding_side: "right", or "any" where positions are counted from the first token.
      causal: whether a token sees only those before it.
      layer_scale: "normalized" where each layer's output is, "residual" where outputs are sums that
        grow from layer to layer; what differences are measured by.
      positions_from_mask: whether positions are counted from the first token of `input_mask`, which
        transformers must be told.
      masks_padding: whether transformers' classes hide padding from tokens.
      ignored_inputs: of the encoder's inputs, those that are taken and have no influence.
      transformers: what the names of transformers' classes begin with.
      transformers_releases: those that have them, as pip takes it.
      config: what shapes the network.
      trained_positions: sequence length that the model was trained with; None for no limit.
      names: how this checkpoint spells the weights of the parts.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]] = ()
    encoder_types: ClassVar[tuple[str, ...]] = ()
    layouts: ClassVar[tuple[str, ...]]
    marker: ClassVar[str] = ""
    keys: ClassVar[frozenset[str]] = frozenset()
    duplicates: ClassVar[Mapping[str, tuple[str, str]]] = {}
    other_heads: ClassVar[Mapping[str, re.Pattern[str]]] = {}
    default_pooler: ClassVar[str] = "checkpoint"
    pooler_is_pretrained: ClassVar[bool] = True
    padding_side: ClassVar[str] = "right"
    causal: ClassVar[bool] = False
    layer_scale: ClassVar[str] = "normalized"
    positions_from_mask: ClassVar[bool] = False
    masks_padding: ClassVar[bool] = True
    ignored_inputs: ClassVar[tuple[str, ...]] = ()
    transformers: ClassVar[str]
    transformers_releases: ClassVar[str] = ">=5,<6"
    config: EncoderConfig
    trained_positions: int | None
    names: Names

    def __init__(
        self, configuration: Configuration, source: TensorSource, overrides: Mapping[str, object]
    ):
        self.configuration, self.source = configuration, source
        trained = self.read_config(configuration, source, overrides.keys())
        self.trained_positions = trained.max_position_embeddings
        self.config = trained
        self.config = dataclasses.replace(trained, **self.asked(overrides))  # type: ignore[arg-type]
        self._check()
        self.names = self.spelling(source)

    def asked(self, overrides: Mapping[str, object]) -> dict[str, object]:
        """What is asked for, as values of the family's configuration.

        Raises:
          UsageError: the model cannot be that.
        """
        if overrides.get("causal", self.causal) != self.causal:
            reads = "from left to right only" if self.causal else "in both directions"
            raise UsageError(
                f"models of the family {self.name!r} read {reads}",
                [("--causal", str(overrides["causal"]).lower())],
                "leave it out: it is for families in which either may be, such as xlm.",
            )
        return {n: value for n, value in overrides.items() if n not in ("causal", "language")}

    @property
    def usual_language(self) -> int | None:
        """The row of the table of languages that is added where no input says which."""
        return None

    @property
    def has_languages(self) -> bool:
        """Whether tokens have a language, for which the network has a table."""
        return False

    def _check(self) -> None:
        c, path = self.config, str(self.configuration.path)
        if wrong := c.out_of_bounds():
            raise UsageError(
                "an override is out of range",
                [("found, and possible", text) for text in wrong],
                "pass another value, or none.",
            )
        if not c.heads_fit:
            raise ConfigurationError(
                "the hidden size is not a multiple of the number of attention heads",
                [
                    ("configuration", path),
                    ("found", f"hidden_size {c.hidden_size}, heads {c.num_attention_heads}"),
                ],
                "pass the configuration that the checkpoint was trained with.",
            )
        asked, trained = c.max_position_embeddings, self.trained_positions
        if trained is None and asked is not None:
            raise ConfigurationError(
                "fewer positions are asked for, and the model has none",
                [("asked for", str(asked)), ("model", f"{self.title}: sequences have no limit")],
                "leave out --max_position_embeddings.",
            )
        if trained is not None and (asked is None or asked > trained):
            raise ConfigurationError(
                "more positions are asked for than the model was trained with",
                [("asked for", str(asked)), ("trained", str(trained))],
                f"pass --max_position_embeddings of at most {trained}.",
            )

    @abc.abstractmethod
    def read_config(
        self, configuration: Configuration, source: TensorSource, overridden: Collection[str]
    ) -> EncoderConfig:
        """What the model was trained with.

        Args:
          overridden: names of values that are replaced, and so need not be usable.

        Raises:
          ConfigurationError: values missing, unusable, or asking for another network.
        """

    @abc.abstractmethod
    def spelling(self, source: TensorSource) -> Names:
        """How this checkpoint spells the weights of the parts."""

    @classmethod
    def signs(cls, configuration: Configuration, source: TensorSource) -> list[str]:
        """Phrases for what shows that a model whose configuration names no family, or is used by
        several, is of this one; none where nothing does."""
        return []

    @abc.abstractmethod
    def encoder(self) -> list[Part]:
        """Everything but poolers and heads."""

    def tied(self) -> Mapping[str, tuple[str, str]]:
        """As `duplicates`, those of this model."""
        return self.duplicates

    def poolers(self, scope: str) -> Mapping[str, Part]:
        """Dense layers, followed by tanh, on the first token that checkpoints may hold: key of
        `hubexport.poolers.POOLERS` -> part of that scope."""
        return {}

    def labels(self, names: Mapping[str, Name]) -> Labels:
        """The classes of a head whose output layer has these names; see `read_labels`."""
        part = output_layer("", 0, 0, names)
        if not self.names.knows(part):
            return Labels(0)
        for leaf in part.leaves:  # of half a head, either tells
            tensor = self.source.find(self.names.tensor(part, leaf.name))
            if tensor is not None and tensor.shape:
                axis = 0 if self.names.transform(leaf) == AS_IS else -1
                return read_labels(self.configuration, tensor.shape[axis])
        return Labels(0)  # of a head that the checkpoint does not hold

    def heads(self) -> Mapping[str, Head]:
        """The heads that checkpoints may hold, by the name of the sub-object."""
        return {}

    def optional_inputs(self) -> Mapping[str, OptionalInput]:
        """Inputs beside the usual ones that the network can do without, of which one is given."""
        return {}

    @abc.abstractmethod
    def network(self, variables: Variables) -> Encoder:
        """The network, its variables taken from `variables` by name."""

    def of_every_position(self) -> Family:
        """The same model, its network made to compute padding."""
        same = copy.copy(self)
        same.config = dataclasses.replace(self.config, padding="compute")
        return same

    def doubts(self) -> Iterator[str]:
        """What is taken for granted of the model and may not be so: sentences for warnings."""
        yield from ()

    def conventions(self) -> dict[str, object]:
        """What users of the artifact, and its checks, must know of its inputs."""
        return {
            "padding_side": self.padding_side,
            "causal": self.causal,
            "ignored_inputs": list(self.ignored_inputs),
            "layer_scale": self.layer_scale,
            "dropout_places": self.dropout_places(),
            "optional_inputs": {n: each.record() for n, each in self.optional_inputs().items()},
        }

    def embedding_dropout(self) -> float:
        """Rate of dropout behind the embeddings."""
        return self.config.hidden_dropout_prob

    def layer_dropout(self) -> tuple[float, float]:
        """Rates of dropout behind a block's attention and behind its feed-forward layer."""
        return self.config.hidden_dropout_prob, self.config.hidden_dropout_prob

    def dropout_places(self) -> int:
        """How many times the network drops elements out, with `training=True`."""
        c = self.config
        in_block = (*self.layer_dropout(), c.attention_probs_dropout_prob)
        embeddings = 1 if self.embedding_dropout() else 0
        return embeddings + c.num_hidden_layers * sum(rate > 0 for rate in in_block)

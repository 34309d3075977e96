"""Heads of TensorFlow checkpoints, in Model Garden's own layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import TensorMismatchError
from hubexport.families.carried import carried_heads, spelled_heads
from hubexport.families.family import Family
from hubexport.families.heads import POSITIONS, Head
from hubexport.families.tensor_map import Weight
from hubexport.poolers import POOLERS
from hubexport.validation.references.model_garden.layout import HeadLayout

Encoded = Mapping[str, Any]
"""An encoder's outputs, of which `sequence_output` [B, S, H] and `pooled_output` [B, H] count."""

_LOGITS, _POOLER = "/logits", "/pooler_dense"
"""Layers of Model Garden's `ClassificationHead`."""


@dataclasses.dataclass(frozen=True)
class GardenHeads:
    """Model Garden's names of the heads that the family knows, and what their outputs are called.

    Attributes:
      masked_lm: the output that the scores of masked tokens are.
      outputs: head -> the output that its scores are.
      pooled: head -> the output that its pooler's vector is, where references have one.
    """

    masked_lm: str
    outputs: Mapping[str, str]
    pooled: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """All heads."""
        return list(dict.fromkeys((*self.outputs, *self.pooled)))


def garden_heads(family: Family) -> GardenHeads:
    """The heads in the family's tables that Model Garden has."""
    outputs, masked_lm = {}, ""
    for head in spelled_heads(family).values():
        name = str(head.parts[0].names.get("tf2", ""))
        if name.endswith(_LOGITS):
            (outputs[name.removesuffix(_LOGITS)],) = head.interface.outputs
        elif POSITIONS in head.interface.inputs:
            (masked_lm,) = head.interface.outputs
    poolers = {kind: str(part.names.get("tf2", "")) for kind, part in family.poolers("").items()}
    pooled = {
        name.removesuffix(_POOLER): POOLERS[kind].recorded
        for kind, name in poolers.items()
        if name.endswith(_POOLER)
    }
    return GardenHeads(masked_lm, outputs, pooled)


def arguments(layout: HeadLayout, settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a `ClassificationHead` is made with.

    Args:
      layout: where it is, and its sizes.
      settings: of the experiment (`Configuration.heads`).
    """
    own = next((each for each in settings if each.get("name") == layout.name), {})
    said = {key: own[key] for key in ("activation", "cls_token_idx") if key in own}
    sizes = {"inner_dim": layout.inner_dim, "num_classes": layout.num_classes}
    return {"name": layout.name, **sizes, **said}


@dataclasses.dataclass(frozen=True)
class Tf1Head:
    """A head of google-research/bert: an output layer, [C, H] and [C], on what the encoder gives.

    Attributes:
      weights: of that layer.
      pooler: of the encoder's pooler, where it starts from that.
      head: what the family's tables say of it.
    """

    weights: tuple[Weight, ...]
    pooler: tuple[Weight, ...]
    head: Head

    @property
    def tensors(self) -> list[str]:
        """Its output layer's, in the checkpoint."""
        return [weight.tensor for weight in self.weights]

    def load(self, source: TensorSource, read: Callable[[str], np.ndarray]) -> Any:
        """A function of the encoder's outputs that gives the head's.

        Args:
          source: the checkpoint.
          read: gives a tensor of it.

        Raises:
          TensorMismatchError: tensors of the head or its pooler are missing or misshaped.
        """
        import tensorflow as tf
        from official.nlp.modeling import layers, networks

        self._check(source)
        weights, bias = (read(tensor) for tensor in self.tensors)
        classes, width = weights.shape
        outputs, axes = zip(*self.head.interface.outputs.items(), strict=True)
        of_tokens = "S" in axes[0]
        if of_tokens:
            layer = networks.SpanLabeling(width)  # BertSpanLabeler's
        else:
            layer = layers.ClassificationHead(inner_dim=0, num_classes=classes)  # BertClassifier's
            layer(tf.zeros([1, width]))
        kernel, offset = layer.trainable_variables
        kernel.assign(weights.T)
        offset.assign(bias)

        def compute(encoded: Encoded) -> dict[str, Any]:
            found = layer(encoded["sequence_output" if of_tokens else "pooled_output"])
            return dict(zip(outputs, found if of_tokens else [found], strict=True))

        return compute

    def _check(self, source: TensorSource) -> None:
        missing, misshaped = [], []
        for weight in (*self.weights, *self.pooler):
            tensor = source.find(weight.tensor)
            if tensor is None:
                missing.append(weight.tensor)
            elif weight in self.weights and tensor.shape != weight.shape:
                misshaped.append(f"{tensor}, needed {list(weight.shape)}")
        if missing or misshaped:
            facts = {"missing": missing, "misshaped": misshaped}
            raise TensorMismatchError(
                "the checkpoint has a part of a head",
                [
                    ("checkpoint", str(source.path)),
                    *((kind, ", ".join(names)) for kind, names in facts.items() if names),
                ],
                "pass a complete checkpoint.",
            )


def tf1_heads(family: Family) -> list[Tf1Head]:
    """The heads that a google-research/bert checkpoint carries, beside that of masked tokens."""
    heads, names = spelled_heads(family), family.names
    carried = [heads[name] for group in carried_heads(family) for name in group]
    return [
        Tf1Head(
            tuple(names.weights(head.parts)),
            tuple(names.weights([head.pooler.part]) if head.pooler else ()),
            head,
        )
        for head in carried
        if POSITIONS not in head.interface.inputs
    ]

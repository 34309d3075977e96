"""Which heads are exported, and what they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import UsageError
from hubexport.exporting.pooler import SCOPE, PoolerChoice
from hubexport.families.bert import Bert
from hubexport.families.tensor_map import Weight

if TYPE_CHECKING:
    from hubexport.networks.pooling import Pooling
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables
    from hubexport.saved_model.reusable import Head

_OWN_POOLER = "cls/seq_relationship/pooler/dense"


@dataclasses.dataclass(frozen=True)
class HeadChoice:
    """The heads to export.

    Attributes:
      weights: head -> its weights.
      left_out: reason -> weights that the checkpoint may hold and that are not exported.
      shares_pooler: whether next-sentence prediction starts from the encoder's `pooled_output`.
    """

    weights: Mapping[str, tuple[Weight, ...]]
    left_out: Mapping[str, tuple[Weight, ...]]
    shares_pooler: bool

    def build(
        self, name: str, family: Bert, variables: Variables, encoder: Encoder, pooled: Pooling
    ) -> Head:
        """The head's network."""
        from hubexport.networks.heads import HEADS
        from hubexport.networks.pooling import FirstTokenDense

        def trained_on() -> Pooling:
            if self.shares_pooler:
                return pooled
            return FirstTokenDense(variables, _OWN_POOLER, family.config.hidden_size)

        return HEADS[name](family.config, variables, encoder, trained_on)


def choose_heads(
    requested: str, family: Bert, source: TensorSource, pooler: PoolerChoice
) -> HeadChoice:
    """Heads by name, `auto` for every one that the checkpoint carries, or `none`.

    Raises:
      UsageError: a name that the family does not have.
    """
    known = {name: tuple(family.names.weights(parts)) for name, parts in family.heads().items()}
    carried = [
        name
        for name, weights in known.items()
        if any(source.find(weight.tensor) is not None for weight in weights)
    ]
    if requested == "auto":
        wanted = carried
    else:
        wanted = [] if requested == "none" else [name.strip() for name in requested.split(",")]
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(
            f"the family {family.name!r} has no head {', '.join(map(repr, unknown))}",
            [
                ("heads", ", ".join(known)),
                ("carried by the checkpoint", ", ".join(carried) or "none"),
            ],
            "pass --heads auto, none, or some of them.",
        )
    weights = {name: known[name] for name in known if name in wanted}
    trained_on = family.names.weights([family.next_sentence_pooler(SCOPE)])
    shares_pooler = {weight.tensor for weight in trained_on} == pooler.tensors
    if "nsp" in weights and not shares_pooler:
        own = family.names.weights([family.next_sentence_pooler(_OWN_POOLER)])
        weights["nsp"] = (*weights["nsp"], *own)
    left_out = {f"head: {name}": known[name] for name in carried if name not in weights}
    left_out["pooler, not chosen"] = tuple(family.names.weights([family.pooler(SCOPE)]))
    left_out["pooler of next-sentence prediction, not chosen"] = tuple(trained_on)
    return HeadChoice(weights, left_out, shares_pooler)

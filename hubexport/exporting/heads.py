"""Which heads are exported, and what they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import UsageError
from hubexport.exporting.pooler import SCOPE, PoolerChoice
from hubexport.families.family import Family
from hubexport.families.tensor_map import Weight

if TYPE_CHECKING:
    from hubexport.networks.pooling import Pooling
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables
    from hubexport.saved_model.reusable import Head

MASKED_LANGUAGE_MODEL = "mlm"


@dataclasses.dataclass(frozen=True)
class HeadChoice:
    """The heads to export.

    Attributes:
      weights: head -> its weights.
      left_out: reason -> weights that the checkpoint may hold and that are not exported.
      own_poolers: head -> scope of the pooler that is its own; heads that start from the encoder's
        `pooled_output`, or from none, are not in it.
    """

    weights: Mapping[str, tuple[Weight, ...]]
    left_out: Mapping[str, tuple[Weight, ...]]
    own_poolers: Mapping[str, str]

    def build(
        self, name: str, family: Family, variables: Variables, encoder: Encoder, pooled: Pooling
    ) -> Head:
        """The head's network."""
        from hubexport.networks.heads import HEADS
        from hubexport.networks.pooling import FirstTokenDense

        def trained_on() -> Pooling:
            if name not in self.own_poolers:
                return pooled
            return FirstTokenDense(family.config, variables, self.own_poolers[name])

        return HEADS[name](family.config, variables, encoder, trained_on)


def choose_heads(
    requested: str, family: Family, source: TensorSource, pooler: PoolerChoice
) -> HeadChoice:
    """Heads by name, `auto` for every one that the checkpoint carries, or `none`.

    Raises:
      UsageError: a name that the family does not have, or a head that the checkpoint does not.
    """
    known = {name: tuple(family.names.weights(parts)) for name, parts in family.heads().items()}
    carried = [
        name
        for name, weights in known.items()
        if any(source.find(weight.tensor) is not None for weight in weights)
    ]
    wanted = carried if requested == "auto" else _names(requested)
    facts = [
        ("heads", ", ".join(known)),
        ("carried by the checkpoint", ", ".join(carried) or "none"),
    ]
    choose = "pass --heads auto, none, or some of those that the checkpoint carries."
    if unknown := [name for name in wanted if name not in known]:
        names = ", ".join(map(repr, unknown))
        raise UsageError(f"the family {family.name!r} has no head {names}", facts, choose)
    if absent := [name for name in wanted if name not in carried]:
        raise UsageError(f"the checkpoint has no head {', '.join(absent)}", facts, choose)
    weights = {name: known[name] for name in known if name in wanted}
    left_out = {f"head: {name}": known[name] for name in carried if name not in weights}
    left_out["pooler, not chosen"] = tuple(family.names.weights([family.pooler(SCOPE)]))
    own_poolers = {}
    for name in known:
        scope = f"cls/{name}/pooler/dense"
        part = family.head_pooler(name, scope)
        if part is None:
            continue
        trained_on = tuple(family.names.weights([part]))
        left_out[f"pooler of head {name}, not chosen"] = trained_on
        if name in weights and {weight.tensor for weight in trained_on} != pooler.tensors:
            own_poolers[name] = scope
            weights[name] += trained_on
    return HeadChoice(weights, left_out, own_poolers)


def _names(requested: str) -> list[str]:
    if not isinstance(requested, str):
        raise UsageError(
            "heads are given as one string",
            [("found", repr(requested))],
            'pass "auto", "none", or names joined by commas.',
        )
    return [] if requested == "none" else [name.strip() for name in requested.split(",")]

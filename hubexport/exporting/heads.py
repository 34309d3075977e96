"""Which heads are exported, and what they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError, UsageError, some_of
from hubexport.exporting.pooler import PoolerChoice
from hubexport.families.carried import carried_heads, spelled_heads
from hubexport.families.family import Family
from hubexport.families.heads import Head
from hubexport.families.tensor_map import Weight

if TYPE_CHECKING:
    from hubexport.networks.place import Network
    from hubexport.networks.pooling import Pooling
    from hubexport.networks.transformer import Encoder
    from hubexport.networks.variables import Variables


@dataclasses.dataclass(frozen=True)
class HeadChoice:
    """The heads to export.

    Attributes:
      heads: by name.
      weights: head -> its weights.
      left_out: reason -> weights that the checkpoint may hold and that are not exported.
      own_poolers: heads that start from a pooler of their own; others start from the encoder's
        `pooled_output`, or from none.
    """

    heads: Mapping[str, Head]
    weights: Mapping[str, tuple[Weight, ...]]
    left_out: Mapping[str, tuple[Weight, ...]]
    own_poolers: frozenset[str]

    def build(
        self, name: str, family: Family, variables: Variables, encoder: Encoder, pooled: Pooling
    ) -> Network:
        """The head's network."""
        from hubexport.networks.heads import HEADS
        from hubexport.networks.place import Place
        from hubexport.networks.pooling import POOLINGS, TokenDense

        head = self.heads[name]

        def trained_on() -> Pooling:
            if head.pooler is None:
                return POOLINGS[head.pooling]
            if name not in self.own_poolers:
                return pooled
            scope, activation = head.pooler.part.scope, head.pooler.activation
            token, size = POOLINGS[head.pooling], head.pooler.size
            return TokenDense(family.config, variables, scope, activation, token, size)

        leaves = {leaf.name: leaf for part in head.parts for leaf in part.leaves}
        output = leaves.get("output_weights")
        place = Place(
            family.config,
            variables,
            head.scope,
            encoder,
            output.shape if output else (),
            "output_bias" in leaves,
            trained_on,
            head.activation or family.config.hidden_act,
            lambda: family.of_every_position().network(variables),
            head.interface.outputs,
        )
        return HEADS[head.network](place)


def choose_heads(
    requested: str, family: Family, source: TensorSource, pooler: PoolerChoice
) -> HeadChoice:
    """Heads by name, `auto` for every one that the checkpoint carries, or `none`.

    Raises:
      UsageError: a name that the family does not have, or a head that the checkpoint does not.
      ConfigurationError: tensors that could be several heads', and nothing tells which; or a head
        that is computed in another way than is known.
    """
    wanted = [] if requested == "auto" else _names(requested)
    heads = spelled_heads(family)
    known = {name: tuple(family.names.weights(head.parts)) for name, head in heads.items()}
    groups = carried_heads(family)
    carried: list[str] = []
    for names in groups:
        asked = [name for name in names if name in wanted]
        if len(names) > 1 and len(asked) != 1 and (asked or requested == "auto"):
            raise _ambiguous(names, known, family)
        carried += asked or names[:1]
    possible = [name for names in groups for name in names]
    if requested == "auto":
        wanted = carried
    facts = [
        ("heads", ", ".join(known)),
        ("carried by the checkpoint", ", ".join(carried) or "none"),
    ]
    own_tensors = {weight.tensor for head in known.values() for weight in head}
    for kind, pattern in family.other_heads.items():
        others = [name for name in source.tensors if pattern.fullmatch(name)]
        if others and own_tensors.isdisjoint(others):
            facts.append((f"of several {kind}, none is taken", some_of(others)))
    choose = "pass --heads auto, none, or some of those that the checkpoint carries."
    if unknown := [name for name in wanted if name not in known]:
        names = ", ".join(map(repr, unknown))
        raise UsageError(f"the family {family.name!r} has no head {names}", facts, choose)
    if absent := [name for name in wanted if name not in carried]:
        raise UsageError(f"the checkpoint has no head {', '.join(absent)}", facts, choose)
    if refused := [(name, heads[name].refused) for name in wanted if heads[name].refused]:
        raise ConfigurationError(
            "a head is computed in a way that is not supported",
            [("configuration", str(family.configuration.path)), *refused],
            "pass --heads none, or the heads to export less this one.",
        )
    weights = {name: known[name] for name in known if name in wanted}
    left_out = {f"head: {name}": known[name] for name in possible if name not in weights}
    for name, head in heads.items():
        companions = tuple(family.names.weights(head.companions))
        if name in weights:
            weights[name] += companions
        elif companions:
            left_out[f"of no use without the head {name}"] = companions
    encoders_own = family.poolers("").get("checkpoint")
    if encoders_own is not None and family.names.knows(encoders_own):
        left_out["pooler, not chosen"] = tuple(family.names.weights([encoders_own]))
    own_poolers = set()
    for name in known:
        trained_on = heads[name].pooler
        if trained_on is None or not family.names.knows(trained_on.part):
            continue
        own = tuple(family.names.weights([trained_on.part]))
        left_out[f"pooler of head {name}, not chosen"] = own
        shared = {weight.tensor for weight in own} == pooler.tensors
        if name in weights and not (shared and trained_on.activation == "tanh"):
            own_poolers.add(name)
            weights[name] = own + weights[name]
    chosen = {name: heads[name] for name in weights}
    return HeadChoice(chosen, weights, left_out, frozenset(own_poolers))


def _ambiguous(
    names: Sequence[str], known: Mapping[str, tuple[Weight, ...]], family: Family
) -> ConfigurationError:
    said = family.configuration.values.get("architectures")
    return ConfigurationError(
        "the checkpoint has a head that could be several, and nothing tells which it is",
        [
            ("tensors", ", ".join(weight.tensor for weight in known[names[0]])),
            ("heads", ", ".join(names)),
            ("configuration", f"{family.configuration.path}, architectures: {said}"),
        ],
        f"pass --heads={names[0]} to `hubexport encoder`, or what else it is.",
    )


def _names(requested: str) -> list[str]:
    if not isinstance(requested, str):
        raise UsageError(
            "heads are given as one string",
            [("found", repr(requested))],
            'pass "auto", "none", or names joined by commas.',
        )
    return [] if requested == "none" else [name.strip() for name in requested.split(",")]

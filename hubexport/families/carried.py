"""Which heads of a family a checkpoint carries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hubexport.families.family import Family
from hubexport.families.heads import Head, told_apart
from hubexport.families.tensor_map import Part


def spelled_heads(family: Family) -> dict[str, Head]:
    """The heads that may be in a checkpoint of its layout."""
    return {
        name: head
        for name, head in family.heads().items()
        if all(family.names.knows(part) for part in head.parts)
    }


def carried_heads(family: Family) -> list[Sequence[str]]:
    """The heads of which the checkpoint has tensors, by name.

    Heads that the same tensors could be of stay together where neither the configuration nor what
    else the checkpoint holds tells them apart; the usual group is of one. What another head starts
    from is not a head of its own.
    """
    heads = spelled_heads(family)
    tensors = {name: _found(head.parts, family) for name, head in heads.items()}
    begun = {
        tensor
        for name, head in heads.items()
        if head.pooler is not None and tensors[name]
        for tensor in _found([head.pooler.part], family)
    }
    by_tensors: dict[frozenset[str], list[str]] = {}
    for name, head in heads.items():
        if tensors[name] - begun:
            of_head = frozenset(weight.tensor for weight in family.names.weights(head.parts))
            by_tensors.setdefault(of_head, []).append(name)
    without: list[Sequence[str]] = [[name] for name, head in heads.items() if head.carried]
    return without + [_told_apart(names, heads, family) for names in by_tensors.values()]


def _found(parts: Iterable[Part], family: Family) -> set[str]:
    """The names of those of the parts' tensors that the checkpoint has."""
    tensors = (weight.tensor for weight in family.names.weights(parts))
    return {tensor for tensor in tensors if family.source.find(tensor) is not None}


def _told_apart(names: list[str], heads: Mapping[str, Head], family: Family) -> list[str]:
    if len(names) > 1 and (told := told_apart(names, family.configuration)):
        return [told]
    # A head goes without tensors of its pooler only where the encoder's own are there.
    names = [name for name in names if _holds_pooler(heads[name], family)] or names
    return [name for name in names if fits(heads[name], family)] or names


def fits(head: Head, family: Family) -> bool:
    """Whether those of the head's tensors that the checkpoint has are of the head's shapes."""
    weights = family.names.weights(head.parts)
    found = [(weight, family.source.find(weight.tensor)) for weight in weights]
    return all(t is None or t.shape == w.transform.source_shape(w.shape) for w, t in found)


def _holds_pooler(head: Head, family: Family) -> bool:
    """Whether the checkpoint has what the head was trained on, if that has weights."""
    if head.pooler is None:
        return True
    weights = family.names.weights([head.pooler.part])
    return any(family.source.find(weight.tensor) is not None for weight in weights)

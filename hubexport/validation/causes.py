"""From where outputs diverge to what is probably wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hubexport.families.heads import FORMS, USUAL_CAUSES
from hubexport.validation.cases import LEFT_PADDED_CASE, WITH_OPTIONAL, Case
from hubexport.validation.reference_file import layer_name
from hubexport.validation.results import Measurement

_SMALL = 0.02
"""Relative error below which kernels, order and wiring must be right, and a formula is off."""


@dataclasses.dataclass(frozen=True)
class Divergence:
    """An output beyond its limits, and its worst figure."""

    case: Case
    output: str
    worst: Measurement


def explain(divergences: Sequence[Divergence], num_hidden_layers: int) -> list[str]:
    """Sentences: which layer diverges first, and the usual causes of that; none if none does."""
    if not divergences:
        return []
    diverging = {(each.case.name, each.output) for each in divergences}
    cases = {each.case.name: each.case for each in divergences}
    layers = [
        i
        for i in range(num_hidden_layers)
        if any((name, layer_name(i)) in diverging for name in cases)
    ]
    if not layers:
        outputs = sorted({each.output for each in divergences})
        verb = "does" if len(outputs) == 1 else "do"
        sentences = [f"All layers agree; {', '.join(outputs)} {verb} not."]
        return sentences + [_OF_OUTPUT[name] for name in outputs if name in _OF_OUTPUT]
    first = layers[0]
    where = [name for name in cases if (name, layer_name(first)) in diverging]
    error = max(_relative(each) for each in divergences if each.output == layer_name(first))
    sentences = [
        f"The first layer to diverge is {layer_name(first)} of {num_hidden_layers} "
        f"(in {', '.join(where)}); usual causes:"
    ]
    return [*sentences, _causes(first, where, cases, error)]


_OF_OUTPUT = {
    "pooled_output": "Usual causes: another pooler (--pooler), a random or transposed pooler "
    "kernel, tanh missing.",
    "default": "Usual causes: a sentence embedding that is pooled or normalized otherwise.",
    **{
        output: f"Usual causes: {USUAL_CAUSES[head]}."
        for head, interface in reversed(FORMS)  # the first that gives it
        for output in interface.outputs
    },
    "sequence_output": "Usual causes: something after the last layer, or its output is another's.",
}


def _causes(first: int, where: Sequence[str], cases: dict[str, Case], error: float) -> str:
    """The usual causes, by the cases that diverge: those that do not rule others out."""
    if error < _SMALL:
        return (
            "the difference is small, so a formula is off rather than a weight: tanh or erf GELU, "
            "epsilon of the layer norms, a mask that is added otherwise, lower precision."
        )
    if all(name.startswith(WITH_OPTIONAL) for name in where):
        names = ", ".join(sorted(name.removeprefix(WITH_OPTIONAL) for name in where))
        return f"{names} only: it is left out, or reaches another layer or other tokens."
    if where == [LEFT_PADDED_CASE]:
        return (
            "padding on the left only: positions are not counted from the first token, or not from "
            "the ids."
        )
    if "one_token" not in where and "plain" not in where:
        if all(cases[name].is_padded for name in where):
            return (
                "padding only: the mask is not applied, or not as in the reference; or outputs are "
                "not 0 at padding although the record says that it is skipped."
            )
        return "the second segment only: token type embeddings."
    if "one_token" not in where:
        return (
            "more than one token is needed: queries and keys exchanged or transposed, the scale "
            "of the scores, heads split otherwise, positions after the first."
        )
    begin = "embeddings (words, position offset, token types), " if first == 0 else ""
    return (
        f"even single tokens diverge: {begin}a kernel transposed, layers exchanged, a bias or norm "
        "of another place, residual or activation left out."
    )


def _relative(divergence: Divergence) -> float:
    """The relative Frobenius error where that is the worst figure, else one that is not small."""
    figure = divergence.worst.figure
    is_relative = divergence.worst.what.endswith("relative Frobenius")
    return float(figure) if is_relative and isinstance(figure, float) else 1.0

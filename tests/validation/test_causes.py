"""What is said of outputs that diverge: a sentence for each situation, and no other."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hubexport.validation.cases import Case, random_cases
from hubexport.validation.causes import Divergence, explain
from hubexport.validation.results import at_most

CASES: dict[str, Case] = {case.name: case for case in random_cases(50, 12, 2)}
LEFT = random_cases(50, 12, 2, padding_side="any")[-1]
LAYERS = 4

SMALL, LARGE = 0.01, 0.4
FORMULA = "a formula is off rather than a weight"
PADDING = "padding only"
SEGMENTS = "the second segment only"
ATTENTION = "more than one token is needed"
EVERYWHERE = "even single tokens diverge"
SITUATIONS = (FORMULA, PADDING, SEGMENTS, ATTENTION, EVERYWHERE)


def diverging(
    names: Iterable[str], outputs: Iterable[str], error: float = LARGE
) -> list[Divergence]:
    return [
        Divergence(
            CASES[name], output, at_most(f"{name}: {output}, relative Frobenius", error, 1e-5)
        )
        for name in names
        for output in outputs
    ]


def from_layer(first: int) -> list[str]:
    return [f"encoder_outputs[{i}]" for i in range(first, LAYERS)] + ["sequence_output"]


def said(divergences: list[Divergence], situation: str) -> str:
    text = " ".join(explain(divergences, LAYERS))
    assert [each for each in SITUATIONS if each in text] == [situation]
    return text


def test_nothing_diverges() -> None:
    assert explain([], LAYERS) == []


@pytest.mark.parametrize("first", range(LAYERS))
def test_the_first_layer_is_named_and_where(first: int) -> None:
    divergences = diverging(["ragged", "plain"], from_layer(first))
    text = said(divergences, ATTENTION)
    assert f"encoder_outputs[{first}] of {LAYERS} (in ragged, plain)" in text


def test_the_first_layer_of_any_case() -> None:
    late, early = diverging(["plain"], from_layer(3)), diverging(["ragged"], from_layer(1))
    assert "encoder_outputs[1] of 4 (in ragged)" in said([*late, *early], PADDING)


def test_a_small_difference_is_a_formula() -> None:
    said(diverging(CASES, from_layer(0), SMALL), FORMULA)


def test_it_is_the_first_layers_difference_that_counts() -> None:
    large_later = diverging(CASES, from_layer(2), LARGE)
    said(diverging(CASES, ["encoder_outputs[1]"], SMALL) + large_later, FORMULA)


def test_a_large_difference_in_one_case_is_no_formula() -> None:
    others = diverging(["plain", "segments"], from_layer(0), SMALL)
    said(others + diverging(["one_token"], from_layer(0), LARGE), EVERYWHERE)


@pytest.mark.parametrize("figure", ["max abs", "1 - cosine"])
def test_other_figures_do_not_tell_how_small_it_is(figure: str) -> None:
    worst = at_most(f"one_token: encoder_outputs[0], {figure}", 1e-3, 1e-5)
    said([Divergence(CASES["one_token"], "encoder_outputs[0]", worst)], EVERYWHERE)


@pytest.mark.parametrize("names", [["ragged"], ["ragged", "batch_1"], ["batch_1"]])
def test_padding(names: list[str]) -> None:
    said(diverging(names, from_layer(0)), PADDING)


def test_padding_on_the_left() -> None:
    worst = at_most(f"{LEFT.name}: encoder_outputs[0], relative Frobenius", LARGE, 1e-5)
    of_left = Divergence(LEFT, "encoder_outputs[0]", worst)
    text = " ".join(explain([of_left], LAYERS))
    assert "padding on the left only" in text and not any(each in text for each in SITUATIONS)
    said([of_left, *diverging(["ragged"], from_layer(0))], PADDING)


def test_an_input_that_may_be_left_out() -> None:
    worst = at_most("with_mems: encoder_outputs[0], relative Frobenius", LARGE, 1e-5)
    of_memory = Divergence(Case("with_mems", LEFT.inputs), "encoder_outputs[0]", worst)
    text = " ".join(explain([of_memory], LAYERS))
    assert "mems only" in text and not any(each in text for each in SITUATIONS)
    said([of_memory, *diverging(["ragged"], from_layer(0))], PADDING)


@pytest.mark.parametrize(
    "names", [["segments"], ["segments", "ragged", "full_length"], ["full_length"]]
)
def test_segments(names: list[str]) -> None:
    said(diverging(names, from_layer(0)), SEGMENTS)


def test_attention() -> None:
    names = [name for name in CASES if name != "one_token"]
    assert "queries and keys" in said(diverging(names, from_layer(0)), ATTENTION)


def test_everywhere() -> None:
    assert "embeddings" in said(diverging(CASES, from_layer(0)), EVERYWHERE)
    assert "embeddings" not in said(diverging(CASES, from_layer(1)), EVERYWHERE)


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("pooled_output", "--pooler"),
        ("default", "pooled or normalized otherwise"),
        ("mlm_logits", "output bias lost"),
        ("nsp_logits", "another pooler"),
        ("lm_logits", "not tied"),
        ("sequence_output", "after the last layer"),
    ],
)
def test_all_layers_agree(output: str, cause: str) -> None:
    sentences = explain(diverging(["plain", "ragged"], [output]), LAYERS)
    assert sentences[0] == f"All layers agree; {output} does not."
    assert len(sentences) == 2 and cause in sentences[1]


def test_several_outputs_after_layers_that_agree() -> None:
    sentences = explain(diverging(["plain"], ["nsp_logits", "default", "pooled_output"]), LAYERS)
    assert sentences[0] == "All layers agree; default, nsp_logits, pooled_output do not."
    assert len(sentences) == 4


def test_with_layers_that_diverge_outputs_are_no_news() -> None:
    divergences = diverging(["plain"], [*from_layer(2), "pooled_output"])
    assert "pooler" not in said(divergences, ATTENTION)

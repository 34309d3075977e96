"""The limits: the rule of docs/validation.md, and what real rounding does under them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hubexport.validation.context import Context
from hubexport.validation.devices import Device, Precision
from hubexport.validation.figures import Figures, compare
from hubexport.validation.tolerance import UNIT_ROUNDOFF, Tolerance

DOCUMENT = Path(__file__).parents[2] / "docs" / "validation.md"
FORMATS = {"float32": 2**-24, "tf32": 2**-11, "float16": 2**-11, "bfloat16": 2**-8}
"""As the document has them."""

BERT_BASE = {"num_hidden_layers": 12, "longest_sum": 3072}


@pytest.mark.parametrize(("dtype", "name"), [("float32", "float32"), ("float16", "float16")])
def test_unit_roundoff_is_half_the_spacing_at_1(dtype: str, name: str) -> None:
    assert UNIT_ROUNDOFF[name] == np.spacing(np.dtype(dtype).type(1)) / 2


def test_unit_roundoff_of_bfloat16() -> None:
    assert UNIT_ROUNDOFF["bfloat16"] == float(ml_dtypes.finfo(ml_dtypes.bfloat16).eps) / 2


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("longest_sum", [1, 64, 3072, 1 << 20])
@pytest.mark.parametrize(
    ("output", "n"),
    [
        ("encoder_outputs[0]", 2),
        ("encoder_outputs[11]", 13),
        ("sequence_output", 13),
        ("pooled_output", 14),
        ("default", 14),
        ("nsp_logits", 15),
        ("mlm_logits", 15),
    ],
)
def test_the_documented_rule(precision: str, longest_sum: int, output: str, n: int) -> None:
    rms = 0.7
    limits = Tolerance(precision, 12, longest_sum).limits(output, rms)
    r = 4 * math.sqrt(n) * max(FORMATS[precision], math.sqrt(longest_sum) * 2**-24)
    assert limits.relative_frobenius == pytest.approx(r, rel=1e-14)
    assert limits.max_abs == pytest.approx(16 * r * rms, rel=1e-14)
    assert 1 - limits.cosine == pytest.approx((16 * r) ** 2 / 2, rel=1e-12, abs=2e-16)


def test_the_document_states_this_rule() -> None:
    text = DOCUMENT.read_text("utf-8")
    for line in (
        "r = 4 sqrt(n) max(u, sqrt(K) 2^-24)",
        "16 r times the root mean square of the reference",
        "(16 r)^2 / 2",
        "2^-24 for float32, 2^-11 for TF32 and float16, 2^-8 for bfloat16",
    ):
        assert line in text
    r = Tolerance("float32", **BERT_BASE).limits("sequence_output", 1).relative_frobenius
    assert f"r is {r:.1e} for `sequence_output`".replace("e-0", "e-") in text


@pytest.mark.parametrize("precision", FORMATS)
def test_limits_grow_with_depth(precision: str) -> None:
    tolerance = Tolerance(precision, **BERT_BASE)
    names = [f"encoder_outputs[{i}]" for i in range(12)] + ["pooled_output", "mlm_logits"]
    limits = [tolerance.limits(name, 1) for name in names]
    for before, after in itertools.pairwise(limits):
        assert before.relative_frobenius < after.relative_frobenius
        assert before.max_abs < after.max_abs
        assert before.cosine >= after.cosine
    assert tolerance.limits("sequence_output", 1) == limits[11]


def test_limits_grow_with_sums_until_the_format_is_coarser() -> None:
    def relative(precision: str, longest_sum: int) -> float:
        return Tolerance(precision, 4, longest_sum).limits("x", 1).relative_frobenius

    assert relative("float32", 256) == 4 * relative("float32", 16)
    assert relative("bfloat16", 256) == relative("bfloat16", 16)
    assert relative("tf32", 16) == relative("float16", 16) < relative("bfloat16", 16)


def context(dtype: str, format: str, **sizes: int) -> Context:
    precision = Precision("", format)
    device = Device("cpu", "some", (precision,), placed=lambda: None)  # type: ignore[arg-type]
    made = Context(None, None, None, None, None, None, device, precision)
    made.dtype = dtype
    made.sizes = {"num_hidden_layers": 3, "hidden_size": 8, "intermediate_size": 16, **sizes}
    return made


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_coarser_of_dtype_and_device(dtype: str, format: str) -> None:
    tolerance = context(dtype, format).tolerance(4)
    assert UNIT_ROUNDOFF[tolerance.precision] == max(FORMATS[dtype], FORMATS[format])


@pytest.mark.parametrize(
    ("sizes", "length", "longest"),
    [
        ({}, 4, 16),
        ({"hidden_size": 32}, 4, 32),
        ({"intermediate_size": 64}, 4, 64),
        ({}, 128, 128),
    ],
)
def test_the_longest_sum(sizes: dict[str, int], length: int, longest: int) -> None:
    assert context("float32", "float32", **sizes).tolerance(length).longest_sum == longest


def test_measurements_say_what_and_hold_at_the_limits() -> None:
    tolerance = Tolerance("bfloat16", **BERT_BASE)
    limits = tolerance.limits("sequence_output", 0.5)
    at = Figures(limits.max_abs, limits.relative_frobenius, limits.cosine, 0.5)
    measured = tolerance.measure("plain: x", "sequence_output", at)
    assert [each.what for each in measured] == [
        "plain: x, relative Frobenius",
        "plain: x, max abs",
        "plain: x, 1 - cosine",
    ]
    assert all(each.passed for each in measured)
    assert [each.strain for each in measured] == pytest.approx([1, 1, 1])
    beyond = Figures(
        1.01 * limits.max_abs,
        1.01 * limits.relative_frobenius,
        1 - 1.01 * (1 - limits.cosine),
        0.5,
    )
    measured = tolerance.measure("plain: x", "sequence_output", beyond)
    assert not any(each.passed for each in measured)


def test_what_is_no_number_does_not_hold() -> None:
    nothing = Figures(math.nan, math.nan, math.nan, 1.0)
    measured = Tolerance("bfloat16", **BERT_BASE).measure("x", "default", nothing)
    assert not any(each.passed for each in measured)


# A stack of feed-forward blocks with norms, as in encoders: real sums of rounded products.

Round = Callable[[np.ndarray], np.ndarray]
TOKENS, LAYERS = 24, 12
SIZES = [(32, 64), (64, 256), (256, 1024)]


def to_tf32(x: np.ndarray) -> np.ndarray:
    """Rounded to 10 bits behind the point, to even; x is float32 of normal size."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0xFFF + ((bits >> 13) & 1)) & 0xFFFFE000
    return rounded.astype(np.uint32).view(np.float32)


ROUNDINGS: dict[str, Round] = {
    "float32": lambda x: x.astype(np.float32),
    "tf32": to_tf32,
    "float16": lambda x: x.astype(np.float16).astype(np.float32),
    "bfloat16": lambda x: x.astype(ml_dtypes.bfloat16).astype(np.float32),
}


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def erf_gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2))).astype(x.dtype)


def layers(
    sizes: tuple[int, int],
    dtype: type[np.floating],
    rounded: Round = lambda x: x,
    gelu: Round = tanh_gelu,
) -> list[np.ndarray]:
    """Every layer's output [TOKENS, H], computed in `dtype`, factors of products `rounded`."""
    hidden, intermediate = sizes
    generator = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray:
        return generator.normal(0, 1 / math.sqrt(shape[0]), shape).astype(np.float32).astype(dtype)

    def norm(x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + dtype(1e-12))

    x, outputs = norm(normal(TOKENS, hidden)), []
    for _ in range(LAYERS):
        up, down = normal(hidden, intermediate), normal(intermediate, hidden)
        inner = gelu(rounded(x) @ rounded(up)).astype(dtype)
        x = norm(x + rounded(inner) @ rounded(down))
        outputs.append(x)
    return outputs


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("precision", ROUNDINGS)
def test_real_rounding_is_within_its_own_limits_only(
    precision: str, sizes: tuple[int, int]
) -> None:
    exact = layers(sizes, np.float64)
    found = layers(sizes, np.float32, ROUNDINGS[precision])
    own, finer = (Tolerance(each, LAYERS, sizes[1]) for each in (precision, "float32"))
    for i, (actual, reference) in enumerate(zip(found, exact, strict=True)):
        assert actual.dtype == np.float32
        figures = compare(actual, reference)
        name = f"encoder_outputs[{i}]"
        measured = own.measure(name, name, figures)
        assert all(each.passed for each in measured), measured
        # Nor are the limits so wide that they would let anything pass.
        assert figures.relative_frobenius >= own.limits(name, 1).relative_frobenius / 200
        if precision != "float32":
            assert not any(each.passed for each in finer.measure(name, name, figures))


@pytest.mark.parametrize("sizes", SIZES[:2])
def test_another_gelu_is_outside(sizes: tuple[int, int]) -> None:
    """The smallest fault that there is between families: erf where it should be tanh."""
    exact, other = layers(sizes, np.float64), layers(sizes, np.float64, gelu=erf_gelu)
    tolerance = Tolerance("float32", LAYERS, sizes[1])
    for i, (actual, reference) in enumerate(zip(other, exact, strict=True)):
        name = f"encoder_outputs[{i}]"
        measured = tolerance.measure(name, name, compare(actual, reference))
        assert not measured[0].passed

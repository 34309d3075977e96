"""Which tensor of a reference `pooled_output` and `default` are compared with, by the record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("safetensors")

from hubexport.poolers import POOLERS, SENTENCE_EMBEDDING
from hubexport.validation.cases import Case
from hubexport.validation.context import Context
from hubexport.validation.devices import Device, Precision
from hubexport.validation.expected import expected_outputs
from hubexport.validation.reference_file import (
    Provenance,
    read_reference,
    write_reference,
)

ROWS, LENGTH, HIDDEN = 3, 4, 2
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0]], np.int32)
ZEROS = np.zeros((ROWS, LENGTH), np.int32)
CASE = Case(
    "plain",
    {
        "input_word_ids": ZEROS,
        "input_mask": MASK,
        "input_type_ids": ZEROS,
        "masked_lm_positions": ZEROS[:, :1],
    },
)


def arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = {
        "encoder_outputs[0]": (ROWS, LENGTH, HIDDEN),
        "encoder_outputs[1]": (ROWS, LENGTH, HIDDEN),
        "sequence_output": (ROWS, LENGTH, HIDDEN),
        "pooled_output": (ROWS, HIDDEN),
        "next_sentence_pooled_output": (ROWS, HIDDEN),
        "sentence_embedding": (ROWS, 5),
        "mlm_logits": (ROWS, 1, 50),
        "nsp_logits": (ROWS, 2),
    }
    return {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}


ARRAYS = arrays()
ALWAYS = {"encoder_outputs[0]", "encoder_outputs[1]", "sequence_output", "mlm_logits", "nsp_logits"}


def mean_of_tokens() -> np.ndarray:
    """A number at a time."""
    sequence = ARRAYS["sequence_output"]
    rows = [
        [
            math.fsum(float(v) for v, m in zip(sequence[b, :, h], MASK[b], strict=True) if m)
            / int(MASK[b].sum())
            for h in range(HIDDEN)
        ]
        for b in range(ROWS)
    ]
    return np.array(rows, np.float32)


def first_tokens(function: Any = float) -> np.ndarray:
    first = [[function(float(v)) for v in row[0]] for row in ARRAYS["sequence_output"]]
    return np.array(first, np.float32)


def last_tokens() -> np.ndarray:
    """The last that the mask lets through, wherever it is."""
    last = [max(i for i, m in enumerate(row) if m) for row in MASK]
    return np.array([ARRAYS["sequence_output"][b, i] for b, i in enumerate(last)], np.float32)


def expect(
    path: Path,
    pooler: Mapping[str, Any] | None,
    without: tuple[str, ...] = (),
    case: Case = CASE,
    **record_fields: Any,
) -> dict[str, np.ndarray]:
    """What an artifact of that record is compared with, and a file that lacks some outputs."""
    outputs = {name: value for name, value in ARRAYS.items() if name not in without}
    write_reference(path, Provenance("file", "x", [], {}), [case], {case.name: outputs})
    precision = Precision("", "float32")
    device = Device("cpu", "some", (precision,), placed=lambda: None)  # type: ignore[arg-type]
    record = None if pooler is None else {"pooler": pooler, **record_fields}
    reference = read_reference(path)
    context = Context(None, None, record, None, reference, None, device, precision)
    loaded = expected_outputs(context, reference.cases[case.name])
    return {name: load() for name, load in loaded.items()}


POOLED = {
    "checkpoint": ARRAYS["pooled_output"],
    "next_sentence": ARRAYS["next_sentence_pooled_output"],
    "cls": first_tokens(),
    "lasttoken": last_tokens(),
    "identity": first_tokens(math.tanh),
    "mean": mean_of_tokens(),
    SENTENCE_EMBEDDING: ARRAYS["sentence_embedding"],
}


def test_every_pooler_is_known_here() -> None:
    assert {*POOLED, "untrained"} == {*POOLERS}


@pytest.mark.parametrize("name", POOLED)
def test_pooled_output(name: str, tmp_path: Path) -> None:
    found = expect(tmp_path / "r", {"pooled_output": name, "default": "pooled_output"})
    assert found.keys() == ALWAYS | {"pooled_output", "default"}
    for output in ("pooled_output", "default"):
        np.testing.assert_allclose(found[output], POOLED[name], rtol=1e-6)
    for output in ALWAYS:
        np.testing.assert_array_equal(found[output], ARRAYS[output])


SKIPS = {"architecture": {"padding": "skip"}}


def test_zeros_where_padding_is_skipped(tmp_path: Path) -> None:
    pooler = {"pooled_output": "checkpoint", "default": "pooled_output"}
    found = expect(tmp_path / "r", pooler, **SKIPS)
    assert found.keys() == ALWAYS | {"pooled_output", "default"}
    for output, value in found.items():
        expected = POOLED["checkpoint"] if output == "default" else ARRAYS[output]
        if output == "sequence_output" or output.startswith("encoder_outputs"):
            assert not value[MASK == 0].any()
            np.testing.assert_array_equal(value[MASK == 1], expected[MASK == 1])
        else:
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("column", [0, 1])
def test_nothing_is_expected_of_skipped_padding(column: int, tmp_path: Path) -> None:
    """Nor of a pooler or a head that reads it; predictions are those of the second place."""
    mask = MASK.copy()
    mask[1, column] = 0
    inputs = {**CASE.inputs, "input_mask": mask, "masked_lm_positions": ZEROS[:, :1] + 1}
    pooler = {"pooled_output": "checkpoint", "default": "pooled_output"}
    found = expect(tmp_path / "r", pooler, case=Case("other", inputs), **SKIPS)
    read_first = {"nsp_logits", "pooled_output", "default"}
    # The third row has no token at the second place, whatever `column` is.
    assert found.keys() == ALWAYS - {"mlm_logits", "nsp_logits"} | (read_first if column else set())


def test_float32_as_the_artifacts(tmp_path: Path) -> None:
    for name in POOLED:
        found = expect(tmp_path / "r", {"pooled_output": name, "default": "pooled_output"})
        assert found["pooled_output"].dtype == np.float32


@pytest.mark.parametrize("name", ["checkpoint", "mean", SENTENCE_EMBEDDING])
def test_default_of_sentence_transformers(name: str, tmp_path: Path) -> None:
    found = expect(tmp_path / "r", {"pooled_output": name, "default": SENTENCE_EMBEDDING})
    np.testing.assert_allclose(found["pooled_output"], POOLED[name], rtol=1e-6)
    np.testing.assert_array_equal(found["default"], ARRAYS["sentence_embedding"])


def test_of_an_untrained_pooler_nothing_is_expected(tmp_path: Path) -> None:
    pooler = {"pooled_output": "untrained", "default": "pooled_output"}
    assert expect(tmp_path / "r", pooler).keys() == ALWAYS
    pooler["default"] = SENTENCE_EMBEDDING
    assert expect(tmp_path / "r", pooler).keys() == ALWAYS | {"default"}


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("checkpoint", "pooled_output"),
        ("next_sentence", "next_sentence_pooled_output"),
        (SENTENCE_EMBEDDING, "sentence_embedding"),
    ],
)
def test_what_the_reference_does_not_hold_is_left_out(
    name: str, missing: str, tmp_path: Path
) -> None:
    pooler = {"pooled_output": name, "default": "pooled_output"}
    assert expect(tmp_path / "r", pooler, (missing,)).keys() == ALWAYS
    found = expect(tmp_path / "r", pooler, ("mlm_logits", "encoder_outputs[0]"))
    assert found.keys() == ALWAYS - {"mlm_logits", "encoder_outputs[0]"} | {
        "pooled_output",
        "default",
    }


def test_without_a_record_it_is_the_encoders_own_pooler(tmp_path: Path) -> None:
    found = expect(tmp_path / "r", None)
    for output in ("pooled_output", "default"):
        np.testing.assert_array_equal(found[output], ARRAYS["pooled_output"])


def test_a_row_without_tokens_has_a_mean(tmp_path: Path) -> None:
    empty = {**CASE.inputs, "input_mask": np.zeros_like(MASK)}
    path = tmp_path / "r"
    write_reference(
        path, Provenance("file", "x", [], {}), [Case("plain", empty)], {"plain": ARRAYS}
    )
    reference = read_reference(path)
    precision = Precision("", "float32")
    device = Device("cpu", "some", (precision,), placed=lambda: None)  # type: ignore[arg-type]
    record = {"pooler": {"pooled_output": "mean", "default": "pooled_output"}}
    context = Context(None, None, record, None, reference, None, device, precision)
    pooled = expected_outputs(context, reference.cases["plain"])["pooled_output"]()
    np.testing.assert_array_equal(pooled, np.zeros((ROWS, HIDDEN)))

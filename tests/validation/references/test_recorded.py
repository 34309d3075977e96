"""Outputs recorded elsewhere: taken as they are, or refused with all that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from hubexport.errors import ConfigurationError
from hubexport.validation.reference_file import ReferenceError, read_reference
from hubexport.validation.references.job import make_reference
from tests import tiny

Arrays = dict[str, np.ndarray]
ROWS, LENGTH, HIDDEN, LAYERS, VOCABULARY = 2, 6, 16, 2, 50


def arrays(case: str = "first") -> Arrays:
    """A case with every output, of the sizes of `tiny.CONFIG`."""
    generator = np.random.default_rng(3)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    prefix = f"{case}/" if case else ""
    values = {
        "inputs/input_word_ids": generator.integers(0, VOCABULARY, (ROWS, LENGTH)),
        "inputs/input_mask": np.ones((ROWS, LENGTH), np.uint8),
        "inputs/input_type_ids": np.zeros((ROWS, LENGTH), np.int16),
        "inputs/masked_lm_positions": np.array([[0, 3, 5], [1, 0, 0]]),
        "outputs/sequence_output": normal(ROWS, LENGTH, HIDDEN),
        "outputs/pooled_output": normal(ROWS, HIDDEN),
        "outputs/sentence_embedding": normal(ROWS, 2 * HIDDEN),
        "outputs/mlm_logits": normal(ROWS, 3, VOCABULARY),
        "outputs/nsp_logits": normal(ROWS, 2),
    }
    for i in range(LAYERS):
        values[f"outputs/encoder_outputs[{i}]"] = normal(ROWS, LENGTH, HIDDEN)
    return {f"{prefix}{name}": value for name, value in values.items()}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Writes arrays into a file of that name and makes the reference of it."""
    checkpoint = tiny.write_checkpoint(tmp_path / "model")

    def call(recorded: Mapping[str, Any], name: str = "recorded.npz") -> dict[str, Any]:
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, **recorded)
        else:
            safetensors.numpy.save_file(dict(recorded), path)
        return make_reference(
            source="file",
            checkpoint=checkpoint,
            output=tmp_path / "reference",
            outputs_file=path,
        )

    return call


@pytest.fixture
def refused(tmp_path: Path, make: Any) -> Callable[..., str]:
    """Expects an error and no file; gives the message."""

    def call(recorded: Mapping[str, Any]) -> str:
        with pytest.raises(ReferenceError) as caught:
            make(recorded)
        assert not (tmp_path / "reference").exists()
        return str(caught.value)

    return call


@pytest.mark.parametrize("name", ["recorded.npz", "recorded.safetensors"])
@pytest.mark.parametrize("cases", [("first",), ("",), ("a b", "second")])
def test_recorded(name: str, cases: tuple[str, ...], make: Any, tmp_path: Path) -> None:
    recorded: Arrays = {}
    for case in cases:
        recorded |= arrays(case)
    summary = make(recorded, name)
    assert set(summary["cases"]) == {case or "recorded" for case in cases}
    assert summary["provenance"]["architecture"]["num_hidden_layers"] == LAYERS
    assert summary["provenance"]["notes"] == ()
    assert name in summary["provenance"]["made_by"]
    reference = read_reference(tmp_path / "reference")
    for case in cases:
        read = reference.cases[case or "recorded"]
        for key, value in recorded.items():
            kind, what = key.split("/")[-2:]
            if not key.startswith(case):
                continue
            if kind == "inputs":
                assert read.inputs[what].dtype == np.int32
                np.testing.assert_array_equal(read.inputs[what], value)
            else:
                np.testing.assert_array_equal(reference.output(read.name, what), value)


def test_masked_ids_are_kept(make: Any, tmp_path: Path) -> None:
    ids = np.array([[7, 8, 9], [10, 11, 12]])
    make({**arrays(), "first/inputs/masked_lm_ids": ids})
    case = read_reference(tmp_path / "reference").cases["first"]
    np.testing.assert_array_equal(case.masked_lm_ids, ids)
    assert "masked_lm_ids" not in case.inputs


def test_narrow_floats_are_widened_and_noted(make: Any, tmp_path: Path) -> None:
    recorded = arrays()
    key = "first/outputs/sequence_output"
    recorded[key] = recorded[key].astype(ml_dtypes.bfloat16)
    summary = make(recorded, "recorded.safetensors")
    assert summary["provenance"]["notes"] == ("recorded in bfloat16, widened to float32",)
    found = read_reference(tmp_path / "reference").output("first", "sequence_output")
    np.testing.assert_array_equal(found, recorded[key].astype(np.float32))


def test_all_offenders_at_once(refused: Any) -> None:
    recorded = arrays() | arrays("second") | arrays("third")
    del recorded["first/inputs/input_type_ids"]
    recorded["first/inputs/input_mask"] = np.ones((ROWS, LENGTH), np.float32)
    recorded["second/outputs/pooled_output"][1, 2] = np.nan
    recorded["second/outputs/nsp_logits"] = np.zeros((ROWS, 3), np.float32)
    recorded["second/outputs/encoder_outputs[2]"] = np.zeros((ROWS, LENGTH, HIDDEN), "f4")
    del recorded["third/outputs/sequence_output"]
    recorded["third/outputs/default"] = np.zeros((ROWS, HIDDEN), np.float32)
    recorded["fourth/sequence_output"] = np.zeros(1, np.float32)
    message = refused(recorded)
    for text in (
        "first/inputs/input_type_ids: missing",
        "first/inputs/input_mask: float32, needed integers",
        "second/outputs/pooled_output: values that are not finite",
        "second/outputs/nsp_logits: shape [2, 3], needed [2, 2]",
        "second/outputs/encoder_outputs[2]: no output of that name",
        "third/outputs/sequence_output: missing",
        "third/outputs/default: no output of that name",
        "fourth/sequence_output: not CASE/inputs/NAME or CASE/outputs/NAME",
    ):
        assert text in message


INPUTS: list[tuple[str, np.ndarray, str]] = [
    ("input_word_ids", np.full((ROWS, LENGTH), VOCABULARY), "50 to 50, possible 0 to 49"),
    ("input_mask", np.full((ROWS, LENGTH), 2), "2 to 2, possible 0 to 1"),
    ("input_type_ids", np.full((ROWS, LENGTH), -1), "-1 to -1, possible 0 to 1"),
    ("input_mask", np.ones((ROWS, LENGTH + 1), int), "shape [2, 7], other inputs have [2, 6]"),
    ("input_word_ids", np.zeros((ROWS, LENGTH, 1), int), "needed 2 dimensions"),
    ("input_word_ids", np.zeros((ROWS, 25), int), "25 tokens, the model has 24 positions"),
    ("input_ids", np.zeros((ROWS, LENGTH), int), "no input of that name"),
    ("masked_lm_positions", np.full((ROWS, 3), LENGTH), "6 to 6, possible 0 to 5"),
    ("masked_lm_positions", np.zeros((3, 3), int), "3 rows, other inputs have 2"),
    ("masked_lm_ids", np.zeros((ROWS, 4), int), "not of the shape of masked_lm_positions"),
]


@pytest.mark.parametrize(("name", "value", "text"), INPUTS, ids=[row[2] for row in INPUTS])
def test_inputs_that_cannot_be(name: str, value: np.ndarray, text: str, refused: Any) -> None:
    assert text in refused({**arrays(), f"first/inputs/{name}": value})


def test_outputs_that_cannot_be(refused: Any) -> None:
    recorded = arrays()
    del recorded["first/inputs/masked_lm_positions"]
    assert "mlm_logits: without inputs/masked_lm_positions" in refused(recorded)
    recorded = arrays()
    recorded["first/outputs/sequence_output"] = np.zeros((ROWS, LENGTH, HIDDEN), int)
    assert "int64, needed floating-point numbers" in refused(recorded)
    huge = np.full((ROWS, HIDDEN), 1e300)
    assert "not finite in float32" in refused({**arrays(), "first/outputs/pooled_output": huge})
    twice = {**arrays(""), "recorded/inputs/input_mask": np.ones((ROWS, LENGTH), int)}
    assert "there twice" in refused(twice)
    assert "no arrays" in refused({})


def test_pickled_arrays_are_refused(refused: Any, tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    recorded: dict[str, Any] = dict(arrays())
    recorded["first/outputs/pooled_output"] = np.array([Malicious()], object)
    assert "cannot be read" in refused(recorded)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x93NUMPY nonsense"])
@pytest.mark.parametrize("name", ["broken.npz", "broken.safetensors"])
def test_files_that_are_none(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReferenceError, match="cannot be read"):
        make_reference(
            source="file",
            checkpoint=tiny.write_checkpoint(tmp_path / "model"),
            output=tmp_path / "reference",
            outputs_file=tmp_path / name,
        )


def test_one_array_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ReferenceError, match="one array without a name"):
        make_reference(
            source="file",
            checkpoint=tiny.write_checkpoint(tmp_path / "model"),
            output=tmp_path / "reference",
            outputs_file=tmp_path / "array.npy",
        )


def test_the_configuration_is_needed(make: Any, tmp_path: Path) -> None:
    (tmp_path / "model" / "bert_config.json").unlink()
    with pytest.raises(ConfigurationError, match="configuration is needed"):
        make(arrays())

"""Reference files: written whole or not at all, read when asked for, refused when damaged."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file  # noqa: E402

from hubexport.validation.cases import Case, random_cases  # noqa: E402
from hubexport.validation.reference_file import (  # noqa: E402
    FORMAT_VERSION,
    HEADER,
    Provenance,
    ReferenceError,
    layer_name,
    read_reference,
    write_reference,
)

Outputs = dict[str, np.ndarray]

PROVENANCE = Provenance(
    source="transformers",
    made_by="transformers 5.23.0 (BertModel), Größe µ",
    checkpoint=[{"name": "model.safetensors", "bytes": 3, "sha256": "ab" * 32}],
    architecture={"num_hidden_layers": 11, "hidden_size": 4, "intermediate_size": 8},
    notes=["one", "two"],
)
LAYERS = 11
"""More than ten: names sort otherwise than numbers."""


def some_outputs(case: Case, seed: int = 0) -> Outputs:
    rows, length = case.shape
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return generator.standard_normal(shape, np.float32)

    outputs = {layer_name(i): normal(rows, length, 4) for i in range(LAYERS)}
    outputs["nsp_logits"] = normal(rows, 2)
    outputs["mlm_logits"] = normal(*case.inputs["masked_lm_positions"].shape, 50)
    outputs["pooled_output"] = normal(rows, 4)
    outputs["sequence_output"] = outputs[layer_name(LAYERS - 1)]
    return outputs


def texts_case() -> Case:
    """With texts, masked pieces, and a slash in its name's neighbours only."""
    inputs = random_cases(50, 6, 2)[0].inputs
    ids = inputs["masked_lm_positions"] + 7
    return Case("mlm_sentences", inputs, [["Grüße"], ["a", "b"], ["世界"]], ids)


CASES = [*random_cases(50, 6, 2), texts_case()]
OUTPUTS = {case.name: some_outputs(case, i) for i, case in enumerate(CASES)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "reference"
    write_reference(path, PROVENANCE, CASES, OUTPUTS)
    return path


def test_round_trip(written: Path) -> None:
    assert os.listdir(written.parent) == ["reference"]
    reference = read_reference(written)
    assert reference.path == written
    assert reference.provenance == PROVENANCE
    assert list(reference.cases) == [case.name for case in CASES]
    for case in CASES:
        read = reference.cases[case.name]
        assert read.inputs.keys() == case.inputs.keys()
        for name, value in case.inputs.items():
            assert read.inputs[name].dtype == np.int32
            np.testing.assert_array_equal(read.inputs[name], value)
        assert read.texts == case.texts
        if case.masked_lm_ids is None:
            assert read.masked_lm_ids is None
        else:
            np.testing.assert_array_equal(read.masked_lm_ids, case.masked_lm_ids)
        assert set(reference.outputs(case.name)) == OUTPUTS[case.name].keys()
        for name, value in OUTPUTS[case.name].items():
            found = reference.output(case.name, name)
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, value)


def test_layers_come_first_and_in_order(written: Path) -> None:
    names = read_reference(written).outputs("plain")
    assert names[:LAYERS] == [f"encoder_outputs[{i}]" for i in range(LAYERS)]
    assert names[LAYERS:] == ["sequence_output", "pooled_output", "mlm_logits", "nsp_logits"]


def test_the_file_is_as_documented(written: Path) -> None:
    """By safetensors' own reader."""
    tensors = load_file(written)
    assert {name for name in tensors if name.startswith("mlm_sentences/inputs/")} == {
        f"mlm_sentences/inputs/{name}"
        for name in (
            "input_word_ids", "input_mask", "input_type_ids", "masked_lm_positions",
            "masked_lm_ids",
        )
    }  # fmt: skip
    assert tensors["plain/outputs/encoder_outputs[3]"].dtype == np.float32
    with safetensors.safe_open(written, framework="np") as file:
        header = json.loads(file.metadata()[HEADER])
    assert header["format_version"] == FORMAT_VERSION == 1
    assert header["cases"][0] == {"name": "one_token", "texts": None}
    assert header["cases"][-1]["texts"] == [["Grüße"], ["a", "b"], ["世界"]]
    assert header["source"] == "transformers" and header["notes"] == ["one", "two"]


def test_outputs_are_read_when_asked_for(written: Path) -> None:
    reference = read_reference(written)
    data = bytearray(written.read_bytes())
    value = OUTPUTS["plain"]["pooled_output"]
    start = data.index(value.tobytes())
    changed = value + 1
    data[start : start + value.nbytes] = changed.tobytes()
    written.write_bytes(data)
    np.testing.assert_array_equal(reference.output("plain", "pooled_output"), changed)


def test_other_dtypes_are_kept_as_float32_and_int32(tmp_path: Path) -> None:
    case = random_cases(50, 6, 2)[1]
    wide = Case(case.name, {name: v.astype(np.int64)[:, ::-1] for name, v in case.inputs.items()})
    outputs = {"sequence_output": np.ones((*case.shape, 4), np.float64).transpose(0, 1, 2) / 3}
    write_reference(tmp_path / "r", PROVENANCE, [wide], {case.name: outputs})
    reference = read_reference(tmp_path / "r")
    assert reference.output(case.name, "sequence_output").dtype == np.float32
    for name, value in wide.inputs.items():
        found = reference.cases[case.name].inputs[name]
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, value)  # of views, too


def refused(path: Path) -> str:
    with pytest.raises(ReferenceError) as caught:
        read_reference(path)
    message = str(caught.value)
    assert str(path) in message and "hint" in message
    return message


@pytest.mark.parametrize("size", [0, 7, 8, 200, 20_000, -1])
def test_truncated(size: int, written: Path) -> None:
    data = written.read_bytes()
    assert len(data) > 40_000
    written.write_bytes(data[:size])
    assert "the reference cannot be read" in refused(written)


@pytest.mark.parametrize("data", [b"PK\x03\x04" + 40 * b"x", b"\xff" * 100, b"{}"])
def test_other_files(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "r").write_bytes(data)
    assert "the reference cannot be read" in refused(tmp_path / "r")


def test_no_file_and_a_directory(tmp_path: Path) -> None:
    assert "the reference cannot be read" in refused(tmp_path / "absent")
    assert "the reference cannot be read" in refused(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_other_safetensors(metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "r", metadata=metadata)
    message = refused(tmp_path / "r")
    assert "the file is not a reference" in message and HEADER in message


def rewrite(
    path: Path,
    change_header: Callable[[dict[str, Any]], object] = lambda header: None,
    change_tensors: Callable[[Outputs], object] = lambda tensors: None,
) -> None:
    tensors = load_file(path)
    with safetensors.safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()[HEADER])
    change_header(header)
    change_tensors(tensors)
    save_file(tensors, path, metadata={HEADER: json.dumps(header)})


def test_another_version(written: Path) -> None:
    rewrite(written, lambda header: header.update(format_version=2))
    message = refused(written)
    assert "of another version" in message and "2, needed 1" in message


@pytest.mark.parametrize(
    "name",
    ["format_version", "cases", "source", "made_by", "checkpoint", "architecture", "notes"],
)
def test_headers_that_lack_something(name: str, written: Path) -> None:
    rewrite(written, lambda header: header.pop(name))
    assert name in refused(written)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_headers_that_are_none(text: str, written: Path) -> None:
    save_file(load_file(written), written, metadata={HEADER: text})
    assert "the reference cannot be read" in refused(written)


@pytest.mark.parametrize(
    "name",
    [
        "plain/inputs/input_word_ids",
        "plain/inputs/input_mask",
        "ragged/inputs/input_type_ids",
        "ragged/outputs/sequence_output",
    ],
)
def test_missing_tensors(name: str, written: Path) -> None:
    rewrite(written, change_tensors=lambda tensors: tensors.pop(name))
    message = refused(written)
    assert name.partition("/")[0] in message and name.rpartition("/")[2] in message


def wrong(tmp_path: Path, outputs: Outputs, case: Case = CASES[1]) -> str:
    """What is said of outputs that cannot be used; nothing is left behind."""
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ReferenceError, match="outputs cannot be used") as caught:
        write_reference(tmp_path / "r", PROVENANCE, [case], {case.name: outputs})
    assert sorted(os.listdir(tmp_path)) == before
    assert case.name in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    outputs = dict(OUTPUTS["plain"])
    del outputs["sequence_output"]
    outputs["pooled_output"] = np.full_like(outputs["pooled_output"], np.nan)
    outputs["nsp_logits"] = outputs["nsp_logits"][:1]
    outputs["mlm_logits"] = outputs["mlm_logits"][:, :2]
    outputs[layer_name(2)] = outputs[layer_name(2)][:, 0]
    outputs[layer_name(3)] = np.where(outputs[layer_name(3)] > 1, np.inf, 0).astype(np.float32)
    outputs["logits"] = outputs["nsp_logits"]
    message = wrong(tmp_path, outputs)
    for text in (
        "sequence_output: missing",
        "pooled_output: values that are not finite",
        "nsp_logits: shape [1, 2], needed [3, 2]",
        "mlm_logits: shape [3, 2, 50], needed [3, 5, any]",
        "encoder_outputs[2]: shape [3, 4], needed [3, 6, any]",
        "encoder_outputs[3]: values that are not finite",
        "logits: unknown name",
    ):
        assert text in message


def test_masked_predictions_of_a_case_without_positions(tmp_path: Path) -> None:
    inputs = {name: v for name, v in CASES[1].inputs.items() if name != "masked_lm_positions"}
    assert "no masked_lm_positions" in wrong(tmp_path, OUTPUTS["plain"], Case("plain", inputs))


def test_a_reference_that_is_there_stays_where_another_cannot_be_written(written: Path) -> None:
    before = written.read_bytes()
    outputs = {case.name: {**OUTPUTS[case.name]} for case in CASES}
    outputs["batch_1"]["sequence_output"] = outputs["batch_1"]["sequence_output"] * np.inf
    with pytest.raises(ReferenceError, match="not finite"):
        write_reference(written, PROVENANCE, CASES, outputs)
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == ["reference"]


def test_no_room(written: Path) -> None:
    before = written.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # the system refuses larger files
    try:
        with pytest.raises(ReferenceError) as caught:
            write_reference(written, PROVENANCE, CASES, OUTPUTS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the reference cannot be written" in str(caught.value) and str(written) in str(
        caught.value
    )
    assert written.read_bytes() == before
    assert os.listdir(written.parent) == ["reference"]


@pytest.mark.parametrize("where", ["file/reference", "directory"])
def test_paths_that_cannot_be_written(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ReferenceError, match="cannot be written"):
        write_reference(tmp_path / where, PROVENANCE, CASES, OUTPUTS)
    assert sorted(tmp_path.rglob("*")) == before

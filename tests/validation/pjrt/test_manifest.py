"""A bundle comes from elsewhere: what is wrong with it is said before anything is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubexport.errors import HubexportError
from hubexport.stablehlo.manifest import read_manifest, write_manifest
from hubexport.stablehlo.tensor_files import read_bytes, read_tensors

Fields = dict[str, Any]


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """The bundle, to be damaged."""
    return Path(shutil.copytree(bundle, tmp_path / "bundle"))


def _edit(directory: Path, change: Callable[[Fields], Any]) -> None:
    path = directory / "manifest.json"
    fields = json.loads(path.read_text("utf-8"))
    change(fields)
    path.write_text(json.dumps(fields), "utf-8")


def test_reads_what_was_written(bundle: Path, tmp_path: Path) -> None:
    manifest = read_manifest(bundle)
    write_manifest(tmp_path, manifest)
    assert (tmp_path / "manifest.json").read_bytes() == (bundle / "manifest.json").read_bytes()


def _set(name: str, value: Any) -> Callable[[Fields], Any]:
    return lambda fields: fields.__setitem__(name, value)


DAMAGES: dict[str, tuple[Callable[[Fields], Any], str]] = {
    "newer": (_set("format_version", 2), "format_version 2"),
    "no version": (lambda fields: fields.pop("format_version"), "no 'format_version'"),
    "no weights": (lambda fields: fields.pop("weights"), "no 'weights'"),
    "dtype of the model": (_set("dtype", "float8"), "dtype 'float8'"),
    "nothing to run": (_set("cases", []), "no cases"),
    "cases of another kind": (_set("cases", 7), "not iterable"),
    "a size that is a word": (
        lambda fields: fields["sizes"].update(hidden_size="16"), "'16' for a number"
    ),
    "a negative dimension": (
        lambda fields: fields["weights"]["tensors"][0].update(shape=[-1, 2]), "-1 for a number"
    ),
    "objects": (
        lambda fields: fields["weights"]["tensors"][0].update(dtype="object"), "dtype 'object'"
    ),
    "a tensor too many": (
        lambda fields: fields["weights"]["tensors"].append(
            {"name": "x", "dtype": "float32", "shape": [1 << 40]}
        ),
        "weights: files of",
    ),
    "a weight that is not there": (
        lambda fields: fields["programs"][0]["arguments"].append(999), "weight 999 of"
    ),
    "an input that is not there": (
        lambda fields: fields["programs"][0]["arguments"].append("position_ids"),
        "plain: no position_ids for program 0",
    ),
    "a program that is not there": (
        lambda fields: fields["cases"][0]["programs"].append(99), "program 99 of"
    ),
    "a precision of another name": (
        lambda fields: fields["programs"][0].update(precision="HIGH"), "precision 'HIGH'"
    ),
    "no ids": (
        lambda fields: [
            tensor.update(name=tensor["name"].replace("word_ids", "ids"))
            for tensor in fields["cases"][0]["inputs"]["tensors"]
        ],
        "plain: no input_word_ids of two",
    ),
    "a path that leads out": (
        lambda fields: fields["programs"][0]["file"].update(path="../programs/000.mlir"),
        "not a plain name",
    ),
    "an absolute path": (
        lambda fields: fields["weights"]["files"][0].update(path="/etc/passwd"),
        "not a plain name",
    ),
    "another size": (
        lambda fields: fields["programs"][1]["file"].update(nbytes=3), "needed 3"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged(name: str, copy: Path) -> None:
    change, found = DAMAGES[name]
    _edit(copy, change)
    with pytest.raises(HubexportError, match="damaged, or of another version") as refused:
        read_manifest(copy)
    assert found in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"format_version": 1}', "[" * 10**5])
def test_no_manifest(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(HubexportError, match="damaged"):
        read_manifest(tmp_path)


def test_files_are_all_looked_at(copy: Path) -> None:
    (copy / "programs" / "001.mlir").unlink()
    (copy / "programs" / "000.mlir").write_text("module {}")
    weights = copy / "weights" / "values-00000.bin"
    weights.rename(copy / "elsewhere")
    weights.symlink_to(copy / "elsewhere")
    with pytest.raises(HubexportError) as refused:
        read_manifest(copy)
    assert "programs/001.mlir: missing" in str(refused.value)
    assert "programs/000.mlir: 9 bytes" in str(refused.value)
    assert "'weights/values-00000.bin': not a plain name" in str(refused.value)


def test_changed_files_are_noticed_as_they_are_read(copy: Path) -> None:
    manifest = read_manifest(copy)
    for file in (manifest.weights.files[0], manifest.programs[0].file):
        data = bytearray((copy / file.path).read_bytes())
        data[len(data) // 2] ^= 1
        (copy / file.path).write_bytes(data)
    assert read_manifest(copy) == manifest  # their sizes are right
    with pytest.raises(HubexportError, match="damaged") as refused:
        list(read_tensors(copy, manifest.weights))
    assert "values-00000.bin" in str(refused.value)
    with pytest.raises(HubexportError, match=r"000\.mlir"):
        read_bytes(copy, manifest.programs[0].file)

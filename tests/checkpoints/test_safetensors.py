"""safetensors files and sharded checkpoints: what the safetensors package wrote is what we read."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from hubexport.checkpoints.safetensors import MAX_HEADER_BYTES, open_safetensors
from hubexport.checkpoints.sharded import open_sharded
from hubexport.checkpoints.source import FileTensor
from hubexport.checkpoints.torch_pickle import open_torch
from hubexport.errors import CheckpointError, UnsafeCheckpointError
from tests.material import material

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.complex64,
    torch.uint16,
]


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    found = {str(dtype): (torch.randn(3, 5) * 3).to(dtype) for dtype in DTYPES}
    return {**found, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}


def raw_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_equal(source, expected: dict[str, torch.Tensor]) -> None:
    assert list(source.tensors) == list(expected) or set(source.tensors) == set(expected)
    for name, tensor in expected.items():
        lazy = source.tensors[name]
        assert lazy.shape == tuple(tensor.shape)
        assert lazy.dtype == str(tensor.dtype).removeprefix("torch.")
        read = lazy.read()
        assert read.shape == lazy.shape and read.dtype.name == lazy.dtype
        assert read.tobytes() == raw_bytes(tensor)
        assert b"".join(bytes(chunk) for chunk in lazy.chunks()) == raw_bytes(tensor)


def write(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(begin: int, end: int, shape: list, dtype: object = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_all_dtypes(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path, metadata={"format": "pt"})
    source = open_safetensors(path)
    assert (source.format, source.layout, source.files) == ("safetensors", "hugging_face", (path,))
    assert all(isinstance(tensor, FileTensor) for tensor in source.tensors.values())
    assert_equal(source, tensors())


def test_real_file():
    path = material("checkpoints/hf_gpt_capp/model.safetensors")
    source = open_safetensors(path)
    with safe_open(path, framework="numpy") as oracle:
        assert set(source.tensors) == set(oracle.keys())
        for name in source.tensors:
            np.testing.assert_array_equal(source.tensors[name].read(), oracle.get_tensor(name))


@pytest.mark.parametrize(
    ("header", "data"),
    [
        pytest.param({"a": entry(0, 8, [2])}, b"1234", id="cut short"),
        pytest.param({"a": entry(0, 4, [1])}, b"12345678", id="bytes left over"),
        pytest.param({"a": entry(4, 8, [1])}, b"12345678", id="hole at the start"),
        pytest.param({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, b"1234", id="overlap"),
        pytest.param({"a": entry(0, 4, [2])}, b"1234", id="shape too large"),
        pytest.param({"a": entry(0, 4, [-1])}, b"1234", id="negative size"),
        pytest.param({"a": entry(0, 4, [True])}, b"1234", id="boolean size"),
        pytest.param({"a": entry(0, 0, [0, 1 << 62, 1 << 62])}, b"", id="shape beyond numpy"),
        pytest.param({"a": entry(0, 4, [1] * 100)}, b"1234", id="too many axes"),
        pytest.param({"a": entry(4, 0, [1])}, b"1234", id="offsets reversed"),
        pytest.param({"a": entry(0, 4, [1], "F4")}, b"1234", id="unknown dtype"),
        pytest.param({"a": entry(0, 4, [1], [])}, b"1234", id="dtype that is a list"),
        pytest.param({"a": {**entry(0, 4, [1]), "more": 1}}, b"1234", id="unknown field"),
        pytest.param({"a": 1}, b"", id="no entry"),
        pytest.param({"__metadata__": 1}, b"", id="metadata that is a number"),
        pytest.param({"__metadata__": {"format": "tf"}}, b"", id="of a TensorFlow model"),
        pytest.param(b'{"a": 1, "a": 1}', b"", id="duplicate name"),
        pytest.param(b'{"a": ' + b"[" * 100_000, b"", id="deep nesting"),
        pytest.param(b'{"a": ' + b"9" * 100_000 + b"}", b"", id="endless number"),
        pytest.param(b"{\xff}", b"", id="not UTF-8"),
        pytest.param(b"[]", b"", id="a list"),
        pytest.param(b"", b"", id="no header"),
    ],
)
def test_damaged_headers(tmp_path, header, data):
    with pytest.raises(CheckpointError):
        open_safetensors(write(tmp_path / "x.safetensors", header, data))


def test_header_length_beyond_bounds(tmp_path):
    for length in (MAX_HEADER_BYTES + 1, 2**64 - 1, 1000):
        with pytest.raises(CheckpointError):
            open_safetensors(write(tmp_path / "x.safetensors", {}, length=length))


def test_says_what_the_file_is_instead(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        open_safetensors(path)
    with pytest.raises(CheckpointError, match="No such file"):
        open_safetensors(tmp_path / "absent")


def test_fuzz(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({name: tensors()[name] for name in ("torch.float32", "torch.int64", "empty")}, path)
    good, rng = path.read_bytes(), random.Random(0)
    for _ in range(100):
        path.write_bytes(good[: rng.randrange(len(good))])
        with pytest.raises(CheckpointError):
            open_safetensors(path)
    for _ in range(200):
        damaged = bytearray(good)
        damaged[rng.randrange(len(good))] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        try:
            for tensor in open_safetensors(path).tensors.values():
                tensor.read()
        except CheckpointError:
            pass


def shard(tmp_path: Path, kind: str, weight_map: dict[str, str] | None = None) -> Path:
    """Two shards and their index, of tensors a, b | c; returns the index."""
    parts = {
        "one": {"a": torch.ones(2), "b": torch.zeros(3)},
        "two": {"c": torch.arange(4)},
    }
    for part, found in parts.items():
        if kind == "bin":
            torch.save(found, tmp_path / f"{part}.bin")
        else:
            save_file(found, tmp_path / f"{part}.safetensors")
    names = {name: f"{part}.{kind}" for part, found in parts.items() for name in found}
    index = tmp_path / f"model.{kind}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map or names}))
    return index


@pytest.mark.parametrize(
    ("kind", "open_shard"), [("safetensors", open_safetensors), ("bin", open_torch)]
)
def test_sharded(tmp_path, kind, open_shard):
    index = shard(tmp_path, kind)
    source = open_sharded(index, open_shard)
    assert list(source.tensors) == ["a", "b", "c"]
    assert source.files == (index, tmp_path / f"one.{kind}", tmp_path / f"two.{kind}")
    assert source.layout == "hugging_face"
    assert_equal(source, {"a": torch.ones(2), "b": torch.zeros(3), "c": torch.arange(4)})


def test_missing_shards_are_all_named(tmp_path):
    index = shard(tmp_path, "bin", {f"w{i}": f"part-{i}.bin" for i in range(12)})
    with pytest.raises(CheckpointError) as caught:
        open_sharded(index, open_torch)
    assert all(f"part-{i}.bin" in str(caught.value) for i in range(12))


def test_index_and_shards_disagree(tmp_path):
    index = shard(tmp_path, "bin", {"a": "one.bin", "lost": "one.bin", "b": "two.bin"})
    with pytest.raises(CheckpointError) as caught:
        open_sharded(index, open_torch)
    message = str(caught.value)
    assert "not in the shard (2): lost (in one.bin), b (in two.bin)" in message
    assert "not in the index (2): b (in one.bin), c (in two.bin)" in message


@pytest.mark.parametrize(
    "name", ["../one.bin", "/etc/passwd", "x/../../y", "..\\x", "C:\\x", "c:x", "", ".", "a\0b"]
)
def test_shards_stay_in_the_directory(tmp_path, name):
    index = shard(tmp_path, "bin", {"a": name, "b": "one.bin"})
    with pytest.raises(UnsafeCheckpointError):
        open_sharded(index, open_torch)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"weight_map": {}}', '{"weight_map": {"a": 1}}', "[" * 100_000]
    + ['{"weight_map": {"a": "x", "a": "y"}}', '{"weight_map": []}'],
)
def test_unusable_index(tmp_path, text):
    index = tmp_path / "x.index.json"
    index.write_text(text)
    with pytest.raises(CheckpointError, match="index"):
        open_sharded(index, open_torch)

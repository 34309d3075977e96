"""torch.save files: the numbers are torch's own, and no file makes us execute or crash."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from hubexport.checkpoints import restricted_pickle, torch_pickle
from hubexport.checkpoints.source import ComputedTensor, FileTensor
from hubexport.checkpoints.torch_legacy import MAGIC_NUMBER
from hubexport.checkpoints.torch_pickle import open_torch
from hubexport.errors import CheckpointError, UnsafeCheckpointError
from tests.material import material

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])

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
    torch.complex64,
    torch.complex128,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.uint16,
    torch.uint64,
]


def save(value: object, path: Path, zipped: bool = True, **options) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped, **options)
    return path


def raw_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def assert_equal(source, expected: dict[str, torch.Tensor]) -> None:
    assert list(source.tensors) == list(expected)
    for name, tensor in expected.items():
        lazy = source.tensors[name]
        assert lazy.shape == tuple(tensor.shape)
        assert lazy.dtype == str(tensor.dtype).removeprefix("torch.")
        read = lazy.read()
        assert read.shape == lazy.shape and read.dtype.name == lazy.dtype
        assert read.tobytes() == raw_bytes(tensor)
        assert b"".join(bytes(chunk) for chunk in lazy.chunks()) == raw_bytes(tensor)


def read_all(path: Path) -> None:
    for tensor in open_torch(path).tensors.values():
        tensor.read()


def zip_around(path: Path, data: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A torch.save zip file with a pickle of the caller's."""
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("archive/data.pkl", data)
        for key, stored in (storages or {}).items():
            opened.writestr(f"archive/data/{key}", stored)
    return path


def legacy_around(path: Path, data: bytes) -> Path:
    """A legacy torch.save file with a pickle of the caller's."""
    front = [MAGIC_NUMBER, 1001, {"little_endian": True}]
    head = b"".join(pickle.dumps(value, protocol=2) for value in front)
    path.write_bytes(head + data + pickle.dumps([], protocol=2))
    return path


def tensor_pickle(offset=0, shape=(2,), stride=(1,), count=2, key="0", kind="FloatStorage"):
    """{"w": a tensor} with any numbers in it."""
    out = io.BytesIO()

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value.parts if isinstance(value, Reference) else None

    class Reference:
        parts = ("storage", Name("torch", kind), key, "cpu", count)

    class Tensor:
        def __reduce__(self):
            parts = (Reference(), offset, shape, stride, False, collections.OrderedDict())
            return Name("torch._utils", "_rebuild_tensor_v2"), parts

    pickler = Pickler(out, protocol=2)
    pickler.dispatch = {
        **pickle._Pickler.dispatch,
        Name: lambda self, name: self.write(f"c{name.module}\n{name.name}\n".encode()),
    }
    pickler.dump({"w": Tensor()})
    return out.getvalue()


class Name:
    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise NotImplementedError


@FORMATS
def test_all_dtypes(tmp_path, zipped):
    torch.manual_seed(0)
    state = {str(dtype): (torch.randn(3, 5) * 3).to(dtype) for dtype in DTYPES}
    state.update({"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)})
    path = save(state, tmp_path / "x.bin", zipped)
    source = open_torch(path)
    assert source.format == f"PyTorch pickle ({'zip' if zipped else 'legacy'})"
    assert (source.layout, source.files) == ("hugging_face", (path,))
    assert all(isinstance(tensor, FileTensor) for tensor in source.tensors.values())
    assert_equal(source, state)


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_module_state(tmp_path, zipped, protocol):
    """OrderedDict with `_metadata` (a BUILD), parameters, parameters with attributes."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = module.state_dict(keep_vars=True)
    state["0.bias"].note = {"kept": "not"}
    path = save(state, tmp_path / "x.bin", zipped, pickle_protocol=protocol)
    assert_equal(open_torch(path), dict(state))


@FORMATS
def test_views_and_shared_storages(tmp_path, zipped):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "base": base,
        "same": base,
        "transposed": base.t(),
        "rows": base[1:3],
        "columns": base[:, 2:4],
        "every_second": base.reshape(-1)[1::2],
        "one_row": base[2:3].t(),
        "expanded": base[0, :1].expand(5, 3),
        "bf16": base.to(torch.bfloat16).t(),
    }
    source = open_torch(save(state, tmp_path / "x.bin", zipped))
    assert_equal(source, state)
    regions = {name for name, t in source.tensors.items() if isinstance(t, FileTensor)}
    assert regions == {"base", "same", "rows", "one_row"}
    assert source.tensors["base"].offset == source.tensors["same"].offset


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_training_checkpoint(tmp_path, zipped, key):
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    path = save(
        {
            "epoch": 3,
            "best": 0.5,
            "note": "fine",
            "size": torch.Size([1, 2]),
            "device": torch.device("cpu"),
            "optimizer": optimizer.state_dict(),
            key: module.state_dict(),
        },
        tmp_path / "x.bin",
        zipped,
    )
    assert_equal(open_torch(path), dict(module.state_dict()))


def test_plain_values_in_a_state_dict_are_left_out(tmp_path):
    state = {"w": torch.ones(2), "step": 1, "name": "x", "none": None, "kind": torch.float16}
    assert_equal(open_torch(save(state, tmp_path / "x")), {"w": torch.ones(2)})


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (torch.ones(2), "TorchTensor at the top"),
        ([torch.ones(2)], "list at the top"),
        ({}, "without tensors"),
        ({"epoch": 1, "optimizer": {}}, "without tensors: epoch, optimizer"),
        ({"w": torch.ones(2), "more": [1]}, r"more \(list\)"),
        ({1: torch.ones(2)}, "not strings"),
        ({"model": {"w": torch.ones(2)}, "ema": {"w": torch.ones(2)}}, "'model' and under ema"),
        ({"model": {"w": torch.ones(2)}, "w": torch.ones(2)}, "'model' and under w"),
    ],
)
def test_not_a_state_dict(tmp_path, value, found):
    with pytest.raises(CheckpointError, match=found):
        open_torch(save(value, tmp_path / "x"))


@FORMATS
def test_file_name_that_is_not_ascii(tmp_path, zipped):
    """torch names the folder in the zip file after the file."""
    state = {"schön": torch.ones(2)}
    assert_equal(open_torch(save(state, tmp_path / "modèle-模型.bin", zipped)), state)


def test_compressed_zip(tmp_path):
    state = {"a": torch.arange(1000.0), "b": torch.arange(24).reshape(4, 6).t()}
    with zipfile.ZipFile(save(state, tmp_path / "x")) as stored:
        with zipfile.ZipFile(tmp_path / "y", "w", zipfile.ZIP_DEFLATED) as opened:
            for name in stored.namelist():
                opened.writestr(name, stored.read(name))
    source = open_torch(tmp_path / "y")
    assert all(isinstance(tensor, ComputedTensor) for tensor in source.tensors.values())
    assert_equal(source, state)


def test_python_2_pickle(tmp_path):
    """OrderedDict([[name, tensor]]) with byte strings, as Python 2 wrote it."""
    tensor = tensor_pickle()
    inner = tensor[tensor.index(b"ctorch._utils") : -2]  # without the SETITEM and STOP
    data = b"\x80\x02ccollections\nOrderedDict\n](](U\x01w" + inner + b"ee\x85R}b."
    source = open_torch(zip_around(tmp_path / "x", data, {"0": struct.pack("<2f", 1, 2)}))
    np.testing.assert_array_equal(source.tensors["w"].read(), np.float32([1, 2]))


def test_real_file():
    path = material("checkpoints/hf_camphr_bert-test/pytorch_model.bin")
    assert_equal(open_torch(path), dict(torch.load(path, weights_only=True)))


@pytest.mark.parametrize(
    "value",
    [
        torch.eye(3).to_sparse(),
        torch.ones(3, dtype=torch.complex64).conj(),
        torch.ones(3, device="meta"),
    ],
    ids=["sparse", "conjugated", "meta"],
)
def test_unsupported_tensors(tmp_path, value):
    with pytest.raises(CheckpointError):
        open_torch(save({"w": value}, tmp_path / "x"))


class Runs:
    """A value whose unpickling calls a function."""

    def __init__(self, function, *arguments):
        self.reduced = (function, arguments)

    def __reduce__(self):
        return self.reduced


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_code_is_not_run(tmp_path, zipped, protocol):
    touched = tmp_path / "touched"
    command = f"open({str(touched)!r}, 'w')"
    attacks = {
        "posix.system": Runs(os.system, f"touch {touched}"),
        "builtins.eval": Runs(eval, command),
        "builtins.exec": Runs(exec, command),
        "io.open": Runs(io.open, str(touched), "w"),
        "builtins.getattr": Runs(getattr, Runs(__import__, "os"), "system"),
    }
    for name, attack in attacks.items():
        for value in ({"w": torch.ones(1), "x": attack}, {"state_dict": {"w": attack}}, attack):
            path = save(value, tmp_path / "x.bin", zipped, pickle_protocol=protocol)
            with pytest.raises(UnsafeCheckpointError) as caught:
                open_torch(path)
            if name != "builtins.getattr" and protocol == 4:  # 2 writes Python 2's names
                assert name in str(caught.value)
            assert "nothing of it was imported or executed" in str(caught.value)
    assert not touched.exists()
    torch.load(save(attacks["builtins.exec"], tmp_path / "x"), weights_only=False)
    assert touched.exists()  # the attack is a real one


@FORMATS
def test_whole_modules_are_refused(tmp_path, zipped):
    with pytest.raises(UnsafeCheckpointError, match=r"torch.nn.modules.linear.Linear"):
        open_torch(save(torch.nn.Linear(1, 1), tmp_path / "x", zipped))


def test_plain_pickles(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(pickle.dumps(Runs(os.system, "false")))
    with pytest.raises(UnsafeCheckpointError, match=r"posix.system"):
        open_torch(path)
    for value in ({"w": 1}, collections.OrderedDict(), 5, [MAGIC_NUMBER]):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(CheckpointError, match=r"not a file written by torch.save"):
            open_torch(path)


GADGETS = {
    "dtype called": b"\x80\x02ctorch\nfloat32\n)R.",
    "storage type called": b"\x80\x02ctorch\nFloatStorage\nK\x05\x85R.",
    "state on a global": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aNsb.",
    "state on a list": b"\x80\x02]}b.",
    "state with slots": b"\x80\x02ctorch\nSize\nN}X\x05\x00\x00\x00buildNs\x86b.",
    "dotted name": b"\x80\x04\x8c\x05torch\x8c\x12serialization.os.x\x93.",
    "dunder": b"\x80\x02ccollections\nOrderedDict.__init__\n.",
    "NEWOBJ": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "NEWOBJ of a string": b"\x80\x02X\x01\x00\x00\x00a)\x81.",
    "NEWOBJ of a type": b"\x80\x02ctorch\nFloatStorage\n)\x81.",
    "INST": b"(icollections\nOrderedDict\n.",
    "INST of os": b"(ios\nsystem\n.",
    "OBJ": b"(ccollections\nOrderedDict\no.",
    "EXT1": b"\x80\x02\x82\x01.",
    "call of a string": b"\x80\x02X\x01\x00\x00\x00a)R.",
    "call of a dict": b"\x80\x02})R.",
    "copyreg": b"\x80\x02ccopyreg\n_reconstructor\n.",
    "torch internals": b"\x80\x02ctorch.serialization\nload\n.",
    "hub": b"\x80\x02ctorch.hub\nload\n.",
}
# An argparse.Namespace is an object without arguments, then its attributes, and nothing else.
_NAMESPACE = b"\x80\x02cargparse\nNamespace\n"
NAMESPACES = {
    "called": _NAMESPACE + b")R.",
    "called with a value": _NAMESPACE + b"K\x01\x85R.",
    "called with state": _NAMESPACE + b"}X\x01\x00\x00\x00aK\x01s\x85R.",
    "made with arguments": _NAMESPACE + b"K\x01\x85\x81.",
    "made with a list of arguments": _NAMESPACE + b"]\x81.",
    "attributes of the class": _NAMESPACE + b"}X\x01\x00\x00\x00aNsb.",
    "slots": _NAMESPACE + b")\x81N}X\x01\x00\x00\x00aNs\x86b.",
    "state that is not a dict": _NAMESPACE + b")\x81K\x01b.",
    "state that is None": _NAMESPACE + b")\x81Nb.",
    "state that is an OrderedDict": _NAMESPACE + b")\x81ccollections\nOrderedDict\n)Rb.",
    "state that is a Namespace": _NAMESPACE + b")\x81q\x01h\x01b.",
    "state twice": _NAMESPACE + b")\x81}b}b.",
    "number as attribute": _NAMESPACE + b")\x81}K\x01Nsb.",
    "bytes as attribute": _NAMESPACE + b")\x81}C\x01aNsb.",
    "__setstate__": _NAMESPACE + b")\x81}X\x0c\x00\x00\x00__setstate__Nsb.",
    "__class__": _NAMESPACE + b")\x81}X\x09\x00\x00\x00__class__Nsb.",
    "object called": _NAMESPACE + b")\x81)R.",
    "object as class": _NAMESPACE + b")\x81)\x81.",
    "INST": b"(iargparse\nNamespace\n.",
    "OBJ": b"(cargparse\nNamespace\no.",
    "NEWOBJ_EX": b"\x80\x04\x8c\x08argparse\x8c\x09Namespace\x93)}\x92.",
    "its method": b"\x80\x04\x8c\x08argparse\x8c\x12Namespace.__init__\x93.",
    "another class": b"\x80\x02cargparse\nArgumentParser\n)\x81.",
}
DAMAGED = {
    "Namespace as key": b"\x80\x02}" + _NAMESPACE[2:] + b")\x81Ns.",
    "entry of a Namespace": _NAMESPACE + b")\x81NNs.",
    "item of a Namespace": _NAMESPACE + b")\x81Na.",
    "Namespace as storage": _NAMESPACE + b")\x81Q.",
    "Namespace as tensor": b"\x80\x02ctorch._utils\n_rebuild_parameter\n"
    + _NAMESPACE[2:]
    + b")\x81NN\x87R.",
    "Namespace alone": _NAMESPACE + b")\x81}b.",
    "NEWOBJ of nothing": b"\x80\x02\x81.",
    "protocol 0": pickle.dumps({"a": 1}, protocol=0),
    "set item on a tensor name": b"\x80\x02ctorch\nSize\nNNs.",
    "append to a dict": b"\x80\x02}Na.",
    "tuple as key": b"\x80\x02})Ns.",
    "odd entries": b"\x80\x02}(NNNu.",
    "no value": b"\x80\x02.",
    "no mark": b"\x80\x02t.",
    "tuple of nothing": b"\x80\x02\x87.",
    "memo that is not there": b"\x80\x02h\x05.",
    "bytes beyond the end": b"\x80\x04\x8e" + b"\xff" * 8,
    "name without an end": b"\x80\x02c" + b"x" * 5000,
    "global of numbers": b"\x80\x04K\x01K\x02\x93.",
    "tensor without storage": b"\x80\x02ctorch._utils\n_rebuild_tensor\n(NNNNtR.",
    "tensor of too few": b"\x80\x02ctorch._utils\n_rebuild_tensor\n)R.",
    "parameter of nothing": b"\x80\x02ctorch._utils\n_rebuild_parameter\n(NNNtR.",
    "size of a list": b"\x80\x02ctorch\nSize\n]\x85R.",
    "ordered dict of a number": b"\x80\x02ccollections\nOrderedDict\nK\x05\x85R.",
    "persistent id of a string": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "module as persistent id": b"\x80\x02(X\x06\x00\x00\x00moduleNNNNtQ.",
    "not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
}


@pytest.mark.parametrize("around", [zip_around, legacy_around])
@pytest.mark.parametrize("name", GADGETS)
def test_gadgets_through_allowed_names(tmp_path, around, name):
    with pytest.raises(UnsafeCheckpointError):
        open_torch(around(tmp_path / "x", GADGETS[name]))


@pytest.mark.parametrize("around", [zip_around, legacy_around])
@pytest.mark.parametrize("name", NAMESPACES)
def test_namespaces_that_are_more_than_attributes(tmp_path, around, name):
    with pytest.raises(UnsafeCheckpointError, match=r"Namespace|INST|OBJ|ArgumentParser"):
        open_torch(around(tmp_path / "x", NAMESPACES[name]))


@pytest.mark.parametrize("around", [zip_around, legacy_around])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles(tmp_path, around, name):
    with pytest.raises(CheckpointError):
        open_torch(around(tmp_path / "x", DAMAGED[name]))


@pytest.mark.parametrize("around", [zip_around, legacy_around])
def test_bombs(tmp_path, around, monkeypatch):
    monkeypatch.setattr(restricted_pickle, "MAX_OPCODES", 100_000)
    deep = b"\x80\x02}N" + b"\x85" * 90_000  # a tuple in a tuple in a tuple ...
    doubled = b"\x80\x02N" + b"q\x00h\x00\x86" * 20_000  # ... of which each is there twice
    bombs = {
        "deep key": deep + b"Ns.",
        "deep value": deep + b".",
        "deep lists": b"\x80\x02" + b"]" * 50_000 + b"a" * 40_000 + b".",
        "doubled": doubled + b".",
        "doubled key": b"\x80\x02}" + doubled[2:] + b"Ns.",
        "opcodes": b"\x80\x02" + b"]" * 200_000 + b".",
        "dict copies": b"\x80\x02ccollections\nOrderedDict\nq\x00]q\x01("
        + b"](X\x01\x00\x00\x00aNe" * 4_000
        + b"e0"
        + b"h\x00h\x01\x85R" * 20_000
        + b".",
        "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    }
    for data in bombs.values():
        with pytest.raises(CheckpointError) as caught:
            open_torch(around(tmp_path / "x", data))
        assert len(str(caught.value)) < 2000


def test_pickle_larger_than_the_bound(tmp_path, monkeypatch):
    data = b"\x80\x02" + b"X\x00\x10\x00\x00" + b"a" * 4096 + b"."
    for module in (restricted_pickle, torch_pickle):
        monkeypatch.setattr(module, "MAX_PICKLE_BYTES", 1024)
    for around in (zip_around, legacy_around):
        with pytest.raises(CheckpointError, match="more than 1,024 bytes"):
            open_torch(around(tmp_path / "x", data))


@pytest.mark.parametrize(
    "numbers",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 1 << 70},
        {"offset": True},
        {"shape": (3,)},
        {"shape": (-2,)},
        {"shape": (1 << 40, 1 << 40)},
        {"shape": (0, 1 << 62, 1 << 62), "stride": (1, 1, 1)},
        {"shape": (1,) * 100, "stride": (1,) * 100},
        {"shape": (2.0,)},
        {"shape": [2]},
        {"shape": 2},
        {"stride": (2,)},
        {"stride": (-1,)},
        {"stride": (1, 1)},
        {"stride": (1 << 80,)},
        {"shape": (1 << 40,), "stride": (0,)},
        {"count": 3},
        {"count": 1 << 62},
        {"count": -1},
        {"count": 1.0},
        {"key": "1"},
        {"key": "../data.pkl"},
        {"key": 0},
        {"kind": "DoubleStorage"},
        {"kind": "Size"},
    ],
    ids=str,
)
def test_tensors_outside_their_storage(tmp_path, numbers):
    path, stored = tmp_path / "x", {"0": struct.pack("<2f", 1, 2)}
    zip_around(path, tensor_pickle(), stored)
    np.testing.assert_array_equal(open_torch(path).tensors["w"].read(), np.float32([1, 2]))
    with pytest.raises(CheckpointError):
        read_all(zip_around(path, tensor_pickle(**numbers), stored))


def test_big_endian(tmp_path):
    path = zip_around(tmp_path / "x", tensor_pickle(), {"0": bytes(8)})
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("archive/byteorder", "big")
    with pytest.raises(CheckpointError, match="byte order"):
        open_torch(path)
    legacy = save({"a": torch.ones(1)}, tmp_path / "y", zipped=False).read_bytes()
    flag = legacy.index(b"little_endian")
    flag += legacy[flag:].index(b"\x88")
    path.write_bytes(legacy[:flag] + b"\x89" + legacy[flag + 1 :])
    with pytest.raises(CheckpointError, match="big-endian"):
        open_torch(path)


def test_other_files(tmp_path):
    path = tmp_path / "x.bin"
    for data, found in [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html>", "HTML"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"x" * 257 + b"ustar" + b"x" * 500, "a tar archive"),
        (b"no such thing", "a file that starts with"),
    ]:
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=found):
            open_torch(path)
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("config.json", "{}")
    with pytest.raises(CheckpointError, match=r"a zip file of config.json"):
        open_torch(path)
    zip_around(path, tensor_pickle(), {"0": bytes(8)})
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("archive/constants.pkl", "")
    with pytest.raises(CheckpointError, match="TorchScript"):
        open_torch(path)
    with pytest.raises(CheckpointError, match="No such file"):
        open_torch(tmp_path / "absent")


@FORMATS
def test_fuzz(tmp_path, zipped):
    """Truncation is always an error; flipped bytes give tensors or an error, nothing else."""
    base = torch.arange(12.0).reshape(3, 4)
    state = {"a": base, "b": base.t(), "c": torch.nn.Parameter(torch.ones(2)), "d": torch.ones(0)}
    path = save(collections.OrderedDict(state), tmp_path / "x", zipped)
    good, rng = path.read_bytes(), random.Random(0)
    for _ in range(200):
        path.write_bytes(good[: rng.randrange(len(good))])
        with pytest.raises(CheckpointError):
            open_torch(path)
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(rng.choice((1, 1, 4))):
            damaged[rng.randrange(len(good))] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):
            read_all(path)


def test_flipped_bit_in_a_tensor(tmp_path):
    """The zip format keeps a checksum of every storage."""
    path = save({"a": torch.arange(1000.0)}, tmp_path / "x")
    data = path.read_bytes()
    place = data.index(np.arange(1000, dtype="f4").tobytes()) + 1234
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(CheckpointError, match="checksum of a does not match"):
        open_torch(path).tensors["a"].read()


def test_saved_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        path = save({"a": torch.arange(10.0)}, tmp_path / "x")
    finally:
        torch.serialization.set_crc32_options(True)
    np.testing.assert_array_equal(open_torch(path).tensors["a"].read(), np.arange(10.0))

"""What stands in for PyTorch's own classes and functions while a `torch.save` file is read.

The allow-list: each global that a state dict needs, and what is built in its place. Nothing
here computes; a tensor stays a description until `torch_tensors` has checked it.
Sources: `torch/_utils.py` (`_rebuild_*`), `torch/serialization.py` of PyTorch 0.4 to 2.13.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubexport.checkpoints.restricted_pickle import Namespace, PlainDict, StandIn, Stateless
from hubexport.checkpoints.untrusted import clipped, nbytes_of
from hubexport.errors import CheckpointError, UnsafeCheckpointError

STORAGE_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "UntypedStorage": "uint8",  # counted in bytes; the tensor brings its dtype
}

_DTYPES = {
    **{name: name for name in sorted(set(STORAGE_DTYPES.values()))},
    **{name: name for name in ("uint16", "uint32", "uint64")},
    **{name: name for name in ("float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu")},
    **{name: name for name in ("float8_e4m3fnuz", "float8_e5m2fnuz")},
    # Older spellings.
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
}

# Tensors that are not an array of numbers: known, harmless, and of no use here.
_UNSUPPORTED = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantized tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor without data (device 'meta')",
    **{
        f"torch.{name}Storage": f"a tensor of {name}"
        for name in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")
    },
}


@dataclasses.dataclass(frozen=True)
class Storage:
    """A stretch of a storage of the file: bytes [start, start + nbytes) of storage `key`.

    Attributes:
      dtype: of its elements, which a tensor takes over unless it names its own.
    """

    key: str
    dtype: str
    start: int
    nbytes: int


@dataclasses.dataclass(frozen=True)
class TorchTensor(Stateless):
    """A tensor as the pickle declares it, nothing of it checked; offset and stride in elements."""

    storage: Storage
    dtype: str
    offset: Any
    shape: Any
    stride: Any


@dataclasses.dataclass(frozen=True)
class DtypeName(StandIn):
    """`torch.float32` and the like; `dtype` is numpy's name."""

    dtype: str = ""


@dataclasses.dataclass(frozen=True)
class StorageName(StandIn):
    """`torch.FloatStorage` and the like; `dtype` is numpy's name of its elements."""

    dtype: str = ""


_ADVICE = "if you trust the file, load it where it came from and save only "
_WEIGHTS = _ADVICE + (
    "the model's weights: torch.save(model.state_dict(), path), or save them as safetensors."
)
# What fairseq's files ask for: settings as an omegaconf object, or objects of fairseq's beside
# the weights. The settings are worth keeping, so both ways end in a file that is read whole.
_FAIRSEQ = {
    "omegaconf.": _ADVICE + "the model and its settings: torch.save({'cfg': "
    "OmegaConf.to_container(state['cfg'], resolve=True, enum_to_str=True), 'model': "
    "state['model']}, path), `state` being what torch.load gave.",
    "fairseq.": _ADVICE + "the model and its settings: torch.save({'args': state['args'], "
    "'model': state['model']}, path), `state` being what torch.load gave.",
}


def finder(path: Path) -> Callable[[str, str], StandIn]:
    """The lookup of globals for the file at `path` (named in errors)."""

    def find(module: str, name: str) -> StandIn:
        # Python 2 wrote built-in modules under other names; none of them is allowed either.
        full = f"{module}.{name}"
        found = _GLOBALS.get(full)
        if found is not None:
            return found
        if full in _UNSUPPORTED:
            raise CheckpointError(
                f"the checkpoint holds {_UNSUPPORTED[full]}, which is not supported",
                [("file", str(path)), ("found", full)],
                "use a checkpoint with ordinary (dense, not quantized) weights.",
            )
        raise UnsafeCheckpointError(
            "the checkpoint is refused: it asks for more than to hold tensors",
            [
                ("file", str(path)),
                ("asks for", f"{clipped(full)} (nothing of it was imported or executed)"),
            ],
            next((advice for root, advice in _FAIRSEQ.items() if full.startswith(root)), _WEIGHTS),
        )

    return find


def no_globals(path: Path) -> Callable[[str, str], StandIn]:
    """The lookup for pickles that hold plain values only: all is refused."""

    def find(module: str, name: str) -> StandIn:
        if f"{module}.{name}" in _GLOBALS:
            raise CheckpointError(
                "not a file written by torch.save",
                [("file", str(path)), ("found", f"a plain pickle that names {module}.{name}")],
                "pass a file written by torch.save, or safetensors.",
            )
        return finder(path)(module, name)

    return find


def typed_storage(identifier: Any, fields: int) -> tuple[Storage, Any]:
    """The storage that a persistent id stands for, and what a sixth field says of a view.

    Args:
      identifier: ("storage", type, key, location, number of elements[, view]).
      fields: how many of them the format has, 5 (zip) or 6 (legacy).

    Raises:
      ValueError: it is not one.
    """
    if type(identifier) is not tuple or len(identifier) != fields or identifier[0] != "storage":
        raise ValueError("a reference that is not to a storage")
    kind, key, count = identifier[1], identifier[2], identifier[4]
    if not isinstance(kind, StorageName) or type(key) is not str:
        raise ValueError("a storage without a type or a name")
    nbytes = nbytes_of((count,), kind.dtype)
    if nbytes is None:
        raise ValueError("a storage without a length")
    return Storage(key, kind.dtype, 0, nbytes), (identifier[5] if fields == 6 else None)


def _ordered_dict(items: Any = ()) -> PlainDict:
    """Empty in Python 3, filled by SETITEMS; Python 2 gives a list of [key, value] lists."""
    if items == ():
        return PlainDict()
    if type(items) is not list:
        raise ValueError("an OrderedDict of other things than names and values")
    found = PlainDict()
    for item in items:
        if type(item) not in (list, tuple) or len(item) != 2 or type(item[0]) is not str:
            raise ValueError("an OrderedDict of other things than names and values")
        found[item[0]] = item[1]
    items.clear()  # taken over: the same list given a million times does not fill the memory
    return found


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> TorchTensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without a storage")
    return TorchTensor(storage, storage.dtype, offset, shape, stride)


def _rebuild_tensor_v2(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> TorchTensor:
    if metadata:  # {"conj": True} or {"neg": True}: the numbers are not what the bytes say
        raise ValueError("a conjugated or negated view")
    return _rebuild_tensor(storage, offset, shape, stride)


def _rebuild_tensor_v3(
    storage: Any,
    offset: Any,
    shape: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> TorchTensor:
    if not isinstance(dtype, DtypeName):
        raise ValueError("a tensor without a dtype")
    tensor = _rebuild_tensor_v2(storage, offset, shape, stride, requires_grad, hooks, metadata)
    return dataclasses.replace(tensor, dtype=dtype.dtype)


def _rebuild_parameter(data: Any, *ignored: Any) -> TorchTensor:
    """(data, requires_grad, hooks) and, for a parameter with attributes, their state."""
    if not isinstance(data, TorchTensor) or len(ignored) not in (2, 3):
        raise ValueError("a parameter that is not a tensor")
    return data


def _size(dimensions: Any = ()) -> tuple[Any, ...]:
    if type(dimensions) is not tuple:
        raise ValueError("a torch.Size of other things than dimensions")
    return dimensions


def _device(*name: Any) -> StandIn:
    """Where a tensor was: of no interest, but no None either."""
    return _DEVICE


_DEVICE = StandIn("a torch.device")


class Array(Stateless):
    """A NumPy array or number, or a part of one, that a training program kept: left out."""

    __slots__ = ()


def _array(*parts: Any) -> Array:
    """Nothing of it is made, whatever it is made of."""
    return Array()


_OF_ARRAYS = (
    *("multiarray._reconstruct", "multiarray.scalar"),
    "numeric._frombuffer",
)


_GLOBALS: dict[str, StandIn] = {
    stand_in.name: stand_in
    for stand_in in (
        StandIn("collections.OrderedDict", _ordered_dict),
        StandIn("argparse.Namespace", new=Namespace),  # training programs' settings, as values
        *(
            StandIn(f"{core}.{name}", _array)
            for core in ("numpy.core", "numpy._core")
            for name in _OF_ARRAYS
        ),
        StandIn("numpy.ndarray"),
        StandIn("numpy.dtype", _array),
        StandIn("_codecs.encode", _array),  # bytes, of which arrays are made, in old protocols
        StandIn("torch._utils._rebuild_tensor", _rebuild_tensor),
        StandIn("torch._utils._rebuild_tensor_v2", _rebuild_tensor_v2),
        StandIn("torch._utils._rebuild_tensor_v3", _rebuild_tensor_v3),
        StandIn("torch._utils._rebuild_parameter", _rebuild_parameter),
        StandIn("torch._utils._rebuild_parameter_with_state", _rebuild_parameter),
        StandIn("torch.Size", _size),
        StandIn("torch.device", _device),
        *(DtypeName(f"torch.{name}", dtype=dtype) for name, dtype in _DTYPES.items()),
        *(
            StorageName(f"{module}.{name}", dtype=dtype)
            for module in ("torch", "torch.cuda", "torch.storage")
            for name, dtype in STORAGE_DTYPES.items()
        ),
    )
}

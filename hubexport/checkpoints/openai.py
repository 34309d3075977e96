"""GPT's original release: one float32 vector, cut into numbered files, and a list of shapes.

`params_0.npy` ... `params_9.npy` are the pieces; `params_shapes.json` lists the shapes that the
vector holds one after another. The release names no tensor: what each is, its place tells. The
names here are those of the variables in the program that loads them, and so is their order.
Source: `train.py` of openai/finetune-transformer-lm.
"""

from __future__ import annotations

import collections
import io
import itertools
import json
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from hubexport.checkpoints.source import FileTensor, JoinedTensor, LazyTensor, TensorSource
from hubexport.checkpoints.untrusted import clipped, looks_like, nbytes_of, reading
from hubexport.errors import CheckpointError, some_of

SHAPES_FILE = "params_shapes.json"
"""What the release calls its list of shapes."""

MAX_SHAPES_BYTES = 1 << 20  # the release's list has 1,478
MAX_NPY_HEADER_BYTES = 4096  # that of a vector has 128

_NAMED = re.compile(r"model/h\d+/attn/c_attn/w")
_PIECE = re.compile(r"params_(0|[1-9]\d{0,5})\.npy")
_ITEMSIZE = 4
_SHOWN = 24  # wrong shapes named in an error: two layers of them

Shape = tuple[int, ...]


def has_openai_names(source: TensorSource) -> bool:
    """Whether the tensors are called as in OpenAI's programs: GPT's, and in TensorFlow checkpoints
    GPT-2's."""
    return any(map(_NAMED.fullmatch, source.tensors))


def open_openai(path: Path) -> TensorSource:
    """The tensors of GPT's release, none of them read yet.

    Args:
      path: its `params_shapes.json`; the pieces are beside it.

    Returns:
      A TensorSource of layout "openai". Tensors are `model/pe` [P, H], `model/we` [V, H] and, for
      each layer, `model/hN/attn/c_attn/{w,b}`, `model/hN/attn/c_proj/{w,b}`, `model/hN/ln_1/{g,b}`,
      `model/hN/mlp/c_fc/{w,b}`, `model/hN/mlp/c_proj/{w,b}` and `model/hN/ln_2/{g,b}`, with kernels
      as [1, in, out]. Its settings are what the shapes say of the model.

    Raises:
      CheckpointError: a file cannot be read or is not what it should be, the shapes are not a
        GPT's, or the pieces do not hold as many numbers as the shapes need.
    """
    with reading(path):
        shapes = _model(path, _read_shapes(path))
        pieces = _find_pieces(path)
        regions = [_region(piece) for piece in pieces]
    found, needed = sum(region.size for region in regions), sum(map(math.prod, shapes.values()))
    if found != needed:
        raise CheckpointError(
            "the pieces of the checkpoint do not hold what its shapes need",
            [
                ("checkpoint", str(path)),
                ("found", f"{found:,} numbers in {_files(pieces)}"),
                ("needed", f"{needed:,} numbers, for {len(shapes):,} tensors"),
            ],
            "copy or download all pieces of one release again.",
        )
    tensors = {tensor.name: tensor for tensor in _cut(shapes, regions)}
    words, positions = shapes["model/we"], shapes["model/pe"]
    settings = {
        "vocab_size": words[0],
        "n_positions": positions[0],
        "n_embd": words[1],
        "n_layer": len(shapes) // len(_layer("", 1)),
    }
    return TensorSource(
        path, "OpenAI's release in .npy files", "openai", (path, *pieces), tensors,
        settings=settings,
    )  # fmt: skip


def _layer(scope: str, hidden_size: int) -> dict[str, Shape]:
    """Name -> shape of the tensors of one block, in the release's order."""
    H = hidden_size
    return {
        f"{scope}/attn/c_attn/w": (1, H, 3 * H),
        f"{scope}/attn/c_attn/b": (3 * H,),
        f"{scope}/attn/c_proj/w": (1, H, H),
        f"{scope}/attn/c_proj/b": (H,),
        f"{scope}/ln_1/g": (H,),
        f"{scope}/ln_1/b": (H,),
        f"{scope}/mlp/c_fc/w": (1, H, 4 * H),
        f"{scope}/mlp/c_fc/b": (4 * H,),
        f"{scope}/mlp/c_proj/w": (1, 4 * H, H),
        f"{scope}/mlp/c_proj/b": (H,),
        f"{scope}/ln_2/g": (H,),
        f"{scope}/ln_2/b": (H,),
    }


def _model(path: Path, listed: Sequence[Shape]) -> dict[str, Shape]:
    """Name -> shape, where the shapes are a GPT's.

    Raises:
      CheckpointError: they are not; all that are wrong are named.
    """
    of_layer = len(_layer("", 1))
    layers, rest = divmod(len(listed) - 2, of_layer)
    if layers < 1 or rest:
        raise _not_a_gpt(
            path, f"{len(listed):,} shapes", f"2 shapes, and {of_layer} for each of the layers"
        )
    # Most sizes in the list are the hidden size: that of the one table that is wrong is outvoted.
    sizes = collections.Counter(size for shape in listed for size in shape[-2:])
    hidden_size = sizes.most_common(1)[0][0]
    positions, words = listed[:2]
    expected = {
        "model/pe": (*positions[:1], hidden_size),
        "model/we": (*words[:1], hidden_size),
    }
    for number in range(layers):
        expected |= _layer(f"model/h{number}", hidden_size)
    wrong = [
        f"{name} {list(found)}, expected {list(shape)}"
        for (name, shape), found in zip(expected.items(), listed, strict=True)
        # Some copies of the release are without the axis of one, which the bytes do not show.
        if found != shape and (len(shape) != 3 or found != shape[1:])
    ]
    if wrong:
        raise _not_a_gpt(
            path,
            some_of(wrong, _SHOWN),
            f"shapes that fit together, of hidden size {hidden_size:,} as most of them are",
        )
    return expected


def _not_a_gpt(path: Path, found: str, needed: str) -> CheckpointError:
    return CheckpointError(
        "the list of shapes is not a GPT's",
        [("file", str(path)), ("found", found), ("needed", needed)],
        f"pass the {SHAPES_FILE} of GPT's release, or of a model of its form.",
    )


def _read_shapes(path: Path) -> list[Shape]:
    with open(path, "rb") as file:
        text = file.read(MAX_SHAPES_BYTES + 1)
    if len(text) > MAX_SHAPES_BYTES:
        raise _not_shapes(path, f"more than {MAX_SHAPES_BYTES:,} bytes")
    try:
        # RecursionError: thousands of opening brackets.
        listed = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _not_shapes(path, clipped(error) or "endless nesting") from error
    if not isinstance(listed, list):
        raise _not_shapes(path, f"{type(listed).__name__} at the top")
    wrong = [clipped(shape) for shape in listed if not _is_shape(shape)]
    if wrong:
        raise _not_shapes(path, some_of(wrong))
    return [tuple(shape) for shape in listed]


def _is_shape(shape: Any) -> bool:
    """A list of sizes, all of them at least 1, of a tensor that can exist."""
    return isinstance(shape, list) and bool(shape) and bool(nbytes_of(shape, "float32"))


def _not_shapes(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the list of shapes cannot be read",
        [
            ("file", str(path)),
            ("found", found),
            ("needed", "JSON, a list of shapes: [[512, 768], [40478, 768], ...]"),
        ],
        "copy or download the file again.",
    )


def _find_pieces(path: Path) -> list[Path]:
    """The pieces beside the list of shapes, in order.

    Raises:
      CheckpointError: there is none, or one is absent between others.
    """
    numbers = {
        int(match[1])
        for entry in path.parent.iterdir()
        if (match := _PIECE.fullmatch(entry.name)) and entry.is_file()
    }
    absent = [n for n in range(max(numbers, default=0)) if n not in numbers] if numbers else [0]
    if absent:
        raise CheckpointError(
            "the checkpoint is not complete",
            [
                ("checkpoint", str(path)),
                ("not there", some_of(f"params_{number}.npy" for number in absent)),
            ],
            "copy or download these files too, into the same directory.",
        )
    return [path.with_name(f"params_{number}.npy") for number in range(len(numbers))]


def _files(pieces: Sequence[Path]) -> str:
    first, last = pieces[0].name, pieces[-1].name
    return first if first == last else f"{first} to {last}"


def _region(path: Path) -> FileTensor:
    """The vector in a .npy file.

    Only its header is read, by numpy, and out of a bounded piece of the file: a header may claim to
    be gigabytes long. Nothing is unpickled: an array of objects is refused by its dtype.
    """
    with open(path, "rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = io.BytesIO(file.read(MAX_NPY_HEADER_BYTES))
    shape, fortran_order, dtype = _read_header(path, head)
    if dtype != np.dtype("<f4") or len(shape) != 1 or fortran_order:
        order = ", Fortran order" if fortran_order else ""
        raise _not_a_piece(path, f"{clipped(dtype.str)} {clipped(list(shape))}{order}")
    nbytes = nbytes_of(shape, "float32")
    if nbytes is None:
        raise _not_a_piece(path, f"the shape {clipped(list(shape))}")
    needed = head.tell() + nbytes
    if size < needed:
        raise CheckpointError(
            "the checkpoint is cut short",
            [
                ("file", str(path)),
                ("found", f"{size:,} bytes"),
                ("needed", f"{needed:,} bytes, for {shape[0]:,} numbers"),
            ],
            "copy or download the file again and compare its size with the original.",
        )
    if size > needed:
        raise _not_a_piece(path, f"{size - needed:,} bytes after its {shape[0]:,} numbers")
    return FileTensor(path.name, shape, "float32", path, head.tell())


def _read_header(path: Path, head: io.BytesIO) -> tuple[Shape, bool, np.dtype[Any]]:
    """Shape, whether in Fortran order, and dtype; leaves `head` at the first number."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(head)
    except ValueError as error:
        raise _not_a_piece(path, looks_like(path)) from error
    if version not in readers:
        raise _not_a_piece(path, f"a .npy file of version {version[0]}.{version[1]}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # written by Python 2: read all the same
            return readers[version](head, max_header_size=MAX_NPY_HEADER_BYTES)
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise _not_a_piece(path, f"a damaged header: {clipped(said)}") from error


def _not_a_piece(path: Path, found: str) -> CheckpointError:
    return CheckpointError(
        "the file is not a piece of the checkpoint",
        [
            ("file", str(path)),
            ("found", found),
            ("needed", "a .npy file of one float32 vector (<f4, C order), and nothing after it"),
        ],
        "copy or download the file again; if that does not help, save it again with numpy.save.",
    )


def _cut(shapes: dict[str, Shape], regions: Sequence[FileTensor]) -> Iterator[LazyTensor]:
    """The tensors that lie one after another in regions that lie one after another."""
    ends = list(itertools.accumulate(region.size for region in regions))
    start, number = 0, 0
    for name, shape in shapes.items():
        end = start + math.prod(shape)
        places = []
        while start < end:
            if start == ends[number]:
                number += 1
                continue
            region, begin = regions[number], ends[number] - regions[number].size
            stop = min(end, ends[number])
            offset = region.offset + (start - begin) * _ITEMSIZE
            places.append(FileTensor(name, (stop - start,), "float32", region.path, offset))
            start = stop
        yield JoinedTensor(name, shape, "float32", tuple(places))

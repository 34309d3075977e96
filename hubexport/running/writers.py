"""Files of outputs: JSON lines, NumPy, Parquet; each written batch by batch."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from hubexport.errors import HubexportError, UsageError
from hubexport.files import replaced
from hubexport.packages import check_installed, needed_by
from hubexport.saved_model.reading import TensorSpec

Batch = Mapping[str, Any]
"""Name of a column -> its texts, a list; name of an output -> its rows, an array [batch, ...]."""


class Writer(Protocol):
    """Takes batches, in order."""

    def write(self, batch: Batch) -> None:
        """Adds the rows of a batch."""


class JsonLines:
    """A JSON object for each text: its columns and outputs by name."""

    def __init__(self, file: IO[str]):
        self._file = file

    def write(self, batch: Batch) -> None:
        """Writes the lines, and hands them on at once: somebody may be waiting for them."""
        columns = {
            name: values if isinstance(values, list) else _numbers(values)
            for name, values in batch.items()
        }
        for row in zip(*columns.values(), strict=True):
            line = json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False)
            self._file.write(line + "\n")
        self._file.flush()


class Npy:
    """One array [texts, ...], whose first size is known at last."""

    def __init__(self, file: IO[bytes], name: str):
        self._file, self._name = file, name
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype: np.dtype[Any] = np.dtype(np.float32)

    def write(self, batch: Batch) -> None:
        """Adds rows.

        Raises:
          HubexportError: they are of another shape than those before.
        """
        values = np.ascontiguousarray(batch[self._name])
        if not self._rows:
            self._shape, self._dtype = values.shape[1:], values.dtype
            self._write_header()
        elif values.shape[1:] != self._shape:
            raise HubexportError(
                "rows of different shapes do not fit into one array",
                [
                    ("output", self._name),
                    ("found", f"{list(values.shape[1:])} after {list(self._shape)}"),
                ],
                "write .jsonl or .parquet, or choose another output with --outputs.",
            )
        self._rows += len(values)
        self._file.write(values.tobytes())

    def close(self) -> None:
        """Writes how many rows there are."""
        self._file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # NumPy leaves room for any first size: the second header is as long as the first.
        header = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._shape),
        }
        np.lib.format.write_array_header_1_0(self._file, header)


class Parquet:
    """A row for each text: its columns as strings, its outputs as numbers, strings or lists."""

    def __init__(self, path: Path):
        self._path = path
        self._writer: Any = None

    def write(self, batch: Batch) -> None:
        """Adds a group of rows."""
        import pyarrow
        import pyarrow.parquet

        columns = {
            name: pyarrow.array(values, pyarrow.string())
            if isinstance(values, list)
            else _arrow(values)
            for name, values in batch.items()
        }
        table = pyarrow.table(columns)
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._path, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Writes what comes last in the file."""
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def _json_lines(path: Path, outputs: Sequence[str]) -> Iterator[Writer]:
    with replaced(path) as partial, open(partial, "w", encoding="utf-8") as file:
        yield JsonLines(file)


@contextlib.contextmanager
def _npy(path: Path, outputs: Sequence[str]) -> Iterator[Writer]:
    with replaced(path) as partial, open(partial, "wb") as file:
        writer = Npy(file, outputs[0])
        yield writer
        writer.close()


@contextlib.contextmanager
def _parquet(path: Path, outputs: Sequence[str]) -> Iterator[Writer]:
    with needed_by("a .parquet file", "pyarrow"):
        import pyarrow.parquet  # noqa: F401
    with replaced(path) as partial:
        writer = Parquet(partial)
        yield writer
        writer.close()


FORMATS: Mapping[str, Callable[[Path, Sequence[str]], AbstractContextManager[Writer]]] = {
    ".jsonl": _json_lines,
    ".npy": _npy,
    ".parquet": _parquet,
}
"""Ending of a file's name -> what opens it, given the names of outputs."""


def check_format(path: Path, outputs: Mapping[str, TensorSpec]) -> None:
    """Fails early where a file could not hold these outputs.

    Raises:
      UsageError: its name has another ending, or it holds one array and there are several.
      HubexportError: the output is text, which no array of numbers holds.
      MissingPackageError: what writes it is not installed.
    """
    if path.suffix not in FORMATS:
        raise UsageError(
            "nothing is known of such files",
            [("--output", str(path)), ("known", ", ".join(FORMATS))],
            "pass a name with one of these endings.",
        )
    if path.suffix == ".parquet":
        check_installed("a .parquet file", "pyarrow")
    if path.suffix != ".npy":
        return
    if len(outputs) != 1:
        raise UsageError(
            "a .npy file holds one output",
            [("--output", str(path)), ("outputs", ", ".join(outputs))],
            "choose one with --outputs, or write .jsonl or .parquet.",
        )
    ((name, spec),) = outputs.items()
    if spec.dtype == "string":
        raise HubexportError(
            "a .npy file holds numbers, and the output is text",
            [("--output", str(path)), ("output", name)],
            "write .jsonl or .parquet, or choose another output with --outputs.",
        )


def _numbers(values: np.ndarray[Any, Any]) -> list[Any]:
    """Rows for JSON: numbers with as many digits as tell them apart in their own dtype."""
    if values.dtype == object:
        return _texts(values)
    if values.dtype.kind == "f" and values.dtype != np.float64:
        return list(values.astype("U").astype(np.float64).tolist())
    return list(values.tolist())


def _texts(values: np.ndarray[Any, Any]) -> list[Any]:
    """Bytes as text; what is not UTF-8 with its bytes in hexadecimal."""

    def text(value: Any) -> Any:
        if isinstance(value, list):
            return [text(each) for each in value]
        return value.decode("utf-8", "backslashreplace")

    return [text(each) for each in values.tolist()]


def _arrow(values: np.ndarray[Any, Any]) -> Any:
    """An array [batch, ...] as pyarrow's lists of lists."""
    import pyarrow

    if values.dtype == object:
        kind, rows = pyarrow.string(), _texts(values)
    else:
        kind, rows = pyarrow.from_numpy_dtype(values.dtype), values.tolist()
    for _ in values.shape[1:]:
        kind = pyarrow.list_(kind)
    return pyarrow.array(rows, kind)


def open_writer(path: Path, outputs: Sequence[str]) -> AbstractContextManager[Writer]:
    """Opens a file, which appears when the block ends, complete, and not if it raises.

    Args:
      path: with one of the endings of `FORMATS`.
      outputs: names of those that come.
    """
    return FORMATS[path.suffix](path, outputs)

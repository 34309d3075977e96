"""Tensors as bytes: every dtype, every way to cut."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hubexport.stablehlo.tensor_files import DTYPES, read_tensors, write_tensors


def _values() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    values = {
        name: generator.integers(0, 256, 24 * 8, np.uint8)
        .view(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        .reshape(4, 2, -1)
        for name in DTYPES
        if name != "bool"
    }
    return {
        **values,
        "bool": np.array([True, False, True]),
        "scalar": np.array(1.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "not contiguous": np.arange(12, dtype=np.int32).reshape(3, 4).T,
    }


@pytest.mark.parametrize("limit", [1, 7, 64, 1 << 20])
def test_what_is_read_is_what_was_written(limit: int, tmp_path: Path) -> None:
    values = _values()
    written = write_tensors(tmp_path, "some/values", values.items(), limit)
    sizes = [path.stat().st_size for path in sorted((tmp_path / "some").iterdir())]
    assert sizes == [file.nbytes for file in written.files]
    assert sum(sizes) == sum(value.nbytes for value in values.values())
    assert max(sizes) <= limit and set(sizes[:-1]) <= {limit}
    read = {spec.name: value for spec, value in read_tensors(tmp_path, written)}
    assert list(read) == list(values)
    for name, value in values.items():
        assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape)
        assert read[name].tobytes() == value.tobytes()  # NaNs too


def test_nothing_needs_no_files(tmp_path: Path) -> None:
    written = write_tensors(tmp_path, "some/values", [], 8)
    assert (written.tensors, written.files) == ((), ())
    assert list(read_tensors(tmp_path, written)) == []

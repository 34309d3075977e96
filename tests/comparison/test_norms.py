"""Norms of tensors in files, against numpy's of tensors in memory; memory that does not grow."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from hubexport.comparison.norms import Bytes, Distance, array_distance, compare_tensors
from hubexport.errors import CheckpointError
from hubexport.tf_formats.bundle import BundleTensor, BundleWriter, read_bundle

DTYPES = ("float32", "float64", "float16", "bfloat16")
LARGE = (5, 131_072)  # more than two blocks


def bundle(prefix: Path, tensors: Mapping[str, np.ndarray]) -> dict[str, BundleTensor]:
    with BundleWriter(prefix) as writer:
        for name, value in tensors.items():
            writer.add(name, value.dtype.name, value.shape, [value.tobytes()])
    return read_bundle(prefix)


def compared(tmp_path: Path, a: np.ndarray, b: np.ndarray) -> Bytes:
    one = bundle(tmp_path / "a", {"x": a})["x"]
    return compare_tensors(one, bundle(tmp_path / "b", {"x": b})["x"])


def by_numpy(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float, int]:
    one, other = a.astype(np.float64), b.astype(np.float64)
    absolute = float(np.linalg.norm(other - one))
    largest = float(np.abs(other - one).max())
    return absolute, absolute / float(np.linalg.norm(one)), largest, int((one != other).sum())


def figures(distance: Distance | None) -> tuple[float, float, float, int]:
    assert distance is not None
    return distance.absolute, distance.relative, distance.largest, distance.elements


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), LARGE])
def test_norms_are_numpys(dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    a = np.asarray(generator.normal(0, 1, shape)).astype(dtype)
    b = np.asarray(a.astype(np.float64) + generator.normal(0, 0.1, shape)).astype(dtype)
    found = compared(tmp_path, a, b)
    assert not found.equal and not found.damaged
    assert figures(found.distance) == pytest.approx(by_numpy(a, b), rel=1e-9)
    assert found.distance is not None and len(found.distance.at) == len(shape)
    at = found.distance.at
    difference = abs(float(b[at]) - float(a[at]))
    assert difference == pytest.approx(found.distance.largest)


def test_bfloat16_and_float32_are_compared_as_numbers(tmp_path: Path) -> None:
    exact = np.arange(64, dtype=np.float32).reshape(8, 8)
    narrow = exact.astype(ml_dtypes.bfloat16)
    same = compared(tmp_path, exact, narrow)
    assert same.distance is not None and figures(same.distance) == (0, 0, 0, 0)
    assert not same.equal and same.elements == 0
    rounded = (exact + np.float32(1e-3)).astype(np.float32)
    found = compared(tmp_path, rounded, narrow)
    assert figures(found.distance) == pytest.approx(by_numpy(rounded, narrow), rel=1e-9)


@pytest.mark.parametrize("at", [0, 300_000, math.prod(LARGE) - 1])
def test_one_bit_is_found_wherever_it_is(at: int, tmp_path: Path) -> None:
    a = np.random.default_rng(1).normal(0, 1, LARGE).astype(np.float32)
    bits = a.copy().view(np.uint32).reshape(-1)
    bits[at] ^= 1
    found = compared(tmp_path, a, bits.view(np.float32).reshape(LARGE))
    assert found.distance is not None
    assert found.distance.elements == 1
    assert found.distance.at == np.unravel_index(at, LARGE)


def test_equal_bytes_are_equal_whatever_they_mean(tmp_path: Path) -> None:
    value = np.array([np.nan, np.inf, -0.0], np.float32)
    assert compared(tmp_path, value, value.copy()) == Bytes(True, ())


def test_numbers_that_are_none(tmp_path: Path) -> None:
    a = np.array([np.nan, np.inf, 1, 2], np.float32)
    assert figures(compared(tmp_path, a, a.astype(np.float64)).distance) == (0, 0, 0, 0)
    b = np.array([np.nan, np.inf, np.nan, 2], np.float32)
    found = compared(tmp_path, a, b).distance
    assert found is not None and found.elements == 1 and found.at == (2,)
    assert found.largest == found.absolute == found.relative == math.inf


def test_zeros_of_both_signs_are_the_same_number_in_other_bytes(tmp_path: Path) -> None:
    found = compared(tmp_path, np.zeros(3, np.float32), -np.zeros(3, np.float32))
    assert not found.equal and figures(found.distance) == (0, 0, 0, 0)


def test_what_was_zero_is_infinitely_far(tmp_path: Path) -> None:
    found = compared(tmp_path, np.zeros(2, np.float32), np.array([3, 4], np.float32)).distance
    assert found is not None and (found.absolute, found.relative) == (5, math.inf)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool", "uint8"])
def test_integers_have_no_norm(dtype: str, tmp_path: Path) -> None:
    a = np.array([0, 1, 1, 0], dtype)
    b = np.array([0, 1, 0, 1], dtype)
    assert compared(tmp_path, a, b) == Bytes(False, (), None, 2)
    assert compared(tmp_path, a, a.astype("float32")) == Bytes(False, ())


def test_bytes_that_the_index_does_not_know_are_found_out(tmp_path: Path) -> None:
    value = np.arange(10, dtype=np.float32)
    one = bundle(tmp_path / "a", {"x": value})["x"]
    other = bundle(tmp_path / "b", {"x": value})["x"]
    data = bytearray(other.path.read_bytes())
    data[12] ^= 1
    other.path.write_bytes(data)
    found = compare_tensors(one, other)
    assert not found.equal and found.damaged == ("b",)
    assert found.distance is not None and found.distance.at == (3,)
    one.path.write_bytes(data)  # the same damage
    assert compare_tensors(one, other) == Bytes(True, ("a", "b"))


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    value = np.arange(10, dtype=np.float32)
    one = bundle(tmp_path / "a", {"x": value})["x"]
    other = bundle(tmp_path / "b", {"x": value})["x"]
    other.path.write_bytes(other.path.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="cut short"):
        compare_tensors(one, other)


def test_arrays_are_compared_as_tensors_are() -> None:
    generator = np.random.default_rng(2)
    a = generator.normal(0, 1, LARGE).astype(np.float32)
    b = a + generator.normal(0, 1, LARGE).astype(np.float32)
    assert figures(array_distance(a, b)) == pytest.approx(by_numpy(a, b), rel=1e-9)
    assert array_distance(np.zeros((0, 3)), np.zeros((0, 3))) == Distance(0, 0, 0, (), 0)


_MEMORY = """
import json, resource, sys
from pathlib import Path
from hubexport.comparison.norms import compare_tensors
from hubexport.tf_formats.bundle import read_bundle
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
peaks = []
for name in ("small", "large"):
    one, other = (read_bundle(Path(sys.argv[1], f"{name}-{each}"))["x"] for each in "ab")
    found = compare_tensors(one, other)
    peaks.append([peak(), found.equal, found.elements])
print(json.dumps(peaks))
"""


def test_memory_does_not_grow_with_the_size(tmp_path: Path) -> None:
    """300 MB of zeros in a sparse file each, whose last number differs."""
    for name, elements in (("small", 2_000_000), ("large", 75_000_000)):
        for each in "ab":
            prefix = tmp_path / f"{name}-{each}"
            with BundleWriter(prefix) as writer:
                writer.add("x", "float32", (elements,), [])
            entry = read_bundle(prefix)["x"]
            with open(entry.path, "wb") as file:
                file.truncate(4 * elements)
                if each == "b":
                    file.seek(-4, 2)
                    file.write(np.float32(1).tobytes())
            set_size(prefix, 4 * elements)
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path)], capture_output=True, text=True, check=True
    )
    (small, *_), (large, equal, elements) = json.loads(done.stdout)
    assert (equal, elements) == (False, 1)
    assert large - small < 8 << 10  # KiB


def set_size(prefix: Path, nbytes: int) -> None:
    """Says in an index that its tensor has so many bytes."""
    from hubexport.tf_formats import protos, table

    path = prefix.with_name(prefix.name + ".index")
    records = table.read_table(path)
    entry = protos.BundleEntry.FromString(records[b"x"])
    entry.size = nbytes
    table.write_table(path, {**records, b"x": entry.SerializeToString()})

"""Weights stream into the variables that bear their names; nothing else in the bundle changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hubexport.checkpoints.source import ComputedTensor, LazyTensor
from hubexport.errors import CheckpointError
from hubexport.families.transforms import AS_IS, TRANSPOSED, AsIs, HeadsMerged, Rows
from hubexport.saved_model.weights import Value, fill_variables
from hubexport.tf_formats import bundle

GENERATOR = np.random.default_rng(3)
KERNEL = GENERATOR.normal(size=(6, 4)).astype(np.float32)
BIAS = np.arange(4, dtype=np.float32)


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


def lazy(array: np.ndarray, name: str = "somewhere") -> LazyTensor:
    return ComputedTensor(name, array.shape, array.dtype.name, lambda: array)


def value(array: np.ndarray, transform: AsIs = AS_IS, shape: tuple[int, ...] = ()) -> Value:
    return Value(shape or array.shape, lazy(array), transform)


@pytest.fixture
def saved(tf, tmp_path) -> Path:
    """kernel and bias without elements; a counter, a flag and a string table with values."""
    from hubexport.networks.variables import Variables

    variables = Variables({"dense/kernel": (6, 4), "dense/bias": (4,)})
    root = tf.train.Checkpoint(
        kernel=variables("dense/kernel", 6, 4),
        bias=variables("dense/bias", 4),
        also=[variables("dense/kernel", 6, 4)],
        step=tf.Variable(41, dtype=tf.int64, name="step", trainable=False),
        flag=tf.Variable(True, name="flag", trainable=False),
        own=tf.Variable([1.5, 2.5], name="own"),
        words=tf.Variable([b"one", b"two"], name="words", trainable=False),
    )
    root.run = tf.function(
        lambda x: tf.matmul(x, root.kernel) + root.bias,
        input_signature=[tf.TensorSpec([None, 6])],
    )
    tf.saved_model.save(root, str(tmp_path / "model"))
    return tmp_path / "model"


def fill(directory: Path, values: dict[str, Value]) -> list[int]:
    """Gives what the progress was told."""
    told: list[int] = []
    fill_variables(directory, values, told.append)
    return told


def entries(directory: Path) -> dict[str, tuple[Any, ...]]:
    """Key -> dtype, shape, checksum and bytes."""
    found = {}
    for name, entry in bundle.read_bundle(directory / "variables" / "variables").items():
        data = entry.path.read_bytes()[entry.offset : entry.offset + entry.nbytes]
        found[name] = (entry.dtype, entry.shape, entry.crc32c, data)
    return found


def test_named_variables_are_replaced_and_no_others(tf, saved):
    before = entries(saved)
    told = fill(saved, {"dense/kernel": value(KERNEL), "dense/bias": value(BIAS)})
    after = entries(saved)
    assert sum(told) == KERNEL.nbytes + BIAS.nbytes
    assert list(after) == list(before)
    changed = {key for key in after if after[key] != before[key]}
    assert {key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE") for key in changed} <= {
        "kernel", "bias", "also/0",
    }  # fmt: skip
    assert len(changed) == 2
    assert {after[key][3] for key in changed} == {KERNEL.tobytes(), BIAS.tobytes()}
    assert {before[key][3] for key in changed} == {b""}
    files = sorted(str(path.relative_to(saved)) for path in (saved / "variables").iterdir())
    assert files == ["variables/variables.data-00000-of-00001", "variables/variables.index"]
    assert not (saved / "variables.hollow").exists()

    loaded = tf.saved_model.load(str(saved))
    np.testing.assert_array_equal(loaded.kernel, KERNEL)
    np.testing.assert_array_equal(loaded.also[0], KERNEL)
    np.testing.assert_array_equal(loaded.bias, BIAS)
    assert (loaded.step.numpy(), loaded.flag.numpy()) == (41, True)
    assert loaded.words.numpy().tolist() == [b"one", b"two"]
    x = np.ones([2, 6], np.float32)
    np.testing.assert_allclose(loaded.run(tf.constant(x)), x @ KERNEL + BIAS, rtol=1e-5)


def test_variables_with_a_value_can_be_replaced(tf, saved):
    values = {"dense/kernel": value(KERNEL), "dense/bias": value(BIAS)}
    fill(saved, {**values, "own": value(np.float32([7, 8]))})
    assert tf.saved_model.load(str(saved)).own.numpy().tolist() == [7, 8]


def test_names_that_were_not_saved(saved):
    values = {
        "dense/kernel": value(KERNEL), "dense/Bias": value(BIAS), "kernel": value(KERNEL),
    }  # fmt: skip
    with pytest.raises(RuntimeError, match=r"no variables of these names: \['dense/Bias', 'ker"):
        fill(saved, values)


def test_a_tensor_that_cannot_be_read(saved):
    def compute() -> np.ndarray:
        raise CheckpointError("the checkpoint is damaged")

    broken = Value((4,), ComputedTensor("x", (4,), "float32", compute), AS_IS)
    with pytest.raises(CheckpointError, match="is damaged"):
        fill(saved, {"dense/kernel": value(KERNEL), "dense/bias": broken})
    # What is left is not a bundle that could be taken for a complete one.
    assert not (saved / "variables" / "variables.index").exists()


@pytest.mark.parametrize(
    ("stored", "transform", "expected"),
    [
        (KERNEL, AS_IS, KERNEL),
        (KERNEL.T.copy(), TRANSPOSED, KERNEL),
        (KERNEL.reshape(6, 2, 2), HeadsMerged((6, 2, 2)), KERNEL),
        (np.concatenate([KERNEL, KERNEL]), Rows(0, 12), KERNEL),
        (KERNEL.astype(np.float16), AS_IS, KERNEL.astype(np.float16).astype(np.float32)),
        (
            KERNEL.astype(ml_dtypes.bfloat16).reshape(6, 2, 2),
            HeadsMerged((6, 2, 2)),
            KERNEL.astype(ml_dtypes.bfloat16).astype(np.float32),
        ),
        (KERNEL.astype(np.float16).T.copy(), TRANSPOSED,
         KERNEL.astype(np.float16).astype(np.float32)),
    ],
    ids=["as is", "transposed", "heads", "rows", "float16", "bfloat16 heads", "float16 transposed"],
)  # fmt: skip
def test_bytes_of_a_value(stored, transform, expected):
    piece = value(stored, transform, expected.shape)
    assert b"".join(map(bytes, piece.pieces())) == expected.tobytes()
    assert (piece.size, piece.nbytes) == (24, 96)


def test_a_large_value_comes_in_bounded_pieces():
    large = GENERATOR.normal(size=(3000, 1500)).astype(np.float32)
    for stored, transform in ((large, AS_IS), (large.T.copy(), TRANSPOSED)):
        pieces = [bytes(piece) for piece in value(stored, transform, large.shape).pieces()]
        assert max(map(len, pieces)) <= 4 << 20
        assert b"".join(pieces) == large.tobytes()

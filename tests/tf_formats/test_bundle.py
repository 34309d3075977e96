"""Bundles: TensorFlow reads ours, we read TensorFlow's, and nothing is read before it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from hubexport.checkpoints.source import read_region
from hubexport.checkpoints.tensorflow import open_tensorflow
from hubexport.errors import CheckpointError
from hubexport.tf_formats import bundle, protos, table

VALUES: dict[str, np.ndarray] = {
    "a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4) - 5.5,
    "b/ids": np.array([-(2**40), 0, 7], np.int64),
    "c/mask": np.array([[True, False, True]]),
    "d/half": np.array([1.5, -2.25, 3e38], ml_dtypes.bfloat16),
    "e/scalar": np.array(0.25, np.float32),
    "f/nothing": np.zeros([0, 4], np.float32),
    "g/f16": np.array([0.5, 65504], np.float16),
    "z": np.array(3, np.int32),
}


@pytest.fixture(scope="module")
def tf() -> Any:
    import tensorflow

    return tensorflow


def write(prefix: Path, values: dict[str, np.ndarray] = VALUES, piece: int = 7) -> Path:
    """In pieces that end within a number."""
    with bundle.BundleWriter(prefix) as writer:
        for name, value in values.items():
            data = value.tobytes()
            pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
            writer.add(name, value.dtype.name, value.shape, pieces)
    return prefix


def assert_same(prefix: str | Path, expected: dict[str, np.ndarray]) -> None:
    """What hubexport reads is exactly the expected."""
    source = open_tensorflow(Path(prefix))
    assert set(source.tensors) == set(expected)
    for name, value in expected.items():
        tensor = source.tensors[name]
        read = tensor.read()
        assert (tensor.shape, tensor.dtype) == (value.shape, value.dtype.name)
        assert read.dtype == value.dtype and read.shape == value.shape
        assert read.tobytes() == value.tobytes(), name


def test_round_trip(tmp_path):
    assert_same(write(tmp_path / "model.ckpt"), VALUES)


def test_tensorflow_reads_what_we_write(tf, tmp_path):
    reader = tf.train.load_checkpoint(str(write(tmp_path / "model.ckpt")))
    assert reader.get_variable_to_shape_map() == {n: list(v.shape) for n, v in VALUES.items()}
    for name, value in VALUES.items():
        read = np.asarray(reader.get_tensor(name))
        assert read.dtype == value.dtype
        assert read.tobytes() == value.tobytes(), name


def test_tensorflow_reads_an_index_of_several_blocks(tf, tmp_path):
    values = {f"layer_{i:05}/{'x' * 50}": np.array(i, np.int32) for i in range(8000)}
    prefix = write(tmp_path / "model.ckpt", values)
    assert (tmp_path / "model.ckpt.index").stat().st_size > 2 * 262_144
    reader = tf.train.load_checkpoint(str(prefix))
    assert reader.get_variable_to_shape_map() == {name: [] for name in values}
    names = sorted(values)
    assert [int(reader.get_tensor(name)) for name in names] == [int(values[n]) for n in names]


def test_we_write_the_bytes_that_tensorflow_writes(tf, tmp_path):
    """Of the data file. TensorFlow's index shares the beginnings of keys, ours does not."""
    values = {name: VALUES[name] for name in sorted(VALUES)}
    write(tmp_path / "ours", values)
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "theirs"),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )
    data = ".data-00000-of-00001"
    assert (tmp_path / f"ours{data}").read_bytes() == (tmp_path / f"theirs{data}").read_bytes()
    ours, theirs = (table.read_table(tmp_path / f"{name}.index") for name in ("ours", "theirs"))
    assert list(ours) == list(theirs)
    for key in list(ours)[1:]:
        entry = protos.BundleEntry.FromString(ours[key])
        entry.shape.SetInParent()  # TensorFlow writes that a scalar's shape is empty
        assert entry == protos.BundleEntry.FromString(theirs[key])


def test_object_based_checkpoint(tf, tmp_path):
    variables = {name.replace("/", "_"): tf.Variable(value) for name, value in VALUES.items()}
    prefix = tf.train.Checkpoint(**variables).save(str(tmp_path / "model"))
    expected = {name.replace("/", "_"): value for name, value in VALUES.items()}
    assert_same(prefix, {**expected, "save_counter": np.array(1, np.int64)})


def test_several_shards(tf, tmp_path):
    parts, names = [], sorted(VALUES)
    for i, part_names in enumerate((names[:3], names[3:4], names[4:])):
        parts.append(str(tmp_path / f"part-{i}"))
        tf.raw_ops.SaveV2(
            prefix=parts[-1],
            tensor_names=part_names,
            shape_and_slices=[""] * len(part_names),
            tensors=[tf.constant(VALUES[name]) for name in part_names],
        )
    prefix = tmp_path / "merged"
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(prefix), delete_old_dirs=False
    )
    assert_same(prefix, VALUES)
    files = [path.name for path in open_tensorflow(prefix).files]
    assert files == ["merged.index"] + [f"merged.data-{i:05}-of-00003" for i in range(3)]


def test_sharded_saver_of_tensorflow_1(tf, tmp_path):
    with tf.Graph().as_default():
        kept = []
        for i, (name, value) in enumerate(VALUES.items()):
            with tf.device(f"/job:worker/task:{i % 2}/cpu:0"):
                kept.append(tf.compat.v1.get_variable(name, initializer=value, use_resource=True))
        saver = tf.compat.v1.train.Saver(sharded=True)
        definition = saver.as_saver_def()
        assert definition.sharded
        graph = tf.compat.v1.get_default_graph().as_graph_def()
    # One process stands for both workers: it runs the same graph without the places.
    for node in graph.node:
        node.device = ""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph, name="")
        initializers = [f"{variable.op.name}/Assign" for variable in kept]
        session.run(initializers)
        prefix = str(tmp_path / "model.ckpt")
        session.run(definition.save_tensor_name, {definition.filename_tensor_name: prefix})
    assert_same(prefix, VALUES)
    assert len(open_tensorflow(Path(prefix)).files) == 3  # the index and a file per worker


def test_partitioned_variables_are_refused(tf, tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable(
            "table", [10, 2], partitioner=tf.compat.v1.fixed_size_partitioner(2)
        )
        tf.compat.v1.get_variable("whole", [3])
        session.run(tf.compat.v1.global_variables_initializer())
        prefix = tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    with pytest.raises(CheckpointError) as caught:
        bundle.read_bundle(Path(prefix))
    text = str(caught.value)
    assert "partitioned variables" in text and "variables: table\n" in text
    assert "hint: save it again without a partitioner" in text


def test_only_the_index_is_opened_before_a_tensor_is_read(tmp_path):
    prefix = write(tmp_path / "model.ckpt")
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    content = data.read_bytes()
    data.unlink()
    source = open_tensorflow(prefix)
    assert next(map(str, source.tensors.values())) == "a/kernel [3, 4]"
    with pytest.raises(CheckpointError) as caught:
        source.tensors["z"].read()
    assert "No such file" in str(caught.value) and data.name in str(caught.value)
    data.write_bytes(content)
    assert source.tensors["z"].read() == 3


def test_damaged_data_is_found_in_the_tensor_that_it_belongs_to(tmp_path):
    prefix = write(tmp_path / "model.ckpt")
    data = tmp_path / "model.ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[5] ^= 1
    data.write_bytes(content[:-1])
    tensors = open_tensorflow(prefix).tensors
    with pytest.raises(CheckpointError, match="checksum of a/kernel does not match"):
        tensors["a/kernel"].read()
    assert tensors["b/ids"].read().tolist() == VALUES["b/ids"].tolist()
    with pytest.raises(CheckpointError, match="cut short"):
        tensors["z"].read()


def test_copy_takes_entries_as_they_are(tf, tmp_path):
    """Strings too, whose checksum is not that of their bytes in the file."""
    old = tmp_path / "old"
    strings = tf.constant([[b"one", b""], [b"\xff" * 300, b"four"]])
    tf.raw_ops.SaveV2(
        prefix=str(old),
        tensor_names=["a", "text", "z"],
        shape_and_slices=[""] * 3,
        tensors=[tf.constant(VALUES["a/kernel"]), strings, tf.constant(3)],
    )
    entries = bundle.read_bundle(old)
    assert entries["text"].dtype == "string"
    with bundle.BundleWriter(tmp_path / "new") as writer:
        writer.add("0/before", "float32", (2,), [np.float32([1, 2]).tobytes()])
        for entry in reversed(entries.values()):
            writer.copy(
                entry, read_region(entry.path, entry.offset, entry.nbytes, None, entry.name)
            )
    reader = tf.train.load_checkpoint(str(tmp_path / "new"))
    assert reader.get_tensor("text").tolist() == strings.numpy().tolist()
    assert reader.get_tensor("a").tolist() == VALUES["a/kernel"].tolist()
    assert reader.get_tensor("z") == 3
    copied = bundle.read_bundle(tmp_path / "new")
    for name, entry in entries.items():
        assert (copied[name].crc32c, copied[name].nbytes) == (entry.crc32c, entry.nbytes)


def test_an_interrupted_writer_leaves_no_index(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        with bundle.BundleWriter(tmp_path / "model") as writer:
            writer.add("a", "int8", (1,), [b"\1"])
            raise KeyboardInterrupt
    assert not (tmp_path / "model.index").exists()
    with pytest.raises(CheckpointError, match="cannot be read"):
        bundle.read_bundle(tmp_path / "model")


def test_an_empty_bundle(tf, tmp_path):
    write(tmp_path / "model", {})
    assert bundle.read_bundle(tmp_path / "model") == {}
    assert tf.train.load_checkpoint(str(tmp_path / "model")).get_variable_to_shape_map() == {}


@pytest.mark.parametrize(
    "header", [None, {"num_shards": 1, "endianness": 1}, {"num_shards": 0}], ids=str
)
def test_headers_that_are_refused(tmp_path, header):
    records = {b"a": protos.BundleEntry(dtype=1, size=4).SerializeToString()}
    if header is not None:
        records[b""] = protos.BundleHeader(**header).SerializeToString()
    table.write_table(tmp_path / "model.index", records)
    with pytest.raises(CheckpointError, match=r"model.index"):
        bundle.read_bundle(tmp_path / "model")


@pytest.mark.parametrize(
    "record",
    [b"\xff\xff", {"size": -1}, {"offset": -8}, {"shape": {"dim": [{"size": -3}]}}],
    ids=str,
)
def test_records_that_are_damaged(tmp_path, record):
    """Their checksums are right: somebody wrote them so."""
    entry = record if isinstance(record, bytes) else protos.BundleEntry(dtype=1, **record)
    data = entry if isinstance(entry, bytes) else entry.SerializeToString()
    header = protos.BundleHeader(num_shards=1).SerializeToString()
    for records in ({b"": header, b"a": data}, {b"": b"\xff\xff"}):
        table.write_table(tmp_path / "model.index", records)
        with pytest.raises(CheckpointError, match="the checkpoint index is damaged"):
            bundle.read_bundle(tmp_path / "model")


def test_names_that_hold_dots(tmp_path):
    """`model.ckpt-100` is not a file with the suffix `.ckpt-100`."""
    write(tmp_path / "model.ckpt-100", {"a": np.float32([4])})
    write(tmp_path / "model.ckpt", {"a": np.float32([3])})
    for name, expected in (("model.ckpt-100", 4), ("model.ckpt", 3)):
        assert open_tensorflow(tmp_path / name).tensors["a"].read() == expected


def test_a_dtype_that_is_not_known_is_named(tmp_path):
    header = protos.BundleHeader(num_shards=1).SerializeToString()
    entry = protos.BundleEntry(dtype=11).SerializeToString()  # DT_QINT8
    table.write_table(tmp_path / "model.index", {b"": header, b"quantized": entry})
    assert bundle.read_bundle(tmp_path / "model")["quantized"].dtype == "dtype 11"

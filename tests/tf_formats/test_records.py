"""Files of records are TensorFlow's: it reads what was written, and finds damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubexport.tf_formats.records import write_records

tf = pytest.importorskip("tensorflow")

RECORDS = [b"one", b"", b"\x00\xff" * 40_000, b"last"]


def read(path: Path) -> list[bytes]:
    return [each.numpy() for each in tf.data.TFRecordDataset(str(path))]


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:1], []], ids=len)
def test_tensorflow_reads_them(records: list[bytes], tmp_path: Path) -> None:
    write_records(tmp_path / "records", records)
    assert read(tmp_path / "records") == records
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as file:
        for record in records:
            file.write(record)
    assert (tmp_path / "records").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("place", [0, 8, 12, -1], ids=["length", "its sum", "bytes", "their sum"])
def test_damage_is_found(place: int, tmp_path: Path) -> None:
    path = tmp_path / "records"
    write_records(path, RECORDS)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(tf.errors.DataLossError):
        read(path)

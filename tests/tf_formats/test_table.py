"""Tables are LevelDB's: what is written is read back, and damage is never taken for content."""

from __future__ import annotations

import struct
from pathlib import Path

import cramjam
import google_crc32c
import pytest

from hubexport.errors import CheckpointError
from hubexport.tf_formats import table

FOOTER_BYTES = 48
BLOCK_BYTES = 262_144  # TensorFlow's own target
MANY = {f"layer_{i}/kernel".encode(): bytes([i % 256]) * (i % 97) for i in range(15_000)}
SMALL = {b"": b"header", b"bert/a": b"\x00\xff" * 9, b"bert/b": b"", b"c" * 130: b"x" * 140}


def trailer(block: bytes, compression: int) -> bytes:
    covered = block + bytes([compression])
    return bytes([compression]) + struct.pack("<I", table.mask_crc(google_crc32c.value(covered)))


def data_block(records: list[tuple[int, bytes, bytes]]) -> bytes:
    """A block of (bytes shared with the key before, rest of the key, value), one restart point."""
    block = bytearray()
    for shared, rest, value in records:
        for number in (shared, len(rest), len(value)):
            block += table.write_varint(number)
        block += rest + value
    return bytes(block) + struct.pack("<II", 0, 1)


def write_raw(path: Path, blocks: list[tuple[bytes, int]]) -> Path:
    """A table of blocks as they are stored, each with its compression type; the index is ours."""
    out, index = bytearray(), []
    for i, (block, compression) in enumerate(blocks):
        handle = table.write_varint(len(out)) + table.write_varint(len(block))
        index.append((0, b"%03d" % i, handle))
        out += block + trailer(block, compression)
    index_block = data_block(index)
    footer = b"\0\0" + table.write_varint(len(out)) + table.write_varint(len(index_block))
    out += index_block + trailer(index_block, 0)
    footer += bytes(FOOTER_BYTES - 8 - len(footer)) + struct.pack("<Q", 0xDB4775248B80FB57)
    path.write_bytes(out + footer)
    return path


def block_sizes(path: Path) -> list[int]:
    """Of the data blocks, in order, read by the format's description."""
    data = path.read_bytes()
    numbers, position = [], 0
    for _ in range(4):  # offset and size of the meta index, then of the index
        number, position = table.read_varint(data[-FOOTER_BYTES:], position)
        numbers.append(number)
    offset, size = numbers[2:]
    (entries,) = struct.unpack_from("<I", data, offset + size - 4)
    end = offset + size - 4 * (entries + 1)
    sizes, position = [], offset
    while position < end:
        assert data[position] == 0  # nothing shared with the key before
        length, position = table.read_varint(data, position + 1)
        _, position = table.read_varint(data, position)  # length of the handle
        _, position = table.read_varint(data, position + length)
        size, position = table.read_varint(data, position)
        sizes.append(size)
    return sizes


def problem(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        table.read_table(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "records",
    [
        {},
        {b"": b""},
        SMALL,
        MANY,
        {b"big": b"v" * 300_000, b"a": b"", b"z": b"after"},  # larger than a block on its own
        {b"z": b"1", b"a": b"2", b"\xff\xfe": b"3", b"\x00": b"4"},
    ],
    ids=["empty", "empty key", "small", "many blocks", "large value", "unsorted"],
)
def test_round_trip(tmp_path, records):
    path = tmp_path / "x.index"
    table.write_table(path, records)
    assert list(table.read_table(path).items()) == sorted(records.items())


def test_blocks_are_as_large_as_tensorflows(tmp_path):
    """OpenVINO reads no index of several blocks: one must hold all that fits into TensorFlow's."""
    fits = dict(list(MANY.items())[: BLOCK_BYTES // 80])
    table.write_table(tmp_path / "one", fits)
    (size,) = block_sizes(tmp_path / "one")
    assert size > 0.8 * BLOCK_BYTES
    table.write_table(tmp_path / "many", MANY)
    *full, _ = block_sizes(tmp_path / "many")
    assert len(full) >= 3
    assert all(BLOCK_BYTES <= size < 1.2 * BLOCK_BYTES for size in full)


def test_order_of_writing_does_not_matter(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    table.write_table(one, SMALL)
    table.write_table(other, dict(reversed(SMALL.items())))
    assert one.read_bytes() == other.read_bytes()


def test_crc_is_castagnolis_and_masked_as_leveldbs():
    # RFC 3720, appendix B.4, and util/crc32c_test.cc of LevelDB.
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    assert google_crc32c.value(bytes(range(32))) == 0x46DD794E
    # TensorFlow and LevelDB keep (crc rotated right by 15) + 0xa282ead8.
    assert table.mask_crc(0) == 0xA282EAD8
    assert table.mask_crc(0x8A9136AA) == (0x6D551522 + 0xA282EAD8) % 2**32
    assert table.mask_crc(0xFFFFFFFF) == 0xA282EAD7


@pytest.mark.parametrize("crc", [0, 1, 0x8A9136AA, 0x7FFF, 0x8000, 0xFFFFFFFF, 0x5D7D1528])
def test_unmasking_is_the_inverse(crc):
    assert table.unmask_crc(table.mask_crc(crc)) == crc
    assert table.mask_crc(table.unmask_crc(crc)) == crc
    assert table.mask_crc(crc) != crc


def test_every_flipped_byte_is_found_or_harmless(tmp_path):
    """The file's padding and its empty meta index may be anything; the content may not."""
    path = tmp_path / "x.index"
    table.write_table(path, SMALL)
    intact = path.read_bytes()
    harmless = []
    for position in range(len(intact)):
        for flip in (0x01, 0x80):
            damaged = bytearray(intact)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                assert table.read_table(path) == SMALL
                harmless.append(position)
            except CheckpointError as error:
                assert "not an intact TensorFlow checkpoint index" in str(error)
    # Behind the records: their block begins the file, and its checksum ends it.
    block = sum(3 + (len(k) > 127) + (len(v) > 127) + len(k + v) for k, v in SMALL.items())
    assert min(harmless) >= block + 4 * (len(SMALL) + 1) + 5


def test_every_truncation_is_found(tmp_path):
    path = tmp_path / "x.index"
    table.write_table(path, SMALL)
    intact = path.read_bytes()
    for length in range(len(intact)):
        path.write_bytes(intact[:length])
        assert f"{length:,} bytes" in problem(path)
    for start in range(1, len(intact), 7):  # the beginning lost
        path.write_bytes(intact[start:])
        problem(path)


def test_errors_name_the_file(tmp_path):
    missing = problem(tmp_path / "none.index")
    assert "cannot be read" in missing and "none.index" in missing
    (tmp_path / "notes.index").write_text("no table " * 20)
    text = problem(tmp_path / "notes.index")
    assert "no table footer" in text and "notes.index" in text and "hint: copy" in text
    assert "cannot be read" in problem(tmp_path)  # a directory


def test_keys_that_share_their_beginning(tmp_path):
    """TensorFlow leaves out what a key has in common with the one before it."""
    block = data_block([(0, b"bert/a", b"1"), (5, b"b", b"2"), (6, b"/c", b"3"), (2, b"x", b"4")])
    path = write_raw(tmp_path / "x", [(block, 0)])
    assert table.read_table(path) == {
        b"bert/a": b"1",
        b"bert/b": b"2",
        b"bert/b/c": b"3",
        b"bex": b"4",
    }


def test_snappy_blocks(tmp_path):
    records = [(0, f"{i:04}".encode(), b"value " * i) for i in range(50)]
    plain = [data_block(records[:20]), data_block(records[20:])]
    packed = [bytes(cramjam.snappy.compress_raw(block)) for block in plain]
    assert sum(map(len, packed)) < sum(map(len, plain)) / 2
    path = write_raw(
        tmp_path / "x", [(packed[0], 1), (packed[1], 1), (data_block([(0, b"z", b"")]), 0)]
    )
    expected = {key: value for _, key, value in records}
    assert table.read_table(path) == expected | {b"z": b""}


@pytest.mark.parametrize(
    ("block", "compression", "found"),
    [
        (b"", 1, "index out of range"),
        (b"\x05\xfc\xff\xff\xff", 1, "Snappy cannot read"),
        (table.write_varint(1 << 40) + b"\0", 1, "larger than any index"),
        (b"\0\0\0\0\1\0\0\0", 2, "unknown type 2"),
        (b"\xff" * 11 + b"\0\0\0\0\1\0\0\0", 0, "longer than 64 bits"),
        (b"\0", 0, "unpack requires"),
    ],
)
def test_blocks_that_cannot_be_used(tmp_path, block, compression, found):
    """Their checksums are right: somebody wrote them so."""
    text = problem(write_raw(tmp_path / "x", [(block, compression)]))
    assert found in text


def test_a_block_outside_the_file(tmp_path):
    footer = b"\0\0" + table.write_varint(2**62) + table.write_varint(2**62)
    footer += bytes(FOOTER_BYTES - 8 - len(footer)) + struct.pack("<Q", 0xDB4775248B80FB57)
    (tmp_path / "x").write_bytes(footer)
    assert "past its end" in problem(tmp_path / "x")


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**32, 2**63, 2**64 - 1])
def test_varints(value):
    data = table.write_varint(value)
    assert len(data) == max(1, -(-value.bit_length() // 7))
    assert table.read_varint(b"\xaa" + data + b"rest", 1) == (value, 1 + len(data))


def test_varint_limits():
    assert table.write_varint(300) == b"\xac\x02"
    with pytest.raises(ValueError, match="longer than 64 bits"):
        table.read_varint(b"\x80" * 10 + b"\x01", 0)
    for cut in (b"", b"\x80", b"\xff\xff"):
        with pytest.raises(IndexError):
            table.read_varint(cut, 0)

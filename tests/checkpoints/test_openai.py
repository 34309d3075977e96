"""GPT's original release: every number of the pieces is in one tensor, and nothing is believed."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hubexport.checkpoints import openai, source
from hubexport.checkpoints.opening import open_checkpoint, unpacked
from hubexport.checkpoints.source import FileTensor, TensorSource
from hubexport.errors import CheckpointError, UnsafeCheckpointError
from hubexport.inspection.facts import facts_about
from hubexport.inspection.text import render
from tests.material import material
from tests.oracles.openai import NUMBERS, arrays, shapes, sparse_release, write_release

TENSORS = arrays()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return write_release(tmp_path / "model", TENSORS)


def assert_equal(opened: TensorSource, expected: dict[str, np.ndarray]) -> None:
    assert list(opened.tensors) == list(expected)
    for name, array in expected.items():
        tensor = opened.tensors[name]
        assert (tensor.name, tensor.shape, tensor.dtype) == (name, array.shape, "float32")
        np.testing.assert_array_equal(tensor.read(), array)
        assert b"".join(map(bytes, tensor.chunks())) == array.tobytes()


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        openai.open_openai(path)
    return str(caught.value)


def npy(path: Path, header: bytes, data: bytes = b"", version: bytes = b"\x01\x00") -> Path:
    """A .npy file with any header."""
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    path.write_bytes(b"\x93NUMPY" + version + length + header + data)
    return path


class TestTensors:
    def test_all(self, release):
        opened = openai.open_openai(release)
        assert (opened.path, opened.layout) == (release, "openai")
        assert opened.files == (release, *(release.with_name(f"params_{n}.npy") for n in range(10)))
        assert opened.settings == {"vocab_size": 11, "n_positions": 7, "n_embd": 4, "n_layer": 2}
        assert_equal(opened, TENSORS)

    @pytest.mark.parametrize("pieces", [1, 2, 3, 10, 11, 97])
    def test_any_number_of_pieces(self, tmp_path, pieces):
        """In numeric order: params_10 comes after params_9."""
        assert_equal(openai.open_openai(write_release(tmp_path, TENSORS, pieces)), TENSORS)

    @pytest.mark.parametrize(
        "cuts",
        [
            pytest.param([28, 72], id="between tensors"),
            pytest.param([1, 2, 3, 4], id="several in one tensor"),
            pytest.param([0, 30, 30, 30], id="empty pieces"),
            pytest.param([27, 29, 71, 73], id="off by one"),
        ],
    )
    def test_where_pieces_end(self, tmp_path, cuts):
        assert_equal(openai.open_openai(write_release(tmp_path, TENSORS, cuts)), TENSORS)

    def test_each_number_is_in_one_place(self, tmp_path):
        """The places of all tensors, in order, are all bytes of all pieces."""
        opened = openai.open_openai(write_release(tmp_path, TENSORS, 7))
        places = [place for tensor in opened.tensors.values() for place in tensor.pieces]
        assert all(isinstance(place, FileTensor) for place in places)
        for path in opened.files[1:]:
            ends = [(p.offset, p.offset + p.nbytes) for p in places if p.path == path]
            begins = [begin for begin, _ in ends]
            size = path.stat().st_size
            assert begins == [128, *(end for _, end in ends[:-1])] and ends[-1][1] == size

    def test_chunks_are_bounded(self, tmp_path, monkeypatch):
        monkeypatch.setattr(source, "CHUNK_BYTES", 12)
        opened = openai.open_openai(write_release(tmp_path, TENSORS, 3))
        for name, array in TENSORS.items():
            chunks = [bytes(chunk) for chunk in opened.tensors[name].chunks()]
            assert max(map(len, chunks)) <= 12
            assert b"".join(chunks) == array.tobytes()

    def test_no_numbers_are_read_to_open(self, release, monkeypatch):
        def read(*arguments: object) -> None:
            raise AssertionError("numbers were read")

        monkeypatch.setattr(source, "read_region", read)
        opened = openai.open_openai(release)
        with pytest.raises(AssertionError):
            opened.tensors["model/we"].read()

    def test_kernels_without_the_axis_of_one(self, tmp_path):
        squeezed = {name: array.squeeze() for name, array in TENSORS.items()}
        assert_equal(openai.open_openai(write_release(tmp_path, squeezed)), TENSORS)

    @pytest.mark.parametrize("sizes", [{"hidden": 1}, {"layers": 1}, {"words": 1, "positions": 1}])
    def test_small_ones(self, tmp_path, sizes):
        tensors = arrays(**sizes)
        assert_equal(openai.open_openai(write_release(tmp_path, tensors, 2)), tensors)

    def test_changed_meanwhile(self, release):
        opened = openai.open_openai(release)
        os.truncate(release.with_name("params_9.npy"), 130)
        with pytest.raises(CheckpointError, match="cut short"):
            opened.tensors["model/h1/ln_2/b"].read()


class TestMaterial:
    def test_small_model(self):
        archive = material("checkpoints/gpt1_allennlp_transformer_small/transformer_small.tar.gz")
        with unpacked(archive) as directory:
            opened = open_checkpoint(directory)
            pieces = [np.load(directory / f"params_{n}.npy") for n in range(2)]
            listed = json.loads((directory / "params_shapes.json").read_text())
            ends = np.cumsum([np.prod(shape) for shape in listed])
            parts = np.split(np.concatenate(pieces), ends)
            assert parts.pop().size == 0
            for part, tensor in zip(parts, opened.tensors.values(), strict=True):
                np.testing.assert_array_equal(tensor.read().reshape(-1), part)
        names = shapes(words=50, positions=50, hidden=10)
        assert {name: t.shape for name, t in opened.tensors.items()} == names

    def test_published_sizes(self, tmp_path):
        opened = open_checkpoint(sparse_release(tmp_path))
        assert len(opened.tensors) == 146
        assert sum(tensor.size for tensor in opened.tensors.values()) == NUMBERS
        assert opened.tensors["model/we"].shape == (40478, 768)
        assert not opened.tensors["model/h11/mlp/c_proj/w"].read().any()
        values = {"vocab_size": 40478, "n_positions": 512, "n_embd": 768, "n_layer": 12}
        assert opened.settings == values


class TestOpening:
    def test_directory_or_list_of_shapes(self, release):
        for path in (release, release.parent):
            assert_equal(open_checkpoint(path), TENSORS)

    def test_archive(self, release, tmp_path):
        archive = shutil.make_archive(str(tmp_path / "gpt"), "gztar", tmp_path, "model")
        with unpacked(Path(archive)) as directory:
            assert_equal(open_checkpoint(directory), TENSORS)

    def test_paths_in_an_archive(self, release, tmp_path):
        with tarfile.open(tmp_path / "gpt.tar", "w") as archive:
            archive.add(release, "model/params_shapes.json")
            archive.add(release.with_name("params_0.npy"), "model/../../params_0.npy")
        with pytest.raises(UnsafeCheckpointError), unpacked(tmp_path / "gpt.tar"):
            pass

    def test_a_piece_is_not_a_checkpoint(self, release):
        with pytest.raises(CheckpointError, match=r"looked for: .*params_shapes\.json"):
            open_checkpoint(release.with_name("params_0.npy"))

    def test_links_are_followed(self, release, tmp_path):
        (tmp_path / "links").mkdir()
        for file in release.parent.iterdir():
            (tmp_path / "links" / file.name).symlink_to(file)
        assert_equal(open_checkpoint(tmp_path / "links"), TENSORS)


class TestPieces:
    def test_absent(self, release):
        for n in (0, 3, 4):
            release.with_name(f"params_{n}.npy").unlink()
        text = refusal(release)
        assert "the checkpoint is not complete" in text
        assert "not there: params_0.npy, params_3.npy, params_4.npy\n" in text

    def test_none(self, release):
        for n in range(10):
            release.with_name(f"params_{n}.npy").unlink()
        assert "not there: params_0.npy\n" in refusal(release)

    def test_the_last_ones_absent(self, release):
        for n in (8, 9):
            release.with_name(f"params_{n}.npy").unlink()
        text = refusal(release)
        numbers = sum(array.size for array in TENSORS.values())
        assert "do not hold what its shapes need" in text
        assert "in params_0.npy to params_7.npy\n" in text
        assert f"needed: {numbers:,} numbers, for 26 tensors\n" in text

    def test_one_too_many(self, release):
        np.save(release.with_name("params_10.npy"), np.zeros(1, np.float32))
        numbers = sum(array.size for array in TENSORS.values())
        text = refusal(release)
        assert f"found: {numbers + 1:,} numbers in params_0.npy to params_10.npy\n" in text

    def test_a_far_away_number_takes_no_time(self, release):
        np.save(release.with_name("params_999999.npy"), np.zeros(1, np.float32))
        np.save(release.with_name("params_99999999999999.npy"), np.zeros(1, np.float32))
        assert "params_10.npy, params_11.npy" in refusal(release)

    @pytest.mark.parametrize(
        "name", ["params_00.npy", "params_.npy", "params_-1.npy", "params.npy"]
    )
    def test_other_names_are_not_pieces(self, release, name):
        (release.parent / name).write_bytes(b"nothing")
        assert_equal(openai.open_openai(release), TENSORS)

    def test_a_directory_is_not_a_piece(self, release):
        piece = release.with_name("params_9.npy")
        piece.unlink()
        piece.mkdir()
        assert "do not hold what its shapes need" in refusal(release)

    @pytest.mark.parametrize(
        ("array", "found"),
        [
            (np.zeros(3, np.float64), "<f8 [3]"),
            (np.zeros(3, ">f4"), ">f4 [3]"),
            (np.zeros(3, np.float16), "<f2 [3]"),
            (np.zeros(3, np.int32), "<i4 [3]"),
            (np.zeros((), np.float32), "<f4 []"),
            (np.zeros((3, 1), np.float32), "<f4 [3, 1]"),
            (np.asfortranarray(np.zeros((3, 2), np.float32)), "<f4 [3, 2], Fortran order"),
            (np.zeros(3, [("a", "<f4")]), "[3]"),
        ],
    )
    def test_other_arrays(self, release, array, found):
        np.save(release.with_name("params_4.npy"), array)
        text = refusal(release)
        assert "the file is not a piece of the checkpoint" in text
        assert "params_4.npy" in text and f"{found}\n" in text

    def test_cut_short(self, release):
        piece = release.with_name("params_4.npy")
        data = piece.read_bytes()
        piece.write_bytes(data[:-1])
        text = refusal(release)
        assert "the checkpoint is cut short" in text and "params_4.npy" in text
        assert f"found: {len(data) - 1} bytes" in text and f"needed: {len(data)} bytes" in text

    def test_something_after_the_numbers(self, release):
        with open(release.with_name("params_4.npy"), "ab") as file:
            file.write(b"more")
        assert "4 bytes after its" in refusal(release)

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
            (b"<!DOCTYPE html>", "an HTML page"),
            (b"\x93NUMPY", "a file that starts with"),
            (b"\x93NUMPY\x01\x00", "a damaged header"),
            (b"\x93NUMPY\x09\x00", "version 9.0"),
        ],
    )
    def test_something_else(self, release, content, found):
        release.with_name("params_0.npy").write_bytes(content)
        assert found in refusal(release)


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, int]]:
        return os.open, (str(self.path), os.O_CREAT | os.O_WRONLY)


class TestSecurity:
    def test_objects_are_not_unpickled(self, release, tmp_path):
        array = np.array([Touch(tmp_path / "made")], object)
        np.save(release.with_name("params_0.npy"), array, allow_pickle=True)
        assert "|O [1]" in refusal(release)
        release.with_name("params_0.npy").write_bytes(pickle.dumps(Touch(tmp_path / "made")))
        assert "a pickle" in refusal(release)
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("size", ["-1", "2**9", "1 << 62", "4611686018427387904", "True, 1"])
    def test_sizes_of_pieces(self, release, size):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size},)}}\n".encode()
        npy(release.with_name("params_0.npy"), header, bytes(64))
        assert "params_0.npy" in refusal(release)

    def test_a_size_that_the_file_has_not(self, release):
        """Nothing of that size is asked for before the file's own is looked at."""
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({1 << 50},)}}\n".encode()
        npy(release.with_name("params_0.npy"), header, bytes(64))
        assert "the checkpoint is cut short" in refusal(release)

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"\xff\xfe",
            b"1",
            b"{}",
            b"{'descr': '<f4'}",
            b"{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (1.0,)}",
            b"{'descr': '<f4', 'fortran_order': False, 'shape': ('1',)}",
            b"{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': '<f99', 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': '<S9999999999999999999', 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': ('<f4', (1 << 40,)), 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': ('<f4', (-1,)), 'fortran_order': False, 'shape': (1,)}",
            b"{'descr': [('a', '<f4')] * 9, 'fortran_order': False, 'shape': (1,)}",
            b"__import__('os').abort()",
            b"(" * 3000,
            b"-" * 3000 + b"1",
            b"[" * 90 + b"]" * 90,
            b"9" * 3900,
            b"'''",
            b"\x00" * 9,
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)\n  }\n }",
        ],
    )
    def test_damaged_headers(self, release, header):
        for version in (b"\x01\x00", b"\x02\x00"):
            npy(release.with_name("params_0.npy"), header, bytes(4), version)
            assert "params_0.npy" in refusal(release)

    def test_a_header_is_not_read_as_long_as_it_claims(self, release, monkeypatch):
        piece = npy(release.with_name("params_0.npy"), b"", b" " * 64, b"\x02\x00")
        piece.write_bytes(piece.read_bytes()[:8] + struct.pack("<I", 0xFFFFFFF0) + b" " * 64)
        os.truncate(piece, 1 << 32)  # sparse
        asked = []

        class Watched(io.FileIO):
            def read(self, size: int = -1) -> bytes:
                asked.append(size)
                return super().read(size)

        monkeypatch.setattr("builtins.open", lambda path, *_, **__: Watched(path))
        assert "a damaged header" in refusal(release)
        assert asked and all(0 <= size <= openai.MAX_SHAPES_BYTES + 1 for size in asked)

    def test_headers_of_python_2(self, release):
        """Its long integers end in L, which numpy still reads; a warning would be noise."""
        data = release.with_name("params_0.npy").read_bytes()[128:]
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(data) // 4}L,), }}"
        npy(release.with_name("params_0.npy"), header.ljust(117).encode() + b"\n", data)
        assert_equal(openai.open_openai(release), TENSORS)

    def test_fuzz(self, release):
        rng = random.Random(0)
        for name in ("params_0.npy", "params_shapes.json"):
            path = release.with_name(name)
            good = path.read_bytes()
            for _ in range(150):
                damaged = bytearray(good)
                damaged[rng.randrange(min(len(good), 128))] ^= rng.randrange(1, 256)
                path.write_bytes(damaged)
                try:
                    for tensor in openai.open_openai(release).tensors.values():
                        tensor.read()
                except CheckpointError:
                    pass
            for _ in range(30):
                path.write_bytes(good[: rng.randrange(len(good))])
                refusal(release)
            path.write_bytes(good)


class TestShapes:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{}",
            "null",
            "[1]",
            '["ab"]',
            "[[]]",
            "[[0, 4]]",
            "[[-1, 4]]",
            "[[true, 4]]",
            "[[1.0, 4]]",
            '[["4"]]',
            "[[[4]]]",
            "[[4611686018427387904, 4]]",
            "[[4, " + "9" * 400 + "]]",
            "[[" + "9" * 9000 + "]]",
            "[[" + "1, " * 40 + "1]]",
            "[" * 100_000,
            " " * (openai.MAX_SHAPES_BYTES + 1),
            "\xff",
        ],
    )
    def test_not_shapes(self, release, text):
        release.write_text(text, "latin-1")
        found = refusal(release)
        assert "the list of shapes cannot be read" in found
        assert str(release) in found and len(found) < 1500

    @pytest.mark.parametrize("count", [0, 1, 2, 3, 13, 15, 25, 27])
    def test_how_many(self, release, count):
        release.write_text(json.dumps(([[7, 4], [11, 4]] + [[4]] * 25)[:count]))
        text = refusal(release)
        assert "the list of shapes is not a GPT's" in text
        assert f"found: {count} shapes" in text
        assert "needed: 2 shapes, and 12 for each of the layers" in text

    def test_all_that_are_wrong_are_named(self, release):
        listed = json.loads(release.read_text())
        listed[1], listed[2], listed[15] = [11, 5], [1, 4, 13], [11]
        release.write_text(json.dumps(listed))
        text = refusal(release)
        assert (
            "found: model/we [11, 5], expected [11, 4], "
            "model/h0/attn/c_attn/w [1, 4, 13], expected [1, 4, 12], "
            "model/h1/attn/c_attn/b [11], expected [12]\n"
        ) in text
        assert "of hidden size 4" in text

    @pytest.mark.parametrize("shape", [[4], [2, 4, 12], [1, 1, 4, 12], [4, 1, 12], [12, 4], [48]])
    def test_kernels(self, release, shape):
        listed = json.loads(release.read_text())
        listed[2] = shape
        release.write_text(json.dumps(listed))
        assert f"model/h0/attn/c_attn/w {shape}, expected [1, 4, 12]" in refusal(release)

    @pytest.mark.parametrize("shape", [[4], [7, 4, 1], [1, 7, 4], [7, 3]])
    def test_tables(self, release, shape):
        listed = json.loads(release.read_text())
        listed[0] = shape
        release.write_text(json.dumps(listed))
        assert f"found: model/pe {shape}, expected [" in refusal(release)

    def test_another_order(self, release):
        """GPT-2's names sort differently: the release never lists a norm before its layer."""
        listed = json.loads(release.read_text())
        release.write_text(json.dumps(listed[:2] + listed[6:8] + listed[2:6] + listed[8:]))
        assert "the list of shapes is not a GPT's" in refusal(release)

    def test_not_there(self, tmp_path):
        assert "No such file" in refusal(tmp_path / "params_shapes.json")


class TestInspection:
    def test_facts(self, release):
        facts = facts_about(release.parent)
        assert (facts["format"], facts["naming"]) == (
            "OpenAI's release in .npy files",
            "openai",
        )
        assert facts["layout"] == "openai-gpt layout"
        assert [file["name"] for file in facts["files"][:2]] == [
            "params_shapes.json",
            "params_0.npy",
        ]
        numbers = sum(array.size for array in TENSORS.values())
        assert facts["parameters"]["count"] == numbers
        assert not facts["not_parameters"]
        text = render({**facts, "num_tensors": len(facts["tensors"])}, everything=True)
        assert "layers 2, hidden size 4, intermediate size 16" in text
        assert "vocabulary 11, positions 7, width 4" in text
        assert "nothing tells the number of attention heads" in text
        assert "model/h1/mlp/c_proj/w   float32  [1, 16, 4]" in text

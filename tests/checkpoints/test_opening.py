"""Whatever a user passes as --checkpoint, the right file is opened, or the message says why not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from hubexport.checkpoints.opening import is_archive, open_checkpoint
from hubexport.errors import CheckpointError
from hubexport.tf_formats.bundle import BundleWriter
from tests.oracles.openai import arrays, write_release

PREFERENCE = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "bert_model.ckpt.index",
    "model.pt",
    "params_shapes.json",
]
"""What a directory may hold, the first that is there is taken: transformers' order, then others."""


def tensorflow(prefix: Path, value: float = 1.0) -> Path:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with BundleWriter(prefix) as writer:
        writer.add("x", "float32", (1,), [np.float32(value).tobytes()])
    return prefix


def safetensors(path: Path, value: float = 1.0) -> Path:
    save_file({"x": np.float32([value])}, path, {"format": "pt"})
    return path


def torch_file(path: Path, value: float = 1.0) -> Path:
    torch = pytest.importorskip("torch")
    torch.save({"x": torch.tensor([value])}, path)
    return path


def sharded(path: Path, value: float = 1.0) -> Path:
    """An index with one shard beside it."""
    stem, _, kind = path.name.removesuffix(".index.json").rpartition(".")
    shard = path.with_name(f"{stem}-00001-of-00001.{kind}")
    safetensors(shard, value) if kind == "safetensors" else torch_file(shard, value)
    path.write_text(json.dumps({"metadata": {}, "weight_map": {"x": shard.name}}))
    return path


def write(path: Path, value: float) -> None:
    """A checkpoint whose first number is the value, of the kind that the name says."""
    if path.name.endswith(".index.json"):
        sharded(path, value)
    elif path.suffix == ".safetensors":
        safetensors(path, value)
    elif path.suffix == ".index":
        tensorflow(path.with_suffix(""), value)
    elif path.name == "params_shapes.json":
        write_release(path.parent, {k: v + np.float32(value) for k, v in arrays().items()})
    else:
        torch_file(path, value)


def value_at(path: Path) -> float:
    tensors = open_checkpoint(path).tensors
    return float(next(iter(tensors.values())).read().flat[0])


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path)
    return str(caught.value)


class TestTensorFlow:
    @pytest.mark.parametrize("name", ["bert_model.ckpt", "model.ckpt-1000", "ckpt-3", "variables"])
    @pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00000-of-00001"])
    def test_prefix_or_any_of_its_files(self, tmp_path, name, suffix):
        prefix = tensorflow(tmp_path / name, 2.0)
        (tmp_path / f"{name}.meta").write_bytes(b"a graph")
        source = open_checkpoint(tmp_path / (name + suffix))
        assert source.path == prefix
        assert source.tensors["x"].read() == [2.0]

    def test_files_that_are_not_there_name_the_prefix_too(self, tmp_path):
        """The index is what counts: a .meta in the path need not exist."""
        tensorflow(tmp_path / "model.ckpt", 2.0)
        assert value_at(tmp_path / "model.ckpt.meta") == 2.0

    def test_a_prefix_is_not_a_beginning(self, tmp_path):
        tensorflow(tmp_path / "model.ckpt-10")
        for name in ("model", "model.ckpt", "model.ckpt-1", "model.ckpt-100"):
            assert "there is no checkpoint at this path" in refusal(tmp_path / name)

    def test_the_prefix_goes_before_a_file_of_its_name(self, tmp_path):
        tensorflow(tmp_path / "model.bin", 2.0)
        torch_file(tmp_path / "model.bin", 3.0)
        assert value_at(tmp_path / "model.bin") == 2.0

    def test_relative_paths(self, tmp_path, monkeypatch):
        tensorflow(tmp_path / "model" / "bert_model.ckpt", 2.0)
        monkeypatch.chdir(tmp_path / "model")
        for path in (".", "bert_model.ckpt", "bert_model.ckpt.index", "../model"):
            assert value_at(Path(path)) == 2.0


class TestDirectory:
    @pytest.mark.parametrize("first", range(len(PREFERENCE)))
    def test_order_of_preference(self, tmp_path, first):
        for value, name in list(enumerate(PREFERENCE))[first:]:
            write(tmp_path / name, value)
        assert value_at(tmp_path) == first

    def test_other_names_are_not_guessed(self, tmp_path):
        """A directory of adapters or of a training run holds files of all kinds."""
        for name in ("adapter_model.safetensors", "optimizer.pt", "training_args.bin"):
            write(tmp_path / name, 1)
        text = refusal(tmp_path)
        assert "there is no checkpoint at this path" in text
        assert "adapter_model.safetensors, optimizer.pt, training_args.bin" in text

    def test_one_tensorflow_checkpoint(self, tmp_path):
        tensorflow(tmp_path / "model.ckpt-1000.5", 2.0)
        (tmp_path / "bert_config.json").write_text("{}")
        assert value_at(tmp_path) == 2.0

    def test_one_checkpoint_whatever_the_state_file_says(self, tmp_path):
        tensorflow(tmp_path / "ckpt-5", 2.0)
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-9"\n')
        assert value_at(tmp_path) == 2.0

    def test_several_checkpoints(self, tmp_path):
        for number in (1, 10, 2):
            tensorflow(tmp_path / f"ckpt-{number}", number)
        text = refusal(tmp_path)
        assert "the directory holds several checkpoints" in text
        assert f"checkpoint: {tmp_path}" in text
        assert "found: ckpt-1, ckpt-10, ckpt-2" in text
        assert f"hint: pass one of them, such as {tmp_path}/ckpt-2." in text

    @pytest.mark.parametrize(
        "said", ["ckpt-2", "./ckpt-2", "/tpu/run 7/ckpt-2", "gs://bucket/run/ckpt-2"]
    )
    def test_the_state_file_says_which(self, tmp_path, said):
        """TensorFlow writes absolute paths there, which are wrong once the directory has moved."""
        for number in (1, 2, 3):
            tensorflow(tmp_path / f"ckpt-{number}", number)
        (tmp_path / "checkpoint").write_text(
            f'model_checkpoint_path: "{said}"\nall_model_checkpoint_paths: "ckpt-1"\n'
        )
        assert value_at(tmp_path) == 2.0

    def test_state_file_of_tensorflow(self, tmp_path):
        tf = pytest.importorskip("tensorflow")
        manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(x=tf.Variable([1.0])), str(tmp_path), max_to_keep=3
        )
        for _ in range(3):
            latest = manager.save()
        assert open_checkpoint(tmp_path).path == Path(latest)

    @pytest.mark.parametrize(
        "state", ['model_checkpoint_path: "ckpt-9"\n', "", "\0\xff nonsense", "{}"]
    )
    def test_a_state_file_that_says_nothing(self, tmp_path, state):
        for number in (1, 2):
            tensorflow(tmp_path / f"ckpt-{number}")
        (tmp_path / "checkpoint").write_bytes(state.encode("latin-1"))
        assert "several checkpoints" in refusal(tmp_path)

    def test_a_directory_called_checkpoint(self, tmp_path):
        for number in (1, 2):
            tensorflow(tmp_path / f"ckpt-{number}")
        (tmp_path / "checkpoint").mkdir()
        assert "several checkpoints" in refusal(tmp_path)

    def test_directories_do_not_count_as_files(self, tmp_path):
        (tmp_path / "model.safetensors").mkdir()
        torch_file(tmp_path / "pytorch_model.bin", 2.0)
        assert value_at(tmp_path) == 2.0

    def test_links_are_followed(self, tmp_path):
        """The cache of the Hugging Face Hub consists of links to blobs without a suffix."""
        safetensors(tmp_path / "blob.safetensors", 2.0).rename(tmp_path / "0a1b2c")
        (tmp_path / "snapshot").mkdir()
        (tmp_path / "snapshot" / "model.safetensors").symlink_to(tmp_path / "0a1b2c")
        assert value_at(tmp_path / "snapshot") == 2.0
        assert value_at(tmp_path / "snapshot" / "model.safetensors") == 2.0


class TestFiles:
    @pytest.mark.parametrize(
        "name",
        [
            "model.safetensors",
            "weights.v2.safetensors",
            "other.safetensors.index.json",
            "pytorch_model.bin",
            "other.bin.index.json",
            "best.pt",
            "best.pth",
        ],
    )
    def test_by_suffix(self, tmp_path, name):
        write(tmp_path / name, 3)
        source = open_checkpoint(tmp_path / name)
        assert source.layout == "hugging_face"
        assert source.tensors["x"].read() == [3]

    def test_the_name_is_not_the_content(self, tmp_path):
        torch_file(tmp_path / "x.safetensors")
        assert "x.safetensors" in refusal(tmp_path / "x.safetensors")

    def test_unknown_suffix(self, tmp_path):
        safetensors(tmp_path / "model.weights")
        text = refusal(tmp_path / "model.weights")
        assert "the file is not a checkpoint of a known kind" in text
        assert "found: a file that starts with" in text
        assert "looked for: a TensorFlow checkpoint (PATH.index), *.safetensors, *.bin" in text


class TestNothingThere:
    def test_neighbours_are_named(self, tmp_path):
        for i in range(20):
            (tmp_path / f"file-{i:02}").touch()
        text = refusal(tmp_path / "model.ckpt")
        assert f"checkpoint: {tmp_path / 'model.ckpt'}" in text
        assert "file-00, file-01" in text and "file-07, ... (12 more)\n" in text

    def test_empty_directory(self, tmp_path):
        assert f"found: in {tmp_path}: nothing" in refusal(tmp_path)

    def test_no_directory_either(self, tmp_path):
        text = refusal(tmp_path / "none" / "model.ckpt")
        assert f"found: in {tmp_path / 'none'}: nothing" in text

    def test_a_name_that_is_too_long(self, tmp_path):
        text = refusal(tmp_path / ("x" * 300))
        assert "the checkpoint cannot be read" in text and "File name too long" in text

    def test_below_a_file(self, tmp_path):
        tensorflow(tmp_path / "model.ckpt")
        assert "no checkpoint" in refusal(tmp_path / "model.ckpt.index" / "deeper")

    def test_a_dangling_link(self, tmp_path):
        (tmp_path / "model.safetensors").symlink_to(tmp_path / "gone")
        assert "no checkpoint" in refusal(tmp_path / "model.safetensors")
        assert "no checkpoint" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["m.tar.gz", "m.tgz", "m.tar", "m.zip"])
def test_archives(tmp_path, name):
    assert not is_archive(tmp_path / name)  # nothing there
    (tmp_path / name).touch()
    assert is_archive(tmp_path / name)
    os.rename(tmp_path / name, tmp_path / "m.gz")
    assert not is_archive(tmp_path / "m.gz")
    (tmp_path / name).mkdir()
    assert not is_archive(tmp_path / name)

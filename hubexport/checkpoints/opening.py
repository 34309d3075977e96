"""From a path as a user writes it to a TensorSource."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from hubexport.checkpoints.fairseq import MODEL_FILE
from hubexport.checkpoints.openai import SHAPES_FILE, open_openai
from hubexport.checkpoints.safetensors import open_safetensors
from hubexport.checkpoints.sharded import open_sharded
from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.tensorflow import open_tensorflow
from hubexport.checkpoints.torch_pickle import open_torch
from hubexport.checkpoints.untrusted import looks_like, reading
from hubexport.errors import CheckpointError, some_of

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")

# Names in a Hugging Face directory, in transformers' own order of preference.
_DIRECTORY: tuple[tuple[str, Callable[[Path], TensorSource]], ...] = (
    ("model.safetensors", open_safetensors),
    ("model.safetensors.index.json", lambda path: open_sharded(path, open_safetensors)),
    ("pytorch_model.bin", open_torch),
    ("pytorch_model.bin.index.json", lambda path: open_sharded(path, open_torch)),
)
# What other programs release, in directories without a TensorFlow checkpoint.
_RELEASES: tuple[tuple[str, Callable[[Path], TensorSource]], ...] = (
    (MODEL_FILE, open_torch),
    (SHAPES_FILE, open_openai),
)
_SUFFIXES: tuple[tuple[str, Callable[[Path], TensorSource]], ...] = (
    (".safetensors", open_safetensors),
    (".safetensors.index.json", lambda path: open_sharded(path, open_safetensors)),
    (".bin.index.json", lambda path: open_sharded(path, open_torch)),
    (".bin", open_torch),
    (".pt", open_torch),
    (".pth", open_torch),
)


def is_archive(path: Path) -> bool:
    """Whether the path is an archive to be unpacked before its checkpoint can be opened."""
    with reading(path):
        return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def open_checkpoint(path: Path) -> TensorSource:
    """Opens a checkpoint given as a directory, a file, or a TensorFlow prefix.

    Args:
      path: `dir/` of a Hugging Face model, with one TensorFlow checkpoint or else with fairseq's
        `model.pt` or GPT's `params_shapes.json`; one of these files, `x.safetensors`, `x.bin`,
        `x.pt`; a TensorFlow prefix `x.ckpt`, or one of its files.

    Raises:
      CheckpointError: nothing there, several candidates, or a file that cannot be read.
    """
    with reading(path):
        return _open(path)


def _open(path: Path) -> TensorSource:
    if path.is_dir():
        for name, open_file in _DIRECTORY:
            if (path / name).is_file():
                return open_file(path / name)
        if not any(path.glob("*.index")):
            for name, open_file in _RELEASES:
                if (path / name).is_file():
                    return open_file(path / name)
        return open_tensorflow(_only_prefix(path))
    prefix = path.with_name(re.sub(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name))
    if prefix.with_name(prefix.name + ".index").is_file():
        return open_tensorflow(prefix)
    if path.is_file():
        if path.name == SHAPES_FILE:
            return open_openai(path)
        for suffix, open_file in _SUFFIXES:
            if path.name.endswith(suffix):
                return open_file(path)
    raise _not_found(path)


def _only_prefix(directory: Path) -> Path:
    prefixes = sorted(directory.glob("*.index"))
    if len(prefixes) > 1:
        latest = _latest(directory)
        if latest is None:
            raise CheckpointError(
                "the directory holds several checkpoints",
                [
                    ("checkpoint", str(directory)),
                    ("found", ", ".join(prefix.stem for prefix in prefixes)),
                ],
                "pass one of them, such as " + str(prefixes[-1].with_suffix("")) + ".",
            )
        return latest
    if not prefixes:
        raise _not_found(directory)
    return prefixes[0].with_suffix("")


def _latest(directory: Path) -> Path | None:
    """What TensorFlow's `checkpoint` file calls the latest one, if that is in the directory."""
    state = directory / "checkpoint"
    if not state.is_file():
        return None
    match = re.match(r'model_checkpoint_path: "([^"]*)"', state.read_text("utf-8", "replace"))
    prefix = directory / Path(match[1]).name if match else None
    if prefix is None or not prefix.with_name(prefix.name + ".index").is_file():
        return None
    return prefix


def _not_found(path: Path) -> CheckpointError:
    looked_for = (
        "looked for",
        "a TensorFlow checkpoint (PATH.index), *.safetensors, *.bin, *.pt, a directory with "
        f"model.safetensors, pytorch_model.bin, a TensorFlow checkpoint, {MODEL_FILE} or "
        f"{SHAPES_FILE}, or an archive of one ("
        + ", ".join(f"*{suffix}" for suffix in ARCHIVE_SUFFIXES)
        + ")",
    )
    if path.is_file():
        return CheckpointError(
            "the file is not a checkpoint of a known kind",
            [("checkpoint", str(path)), ("found", looks_like(path)), looked_for],
            "pass a checkpoint, or unpack this file first if it holds one.",
        )
    around = path if path.is_dir() else path.parent
    names = sorted(entry.name for entry in around.iterdir()) if around.is_dir() else []
    return CheckpointError(
        "there is no checkpoint at this path",
        [
            ("checkpoint", str(path)),
            ("found", f"in {around}: " + (some_of(names) or "nothing")),
            looked_for,
        ],
        "check the path.",
    )


@contextlib.contextmanager
def unpacked(checkpoint: Path) -> Iterator[Path]:
    """The checkpoint itself, or where its archive is unpacked for the time being.

    Raises:
      CheckpointError: the archive cannot be read.
      UnsafeCheckpointError: it would write elsewhere.
    """
    if not is_archive(checkpoint):
        yield checkpoint
        return
    from hubexport.checkpoints.archive import extract

    with tempfile.TemporaryDirectory(prefix="hubexport-") as directory:
        yield extract(checkpoint, Path(directory))

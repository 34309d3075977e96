"""`hubexport encoder` with the files of a tokenizer, for the artifact to carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hubexport
from hubexport import cli
from hubexport.exporting.tokenizer_files import read_tokenizer_files
from hubexport.tokenizers.tables.sentencepiece_proto import (
    CONTROL,
    UNIGRAM,
    UNKNOWN,
    Piece,
    build_charsmap,
    build_sentencepiece_model,
)
from tests import artifacts, tiny
from tests.cards.rendering.exported import MAKERS

PREPROCESSORS = {
    "wordpiece bert": {"vocab_file"},
    "byte_level_bpe gpt2": {"vocab_file", "merges_file"},
    "bpe openai-gpt": {"vocab_file", "merges_file"},
    "xlm xlm": {"vocab_file", "merges_file"},
    "transformer_xl transfo-xl": {"vocab_file"},
    "sentencepiece xlnet": {"tokenizer_file"},
}
"""One of each kind, and the files that an encoder carries of it."""
FLAGS = ("tokenizer", "vocab_file", "sp_model_file", "model_type", "do_lower_case", "language")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = {**tiny.CONFIG, "vocab_size": 400}
    return tiny.write_checkpoint(tmp_path_factory.mktemp("tokenizers"), config)


def export(checkpoint: Path, target: Path, *flags: str) -> dict[str, Any]:
    assert (
        cli.run(["encoder", f"--checkpoint={checkpoint}", f"--export_path={target}", *flags]) == 0
    )
    return hubexport.load_record(target)


def as_flags(arguments: dict[str, Any]) -> list[str]:
    flags = []
    for name in FLAGS:
        value = arguments.get(name)
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no{name}")
        elif value is not None:
            flags.append(f"--{name}={value}")
    return flags


def _name(flag: str) -> str:
    name = flag.removeprefix("--").partition("=")[0]
    return name.removeprefix("no") if name not in FLAGS else name


def named(value: Any) -> Any:
    """As the record has it: a path by its last part."""
    return value.name if isinstance(value, Path) else value


def carried(target: Path) -> dict[str, bytes]:
    """Attribute of the loaded encoder -> content of the asset behind it."""
    import tensorflow as tf

    encoder = tf.saved_model.load(str(target))
    names = [name for name in dir(encoder) if name.endswith("_file")]
    return {
        name: Path(getattr(encoder, name).asset_path.numpy().decode()).read_bytes()
        for name in names
    }


def sentencepiece(path: Path, *specials: str) -> Path:
    pieces = [Piece(piece, 0, CONTROL) for piece in specials]
    pieces += [Piece("<unk>", 0, UNKNOWN), *(Piece(letter, -2.0) for letter in "\u2581abcde")]
    path.write_bytes(
        build_sentencepiece_model(
            pieces,
            model_type=UNIGRAM,
            unk_id=len(specials),
            charsmap=build_charsmap({b"A": b"A"}),
            add_dummy_prefix=True,
            remove_extra_whitespaces=True,
            escape_whitespaces=True,
        )
    )
    return path


@pytest.mark.parametrize(
    "name",
    [
        "sentencepiece xlnet",
        *(
            pytest.param(name, marks=pytest.mark.exhaustive)
            for name in PREPROCESSORS
            if name != "sentencepiece xlnet"
        ),
    ],
)
def test_files_of_every_kind(
    name: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What makes a preprocessor, given to an encoder with the same flags."""
    if name.split()[0] in ("byte_level_bpe", "sentencepiece"):
        pytest.importorskip("tokenizers")
    given: dict[str, Any] = {}
    monkeypatch.setattr(
        artifacts, "export_preprocessor", lambda **arguments: given.update(arguments)
    )
    make = next(make for each, make in MAKERS.items() if each.startswith(f"{name} "))
    make(tmp_path, tmp_path / "preprocessor")
    record = export(checkpoint, tmp_path / "encoder", *as_flags(given))
    tokenizer = record["tokenizer"]
    kind, model_type = name.split()
    assert (tokenizer["kind"], tokenizer["model_type"]) == (kind, model_type)
    found = carried(tmp_path / "encoder")
    assert found.keys() == PREPROCESSORS[name]
    for attribute, content in found.items():
        source = tmp_path / tokenizer["files"][attribute]["name"]
        assert content == source.read_bytes()
    stated = [flag for flag in record["command"] if _name(flag) in FLAGS]
    assert stated == as_flags({name: named(value) for name, value in given.items()})


def test_sentencepiece_model_with_casing(checkpoint: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    model = sentencepiece(tmp_path / "30k.model", "<pad>", "[CLS]", "[SEP]", "[MASK]")
    flags = (f"--sp_model_file={model}", "--do_lower_case")
    record = export(checkpoint, tmp_path / "out", *flags)
    assert record["tokenizer"]["model_type"] == "albert"
    assert record["tokenizer"]["do_lower_case"] is True
    assert record["tokenizer"]["do_lower_case_reason"] == "--do_lower_case"
    assert {"--sp_model_file=30k.model", "--do_lower_case"} <= set(record["command"])
    assert carried(tmp_path / "out") == {"sp_model_file": model.read_bytes()}
    assert bool(tf.saved_model.load(str(tmp_path / "out")).do_lower_case.numpy()) is True


def test_vocabulary_without_mask(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is exported with encoders and as a preprocessor, and everybody is told."""
    import tensorflow as tf

    pieces = tiny.write_vocabulary(tmp_path / "all.txt").read_text().split("\n")
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(piece for piece in pieces if piece != "[MASK]"))
    flags = (f"--vocab_file={vocabulary}", "--do_lower_case")
    absent = "the vocabulary has no [MASK]: there is no mask_id"
    useless = "the head predicts masked tokens, and the vocabulary has no token to mask with"

    record = export(checkpoint, tmp_path / "encoder", *flags)
    assert {absent, useless} <= set(record["warnings"])
    assert f"warning: {useless}" in capsys.readouterr().err
    assert "mask_id" not in record["tokenizer"]["special_tokens"]
    files = read_tokenizer_files(vocab_file=vocabulary, options={"do_lower_case": True})
    without_head = list(files.warnings(400, predicts_masked=False))
    assert absent in without_head and useless not in without_head

    assert cli.run(["preprocessor", *flags, f"--export_path={tmp_path / 'preprocessor'}"]) == 0
    assert f"warning: {absent}" in capsys.readouterr().err
    record = hubexport.load_record(tmp_path / "preprocessor")
    assert absent in record["warnings"]
    assert "mask_id" not in record["tokenizer"]["special_tokens"]
    preprocessor = tf.saved_model.load(str(tmp_path / "preprocessor"))
    special = preprocessor.tokenize.get_special_tokens_dict()
    assert {name: int(value) for name, value in special.items()} == {
        "vocab_size": 49, "padding_id": 0, "start_of_sequence_id": 2, "end_of_segment_id": 3
    }  # fmt: skip
    packed = preprocessor(tf.constant(["[MASK] a"]))["input_word_ids"].numpy()[0]
    assert packed[:3].tolist() == [2, 1, packed[2]], "brackets and MASK have no pieces"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--do_lower_case"], "say nothing about an encoder without its files"),
        (["--model_type=bert"], "say nothing about an encoder without its files"),
        (["--vocab_file=a", "--sp_model_file=b"], "given in one way"),
        (["--vocab_file={vocab}", "--language=en"], "flags: --language"),
        (["--sp_model_file={other}"], "it is not known what model the tokenizer belongs to"),
        (["--sp_model_file={model}"], "--nodo_lower_case"),
    ],
)
def test_errors(
    flags: list[str], message: str, checkpoint: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    places = {
        "vocab": tiny.write_vocabulary(tmp_path / "vocab.txt"),
        "other": sentencepiece(tmp_path / "other.model", "<s>", "</s>"),
        "model": sentencepiece(tmp_path / "30k.model", "<pad>", "[CLS]", "[SEP]", "[MASK]"),
    }
    flags = [flag.format(**places) for flag in flags]
    target = tmp_path / "out"
    code = cli.run(["encoder", f"--checkpoint={checkpoint}", f"--export_path={target}", *flags])
    assert code == 2
    assert message in capsys.readouterr().err
    assert not target.exists()

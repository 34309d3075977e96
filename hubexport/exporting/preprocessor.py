"""From a vocabulary to a text preprocessor on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from hubexport.errors import UsageError
from hubexport.saved_model.finish import PROGRAM, finish, read_fingerprint
from hubexport.saved_model.reading import read_saved_model
from hubexport.saved_model.record import check_time, environment, source_file, write_record
from hubexport.saved_model.target import check_target, staged_directory
from hubexport.tokenizers import sentencepiece_model, vocabulary
from hubexport.tokenizers.casing import TOKENIZER_CONFIG, decide_lower_case

Model: TypeAlias = vocabulary.Vocabulary | sentencepiece_model.SentencePieceModel

MINIMUM_SEQ_LENGTH = 3
"""Start, end and one token; or the three special tokens of two segments."""
MAXIMUM_SEQ_LENGTH = 1 << 20
"""Far beyond any encoder's positions: more is a slip of the keyboard."""


def export_preprocessor(
    *,
    export_path: str | Path,
    vocab_file: str | Path | None = None,
    sp_model_file: str | Path | None = None,
    do_lower_case: bool | None = None,
    default_seq_length: int = 128,
    tokenize_with_offsets: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a preprocessor SavedModel; all or nothing.

    TensorFlow is imported once the arguments and the vocabulary have been found to be good.

    Args:
      export_path: the directory to make.
      vocab_file: a WordPiece vocabulary, as BERT uses them.
      sp_model_file: a SentencePiece model, as ALBERT uses them. Exactly one of the two is needed.
      do_lower_case: None to decide by evidence, see `hubexport.tokenizers.casing`.
      default_seq_length: of the root object, and of `.bert_pack_inputs` unless told otherwise.
      tokenize_with_offsets: whether to add that sub-object; WordPiece only.
      overwrite: whether an existing export_path is replaced.

    Returns:
      The record, as written to assets.extra/hubexport.json.

    Raises:
      UsageError: arguments that do not go together, or casing that is not known.
      VocabularyError: a vocabulary or model that cannot be used.
      ConfigurationError: an unreadable tokenizer_config.json beside it.
      ExportPathError: export_path cannot be written, or exists and overwrite is False.
    """
    check_time()
    _check_arguments(vocab_file, sp_model_file, default_seq_length, tokenize_with_offsets)
    sources = [Path(file) for file in (vocab_file, sp_model_file) if file]
    sources += [file.parent / TOKENIZER_CONFIG for file in sources]
    check_target(Path(export_path), overwrite=overwrite, sources=sources)
    model, special, pieces = _read(vocab_file, sp_model_file)
    casing = decide_lower_case(do_lower_case, model)
    attribute = "vocab_file" if vocab_file else "sp_model_file"
    config = model.path.parent / TOKENIZER_CONFIG
    record: dict[str, Any] = {
        "kind": "preprocessor",
        "tokenizer": {
            "kind": "wordpiece" if vocab_file else "sentencepiece",
            "attribute": attribute,
            "file": source_file(model.path),
            "tokenizer_config": source_file(config) if config.is_file() else None,
            "vocab_size": len(model.pieces),
            "do_lower_case": casing.lower_case,
            "do_lower_case_reason": casing.reason,
            "special_tokens": {
                **{name: {"piece": piece, "id": special[name]} for name, piece in pieces.items()},
                "unknown_id": {"piece": model.pieces[model.unknown_id], "id": model.unknown_id},
            },
        },
        "default_seq_length": default_seq_length,
        "tokenize_with_offsets": tokenize_with_offsets,
        "warnings": casing.warnings,
        "command": [
            "hubexport",
            "preprocessor",
            # By its name only: where the file lay is no part of the artifact.
            f"--{attribute}={model.path.name}",
            "--do_lower_case" if casing.lower_case else "--nodo_lower_case",
            f"--default_seq_length={default_seq_length}",
            "--tokenize_with_offsets" if tokenize_with_offsets else "--notokenize_with_offsets",
        ],
    }
    with staged_directory(Path(export_path), overwrite=overwrite) as directory:
        _save(
            directory,
            model,
            casing.lower_case,
            special,
            default_seq_length,
            tokenize_with_offsets,
            {attribute: model.path},
        )
        finish(directory)
        record["saved_model"] = {
            "fingerprint": read_fingerprint(directory),
            "program": source_file(directory / PROGRAM),
            **read_saved_model(directory).record(),
        }
        record["environment"] = environment()
        return write_record(directory, record)


def _check_arguments(
    vocab_file: str | Path | None,
    sp_model_file: str | Path | None,
    default_seq_length: int,
    tokenize_with_offsets: bool,
) -> None:
    """Raises UsageError for what no file content could make right."""
    if bool(vocab_file) == bool(sp_model_file):
        raise UsageError(
            "a preprocessor is made from one vocabulary",
            [
                ("--vocab_file", str(vocab_file or "not passed")),
                ("--sp_model_file", str(sp_model_file or "not passed")),
            ],
            "pass --vocab_file (WordPiece, as BERT) or --sp_model_file (SentencePiece, as ALBERT).",
        )
    if (
        not isinstance(default_seq_length, int)
        or not MINIMUM_SEQ_LENGTH <= default_seq_length <= MAXIMUM_SEQ_LENGTH
    ):
        raise UsageError(
            "the default sequence length is none that encoder inputs can have",
            [
                ("--default_seq_length", repr(default_seq_length)),
                ("possible", f"{MINIMUM_SEQ_LENGTH} to {MAXIMUM_SEQ_LENGTH:,}"),
            ],
            "pass what the encoder takes, often 128 and at most its number of positions.",
        )
    if tokenize_with_offsets and sp_model_file:
        raise UsageError(
            "there are no offsets for SentencePiece models",
            [
                ("--sp_model_file", str(sp_model_file)),
                (
                    "reason",
                    "diacritics are stripped first, so offsets would be those of another text",
                ),
            ],
            "leave out --tokenize_with_offsets.",
        )


def _read(
    vocab_file: str | Path | None, sp_model_file: str | Path | None
) -> tuple[Model, dict[str, int], dict[str, str]]:
    """The checked tokenizer model, its special ids, and the pieces that they belong to."""
    if vocab_file:
        words = vocabulary.read_wordpiece(vocab_file)
        return words, vocabulary.special_tokens(words), vocabulary.SPECIAL_PIECES
    assert sp_model_file
    pieces = sentencepiece_model.read_sentencepiece(sp_model_file)
    special = sentencepiece_model.special_tokens(pieces)
    return pieces, special, sentencepiece_model.SPECIAL_PIECES


def _save(
    directory: Path,
    model: Model,
    lower_case: bool,
    special: dict[str, int],
    default_seq_length: int,
    tokenize_with_offsets: bool,
    assets: dict[str, Path],
) -> None:
    """Builds the preprocessor and writes its SavedModel."""
    from hubexport.saved_model.saving import save
    from hubexport.tokenizers.preprocessor import Preprocessor, make_tokenizer

    def make() -> tuple[Preprocessor, dict[str, Any]]:
        preprocessor = Preprocessor(
            make_tokenizer(model, lower_case),
            special_tokens=special,
            default_seq_length=default_seq_length,
            tokenize_with_offsets=tokenize_with_offsets,
            assets=assets,
        )
        return preprocessor, preprocessor.signatures()

    save(make, directory)

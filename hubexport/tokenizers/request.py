"""Which tokenizer files there are, and what type of model they belong to.

The type is said with a flag, stated by a file beside the vocabulary, or known by the special pieces
that only one type has. It is never guessed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hubexport.errors import ConfigurationError, UsageError, some_of
from hubexport.tokenizers import casing, hugging_face
from hubexport.tokenizers.conventions import CONVENTIONS
from hubexport.tokenizers.sentencepiece import model as sentencepiece_model

# Files of a directory without tokenizer.json, the first group that is there counts.
_GROUPS = (
    ("vocab.json", "merges.txt"),
    ("vocab.json", "codes"),
    ("encoder.json", "vocab.bpe"),
    ("vocab.txt",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("tokenizer.model",),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenizerOptions:
    """What the user may say of a tokenizer; None where the files are to tell.

    Attributes:
      model_type: a key of `CONVENTIONS`.
      do_lower_case: whether text is lower-cased.
      strip_accents: whether accents are removed; as do_lower_case if neither it nor a file tells.
      special_tokens_in_text: whether literal special tokens are recognised.
      language: of the text, for Moses tokenizers.
      normalization: "exact", or "tfhub" for what tensorflow_text's stock ops do.
    """

    model_type: str | None = None
    do_lower_case: bool | None = None
    strip_accents: bool | None = None
    special_tokens_in_text: bool = True
    language: str | None = None
    normalization: str = "exact"


@dataclasses.dataclass(frozen=True)
class Request:
    """The files to read, the options, and what the JSON files beside them say."""

    files: tuple[Path, ...]
    directory: hugging_face.TokenizerDirectory
    options: TokenizerOptions

    @property
    def json_file(self) -> bool:
        """Whether everything is in a tokenizer.json."""
        return self.files[0].name == hugging_face.TOKENIZER_JSON


def make_request(
    vocab_file: Path | None,
    sp_model_file: Path | None,
    tokenizer: Path | None,
    options: TokenizerOptions,
) -> Request:
    """The files of a tokenizer that was given in one of three ways.

    Raises:
      UsageError: it was given in none, or in several.
      VocabularyError: the directory holds no tokenizer.
    """
    given = [path for path in (vocab_file, sp_model_file, tokenizer) if path]
    if len(given) != 1:
        raise UsageError(
            "a tokenizer is given in one way",
            [
                ("--vocab_file", str(vocab_file or "not passed")),
                ("--sp_model_file", str(sp_model_file or "not passed")),
                ("--tokenizer", str(tokenizer or "not passed")),
            ],
            "pass --vocab_file (WordPiece, as BERT), --sp_model_file (SentencePiece, as ALBERT) or "
            "--tokenizer (a directory with tokenizer files).",
        )
    if tokenizer is None:
        beside = hugging_face.read_directory(given[0].parent, only=(casing.TOKENIZER_CONFIG,))
        return Request((given[0],), beside, options)
    directory = hugging_face.read_directory(tokenizer)
    stock = options.normalization == "tfhub"
    if directory.tokenizer_json is not None and not stock:
        return Request((directory.path / hugging_face.TOKENIZER_JSON,), directory, options)
    for group in _GROUPS:
        files = tuple(directory.path / name for name in group)
        if all(file.is_file() for file in files):
            return Request(files, directory, options)
    found = sorted(file.name for file in directory.path.iterdir())
    raise UsageError(
        "the directory has no tokenizer files",
        [
            ("--tokenizer", str(tokenizer)),
            ("found", some_of(found) if found else "nothing"),
            (
                "needed",
                "; or ".join(" and ".join(group) for group in (("tokenizer.json",), *_GROUPS)),
            ),
        ],
        "pass a directory as Hugging Face's save_pretrained writes it, or a single file with "
        "--vocab_file or --sp_model_file.",
    )


def find_model_type(request: Request) -> str:
    """The model type: said, stated by a file, or known by its special pieces."""
    options = request.options
    if options.model_type is not None:
        if options.model_type not in CONVENTIONS:
            raise UsageError(
                "the model type is not known",
                [("--model_type", options.model_type), ("known", ", ".join(sorted(CONVENTIONS)))],
                "pass the one whose tokenizer this is; LAMBERT and small BERT share bert's.",
            )
        if CONVENTIONS[options.model_type].kind not in _kinds(request):
            raise UsageError(
                "the files are not of that type of model",
                [
                    ("--model_type", options.model_type),
                    ("files", ", ".join(map(str, request.files))),
                    ("tokenizers of that type", CONVENTIONS[options.model_type].kind),
                    ("the files can be", ", ".join(sorted(_kinds(request)))),
                ],
                "pass another --model_type, or the files that belong to this one.",
            )
        return options.model_type
    kinds = _kinds(request)
    stated = request.directory.model_type()
    if stated is not None and CONVENTIONS[stated].kind in kinds:
        return stated
    pieces = {piece for piece in raw_pieces(request) if isinstance(piece, str)}
    possible = [name for name, convention in CONVENTIONS.items() if convention.kind in kinds]
    # The one that explains the most special pieces: RoBERTa's vocabulary also has GPT-2's.
    evidence = {name: CONVENTIONS[name].evidence(pieces) for name in possible}
    most = max(evidence.values(), default=0)
    best = [name for name in possible if most and evidence[name] == most]
    if len({id(CONVENTIONS[name]) for name in best}) == 1:
        return best[0]
    if not best and "wordpiece" in kinds:
        return "bert"  # the reader says what is wrong with the vocabulary
    raise UsageError(
        "it is not known what model the tokenizer belongs to",
        [
            ("files", ", ".join(map(str, request.files))),
            ("special pieces of", ", ".join(best) if best else "no known model type"),
        ],
        f"pass --model_type, one of {', '.join(possible)}.",
    )


def _kinds(request: Request) -> set[str]:
    """The kinds of tokenizers that the files can be."""
    name = request.files[0].name
    content = request.directory.tokenizer_json
    if request.json_file and content is not None:
        stated = content.get("model")
        model: dict[str, Any] = stated if isinstance(stated, dict) else {}
        kind = str(model.get("type"))
        if kind == "BPE":
            return {"bpe" if model.get("end_of_word_suffix") else "byte_level_bpe"}
        kinds = {"WordPiece": {"wordpiece"}, "Unigram": {"sentencepiece"}}
        if kind not in kinds:
            raise ConfigurationError(
                "tokenizer.json holds a kind of tokenizer that is not supported",
                [("file", str(request.files[0])), ("found", f"model of type {json.dumps(kind)}")],
                "WordPiece, BPE (byte-level, or GPT's) and Unigram are supported.",
            )
        return kinds[kind]
    if name.endswith(".json"):
        return {"byte_level_bpe", "bpe", "xlm"}
    if name.endswith(".model"):
        return {"sentencepiece"}
    return {"wordpiece", "transformer_xl"}


def raw_pieces(request: Request) -> Sequence[str]:
    """All pieces, read without regard to what they are for."""
    path = request.files[0]
    content = request.directory.tokenizer_json
    if request.json_file and content is not None:
        model = content.get("model")
        pieces = model.get("vocab") if isinstance(model, dict) else None
        added = content.get("added_tokens")
        added = added if isinstance(added, list) else []
        names = [entry.get("content") for entry in added if isinstance(entry, dict)]
        if isinstance(pieces, list):
            return [*(entry[0] for entry in pieces if isinstance(entry, list) and entry), *names]
        return [*(pieces if isinstance(pieces, dict) else ()), *names]
    if path.suffix == ".json":
        try:
            return list(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return []  # the reader of the kind explains it
    if path.suffix == ".model":
        return sentencepiece_model.read_sentencepiece(path).pieces
    return path.read_text("utf-8", "replace").split("\n") if path.is_file() else []

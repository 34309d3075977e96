"""Whether a tokenizer lower-cases: decided by a flag or by evidence, never by a file's name.

The evidence, for WordPiece vocabularies, in this order:

1. `tokenizer_config.json` beside the vocabulary, where it says `do_lower_case`.
2. The pieces themselves. Lower-casing would make every piece with an upper-case letter
   unreachable, so a vocabulary with such pieces was made for cased text. The reverse takes
   numbers: only among at least 1,000 pieces with cased letters does the absence of upper case
   mean something (a cased vocabulary of that size has hundreds). Between the two - fewer letters,
   or a handful of upper-case pieces among thousands, as people add by hand - there is no evidence.

A SentencePiece model may fold case in its own normalizer, so its pieces are not evidence for what
to do before it: only the flag and `tokenizer_config.json` count. (Upper case in them still speaks
against a flag that asks for lower-casing.) Evidence that contradicts itself
decides nothing. A flag always wins; what speaks against it is reported as a warning.

Nothing here imports TensorFlow.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from hubexport.errors import ConfigurationError, UsageError, some_of
from hubexport.tokenizers.sentencepiece.model import SentencePieceModel
from hubexport.tokenizers.wordpiece.vocabulary import Vocabulary

TOKENIZER_CONFIG = "tokenizer_config.json"
SENTENCE_CONFIG = "sentence_bert_config.json"

MINIMUM_FOR_UNCASED = 1_000
"""So many pieces with cased letters must be there for the absence of upper case to count."""

MINIMUM_SHARE_FOR_CASED = 0.01
"""Such a part of the pieces with cased letters must have upper case for it to count."""

# [CLS], [unused7], <pad>: never compared with text, so their letters say nothing about it.
_SPECIAL = re.compile(r"\[.*\]|<.*>", re.DOTALL)
_PASS_A_FLAG = "pass --do_lower_case or --nodo_lower_case, as the checkpoint was trained."


class Casing(NamedTuple):
    """What was decided.

    Attributes:
      lower_case: whether text is lower-cased before it is split.
      reason: what decided it, as the record and the summary quote it.
      warnings: sentences about what speaks against it or is not followed; usually none.
    """

    lower_case: bool
    reason: str
    warnings: list[str]


@dataclasses.dataclass(frozen=True)
class LetterCase:
    """The letters of a vocabulary's pieces, special ones left out.

    Attributes:
      cased: how many pieces have letters that exist in upper and lower case.
      upper: how many of them have an upper-case letter.
      examples: the first few of the latter.
    """

    cased: int
    upper: int
    examples: tuple[str, ...]

    @property
    def lower_case(self) -> bool | None:
        """What the pieces say about lower-casing; None if nothing. The rule: see the module."""
        if self.upper:
            return False if self.upper >= MINIMUM_SHARE_FOR_CASED * self.cased else None
        return True if self.cased >= MINIMUM_FOR_UNCASED else None

    def __str__(self) -> str:
        what = f"{self.upper:,} of {self.cased:,} pieces with cased letters have upper case"
        return f"{what} ({some_of(self.examples, 4)})" if self.upper else what


def letter_case_evidence(pieces: Iterable[str]) -> LetterCase:
    """Counts the pieces with cased and with upper-case letters."""
    cased, upper = 0, []
    for piece in pieces:
        lower = piece.lower()
        if (piece == lower and piece == piece.upper()) or _SPECIAL.fullmatch(piece):
            continue
        cased += 1
        if piece != lower:
            upper.append(piece)
    return LetterCase(cased, len(upper), tuple(upper[:4]))


def decide_lower_case(
    flag: bool | None,
    vocabulary: Vocabulary | SentencePieceModel,
    directory: Path | None = None,
    followed: Container[str] = (),
) -> Casing:
    """Whether to lower-case, with the reason.

    Args:
      flag: what the user said; None if nothing.
      vocabulary: what the tokenizer is built from.
      directory: where `tokenizer_config.json` is looked for; the vocabulary's own by default.
      followed: other settings in it that the tokenizer follows, of which nobody is warned.

    Returns:
      (lower_case, reason, warnings).

    Raises:
      UsageError: no flag, and no evidence or contradicting evidence.
      ConfigurationError: `tokenizer_config.json` cannot be read.
    """
    config_path = (directory or vocabulary.path.parent) / TOKENIZER_CONFIG
    config = _read_config(config_path)
    configured = config.get("do_lower_case")
    letters = letter_case_evidence(vocabulary.pieces)
    if flag is not None:
        casing = _decided_by_flag(flag, configured, _said_by(vocabulary, letters), letters)
    elif isinstance(vocabulary, SentencePieceModel):
        casing = _decided_for_sentencepiece(configured, vocabulary.path, config_path)
    else:
        casing = _decided_by_evidence(configured, letters, vocabulary.path, config_path)
    casing.warnings.extend(_not_followed(config, casing.lower_case, followed))
    sentence_config = _read_config(config_path.with_name(SENTENCE_CONFIG))
    if sentence_config.get("do_lower_case") and not casing.lower_case:
        casing.warnings.append(
            f"{SENTENCE_CONFIG} says do_lower_case: true: sentence-transformers lower-cases text "
            "before it is tokenized; this tokenizer does not."
        )
    return casing


def _said_by(vocabulary: Vocabulary | SentencePieceModel, letters: LetterCase) -> bool | None:
    """What the pieces say; lower-case ones of a SentencePiece model say nothing, see the module."""
    if isinstance(vocabulary, SentencePieceModel) and letters.lower_case:
        return None
    return letters.lower_case


def _decided_by_flag(
    flag: bool, configured: bool | None, by_pieces: bool | None, letters: LetterCase
) -> Casing:
    reason = "--do_lower_case" if flag else "--nodo_lower_case"
    warnings = []
    if configured is not None and configured != flag:
        warnings.append(
            f"{reason} was passed, but {TOKENIZER_CONFIG} says do_lower_case: "
            f"{json.dumps(configured)}."
        )
    if by_pieces is not None and by_pieces != flag:
        warnings.append(f"{reason} was passed, but in the vocabulary {letters}.")
    return Casing(flag, reason, warnings)


def _decided_for_sentencepiece(configured: bool | None, path: Path, config_path: Path) -> Casing:
    if configured is not None:
        return _decided_by_config(configured)
    raise UsageError(
        "it is not known whether to lower-case",
        [
            ("model", str(path)),
            (TOKENIZER_CONFIG, _about(config_path)),
            ("note", "the pieces of a SentencePiece model do not tell"),
        ],
        _PASS_A_FLAG,
    )


def _decided_by_evidence(
    configured: bool | None, letters: LetterCase, path: Path, config_path: Path
) -> Casing:
    by_pieces = letters.lower_case
    if configured is not None and by_pieces is not None and configured != by_pieces:
        raise UsageError(
            "the evidence on lower-casing contradicts itself",
            [
                ("vocabulary", f"{path}: {letters}"),
                (TOKENIZER_CONFIG, f"do_lower_case: {json.dumps(configured)}"),
            ],
            _PASS_A_FLAG,
        )
    if configured is not None:
        return _decided_by_config(configured)
    if by_pieces is not None:
        return Casing(by_pieces, f"in the vocabulary {letters}", [])
    raise UsageError(
        "it is not known whether to lower-case",
        [
            ("vocabulary", f"{path}: {letters}"),
            (TOKENIZER_CONFIG, _about(config_path)),
            (
                "enough would be",
                f"{MINIMUM_SHARE_FOR_CASED:.0%} with upper case, or none of at least "
                f"{MINIMUM_FOR_UNCASED:,}",
            ),
        ],
        _PASS_A_FLAG,
    )


def _decided_by_config(configured: bool) -> Casing:
    return Casing(configured, f"{TOKENIZER_CONFIG}: do_lower_case {json.dumps(configured)}", [])


def _about(config_path: Path) -> str:
    found = "does not say do_lower_case" if config_path.is_file() else "is not there"
    return f"{found} ({config_path})"


def _not_followed(config: dict[str, Any], lower_case: bool, followed: Container[str]) -> list[str]:
    """Settings of Hugging Face tokenizers that ask for more than casing and are not followed."""
    done = {
        # BERT's lower-casing includes the accents; its cased form leaves both.
        "strip_accents": lower_case,
        "tokenize_chinese_chars": True,
        "keep_accents": False,
    }
    return [
        f"{TOKENIZER_CONFIG} says {name}: {json.dumps(config[name])}, which is not followed."
        for name, value in done.items()
        if isinstance(config.get(name), bool) and config[name] != value and name not in followed
    ]


def _read_config(path: Path) -> dict[str, Any]:
    """The content of such a configuration; {} if there is none."""
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
        problem = None if isinstance(config, dict) else "it is not a JSON object"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        config, problem = {}, str(error)
    if problem is None and not isinstance(config.get("do_lower_case"), bool | None):
        problem = f"do_lower_case is {json.dumps(config['do_lower_case'])}, not true or false"
    if problem:
        raise ConfigurationError(
            f"{path.name} beside the vocabulary cannot be used",
            [("file", str(path)), ("found", problem)],
            "fix it, or move the vocabulary to a directory without it.",
        )
    return config

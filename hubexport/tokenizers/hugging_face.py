"""What the files beside a vocabulary say of special tokens and packing.

Files of Hugging Face tokenizers: `tokenizer.json`, `tokenizer_config.json`,
`special_tokens_map.json`, `added_tokens.json`, and the model's `config.json`. What is not followed
exactly is an error.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hubexport.errors import ConfigurationError, some_of
from hubexport.tokenizers.added_tokens import overlapping
from hubexport.tokenizers.conventions import CONVENTIONS
from hubexport.tokenizers.definition import AddedToken, PackingTemplate, Segment, Token

TOKENIZER_JSON = "tokenizer.json"
_OTHERS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "config.json",
)
# Standard name -> name in the files.
_ROLES = {
    "padding_id": "pad_token",
    "start_of_sequence_id": "cls_token",
    "end_of_segment_id": "sep_token",
    "mask_id": "mask_token",
}
# Models that pack with others than cls and sep.
_OTHER_ROLES = {
    "xlm": {"start_of_sequence_id": "bos_token"},
    "t5": {"end_of_segment_id": "eos_token"},
}
_SUFFIXES = ("Fast", "Tokenizer")


@dataclasses.dataclass(frozen=True)
class TokenizerDirectory:
    """The JSON files of a directory.

    Attributes:
      path: the directory.
      contents: name of a file -> its content, of those that are there.
    """

    path: Path
    contents: Mapping[str, dict[str, Any]]

    @property
    def tokenizer_json(self) -> dict[str, Any] | None:
        """The content of tokenizer.json, if there is one."""
        return self.contents.get(TOKENIZER_JSON)

    def files(self) -> tuple[Path, ...]:
        """The files that say something here."""
        return tuple(self.path / name for name in self.contents)

    def said(self, name: str) -> Any:
        """A setting of tokenizer_config.json; None if there is none."""
        return self.contents.get("tokenizer_config.json", {}).get(name)

    def model_type(self) -> str | None:
        """The model type that config.json or tokenizer_config.json states, if it is a known one."""
        stated = self.contents.get("config.json", {}).get("model_type")
        if isinstance(stated, str) and stated in CONVENTIONS:
            return stated
        name = str(self.said("tokenizer_class") or "")
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        known = {model_type.replace("-", ""): model_type for model_type in CONVENTIONS}
        return known.get(name.lower())

    def special_pieces(self, model_type: str = "") -> dict[str, str]:
        """Standard name -> piece, as far as the files tell."""
        pieces = {}
        roles = {**_ROLES, **_OTHER_ROLES.get(model_type, {})}
        for file in ("special_tokens_map.json", "tokenizer_config.json"):
            for standard, role in roles.items():
                stated = self.contents.get(file, {}).get(role)
                content = stated.get("content") if isinstance(stated, dict) else stated
                if isinstance(content, str):
                    pieces[standard] = content
        return pieces

    def added_tokens(self, recognised: bool = True) -> tuple[AddedToken, ...] | None:
        """The literals recognised in text; None if no file lists them.

        Args:
          recognised: whether text will be searched for them; if not, it does not matter how.

        Raises:
          ConfigurationError: some are recognised in a way that is not supported.
        """
        if self.tokenizer_json is not None:
            entries = self.tokenizer_json.get("added_tokens") or []
            normalizes = self.tokenizer_json.get("normalizer") is not None
        else:
            decoder = self.said("added_tokens_decoder")
            if not isinstance(decoder, dict):
                return None
            entries = [{"id": number, **_object(entry)} for number, entry in decoder.items()]
            normalizes = True
        try:
            tokens = [_added_token(entry, normalizes) for entry in entries]
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                "the added tokens cannot be read",
                [("directory", str(self.path)), ("found", f"{type(error).__name__}: {error}")],
                "pass the files as they were published.",
            ) from error
        refused = [f"{token.content!r} ({reason})" for token, reason in tokens if reason]
        if not normalizes:
            late = [e["content"] for e in entries if e.get("normalized", not e.get("special"))]
            refused += overlapping([token for token, _ in tokens], late)
        if refused and recognised:
            raise ConfigurationError(
                "some added tokens are recognised in a way that is not supported",
                [("directory", str(self.path)), ("not supported", some_of(refused))],
                "pass --nospecial_tokens_in_text to `hubexport preprocessor`: it takes all of them "
                "for text then.",
            )
        return tuple(token for token, _ in tokens)

    def ordinary_tokens(self) -> list[str]:
        """The added tokens that are not special."""
        entries = (self.tokenizer_json or {}).get("added_tokens") or []
        entries = [e for e in entries if isinstance(e, dict)]
        return [str(e.get("content")) for e in entries if not e.get("special")]

    def sides(self) -> tuple[Any, Any]:
        """The sides on which texts are padded and cut off; None where no file says it.

        Raises:
          ConfigurationError: texts are cut off at their beginning.
        """
        stored = self.tokenizer_json or {}
        sides = []
        for setting, section in (("padding_side", "padding"), ("truncation_side", "truncation")):
            value, stated = self.said(setting), stored.get(section)
            if value is None and isinstance(stated, dict):
                value = str(stated.get("direction", "")).lower() or None
            sides.append(value)
        padding, truncation = sides
        if truncation not in (None, "right"):
            raise ConfigurationError(
                "texts that are too long would lose their end, not their beginning",
                [("directory", str(self.path)), ("truncation_side", json.dumps(truncation))],
                "if that is meant, set truncation_side to right in tokenizer_config.json.",
            )
        return padding, truncation

    def packing(
        self, padding_id: int, padding_type_id: int, padding_side: Literal["right", "left"]
    ) -> PackingTemplate | None:
        """The packing that tokenizer.json states; None if it states none.

        Raises:
          ConfigurationError: it is of a form that is not supported.
        """
        if self.tokenizer_json is None:
            return None
        post_processor = self.tokenizer_json.get("post_processor")
        try:
            templates = _templates(post_processor)
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError) as error:
            raise ConfigurationError(
                "the post_processor of tokenizer.json is not supported",
                [
                    ("file", str(self.path / TOKENIZER_JSON)),
                    ("found", json.dumps(post_processor)[:200]),
                    ("problem", f"{type(error).__name__}: {error}"),
                ],
                "use one of BertProcessing, RobertaProcessing, ByteLevel and TemplateProcessing.",
            ) from error
        if templates is None:
            return None
        return PackingTemplate(*templates, padding_id, padding_type_id, padding_side)


def read_directory(path: Path, only: Sequence[str] = ()) -> TokenizerDirectory:
    """Reads the JSON files of a directory, or of that of a tokenizer.json.

    Args:
      path: the directory or tokenizer.json.
      only: the names of those to look at; all of them by default.

    Raises:
      ConfigurationError: there is no such directory, or a file is not a JSON object.
    """
    directory = path.parent if path.name == TOKENIZER_JSON else path
    if not directory.is_dir():
        raise ConfigurationError(
            "there is no such tokenizer",
            [("--tokenizer", str(path))],
            "pass a directory with tokenizer files, such as tokenizer.json or vocab.txt.",
        )
    contents = {}
    for name in only or (TOKENIZER_JSON, *_OTHERS):
        file = directory / name
        if not file.is_file():
            continue
        try:
            content = json.loads(file.read_text("utf-8"))
            problem = "" if isinstance(content, dict) else "it is not a JSON object"
        except (OSError, ValueError, RecursionError) as error:
            content, problem = {}, str(error)
        if problem:
            raise ConfigurationError(
                f"{name} cannot be read",
                [("file", str(file)), ("found", problem)],
                "fix it, or copy or download it again.",
            )
        contents[name] = content
    return TokenizerDirectory(directory, contents)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a JSON object")
    return value


def _added_token(entry: Any, normalizes: bool) -> tuple[AddedToken, str]:
    """The token, and why it is not supported if it is not."""
    entry = _object(entry)
    content = entry["content"]
    if not isinstance(content, str):
        raise TypeError(f"{content!r} is not a string")
    content.encode()  # ValueError for half a surrogate pair
    token = AddedToken(
        content, int(entry["id"]), bool(entry.get("lstrip")), bool(entry.get("rstrip"))
    )
    if entry.get("single_word"):
        return token, "single_word: as a word of its own only"
    if normalizes and entry.get("normalized", not entry.get("special")):
        return token, "normalized: looked for in normalized text"
    return token, ""


_Places = tuple[Token | Segment, ...]


def _templates(post_processor: Any) -> tuple[_Places, _Places] | None:
    """The packing of one and of two texts; None where the post-processor adds nothing."""
    if post_processor is None:
        return None
    kind = post_processor["type"]
    if kind == "Sequence":
        stated = [_templates(processor) for processor in post_processor["processors"]]
        stated = [templates for templates in stated if templates is not None]
        if len(stated) > 1:
            raise ValueError("several post-processors add special tokens")
        return stated[0] if stated else None
    if kind == "ByteLevel":
        return None
    if kind in ("BertProcessing", "RobertaProcessing"):
        start, end = int(post_processor["cls"][1]), int(post_processor["sep"][1])
        single = (Token(start), Segment(0), Token(end))
        if kind == "BertProcessing":
            return single, (*single, Segment(1, 1), Token(end, 1))
        return single, (*single, Token(end), Segment(1), Token(end))
    if kind == "TemplateProcessing":
        ids = {
            name: [int(number) for number in special["ids"]]
            for name, special in post_processor["special_tokens"].items()
        }
        return (
            _places(post_processor["single"], ids, [0]),
            _places(post_processor["pair"], ids, [0, 1]),
        )
    raise ValueError(f"it is of type {kind!r}")


def _places(template: Any, ids: Mapping[str, list[int]], texts: list[int]) -> _Places:
    places: list[Token | Segment] = []
    for entry in template:
        ((kind, place),) = entry.items()
        if kind == "Sequence":
            places.append(Segment({"A": 0, "B": 1}[place["id"]], int(place["type_id"])))
        elif kind == "SpecialToken":
            places += [Token(number, int(place["type_id"])) for number in ids[place["id"]]]
        else:
            raise ValueError(f"a place of kind {kind!r}")
    if sorted(place.index for place in places if isinstance(place, Segment)) != texts:
        raise ValueError(f"a template of {len(texts)} texts with others in it")
    return tuple(places)

"""What the texts of a card must look like, as annotations of the fields of the schema.

A check has a `name`, the type that docs/model_cards.md shows, and says of a text what is wrong with
it, or nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from hubexport.cards.problems import hint, shown

_HOST = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of a list of words; `words` is a function where the list is in a file."""

    name: str
    words: Callable[[], tuple[str, ...]]

    def __call__(self, text: str) -> str:
        known = self.words()
        if text in known:
            return ""
        listed = f" ({', '.join(known)})" if len(known) <= 12 else ""
        return f"{shown(text)} is not a valid {self.name}{listed}{hint(text, known)}"


@dataclasses.dataclass(frozen=True)
class Matches:
    """A text of a certain form."""

    name: str
    pattern: str
    example: str

    def __call__(self, text: str) -> str:
        if re.fullmatch(self.pattern, text):
            return ""
        return f"{shown(text)} is not a valid {self.name}, such as {self.example!r}"


@dataclasses.dataclass(frozen=True)
class Refers:
    """The name of something else in the catalogue, looked up when all of it is loaded."""

    name: str
    to: str

    def __call__(self, text: str) -> str:
        return ""


@dataclasses.dataclass(frozen=True)
class Prose:
    """Text of people, on one line after YAML has folded it; a sentence has its full stop."""

    name: str
    longest: int
    sentence: bool

    def __call__(self, text: str) -> str:
        if len(text) > self.longest:
            return f"has {len(text)} characters, at most {self.longest} are read"
        if text != text.strip() or "\n" in text or "  " in text or not text.isprintable():
            return "has line breaks, control characters or more spaces than between words"
        if self.sentence and not re.fullmatch(r"\S.*\s.*[.!?][)\"']?", text):
            return "is not a sentence: it needs several words and a full stop"
        return ""


class Https:
    """A URL that a page may link to."""

    name = "URL"

    def __call__(self, text: str) -> str:
        try:
            url = urlsplit(text)
            host, port, user = url.hostname or "", url.port, url.username
        except ValueError:
            return f"{shown(text)} is not a URL"
        if url.scheme != "https":
            return f"{shown(text)} does not begin with https://"
        if not _URL_CHARACTERS.fullmatch(text) or re.search(r"%(?![0-9A-Fa-f]{2})", text):
            return f"{shown(text)} has characters that a URL must escape"
        if not _HOST.fullmatch(host) or port is not None or user is not None:
            return f"{shown(text)} has no host name, or more than that"
        return ""


class Colab(Https):
    """A notebook as tfhub.dev's pages link to them."""

    name = "URL of colab.research.google.com"

    def __call__(self, text: str) -> str:
        wrong = super().__call__(text)
        if not wrong and urlsplit(text).hostname != "colab.research.google.com":
            return f"{shown(text)} is not on colab.research.google.com"
        return wrong


class Date:
    """A day."""

    name = "date"

    def __call__(self, text: str) -> str:
        try:
            day = datetime.date.fromisoformat(text)
        except ValueError:
            return f"{shown(text)} is not a date, such as '2018-10-11'"
        return "" if day.isoformat() == text else f"{shown(text)} is not written as {day}"


class BibTeX:
    """An entry of a bibliography."""

    name = "BibTeX"

    def __call__(self, text: str) -> str:
        if not re.match(r"@[a-z]+\{[A-Za-z0-9_:.-]+,\s", text) or text.count("{") != text.count(
            "}"
        ):
            return "is not a BibTeX entry: it begins with @kind{key, and closes every brace"
        return ""


def words(*known: str) -> Callable[[], tuple[str, ...]]:
    """A list of words that is written where it is used."""
    return lambda: known


Check: TypeAlias = OneOf | Matches | Refers | Prose | Https | Date | BibTeX

Url = Annotated[str, Https()]
ColabUrl = Annotated[str, Colab()]
Day = Annotated[str, Date()]
Text = Annotated[str, Prose("text", 200, sentence=False)]
Sentence = Annotated[str, Prose("sentence", 200, sentence=True)]
Paragraph = Annotated[str, Prose("paragraph", 1200, sentence=True)]
Slug = Annotated[str, Matches("slug", r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "small-bert")]
Publisher = Annotated[str, Matches("publisher", r"[a-z\d-]+", "tensorflow")]
Name = Annotated[str, Matches("name", r"[\w.-]+(/[\w.-]+)*", "small_bert/bert_en_L-2")]
HuggingFaceId = Annotated[
    str, Matches("repository", r"[\w-][\w.-]*(/[\w-][\w.-]*)?", "google-bert/bert-base-cased")
]
Tag = Annotated[str, Matches("tag", r"[a-z0-9][a-z0-9.-]*", "fill-mask")]
Id = Annotated[str, Matches("id", r"[a-z0-9][a-z0-9_-]*", "devlin2018")]
Bibliography = Annotated[str, BibTeX()]

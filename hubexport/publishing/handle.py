"""Handles: what a model on a hub is called, `publisher/name/version`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hubexport.cards.handles import NAME, PUBLISHER
from hubexport.errors import UsageError

_PUBLISHER, _NAME = re.compile(PUBLISHER, re.ASCII), re.compile(NAME, re.ASCII)
_VERSION = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_RESERVED = ("api",)
"""Publishers that could not be told from a server's own addresses."""
_LONGEST = 255
"""Characters of a handle; no part of it is too long for a file system then."""

NEXT = "next"
"""Stands for the version after the newest."""


@dataclass(frozen=True, order=True)
class Model:
    """All versions of a model: `publisher/name`, where a name may have several parts."""

    publisher: str
    name: str

    def __str__(self) -> str:
        return f"{self.publisher}/{self.name}"


@dataclass(frozen=True, order=True)
class Handle:
    """One version of a model, from 1 on."""

    model: Model
    version: int

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"

    @staticmethod
    def number(found: object) -> int:
        """A version out of a file that nobody vouches for.

        Raises:
          TypeError: it is none.
        """
        if type(found) is not int or not _VERSION.fullmatch(str(found)):
            raise TypeError(f"the version {str(found)[:80]}")
        return found


def parse_model(text: str) -> Model:
    """`publisher/name` as tfhub.dev's rules have it.

    No part may begin with a full stop, nor be a number, which is a version.

    Raises:
      UsageError: it is not such a name.
    """
    publisher, _, name = text.partition("/")
    problem = _problem(publisher, name)
    if len(text) > _LONGEST:
        problem = f"{len(text):,} characters, {_LONGEST} are allowed"
    if problem:
        raise UsageError(
            "the name of the model is refused",
            [("given", _short(text)), ("found", problem), ("form", "publisher/name")],
            "publishers have lower-case letters, digits and hyphens; names also have capitals, "
            "underscores, full stops and, between their parts, slashes.",
        )
    return Model(publisher, name)


def parse_handle(text: str) -> Handle:
    """`publisher/name/version`.

    Raises:
      UsageError: it is not the handle of a version.
    """
    model, version = parse_either(text)
    if version is None:
        raise UsageError(
            "the handle has no version",
            [("given", _short(text)), ("form", "publisher/name/version")],
            "add the version: a number from 1 on.",
        )
    return Handle(model, version)


def parse_either(text: str) -> tuple[Model, int | None]:
    """A model and its version, None where the text ends before it.

    Raises:
      UsageError: it is neither.
    """
    name, _, last = text.rpartition("/")
    if _VERSION.fullmatch(last):
        return parse_model(name), int(last)
    return parse_model(text), None


def parse_target(text: str) -> tuple[Model, int | None]:
    """A model and the version to publish, None for `next`.

    Raises:
      UsageError: it is neither a version nor `next`.
    """
    name, _, last = text.rpartition("/")
    if last == NEXT:
        return parse_model(name), None
    handle = parse_handle(text)
    return handle.model, handle.version


def _problem(publisher: str, name: str) -> str | None:
    if not _PUBLISHER.fullmatch(publisher):
        return f"the publisher {_short(publisher)!r}"
    if publisher in _RESERVED:
        return f"the publisher {publisher!r}, which is reserved"
    if not _NAME.fullmatch(name):
        return f"the name {_short(name)!r}"
    parts = name.split("/")
    if any(part.startswith(".") for part in parts):
        return f"a part of the name {_short(name)!r} that begins with a full stop"
    if any(part.isdecimal() for part in parts):
        return f"a part of the name {_short(name)!r} that is a number"
    return None


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}... ({len(text):,} characters)"

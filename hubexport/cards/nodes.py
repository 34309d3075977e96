"""YAML as trees that know their lines.

Of YAML, cards use mappings, lists and scalars. Anchors, aliases, merge keys and tags are refused:
they hide where a value comes from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from hubexport.cards.problems import CardError, Mark, Problem, shown


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A text; `plain` where it is not quoted and no block, so that YAML may read more into it."""

    text: str
    plain: bool
    mark: Mark


@dataclasses.dataclass(frozen=True)
class Sequence:
    items: tuple[Node, ...]
    mark: Mark


@dataclasses.dataclass(frozen=True)
class Mapping:
    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark

    def get(self, name: str) -> Node | None:
        """The value of a key, or None."""
        return next((value for key, value in self.entries if key.text == name), None)

    def without(self, name: str) -> Mapping:
        """The mapping less one key."""
        return Mapping(tuple(entry for entry in self.entries if entry[0].text != name), self.mark)


Node: TypeAlias = Scalar | Sequence | Mapping


def read_document(path: Path) -> Mapping:
    """The one document of a file, which must be a mapping.

    Raises:
      CardError: the file cannot be read, is no YAML, or uses more of YAML than cards need.
    """
    return _Composer(path, _read_text(path)).compose()


def kind_of(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, Scalar):
        return f"the text {shown(node.text)}"
    return "a list" if isinstance(node, Sequence) else "a mapping"


def _read_text(path: Path) -> str:
    start = Mark(1, 1)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CardError([Problem(path, start, "", f"cannot be read: {reason}")]) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        mark = Mark(before.count(b"\n") + 1, column)
        raise CardError([Problem(path, mark, "", "is not UTF-8 text")]) from error


class _Composer:
    """Makes the tree of the parser's events."""

    def __init__(self, path: Path, text: str):
        self.path, self.text = path, text
        self.problems: list[Problem] = []
        self.events: Iterator[yaml.Event] = iter(())

    def compose(self) -> Mapping:
        # libyaml's parser is ten times as fast; not every build of PyYAML has it.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            self.events = yaml.parse(self.text, Loader=loader)
            root = self._document()
        except yaml.YAMLError as error:
            raise CardError([self._yaml_problem(error)]) from error
        if not isinstance(root, Mapping):
            found = "nothing" if root is None else kind_of(root)
            mark = root.mark if root else Mark(1, 1)
            self._problem(mark, "", f"needs a mapping of keys and values, found {found}")
        if self.problems:
            raise CardError(self.problems)
        assert isinstance(root, Mapping)
        return root

    def _document(self) -> Node | None:
        root: Node | None = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._stop(event, "", "a second document begins; a file holds one")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, "")
        return root

    def _node(self, event: yaml.Event, key: str) -> Node:
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            self._problem(mark, key, "an alias: write the value out")
            return Scalar("", False, mark)
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._problem(mark, key, f"the anchor {shown(event.anchor)}: cards have no aliases")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._problem(mark, key, f"the tag {shown(tag)}: write the value without it")
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(event.value, not event.style, mark)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(mark, key)
        return self._mapping(mark, key)

    def _sequence(self, mark: Mark, key: str) -> Sequence:
        items: list[Node] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, f"{key}[{len(items)}]"))
        return Sequence(tuple(items), mark)

    def _mapping(self, mark: Mark, key: str) -> Mapping:
        entries: dict[str, tuple[Scalar, Node]] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            name = self._node(event, key)
            text = name.text if isinstance(name, Scalar) else ""
            inner = f"{key}.{text[:40]}" if key else text[:40]
            value = self._node(next(self.events), inner)
            if not isinstance(name, Scalar):
                self._problem(name.mark, key, f"a key must be a word, found {kind_of(name)}")
            elif text == "<<":
                self._problem(name.mark, key, "the merge key <<: write the values out")
            elif text in entries:
                line = entries[text][0].mark.line
                self._problem(name.mark, inner, f"is there twice, first on line {line}")
            else:
                entries[text] = (name, value)
        return Mapping(tuple(entries.values()), mark)

    def _problem(self, mark: Mark, key: str, message: str) -> None:
        self.problems.append(Problem(self.path, mark, key, message))

    def _stop(self, event: yaml.Event, key: str, message: str) -> None:
        self._problem(_mark(event.start_mark), key, message)
        raise CardError(self.problems)

    def _yaml_problem(self, error: yaml.YAMLError) -> Problem:
        reason = getattr(error, "problem", None) or getattr(error, "reason", None)
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        if mark is not None:
            place = _mark(mark)
        else:  # a character that YAML does not allow: only its position is known
            before = self.text[: getattr(error, "position", 0) or 0]
            place = Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        return Problem(self.path, place, "", f"is not YAML: {reason or type(error).__name__}")


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark is not None else Mark(1, 1)

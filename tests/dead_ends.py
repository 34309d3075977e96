"""Whether what a text tells users to type exists: flags, their values, commands, extras."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping

from tests.advice import HOLE, Text

_FLAG = re.compile(rf"(?<![\w-])(?<!var\()--([a-z][\w-]*)(?![\w{HOLE}-])")
_VALUE = re.compile(r"(?<![\w-])--([a-z]\w*)=([^\s`'\";()]+)")
_WORD_AFTER = re.compile(r"(?<![\w-])--([a-z]\w*) ([\w-]+)")
_NAMED = re.compile(r"\b([a-z_]+) [\"`]([\w-]+)[\"`]")
_QUOTED = re.compile(r"[\"`]([^\"`]+)[\"`]")
_IN_BACKTICKS = re.compile(r"`([^`]+)`")
_EXTRA = re.compile(r"\bhubexport\[([\w-]+)\]")
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_.|]*\.?")
_PROSE = {
    "and", "are", "as", "cannot", "exclude", "for", "go", "goes", "if", "in", "is", "needs", "of",
    "on", "or", "out", "says", "takes", "that", "to", "was", "where", "which", "with", "without",
}  # fmt: skip
"""What can follow a flag in a sentence and is not meant as its value."""


@dataclasses.dataclass(frozen=True)
class Offer:
    """What users can type.

    Attributes:
      commands: what runs a program, such as "hubexport encoder" -> its flags, without dashes.
      values: flag -> all that it takes, where that is a choice.
      extras: of the distribution.
      things: other words that advice may quote: keys of files, say.
      raised_by: module, or the package around it -> the commands that can raise its errors.
    """

    commands: Mapping[str, frozenset[str]]
    values: Mapping[str, frozenset[str]]
    extras: Collection[str] = ()
    things: Collection[str] = ()
    raised_by: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)

    def dead_ends(self, text: Text) -> Iterator[str]:
        """What the text names and nobody can use; each with the place where it is named."""
        found = [*self._flags(text), *self._values(text), *self._commands(text)]
        found += [
            f"there is no extra {name}"
            for name in _EXTRA.findall(text.text)
            if name not in self.extras
        ]
        if text.kind == "advice":
            found += [*self._of_one_command(text), *self._quoted(text)]
        for problem in dict.fromkeys(found):
            yield f"{text}: {problem}"

    def _flags(self, text: Text) -> Iterator[str]:
        known = frozenset().union(*self.commands.values())
        for flag in _FLAG.findall(text.text):
            if flag not in known:
                yield f"no command has --{flag}"

    def _values(self, text: Text) -> Iterator[str]:
        given = [(f, v.rstrip(".,:")) for f, v in _VALUE.findall(text.text)]
        if text.kind != "docstring":
            words = _WORD_AFTER.findall(text.text)
            given += [(flag, word) for flag, word in words if word not in _PROSE]
        given += _NAMED.findall(text.text)
        for flag, value in given:
            if flag in self.values and HOLE not in value and not _PLACEHOLDER.fullmatch(value):
                for each in value.split(","):
                    if each not in self.values[flag]:
                        yield f"--{flag} does not take {each!r}"

    def _commands(self, text: Text) -> Iterator[str]:
        for typed in _IN_BACKTICKS.findall(text.text):
            command = self._command(typed)
            if command is None:
                continue
            if command not in self.commands:
                yield f"there is no command {command!r}"
                continue
            for flag in _FLAG.findall(typed):
                if flag not in self.commands[command]:
                    yield f"`{command}` has no --{flag}"

    def _command(self, typed: str) -> str | None:
        """The command of something that can be typed; None if it is none."""
        words = typed.split()
        if words[:2] == ["python", "-m"] and words[2:]:
            module = words[2].rstrip(".")
            if module != "hubexport":
                return f"python -m {module}"
            words = [module, *words[3:]]
        if words[0] == "hubexport" and words[1:] and not _PLACEHOLDER.fullmatch(words[1]):
            return "hubexport" if words[1].startswith("-") else " ".join(words[:2])
        return f"hubexport {words[0]}" if f"hubexport {words[0]}" in self.commands else None

    def _of_one_command(self, text: Text) -> Iterator[str]:
        """Flags of advice are flags of all commands that can give it, or of one that it names."""
        named = {self._command(typed) for typed in _IN_BACKTICKS.findall(text.text)} - {None}
        by = self._raised_by(text.module)
        known = frozenset().union(*self.commands.values())
        for flag in _FLAG.findall(text.text):
            if flag not in known or any(
                flag in self.commands.get(str(command), ()) for command in named
            ):
                continue
            lacking = sorted(command for command in by if flag not in self.commands[command])
            if lacking:
                yield f"{', '.join(lacking)} can raise this and has no --{flag}"

    def _raised_by(self, module: str) -> Collection[str]:
        while module not in self.raised_by and "." in module:
            module = module.rpartition(".")[0]
        return self.raised_by.get(module, ())

    def _quoted(self, text: Text) -> Iterator[str]:
        known = {*self.things, *(value for values in self.values.values() for value in values)}
        for quoted in _QUOTED.findall(text.text):
            typed = quoted.startswith("hubexport ") or self._command(quoted) is not None
            if not typed and quoted not in known and HOLE not in quoted:
                yield f"{quoted!r} is neither a value of a flag nor anything else that is known"


def flags_of(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The long flags of a parser, without dashes."""
    return {
        option.removeprefix("--"): action
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }

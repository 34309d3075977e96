"""Writes docs/commands.md from the command line's own parser.

python docs/generate_commands.py            after any change to a flag
python docs/generate_commands.py --check    says whether it is up to date (exit status 1: no)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hubexport import cli

TARGET = Path(__file__).with_name("commands.md")
HEAD = """\
# Commands

Written by `docs/generate_commands.py` from the program's own parser; do not edit.

`hubexport COMMAND --help` shows the same text. A flag's value follows `=` or a space.
`--flagfile=FILE` reads flags from a file, one per line. Exit status: 0 on success, 1 if a file or
the target cannot be used, 2 if the command line is wrong, 130 if interrupted.
"""


def page() -> str:
    """The whole document."""
    commands = cli.make_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    return "\n".join([HEAD, *(section(name, parser) for name, parser in commands.items())])


def section(name: str, parser: argparse.ArgumentParser) -> str:
    """One command: what it does, its flags, its examples."""
    actions = [action for action in parser._actions if action.dest != "help"]
    rows = [f"| {spelling(action)} | {meaning(action)} |" for action in actions]
    return "\n".join(
        [
            f"## hubexport {name}\n",
            f"{parser.description}\n",
            "| flag | meaning |",
            "|---|---|",
            *rows,
            "",
            "```text",
            (parser.epilog or "").rstrip(),
            "```",
            "",
        ]
    )


def spelling(action: argparse.Action) -> str:
    """`--vocab_file=FILE`, `--do_lower_case` / `--nodo_lower_case`, or `path`."""
    if not action.option_strings:
        return f"`{action.dest}`"
    value = ""
    if action.nargs != 0:
        if action.choices is not None:
            value = "=NAME"
        elif action.metavar:
            value = f"={action.metavar}"
        else:
            kinds = {Path: "PATH", int: "NUMBER", float: "NUMBER"}
            value = f"={kinds.get(action.type, 'NAME')}"  # type: ignore[call-overload]
    return " ".join(f"`{option}{value}`" for option in action.option_strings)


def meaning(action: argparse.Action) -> str:
    """The help text, with what argparse would add to it."""
    text = action.help or ""
    if action.choices is not None:
        text += f"; one of {', '.join(map(str, action.choices))}"
    if action.required and action.option_strings:
        text += "; required"
    elif isinstance(action.default, str | int) and not isinstance(action.default, bool):
        said = "default" in text
        text += "" if said else f"; default {action.default}"
    return text.replace("|", "\\|").replace("*", "\\*")


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, "utf-8")
        return 0
    current = TARGET.read_text("utf-8") if TARGET.is_file() else ""
    if current != text:
        print(f"{TARGET} is not up to date; run python {sys.argv[0]}", file=sys.stderr)
    return int(current != text)


if __name__ == "__main__":
    sys.exit(main())

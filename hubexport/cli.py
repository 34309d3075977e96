"""The command line: finds the command, runs it, and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from absl import flags

from hubexport.errors import HubexportError, UsageError
from hubexport.version import __version__

COMMANDS = (
    "encoder", "preprocessor", "pipeline", "inspect", "run", "reference", "validate", "card",
    "publish", "serve", "pull", "verify", "hub", "diff",
)  # fmt: skip
"""Each is a module of `hubexport.commands` with HELP, EPILOG, add_arguments and run."""

_DESCRIPTION = "Exports text encoder checkpoints as TF-Hub SavedModels."
_EPILOG = (
    "`hubexport COMMAND --help` shows a command's flags and examples. "
    "--flagfile=FILE, anywhere, stands for the flags in that file, one on a line."
)
_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def make_parser(names: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """The parser of some commands; imports nothing heavy, and of the others nothing."""
    parser = argparse.ArgumentParser(prog="hubexport", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"hubexport {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in names:
        module = importlib.import_module(f"hubexport.commands.{name}")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP[0].upper() + module.HELP[1:] + ".",
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run, parser=command)
    return parser


def run(argv: Sequence[str]) -> int:
    """Runs one command line, without the program's name; gives the exit code."""
    try:
        argv = flags.FlagValues().read_flags_from_files(list(argv), force_gnu=True)
    except flags.Error as error:
        message = str(error).removeprefix("ERROR:: ")
        print(f"hubexport: error: {message}", file=sys.stderr)
        return UsageError.exit_code
    asked = [name for name in argv[:1] if name in COMMANDS]
    arguments, unknown = make_parser(asked or COMMANDS).parse_known_args(argv)
    if unknown:  # said by the command's own parser, with its usage
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _terminated)
    try:
        exit_code: int = arguments.run(arguments)
        return exit_code
    except HubexportError as error:
        print(f"hubexport: error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:  # where no part knew better what it means
        if isinstance(error, BrokenPipeError):  # the reader of our output went away
            sys.stderr.close()
            return 0
        facts = [("system", error.strerror or str(error)), ("file", str(error.filename))]
        refused = HubexportError("a file cannot be used", facts, "look at its permissions.")
        print(f"hubexport: error: {refused}", file=sys.stderr)
        return HubexportError.exit_code
    except KeyboardInterrupt:
        print("hubexport: interrupted; nothing half-written is left", file=sys.stderr)
        return _INTERRUPTED


def main() -> None:
    """The `hubexport` program."""
    sys.exit(run(sys.argv[1:]))


def _terminated(number: int, frame: FrameType | None) -> None:
    # As an interrupt from the keyboard, so that half-written output is removed.
    raise KeyboardInterrupt

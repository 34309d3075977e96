"""`hubexport hub`: keeps a hub."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from hubexport.commands.arguments import add_boolean
from hubexport.errors import UsageError

HELP = "keep a hub: index, check, gc, retract, mirror"

EPILOG = """\
actions:
  index    make index.json, index.html and newest.map anew, from the manifests
  check    read every byte, and compare it with the manifests
  gc       retract versions older than the newest --keep; remove the files of versions that were
           retracted longer than --grace ago, and what killed publishers left
  retract  make a version unavailable: its address answers 410 and --reason, and its number is not
           given again
  mirror   copy versions that --to lacks, from a directory or a URL, each checked

Exit status: 0, or 1 if check or mirror found a problem.

examples:
  hubexport hub check /srv/hub
  hubexport hub gc /srv/hub --keep=3
  hubexport hub gc /srv/hub --keep=3 --nodry_run
  hubexport hub retract /srv/hub --handle=example/bert/2 --reason="wrong vocabulary"
  hubexport hub mirror https://hub.example.org --to=/srv/mirror
"""

_GRACE = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FLAGS = {
    "index": (), "check": (), "gc": ("keep", "grace", "dry_run"), "retract": ("handle", "reason"),
    "mirror": ("to",),
}  # fmt: skip
"""action -> the flags that it takes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument("action", choices=tuple(_FLAGS), help="what to do, see below")
    parser.add_argument(
        "root", metavar="ROOT", help="directory of the hub; mirror also takes a URL"
    )
    parser.add_argument("--handle", help="version to retract")
    parser.add_argument("--reason", help="why it is retracted, for its users")
    parser.add_argument("--to", type=Path, help="directory of the copy")
    parser.add_argument("--keep", type=int, help="versions of each model that gc keeps")
    parser.add_argument(
        "--grace", help="how long gc keeps files after a retraction: 24h unless passed, 90m, 7d"
    )
    add_boolean(
        parser, "dry_run", None, "whether gc only says what it would do, as it does unless passed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Does it and says what was done; the exit code.

    Raises:
      HubexportError: see `hubexport.publishing.maintenance`.
    """
    _check(arguments)
    actions: dict[str, Callable[[argparse.Namespace], int]] = {
        "index": _index, "check": _check_hub, "gc": _collect, "retract": _retract,
        "mirror": _mirror,
    }  # fmt: skip
    return actions[arguments.action](arguments)


def _check(arguments: argparse.Namespace) -> None:
    every = sorted({flag for flags in _FLAGS.values() for flag in flags})
    passed = [flag for flag in every if getattr(arguments, flag) is not None]
    others = [f"--{flag}" for flag in passed if flag not in _FLAGS[arguments.action]]
    needed = {"retract": ("handle", "reason"), "mirror": ("to",)}.get(arguments.action, ())
    missing = [f"--{flag}" for flag in needed if flag not in passed]
    if others or missing:
        raise UsageError(
            f"the flags are not those of {arguments.action}",
            [
                (label, ", ".join(flags))
                for label, flags in (("not for it", others), ("missing", missing))
                if flags
            ],
            "`hubexport hub --help` shows what each action takes.",
        )


def _index(arguments: argparse.Namespace) -> int:
    from hubexport.publishing.maintenance import rebuild_index

    print(f"index    {rebuild_index(arguments.root)} models")
    return 0


def _check_hub(arguments: argparse.Namespace) -> int:
    from hubexport.publishing.maintenance import check

    number, problems = check(arguments.root, show_progress=True)
    for problem in problems:
        print(f"wrong    {problem}")
    print(f"checked  {number} versions, {len(problems)} problems")
    return int(bool(problems))


def _collect(arguments: argparse.Namespace) -> int:
    from hubexport.publishing.maintenance import collect

    dry_run = arguments.dry_run is not False
    match = _GRACE.fullmatch(arguments.grace or "24h")
    if match is None:
        raise UsageError(
            "--grace is a number and a unit",
            [("--grace", arguments.grace)],
            "pass 90m, 24h or 7d, for example.",
        )
    grace = int(match[1]) * _SECONDS[match[2]]
    found = collect(arguments.root, keep=arguments.keep, grace=grace, dry_run=dry_run)
    would = "would be " if dry_run else ""
    for handle in found.retracted:
        print(f"{would}retracted  {handle}")
    for path, size in found.swept.items():
        print(f"{would}removed    {path}, {size:,} bytes")
    total = sum(found.swept.values())
    print(f"{len(found.retracted)} versions {would}retracted, {total:,} bytes {would}removed")
    if dry_run and (found.retracted or found.swept):
        print("nothing was changed: pass --nodry_run")
    return 0


def _retract(arguments: argparse.Namespace) -> int:
    from hubexport.publishing.maintenance import retract

    print(f"retracted  {retract(arguments.root, arguments.handle, arguments.reason)}")
    return 0


def _mirror(arguments: argparse.Namespace) -> int:
    from hubexport.publishing.maintenance import mirror

    copied, problems = mirror(arguments.root, arguments.to, show_progress=True)
    for handle in copied:
        print(f"copied   {handle}")
    for problem in problems:
        print(f"wrong    {problem}")
    print(f"mirror   {arguments.to}: {len(copied)} copied, {len(problems)} problems")
    return int(bool(problems))

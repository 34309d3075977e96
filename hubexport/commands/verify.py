"""`hubexport verify`: whether a version or an artifact is what it says it is."""

from __future__ import annotations

import argparse

from hubexport.commands.arguments import options_of

HELP = "compare a published version, or an artifact, with its digests"

EPILOG = """\
Of a published version: its manifest, SHA256SUMS, the archive and every file in it, the record and
the pages, and the files that the record says were validated. Of an artifact's directory: the files
that its record says were validated or tested.

Exit status: 0, or 1 if anything differs.

examples:
  hubexport verify out/encoder
  hubexport verify /srv/hub/example/bert/3
  hubexport verify https://hub.example.org/example/bert/3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "source", metavar="URL|HANDLE|DIRECTORY",
        help="a version's URL, its handle on --hub, its directory, or an artifact's directory",
    )  # fmt: skip
    parser.add_argument("--hub", help="URL or directory of the hub, for handles")


def run(arguments: argparse.Namespace) -> int:
    """Compares and says what differs; the exit code.

    Raises:
      HubexportError: see `hubexport.verify`.
    """
    from hubexport.publishing.verification import verify

    found = verify(**options_of(arguments), show_progress=True)
    print(f"verified   {found.address}")
    print(f"read       {found.files} files, {found.bytes:,} bytes")
    print(f"compared   {', '.join(found.checked)}")
    for problem in found.problems:
        print(f"differs    {problem}")
    print(f"validated  {'yes' if found.validated else 'no'}")
    print(
        f"result     {f'{len(found.problems)} differ' if found.problems else 'all as it should be'}"
    )
    return int(bool(found.problems))

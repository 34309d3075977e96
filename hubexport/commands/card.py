"""`hubexport card`: pages of models, from their cards and their records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hubexport.commands.arguments import add_boolean
from hubexport.errors import UsageError

HELP = "write the page of a model from its card and its artifact"

_FORMATS = ("tfhub", "kaggle", "huggingface", "html")

EPILOG = """\
formats:
  tfhub        Markdown with tfhub.dev's metadata: VERSION.md
  kaggle       model-metadata.json and model-instance-metadata.json, for Kaggle's command line
  huggingface  README.md with the Hub's YAML block
  html         a static site of the whole catalogue, with search, tables and plots;
               needs `pip install 'hubexport[site]'`

The card is chosen by the artifact's record; if several fit, pass --handle. With --all, an artifact
in SAVED_MODEL/HANDLE or SAVED_MODEL/HANDLE/VERSION belongs to the card with that handle.

Exit status: 0, or with --check 1 if a page is out of date.

examples:
  # one page
  hubexport card --saved_model=out/encoder --card=model_cards/encoders/small_bert.yaml \\
      --format=huggingface --output=out/README.md

  # the pages of everything that was exported, and whether they are still right
  hubexport card --all --saved_model=out --card=model_cards --output=pages
  hubexport card --all --saved_model=out --card=model_cards --output=pages --check

  # a collection; the site
  hubexport card --card=model_cards/collections.yaml --handle=tensorflow/small_bert --output=bert.md
  hubexport card --all --saved_model=out --card=model_cards --format=html --output=site
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--card", type=Path, required=True,
        help="file of model cards (docs/model_cards.md); with --all, their directory",
    )  # fmt: skip
    parser.add_argument(
        "--saved_model", type=Path,
        help="the exported artifact; with --all, the directory that contains the artifacts",
    )  # fmt: skip
    parser.add_argument("--format", choices=_FORMATS, default="tfhub", help="see below")
    parser.add_argument(
        "--output", type=Path, required=True,
        help="file to write, if the format has a single file, or directory",
    )  # fmt: skip
    parser.add_argument("--handle", help="publisher/name of the card, if several fit")
    parser.add_argument(
        "--hub_url", default="https://tfhub.dev",
        help="prefix of handles in tfhub and html",
    )  # fmt: skip
    parser.add_argument(
        "--asset_url",
        help="prefix of HANDLE/VERSION.tar.gz, the archives that tfhub pages link to",
    )
    add_boolean(
        parser, "all", False, "whether to write the pages of all artifacts, in a directory tree"
    )
    add_boolean(parser, "check", False, "whether to compare with --output and write nothing")


def run(arguments: argparse.Namespace) -> int:
    """Writes or compares the pages; the exit code.

    Raises:
      HubexportError: see `hubexport.render_page`.
    """
    _check(arguments)
    from hubexport.cards.rendering import job, output
    from hubexport.cards.rendering.platforms import Addresses

    asset_url = arguments.asset_url.rstrip("/") if arguments.asset_url else None
    addresses = Addresses(arguments.hub_url.rstrip("/"), asset_url)
    if arguments.all:
        files = job.render_tree(
            cards=arguments.card,
            saved_models=arguments.saved_model,
            format=arguments.format,
            addresses=addresses,
        )
    else:
        files = job.render_page(
            card=arguments.card,
            saved_model=arguments.saved_model,
            format=arguments.format,
            handle=arguments.handle,
            addresses=addresses,
        )
    directory = arguments.output
    if len(files) == 1 and directory.suffix == ".md" and not directory.is_dir():
        files = {directory.name: next(iter(files.values()))}
        directory = directory.parent
    if arguments.check:
        return _compare(output.stale(files, directory), len(files), directory)
    output.write(files, directory)
    for name, finding in output.findings(arguments.format, files):
        print(finding.render(str(directory / name)), file=sys.stderr)
    print(f"format       {arguments.format}")
    print(f"written      {_named(list(files), directory)}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if arguments.all and not arguments.card.is_dir():
        raise UsageError(
            "--all is for a directory of cards",
            [("--card", str(arguments.card))],
            "pass the directory that the cards are in.",
        )
    if arguments.all and arguments.handle:
        raise UsageError(
            "--all and --handle exclude each other", [("--handle", arguments.handle)],
            "leave one out.",
        )  # fmt: skip
    if arguments.all and arguments.format != "html" and arguments.saved_model is None:
        raise UsageError(
            "pages speak of artifacts",
            [("--format", arguments.format)],
            "pass the directory that the artifacts are in as --saved_model.",
        )


def _compare(stale: dict[str, str], total: int, directory: Path) -> int:
    for name, difference in stale.items():
        print(f"stale        {directory / name}")
        for line in difference.splitlines():
            print(f"             {line}")
    print(f"compared     {total} files, {len(stale)} stale")
    return int(bool(stale))


def _named(names: list[str], directory: Path) -> str:
    """The file, or how many there are."""
    if len(names) == 1:
        return str(directory / names[0])
    return f"{len(names)} files in {directory}"

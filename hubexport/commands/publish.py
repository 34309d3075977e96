"""`hubexport publish`: an artifact becomes a version on a hub."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from hubexport.commands.arguments import add_boolean, options_of

HELP = "publish an artifact on a hub, as a version that never changes"

EPILOG = """\
A hub is a directory: docs/publishing.md describes its files, docs/hosting.md how to serve it.
The archive is packed, written, read back, and then seen in one step. A version that is published
is never changed: the same bytes again are "already published", others are refused.

An artifact must have been validated: `hubexport validate --update_record`, or `hubexport encoder
--validate`. Preprocessors and pipelines are tested when they are exported. Files that are not the
ones that were validated are refused.

examples:
  # the first version, or the one after the newest
  hubexport publish --saved_model=out/encoder --handle=example/bert/next --to=file:///srv/hub

  # with the page of a model card, on two hubs
  hubexport publish --saved_model=out/encoder --handle=example/bert/3 --card=bert.yaml \\
      --hub_url=https://hub.example.org --to=/srv/hub --to=/mnt/backup/hub

  # what would be published
  hubexport publish --saved_model=out/encoder --handle=example/bert/3 --to=/srv/hub --dry_run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--saved_model", type=Path, required=True, help="the exported artifact, with its record"
    )
    parser.add_argument(
        "--handle", required=True,
        help="publisher/name/version of what is published; the version is a number or `next`",
    )  # fmt: skip
    parser.add_argument(
        "--to", action="append", required=True, metavar="HUB",
        help="file:///DIRECTORY or DIRECTORY of a hub, made if it is not there; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--archive", choices=("tar", "tar.gz"), default="tar",
        help="float32 weights hardly compress, so that tar is the faster by far",
    )  # fmt: skip
    parser.add_argument(
        "--card", type=Path, action="append", default=[],
        help="model card (docs/model_cards.md) of the page, or Markdown that follows it; may be "
        "repeated; without one, the page says what the record does",
    )  # fmt: skip
    parser.add_argument(
        "--hub_url", default="http://127.0.0.1:8080",
        help="where the hub will be served, for the page's lines of code",
    )  # fmt: skip
    add_boolean(parser, "dry_run", False, "whether to check everything and write nothing")
    add_boolean(
        parser, "allow_unvalidated", False,
        "whether to publish an artifact that was not validated, or did not pass",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Publishes and says what became of it; the exit code.

    Raises:
      HubexportError: see `hubexport.publish`.
    """
    from hubexport.publishing.publication import publish

    started = time.monotonic()
    done = publish(**options_of(arguments), show_progress=True)
    seconds = time.monotonic() - started
    manifest = done[0].manifest
    for each in done:
        print(f"{each.state:17}  {each.handle}: {each.where}")
    files, archive = len(manifest.files), manifest.archive
    print(f"{'archive':17}  {archive.path}, {archive.bytes:,} bytes, {files} files")
    print(f"{'SHA-256':17}  {archive.sha256}")
    print(f"{'validated':17}  {'yes' if manifest.validated else 'no'}")
    print(f"{'seconds':17}  {seconds:.1f}")
    return 0

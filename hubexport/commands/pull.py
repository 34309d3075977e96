"""`hubexport pull`: a published version is downloaded and checked."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from hubexport.commands.arguments import add_boolean, options_of

HELP = "download a published version, and check every digest"

EPILOG = """\
A download that was cut off goes on where it stopped when the same command is run again. Nothing is
at the target before every file is as the manifest says: an archive that ends early, which
tensorflow_hub takes and keeps in its cache, is refused.

examples:
  hubexport pull http://127.0.0.1:8080/example/bert/3 --output=bert
  hubexport pull example/bert --hub=/srv/hub --output=bert

  # so that hub.load(URL) finds it, with the very same URL
  hubexport pull https://hub.example.org/example/bert/3 --into_cache
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "source", metavar="URL|HANDLE|DIRECTORY",
        help="what to pull: a URL, a handle on --hub, or the directory of a version; "
        "without a version, the newest",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="directory to make")
    add_boolean(
        parser, "into_cache", False,
        "whether to put it where tensorflow_hub keeps downloads of the URL (TFHUB_CACHE_DIR)",
    )  # fmt: skip
    parser.add_argument("--hub", help="URL or directory of the hub, for handles")
    parser.add_argument("--sha256", help="that the archive must have")
    add_boolean(parser, "overwrite", False, "whether to replace something else at the target")


def run(arguments: argparse.Namespace) -> int:
    """Pulls and says what is where; the exit code.

    Raises:
      HubexportError: see `hubexport.pull`.
    """
    from hubexport.publishing.pulling import pull

    started = time.monotonic()
    pulled = pull(**options_of(arguments), show_progress=True)
    manifest = pulled.manifest
    print(f"{'already there' if pulled.was_there else 'pulled':13}  {pulled.directory}")
    print(f"{'from':13}  {pulled.address}")
    print(f"{'files':13}  {len(manifest.files)}, {manifest.unpacked:,} bytes, as in the manifest")
    print(f"{'SHA-256':13}  {manifest.archive.sha256}")
    print(f"{'validated':13}  {'yes' if manifest.validated else 'no'}")
    print(f"{'seconds':13}  {time.monotonic() - started:.1f}")
    return 0

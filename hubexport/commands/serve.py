"""`hubexport serve`: a hub that anyone can run."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from hubexport.errors import UsageError

HELP = "serve published models to tensorflow_hub, and their pages to people"

EPILOG = """\
addresses:
  /PUBLISHER/NAME/VERSION      what hub.load and hub.KerasLayer take; in a browser, the model's page
  /PUBLISHER/NAME              the same, of the newest version
  /PUBLISHER/NAME/VERSION/FILE manifest.json, README.md, hubexport.json, SHA256SUMS, the archive
  /                            all models; /index.json and /api/models?q=&cursor= are for programs
  /healthz                     200 while the server runs

There is no authentication and no TLS: put a proxy before it where others can reach it
(docs/hosting.md). SIGTERM ends it when the downloads at that time have ended.

examples:
  # on this machine, at http://127.0.0.1:8080
  hubexport serve --root=/srv/hub

  # for others, with a line for each request
  hubexport serve --root=/srv/hub --host=0.0.0.0 --port=80 --access_log=/var/log/hub.log

  # nginx instead, for the same directory
  hubexport serve --root=/srv/hub --emit=nginx --output=/etc/nginx/conf.d/hub.conf
"""

_GCS = re.compile(r"gs://[\w.-]+(?:/[\w.-]+)*/?", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "--root", type=Path, required=True, help="directory that models were published to"
    )
    parser.add_argument("--host", default="127.0.0.1", help="name or address to listen at")
    parser.add_argument(
        "--port", type=int, default=8080, help="0 lets the system choose, which is printed"
    )
    parser.add_argument(
        "--access_log", metavar="FILE|-",
        help="file that gets a line for each request, in the combined format; - is standard output",
    )  # fmt: skip
    parser.add_argument(
        "--drain_seconds", type=float, default=30.0,
        help="how long downloads may go on after SIGTERM",
    )  # fmt: skip
    parser.add_argument(
        "--uncompressed_root", metavar="gs://...",
        help="where PUBLISHER/NAME/VERSION are unpacked on Google Cloud Storage, for clients with "
        "TFHUB_MODEL_LOAD_FORMAT=UNCOMPRESSED",
    )  # fmt: skip
    parser.add_argument(
        "--emit", choices=("nginx",),
        help="write a configuration that serves the same directory, and serve nothing",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, help="where the configuration goes, if not to standard output"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until a signal, or writes a configuration; the exit code.

    Raises:
      UsageError: flags that do not go together, or a value that is none.
      HubexportError: there is no hub, or the address cannot be listened at.
    """
    _check(arguments)
    from hubexport.publishing.tree import open_tree

    tree = open_tree(arguments.root)
    if arguments.emit:
        _emit(arguments)
        return 0
    from hubexport.serving.running import serve

    serve(
        tree,
        host=arguments.host,
        port=arguments.port,
        access_log=arguments.access_log,
        drain_seconds=arguments.drain_seconds,
        uncompressed_root=arguments.uncompressed_root,
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.port < 2**16:
        raise UsageError(
            "there is no such port", [("--port", str(arguments.port))], "pass 0 to 65535."
        )
    if not 0 <= arguments.drain_seconds < float("inf"):
        raise UsageError(
            "--drain_seconds is a time", [("--drain_seconds", str(arguments.drain_seconds))],
            "pass 0 or more.",
        )  # fmt: skip
    where = arguments.uncompressed_root
    if where is not None and not _GCS.fullmatch(where):
        raise UsageError(
            "--uncompressed_root is no place on Google Cloud Storage",
            [("--uncompressed_root", where)],
            "pass gs://BUCKET/DIRECTORY, in which models lie as PUBLISHER/NAME/VERSION.",
        )
    if arguments.output and not arguments.emit:
        raise UsageError(
            "--output is for --emit", [("--output", str(arguments.output))],
            "add --emit=nginx, or leave --output out.",
        )  # fmt: skip
    if arguments.emit and arguments.access_log:
        raise UsageError(
            "--access_log is of our own server", [("--emit", arguments.emit)],
            "leave it out, and set access_log in the configuration of nginx.",
        )  # fmt: skip
    if arguments.emit and not arguments.port:
        raise UsageError(
            "nginx takes no port that the system chooses", [("--port", "0")], "pass a port."
        )


def _emit(arguments: argparse.Namespace) -> None:
    from hubexport.files import replaced
    from hubexport.serving.nginx import nginx_configuration

    text = nginx_configuration(
        arguments.root.resolve(), arguments.host, arguments.port, arguments.uncompressed_root
    )
    if arguments.output is None:
        sys.stdout.write(text)
        return
    with replaced(arguments.output) as partial:
        partial.write_text(text, "utf-8")
    print(f"written      {arguments.output}")

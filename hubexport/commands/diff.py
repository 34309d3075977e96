"""`hubexport diff`: what differs between two artifacts."""

from __future__ import annotations

import argparse
from pathlib import Path

from hubexport.commands.arguments import add_boolean
from hubexport.comparison.configuration import LEFT_OUT, LEFT_OUT_OF_TESTS, TESTS
from hubexport.comparison.formats import FORMATS

HELP = "say what differs between two artifacts"

DIFFERENT = 3
"""Exit status where anything differs."""

EPILOG = f"""\
Compared are the records, field by field, with the key report; all variables by name, as numbers;
signatures, sub-objects, ops, functions and versions; assets; and README.md where both have one.
Any SavedModels can be compared, also those without a record. TensorFlow is needed for --reference
only: both artifacts are run on the inputs in that file.

Never a difference by themselves: paths of directories; in records {", ".join(LEFT_OUT)};
in {" and ".join(TESTS)} {", ".join(LEFT_OUT_OF_TESTS)}.

Text is cut where lists are long; JSON has everything.

Exit status: 0 if the artifacts are equal, {DIFFERENT} if they differ, 1 if one cannot be read or
run.

examples:
  # does a second export give the same?
  hubexport diff out/encoder out/again

  # which variables did fine-tuning change, and how much?
  hubexport diff out/pretrained out/tuned --format=json | \\
      jq '.variables.changes[] | [.name, .distance.relative]'

  # what does a dtype do to the outputs, and how far are both from the reference?
  hubexport diff out/float32 out/bfloat16 --reference=reference

  # a published version and the next one; the newest without a number
  hubexport diff https://hub.example.org/example/bert/3 out/encoder
  hubexport diff example/bert/3 example/bert --hub=/srv/hub

  # a changelog entry for the page of the new version
  hubexport diff out/v1 out/v2 --format=markdown
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's flags."""
    parser.add_argument(
        "a", help="an artifact: directory, URL of a published version, or handle of one on --hub"
    )
    parser.add_argument("b", help="the other, which is compared with it")
    parser.add_argument("--hub", help="URL or directory of the hub, for handles")
    parser.add_argument(
        "--reference", type=Path,
        help="file made by `hubexport reference`, on whose inputs both are run",
    )  # fmt: skip
    parser.add_argument("--format", choices=tuple(FORMATS), default="text", help="of the output")
    add_boolean(
        parser, "trust_checksums", False,
        "whether variables with equal checksums in both indexes are taken to be equal, and their "
        "values not read",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Prints what differs; the exit status.

    Raises:
      HubexportError: see `hubexport.compare`.
    """
    from hubexport.comparison.job import compare

    comparison = compare(
        arguments.a,
        arguments.b,
        reference=arguments.reference,
        hub=arguments.hub,
        trust_checksums=arguments.trust_checksums,
        show_progress=True,
    )
    print(FORMATS[arguments.format](comparison))
    return 0 if comparison.is_equal else DIFFERENT

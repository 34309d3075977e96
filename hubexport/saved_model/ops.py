"""Who registers an op: the pip package that must be imported to load a graph, and which servers."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

CORE = "tensorflow"
"""The package whose ops every program that loads a SavedModel has."""

UNKNOWN = "unknown"
"""Stands for the package of an op that no known version of a known package registers."""

IMPORTS = {CORE: "tensorflow", "tensorflow-text": "tensorflow_text"}
"""Package -> the module whose import registers its ops."""

_NOT_IN_TEXT_2_12 = frozenset(
    {"TFText>RoundRobinGenerateMasks", "TFText>RoundRobinTrim", "TFText>Utf8Binarize"}
)
_NOT_SERVED = {"2.18": _NOT_IN_TEXT_2_12, "2.19": _NOT_IN_TEXT_2_12, "2.20": frozenset[str]()}
"""Release of TensorFlow Serving -> ops of tensorflow-text that its images lack. They link what
`ops_lib` of tensorflow-text's tensorflow_text/BUILD lists (tensorflow_serving/model_servers/BUILD,
SUPPORTED_TENSORFLOW_OPS), of the release that tensorflow_serving/workspace.bzl names: 2.12.1 until
Serving 2.19, where these three are not in the list, and 2.20.0 since, where everything is."""

_TABLE = Path(__file__).with_name("data") / "op_packages.json"


def packages_of(op_names: Iterable[str]) -> dict[str, list[str]]:
    """Package -> the ops of it, sorted; packages without any are left out.

    Args:
      op_names: op types of a graph's nodes, less those that name a function of its library.

    Returns:
      Keys, in this order: "tensorflow", "tensorflow-text", and "unknown" for ops in neither list.
      Nothing is concluded from the form of a name: the tables were taken from the registries.
    """
    package_by_op = _package_by_op()
    found: dict[str, list[str]] = {package: [] for package in (*IMPORTS, UNKNOWN)}
    for name in sorted(set(op_names)):
        found[package_by_op.get(name, UNKNOWN)].append(name)
    return {package: names for package, names in found.items() if names}


def not_served(op_names: Iterable[str]) -> dict[str, list[str]]:
    """Release of TensorFlow Serving -> the ops that its images lack; {} where all have them all.

    Args:
      op_names: as of `packages_of`.
    """
    names = set(op_names)
    unknown = packages_of(names).get(UNKNOWN, [])
    found = {
        release: sorted({*unknown, *(names & lacking)}) for release, lacking in _NOT_SERVED.items()
    }
    return {release: lacking for release, lacking in found.items() if lacking}


def known_versions() -> dict[str, list[str]]:
    """Package -> the versions whose op registries the tables were made from."""
    return dict(_table()["versions"])


@functools.cache
def _table() -> dict[str, dict[str, list[str]]]:
    # Made by data/generate_op_packages.py.
    table: dict[str, dict[str, list[str]]] = json.loads(_TABLE.read_text("utf-8"))
    return table


@functools.cache
def _package_by_op() -> dict[str, str]:
    return {name: package for package, names in _table()["ops"].items() for name in names}

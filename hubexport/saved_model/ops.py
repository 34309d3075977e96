"""Which pip package registers an op: what must be installed and imported to load a graph."""

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

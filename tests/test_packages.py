"""What is said where an optional package is missing: the same everywhere, and of use."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import hubexport
from hubexport import packages
from hubexport.packages import MissingPackageError, check_installed, needed_by
from hubexport.validation.references.sources import MAKERS

PACKAGE = Path(hubexport.__file__).parent
PYPROJECT = (PACKAGE.parent / "pyproject.toml").read_text("utf-8")


def calls() -> Iterator[ast.Call]:
    """Of `needed_by` and `check_installed`, in all of hubexport."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "needed_by",
                "check_installed",
            ):
                yield node


def test_an_import_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingPackageError) as caught, needed_by("--flag", "torch", "transformers"):
        import torch  # noqa: F401
    assert str(caught.value).splitlines() == [
        "--flag needs packages that are not installed.",
        "  needed: torch, transformers",
        "  Python: import of torch halted; None in sys.modules",
        "  hint: pip install 'hubexport[reference-transformers]'",
    ]
    assert isinstance(caught.value.__cause__, ImportError)


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ZeroDivisionError), needed_by("--flag", "torch"):
        raise ZeroDivisionError


def test_a_look_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed("--flag", "numpy")
    monkeypatch.setitem(sys.modules, "official", None)
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(MissingPackageError) as caught:
        check_installed("--flag", "official", "numpy", "tf_keras", otherwise=", or not.")
    assert str(caught.value).splitlines() == [
        "--flag needs packages that are not installed.",
        "  needed: official, numpy, tf_keras",
        "  Python: No module named 'official', 'tf_keras'",
        "  hint: python -m venv ENV && ENV/bin/pip install 'hubexport[reference-model-garden]'"
        ", or not.",
    ]


def test_all_that_may_be_missing_can_be_installed() -> None:
    asked = {maker.packages[0] for maker in MAKERS.values() if maker.packages}
    for call in calls():
        first = call.args[1]
        if isinstance(first, ast.Constant):
            asked.add(first.value)
    assert asked | {"tokenizers", "transformers"} == set(packages._INSTALL)


@pytest.mark.parametrize("command", sorted(set(packages._INSTALL.values())))
def test_what_is_installed_is_what_the_project_declares(command: str) -> None:
    for extra in re.findall(r"hubexport\[([\w-]+)\]", command):
        assert f"\n{extra} = [" in PYPROJECT
    for requirement in re.findall(r"install '([^[']+)'", command):
        assert f'"{requirement}"' in PYPROJECT

"""Which package may import which: one direction, as CONTRIBUTING.md has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hubexport

PACKAGE = Path(hubexport.__file__).parent

LAYERS = (
    ("errors", "version", "paths"),
    ("children", "lean_tensorflow", "poolers", "progress"),
    ("tf_formats",),
    ("checkpoints", "networks", "tokenizers"),
    ("families",),
    ("saved_model",),
    ("inspection", "validation"),
    ("cards", "exporting"),
    ("commands",),
    ("cli",),
    ("__init__", "__main__"),
)
"""A package or module of the package's top, below those that may import it; those side by side may
not import each other."""


def imported(module: Path) -> Iterator[str]:
    """Names of ours that a module imports, also within functions and for type checkers."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names = [node.module or ""]
            if node.module == "hubexport":
                names = [f"hubexport.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "hubexport")


def place(name: str) -> int:
    """The layer of a name at the package's top.

    Raises:
      StopIteration: it is in none.
    """
    return next(number for number, names in enumerate(LAYERS) if name in names)


def violations(package: Path) -> list[str]:
    """Imports against the direction, and of the root."""
    found = []
    for module in sorted(package.rglob("*.py")):
        inside = module.relative_to(package)
        own = inside.parts[0].removesuffix(".py")
        if "data" in inside.parts:  # programs that make tables, and no part of the package
            continue
        for name in imported(module):
            other = name.partition(".")[2].partition(".")[0]
            known = any(other in names for names in LAYERS)
            if other != own and not (known and place(other) < place(own)):
                found.append(f"{inside}: {name}")
    return found


def test_every_part_has_its_layer() -> None:
    parts = {path.stem for path in PACKAGE.glob("*.py")}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    listed = [name for names in LAYERS for name in names]
    assert sorted(listed) == sorted(parts)


def test_imports_go_one_way() -> None:
    assert violations(PACKAGE) == []


def test_imports_the_other_way_are_found(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "reading.py").write_text(
        "from hubexport.errors import HubexportError\n"
        "def read():\n    from hubexport.families import registry\n"
        "import hubexport\n"
        "from hubexport import __version__, errors\n"
        "from hubexport.networks.config import DTYPES\n"
        "from hubexport.checkpoints import source\n"
    )
    assert sorted(violations(tmp_path)) == [
        "checkpoints/reading.py: hubexport",
        "checkpoints/reading.py: hubexport.__version__",
        "checkpoints/reading.py: hubexport.families",
        "checkpoints/reading.py: hubexport.networks.config",
    ]

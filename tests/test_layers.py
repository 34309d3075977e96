"""Which package may import which: one direction, as CONTRIBUTING.md has it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import hubexport

PACKAGE = Path(hubexport.__file__).parent

LAYERS = (
    ("errors", "files", "version", "paths"),
    ("children", "lean_tensorflow", "output_file", "packages", "poolers", "progress"),
    ("tf_formats",),
    ("checkpoints", "networks", "tokenizers"),
    ("families",),
    ("saved_model", "stablehlo"),
    ("inspection", "keras", "pipelines", "running", "validation"),
    ("cards", "exporting"),
    ("publishing",),
    ("comparison", "serving"),
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
            names = [f"{node.module}.{alias.name}" for alias in node.names]
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


def circles(package: Path) -> list[set[str]]:
    """Modules that import each other, in a circle of any length, also within functions."""
    paths = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts): path
        for path in package.rglob("*.py")
        if "data" not in path.relative_to(package).parts
    }
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    left = {
        name: {_module(each, modules) for each in imported(path)} & modules.keys() - {name}
        for name, path in modules.items()
    }
    # Who imports nothing that is left is in no circle, and neither is who is imported by nobody.
    while ends := {n for n, names in left.items() if not names & left.keys()} | (
        left.keys() - set().union(*left.values())
    ):
        left = {name: names for name, names in left.items() if name not in ends}
    return [{name, *(names & left.keys())} for name, names in left.items()]


def _module(name: str, modules: Mapping[str, Path]) -> str:
    """The module of an imported name, which may be something in it."""
    return name if name in modules else name.rpartition(".")[0]


def test_there_are_no_circles() -> None:
    assert circles(PACKAGE) == []


def test_circles_are_found(tmp_path: Path) -> None:
    package = tmp_path / "hubexport"
    package.mkdir()
    (package / "a.py").write_text("from hubexport.b import one\n")
    (package / "b.py").write_text("def one():\n    from hubexport import c\n")
    (package / "c.py").write_text("import hubexport.a\nimport hubexport.d\n")
    (package / "d.py").write_text("")
    assert {"hubexport.a", "hubexport.b"} in circles(package)
    (package / "c.py").write_text("import hubexport.d\n")
    assert circles(package) == []


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
        "checkpoints/reading.py: hubexport.families.registry",
        "checkpoints/reading.py: hubexport.networks.config.DTYPES",
    ]

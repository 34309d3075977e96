"""Texts to tokenize in benchmarks: English from installed packages, others from a file."""

from __future__ import annotations

import ast
import io
import itertools
import random
import re
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("numpy", "keras", "tensorflow/python", "transformers")


def english(count: int) -> list[str]:
    """Paragraphs of 40 to 700 characters from the docstrings of installed packages."""
    site = Path(sysconfig.get_paths()["purelib"])
    files = (file for name in PACKAGES for file in sorted((site / name).rglob("*.py")))
    paragraphs = dict.fromkeys(itertools.chain.from_iterable(map(_paragraphs, files)))
    return _some(list(paragraphs), count)


def multilingual(archive: Path, count: int) -> list[str]:
    """Lines of the text files in an archive: the Universal Declaration of Human Rights."""
    files = zipfile.ZipFile(io.BytesIO(archive.read_bytes()))
    lines = [
        line.strip()
        for name in sorted(files.namelist())
        if name.endswith(".txt")
        for line in files.read(name).decode("utf-8").split("\n")
    ]
    return _some(list(dict.fromkeys(filter(None, lines))), count)


def _paragraphs(file: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                text = " ".join(paragraph.split())
                if 40 < len(text) < 700 and text.count(" ") > 5:
                    yield text


def _some(texts: list[str], count: int) -> list[str]:
    random.Random(0).shuffle(texts)
    if len(texts) < count:
        raise ValueError(f"only {len(texts):,} of {count:,} texts")
    return texts[:count]

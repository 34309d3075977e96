"""Jinja, set up for pages of Markdown."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jinja2

from hubexport.cards import phrases
from hubexport.cards.rendering.filters import FILTERS
from hubexport.paths import PACKAGE


def template_directory() -> Path:
    """Where templates lie: in the installed package, or beside it in its repository."""
    installed = PACKAGE / "templates"
    return installed if installed.is_dir() else PACKAGE.parent / "templates"


@functools.cache
def _environment(directory: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # these templates make Markdown
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    environment.globals["phrases"] = phrases
    return environment


def render(name: str, **values: Any) -> str:
    """A template's Markdown: no line ends with a space, and no two empty lines meet.

    Args:
      name: of a file in the directory of templates.
      values: what the template reads; a name that is not there is an error of the template.
    """
    text = _environment(template_directory()).get_template(name).render(**values)
    return tidy(text)


def tidy(text: str) -> str:
    """One empty line where there were several, none at the ends, a newline at the end.

    Code in fences keeps its empty lines.
    """
    lines: list[str] = []
    in_code = False
    for line in (line.rstrip() for line in text.split("\n")):
        if line.startswith("```"):
            in_code = not in_code
        if line or in_code or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"

"""Jinja, set up for all templates, and for pages of Markdown."""

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


def new_environment(directory: Path, *, autoescape: bool) -> jinja2.Environment:
    """Jinja as all templates have it: names that are not there are errors, lines of tags are none.

    Args:
      directory: of the templates.
      autoescape: whether what is filled in is escaped, as HTML needs it and Markdown does not.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(directory),
        undefined=jinja2.StrictUndefined,
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@functools.cache
def _environment(directory: Path) -> jinja2.Environment:
    environment = new_environment(directory, autoescape=False)
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

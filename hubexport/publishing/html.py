"""Pages of a hub as HTML: each is one file, with its style inside, and asks for nothing else."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jinja2

from hubexport.cards.rendering.filters import both, mebibytes
from hubexport.cards.rendering.templates import new_environment, template_directory


def render_html(name: str, **values: Any) -> str:
    """A page; what is not HTML already is escaped.

    Args:
      name: of a file in the directory of templates, such as `hub/catalogue.html`.
      values: what the template reads; a name that is not there is an error of the template.
    """
    return _environment(template_directory()).get_template(name).render(**values)


@functools.cache
def _environment(directory: Path) -> jinja2.Environment:
    made = new_environment(directory, autoescape=True)
    made.filters.update(both=both, count="{:,}".format, mebibytes=mebibytes)
    return made

"""The forms that a comparison can be written in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from hubexport.comparison.markdown import render_markdown
from hubexport.comparison.result import Comparison
from hubexport.comparison.text import render_text


def render_json(comparison: Comparison) -> str:
    """All differences, and what else is known of them."""
    return json.dumps(comparison.record(), indent=2, ensure_ascii=False)


FORMATS: Mapping[str, Callable[[Comparison], str]] = {
    "text": render_text,
    "json": render_json,
    "markdown": render_markdown,
}
"""Name -> what makes it; without a line break at the end."""

"""Whatever the texts of a card are, they stay texts: no headings, tables, code or links."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import pytest
from markdown_it import MarkdownIt

from hubexport.cards.fields import BibTeX, Prose
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.formats import FORMATS
from tests.cards.rendering.pages import markdown
from tests.cards.rendering.programs import ADDRESSES

BERT = "tensorflow/bert_en_uncased_L-12_H-768_A-12"
HOSTILE = (
    "# It is no heading.", "| It | is no row.", "```python It is no code.", "~~~ nor this one.",
    "<script> alert(1) </script> is text.", "<!-- It never ends.", "- It is no item.",
    "It `never ends.", "1. It is no item.", "{{ 7 * 7 }} and {% raw %} stay.", "> It is no quote.",
    "===== is no line.", "--- nor | --- this.", "It **goes [on](https://example.org/evil) so.",
    "It ends]( https://example.org/evil ) here.", "]: https://example.org/evil is none.",
    "Two $x$ and \\ and &lt; and ${PATH} stay.", "Ten " + "x" * 190 + " ends.",
    "<b>Bold</b> is it.",
)  # fmt: skip
TABLES = (
    "encoders", "preprocessors", "pipelines", "collections", "publishers", "papers", "datasets",
)  # fmt: skip
CHOSEN = (
    ("encoder", BERT), ("encoder", "huggingface/bert-base-german-cased"),
    ("preprocessor", "tensorflow/bert_en_uncased_preprocess"),
    ("pipeline", "sentence-transformers/all-MiniLM-L6-v2-embedding"),
    ("collection", "tensorflow/small_bert"), ("publisher", "tensorflow"),
)  # fmt: skip
HOSTILE_BIBTEX = "@misc{{x, title={{{}}}}}\n```\n# No heading\n<script>\n"


def hostile(value: Any, text: str, hint: Any = None) -> Any:
    """A card, or a part of one, whose free texts are all another."""
    checks = [each for each in get_args(hint) if isinstance(each, Prose | BibTeX)]
    if checks and isinstance(value, str):
        return text if isinstance(checks[0], Prose) else HOSTILE_BIBTEX.format(text)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        changes = {
            field.name: hostile(getattr(value, field.name), text, hints[field.name])
            for field in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **changes)
    if isinstance(value, tuple):
        return tuple(hostile(each, text, _item(hint)) for each in value)
    if value is not None and hint is not None and type(None) in get_args(hint):
        return hostile(value, text, next(each for each in get_args(hint) if each is not None))
    return value


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def with_texts(catalogue: Catalogue, text: str) -> Catalogue:
    """The catalogue, of whose texts each is another."""
    changed = {
        table: {key: hostile(each, text) for key, each in getattr(catalogue, table).items()}
        for table in TABLES
    }
    return dataclasses.replace(catalogue, **changed)


@pytest.fixture(scope="module")
def harmless(catalogue: Catalogue) -> Catalogue:
    return with_texts(catalogue, "Words that do nothing.")


def _item(hint: Any) -> Any:
    return next(iter(get_args(hint)), None)


def structure(text: str) -> list[tuple[str, ...]]:
    """Blocks, rows, cells and links of a text, without their words."""
    found: list[tuple[str, ...]] = []
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type == "inline":
            kinds = ("link_open", "code_inline", "html_inline", "image", "strong_open", "em_open")
            inside = [each for each in token.children or [] if each.type in kinds]
            found += [(each.type, str(each.attrGet("href"))) for each in inside]
        else:
            found.append((token.type, token.tag, token.info))
    return found


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_texts_of_cards_are_only_text(
    text: str, harmless: Catalogue, catalogue: Catalogue, records: Mapping[str, Any]
) -> None:
    """Whatever they are, blocks and links are those of the page with harmless ones."""
    other = with_texts(catalogue, text)
    for form in FORMATS.values():
        for kind, handle in CHOSEN:
            if kind not in form.kinds:
                continue
            pages = [
                form.page(getattr(source, f"{kind}s")[handle], source, records, ADDRESSES)
                for source in (harmless, other)
            ]
            for plain, found in zip(*map(markdown, pages), strict=True):
                assert structure(found) == structure(plain), handle

"""Whatever a page holds, checkers give findings with lines of that page, and raise nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from hubexport.cards.lint import (
    Finding,
    check_card,
    check_instance_metadata,
    check_links,
    check_model_metadata,
    check_page,
    check_snippets,
)
from tests.cards.lint.material import (
    CARD,
    COLLECTION,
    ENCODER,
    INSTANCE,
    MODEL,
    PUBLISHER,
    as_json,
)

PIECES = [
    "\n", "\r", "\x00", "\ud800", "\ufeff", "\u2028", "\t", " ", "---", "```", "~~~~", "# ", "> ",
    "[", "]", "(", ")", "](", "![", "]: ", "<", ">", "<!--", "-->", "<script", "&zwnj;", "&#0;",
    "https://", "http://[", "#", ":", "- ", "{", "}", "*a", "&a ", "!!binary x", "0x", "9" * 20,
    "'", '"', "%", "python", "${", "é", "日", "\x1b[0m", "<!-- language: en -->", "? ", "null",
    ".nan", "|", "\\",
]  # fmt: skip

CHECKS: list[tuple[str, Callable[[str], list[Finding]]]] = [
    (ENCODER, lambda text: check_page(text, "encoder")),
    (ENCODER, lambda text: check_page(text, "preprocessor", "a/b/1.md")),
    (COLLECTION, lambda text: check_page(text, "collection")),
    (PUBLISHER, lambda text: check_page(text, "publisher")),
    (CARD, check_card),
    (ENCODER + CARD, check_links),
    (CARD + "\n[a]: <b c>\n![x](y 'z')\n", lambda text: check_links(text, ["y"])),
    (ENCODER, check_snippets),
]


def mutated(text: str, random_: random.Random) -> str:
    """The text with a few of its pieces taken out, doubled, moved or replaced by strange ones."""
    for _ in range(random_.randint(1, 12)):
        start = random_.randrange(len(text) + 1)
        end = min(len(text), start + random_.choice((0, 1, 3, 30, 300)))
        piece = random_.choice(
            (random_.choice(PIECES), "", text[start:end] * 2, text[:start][-40:])
        )
        text = text[:start] + piece + text[end:]
    return text


@pytest.mark.parametrize("index", range(len(CHECKS)))
def test_mutated_pages(index):
    original, check = CHECKS[index]
    random_ = random.Random(index)
    seen = set()
    for _ in range(250):
        text = mutated(original, random_)
        count = len(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        findings = check(text)
        assert check(text) == findings
        for found in findings:
            assert 1 <= found.line <= count, (found, text)
            assert found.column is None or found.column >= 1
            assert "\n" not in found.render("page.md")
            seen.add(found.rule)
    assert seen


@pytest.mark.parametrize(
    ("values", "check"), [(MODEL, check_model_metadata), (INSTANCE, check_instance_metadata)]
)
def test_mutated_metadata(values, check):
    random_ = random.Random(len(values))
    others = [
        None,
        True,
        3,
        1e400,
        float("nan"),
        "",
        "x" * 3000,
        [],
        [[]],
        {},
        {"a": [1]},
        -(10**30),
    ]
    for _ in range(500):
        changed = dict(values)
        for key in random_.sample(list(values), random_.randint(1, 4)):
            if random_.random() < 0.5:
                changed[key] = random_.choice(others)
            else:
                changed[mutated(key, random_)] = mutated(str(changed.pop(key)), random_)
        text = as_json(changed)
        if random_.random() < 0.3:
            text = mutated(text, random_)
        for found in check(changed, text):
            assert 1 <= found.line <= text.count("\n") + 1
    for other in others:
        assert check(other)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "> " * 3000,
        "- " * 3000 + "x",
        "![" * 2000 + "](x)" * 2000,
        "*" * 5000,
        "<" * 5000,
        "<!--" * 2000,
        "`" * 3001 + " " + "`" * 3000,
        "[a]: b\n" * 2000,
        "# a\n" * 1000,
        "[a b](c d" * 1000,
        "<a b" * 2000,
        "---\n" * 2000,
        "| a |\n|---|\n" + "| b |\n" * 1000,
    ],
    ids=lambda text: json.dumps(text[:8]),
)
def test_pages_that_are_nothing_but_markup(text):
    for check in (check_card, check_links, check_snippets):
        check(text)
    check_page(f"# Module a/b/1\n\nText.\n\n{text}", "encoder")


def test_a_page_without_end_is_cut():
    text = ENCODER + "word\n" * 300_000
    findings = check_page(text, "encoder")
    assert "page-size" in {found.rule for found in findings}

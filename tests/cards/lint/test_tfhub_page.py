from __future__ import annotations

import pytest

from hubexport.cards.lint import check_page, errors, layout, tfhub_metadata, tfhub_page
from tests.cards.lint.material import (
    COLLECTION,
    ENCODER,
    PREPROCESSOR,
    PUBLISHER,
    line_of,
    replaced,
)

PAGES = {
    "encoder": ENCODER,
    "preprocessor": PREPROCESSOR,
    "collection": COLLECTION,
    "publisher": PUBLISHER,
}
NAME = "bert_en_uncased_L-2_H-128_A-2"
TITLE = f"# Module example-lab/{NAME}/1"

# Rule, kind of page, what is replaced by what, and what is on the line that is found: text of the
# broken page, or a number.
BREAKS = [
    ("handle", "encoder", TITLE, TITLE.replace("Module", "Model"), 1),
    ("handle", "encoder", TITLE, TITLE.replace("example-lab", "Example_Lab"), 1),
    ("handle", "encoder", TITLE, TITLE[:-2], 1),
    ("handle", "encoder", TITLE, TITLE + " ", 1),
    ("handle", "preprocessor", "/en/1", "/en/v1", 1),
    ("handle", "collection", "/bert/1", "/bert/2", 1),
    ("handle", "publisher", "# Publisher example-lab", "# Publisher Example Lab", 1),
    (
        "line-ends",
        "encoder",
        "Version 1: first release.",
        "Version 1: first\r\nrelease.",
        "Version 1",
    ),
    ("description", "collection", "Encoders of several sizes\nand their preprocessors.\n", "\n", 3),
    ("description", "publisher", "A laboratory for examples.\n\n", "\n\n", 3),
    ("description-markup", "collection", "Encoders", "## Encoders", 2),
    ("metadata-form", "encoder", "<!-- language: de -->", "<!-- language de -->", "language de"),
    ("metadata-form", "encoder", "<!-- language: de -->", "<!-- language: de --> .", "de --> ."),
    ("head-line", "encoder", "\n## Overview", "More.\n## Overview", "More."),
    ("head-line", "publisher", "[![Icon URL]]", "![Icon]", "![Icon]"),
    ("head-line", "encoder", "\n## Overview", "[![Icon URL]](x)\n## Overview", "[![Icon"),
    (
        "metadata-late",
        "encoder",
        "An encoder of two",
        "<!-- dataset: wikipedia -->\n\nAn encoder of two",
        18 + 1,
    ),
    ("no-heading", "publisher", "\n## About us\n\nWe make examples.\n", "", 5),
    ("model-link", "collection", "tfhub.dev/example-lab/bert_tiny/1", "example.org/tiny", None),
    ("metadata-key", "encoder", "<!-- license:", "<!-- licence:", "licence"),
    ("metadata-key", "collection", "<!-- language: en", "<!-- license: mit", "license: mit"),
    ("metadata-key", "publisher", "\n[![", "<!-- task: text-embedding -->\n[![", "<!-- task"),
    ("metadata-missing", "encoder", "<!-- format: saved_model_2 -->\n", "", "## Overview"),
    (
        "metadata-missing",
        "collection",
        "<!-- task: text-embedding -->\n<!-- task: text-preprocessing -->\n",
        "",
        "## Models",
    ),
    (
        "metadata-repeated",
        "encoder",
        "<!-- license: apache-2.0 -->",
        "<!-- license: apache-2.0 -->\n<!-- license: mit -->",
        "license: mit",
    ),
    ("metadata-twice", "encoder", "<!-- language: de -->", "<!-- language: en -->", 13),
    ("metadata-value", "encoder", "language: de", "language: xlm", "xlm"),
    ("metadata-value", "encoder", "apache-2.0", "Apache-2.0", "Apache"),
    ("metadata-value", "encoder", "fine-tunable: true", "fine-tunable: yes", "fine-tunable"),
    ("metadata-value", "encoder", "saved_model_2", "saved_model_3", "saved_model_3"),
    ("metadata-value", "encoder", "architecture: transformer", "architecture: roberta", "roberta"),
    ("metadata-value", "encoder", "https://colab.research", "http://colab.research", "http://c"),
    ("metadata-value", "encoder", "colab.research.google.com", "colab.example.org", "colab."),
    ("metadata-task", "encoder", "text-embedding", "text-preprocessing", "text-prep"),
    ("metadata-task", "preprocessor", "text-preprocessing", "text-embedding", "text-embed"),
    ("asset-path", "encoder", "A-2_1.tar.gz", "A-2_1.zip", ".zip"),
    ("asset-path", "encoder", "storage.example.org", "github.com/example", "github.com"),
    ("asset-path", "encoder", "https://storage.example.org/", "", "asset-path"),
    ("heading-top", "encoder", "## Changelog", "# Changelog", "# Changelog"),
    ("heading-step", "encoder", "### As a layer", "#### As a layer", "#### As"),
    ("fence-open", "encoder", "tensorflow\n```", "tensorflow\n", "```sh"),
    ("fence-label", "encoder", "```sh", "```", "```\npip"),
    ("line-length", "encoder", "Version 1", "Version 1 " + "and on " * 150, "Version 1"),
]


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_without_faults_has_no_findings(kind):
    assert check_page(PAGES[kind], kind) == []


@pytest.mark.parametrize(
    ("rule", "kind", "old", "new", "place"),
    BREAKS,
    ids=[f"{index}-{entry[0]}" for index, entry in enumerate(BREAKS)],
)
def test_a_page_that_breaks_one_rule_is_found(rule, kind, old, new, place):
    text = replaced(PAGES[kind], old, new)
    if rule == "model-link":
        text = replaced(text, "tfhub.dev/example-lab/bert_mini", "example.org/mini")
        place = text.count("\n") + 1
    findings = check_page(text, kind)
    expected = place if isinstance(place, int) else line_of(text, place)
    assert [(found.rule, found.line) for found in findings] == [(rule, expected)]
    assert findings[0].render("page.md").startswith(f"page.md:{expected}:")


def test_every_rule_has_a_page_that_breaks_it():
    rules = {*tfhub_page.RULES, *tfhub_metadata.RULES, *layout.RULES}
    # Where a page is stored is tested below.
    assert rules == {entry[0] for entry in BREAKS} | {"path"}


def test_all_that_is_wrong_is_found_at_once_and_in_order():
    text = replaced(ENCODER, TITLE, "# BERT")
    text = replaced(text, "language: de", "language: xx")
    text = replaced(text, "<!-- license: apache-2.0 -->", "Free to use.")
    text = replaced(text, "<!-- fine-tunable: true -->\n", "")
    found = [(found.line, found.rule) for found in check_page(text, "encoder")]
    overview = line_of(text, "## Overview")
    assert found == [
        (1, "handle"),
        (line_of(text, "xx"), "metadata-value"),
        (line_of(text, "Free"), "head-line"),
        (overview, "metadata-missing"),
    ]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "encoder",
            "example-lab/models/bert_en_uncased_L-2_H-128_A-2/1.md",
            "example-lab/bert/1.md",
        ),
        ("preprocessor", "example-lab/en/1.md", "example-lab/models/en/2.md"),
        ("collection", "example-lab/collections/bert/1.md", "example-lab/bert/1.md"),
        ("publisher", "example-lab/example-lab.md", "example-lab.md"),
    ],
)
def test_a_page_is_stored_where_its_title_says(kind, good, bad):
    assert check_page(PAGES[kind], kind, path=good) == []
    assert [(found.rule, found.line) for found in check_page(PAGES[kind], kind, path=bad)] == [
        ("path", 1)
    ]


def test_suggestions_name_what_was_probably_meant():
    by_old = {
        "text-embedding": ("text-embeddings", "text-embedding"),
        "language: de": ("language: DE", "de"),
        "<!-- license:": ("<!-- licence:", "license"),
    }
    for old, (new, meant) in by_old.items():
        (found,) = check_page(replaced(ENCODER, old, new), "encoder")
        assert found.suggestion == f"did you mean {meant!r}?"


def test_names_may_be_kept_from_becoming_links():
    text = replaced(ENCODER, "bert_en_uncased", "bert_&zwnj;en_uncased")
    assert check_page(text, "encoder") == []


def test_metadata_in_examples_are_no_metadata():
    example = "```text\n<!-- license: mit -->\n```\n\n## Changelog"
    assert check_page(replaced(ENCODER, "## Changelog", example), "encoder") == []


@pytest.mark.parametrize("text", ["", "\n", "#", "# Module", "\n\n\n", "# Module a/b/1\nText."])
def test_next_to_nothing_is_refused(text):
    findings = check_page(text, "encoder")
    assert errors(findings)
    assert all(1 <= found.line <= text.count("\n") + 1 for found in findings)


def test_a_description_that_never_ends_is_refused():
    findings = check_page("# Publisher example-lab\nA laboratory.", "publisher")
    assert [(found.rule, found.line) for found in errors(findings)] == [("description", 2)]


def test_an_unknown_kind_is_the_callers_mistake():
    with pytest.raises(ValueError, match="one of encoder, preprocessor"):
        check_page(ENCODER, "model")  # type: ignore[arg-type]


def test_fences_in_lists_and_longer_fences_are_closed():
    block = "- first:\n\n  ````python\n  print(1)\n  ````\n\n> ~~~text\n> a\n> ~~~\n\n## Changelog"
    assert check_page(replaced(ENCODER, "## Changelog", block), "encoder") == []
    left_open = "- first:\n\n  ```python\n  print(1)\n\nText.\n\n## Changelog"
    text = replaced(ENCODER, "## Changelog", left_open)
    assert [(found.rule, found.line) for found in check_page(text, "encoder")] == [
        ("fence-open", line_of(text, "  ```python"))
    ]

from __future__ import annotations

import pytest

from hubexport.cards.lint import check_links, html, links
from tests.cards.lint.material import CARD, COLLECTION, ENCODER, line_of, replaced

KNOWN = ("LICENSE", "images/layers.png", "docs/a file.md")
PAGE = """\
---
license_link: "not a [link](x y)"
---

# Links

See [usage](#from-python--keras-3), <https://example.org/a?b=c#d>, [a file](docs/a%20file.md#top),
[the licence](LICENSE "Apache 2.0"), [mail](mailto:a.b@example.org), and `[code](x y)`.

![layers](./images/layers.png) and [![badge](https://example.org/b.svg)][badge] or [badge][].

## From Python & Keras 3

- [twice](#links) and [again](#links), [bracket [x]](https://example.org/(a)), x[0][1] in `x[0][1]`

```text
[no link](a b) <script>
```

<p align="center"><img src="images/layers.png" alt="layers"></p> <!-- <script> [x](y z) -->

<a name="here"></a>[back](#here) H<sub>2</sub>O, [MASK], [1].

[badge]: https://example.org/badge
[1]: https://[2001:db8::1]:8080/x
[0]: https://example.org
"""
PAGE = PAGE.replace("x[0][1] in ", "")

# Rule, what is replaced by what, and what is on the line that is found.
BREAKS = [
    ("link-empty", "(LICENSE ", "(<> ", "the licence"),
    ("link-malformed", "https://example.org/(a)", "https://", "again"),
    ("link-malformed", "https://example.org/(a)", "https://exa_mple-.org", "again"),
    ("link-malformed", "https://[2001:db8::1]:8080/x", "https://[2001:db8::1/x", "[1]: "),
    ("link-malformed", "https://example.org/(a)", "https://example.org:port", "again"),
    ("link-malformed", "mailto:a.b@example.org", "mailto:someone", "someone"),
    ("link-http", "<https://example.org/a", "<http://example.org/a", "<http:"),
    ("link-http", "[0]: https", "[0]: http", "[0]:"),
    ("link-scheme", "mailto:a.b@example.org", "javascript:alert(1)", "javascript"),
    ("link-scheme", "./images/layers.png", "file:///layers.png", "file:"),
    ("link-scheme", "https://example.org/b.svg", "//example.org/b.svg", "//example.org/b"),
    ("link-scheme", "https://example.org/(a)", "data:text/html,x", "data:"),
    ("link-target", "LICENSE", "LICENCE", "LICENCE"),
    ("link-target", "./images/", "./image/", "./image/"),
    ("link-target", '"images/layers.png"', "'layers.png'", "'layers.png'"),
    ("link-target", "docs/a%20file.md", "../docs/a%20file.md", "../docs"),
    ("link-anchor", "(#from-python--keras-3)", "(#from-python-keras-3)", "#from-"),
    ("link-anchor", "](#here)", "](#there)", "#there"),
    ("link-space", "docs/a%20file.md", "docs/a file.md", "a file.md"),
    ("link-space", "docs/a%20file.md#top", "<docs/a file.md#top>", "a file.md"),
    ("link-space", "(https://example.org/(a))", "(https://example.org/a b)", "a b)"),
    ("reference-undefined", "[badge][]", "[bagde][]", "bagde"),
    ("reference-undefined", "svg)][badge]", "svg)], [the badge][b]", "svg"),
    (
        "reference-twice",
        "[0]: https",
        "[badge]: https://example.org\n[0]: https",
        "badge]: https://example.org\n",
    ),
    ("image-text", "![layers]", "![]", "![]"),
    ("html-program", "<p align", "<script>x()</script><p align", "<script>x"),
    ("html-program", "<img src", "<img onerror='x()' src", "onerror"),
    ("html-program", "H<sub>2</sub>O", "H<iframe>2</iframe>O", "<iframe>"),
    ("html-program", "## From", "<style>\np {}\n</style>\n\n## From", "<style>"),
]


def test_a_page_whose_links_hold_has_no_findings():
    assert check_links(PAGE, KNOWN) == []
    for page in (ENCODER, COLLECTION, CARD):
        assert check_links(page) == []


@pytest.mark.parametrize(
    ("rule", "old", "new", "place"),
    BREAKS,
    ids=[f"{index}-{entry[0]}" for index, entry in enumerate(BREAKS)],
)
def test_a_page_that_breaks_one_rule_is_found(rule, old, new, place):
    text = replaced(PAGE, old, new)
    found = [(finding.rule, finding.line) for finding in check_links(text, KNOWN)]
    assert found == [(rule, line_of(text, place))]


def test_every_rule_has_a_page_that_breaks_it():
    assert set(links.RULES) == {entry[0] for entry in BREAKS}
    assert set(html.RULES) <= set(links.RULES)


def test_the_second_of_two_equal_links_is_found_where_it_is():
    text = "a [x](#y)\nb `#y` [x](#y)\n\n| a |\n|---|\n| [x](#y) |\n"
    places = [(found.line, found.column) for found in check_links(text)]
    assert places == [(1, 7), (2, 12), (6, 7)]


def test_files_are_known_by_their_paths():
    text = "[a](b.md) [c](./d/e.md?raw=1#f) [g](h%C3%A9.md)"
    assert check_links(text, ["b.md", "./d/e.md", "hé.md"]) == []
    assert [found.rule for found in check_links(text)] == ["link-target"] * 3


@pytest.mark.parametrize(
    ("headings", "anchors"),
    [
        # As GitHub makes them.
        (["Overview"], ["overview"]),
        (["A & B", "C++ (x_y)", "What's new?"], ["a--b", "c-x_y", "whats-new"]),
        (["Usage", "Usage", "Usage 1", "Usage"], ["usage", "usage-1", "usage-1-1", "usage-2"]),
        (["Größe 2", "日本語"], ["größe-2", "日本語"]),
    ],
)
def test_headings_have_the_anchors_that_github_gives_them(headings, anchors):
    assert links.heading_anchors(headings) == anchors
    page = "\n\n".join(f"## {heading}" for heading in headings)
    page += "\n\n" + " ".join(f"[x](#{anchor})" for anchor in anchors)
    assert check_links(page) == []

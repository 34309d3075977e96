from __future__ import annotations

import ast

import pytest

from hubexport.cards.lint import check_snippets, python_snippets, snippets
from tests.cards.lint.material import ENCODER, line_of

PAGE = """\
# Snippets

```python
import tensorflow as tf

print(tf.__version__)
```

1. In a list:

   ~~~py title="a.py"
   for i in range(3):
       print(i)
   ~~~

```sh
pip install tensorflow
```

    >>> indented, not labelled

```Python3
x = [
    1,
]
```
"""


def test_snippets_are_the_python_blocks_with_their_lines():
    found = python_snippets(PAGE)
    lines = PAGE.split("\n")
    assert [snippet.line for snippet in found] == [
        line_of(PAGE, part) for part in ("import tensorflow", "for i", "x = [")
    ]
    for snippet in found:
        for offset, line in enumerate(snippet.code.rstrip("\n").split("\n")):
            assert lines[snippet.line - 1 + offset].strip() == line.strip()
        ast.parse(snippet.code)
    assert found[1].code == "for i in range(3):\n    print(i)\n"


def test_programs_that_compile_give_no_findings():
    assert check_snippets(PAGE) == []
    assert check_snippets(ENCODER) == []
    assert check_snippets("# No programs\n") == []


@pytest.mark.parametrize(
    ("old", "new", "place", "rule"),
    [
        ("print(tf.__version__)", "print tf.__version__", "print tf", "snippet-syntax"),
        ("print(tf.__version__)", "print(tf", "print(tf", "snippet-syntax"),
        ("    1,", "    1 2,", "    1 2", "snippet-syntax"),
        ("       print(i)", "     print(i", "print(i", "snippet-syntax"),
        ("   for i in range(3):", "   for i in range(3)", "   for", "snippet-syntax"),
        ("import tensorflow", "!pip install tensorflow\nimport", "!pip", "snippet-syntax"),
        ("import tensorflow", ">>> import tensorflow", ">>>", "snippet-syntax"),
        ("print(tf.__version__)", "return 1", "return", "snippet-syntax"),
        ("print(tf.__version__)", "f = '\\d'", "f = ", "snippet-warning"),
        ("print(tf.__version__)", "print(1 is 1)", "1 is 1", "snippet-warning"),
        ("x = [\n    1,\n]\n", "", "```Python3", "snippet-empty"),
    ],
)
def test_a_program_that_does_not_compile_is_found_on_its_line(old, new, place, rule):
    assert old in PAGE
    text = PAGE.replace(old, new, 1)
    assert [(found.rule, found.line) for found in check_snippets(text)] == [
        (rule, line_of(text, place))
    ]


def test_columns_are_those_of_the_page():
    text = "- x\n\n  ```python\n  a = 1\n  a b\n  ```\n"
    (found,) = check_snippets(text)
    assert (found.line, found.column) == (5, 5)


def test_suggestions_for_sessions_and_shells():
    session = check_snippets("```python\n>>> 1\n```\n")
    shell = check_snippets("```python\n!ls\n```\n")
    assert "pycon" in str(session[0].suggestion)
    assert "sh" in str(shell[0].suggestion)


@pytest.mark.parametrize(
    "code",
    ["(" * 1000, "-" * 100_000 + "1", "a" + ".b" * 50_000, "\x00", "1" * 6000, "x = '\ud800'"],
)
def test_programs_that_python_cannot_take_are_found(code):
    findings = check_snippets(f"```python\n{code}\n```\n")
    assert {found.rule for found in findings} <= {"snippet-syntax", "page-encoding"}
    assert findings or code.startswith("a.b")


def test_all_rules_are_seen():
    assert set(snippets.RULES) == {"snippet-syntax", "snippet-warning", "snippet-empty"}

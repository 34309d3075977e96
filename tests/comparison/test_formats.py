"""How comparisons are written: a summary first, long lists cut in text and never in JSON."""

from __future__ import annotations

import json
import math
import re

import pytest
from markdown_it import MarkdownIt

from hubexport.comparison.changes import ADDED, CHANGED, REMOVED, Change
from hubexport.comparison.formats import FORMATS, render_json
from hubexport.comparison.markdown import code, render_markdown
from hubexport.comparison.norms import Distance
from hubexport.comparison.outputs import OutputChange, Outputs
from hubexport.comparison.result import Comparison
from hubexport.comparison.text import SHOWN, render_text
from hubexport.comparison.variables import Spec, VariableChange, Variables
from hubexport.comparison.wording import number, summary, value

TEXT = Spec("string", (2,), None)
SPEC = Spec("float32", (4, 2), True)
DISTANCE = Distance(0.5, 0.25, 0.125, (3, 1), 6)
OTHERS = Distance(1.0, math.inf, 2.0, (0, 0), 8)


def comparison(**fields: object) -> Comparison:
    nothing: dict[str, object] = {
        "a": "/home/me/v1", "b": "/home/me/v2", "configuration": (), "key_report": (),
        "variables": Variables(3, 3, {"bytes": 3}, ()), "program": (), "assets": (),
        "outputs": None, "page": (), "notes": (),
    }  # fmt: skip
    return Comparison(**{**nothing, **fields})  # type: ignore[arg-type]


EQUAL = comparison()
DIFFERENT = comparison(
    configuration=(
        Change("architecture.dtype", CHANGED, "float32", "bfloat16"),
        Change("command", ADDED, b="--dtype=bfloat16"),
    ),
    key_report=(Change("tensors[x]", REMOVED, {"variable": "x", "tensor": "y" * 80}),),
    variables=Variables(
        4, 5, {"bytes": 1},
        (
            VariableChange("kernel", CHANGED, SPEC, SPEC, DISTANCE, 6),
            VariableChange("new|one", ADDED, None, SPEC),
            VariableChange("text", CHANGED, TEXT, TEXT),
            VariableChange("zero", CHANGED, SPEC, SPEC, OTHERS, 8, "the bytes of b are not"),
        ),
    ),
    program=(
        Change("signatures.serving_default.inputs.x.shape", CHANGED, [None, 8], [None, None]),
        Change("ops.Cast", CHANGED, 1, 2),
        Change("ops[TFText>X]", ADDED, b=1),
        Change("tensorflow_version", CHANGED, "2.20.0", "2.21.0"),
        Change("saved_model.pb", CHANGED, detail="the bytes differ"),
    ),
    assets=(Change("assets/vocab.txt", REMOVED, {"bytes": 3, "sha256": "0" * 64}),),
    outputs=Outputs(
        "transformers 5",
        (
            OutputChange("ragged", "default", DISTANCE, OTHERS, DISTANCE),
            OutputChange("ragged", "same", Distance(0, 0, 0, (), 0)),
            OutputChange("texts", "label", elements=2),
        ),
    ),
    page=("@@ -1 +1 @@", "-old", "+new"),
    notes=("neither has a record",),
)  # fmt: skip


def test_equal_artifacts_are_called_identical() -> None:
    assert EQUAL.is_equal
    assert summary(EQUAL) == "identical: 3 variables (3 by their bytes), graph, record and files"
    assert render_text(EQUAL).splitlines()[0] == summary(EQUAL)
    assert json.loads(render_json(EQUAL))["equal"] is True
    assert "identical" in render_markdown(EQUAL)


def test_the_summary_counts_everything() -> None:
    assert summary(DIFFERENT) == (
        "4 of 5 variables differ, the furthest zero by inf of its norm; configuration: 2; "
        "key report: 1; signatures: 1; ops: 2; graph: 2; assets: 1; outputs: 2 of 3; page: 3 lines"
    )


@pytest.mark.parametrize(
    "part", ["configuration", "key_report", "variables", "program", "assets", "outputs", "page"]
)
def test_any_part_is_a_difference_and_notes_are_none(part: str) -> None:
    alone = comparison(**{part: getattr(DIFFERENT, part)})
    assert not alone.is_equal and "identical" not in render_text(alone)
    assert json.loads(render_json(alone))["equal"] is False
    assert comparison(notes=("careful",)).is_equal


def test_text_says_what_was_there_and_what_is() -> None:
    text = render_text(DIFFERENT)
    for line in (
        "    architecture.dtype: float32 -> bfloat16",
        "  + command: --dtype=bfloat16",
        "  - tensors[x]",
        "  + new|one  float32 [4, 2]",
        "    text     string [2]      the bytes differ",
        "    kernel   float32 [4, 2]  0.25 of its norm (0.5), at most 0.125 at [3, 1], "
        "6 of 8 elements",
        "    signatures.serving_default.inputs.x.shape: [null, 8] -> [null, null]",
        "    saved_model.pb: the bytes differ",
        "  -old",
        "  neither has a record",
    ):
        assert line in text.splitlines()
    outputs = text[text.index("outputs (2 of 3 differ; reference by transformers 5)") :]
    assert "ragged: default  0.25 (at most 0.125)" in outputs and "2 strings differ" in outputs
    assert "ragged: same" not in outputs


def test_long_lists_are_cut_in_text_and_never_in_json() -> None:
    many = comparison(
        configuration=tuple(Change(f"f{i}", CHANGED, i, -i) for i in range(100)),
        variables=Variables(
            50, 0, {}, tuple(VariableChange(f"v{i}", REMOVED, SPEC, None) for i in range(50))
        ),
        page=tuple("line" for _ in range(40)),
    )
    text = render_text(many)
    assert text.count("\n    f") == SHOWN and f"... {100 - SHOWN} more" in text
    assert text.count("\n  - v") == SHOWN and f"... {50 - SHOWN} more" in text
    fields = json.loads(render_json(many))
    assert len(fields["configuration"]) == 100 and len(fields["page"]) == 40
    assert len(fields["variables"]["changes"]) == 50


def test_json_is_json() -> None:
    """Which knows no infinity."""
    fields = json.loads(
        render_json(DIFFERENT), parse_constant=lambda name: pytest.fail(f"found {name}")
    )
    zero = fields["variables"]["changes"][3]
    assert zero["distance"]["relative"] == "inf" and zero["distance"]["at"] == [0, 0]
    assert [each["differs"] for each in fields["outputs"]["compared"]] == [True, False, True]
    assert fields["format"] == 1 and fields["configuration"][0] == {
        "where": "architecture.dtype", "status": "changed", "a": "float32", "b": "bfloat16"
    }  # fmt: skip


def test_markdown_is_a_changelog_entry() -> None:
    text = render_markdown(DIFFERENT)
    assert text.startswith("## Changes\n\n- Variables: 4 of 5 differ.\n")
    assert "/home/me" not in text and "old" not in text and "--dtype" not in text
    assert "  - `architecture.dtype`: `float32` is now `bfloat16`\n" in text
    assert "  - `ops[TFText>X]` is new: `1`\n" in text and "ops.Cast" not in text
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert html.count("<table>") == 1 and html.count("<tr>") == 3
    assert html.index("<td><code>zero</code></td>") < html.index("<td><code>kernel</code></td>")


@pytest.mark.parametrize("text", ["a|b", "a`b", "``", "a\nb", "<script>", "[x](y)"])
def test_names_are_nothing_but_text_in_markdown(text: str) -> None:
    """Anybody may have named a variable."""
    table = f"| a | b |\n|---|---|\n| {code(text)} | 1 |"
    html = MarkdownIt("commonmark").enable("table").render(table)
    assert html.count("<td>") == 2 and html.count("<code>") == 1
    assert "<script" not in html and "<a " not in html


def test_names_do_not_steer_terminals() -> None:
    change = VariableChange("a\x1b[2Jb\nc\ud800", REMOVED, SPEC, None)
    found = comparison(variables=Variables(1, 0, {}, (change,)))
    for render in (render_text, render_markdown):
        text = render(found)
        assert not re.search("[\x00-\x09\x0b-\x1f]", text) and "\\x1b[2Jb" in text
        text.encode("utf-8")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("float32", "float32"), ("", '""'), ("a\nb", '"a\\nb"'), (None, "null"), (1e-12, "1e-12"),
        (["a"], '["a"]'), ({"functions": 1, "nodes": 2}, "1 function, 2 nodes"),
        ({"bytes": 3, "sha256": "ab" * 32}, "3 bytes, SHA-256 abababababab..."),
        ("ab" * 32, "abababababab..."), ("x" * 200, "x" * 156 + " ..."),
        ([1] * 100, f"{str([1] * 100)[:56]} ..."),
    ],
)  # fmt: skip
def test_values_are_one_short_line(found: object, text: str) -> None:
    assert value(found) == text


def test_numbers_have_few_digits() -> None:
    assert [number(x) for x in (0.0, 0.12345, 1.5e-7, 123.0, 1e9, math.inf)] == [
        "0", "0.123", "1.5e-07", "123", "1.0e+09", "inf"
    ]  # fmt: skip


def test_every_format_ends_without_a_line_break() -> None:
    for render in FORMATS.values():
        for each in (EQUAL, DIFFERENT):
            assert render(each) and not render(each).endswith("\n")

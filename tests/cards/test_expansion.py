"""One file makes many cards: fields, what is left out, and grids that contradict themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubexport.cards import expansion
from hubexport.cards.loading import load_cards
from hubexport.cards.schema import CollectionCard, EncoderCard
from tests.cards.material import COLLECTION, ENCODER, problems, write

GRID = """\
grid:
  axes:
    L: [2, 4]
    H: [64, 128]
  derived: {A: H / 64}
  cells:
    - {L: 2, H: 64, nickname: Nano, limit: It is too small to be of use.}
    - {L: 4, H: 128, task: {note: All of it was used., dataset: text}}
"""
FIELDS = (
    'name: "tiny_L-{L}_H-{H}_A-{A}"\n'
    'also_known_as: ["{nickname}"]\n'
    'limitations: ["{limit}", "Its {{braces}} are two of {L}."]\n'
    'training_data: ["{task}"]\n'
    'masking: {unit: token, rate: "{rate}"}\n'
)
TEXT = (
    ENCODER.replace("kind: encoder\n", "kind: encoder\n" + GRID)
    .replace("name: tiny_bert\n", FIELDS)
    .replace("layers: 2\n", 'layers: "{L}"\n')
    .replace("H: 64, nickname", "H: 64, rate: 0.2, nickname")
)


def cards(tmp_path: Path, text: str = TEXT) -> dict[str, EncoderCard]:
    loaded = [c for c in load_cards(write(tmp_path, text)) if isinstance(c, EncoderCard)]
    return {card.name: card for card in loaded}


def test_every_combination_is_a_card(tmp_path: Path) -> None:
    found = cards(tmp_path)
    assert list(found) == [
        "tiny_L-2_H-64_A-1",
        "tiny_L-2_H-128_A-2",
        "tiny_L-4_H-64_A-1",
        "tiny_L-4_H-128_A-2",
    ]
    assert [card.architecture.num_hidden_layers for card in found.values()] == [2, 2, 4, 4]


def test_values_keep_their_types_and_absent_ones_leave_nothing(tmp_path: Path) -> None:
    found = cards(tmp_path)
    named, plain, last = (
        found[f"tiny_L-{x}"] for x in ("2_H-64_A-1", "2_H-128_A-2", "4_H-128_A-2")
    )
    assert named.also_known_as == ("Nano",)
    assert named.limitations == ("It is too small to be of use.", "Its {braces} are two of 2.")
    assert named.masking is not None and named.masking.rate == 0.2
    # A list that loses its only item goes; a key in no list goes by itself.
    assert plain.also_known_as == ()
    assert plain.limitations == ("Its {braces} are two of 2.",)
    assert plain.masking is not None and plain.masking.rate is None
    assert plain.training_data == ()
    assert last.training_data[0].dataset == "text"


def test_an_item_with_an_absent_field_goes_as_a_whole(tmp_path: Path) -> None:
    text = TEXT + 'training:\n  - {source: https://example.org/x, hardware: "{limit}"}\n'
    found = cards(tmp_path, text)
    assert len(found["tiny_L-2_H-64_A-1"].training) == 1
    assert found["tiny_L-4_H-64_A-1"].training == ()


def test_one_axis_of_words(tmp_path: Path) -> None:
    text = COLLECTION.replace("name: tiny", 'name: "{n}"').replace(
        "kind: collection\n", "kind: collection\ngrid:\n  axes:\n    n: [one, two]\n"
    )
    loaded = load_cards(write(tmp_path, text))
    assert [c.name for c in loaded if isinstance(c, CollectionCard)] == ["one", "two"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("{A}", "{B}", 11, "the grid has no 'B'"),
        ("{nickname}", "{nickname_}", 12, "did you mean 'nickname'?"),
        ("nickname: Nano", "nickname: Nano, unused: 1", 3, "no text has the field {unused}"),
        ("{L: 2, H: 64,", "{L: 3, H: 64,", 8, "needs a value of the axis L"),
        ("{L: 2, H: 64,", "{L: 2,", 8, "needs a value of the axis H, found nothing"),
        ("{L: 4, H: 128,", "{L: 2, H: 64,", 9, "this cell is there twice"),
        ("{L: 2, H: 64,", "{L: 2, H: 64, A: 3,", 8, "is derived already"),
        ("H / 64", "H / 48", 6, "H is not always a multiple of 48"),
        ("H / 64", "K / 64", 6, "there is no axis 'K'"),
        ("H / 64", "H * 64", 6, "needs an axis divided by a number"),
        ("H / 64", "H / 0", 6, "needs an axis divided by a number"),
        ("[64, 128]", "[64, 64]", 5, "needs distinct"),
        ("[64, 128]", "64", 5, "needs a list"),
        ("[64, 128]", "[]", 5, "needs a list"),
        ("  axes:", "  axis:", 3, "did you mean 'axes'?"),
        ("  cells:", "  cell:", 7, "did you mean 'cells'?"),
        ("{{braces}}", "{{braces}", 13, "a single brace"),
        ("Its {{", "Its {task} {{", 13, "is a mapping, and this is a text"),
        ("grid:\n", "grid: 3\nnot_a_grid:\n", 2, "needs keys and values"),
        ("    L:", "    a b:", 4, "is not a field name"),
        ("rate: 0.2", "rate: high", 8, "needs a number, found 'high'"),
    ],
)
def test_a_grid_that_contradicts_itself(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in TEXT
    found = problems(tmp_path, TEXT.replace(old, new, 1))
    assert any(each[0] == line and message in each[3] for each in found), found


def test_a_problem_of_all_cards_is_said_once(tmp_path: Path) -> None:
    text = TEXT.replace("family: bert", "family: bart")
    assert [each[2] for each in problems(tmp_path, text)] == ["family"]


def test_grids_that_explode_are_refused(tmp_path: Path) -> None:
    numbers = ", ".join(str(64 * n) for n in range(1, 60))
    text = TEXT.replace("[64, 128]", f"[{numbers}]").replace("[2, 4]", f"[2, 4, {numbers}]")
    assert any(f"over {expansion.MAX_CELLS}" in each[3] for each in problems(tmp_path, text))

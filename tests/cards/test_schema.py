"""Cards are read as they are meant, or refused with the place, the key and a proposal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hubexport.cards import parts, schema
from hubexport.cards.agreement import disagreements
from hubexport.cards.loading import load_cards
from hubexport.cards.reading import keys_of, required_keys, type_name
from hubexport.cards.schema import EncoderCard, PreprocessorCard
from tests.cards.material import (
    ENCODER,
    LINES,
    MODEL_CARDS,
    PREPROCESSOR,
    ROOT,
    problems,
    write,
)


def encoder(tmp_path: Path, text: str = ENCODER) -> EncoderCard:
    (card,) = load_cards(write(tmp_path, text))
    assert isinstance(card, EncoderCard)
    return card


def test_a_card_is_what_the_file_says(tmp_path: Path) -> None:
    card = encoder(tmp_path)
    assert card.handle == "somebody/tiny_bert"
    assert card.version == 2
    assert card.changelog[1] == parts.Change(1, ("The first one is there.",))
    assert card.architecture.num_hidden_layers == 2
    assert card.kaggle == parts.Kaggle("tiny-bert", "l-2", "tensorFlow2")
    # What is not there is not made up.
    assert card.architecture.vocab_size is None
    assert card.licence is None
    assert card.limitations == ()


def test_values_of_every_type(tmp_path: Path) -> None:
    text = ENCODER + (
        "masking: {unit: token, rate: 0.15, dynamic: true}\n"
        "overview:\n  - >-\n    One paragraph of\n    two lines.\n"
        "training:\n  - source: https://example.org/x\n"
        "    steps: 1000000\n    learning_rate: 1e-4\n"
    )
    card = encoder(tmp_path, text)
    assert card.masking == parts.Masking("token", 0.15, True)
    assert card.overview == ("One paragraph of two lines.",)
    assert card.training[0].learning_rate == 1e-4
    assert card.training[0].steps == 1_000_000


BROKEN = [
    # (what is replaced, by what, line of which key, column, key, part of the message)
    ("title: Tiny", "titel: Tiny", "title", 1, "titel", "did you mean 'title'?"),
    ("family: bert", "family: bertt", "family", 9, "family", "did you mean 'bert'?"),
    ("casing: uncased", "casing: Uncased", "casing", 9, "casing", "did you mean 'uncased'?"),
    ("casing: uncased", "casing: xyz", "casing", 9, "casing", "(cased, uncased, lower_cased)"),
    ("version: 2\n", "version: two\n", "version", 10, "version", "needs an integer, found 'two'"),
    ("version: 2\n", "version: '2'\n", "version", 10, "version", "needs an integer"),
    ("version: 2\n", "version: 2.0\n", "version", 10, "version", "needs an integer"),
    ("version: 2\n", "version: 0x2\n", "version", 10, "version", "needs an integer"),
    ("version: 2\n", "version: [2]\n", "version", 10, "version", "found a list"),
    ("version: 2\n", "version: 3\n", "changelog+1", 3, "changelog", "begins with version 2"),
    ("[en]", "en", "languages", 12, "languages", "needs a list of language code"),
    ("[en]", "[]", "languages", 12, "languages", "is empty"),
    ("[en]", "[no]", "languages", 13, "languages[0]", "put it in quotes"),
    ("[en]", "[en, en]", "languages", 17, "languages", "same item twice"),
    ("title: Tiny BERT", "title: ''", "title", 8, "title", "leave the key out"),
    ("title: Tiny BERT", "title:", "title", 7, "title", "leave the key out"),
    ("title: Tiny BERT", "title: 2020-01-01", "title", 8, "title", "means a date"),
    ("title: Tiny BERT", "title: ~", "title", 8, "title", "means nothing"),
    ("title: Tiny BERT", 'title: "a\\nb c"', "title", 8, "title", "line breaks"),
    ("small enough for a test.", "small", "description", 14, "description", "not a sentence"),
    ("small enough for a test.", "x" * 300 + ".", "description", 14, "description", "at most 200"),
    ("origin:\n", "origin: &a\n", "origin", 9, "origin", "the anchor 'a'"),
    ("family: bert", "family: *a", "family", None, "", "alias"),
    ("family: bert", "family: !!str bert", "family", 9, "family", "the tag"),
    ("family: bert", "family: bert\nfamily: bert", "origin", 1, "family", "first on line 12"),
    ("family: bert", "<<: {family: bert}", "family", 1, "", "merge key"),
    ("family: bert", "? [a]\n: b", "family", 3, "", "must be a word"),
    ("somebody\nname", "Some body\nname", "publisher", 12, "publisher", "not a valid publisher"),
    ("pipeline_tag: fill-mask", "pipeline_tag: fill", "hugging_face", None, "", "pipeline tag"),
    ("tensorFlow2", "tensorflow2", "kaggle", 55, "kaggle.framework", "'tensorFlow2'?"),
    ("text-embedding", "text-embeding", "tfhub", None, "tfhub.tasks[0]", "'text-embedding'?"),
    ("kind: encoder", "kind: encodr", "kind", 7, "kind", "did you mean 'encoder'?"),
    ("kind: encoder\n", "", "kind", 1, "kind", "is missing"),
]


@pytest.mark.parametrize(("old", "new", "near", "column", "key", "message"), BROKEN)
def test_an_offender_is_named(
    tmp_path: Path, old: str, new: str, near: str, column: int | None, key: str, message: str
) -> None:
    assert ENCODER.count(old) >= 1
    found = problems(tmp_path, ENCODER.replace(old, new, 1))
    matching = [each for each in found if message in each[3]]
    assert matching, found
    line, at, where, _ = matching[0]
    assert key in where
    if column is not None:
        key_of_line, _, lines_below = near.partition("+")
        assert (line, at) == (LINES[key_of_line] + int(lines_below or 0), column)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "https://",
        "https://localhost/x",
        "https://example.org:80:80/",
        "https://user@example.org/",
        "https://example.org/a b",
        "https://example.org/%zz",
        "https://exämple.org/",
        "https://[::1/",
        "javascript:alert(1)",
        "example.org",
        "https://-bad-.org/",
        'https://example.org/"onclick',
    ],
)
def test_malformed_urls_are_refused(tmp_path: Path, url: str) -> None:
    text = ENCODER.replace("https://example.org/tiny", "'" + url + "'")
    ((line, _, key, message),) = problems(tmp_path, text)
    assert (line, key) == (LINES["origin"] + 2, "origin.release")
    assert "URL" in message or "https" in message or "host" in message


def test_all_offenders_are_listed_at_once(tmp_path: Path) -> None:
    text = ENCODER.replace("family: bert", "family: bart").replace(
        "version: 2\n", "version: x\n", 1
    )
    text = text.replace("title: Tiny BERT\n", "").replace("tasks:", "task:")
    found = {key for _, _, key, _ in problems(tmp_path, text)}
    assert {"family", "version", "", "tfhub.task", "tfhub"} <= found


def test_missing_keys_are_named_together(tmp_path: Path) -> None:
    text = ENCODER.replace("title: Tiny BERT\n", "").replace("casing: uncased\n", "")
    ((line, column, key, message),) = problems(tmp_path, text)
    assert (line, column, key, message) == (1, 1, "", "lacks title, casing")


def test_disagreements_with_the_record(tmp_path: Path) -> None:
    card = encoder(tmp_path)
    record = {
        "kind": "encoder",
        "family": {"name": "bert"},
        "architecture": {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 30},
        "tokenizer": {"do_lower_case": True},
    }
    assert disagreements(card, record) == []
    record["architecture"] = {"num_hidden_layers": 3, "hidden_size": 8}
    record["tokenizer"] = {"do_lower_case": False}
    record["family"] = {"name": "lambert"}
    found = disagreements(card, record)
    assert [line.split(":")[0] for line in found] == [
        "casing",
        "family",
        "architecture.num_hidden_layers",
    ]
    assert found[2].endswith("the card says 2, the record says 3")
    assert disagreements(card, {"kind": "encoder", "tokenizer": None}) == []


def test_disagreements_of_a_preprocessor(tmp_path: Path) -> None:
    (card,) = load_cards(write(tmp_path, PREPROCESSOR))
    assert isinstance(card, PreprocessorCard)
    tokenizer = {"kind": "wordpiece", "model_type": "bert", "vocab_size": 30}
    assert disagreements(card, {"kind": "preprocessor", "tokenizer": tokenizer}) == []
    tokenizer = {"kind": "bpe", "model_type": "bert", "vocab_size": 31}
    found = disagreements(card, {"kind": "encoder", "tokenizer": tokenizer})
    assert [line.split(":")[0] for line in found] == [
        "kind", "tokenizer", "vocab_size", "tfhub.tasks"
    ]  # fmt: skip


def documented() -> dict[str, list[tuple[str, str, str]]]:
    """Section of docs/model_cards.md -> its table's rows: key, type, required."""
    text = (ROOT / "docs" / "model_cards.md").read_text("utf-8")
    tables: dict[str, list[tuple[str, str, str]]] = {}
    for section in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        title = section.splitlines()[0]
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (\S.*) \|$", section, re.MULTILINE)
        if rows:
            found = re.search(r"`kind: (\w+)`", title)
            tables[found[1] if found else title] = [row[:3] for row in rows]
    return tables


def test_the_document_has_every_key() -> None:
    described: dict[str, type] = dict(schema.KINDS)
    described |= {
        name: kind
        for name, kind in vars(parts).items()
        if isinstance(kind, type) and kind.__module__ == parts.__name__
    }
    tables = documented()
    assert set(tables) == set(described)
    for name, kind in described.items():
        rows = [
            (key, type_name(value), "yes" if key in required_keys(kind) else "")
            for key, value in keys_of(kind).items()
        ]
        assert tables[name] == rows, name


def test_the_document_shows_real_errors(tmp_path: Path) -> None:
    text = (MODEL_CARDS / "encoders" / "lambert.yaml").read_text("utf-8")
    text = text.replace("fine_tuning:", "fine_tunning:").replace("casing: unc", "casing: unnc")
    found = problems(tmp_path, text)
    assert len(found) == 2
    document = (ROOT / "docs" / "model_cards.md").read_text("utf-8")
    for line, column, key, message in found:
        assert f"lambert.yaml, line {line}, column {column}: {key}: {message}\n" in document

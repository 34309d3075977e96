"""Files of any content give cards or errors of ours; catalogues resolve what cards refer to."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml

from hubexport.cards.loading import load_cards, load_catalogue
from hubexport.cards.problems import CardError
from tests.cards.material import (
    COLLECTION,
    DATASETS,
    ENCODER,
    MODEL_CARDS,
    PAPERS,
    PIPELINE,
    PREPROCESSOR,
    PUBLISHER,
    problems,
    write,
)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "nothing"),
        (b"- a\n- b\n", 1, "a list"),
        (b"just text", 1, "the text"),
        (b"a: b\nc: \xff\n", 2, "UTF-8"),
        (b"a: b\nc: d: e\n", 2, "not YAML"),
        (b"a: [b\n", 2, "not YAML"),
        (b"a: b\nc: \x00\n", 2, "not YAML"),
        (b"a: b\n---\nc: d\n", 2, "second document"),
        (b"a: b\n\tc: d\n", 2, "not YAML"),
        (b"a: " + b"[" * 1000, 1, ""),  # PyYAML may have a limit of its own, and words for it
        (b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n", 2, "alias"),
        (b"a: &a [*a]\n", 1, "alias"),
        (b"a: !!python/object/apply:os.system ['true']\n", 1, "the tag"),
    ],
)
def test_files_that_are_no_cards(tmp_path: Path, content: bytes, line: int, message: str) -> None:
    found = problems(tmp_path, content)
    assert any(each[0] == line and message in each[3] for each in found), found


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(CardError, match=r"cannot be read|holds no"):
            load_cards(path)
    write(tmp_path, PUBLISHER)
    write(tmp_path / "other.yml", PUBLISHER)
    with pytest.raises(CardError, match=r"other\.yml.*\.yaml"):
        load_cards(tmp_path)


def catalogue_files(directory: Path, **changed: str) -> Path:
    texts = {
        "encoder": ENCODER + "papers: [nobody2020]\ncollections: [somebody/tiny]\n"
        "training_data: [{dataset: text}]\n",
        "preprocessor": PREPROCESSOR,
        "pipeline": PIPELINE,
        "publisher": PUBLISHER,
        "collection": COLLECTION,
        "papers": PAPERS,
        "datasets": DATASETS,
    }
    for name, text in (texts | changed).items():
        write(directory / f"{name}.yaml", text)
    return directory


def test_a_catalogue_resolves_what_cards_refer_to(tmp_path: Path) -> None:
    catalogue = load_catalogue(catalogue_files(tmp_path))
    card = catalogue.encoders["somebody/tiny_bert"]
    assert catalogue.members("somebody/tiny") == [card]
    assert catalogue.encoders_of(card.preprocessor) == [card]
    assert catalogue.preprocessors[card.preprocessor].vocab_size == 30
    assert catalogue.papers["nobody2020"].year == 2020
    (pipeline,) = catalogue.pipelines_of(card.handle)
    assert pipeline.task == "embedding" and catalogue.source(pipeline) is card
    assert catalogue.source(card) is card
    assert len(load_cards(tmp_path)) == 5


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("papers", "nobody2020:", "nobody2021:", "no paper 'nobody2020'; did you mean"),
        ("collection", "name: tiny", "name: tinny", "no collection 'somebody/tiny'; did you mean"),
        ("preprocessor", "tiny_preprocess", "tiny_pre", "no preprocessor"),
        ("datasets", "text:", "texts:", "no dataset 'text'"),
        ("publisher", "publisher: somebody", "publisher: other", "'somebody' has no card"),
        ("collection", COLLECTION, ENCODER, "'somebody/tiny_bert' is there twice"),
    ],
)
def test_a_catalogue_refuses_what_leads_nowhere(
    tmp_path: Path, file: str, old: str, new: str, message: str
) -> None:
    directory = catalogue_files(tmp_path)
    path = directory / f"{file}.yaml"
    write(path, path.read_text("utf-8").replace(old, new, 1))
    with pytest.raises(CardError, match=re.escape(message)):
        load_catalogue(directory)


def test_a_pyyaml_without_libyaml_reads_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = ENCODER.replace("family: bert", "family: bart").replace("[en]", "[no, &a x]")
    fast = load_catalogue(MODEL_CARDS), problems(tmp_path, broken)
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert (load_catalogue(MODEL_CARDS), problems(tmp_path, broken)) == fast


FUZZED = (
    "publishers.yaml",
    "collections.yaml",
    "papers.yaml",
    "encoders/gpt.yaml",
    "encoders/talking_heads.yaml",
    "encoders/transformer_xl.yaml",
    "preprocessors/xlm.yaml",
)
MUTATIONS = 400  # of each file


def mutated(content: bytes, chance: random.Random) -> bytes:
    """The content with up to three accidents: of an editor, a merge, a disk, or of malice."""
    result = bytearray(content)
    lines = content.splitlines(keepends=True)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(result) + 1)
        accident = chance.randrange(6)
        if accident == 0:
            result[at : at + chance.randint(1, 40)] = b""
        elif accident == 1:
            result[at:at] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 4)))
        elif accident == 2:
            result[at:at] = chance.choice(
                [b"&a ", b"*a ", b"!!map ", b"{", b"}", b"[", b"]", b": ", b"- ", b"'", b'"', b"\n",
                 b"\t", b"#", b"|", b">", b"? ", b"---\n", b"<<: ", b"{L}", b"{{", b"9" * 400,
                 b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"%YAML 9\n", b".inf", b"null"]
            )  # fmt: skip
        elif accident == 3:
            result[at:at] = chance.choice(lines)
        elif accident == 4:
            result = bytearray(b"".join(chance.sample(lines, len(lines))))
        else:
            result[at:] = b""
    return bytes(result)


@pytest.mark.parametrize("name", FUZZED)
def test_no_bytes_give_anything_but_an_error_of_ours(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    content = (MODEL_CARDS / name).read_bytes()
    path = tmp_path / "card.yaml"
    refused = 0
    for _ in range(MUTATIONS):
        path.write_bytes(mutated(content, chance))
        try:
            load_cards(path)
        except CardError as error:
            refused += 1
            assert error.problems
            assert all(p.mark.line >= 1 and p.mark.column >= 1 for p in error.problems)
            assert len(str(error)) < 40_000
    assert 0 < refused <= MUTATIONS

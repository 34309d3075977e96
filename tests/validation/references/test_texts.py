"""Cases of text have the ids of the reference tokenizer, cut and padded as it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import UsageError, VocabularyError
from hubexport.families.heads import POSITIONS
from hubexport.validation.references import texts
from tests.validation.references.expected import RANDOM_CASES

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["capital", "france", "paris", "is", "the", "of", "days", "madrid", "la", "de", "ville"]
MARKS = list(".,?!-()@:—'")
LETTERS = list("abcdefghijklmnopqrstuvwxyz0123456789")
PIECES = [*SPECIALS, *WORDS, *MARKS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
SIZES = {"vocab_size": len(PIECES), "max_position_embeddings": 80, "type_vocab_size": 2}


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def rust(vocab_file: Path) -> Any:
    """The tokenizer of the package `tokenizers`, lower-casing."""
    tokenizers = pytest.importorskip("tokenizers")
    return tokenizers.BertWordPieceTokenizer(str(vocab_file), lowercase=True)


@pytest.fixture(scope="module")
def hugging_face(vocab_file: Path) -> Any:
    pytest.importorskip("transformers")
    from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer

    settings = {"do_lower_case": True, "tokenizer_class": "BertTokenizer"}
    (vocab_file.parent / "tokenizer_config.json").write_text(json.dumps(settings))
    return HuggingFaceTokenizer(vocab_file.parent)


@pytest.fixture(scope="module")
def garden(vocab_file: Path) -> Any:
    pytest.importorskip("official.nlp.tools.tokenization", reason="Model Garden is not installed")
    from hubexport.validation.references.model_garden.tokenizer import GardenTokenizer

    return GardenTokenizer(vocab_file, True)


def cases_of(tokenizer: Any, mlm: bool = True, **sizes: int) -> tuple[dict[str, Any], str]:
    cases, notes = texts.make_cases({**SIZES, **sizes}, 0, tokenizer, mlm=mlm)
    return {case.name: case for case in cases}, " ".join(notes)


Rows = list[list[int]]


def by_tokenizers(rust: Any, segments: list[str], length: int) -> Rows:
    """Ids, mask and types as the package `tokenizers` cuts and pads them."""
    rust.enable_truncation(length, strategy="longest_first")
    rust.enable_padding(length=length)
    row = rust.encode(*segments)
    rust.no_truncation()
    rust.no_padding()
    return [row.ids, row.attention_mask, row.type_ids]


def by_bert(rust: Any, segments: list[str], length: int) -> Rows:
    """The same as google-research/bert's run_classifier.py describes it: a piece at a time off the
    longer segment, the second of two that are as long."""
    ids = [rust.encode(text, add_special_tokens=False).ids for text in segments]
    while sum(map(len, ids)) > length - 1 - len(ids):
        max(reversed(ids), key=len).pop()
    row = [2, *ids[0], 3, *(ids[1] + [3] if len(ids) > 1 else [])]
    types = [0] * (len(ids[0]) + 2) + [1] * (len(row) - len(ids[0]) - 2)
    pad = [0] * (length - len(row))
    return [row + pad, [1] * len(row) + pad, types + pad]


RULES: dict[str, Callable[[Any, list[str], int], Rows]] = {
    "hugging_face": by_tokenizers,
    "garden": by_bert,
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("positions", [80, 20, 8])
def test_ids_mask_and_types(
    name: str, positions: int, rust: Any, request: pytest.FixtureRequest
) -> None:
    cases, notes = cases_of(request.getfixturevalue(name), max_position_embeddings=positions)
    assert list(cases)[:8] == [*RANDOM_CASES, "texts", "text_pairs"]
    assert ("mlm_sentences" in cases) == (positions > 8)
    assert "pairs cut" in notes
    length = min(positions, 64)
    for case_name in ("texts", "text_pairs"):
        case = cases[case_name]
        assert case.shape == (len(case.texts), length)
        for row, segments in enumerate(case.texts):
            wanted = RULES[name](rust, segments, length)
            for values, key in zip(
                wanted, ("input_word_ids", "input_mask", "input_type_ids"), strict=True
            ):
                np.testing.assert_array_equal(case.inputs[key][row], values, f"{case_name} {row}")
        full = case.inputs["input_mask"].all(axis=1)
        assert full.any(), "nothing is cut off"
        if length == 64:
            assert not full.all(), "everything is cut off"


@pytest.mark.parametrize("name", RULES)
def test_masked_sentences(name: str, rust: Any, request: pytest.FixtureRequest) -> None:
    """Only sentences whose every character is known, and one whole word of each masked."""
    case = cases_of(request.getfixturevalue(name))[0]["mlm_sentences"]
    masked = {}
    for row, (sentence,) in enumerate(case.texts):
        ids = rust.encode(sentence).ids
        assert 1 not in ids
        (position,) = case.inputs[POSITIONS][row]
        (piece,) = case.masked_lm_ids[row]
        found = case.inputs["input_word_ids"][row].copy()
        assert found[position] == 4
        assert np.count_nonzero(found == 4) == 1
        found[position] = piece
        np.testing.assert_array_equal(found[: len(ids)], ids)
        masked[sentence] = PIECES[piece]
    assert masked["Paris is the capital of France."] == "france"
    assert not any("door" in sentence for sentence in masked)  # several pieces of this vocabulary
    assert not any("北" in sentence for sentence in masked)


def test_no_masked_sentences(hugging_face: Any) -> None:
    assert "mlm_sentences" not in cases_of(hugging_face, mlm=False)[0]

    class Nothing(texts.TextTokenizer):
        """Of a vocabulary that has none of the words."""

        name, truncation, mask_id, unknown_id = "nothing", "not", 4, 1

        def ids(self, text: str) -> list[int]:
            return [1]

        def pack(self, segments: Any, length: int) -> Any:
            return [1] * length, [1] * length, [0] * length

    cases, notes = cases_of(Nothing())
    assert "mlm_sentences" not in cases
    assert "no masked sentences" in notes


def test_models_that_text_does_not_fit(hugging_face: Any) -> None:
    cases, notes = cases_of(hugging_face, type_vocab_size=1)
    assert "text_pairs" not in cases and "texts" in cases
    assert "types that the model has not" in notes
    cases, notes = cases_of(hugging_face, max_position_embeddings=7)
    assert list(cases) == RANDOM_CASES
    assert "7 positions" in notes
    with pytest.raises(VocabularyError, match="without an embedding"):
        cases_of(hugging_face, vocab_size=30)


def test_a_vocabulary_alone_does_not_say_whether_it_is_cased(
    vocab_file: Path, tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("official.nlp.tools.tokenization")
    from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer
    from hubexport.validation.references.model_garden.tokenizer import GardenTokenizer

    alone = tmp_path / "vocab.txt"
    alone.write_bytes(vocab_file.read_bytes())
    with pytest.raises(VocabularyError, match="does not say"):
        HuggingFaceTokenizer(tmp_path)
    with pytest.raises(UsageError, match="do_lower_case"):
        GardenTokenizer(alone, None)
    assert GardenTokenizer(alone, False).ids("Paris paris") == [1, PIECES.index("paris")]


def test_a_tokenizer_that_cannot_be_loaded(vocab_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer

    settings = tmp_path / "tokenizer_config.json"
    settings.write_text("{}")
    with pytest.raises(VocabularyError, match="does not say"):
        HuggingFaceTokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_text("")
    with pytest.raises(VocabularyError, match="no pieces"):
        HuggingFaceTokenizer(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(vocab_file.read_bytes())
    settings.write_text("{")
    with pytest.raises(VocabularyError, match="transformers cannot load"):
        HuggingFaceTokenizer(tmp_path)


def test_no_code_of_a_tokenizer_is_executed(
    vocab_file: Path, tmp_path: Path, rust: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    from hubexport.validation.references.hugging_face_tokenizer import HuggingFaceTokenizer

    (tmp_path / "own.py").write_text("print('executed')")
    (tmp_path / "vocab.txt").write_bytes(vocab_file.read_bytes())
    settings = {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}, "do_lower_case": True}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    loaded = HuggingFaceTokenizer(tmp_path)
    assert loaded.ids("Paris!") == rust.encode("Paris!", add_special_tokens=False).ids
    assert "executed" not in capfd.readouterr().out

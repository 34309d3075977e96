"""The gates of preprocessors: clean ones pass, and each planted fault is named."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
transformers = pytest.importorskip("transformers")

from hubexport.saved_model.record import load_record  # noqa: E402
from hubexport.validation.cases import Case  # noqa: E402
from hubexport.validation.gates import preprocessor_ids, preprocessor_interface  # noqa: E402
from hubexport.validation.gates.text.graph import graph_measurements  # noqa: E402
from hubexport.validation.gates.text.packing import shared_room  # noqa: E402
from hubexport.validation.reference_file import (  # noqa: E402
    Provenance,
    Reference,
    read_reference,
    write_reference,
)
from tests.artifacts import export_preprocessor  # noqa: E402
from tests.tokenizers.test_byte_level_bpe import trained  # noqa: E402
from tests.tokenizers.test_exported import train_sentencepiece  # noqa: E402
from tests.validation.gates import published  # noqa: E402
from tests.validation.gates.contexts import context, failed  # noqa: E402

LENGTH = 32
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZéü0123456789.,;:!?'()-"
TEXTS = [
    "The quick brown fox, jumps!",
    "ÉCLAIR naïve: Ünï (12)",
    "漢字 and 中文abc",
    "",
    "a very long text of many words " * 9,
]
PAIRS = [
    ("Is it open?", "It is closed."),
    ("a b c", ""),
    ("long first " * 20, "short"),
    ("short", "long second " * 20),
    ("both are long " * 20, "and this one too " * 20),
]


def vocabulary(path: Path) -> Path:
    """Every letter as a word and as a continuation, and some longer pieces."""
    pieces = [*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    pieces += ["the", "quick", "fox", "##ing", "and", "is", "open", "long", "first", "both", "漢"]
    path.write_text("\n".join(pieces) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Artifacts `wordpiece`, `cased` and `roberta`, and files they were made of."""
    work = tmp_path_factory.mktemp("preprocessors")
    vocab_file = vocabulary(work / "vocab.txt")
    for name, lower in (("wordpiece", True), ("cased", False)):
        export_preprocessor(
            export_path=work / name,
            vocab_file=vocab_file,
            do_lower_case=lower,
            default_seq_length=24,
            tokenize_with_offsets=lower,
        )
    (work / "bpe").mkdir()
    (work / "bpe" / "tokenizer.json").write_text(trained(), "utf-8")
    export_preprocessor(
        export_path=work / "roberta",
        tokenizer=work / "bpe",
        model_type="roberta",
        default_seq_length=24,
    )
    (work / "bert").mkdir()
    bert(work).save_pretrained(work / "bert")
    return work


def bert(work: Path) -> Any:
    """transformers' tokenizer of the same vocabulary."""
    pieces = (work / "vocab.txt").read_text("utf-8").splitlines()
    return transformers.BertTokenizerFast(
        vocab={piece: number for number, piece in enumerate(pieces)}, do_lower_case=True
    )


def packed_by_transformers(work: Path, name: str, texts: list[list[str]], **options: Any) -> Case:
    """A reference's case of those texts."""
    encoded = bert(work)(
        *([list(column) for column in zip(*texts, strict=True)]),
        padding="max_length",
        truncation=True,
        max_length=LENGTH,
        return_tensors="np",
    )
    inputs = {
        "input_word_ids": encoded["input_ids"],
        "input_mask": encoded["attention_mask"],
        "input_type_ids": encoded["token_type_ids"],
    }
    return Case(name, {k: v.astype(np.int32) for k, v in inputs.items()}, texts, **options)


def reference(path: Path, *cases: Case) -> Reference:
    """A file with those inputs; its outputs are of no interest here."""
    outputs = {case.name: {"sequence_output": np.ones([*case.shape, 2], "f4")} for case in cases}
    write_reference(path, Provenance("file", "a test", [], {}), cases, outputs)
    return read_reference(path)


@pytest.mark.parametrize("name", [
    "wordpiece",
    pytest.param("roberta", marks=pytest.mark.exhaustive),
    pytest.param("albert", marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_exported_preprocessors_have_the_interface(work: Path, name: str) -> None:
    if name == "albert":
        train_sentencepiece(work)
        export_preprocessor(
            export_path=work / "albert",
            sp_model_file=work / "albert.model",
            do_lower_case=True,
            default_seq_length=24,
        )
    result = preprocessor_interface.run(context(preprocessor=work / name))
    assert not failed(result)
    measured = {each.what for each in result.measurements}
    assert "packing of two texts: room is used up and shared" in measured
    assert ("tokenize_with_offsets" in measured) == (name == "wordpiece")


def test_what_a_record_tells_is_found_out_without_it(work: Path) -> None:
    given = context(preprocessor=work / "roberta", recorded=False)
    assert not failed(preprocessor_interface.run(given))


def test_preprocessors_of_tensorflow_text_have_the_interface(work: Path, tmp_path: Path) -> None:
    artifact = published.Published(published.WordPieces(work / "vocab.txt")).save(tmp_path / "new")
    result = preprocessor_interface.run(context(preprocessor=artifact))
    # Its Python adds them; the published ones were made with a TensorFlow patched to add none.
    assert failed(result) == {"graph: Assert nodes"}


PACKING = ("packing of one text", "packing of two texts")
FAULTS: Mapping[str, set[str]] = {
    "Published": set(),
    "WrongPadding": {f"{each}: padding" for each in PACKING},
    "NoEnd": {f"{each}: special tokens" for each in PACKING},
    "MaskOfOnes": {f"{each}: input_mask" for each in PACKING},
    "CutsBeginnings": {f"{each}: what is too long keeps its beginning" for each in PACKING},
    "IgnoresLength": {
        f"bert_pack_inputs: {count} of ragged rank {rank}, seq_length {how}"
        for count in (1, 2)
        for rank in (1, 2)
        for how in ("a Python int", "a tensor")
    },
    "UnusedRoom": {"packing of two texts: room is used up and shared"},
    "SwappedTypes": {"packing of two texts: types"},
    "TokensOfInt64": {"tokenize: what it gives"},
    "RootOfInt64": {"root: what it gives"},
    "MoreInRoot": {"root: what it gives"},
    "OtherDefaultInRoot": {"root is bert_pack_inputs of tokenize"},
    "NoMaskId": {"tokenize.get_special_tokens_dict"},
    "TooFewPieces": {"ids are below vocab_size"},
    "DependsOnBatch": {
        "texts with other ids alone than in a batch",
        "in Dataset.map, batched",  # whose last batch has one text
        "in Dataset.map, text by text",
    },
}


# Together where they do not get into each other's way: each has measurements of its own.
TOGETHER = [
    ("Published",),
    ("WrongPadding", "MoreInRoot", "NoMaskId"),
    ("NoEnd", "RootOfInt64"),
    ("MaskOfOnes", "TokensOfInt64"),
    ("CutsBeginnings", "OtherDefaultInRoot"),
    ("SwappedTypes", "UnusedRoom", "TooFewPieces"),
    ("IgnoresLength",),
    ("DependsOnBatch",),
]


def test_all_faults_are_planted() -> None:
    assert sorted(sum(TOGETHER, ())) == sorted(FAULTS)


@pytest.mark.parametrize(
    "faults",
    [
        # Without a fault, others pass here as well.
        pytest.param(each, marks=[pytest.mark.exhaustive] if each == ("Published",) else [])
        for each in TOGETHER
    ],
    ids="_".join,
)
def test_planted_faults_are_named(faults: tuple[str, ...], tmp_path: Path) -> None:
    bases = tuple(getattr(published, fault) for fault in faults)
    artifact = type("Faulty", bases, {})().save(tmp_path / "artifact")
    expected = set().union(*(FAULTS[fault] for fault in faults))
    assert failed(preprocessor_interface.run(context(preprocessor=artifact))) == expected


@pytest.mark.parametrize(
    ("fault", "what", "figure"),
    [
        ("WithAssert", "graph: Assert nodes", 1),
        ("OnGpu", "graph: devices that nodes are pinned to", "/device:GPU:0"),
        ("WithVariable", "graph: variables", "offset"),
        ("WithPath", "graph: constants that are paths", "/home/someone/models/vocab.txt"),
    ],
)
def test_faults_of_the_graph_are_named(
    fault: str, what: str, figure: int | str, tmp_path: Path
) -> None:
    artifact = getattr(published, fault)().save(tmp_path / "artifact")
    wrong = [each for each in graph_measurements(artifact) if not each.passed]
    assert [(each.what, each.figure) for each in wrong] == [(what, figure)]


@pytest.mark.parametrize("fault", ["Fails", "NoTokenize"])
def test_artifacts_that_cannot_be_used_fail_and_raise_nothing(fault: str, tmp_path: Path) -> None:
    artifact = getattr(published, fault)().save(tmp_path / "artifact")
    result = preprocessor_interface.run(context(preprocessor=artifact))
    assert "tokenize: what it gives" in failed(result)
    figures = [str(each.figure) for each in result.failures]
    expected = {"Fails": "Input to reshape is a tensor", "NoTokenize": "there is no .tokenize"}
    assert any(expected[fault] in each for each in figures)


def test_damaged_artifacts_fail_and_raise_nothing(work: Path, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    shutil.copytree(work / "wordpiece", artifact)
    (artifact / "saved_model.pb").write_bytes(b"\xff" * 100)
    given = context(
        preprocessor=artifact, reference=None, reference_tokenizer=work / "bert", recorded=False
    )
    for gate in (preprocessor_interface, preprocessor_ids):
        assert "tf.saved_model.load" in failed(gate.run(given))


def test_promises_of_the_record_are_looked_at(work: Path) -> None:
    record = copy.deepcopy(load_record(work / "wordpiece"))
    record["default_seq_length"] = 25
    record["truncation"] = "longest_first"
    record["tokenizer"]["special_tokens"]["mask_id"]["id"] = 9
    record["tokenizer"]["model_type"] = "roberta"
    given = context(preprocessor=work / "wordpiece", preprocessor_record=record)
    assert failed(preprocessor_interface.run(given)) == {
        "root: default length, as recorded",
        "tokenize.get_special_tokens_dict",
        "packing of two texts: special tokens",
        "packing of two texts: types",
        "packing of two texts: room is used up and shared",
    }


def test_promised_parts_must_be_there(work: Path) -> None:
    record = copy.deepcopy(load_record(work / "roberta"))
    record["tokenize_with_offsets"] = True
    given = context(preprocessor=work / "roberta", preprocessor_record=record)
    assert failed(preprocessor_interface.run(given)) == {"tokenize_with_offsets"}


@pytest.mark.parametrize(
    ("lengths", "room", "round_robin", "longest_first"),
    [
        ([9], 4, [4], [4]),
        ([2, 3], 9, [2, 3], [2, 3]),
        ([9, 9], 5, [3, 2], [2, 3]),
        ([9, 8], 5, [3, 2], [3, 2]),
        ([8, 9], 5, [3, 2], [2, 3]),
        ([1, 9], 5, [1, 4], [1, 4]),
        ([9, 1], 5, [4, 1], [4, 1]),
    ],
)
def test_room_is_shared(
    lengths: list[int], room: int, round_robin: list[int], longest_first: list[int]
) -> None:
    assert shared_room(lengths, room, "round_robin") == round_robin
    assert shared_room(lengths, room, "longest_first") == longest_first


# The ids.


@pytest.fixture(scope="module")
def cases(work: Path) -> list[Case]:
    """What transformers makes of the texts, the pairs, and texts with a piece masked."""
    texts = packed_by_transformers(work, "texts", [[text] for text in TEXTS])
    pairs = packed_by_transformers(work, "text_pairs", [list(pair) for pair in PAIRS])
    masked = packed_by_transformers(work, "mlm_sentences", [["the quick fox"], ["open and is"]])
    ids, places = masked.inputs["input_word_ids"], np.array([[2], [1]], np.int32)
    true = np.take_along_axis(ids, places, axis=1)
    np.put_along_axis(ids, places, SPECIALS.index("[MASK]"), axis=1)
    inputs = {**masked.inputs, "masked_lm_positions": places}
    return [texts, pairs, Case("mlm_sentences", inputs, masked.texts, true)]


def test_nothing_to_compare_with_is_said(work: Path, tmp_path: Path) -> None:
    result = preprocessor_ids.run(context(preprocessor=work / "wordpiece"))
    assert result.status == "not run" and "--reference_tokenizer" in result.detail
    ids = np.ones([1, 4], np.int32)
    case = Case("plain", dict.fromkeys(("input_word_ids", "input_mask", "input_type_ids"), ids))
    without_texts = reference(tmp_path / "reference", case)
    result = preprocessor_ids.run(context(preprocessor=work / "wordpiece", reference=without_texts))
    assert result.status == "not run" and "has no texts" in result.detail


def test_ids_are_those_of_transformers(work: Path, cases: list[Case], tmp_path: Path) -> None:
    given = context(
        preprocessor=work / "wordpiece",
        reference=reference(tmp_path / "reference", *cases),
        reference_tokenizer=work / "bert",
    )
    result = preprocessor_ids.run(given)
    assert not failed(result)
    assert len(result.measurements) == 3 * len(cases) + 1
    # transformers cuts pairs longest first: with odd room, another token stays of the last pair.
    assert "text_pairs: 1 of 5 pairs are cut by another policy" in result.detail


def test_byte_level_ids_are_those_of_tokenizers(work: Path) -> None:
    given = context(preprocessor=work / "roberta", reference_tokenizer=work / "bpe")
    assert not failed(preprocessor_ids.run(given))


def test_ids_without_a_record(work: Path) -> None:
    given = context(
        preprocessor=work / "wordpiece", reference_tokenizer=work / "bert", recorded=False
    )
    assert not failed(preprocessor_ids.run(given))


def test_wrong_casing_is_shown_piece_by_piece(
    work: Path, cases: list[Case], tmp_path: Path
) -> None:
    given = context(
        preprocessor=work / "cased",
        reference=reference(tmp_path / "reference", *cases),
        reference_tokenizer=work / "bert",
    )
    result = preprocessor_ids.run(given)
    wrong = failed(result)
    assert "texts: texts with other input_word_ids" in wrong
    assert "text_pairs: texts with other input_word_ids" in wrong
    assert any(each.startswith("difficult texts with other ids than") for each in wrong)
    assert not any(each.startswith("mlm_sentences") for each in wrong)
    assert "artifact: from token 0: '[CLS]' 2, 'T' " in result.detail
    assert "reference: from token 0: '[CLS]' 2, 'the' " in result.detail
    # An artifact whose record excuses some texts is not excused for all of them.
    record = copy.deepcopy(load_record(work / "cased"))
    record["tokenizer"]["differences_to_the_reference"] = "there is a reason"
    given.preprocessor_record = record
    limits = {each.what: each.limit for each in preprocessor_ids.run(given).measurements}
    assert limits["texts: texts with other input_word_ids"] == len(TEXTS) // 4


def test_other_masks_and_types_are_found(work: Path, cases: list[Case], tmp_path: Path) -> None:
    texts, pairs, _ = copy.deepcopy(cases)
    texts.inputs["input_mask"][1, 3] = 0
    pairs.inputs["input_type_ids"][0] = 0
    given = context(
        preprocessor=work / "wordpiece",
        reference=reference(tmp_path / "reference", texts, pairs),
    )
    assert failed(preprocessor_ids.run(given)) == {
        "texts: texts with other input_mask",
        "text_pairs: texts with other input_type_ids",
    }

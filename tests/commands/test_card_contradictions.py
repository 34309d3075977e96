"""`hubexport card` refuses a card that says otherwise than the record: every key, all at once."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubexport import cli
from hubexport.cards.agreement import CLAIMS, disagreements
from hubexport.cards.loading import Catalogue, load_cards, load_catalogue
from hubexport.families.registry import families
from hubexport.pipelines.registry import tasks
from tests.cards.material import MODEL_CARDS, ROOT
from tests.cards.rendering.exported import BASIC, Artifacts, enlarged, head_entry
from tests.cards.rendering.of_artifact import (
    HANDLE,
    PREPROCESSOR,
    encoder_card,
    preprocessor_card,
    write_cards,
)

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    return Artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def records(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Of artifacts that were exported: an encoder with both heads, one without, a preprocessor."""
    return {name: artifacts[name].record for name in (*BASIC, "bert tf1, no heads")}


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Writes the page of an artifact of that record: exit code and what was complained of."""

    def page(record: Mapping[str, Any], *cards: Mapping[str, Any]) -> tuple[int, str]:
        artifact = tmp_path / "artifact" / "assets.extra"
        artifact.mkdir(parents=True)
        (artifact / "hubexport.json").write_text(json.dumps(record), "utf-8")
        file, target = write_cards(tmp_path / "cards", *cards), tmp_path / "page.md"
        argv = [f"--card={file}", f"--saved_model={artifact.parent}", f"--output={target}"]
        capsys.readouterr()  # of what made the artifacts
        code = cli.run(["card", *argv])
        assert target.exists() == (code == 0)
        return code, capsys.readouterr().err

    return page


@pytest.fixture
def write_one(tmp_path: Path) -> Callable[[Mapping[str, Any]], Path]:
    """Writes a card; gives its file."""
    return lambda card: write_cards(tmp_path / "one", card)


def changed(card: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The card with another value of `part.name`, `part[].name` or `name`."""
    copied: dict[str, Any] = copy.deepcopy(dict(card))
    *parts, name = key.split(".")
    place: Any = copied
    for part in parts:
        place = place.setdefault(part.removesuffix("[]"), {})
        place = place[0] if part.endswith("[]") else place
    place[name] = value
    return copied


SIZES = {
    "num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 50, "max_position_embeddings": 128, "type_vocab_size": 2,
}  # fmt: skip
# key -> what is planted, what the card says in the message, what the record says.
ENCODER: dict[str, tuple[Any, str, str]] = {
    "casing": ("cased", "cased", "lower case"),
    "family": ("talking_heads", "talking_heads", "bert"),
    **{f"architecture.{name}": (64, "64", str(size)) for name, size in SIZES.items()},
    "architecture.stated_parameters": (110_000_000, "110,000,000", "8,020"),
    "origin.layout": ("hugging_face", "hugging_face", "tf1"),
    "objectives": (["mlm"], "mlm", "there are the heads mlm, nsp"),
    "pooler.status": ("absent", "absent", "the checkpoint has a pooler"),
    "training[].sequence_length": (512, "512", "there are 128 positions"),
    "tfhub.tasks": (["text-preprocessing"], "text-preprocessing", "encoder"),
    "tfhub.network_architecture": ("mobilebert", "mobilebert", "the family is bert"),
    "kaggle.framework": ("pyTorch", "pyTorch", r"a SavedModel of TensorFlow \S+"),
    "labels": (["yes", "no"], "yes, no", "the heads are mlm, nsp"),
    "problem_type": ("regression", "regression", "the heads are mlm, nsp"),
}
WITHOUT_HEADS: dict[str, tuple[Any, str, str]] = {
    "hugging_face.pipeline_tag": ("fill-mask", "fill-mask", "the heads are none"),
    "tfhub.tasks": (
        ["text-embedding", "text-language-model"], "text-language-model", "the heads are none",
    ),
    "pooler.status": ("untrained", "untrained", "trained"),
}  # fmt: skip
OF_PREPROCESSOR: dict[str, tuple[Any, str, str]] = {
    "casing": ("lower_cased", "lower_cased", "lower case, accents stripped"),
    "tokenizer": ("sentencepiece", "sentencepiece", "wordpiece"),
    "model_type": ("roberta", "roberta", "bert"),
    "vocab_size": (30_522, "30522", "50"),
    "tfhub.tasks": (["text-embedding"], "text-embedding", "preprocessor"),
    "kaggle.framework": ("keras", "keras", r"a SavedModel of TensorFlow \S+"),
}


def differs(key: str, stated: str, found: str) -> str:
    """The line of the message, as a regular expression."""
    said = re.escape(f"{key}: the card says {stated}, the record says ")
    return f"^  differs: {said}{found}$"


def refused(error: str, handle: str, file: str, lines: list[str]) -> None:
    """The message names the card, its file, and exactly these contradictions."""
    assert error.startswith("hubexport: error: ")
    assert re.search(rf"^  (?:card|nearest): {handle} \(\S+/{file}\)$", error, re.MULTILINE), error
    for line in lines:
        assert re.search(line, error, re.MULTILINE), (line, error)
    assert error.count("  differs: ") == len(lines), error
    assert "hint: " in error


def test_every_key_that_is_compared_is_planted() -> None:
    planted = {*ENCODER, *WITHOUT_HEADS}
    assert planted == {*CLAIMS["encoder"]} - {"kind"}  # cards of another kind are not looked at
    assert {*OF_PREPROCESSOR, "text_language"} == {*CLAIMS["preprocessor"]} - {"kind"}


@pytest.mark.parametrize("name", [BASIC[0], "bert tf1, no heads"])
def test_an_encoder_whose_card_agrees(name: str, records: Mapping[str, Any], run: Run) -> None:
    code, error = run(records[name], encoder_card(records[name]), preprocessor_card(50))
    assert code == 0 and "differs" not in error


@pytest.mark.parametrize("key", ENCODER)
def test_encoder(key: str, records: Mapping[str, Any], run: Run) -> None:
    record, (value, *said) = records[BASIC[0]], ENCODER[key]
    card = changed(encoder_card(record), key, value)
    code, error = run(record, card, preprocessor_card(50))
    assert code == 1
    refused(error, HANDLE, "encoder.yaml", [differs(key, *said)])


@pytest.mark.parametrize("key", WITHOUT_HEADS)
def test_encoder_without_heads(key: str, records: Mapping[str, Any], run: Run) -> None:
    record, (value, *said) = records["bert tf1, no heads"], WITHOUT_HEADS[key]
    code, error = run(record, changed(encoder_card(record), key, value), preprocessor_card(50))
    assert code == 1
    refused(error, HANDLE, "encoder.yaml", [differs(key, *said)])


@pytest.mark.parametrize("key", OF_PREPROCESSOR)
def test_preprocessor(key: str, records: Mapping[str, Any], run: Run) -> None:
    record, (value, *said) = records[BASIC[1]], OF_PREPROCESSOR[key]
    code, error = run(record, changed(preprocessor_card(50), key, value))
    assert code == 1
    refused(error, PREPROCESSOR, "preprocessor.yaml", [differs(key, *said)])


HEADS_OF_TAGS = {
    "fill-mask": "mlm",
    "text-classification": "classifier",
    "zero-shot-classification": "classifier",
    "token-classification": "token_classifier",
    "question-answering": "qa",
    "multiple-choice": "multiple_choice",
}


def with_head(record: Mapping[str, Any], name: str, **fields: Any) -> dict[str, Any]:
    """The record of an encoder with no head but this one, of three classes."""
    return {**record, "heads": {name: {**head_entry(name, 20, V=50, K=3), **fields}}}


@pytest.mark.parametrize("tag", HEADS_OF_TAGS)
def test_pipeline_tags_need_their_head(
    tag: str, records: Mapping[str, Any], write_one: Callable[..., Path]
) -> None:
    key = "hugging_face.pipeline_tag"
    for name in {*HEADS_OF_TAGS.values()}:
        record = with_head(records[BASIC[0]], name)
        (card,) = load_cards(write_one(changed(encoder_card(record), key, tag)))
        said = [f"{key}: the card says {tag}, the record says the heads are {name}"]
        assert disagreements(card, record) == ([] if name == HEADS_OF_TAGS[tag] else said)


THREE = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("head", "stated", "declared", "found"),
    [
        ("classifier", THREE, THREE, None),
        ("classifier", THREE, ["b", "a", "c"], "b, a, c"),
        ("token_classifier", THREE, None, None),
        ("token_classifier", THREE[:2], None, "there are 3 classes"),
        ("qa", THREE, None, "the heads are qa"),
    ],
)
def test_labels(
    head: str, stated: list[str], declared: list[str] | None, found: str | None,
    records: Mapping[str, Any], write_one: Callable[..., Path],
) -> None:  # fmt: skip
    record = with_head(records[BASIC[0]], head, labels=declared)
    (card,) = load_cards(write_one(changed(encoder_card(record), "labels", stated)))
    said = f"labels: the card says {', '.join(stated)}, the record says {found}"
    assert disagreements(card, record) == ([said] if found else [])


@pytest.mark.parametrize("declared", [None, "regression", "multi_label_classification"])
def test_problem_types(
    declared: str | None, records: Mapping[str, Any], write_one: Callable[..., Path]
) -> None:
    record = with_head(records[BASIC[0]], "classifier", problem_type=declared)
    (card,) = load_cards(write_one(changed(encoder_card(record), "problem_type", "regression")))
    said = f"problem_type: the card says regression, the record says {declared}"
    assert disagreements(card, record) == ([said] if declared not in (None, "regression") else [])


def test_the_dense_layer_of_a_classifier_is_no_pooler_of_the_encoder(
    records: Mapping[str, Any], write_one: Callable[..., Path]
) -> None:
    """DistilBERT's, say; BERT's head has the encoder's, under the name of that."""
    record = with_head(records[BASIC[0]], "classifier")
    (card,) = load_cards(write_one(changed(encoder_card(record), "pooler.status", "absent")))
    for tensor, differ in (("pre_classifier.weight", 0), ("bert.pooler.dense.weight", 1)):
        row = {"variable": "cls/classifier/pooler/dense/kernel", "tensor": tensor}
        assert len(disagreements(card, {**record, "tensors": [row]})) == differ


def test_a_preprocessor_whose_card_agrees(records: Mapping[str, Any], run: Run) -> None:
    code, error = run(records[BASIC[1]], preprocessor_card(50))
    assert code == 0 and "differs" not in error


def test_language_of_a_preprocessor(records: Mapping[str, Any], run: Run) -> None:
    record = copy.deepcopy(records[BASIC[1]])
    record["tokenizer"] |= {"kind": "xlm", "model_type": "xlm"}
    record["tokenizer"]["settings"]["language"] = "en"
    xlm = {"tokenizer": "xlm", "model_type": "xlm", "text_language": "de"}
    code, error = run(record, preprocessor_card(50) | xlm)
    assert code == 1
    refused(error, PREPROCESSOR, "preprocessor.yaml", [differs("text_language", "de", "en")])


def test_all_at_once(records: Mapping[str, Any], run: Run) -> None:
    record = records[BASIC[0]]
    card = encoder_card(record)
    for key, (value, *_) in ENCODER.items():
        card = changed(card, key, value)
    code, error = run(record, card, preprocessor_card(50))
    assert code == 1
    lines = [differs(key, *said) for key, (_, *said) in ENCODER.items()]
    refused(error, HANDLE, "encoder.yaml", lines)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vocab_size": 51}, (f"{PREPROCESSOR} of 51 pieces", "the vocabulary has 50")),
        ({"casing": "cased"}, (f"{PREPROCESSOR}, cased", "lower case")),
        ({"tokenizer": "xlm", "model_type": "xlm"}, (f"{PREPROCESSOR}, xlm", "wordpiece")),
    ],
)
def test_the_preprocessor_that_a_card_names(
    change: Mapping[str, Any], said: tuple[str, str], records: Mapping[str, Any], run: Run
) -> None:
    record = records[BASIC[0]]
    code, error = run(record, encoder_card(record), preprocessor_card(50) | dict(change))
    assert code == 1
    refused(error, HANDLE, "encoder.yaml", [differs("preprocessor", *said)])


@pytest.mark.parametrize("exported", [False, pytest.param(True, marks=pytest.mark.exhaustive)])
def test_a_pooler_that_the_checkpoint_does_not_have(
    exported: bool, artifacts: Artifacts, records: Mapping[str, Any], run: Run
) -> None:
    if exported:
        record = artifacts["bert hugging_face, no pooler"].record
    else:
        record = copy.deepcopy(records[BASIC[0]])
        record["tensors"] = [t for t in record["tensors"] if "pooler" not in t["variable"]]
        record["pooler"] |= {"pooled_output": "identity", "trained": False}
    card = changed(encoder_card(record), "pooler.status", "trained")
    code, error = run(record, card, preprocessor_card(record["architecture"]["vocab_size"]))
    assert code == 1
    lines = [differs("pooler.status", "trained", "the checkpoint has no pooler")]
    refused(error, HANDLE, "encoder.yaml", lines)


@pytest.mark.parametrize(
    ("stated", "agrees"),
    [(6_000, False), (7_000, True), (8_000, True), (8_800, True), (9_000, False)],
)
def test_parameters_may_be_rounded(
    stated: int, agrees: bool, records: Mapping[str, Any], run: Run
) -> None:
    """By a tenth, of the count with heads or without."""
    record = records[BASIC[0]]
    counted = record["architecture"]["num_parameters"]
    alone = sum(head["num_parameters"] for head in record["heads"].values())
    assert (counted, counted - alone) == (8_020, 7_632)
    card = changed(encoder_card(record), "architecture.stated_parameters", stated)
    code, error = run(record, card, preprocessor_card(50))
    assert (code == 0) == agrees and ("stated_parameters" in error) != agrees


def test_sequences_may_be_longer_than_what_the_export_kept(
    records: Mapping[str, Any], run: Run
) -> None:
    record = {**records[BASIC[0]], "overrides": {"max_position_embeddings": 128}}
    card = changed(encoder_card(record), "training[].sequence_length", 512)
    assert run(record, card, preprocessor_card(50))[0] == 0


def test_all_artifacts_of_a_tree(
    artifacts: Artifacts, records: Mapping[str, Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """One message for all cards of a tree."""
    encoder = changed(encoder_card(records[BASIC[0]]), "architecture.num_hidden_layers", 3)
    preprocessor = preprocessor_card(50) | {"model_type": "electra"}
    write_cards(tmp_path / "cards", encoder, preprocessor)
    for handle, name in ((HANDLE, BASIC[0]), (PREPROCESSOR, BASIC[1])):
        place = tmp_path / "models" / handle / "assets.extra"
        place.mkdir(parents=True)
        (place / "hubexport.json").write_text(json.dumps(records[name]), "utf-8")
    for form in ("tfhub", "huggingface"):
        argv = [f"--saved_model={tmp_path / 'models'}", f"--output={tmp_path / 'out'}"]
        argv += [f"--card={tmp_path / 'cards'}", f"--format={form}"]
        assert cli.run(["card", "--all", *argv]) == 1
        error = capsys.readouterr().err
        assert error.count("  card: ") == 2 and error.count("  differs: ") == 2
        for line in (
            differs("architecture.num_hidden_layers", "3", "2"),
            differs("model_type", "electra", "bert"),
        ):
            assert re.search(line, error, re.MULTILINE), error
        assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(MODEL_CARDS)


def test_cards_of_the_repository_agree_with_records_of_their_sizes(
    catalogue: Catalogue, records: Mapping[str, Any]
) -> None:
    compared = 0
    for card in (*catalogue.encoders.values(), *catalogue.preprocessors.values()):
        family = getattr(card, "family", None)
        if family is not None and family not in families():
            continue
        record = enlarged(records[BASIC[card.kind == "preprocessor"]], card)
        beside = catalogue.preprocessors.get(getattr(card, "preprocessor", ""))
        assert disagreements(card, record, beside) == [], card.handle
        compared += 1
    assert compared > 60


def test_the_document_lists_what_is_compared() -> None:
    text = (ROOT / "docs" / "model_cards.md").read_text("utf-8")
    section = text.split("\n## What a record can contradict\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE)
    compared = {key for claims in CLAIMS.values() for key in claims} | {"preprocessor"}
    compared -= {"kind"}
    listed: set[str] = set()
    for key, _ in rows:
        listed |= {f"architecture.{name}" for name in SIZES} if key == "architecture.*" else {key}
    assert listed == compared


def test_the_document_has_the_platforms_names_of_tasks() -> None:
    text = (ROOT / "docs" / "model_cards.md").read_text("utf-8")
    section = text.split("\n## Names of tasks\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.*) \| (.*) \|$", section, re.MULTILINE)
    listed = {name: tuple(re.findall(r"`([^`]+)`", " ".join(names))) for name, *names in rows}
    assert listed == {
        name: (*task.tfhub_tasks, *task.pipeline_tags) for name, task in tasks().items()
    }

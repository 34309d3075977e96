"""A preprocessor and an encoder from one directory: from texts to outputs, against transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport import cli
from tests import tiny
from tests.oracles import compare

pytest.importorskip("tensorflow_text")
tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

LENGTH = 24
TRAINING = [
    "Who wrote it? Nobody knows who did.",
    "A sentence. And one more, a little longer.",
] * 20
TEXTS = [
    "Who wrote it?",
    "",
    "A naïve  sentence: 1,000 more!",
    "Nobody knows. " * 9,
    "ab\tcd \u2581x",
]
OTHERS = ["Nobody did.", "more, a little", "Who?", "A sentence.", "one more " * 9]
LABELS = {0: "no", 1: "yes"}


def byte_level(directory: Path) -> Any:
    """RoBERTa's: vocab.json and merges.txt, and what transformers makes of them."""
    trained = tokenizers.ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(TRAINING, 300, 1, show_progress=False, special_tokens=specials)
    trained.save_model(str(directory))
    files = {name: str(directory / file) for name, file in (
        ("vocab", "vocab.json"), ("merges", "merges.txt")
    )}  # fmt: skip
    return transformers.RobertaTokenizer(**files)


def sentencepiece(directory: Path) -> Any:
    """XLM-R's."""
    letters = sorted({letter for text in TRAINING for letter in text if letter != " "})
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -1.0)]
    pieces += [(letter, -3.0 - i / 100) for i, letter in enumerate(letters)]
    pieces += [("\u2581wh", -3.5), ("en", -3.6), ("\u2581mor", -3.7), ("<mask>", 0.0)]
    return transformers.XLMRobertaTokenizer(vocab=pieces)


def wordpiece(directory: Path) -> Any:
    """DistilBERT's."""
    vocabulary = tiny.write_vocabulary(directory / "vocab.txt", 400)
    return transformers.DistilBertTokenizer(vocab=str(vocabulary), do_lower_case=True)


MODELS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "roberta, pairs": (byte_level, "RobertaForSequenceClassification", "roberta"),
    "xlm-roberta, masked": (sentencepiece, "XLMRobertaForMaskedLM", "xlm-roberta"),
    "distilbert, pairs": (wordpiece, "DistilBertForSequenceClassification", "distilbert"),
}
"""Name -> what makes its tokenizer, its class, and the model type that both have."""


@pytest.fixture(
    scope="module",
    params=[
        "xlm-roberta, masked",
        pytest.param("distilbert, pairs", marks=pytest.mark.exhaustive),
        pytest.param("roberta, pairs", marks=pytest.mark.exhaustive),
    ],
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A directory as transformers saves it, and both artifacts of it, reloaded."""
    return made(request.param, tmp_path_factory.mktemp("pair"))


def made(name: str, work: Path) -> SimpleNamespace:
    from tests.oracles import families

    make, class_name, model_type = MODELS[name]
    directory = work / "model"
    directory.mkdir()
    tokenizer = make(directory)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    if "roberta" in model_type:
        sizes["max_position_embeddings"] += 2
    if class_name.endswith("SequenceClassification"):
        sizes["id2label"] = LABELS
    model = families.build(class_name, **sizes)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    for command, flags in (
        ("encoder", [f"--checkpoint={directory}", f"--tokenizer={directory}"]),
        ("preprocessor", [
            f"--tokenizer={directory}", f"--default_seq_length={LENGTH}",
            "--truncation=longest_first",
        ]),
    ):  # fmt: skip
        assert cli.run([command, *flags, f"--export_path={work / command}"]) == 0
    import tensorflow as tf

    return SimpleNamespace(
        model=model,
        tokenizer=tokenizer,
        model_type=model_type,
        record=hubexport.load_record(work / "encoder"),
        preprocessor_record=hubexport.load_record(work / "preprocessor"),
        artifact=compare.Artifact(work / "encoder"),
        preprocessor=tf.saved_model.load(str(work / "preprocessor")),
        families=families,
    )


def packed(pair: SimpleNamespace, *texts: list[str]) -> dict[str, Any]:
    """The artifact's inputs; one list of texts by the root, two by the parts."""
    import tensorflow as tf

    if len(texts) == 1:
        outputs = pair.preprocessor(tf.constant(texts[0]))
    else:
        tokens = [pair.preprocessor.tokenize(tf.constant(each)) for each in texts]
        outputs = pair.preprocessor.bert_pack_inputs(tokens, seq_length=LENGTH)
    return {name: value.numpy() for name, value in outputs.items()}


def by_transformers(pair: SimpleNamespace, *texts: list[str]) -> dict[str, Any]:
    """What transformers' tokenizer makes of the same texts, under our names."""
    encoded = pair.tokenizer(
        *texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="np"
    )
    return {"input_word_ids": encoded["input_ids"], "input_mask": encoded["attention_mask"]}


def compare_outputs(
    pair: SimpleNamespace, *texts: list[str], positions: np.ndarray | None = None
) -> float:
    """Asserts that artifacts and transformers agree from the texts on."""
    ours, theirs = packed(pair, *texts), by_transformers(pair, *texts)
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    if positions is not None:
        ours["masked_lm_positions"] = theirs["masked_lm_positions"] = positions.astype(np.int32)
    expected = pair.families.expected_outputs(pair.model, theirs)
    expected["pooled_output"] = expected["sequence_output"][:, 0]
    return compare.assert_same(pair.artifact(ours), expected)


def test_both_know_the_same_tokenizer(pair: SimpleNamespace) -> None:
    ours, theirs = pair.record["tokenizer"], pair.preprocessor_record["tokenizer"]
    assert ours["model_type"] == theirs["model_type"] == pair.model_type
    assert ours["vocab_size"] == theirs["vocab_size"] == len(pair.tokenizer)
    assert ours["special_tokens"] == theirs["special_tokens"]
    assert ours["special_tokens"]["padding_id"]["id"] == pair.record["architecture"]["pad_token_id"]
    assert pair.record["warnings"] == []


def test_texts(pair: SimpleNamespace) -> None:
    positions = np.zeros((len(TEXTS), 3)) + [0, 1, 2]
    compare_outputs(pair, TEXTS, positions=positions)


def test_pairs_of_texts(pair: SimpleNamespace) -> None:
    """With two separators between them in RoBERTa's kin, and types that no model looks at."""
    positions = np.zeros((len(TEXTS), 2)) + [1, 3]
    compare_outputs(pair, TEXTS, OTHERS, positions=positions)
    if "classifier" in pair.record["heads"]:
        labels = pair.artifact.root.classifier.labels.numpy()
        assert [label.decode() for label in labels] == list(LABELS.values())


def test_masked_words(pair: SimpleNamespace) -> None:
    """The mask in a text is the model's."""
    mask, mask_id = pair.tokenizer.mask_token, pair.tokenizer.mask_token_id
    texts = [f"Who {mask} it?", f"{mask} knows who did.", f"A sentence {mask}"]
    ids = packed(pair, texts)["input_word_ids"]
    assert (np.sum(ids == mask_id, axis=1) == 1).all()
    compare_outputs(pair, texts, positions=np.argwhere(ids == mask_id)[:, 1:])


def xlm(directory: Path) -> Any:
    """XLM's: letters inside and at the end of words, and two merges."""
    specials = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{number}>" for number in range(10))]
    letters = sorted({letter for text in TRAINING for letter in text.lower() if letter != " "})
    symbols = [letter + end for letter in letters for end in ("", "</w>")]
    pieces = [*specials, *symbols, "wh", "who</w>"]
    (directory / "vocab.json").write_text(json.dumps({p: i for i, p in enumerate(pieces)}))
    (directory / "merges.txt").write_text("w h 9\nwh o</w> 8\n")
    return transformers.XLMTokenizer(
        str(directory / "vocab.json"), str(directory / "merges.txt"),
        do_lowercase_and_remove_accent=True,
    )  # fmt: skip


def test_xlm_in_a_language(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both artifacts by one directory and one flag."""
    import tensorflow as tf
    import torch

    from tests.oracles import xlm as oracle

    directory = tmp_path / "model"
    directory.mkdir()
    tokenizer = xlm(directory)
    tokenizer.save_pretrained(directory)
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    model = oracle.build("XLMModel", **sizes)
    model.save_pretrained(directory)
    for command, flags in (
        ("encoder", [f"--checkpoint={directory}"]),
        ("preprocessor", [f"--default_seq_length={LENGTH}"]),
    ):
        shared = [f"--tokenizer={directory}", "--language=en"]
        assert cli.run([command, *flags, *shared, f"--export_path={tmp_path / command}"]) == 0
    shown = capsys.readouterr()
    assert "positions, computes in float32, language en\n" in shown.out
    encoder = tf.saved_model.load(str(tmp_path / "encoder"))
    preprocessor = tf.saved_model.load(str(tmp_path / "preprocessor"))
    packed = preprocessor(tf.constant(TEXTS))
    expected = tokenizer(
        TEXTS, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    ids = expected["input_ids"]
    np.testing.assert_array_equal(packed["input_word_ids"], ids)
    np.testing.assert_array_equal(packed["input_mask"], expected["attention_mask"])
    with torch.no_grad():
        english = torch.full_like(ids, oracle.LANGUAGES["en"])
        wanted = model(ids, attention_mask=expected["attention_mask"], langs=english)
    found = encoder(packed)["sequence_output"].numpy()
    np.testing.assert_allclose(found, wanted.last_hidden_state.numpy(), atol=2e-5)

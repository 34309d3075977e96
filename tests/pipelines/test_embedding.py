"""Embedding pipelines give what sentence-transformers' `encode` gives."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from tests.material import material
from tests.test_docs import described, same_fields
from tests.tiers import examples

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

CLOSE = 2e-6
"""Of unit vectors; of others relative to their length."""
PROMPTS = {"query": "query: ", "passage": "passage: ", "nothing": ""}


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    options: dict[str, Any]


CASES = [
    Case("mean, normalized", {}),
    Case("prompts", {"prompts": PROMPTS}),
    Case("a default prompt", {"prompts": PROMPTS, "default_prompt": "query"}),
    Case("prompts are not pooled", {"prompts": PROMPTS, "include_prompt": False,
                                    "modes": ("mean", "cls", "weightedmean")}),
    Case("dense layers", {
        "modes": ("cls",),
        "dense": ((12, torch.nn.Tanh(), True), (6, torch.nn.Identity(), False)),
    }),
    Case("all poolings", {
        "modes": ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"),
        "normalize": False,
    }),
    Case("RoBERTa", {"family": "Roberta", "prompts": PROMPTS, "include_prompt": False}),
    Case("DistilBERT", {"family": "DistilBert"}),
    Case("length by the tokenizer", {"family": "Roberta", "max_seq_length": None}),
    Case("short", {"max_seq_length": 9}),
]  # fmt: skip
QUICK = ("mean, normalized", "prompts are not pooled", "dense layers")


@pytest.fixture(scope="module")
def oracle() -> Any:
    from tests.oracles import pipelines

    return pipelines


def pipeline(path: Path, **options: Any) -> Any:
    """Exported and loaded."""
    hubexport.export_pipeline(export_path=path, **options)
    return tf.saved_model.load(str(path))


def assert_close(found: Any, expected: np.ndarray) -> None:
    found = np.asarray(found)
    assert found.shape == expected.shape and found.dtype == np.float32
    scale = np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1)
    assert np.max(np.abs(found - expected) / scale) <= CLOSE


@pytest.mark.parametrize("case", examples(CASES, QUICK), ids=lambda case: case.name)
def test_embeddings(case: Case, oracle: Any, tmp_path: Path) -> None:
    model = oracle.save_sentence_model(tmp_path, **case.options)
    loaded = pipeline(tmp_path / "out", checkpoint=model, batch_size=5)
    texts = tf.constant(oracle.TEXTS)
    expected = oracle.embeddings(model, oracle.TEXTS)
    assert_close(loaded(texts), expected)
    prompts = case.options.get("prompts", {})
    for name in prompts:
        served = loaded.signatures[name](text=texts)
        assert list(served) == ["embedding"]
        by_prompt = oracle.embeddings(model, oracle.TEXTS, prompt_name=name)
        assert_close(served["embedding"], by_prompt)
    assert set(prompts) | {"embed", "serving_default"} <= set(loaded.signatures)
    for name in ("embed", "serving_default"):
        assert_close(loaded.signatures[name](text=texts)["embedding"], expected)


def test_real_vocabulary_and_languages(oracle: Any, tmp_path: Path) -> None:
    """Questions in five languages, by BERT's multilingual pieces."""
    import transformers

    from tests.oracles.families import build

    vocabulary = material("wordpiece/multi_cased/vocab.txt")
    tokenizer = transformers.BertTokenizer(vocab=str(vocabulary), do_lower_case=False)
    made = tmp_path / "model"
    build("BertModel", vocab_size=len(tokenizer), max_position_embeddings=64).save_pretrained(made)
    tokenizer.save_pretrained(made)
    from tests.oracles.hugging_face import write_sentence_transformers

    write_sentence_transformers(made, {"pooling_mode": "mean"}, normalize=True, newer=True)
    texts: list[str] = []
    for language in ("ar", "en", "hi", "ru", "zh"):
        data = json.loads(material(f"text/xquad/xquad.{language}.json").read_text())["data"]
        questions = [
            each["question"] for article in data for part in article["paragraphs"]
            for each in part["qas"]
        ]  # fmt: skip
        texts += questions[:: len(questions) // 20]
    loaded = pipeline(tmp_path / "out", checkpoint=made)
    assert_close(loaded(tf.constant(texts)), oracle.embeddings(made, texts))


@pytest.fixture(scope="module")
def exported(oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of sentence-transformers and its pipeline."""
    path = tmp_path_factory.mktemp("embedding")
    model = oracle.save_sentence_model(path, prompts=PROMPTS, default_prompt="passage")
    hubexport.export_pipeline(checkpoint=model, export_path=path / "out", batch_size=4)
    return model, path / "out"


@pytest.fixture(scope="module")
def loaded(exported: tuple[Path, Path]) -> Any:
    return tf.saved_model.load(str(exported[1]))


def test_shapes_of_texts(loaded: Any) -> None:
    one = loaded(tf.constant(["a b"]))
    assert_close(loaded(tf.constant("a b")), one.numpy())
    assert_close(loaded(tf.constant([["a b"]])), one.numpy())
    assert loaded(tf.constant([], tf.string)).shape == (0, 16)
    assert loaded.signatures["query"](text=tf.constant([], tf.string))["embedding"].shape == (0, 16)

    @tf.function(input_signature=[tf.TensorSpec([3], tf.string)])
    def three(texts: tf.Tensor) -> tf.Tensor:
        embeddings = loaded(texts)
        assert embeddings.shape == (3, 16)
        return embeddings

    assert three(tf.constant(["a", "b", "c"])).shape == (3, 16)


def test_bytes_that_are_no_text(loaded: Any) -> None:
    """They are U+FFFD, as for Python's decoder."""
    wrong = [b"\xff\xfe", b"a\xc3 b", b"\xed\xa0\x80x"]
    right = [each.decode("utf-8", "replace").encode() for each in wrong]
    assert_close(loaded(tf.constant(wrong)), loaded(tf.constant(right)).numpy())


def test_texts_do_not_depend_on_each_other(loaded: Any, oracle: Any) -> None:
    """Any order, any neighbours, several batches: the same."""
    together = loaded(tf.constant(oracle.TEXTS)).numpy()
    order = np.random.default_rng(0).permutation(len(oracle.TEXTS))
    shuffled = loaded(tf.constant([oracle.TEXTS[i] for i in order])).numpy()
    assert_close(shuffled, together[order])
    assert_close(loaded(tf.constant(oracle.TEXTS[8:9])), together[8:9])


def test_parts_work_as_before(loaded: Any, exported: tuple[Path, Path], oracle: Any) -> None:
    texts = tf.constant(oracle.TEXTS)
    prompted = tf.strings.join([PROMPTS["passage"], texts])
    inputs = loaded.preprocessor(prompted)
    assert inputs["input_word_ids"].shape == (len(oracle.TEXTS), oracle.LENGTH)
    assert_close(loaded.encoder(inputs)["default"], loaded(texts).numpy())
    wide = {name: tf.cast(value, tf.int64) for name, value in inputs.items()}
    assert_close(loaded.encoder(wide)["default"], loaded(texts).numpy())
    ids = loaded.preprocessor.tokenize(texts)
    packed = loaded.preprocessor.bert_pack_inputs([ids, ids], seq_length=tf.constant(20))
    assert packed["input_word_ids"].shape == (len(oracle.TEXTS), 20)
    assert int(loaded.preprocessor.tokenize.get_special_tokens_dict()["mask_id"]) == 4
    assert loaded.variables[0] is loaded.encoder.variables[0]
    assert {v.name for v in loaded.variables} == {v.name for v in loaded.encoder.variables}


def test_it_is_trained(loaded: Any) -> None:
    texts = tf.constant(["a b c", "word word", ""])
    assert loaded.trainable_variables
    for training in (False, True):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(loaded(texts, training=training)[:, 0])
        gradients = tape.gradient(loss, loaded.trainable_variables)
        missing = {
            variable.name
            for variable, gradient in zip(loaded.trainable_variables, gradients, strict=True)
            if gradient is None
        }
        # What nothing but the encoder's own pooled output uses.
        assert all(name.startswith("pooler/") for name in missing)
    one, other = (loaded(texts, training=True) for _ in range(2))
    assert np.max(np.abs(one - other)) > 1e-3  # dropout


def test_in_a_session(exported: tuple[Path, Path], oracle: Any) -> None:
    """As servers run it: by names of tensors, in a graph."""
    v1 = tf.compat.v1
    with v1.Session(graph=tf.Graph()) as session:
        graph = v1.saved_model.load(session, ["serve"], str(exported[1]))
        signature = graph.signature_def["query"]
        fed = {signature.inputs["text"].name: list(oracle.TEXTS)}
        found = session.run(signature.outputs["embedding"].name, fed)
        pair = {signature.inputs["text"].name: [["a", "b"]]}
        with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
            session.run(signature.outputs["embedding"].name, pair)
    expected = oracle.embeddings(exported[0], oracle.TEXTS, prompt_name="query")
    assert_close(found, expected)


def test_weights_and_files_are_there_once(exported: tuple[Path, Path]) -> None:
    record = hubexport.load_record(exported[1])
    assert record["kind"] == "pipeline" and record["task"]["name"] == "embedding"
    encoder = record["encoder"]
    # Each tf.train.Checkpoint counts its saves, the encoder's and the pipeline's.
    assert record["saved_model"]["num_variables"] == encoder["saved_model"]["num_variables"] + 1
    assert list(record["saved_model"]["assets"]) == ["tokenizer.json"]
    assert record["task"]["prompts"]["query"] == PROMPTS["query"]
    assert record["task"]["default_prompt"] == "passage"
    assert record["max_seq_length"] == 48
    bundle = exported[1] / "variables" / "variables.data-00000-of-00001"
    assert bundle.stat().st_size < 2 * encoder["architecture"]["num_parameters"] * 4
    assert not list(exported[1].glob("parts*"))


def test_the_record_is_described(exported: tuple[Path, Path]) -> None:
    record = hubexport.load_record(exported[1])
    same_fields(record, described("## Every record") | described("## Pipelines"))
    same_fields(record["task"], described("### `task` of an embedding"))


def test_the_example_is_what_the_artifact_gives(exported: tuple[Path, Path], oracle: Any) -> None:
    example = hubexport.load_record(exported[1])["example"]
    vectors = oracle.embeddings(exported[0], example["inputs"]["text"])
    found = example["outputs"]
    np.testing.assert_allclose(found["embedding"], vectors[:, :4], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found["similarity"], vectors @ vectors.T, rtol=1e-3, atol=1e-5)


def test_similarities_are_those_of_sentence_transformers() -> None:
    from sentence_transformers import SimilarityFunction

    from hubexport.pipelines.embedding import SIMILARITIES

    of_many_vectors = {name for name in SimilarityFunction.possible_values() if "maxsim" in name}
    assert {*SIMILARITIES} == {*SimilarityFunction.possible_values()} - of_many_vectors
    vectors = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32)
    for name, similarity in SIMILARITIES.items():
        expected = SimilarityFunction.to_similarity_fn(name)(vectors, vectors).numpy()
        np.testing.assert_allclose(similarity(vectors), expected, rtol=1e-5, atol=1e-6)


def test_truncated(exported: tuple[Path, Path], oracle: Any, tmp_path: Path) -> None:
    loaded = pipeline(tmp_path / "out", checkpoint=exported[0], truncate_dim=6)
    expected = oracle.embeddings(exported[0], oracle.TEXTS, truncate_dim=6)
    assert_close(loaded(tf.constant(oracle.TEXTS)), expected)


def test_artifacts(exported: tuple[Path, Path], oracle: Any, tmp_path: Path) -> None:
    """An encoder and a preprocessor that are there give what they give without the pipeline."""
    model = exported[0]
    hubexport.export_encoder(checkpoint=model, tokenizer=model, export_path=tmp_path / "encoder")
    hubexport.export_preprocessor(
        tokenizer=model, default_seq_length=20, export_path=tmp_path / "preprocessor"
    )
    loaded = pipeline(
        tmp_path / "out", encoder=tmp_path / "encoder", preprocessor=tmp_path / "preprocessor"
    )
    assert hubexport.load_record(tmp_path / "out")["max_seq_length"] == 20
    encoder, preprocessor = (
        tf.saved_model.load(str(tmp_path / name)) for name in ("encoder", "preprocessor")
    )
    texts = tf.constant(oracle.TEXTS)
    assert_close(loaded(texts), encoder(preprocessor(texts))["default"].numpy())
    # The files of the tokenizer are the encoder's and the preprocessor's, and there once.
    assets = sorted(path.name for path in (tmp_path / "out" / "assets").iterdir())
    assert assets == ["tokenizer.json"]
    one, other = loaded.encoder.tokenizer_file, loaded.preprocessor.tokenize.tokenizer_file
    assert one.asset_path.numpy() == other.asset_path.numpy()


def _no_prompt(functions: dict[str, Any]) -> dict[str, Any]:
    return {name: dataclasses.replace(each, prompt="") for name, each in functions.items()}


def _pooled_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubexport.pipelines.graph.function import Parts

    monkeypatch.setattr(Parts, "length_of_prompt", lambda self, prompt: 1)


def _order_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubexport.pipelines.graph import batches

    monkeypatch.setattr(
        batches.tf.math, "invert_permutation", lambda order: tf.range(tf.size(order))
    )


def _prompt_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    from hubexport.pipelines.graph.function import Built

    made = Built.__init__

    def without(self: Any, functions: dict[str, Any], *rest: Any) -> None:
        made(self, _no_prompt(functions), *rest)

    monkeypatch.setattr(Built, "__init__", without)


PLANTED = {"a prompt is lost": _prompt_lost, "a prompt is pooled": _pooled_prompt}


@pytest.mark.parametrize("fault", PLANTED)
def test_faults_are_found(
    fault: str, oracle: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = oracle.save_sentence_model(
        tmp_path, prompts=PROMPTS, default_prompt="query", include_prompt=False
    )
    expected = oracle.embeddings(model, oracle.TEXTS)
    PLANTED[fault](monkeypatch)
    loaded = pipeline(tmp_path / "out", checkpoint=model)
    with pytest.raises(AssertionError):
        assert_close(loaded(tf.constant(oracle.TEXTS)), expected)


def test_a_lost_order_is_found_by_the_export(
    exported: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _order_lost(monkeypatch)
    with pytest.raises(hubexport.HubexportError, match="other answers alone than in a batch"):
        hubexport.export_pipeline(checkpoint=exported[0], export_path=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def texts_of(count: int, words: int = 12) -> Sequence[str]:
    generator = np.random.default_rng(0)
    vocabulary = ["the", "cat", "word", "a", "query", "what"]
    sizes = generator.integers(1, words, count)
    return [" ".join(generator.choice(vocabulary, size)) for size in sizes]


def test_many_texts_in_one_call(loaded: Any) -> None:
    texts = texts_of(3000)
    found = loaded(tf.constant(texts)).numpy()
    assert found.shape == (3000, 16)
    some = [0, 17, 2999]
    assert_close(found[some], loaded(tf.constant([texts[i] for i in some])).numpy())

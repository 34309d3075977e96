"""Question answering gives what transformers 4's pipeline gives: answers, bytes and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from tests.oracles import question_answering as oracle
from tests.test_docs import described, same_fields

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_text")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

CLOSE = 1e-5
QUESTIONS, CONTEXTS = ([pair[i] for pair in oracle.PAIRS] for i in (0, 1))


@pytest.fixture(scope="module", params=oracle.FAMILIES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Path]:
    """Family, the directory of its model, and the pipeline of it."""
    from tests.oracles import pipelines

    family = request.param
    path = tmp_path_factory.mktemp("question-answering")
    (path / "model").mkdir()
    for name, text in oracle.goldens(family)["files"].items():
        (path / "model" / name).write_text(text, "utf-8")
    model = pipelines.save(path / "model", family, "ForQuestionAnswering")
    hubexport.export_pipeline(
        checkpoint=model, export_path=path / "out", max_seq_length=oracle.LENGTH, batch_size=7
    )
    return family, model, path / "out"


def assert_same(
    contexts: Sequence[str],
    found: Mapping[str, Any],
    expected: Sequence[Sequence[Mapping[str, Any]]],
) -> None:
    found = {name: np.asarray(value) for name, value in found.items()}
    assert list(found["num_answers"]) == [len(row) for row in expected]
    for row, (context, theirs) in enumerate(zip(contexts, expected, strict=True)):
        count = len(theirs)
        scores = [each["score"] for each in theirs]
        np.testing.assert_allclose(found["scores"][row][:count], scores, rtol=0, atol=CLOSE)
        names = "answers", "starts", "ends"
        mine = list(zip(*(found[name][row][:count] for name in names), strict=True))
        for (answer, start, end), each in zip(mine, theirs, strict=True):
            assert answer.decode() == each["answer"], context
            places = [len(context[: each[name]].encode()) for name in ("start", "end")]
            assert [start, end] == places
        for name, nothing in ("answers", b""), ("scores", 0), ("starts", 0), ("ends", 0):
            assert all(value == nothing for value in found[name][row][count:])


def test_the_goldens_are_of_this_model(exported: tuple[str, Path, Path]) -> None:
    """Otherwise make them again, as their script says."""
    family, model, _ = exported
    assert oracle.digest(model) == oracle.goldens(family)["weights"]


def test_answers(exported: tuple[str, Path, Path]) -> None:
    family, _, path = exported
    expected = oracle.goldens(family)["answers"][oracle.CASES.index({})]
    loaded = tf.saved_model.load(str(path))
    question, context = tf.constant(QUESTIONS), tf.constant(CONTEXTS)
    assert_same(CONTEXTS, loaded([question, context]), expected)
    for name in ("serving_default", "answer"):
        found = loaded.signatures[name](question=question, context=context)
        assert_same(CONTEXTS, found, expected)


@pytest.mark.parametrize("case", range(1, len(oracle.CASES)))
def test_options(exported: tuple[str, Path, Path], case: int) -> None:
    from tests.pipelines import built

    family, _, path = exported
    found = built.ask(
        path, "question-answering", [QUESTIONS, CONTEXTS], oracle.LENGTH, **oracle.CASES[case]
    )
    assert_same(CONTEXTS, found, oracle.goldens(family)["answers"][case])


def test_what_transformers_refuses(exported: tuple[str, Path, Path]) -> None:
    """No question, no context, a question that leaves no room, bytes that are not UTF-8."""
    loaded = tf.saved_model.load(str(exported[2]))
    context = "The cat sat. " * 20
    found = loaded([tf.constant(["", "Who?", "", "who sat " * 90, "Who?"]),
                    tf.constant([context, "", "", context, b"a\xffb cat"])])  # fmt: skip
    assert list(found["num_answers"]) == [1, 0, 0, 1, 1]
    assert found["answers"].shape == (5, 1)
    assert found["answers"][1, 0] == b"" and found["scores"][1, 0] == 0
    start, end = (int(found[name][4, 0]) for name in ("starts", "ends"))
    assert found["answers"][4, 0].numpy() == "a\ufffdb cat".encode()[start:end]
    none = loaded([tf.constant([], tf.string), tf.constant([], tf.string)])
    assert none["answers"].shape == none["scores"].shape == (0, 1)
    with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
        loaded([tf.constant(["a", "b", "c"]), tf.constant(["a"])])


def test_long_questions_do_not_multiply_windows(exported: tuple[str, Path, Path]) -> None:
    """Each window would have one token more than those before it."""
    from hubexport.pipelines.graph.function import Parts
    from hubexport.pipelines.graph.spans import LONGEST_QUESTION, AnswerRows, Spans

    path = exported[2]
    loaded = tf.saved_model.load(str(path))
    tokenizer = hubexport.load_record(path)["preprocessor"]["tokenizer"]
    parts = Parts(loaded.encoder, loaded.preprocessor, tokenizer, 384)
    rows = AnswerRows(parts, Spans(1, 128, 15, False), *(tf.constant(["a cat " * 900]),) * 2)
    question, context = (segment.row_lengths().numpy() for segment in rows.segments)
    assert set(question) == {LONGEST_QUESTION}
    tokens = sum(context) - 128 * (len(context) - 1)
    room = parts.room(2) - LONGEST_QUESTION
    assert tokens >= 1800 and len(context) == -(-(tokens - 128) // (room - 128))


def test_the_record_is_described(exported: tuple[str, Path, Path]) -> None:
    record = hubexport.load_record(exported[2])
    assert record["task"]["name"] == "question-answering"  # by what the model has a head for
    same_fields(record["task"], described("### `task` of a question-answering"))


@pytest.mark.parametrize("fault", ["off by one", "another window", "no softmax over the class"])
def test_faults_are_found(
    exported: tuple[str, Path, Path], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from hubexport.pipelines.graph import spans, tokens
    from tests.pipelines import built

    if fault == "off by one":
        of = tokens.Windows.of

        def shifted(ids: Any, room: Any, stride: Any) -> Any:
            found = of(ids, room, stride)
            return found._replace(starts=tf.maximum(found.starts - 1, 0))

        monkeypatch.setattr(tokens.Windows, "of", shifted)
    elif fault == "another window":
        owned = spans.AnswerRows._bytes

        def bytes_of(self: Any, first: Any, last: Any) -> Any:
            windows = self._windows
            self._windows = windows._replace(starts=tf.roll(windows.starts, 1, 0))
            return owned(self, first, last)

        monkeypatch.setattr(spans.AnswerRows, "_bytes", bytes_of)
    else:
        monkeypatch.setattr(spans, "_begins_with_class", lambda parts: False)
    family, _, path = exported
    # A place outside of its context is an error of TensorFlow's.
    with pytest.raises((AssertionError, tf.errors.InvalidArgumentError)):
        found = built.ask(path, "question-answering", [QUESTIONS, CONTEXTS], oracle.LENGTH)
        assert_same(CONTEXTS, found, oracle.goldens(family)["answers"][0])

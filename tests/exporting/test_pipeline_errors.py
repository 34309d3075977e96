"""What a pipeline cannot be made of is said before anything is written, and by name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubexport.checkpoints.sentence_model import SentenceModel
from hubexport.errors import HubexportError, UsageError
from hubexport.exporting.belonging import check_belong, check_fits
from hubexport.exporting.pipeline import check_text
from hubexport.exporting.pipeline_options import PipelineOptions
from hubexport.pipelines.registry import check_options, choose_task, tasks
from hubexport.pipelines.task import Found, TaskOptions

FACTS = [("--encoder", "E"), ("--preprocessor", "P")]
BERT_SPECIALS = {"padding_id": {"piece": "[PAD]", "id": 0}, "mask_id": {"piece": "[M]", "id": 4}}
TOKENIZER = {
    "model_type": "bert",
    "vocab_size": 50,
    "files": {"vocab_file": {"name": "vocab.txt", "sha256": "a" * 64}},
    "special_tokens": BERT_SPECIALS,
    "do_lower_case": True,
}


def encoder(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "architecture": {"vocab_size": 50, "type_vocab_size": 2, "hidden_size": 16,
                         "pad_token_id": 0},
        "conventions": {"padding_side": "right", "ignored_inputs": []},
        "tokenizer": copy.deepcopy(TOKENIZER),
        "heads": {},
        "pooler": {"pooled_output": "checkpoint", "default": "pooled_output",
                   "sentence_embedding": None},
    }  # fmt: skip
    return {**made, **changes}


def text(**changes: Any) -> dict[str, Any]:
    packing = {
        "single": [{"piece": "[CLS]", "type_id": 0}, {"text": 0, "type_id": 0}],
        "pair": [{"text": 0, "type_id": 0}, {"text": 1, "type_id": 1}],
        "padding": {"piece": "[PAD]", "type_id": 0},
        "padding_side": "right",
    }
    return {"tokenizer": {**copy.deepcopy(TOKENIZER), "packing": packing, **changes}}


def test_those_that_belong_together() -> None:
    assert check_belong(encoder(), text(), FACTS) == []
    (warning,) = check_belong(encoder(tokenizer=None), text(), FACTS)
    assert "does not name its tokenizer" in warning
    check_fits(encoder(tokenizer=None), text(vocab_size=40), FACTS)


Change = Callable[[dict[str, Any], dict[str, Any]], None]


def _set(*path: str, value: Any) -> Change:
    def change(of_encoder: dict[str, Any], of_text: dict[str, Any]) -> None:
        place: Any = {"encoder": of_encoder, "text": of_text}
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


APART: dict[str, tuple[Change, str]] = {
    "a larger vocabulary": (
        _set("encoder", "architecture", "vocab_size", value=40), "40 word embeddings, 50 pieces"),
    "another vocabulary": (
        _set("text", "tokenizer", "files", "vocab_file", "sha256", value="b" * 64),
        "vocab.txt (aaaaaaaaaaaa...) of the encoder, vocab.txt (bbbbbbbbbbbb...)"),
    "another size": (_set("text", "tokenizer", "vocab_size", value=49),
                     "vocab_size: 50 of the encoder, 49"),
    "a size that nothing explains": (
        lambda of_encoder, of_text: (of_encoder.update(tokenizer=None),
                                     of_text["tokenizer"].update(vocab_size=40))[0],
        "50 word embeddings, 40 pieces"),
    "special ids": (
        _set("text", "tokenizer", "special_tokens", "mask_id", "id", value=7),
        "mask_id: [M] 4 of the encoder, [M] 7"),
    "casing": (_set("text", "tokenizer", "do_lower_case", value=False),
               "lower-cased for the encoder, cased by the preprocessor"),
    "model type": (_set("text", "tokenizer", "model_type", value="roberta"),
                   "model_type: bert of the encoder, roberta"),
    "types": (_set("encoder", "architecture", "type_vocab_size", value=1),
              "types of tokens: 1 in the encoder, up to 1"),
    "side": (_set("text", "tokenizer", "packing", "padding_side", value="left"),
             "padding: on the right in the encoder"),
    "padding": (
        lambda of_encoder, of_text: (
            of_encoder.update(tokenizer=None),
            of_encoder["architecture"].update(pad_token_id=1))[0],
        "padding_id: 1 in the encoder, 0 from the preprocessor"),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_those_that_do_not(name: str) -> None:
    change, said = APART[name]
    of_encoder, of_text = encoder(), text()
    change(of_encoder, of_text)
    with pytest.raises(UsageError, match="do not belong together") as caught:
        check_belong(of_encoder, of_text, FACTS)
    message = str(caught.value)
    assert "--encoder: E" in message and "--preprocessor: P" in message and said in message


def _found(**changes: Any) -> Found:
    return Found(("--encoder", "E"), encoder(**changes), None)


CLASSIFIER = {
    "labels": ["a", "b"],
    "problem_type": None,
    "outputs": {"classifier_logits": {"dtype": "float32", "shape": ["B", 2]}},
}
SCORED = {"functions": {"score": {}}}
TOKEN_CLASSIFIER = {
    "labels": ["O", "B-X"], "outputs": {"token_logits": {"dtype": "float32", "shape": [2]}},
}  # fmt: skip
HEADS = {"classifier": CLASSIFIER, "lm": SCORED, "mlm": {}, "qa": {},
         "token_classifier": TOKEN_CLASSIFIER}  # fmt: skip
SENTENCE = {"pooled_output": "mean", "default": "sentence_embedding",
            "sentence_embedding": {"modes": ["mean"], "normalize": True}}  # fmt: skip


def test_tasks_are_told() -> None:
    assert choose_task("auto", _found(heads={"classifier": CLASSIFIER})).name == "classification"
    assert choose_task("auto", _found(pooler=SENTENCE)).name == "embedding"
    assert choose_task("auto", _found(heads={"lm": SCORED})).name == "perplexity"
    for head, name in (
        ("mlm", "fill-mask"), ("qa", "question-answering"),
        ("token_classifier", "token-classification"),
    ):  # fmt: skip
        assert choose_task("auto", _found(heads={head: HEADS[head]})).name == name
    assert choose_task("embedding", _found()).name == "embedding"


@pytest.mark.parametrize(
    ("task", "changes", "said"),
    [
        ("other", {}, "there is no task 'other'"),
        ("classification", {"heads": {"mlm": {}}}, "lacks: the head .classifier; of heads it has"),
        ("perplexity", {"heads": {"lm": {"functions": {}}}}, "lacks: the function .lm.score"),
        ("embedding", {"pooler": {**SENTENCE, "pooled_output": "untrained",
                                  "default": "pooled_output"}}, "a pooler that was trained"),
        ("auto", {"heads": {"nsp": {}}}, "it is for: none by itself"),
        ("auto", {"heads": {"classifier": CLASSIFIER}, "pooler": SENTENCE},
         "it is for: classification, embedding"),
    ],
)  # fmt: skip
def test_tasks_that_are_not(task: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_task(task, _found(**changes))
    assert said in str(caught.value)
    assert task == "other" or "--encoder: E" in str(caught.value)


def _task(name: str, options: TaskOptions, length: int = 48, **changes: Any) -> Any:
    return tasks()[name](_found(heads=HEADS, pooler=SENTENCE, **changes), options, length)


def test_options_of_other_tasks_are_refused() -> None:
    some = TaskOptions(truncate_dim=2, top_k=3, handle_impossible_answer=False)
    for name, task in tasks().items():
        others = [option for option in some.given() if option not in task.takes]
        with pytest.raises(UsageError, match=f"these options are not for {name}") as caught:
            check_options(task, some)
        lines = str(caught.value).splitlines()
        assert [line.split(":")[0].strip(" -") for line in lines[1 : 1 + len(others)]] == others
    with pytest.raises(UsageError, match="--top_k is for: fill-mask, question-answering"):
        check_options(tasks()["embedding"], TaskOptions(top_k=3))
    check_options(tasks()["question-answering"], TaskOptions(top_k=3, stride=4))


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        ("embedding", TaskOptions(truncate_dim=17), "cannot be cut to this size"),
        ("fill-mask", TaskOptions(top_k=51), "there are not so many pieces"),
        ("token-classification", TaskOptions(aggregation="other"), "no aggregation 'other'"),
        ("token-classification", TaskOptions(stride=4, aggregation="none"), "without aggregation"),
    ],
)
def test_options_that_do_not_go_with_the_model(task: str, options: TaskOptions, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _task(task, options)


PACKED = {**TOKENIZER, "packing": text()["tokenizer"]["packing"], "kind": "wordpiece",
          "no_offsets": "", "no_detokenize": ""}  # fmt: skip


def test_windows_that_do_not_go_on() -> None:
    """A row of 48 tokens has one special one of a text, and none of two."""
    for name, stride in (("token-classification", 46), ("question-answering", 46)):
        assert not _task(name, TaskOptions(stride=stride)).lacking_in_text(PACKED)
        with pytest.raises(UsageError, match="too many tokens in common") as caught:
            _task(name, TaskOptions(stride=stride + 1)).lacking_in_text(PACKED)
        assert f"--stride: {stride + 1}" in str(caught.value)


@pytest.mark.parametrize(
    ("task", "changes", "said"),
    [
        ("token-classification", {"no_offsets": "it normalizes"}, "offsets of tokens: it normal"),
        ("question-answering", {"no_offsets": "it normalizes"}, "offsets of tokens: it normal"),
        ("fill-mask", {"no_detokenize": "it forgets"}, "texts for its pieces: it forgets"),
        ("fill-mask", {"special_tokens": {}}, "lacks: a piece for masks"),
    ],
)
def test_tokenizers_that_are_not_for_a_task(task: str, changes: dict[str, Any], said: str) -> None:
    made = _task(task, TaskOptions())
    check_text(made, PACKED, ("--preprocessor", "P"))
    with pytest.raises(UsageError, match=f"the tokenizer is not for {task}") as caught:
        check_text(made, {**PACKED, **changes}, ("--preprocessor", "P"))
    assert said in str(caught.value) and "--preprocessor: P" in str(caught.value)


def test_lengths_of_pieces_are_needed_for_words() -> None:
    for aggregation, needed in (("simple", False), ("max", True)):
        made = _task("token-classification", TaskOptions(aggregation=aggregation))
        assert bool(made.lacking_in_text({**PACKED, "no_detokenize": "it forgets"})) == needed


def test_prompts_with_the_name_of_a_signature() -> None:
    sentence = SentenceModel(("mean",), True, (), {"embed": "x"}, None, None, False, "cosine", ())
    found = Found(("--checkpoint", "C"), encoder(), sentence)
    with pytest.raises(HubexportError, match="a prompt has the name of another signature"):
        tasks()["embedding"](found, TaskOptions(), 48)


def test_a_similarity_that_nobody_knows() -> None:
    sentence = SentenceModel(("mean",), True, (), {}, None, None, False, "hamming", ())
    found = Found(("--checkpoint", "C"), encoder(), sentence)
    with pytest.raises(HubexportError, match=r"similarity_fn_name: hamming\n.*cosine, dot"):
        tasks()["embedding"](found, TaskOptions(), 64)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "given: none of them"),
        ({"encoder": "E"}, "given: --encoder"),
        ({"checkpoint": "C", "encoder": "E", "preprocessor": "P"}, "--checkpoint, --encoder"),
        ({"encoder": "E", "preprocessor": "P", "dtype": "bfloat16"}, "--dtype: bfloat16"),
        ({"encoder": "E", "preprocessor": "P", "tokenizer": "T"}, "--tokenizer: T"),
        ({"checkpoint": "C", "batch_size": 0}, "--batch_size: 0"),
        ({"checkpoint": "C", "batch_size": 1 << 20}, "1 to 65,536"),
        ({"checkpoint": "C", "max_seq_length": 2}, "3 or more"),
        ({"checkpoint": "C", "truncate_dim": 0}, "--truncate_dim: 0"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        PipelineOptions(export_path="out", **options).check()
    assert said in str(caught.value)


def test_the_command_line_names_what_was_given() -> None:
    options = PipelineOptions(
        checkpoint="/some/where/model", export_path="/else", do_lower_case=False, overwrite=True
    )
    assert options.command() == [
        "hubexport", "pipeline", "--checkpoint=model", "--nodo_lower_case", "--task=auto",
        "--batch_size=32",
    ]  # fmt: skip
    assert options.sources() == [Path("/some/where/model")]

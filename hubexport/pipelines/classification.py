"""Texts, or pairs of them, to classes, as transformers' text-classification pipeline gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, HeadTask, TaskOptions

if TYPE_CHECKING:
    from hubexport.pipelines.graph.function import Built, Parts


def scores_function(problem_type: str | None, classes: int) -> str:
    """What transformers makes scores of logits with: softmax, sigmoid or none.

    Args:
      problem_type: as the configuration declares it.
      classes: their number.
    """
    if problem_type == "regression":
        return "none"
    if problem_type == "multi_label_classification" or classes == 1:
        return "sigmoid"
    return "softmax"


@register
class Classification(HeadTask):
    """All classes of a text, the likeliest first; see `Task`."""

    head: ClassVar[str] = "classifier"
    name: ClassVar[str] = "classification"
    purpose: ClassVar[str] = "all labels of each text, the likeliest first, and their scores"
    tfhub_tasks: ClassVar[tuple[str, ...]] = ("text-classification",)
    pipeline_tags: ClassVar[tuple[str, ...]] = ("text-classification", "zero-shot-classification")
    example_size: ClassVar[int | None] = 5

    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        self.labels = self.labels_of(found, "classifier_logits")
        problem_type = found.heads[self.head]["problem_type"]
        self.function = scores_function(problem_type, len(self.labels))

    def record(self) -> dict[str, Any]:
        return {"head": self.head, "labels": self.labels, "function": self.function}

    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        return {
            "text": (
                "A warm, clever film that I will see again.",
                "Two hours that felt like four.",
                "The parcel arrived on Tuesday.",
            )
        }

    def build(self, parts: Parts) -> Built:
        import tensorflow as tf

        from hubexport.pipelines.graph.function import (
            TEXT,
            TEXT_PAIR,
            Batch,
            Built,
            Function,
            Tensors,
            constant,
        )

        to_scores = {"softmax": tf.nn.softmax, "sigmoid": tf.sigmoid, "none": tf.identity}
        scores_of, names = to_scores[self.function], self.labels

        def answer(batch: Batch) -> Tensors:
            scores = scores_of(parts.predict(self.head, batch)["classifier_logits"])
            # Stable: of equal scores the first class comes first, as by Python's sort.
            ranked = tf.argsort(scores, direction="DESCENDING", stable=True)
            return {
                "labels": tf.gather(tf.constant(names), ranked),
                "scores": tf.gather(scores, ranked, batch_dims=1),
            }

        size = [len(names)]
        outputs = {"labels": tf.TensorSpec(size, tf.string), "scores": tf.TensorSpec(size)}
        functions = {
            "classify": Function((TEXT,), outputs, answer),
            "classify_pairs": Function((TEXT, TEXT_PAIR), outputs, answer),
        }
        variables = list(getattr(parts.encoder, self.head).variables)
        return Built(functions, variables, {"labels": constant(names)})

"""Texts to the entities in them, as transformers' token-classification pipeline gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.errors import UsageError
from hubexport.pipelines.packing import Packing
from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, HeadTask, TaskOptions, check_stride

if TYPE_CHECKING:
    from hubexport.pipelines.graph.function import Built, Parts

OF_WORDS = ("first", "average", "max")
"""Aggregations that decide for whole words."""
AGGREGATIONS = ("none", "simple", *OF_WORDS)
"""Of transformers' `aggregation_strategy`."""
DEFAULT_AGGREGATION = "simple"
_MARKING = "wordpiece"
"""The kind of tokenizer that marks pieces within a word."""


@register
class TokenClassification(HeadTask):
    """The entities of a text, with the bytes where they are; see `Task`."""

    head: ClassVar[str] = "token_classifier"
    name: ClassVar[str] = "token-classification"
    purpose: ClassVar[str] = "the entities in each text, their scores and where they are"
    # tfhub.dev has no name for it: the nearest is that of texts.
    tfhub_tasks: ClassVar[tuple[str, ...]] = ("text-classification",)
    pipeline_tags: ClassVar[tuple[str, ...]] = ("token-classification",)
    takes: ClassVar[tuple[str, ...]] = ("aggregation", "stride")
    needs_offsets: ClassVar[bool] = True
    chooses: ClassVar[bool] = True

    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        self.vocab_size: int = found.encoder["architecture"]["vocab_size"]
        self.labels = self.labels_of(found, "token_logits")
        self.aggregation = options.aggregation or DEFAULT_AGGREGATION
        self.stride, self.max_seq_length = options.stride, max_seq_length
        if self.aggregation not in AGGREGATIONS:
            raise UsageError(
                f"there is no aggregation {self.aggregation!r}",
                [("aggregations", ", ".join(AGGREGATIONS))],
                "pass one of these as --aggregation, or leave it out.",
            )
        if self.stride is not None and self.aggregation == "none":
            raise UsageError(
                "tokens of windows that overlap cannot be told apart without aggregation",
                [("--stride", str(self.stride)), ("--aggregation", self.aggregation)],
                "pass another --aggregation, or leave out --stride.",
            )

    def lacking_in_text(self, tokenizer: Mapping[str, Any]) -> str:
        if self.stride is not None:
            room = self.max_seq_length - Packing.of_record(tokenizer).specials(1)
            check_stride(self.stride, room)
        if self._needs_lengths(tokenizer) and tokenizer["no_detokenize"]:
            return f"texts for its pieces: {tokenizer['no_detokenize']}"
        return ""

    def _needs_lengths(self, tokenizer: Mapping[str, Any]) -> bool:
        """Whether the lengths of pieces tell which of them are within a word."""
        return tokenizer["kind"] == _MARKING and self.aggregation in OF_WORDS

    def record(self) -> dict[str, Any]:
        return {
            "head": self.head,
            "labels": self.labels,
            "aggregation": self.aggregation,
            "stride": self.stride,
        }

    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        return {
            "text": (
                "My name is Sarah and I live in London.",
                "The Rhine flows from Switzerland to the North Sea.",
            )
        }

    def build(self, parts: Parts) -> Built:
        import tensorflow as tf

        from hubexport.pipelines.graph.entities import Aggregation, Classes, EntityRows
        from hubexport.pipelines.graph.function import (
            TEXT,
            Batch,
            Built,
            Function,
            Tensors,
            constant,
        )
        from hubexport.pipelines.graph.pieces import pieces_of

        lengths = None
        if self._needs_lengths(parts.tokenizer):
            pieces = pieces_of(parts.preprocessor, self.vocab_size)
            lengths = tf.strings.length(pieces, "UTF8_CHAR")
        unknown_id = parts.special_ids.get("unknown_id")
        aggregation = Aggregation(Classes(self.labels), self.aggregation, lengths, unknown_id)

        def answer(batch: Batch) -> Tensors:
            logits = parts.predict(self.head, batch)["token_logits"]  # [b, S, C]
            return {"scores": parts.of_segment(tf.nn.softmax(logits), batch, 0)}

        shape = [None, len(self.labels)]
        function = Function(
            (TEXT,),
            {"scores": tf.RaggedTensorSpec(shape, tf.float32, ragged_rank=0)},
            answer,
            rows=lambda texts: EntityRows(parts, aggregation, self.stride, *texts),
        )
        variables = list(getattr(parts.encoder, self.head).variables)
        return Built({"entities": function}, variables, {"labels": constant(self.labels)})

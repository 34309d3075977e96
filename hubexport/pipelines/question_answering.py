"""Questions and contexts to answers, as transformers' question-answering pipeline gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.pipelines.packing import Packing
from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, HeadTask, TaskOptions, check_stride

if TYPE_CHECKING:
    from hubexport.pipelines.graph.function import Built, Parts

DEFAULT_TOP_K, DEFAULT_ANSWER_LENGTH = 1, 15
LARGEST_DEFAULT_STRIDE = 128


@register
class QuestionAnswering(HeadTask):
    """The parts of a context that answer a question; see `Task`.

    Contexts that are too long are computed in windows; questions that are too long are cut.
    """

    head: ClassVar[str] = "qa"
    name: ClassVar[str] = "question-answering"
    purpose: ClassVar[str] = "the answers to a question in a text, their scores and where they are"
    tfhub_tasks: ClassVar[tuple[str, ...]] = ("text-question-answering",)
    pipeline_tags: ClassVar[tuple[str, ...]] = ("question-answering",)
    takes: ClassVar[tuple[str, ...]] = (
        "top_k", "stride", "max_answer_length", "handle_impossible_answer",
    )  # fmt: skip
    longest: ClassVar[int | None] = 384
    needs_offsets: ClassVar[bool] = True
    chooses: ClassVar[bool] = True

    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        self.max_seq_length = max_seq_length
        self.top_k = options.top_k or DEFAULT_TOP_K
        default = min(max_seq_length // 2, LARGEST_DEFAULT_STRIDE)
        self.stride = default if options.stride is None else options.stride
        self.max_answer_length = options.max_answer_length or DEFAULT_ANSWER_LENGTH
        self.handle_impossible_answer = bool(options.handle_impossible_answer)

    def lacking_in_text(self, tokenizer: Mapping[str, Any]) -> str:
        # One token of a question at least.
        check_stride(
            self.stride, self.max_seq_length - Packing.of_record(tokenizer).specials(2) - 1
        )
        return ""

    def record(self) -> dict[str, Any]:
        return {
            "head": self.head,
            "top_k": self.top_k,
            "stride": self.stride,
            "max_answer_length": self.max_answer_length,
            "handle_impossible_answer": self.handle_impossible_answer,
        }

    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        context = "The play was written by Anna Berg in 1921, and first performed in Oslo."
        questions = ("Who wrote the play?", "Where was it first performed?")
        return {"question": questions, "context": (context,) * len(questions)}

    def build(self, parts: Parts) -> Built:
        from hubexport.pipelines.graph.function import (
            CONTEXT,
            QUESTION,
            Batch,
            Built,
            Function,
            Tensors,
        )
        from hubexport.pipelines.graph.spans import AnswerRows, Spans

        spans = Spans(
            self.top_k, self.stride, self.max_answer_length, self.handle_impossible_answer
        )

        def answer(batch: Batch) -> Tensors:
            return spans.of_rows(parts, batch, parts.predict(self.head, batch))

        function = Function(
            (QUESTION, CONTEXT),
            spans.specs(),
            answer,
            rows=lambda texts: AnswerRows(parts, spans, *texts),
        )
        return Built({"answer": function}, list(getattr(parts.encoder, self.head).variables))

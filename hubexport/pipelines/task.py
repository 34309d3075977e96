"""What a task is: what it needs of a model, and the functions that it makes of it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.checkpoints.sentence_model import SentenceModel
from hubexport.errors import UsageError

if TYPE_CHECKING:
    from hubexport.pipelines.graph.function import Built, Parts


@dataclasses.dataclass(frozen=True)
class Found:
    """What a pipeline is to be made of.

    Attributes:
      origin: the flag and the path that it came by, for errors.
      encoder: record of the encoder, as far as it is known before an export.
      sentence: what a sentence-transformers directory declares.
    """

    origin: tuple[str, str]
    encoder: Mapping[str, Any]
    sentence: SentenceModel | None

    @property
    def heads(self) -> Mapping[str, Any]:
        """The heads of the encoder, by name."""
        heads: Mapping[str, Any] = self.encoder["heads"]
        return heads


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """What may be said of a task; None for what the task takes by default.

    Attributes:
      truncate_dim: how many numbers of an embedding are given.
      top_k: how many answers are given.
      aggregation: how tokens become entities.
      stride: how many tokens windows of a text that is too long have in common.
      max_answer_length: tokens of the longest answer.
      handle_impossible_answer: whether that there is no answer is one.
    """

    truncate_dim: int | None = None
    top_k: int | None = None
    aggregation: str | None = None
    stride: int | None = None
    max_answer_length: int | None = None
    handle_impossible_answer: bool | None = None

    def given(self) -> dict[str, Any]:
        """Those that are said."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Task(abc.ABC):
    """A task, decided for one model.

    Attributes:
      name: as `--task` takes it.
      purpose: what a pipeline of it gives, after "called with strings, it gives".
      tfhub_tasks: what tfhub.dev may call it.
      pipeline_tags: what Hugging Face may call it; the usual one first.
      example_size: how many of a text's answers the record's example has; None for all.
      takes: the options that it has, by their names in `TaskOptions`.
      longest: tokens of a row, if fewer than the model is for are usual.
      needs_offsets: whether it needs to know where in a text each token is.
      needs_pieces: whether it needs to know what text each piece stands for.
      chooses: whether an answer is another one where the second likeliest would be the likeliest.
      pools: whether it needs the encoder's `default`.
    """

    name: ClassVar[str]
    purpose: ClassVar[str]
    tfhub_tasks: ClassVar[tuple[str, ...]]
    pipeline_tags: ClassVar[tuple[str, ...]]
    example_size: ClassVar[int | None] = None
    takes: ClassVar[tuple[str, ...]] = ()
    longest: ClassVar[int | None] = None
    needs_offsets: ClassVar[bool] = False
    needs_pieces: ClassVar[bool] = False
    chooses: ClassVar[bool] = False
    pools: ClassVar[bool] = False

    @classmethod
    @abc.abstractmethod
    def lacking(cls, found: Found) -> str:
        """What the model lacks for this task, a phrase; "" where it lacks nothing."""

    @classmethod
    @abc.abstractmethod
    def is_declared(cls, found: Found) -> bool:
        """Whether the model says by itself that it is for this task."""

    @abc.abstractmethod
    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        """Decides everything.

        Args:
          found: the model.
          options: those that it `takes`.
          max_seq_length: tokens, special ones included, of a row.

        Raises:
          HubexportError: options, or something of the model, that do not go with the task.
        """

    @abc.abstractmethod
    def record(self) -> dict[str, Any]:
        """What the record says of the task, beside its name."""

    def lacking_in_text(self, tokenizer: Mapping[str, Any]) -> str:
        """What the tokenizer lacks for this task, a phrase; "" where it lacks nothing.

        Args:
          tokenizer: its part of a preprocessor's record.
        """
        return ""

    @abc.abstractmethod
    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        """Texts that show what it is for: name of an input -> two or three of them.

        Args:
          tokenizer: its part of a preprocessor's record.
        """

    def compared(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """What the answers to the example say of its texts together; nothing for most tasks.

        Args:
          outputs: name -> array [texts, ...].
        """
        return {}

    @abc.abstractmethod
    def build(self, parts: Parts) -> Built:
        """Its functions on a loaded encoder and preprocessor."""


class HeadTask(Task):
    """A task of models that have a head for it.

    Attributes:
      head: the encoder's.
    """

    head: ClassVar[str]

    @classmethod
    def lacking(cls, found: Found) -> str:
        return lacking_head(found, cls.head)

    @classmethod
    def is_declared(cls, found: Found) -> bool:
        return cls.head in found.heads

    def labels_of(self, found: Found, output: str) -> list[str]:
        """The names of the head's classes, in the order of its logits.

        Args:
          found: the model.
          output: the head's, whose last axis they are.
        """
        head = found.heads[self.head]
        classes: int = head["outputs"][output]["shape"][-1]
        # What transformers calls classes without names.
        return head["labels"] or [f"LABEL_{i}" for i in range(classes)]


def lacking_head(found: Found, head: str) -> str:
    """What a model lacks for a task that needs a head, or ""."""
    if head in found.heads:
        return ""
    heads = ", ".join(f".{name}" for name in found.heads) or "none"
    return f"the head .{head}; of heads it has {heads}"


def check_stride(stride: int, room: int) -> None:
    """Fails where windows of a text would not go on.

    Args:
      stride: how many tokens they have in common.
      room: how many a window has place for.

    Raises:
      UsageError: they would not.
    """
    if stride >= room:
        raise UsageError(
            "windows have too many tokens in common",
            [("--stride", f"{stride:,}"), ("tokens of a window", f"{room:,}")],
            "pass a smaller --stride, or a greater --max_seq_length.",
        )

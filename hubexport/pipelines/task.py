"""What a task is: what it needs of a model, and the functions that it makes of it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
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
    """What may be said of a task.

    Attributes:
      truncate_dim: how many numbers of an embedding are given; None for all.
    """

    truncate_dim: int | None = None


class Task(abc.ABC):
    """A task, decided for one model.

    Attributes:
      name: as `--task` takes it.
      purpose: what a pipeline of it gives, after "called with strings, it gives".
    """

    name: ClassVar[str]
    purpose: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def lacking(cls, found: Found) -> str:
        """What the model lacks for this task, a phrase; "" where it lacks nothing."""

    @classmethod
    @abc.abstractmethod
    def is_declared(cls, found: Found) -> bool:
        """Whether the model says by itself that it is for this task."""

    @abc.abstractmethod
    def __init__(self, found: Found, options: TaskOptions):
        """Decides everything.

        Raises:
          HubexportError: options, or something of the model, that do not go with the task.
        """

    @abc.abstractmethod
    def record(self) -> dict[str, Any]:
        """What the record says of the task, beside its name."""

    @abc.abstractmethod
    def build(self, parts: Parts) -> Built:
        """Its functions on a loaded encoder and preprocessor."""


def lacking_head(found: Found, head: str) -> str:
    """What a model lacks for a task that needs a head, or ""."""
    if head in found.heads:
        return ""
    heads = ", ".join(f".{name}" for name in found.heads) or "none"
    return f"the head .{head}; of heads it has {heads}"


def check_uncut(name: str, options: TaskOptions) -> None:
    """Fails where vectors are to be cut, of a task that gives none.

    Raises:
      UsageError: they are.
    """
    if options.truncate_dim is not None:
        raise UsageError(
            "only embeddings can be cut",
            [("--truncate_dim", str(options.truncate_dim)), ("task", name)],
            "leave it out.",
        )

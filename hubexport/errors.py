"""The errors a user can meet, each saying what was given, what was found and how to go on."""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 8  # names printed of a long list before "... (n more)"


class HubexportError(Exception):
    """Something about the input or the target that the user can fix.

    Args:
      problem: one sentence, no full stop needed.
      facts: (label, value) pairs: what was given and what was found, in reading order.
      hint: what to do, an imperative sentence.
    """

    exit_code = 1

    def __init__(
        self, problem: str, facts: Iterable[tuple[str, str]] = (), hint: str | None = None
    ):
        self.problem = problem.rstrip(".")
        self.facts = tuple(facts)
        self.hint = hint
        super().__init__(self.render())

    def render(self) -> str:
        """The message as the terminal shows it, without the `hubexport: error:` in front."""
        lines = [self.problem + "."]
        lines += [f"  {label}: {value}" for label, value in self.facts]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class UsageError(HubexportError):
    """Arguments that do not go together."""

    exit_code = 2


class ConfigurationError(HubexportError):
    """A model configuration that cannot be read, or asks for what is not supported."""


class CheckpointError(HubexportError):
    """A checkpoint that cannot be found, opened or read to its end."""


class UnsafeCheckpointError(CheckpointError):
    """A checkpoint that tries to do more than hold tensors."""


class TensorMismatchError(CheckpointError):
    """The checkpoint's tensors and the configured model are not the same set."""


class MissingPoolerError(CheckpointError):
    """The checkpoint does not hold the pooler, and nothing says what to take instead."""


class VocabularyError(HubexportError):
    """A vocabulary or tokenizer model that cannot be used."""


class ExportPathError(HubexportError):
    """A target that cannot be written, or must not be."""


def some_of(names: Iterable[str], shown: int = _SHOWN) -> str:
    """`a, b, c, ... (12 more)`: the head of a list that may be long."""
    names = list(names)
    head = ", ".join(names[:shown])
    return head if len(names) <= shown else f"{head}, ... ({len(names) - shown} more)"

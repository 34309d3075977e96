"""What a pipeline's export is asked for, as one object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

from hubexport.errors import UsageError
from hubexport.exporting.command_options import CommandOptions
from hubexport.paths import PathLike
from hubexport.pipelines.registry import AUTO
from hubexport.pipelines.task import TaskOptions

MAXIMUM_BATCH_SIZE = 1 << 16
"""Far beyond what is of use: batches are there to bound the memory that a call takes."""
MAXIMUM_TOP_K = 1000
MAXIMUM_ANSWER_LENGTH = 512
"""Each token of a text may begin an answer of every length, and all are kept for a batch."""
_OF_CHECKPOINTS = ("tokenizer", "do_lower_case", "dtype", "variable_dtype")
_NUMBERS: Mapping[str, tuple[int, int | None]] = {
    "max_seq_length": (3, None),
    "batch_size": (1, MAXIMUM_BATCH_SIZE),
    "truncate_dim": (1, None),
    "top_k": (1, MAXIMUM_TOP_K),
    "stride": (0, None),
    "max_answer_length": (1, MAXIMUM_ANSWER_LENGTH),
}
"""The least and the most that numbers may be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineOptions(CommandOptions):
    """The arguments of `hubexport.export_pipeline`, which says what each of them is."""

    COMMAND: ClassVar[str] = "pipeline"
    PATHS: ClassVar[tuple[str, ...]] = ("checkpoint", "tokenizer", "encoder", "preprocessor")
    OF_THE_RUN: ClassVar[tuple[str, ...]] = ("export_path", "overwrite", "show_progress")

    export_path: PathLike
    checkpoint: PathLike | None = None
    tokenizer: PathLike | None = None
    do_lower_case: bool | None = None
    encoder: PathLike | None = None
    preprocessor: PathLike | None = None
    task: str = AUTO
    max_seq_length: int | None = None
    batch_size: int = 32
    truncate_dim: int | None = None
    top_k: int | None = None
    aggregation: str | None = None
    stride: int | None = None
    max_answer_length: int | None = None
    handle_impossible_answer: bool | None = None
    dtype: str | None = None
    variable_dtype: str | None = None
    overwrite: bool = False
    show_progress: bool = False

    @property
    def of_task(self) -> TaskOptions:
        """What they say of the task."""
        names = [field.name for field in dataclasses.fields(TaskOptions)]
        return TaskOptions(**{name: getattr(self, name) for name in names})

    def check(self) -> None:
        """Checks what can be said before anything is read.

        Raises:
          UsageError: a value that there is not, or arguments that do not go together.
        """
        given = self.given()
        named = [name for name in ("checkpoint", "encoder", "preprocessor") if name in given]
        if named not in (["checkpoint"], ["encoder", "preprocessor"]):
            raise UsageError(
                "a pipeline is made of a checkpoint, or of an encoder and a preprocessor",
                [("given", ", ".join(f"--{name}" for name in named) or "none of them")],
                "pass --checkpoint, or --encoder and --preprocessor.",
            )
        of_checkpoints = [name for name in _OF_CHECKPOINTS if name in given]
        if of_checkpoints and named != ["checkpoint"]:
            raise UsageError(
                "an encoder and a preprocessor that are there are taken as they are",
                [(f"--{name}", str(given[name])) for name in of_checkpoints],
                "leave these out, or pass --checkpoint.",
            )
        for name, (least, most) in _NUMBERS.items():
            value = given.get(name)
            if value is not None and (
                not isinstance(value, int) or value < least or (most and value > most)
            ):
                raise UsageError(
                    f"--{name} is out of range",
                    [(f"--{name}", repr(value)),
                     ("possible", f"{least} to {most:,}" if most else f"{least} or more")],
                    "pass a number in this range, or leave it out.",
                )  # fmt: skip

"""What a pipeline's export is asked for, as one object."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hubexport.errors import UsageError
from hubexport.paths import PathLike
from hubexport.pipelines.registry import AUTO
from hubexport.pipelines.task import TaskOptions

MAXIMUM_BATCH_SIZE = 1 << 16
"""Far beyond what is of use: batches are there to bound the memory that a call takes."""
_PATHS = ("checkpoint", "tokenizer", "encoder", "preprocessor")
_OF_CHECKPOINTS = ("tokenizer", "do_lower_case", "dtype", "variable_dtype")
_OF_THE_RUN = ("export_path", "overwrite", "show_progress")
"""What the artifact does not depend on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """The arguments of `hubexport.export_pipeline`, which says what each of them is."""

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
    dtype: str | None = None
    variable_dtype: str | None = None
    overwrite: bool = False
    show_progress: bool = False

    @property
    def target(self) -> Path:
        """Where the artifact is to be."""
        return Path(self.export_path)

    @property
    def of_task(self) -> TaskOptions:
        """What they say of the task."""
        return TaskOptions(self.truncate_dim)

    def given(self) -> dict[str, Any]:
        """What the artifact depends on, less what was left to hubexport."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and name not in _OF_THE_RUN
        }

    def sources(self) -> list[Path]:
        """The files and directories that were named."""
        given = self.given()
        return [Path(given[name]) for name in _PATHS if name in given]

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
        for name, least, most in (
            ("max_seq_length", 3, None),
            ("batch_size", 1, MAXIMUM_BATCH_SIZE),
            ("truncate_dim", 1, None),
        ):
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

    def command(self) -> list[str]:
        """The command line that gives this artifact again, less its export path.

        Files by their names only: where they lay is not part of the artifact, and is private.
        """
        command = ["hubexport", "pipeline"]
        for name, value in self.given().items():
            if isinstance(value, bool):
                command.append(f"--{name}" if value else f"--no{name}")
            else:
                value = Path(value).absolute().name if name in _PATHS else value
                command.append(f"--{name}={value}")
        return command

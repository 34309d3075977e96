"""What the options of all exports have in common: they are the flags of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from hubexport.paths import PathLike


class CommandOptions:
    """A base of dataclasses, which have the fields.

    Attributes:
      COMMAND: of hubexport, that takes them as flags.
      PATHS: those that name files or directories to read.
      OF_THE_RUN: what the artifact does not depend on.
      export_path: where it is to be.
    """

    COMMAND: ClassVar[str]
    PATHS: ClassVar[tuple[str, ...]]
    OF_THE_RUN: ClassVar[tuple[str, ...]]

    export_path: PathLike

    @property
    def target(self) -> Path:
        """Where the artifact is to be."""
        return Path(self.export_path)

    def given(self) -> dict[str, Any]:
        """What the artifact depends on, less what was left to hubexport."""
        return {
            name: value
            for name, value in vars(self).items()
            if value is not None and name not in self.OF_THE_RUN
        }

    def sources(self) -> list[Path]:
        """The files and directories that were named."""
        given = self.given()
        return [Path(given[name]) for name in self.PATHS if name in given]

    def command(self) -> list[str]:
        """The command line that gives this artifact again, less its export path.

        Files by their names only: where they lay is not part of the artifact, and is private.
        """
        command = ["hubexport", self.COMMAND]
        for name, value in self.given().items():
            if isinstance(value, bool):
                command.append(f"--{name}" if value else f"--no{name}")
            else:
                value = Path(value).absolute().name if name in self.PATHS else value
                command.append(f"--{name}={value}")
        return command

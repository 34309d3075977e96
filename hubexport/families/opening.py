"""From paths to a model: its checkpoint, its configuration, its family."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from hubexport.checkpoints.opening import open_checkpoint
from hubexport.checkpoints.source import TensorSource
from hubexport.errors import CheckpointError
from hubexport.families.configuration import Configuration, read_configuration
from hubexport.families.family import Family
from hubexport.families.registry import choose
from hubexport.paths import PathLike


@dataclasses.dataclass(frozen=True)
class Opened:
    """A checkpoint and the file that describes it."""

    source: TensorSource
    configuration: Configuration

    def model(
        self, family: str | None = None, overrides: Mapping[str, object] | None = None
    ) -> tuple[Family, str]:
        """The model, and the evidence for its family.

        Args:
          family: what the user says it is, or None to recognise it.
          overrides: of `EncoderConfig`'s values.

        Raises:
          UsageError: no such family, or an override is out of range.
          ConfigurationError: the model is of no known family, or its values cannot be used.
        """
        made_of, evidence = choose(family, self.configuration, self.source)
        return made_of(self.configuration, self.source, overrides or {}), evidence


def open_model(
    checkpoint: Path,
    *,
    bert_config: PathLike | None = None,
    encoder_config: PathLike | None = None,
) -> Opened:
    """Opens a checkpoint of which every file is there, and reads its configuration.

    Args:
      checkpoint: unpacked, if it came as an archive.
      bert_config, encoder_config: as of `read_configuration`.

    Raises:
      CheckpointError: it cannot be read, or is not complete.
      UsageError, ConfigurationError: as of `read_configuration`.
    """
    source = open_complete(checkpoint)
    return describe(source, checkpoint, bert_config=bert_config, encoder_config=encoder_config)


def open_complete(checkpoint: Path) -> TensorSource:
    """Opens a checkpoint of which every file is there.

    Raises:
      CheckpointError: it cannot be read, or is not complete.
    """
    source = open_checkpoint(checkpoint)
    # An index can be read without its data, which is enough to inspect but not to export.
    if absent := [file.name for file in source.files if not file.is_file()]:
        raise CheckpointError(
            "the checkpoint is not complete",
            [("checkpoint", str(source.path)), ("not there", ", ".join(absent))],
            "copy or download these files too, into the same directory.",
        )
    return source


def describe(
    source: TensorSource,
    checkpoint: Path,
    *,
    bert_config: PathLike | None = None,
    encoder_config: PathLike | None = None,
) -> Opened:
    """An open checkpoint with its configuration; the rest is as of `open_model`."""
    configuration = read_configuration(
        bert_config,
        encoder_config,
        source.path if source.settings else checkpoint,
        settings=source.settings,
        layout=source.layout,
    )
    return Opened(source, configuration)

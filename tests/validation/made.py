"""Checkpoints with their references, made when a test first asks for them, and wrong encoders."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from hubexport.validation.context import Context
from hubexport.validation.gates import GATES
from hubexport.validation.reference_file import read_reference
from hubexport.validation.report import Report
from tests.artifacts import export_encoder, make_reference
from tests.validation.conftest import Trained
from tests.validation.faults import judged
from tests.validation.gates.contexts import context, unsaved

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
"""Puts a fault into the code that exports."""


class Made:
    """Models by name.

    Args:
      work: makes a directory.
      write: writes the checkpoint of a name, to a path; gives where it is, if that is elsewhere.
      told: what is said of a model beside its files, to `make_reference` and `export_encoder`.
    """

    def __init__(
        self,
        work: pytest.TempPathFactory,
        write: Callable[[str, Path], Path | None],
        told: Callable[[str], Mapping[str, Any]] = lambda name: {},
    ):
        self._work, self._write, self._told = work, write, told

    @functools.cache  # noqa: B019  as long as the tests run
    def __call__(self, name: str) -> Trained:
        """Checkpoint and reference, and where the encoder is to be."""
        work = self._work.mktemp("made")
        checkpoint = self._write(name, work / "checkpoint") or work / "checkpoint"
        make_reference(
            source="transformers", checkpoint=checkpoint, output=work / "reference",
            **self._told(name),
        )  # fmt: skip
        return Trained(checkpoint, work / "reference", work / "encoder")

    @functools.cache  # noqa: B019
    def exported(self, name: str) -> Context:
        """A validation of the encoder against its reference; to be left as it is."""
        of = self(name)
        export_encoder(checkpoint=of.checkpoint, export_path=of.encoder, **self._told(name))
        return context(of.encoder, reference=read_reference(of.reference))

    def wrong(
        self, name: str, gates: Collection[str], patch: Patch, *plants: Plant, **options: Any
    ) -> Report:
        """The report of gates on what an export would save with faults planted; see `faulty`."""
        return faulty(self(name), gates, patch, *plants, **{**self._told(name), **options})


def faulty(
    of: Trained, gates: Collection[str], patch: Patch, *plants: Plant, **options: Any
) -> Report:
    """The report of gates on what an export would save with faults planted, or other options.

    Of gates that only call the encoder. What they find does not depend on its being saved and
    loaded, which takes longer than they do.
    """
    with patch.context() as planted:
        for plant in plants:
            plant(planted)
        given = unsaved(of.checkpoint, of.reference, **options)
        return judged(given, *(gate for gate in GATES if gate.NAME in gates))

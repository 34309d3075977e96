"""Gates without processes of their own, for tests of which nothing is about processes."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubexport.validation import processes
from hubexport.validation.report import read_report
from hubexport.validation.runner import Request


@contextlib.contextmanager
def run_here() -> Iterator[None]:
    """Within it, gates run in this process, which has imported TensorFlow."""

    def run(request: Request, scratch: Path, done: object) -> object:
        files = [str(scratch / name) for name in ("request", "report")]
        Path(files[0]).write_text(json.dumps(dataclasses.asdict(request)))
        processes.main(files)
        return read_report(Path(files[1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_run", run)
        yield


@pytest.fixture
def gates_here() -> Iterator[None]:
    """Gates run in this process in this test."""
    with run_here():
        yield

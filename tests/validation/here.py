"""Gates without processes of their own, for tests of which nothing is about processes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hubexport.validation import processes
from hubexport.validation.report import read_report
from hubexport.validation.runner import Request


@pytest.fixture
def gates_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates run in this process, which has imported TensorFlow."""

    def run(request: Request, scratch: Path, done: object) -> object:
        files = [str(scratch / name) for name in ("request", "report")]
        Path(files[0]).write_text(json.dumps(dataclasses.asdict(request)))
        processes.main(files)
        return read_report(Path(files[1]))

    monkeypatch.setattr(processes, "_run", run)

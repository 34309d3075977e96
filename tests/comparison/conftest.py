"""Artifacts that are compared: each is exported once, and what differs is made of copies."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.artifacts import export_encoder, export_pipeline, export_preprocessor
from tests.forks import forked_children

__all__ = ["forked_children"]

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_checkpoint(tmp_path_factory.mktemp("compared"))


@pytest.fixture(scope="session")
def encoder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float32 encoder with heads."""
    target = tmp_path_factory.mktemp("encoder") / "encoder"
    export_encoder(checkpoint=checkpoint, export_path=target)
    return target


@pytest.fixture(scope="session")
def preprocessor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("preprocessor")
    vocabulary = tiny.write_vocabulary(work / "vocab.txt")
    export_preprocessor(
        vocab_file=vocabulary, export_path=work / "made", do_lower_case=True, default_seq_length=12
    )
    return work / "made"


@pytest.fixture(scope="session")
def pipeline(encoder: Path, preprocessor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pipeline") / "pipeline"
    export_pipeline(
        encoder=encoder, preprocessor=preprocessor, task="embedding", export_path=target
    )
    return target


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[..., Path]:
    """Copies an artifact; `change` is given its record, and changes it in place."""

    def copied(artifact: Path, change: Change = lambda record: None) -> Path:
        target = tmp_path / f"copy{len(list(tmp_path.iterdir()))}"
        shutil.copytree(artifact, target)
        path = target / "assets.extra" / "hubexport.json"
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record))
        return target

    return copied

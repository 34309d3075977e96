"""What holds for every test: where shared artifacts are kept, and settings that save time."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.artifacts import VARIABLE
from tests.forks import Server
from tests.optimizer import leave_out_tracebacks, set_optimizer

# XLA's optimizations take longer to compile than tests' models take to run; results are the same.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Several test processes share the processors; threads that wait for each other burn them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tracing makes many objects, all of which live: looking for garbage that often finds none.
gc.set_threshold(100_000, 50, 50)

HERE = Path(__file__).parent
LONG = (
    "cards/site/test_pages_in_browser.py",
    "test_against_model_garden.py",
    "cards/rendering/test_snippets.py",
    "validation/gates/test_preprocessor.py",
    "commands/test_validate_command.py",
    "tokenizers/test_exported.py",
    "validation/gates/test_end_to_end.py",
    "validation/test_planted_networks.py",
    "test_encoder_artifact.py",
    "validation/pjrt/test_run.py",
    "networks/test_variable_dtype.py",
    "test_against_hugging_face.py",
    "test_against_every_class.py",
    "validation/references/test_model_garden.py",
    "networks/test_precision.py",
    "validation/test_planted_families.py",
    "validation/test_others_artifacts.py",
    "exporting/test_validation.py",
    "keras/test_layer.py",
    "test_docs.py",
    "commands/test_quiet.py",
    "test_head_artifacts.py",
    "commands/test_run_command.py",
    "serving/test_documented.py",
)
"""Files that take half a minute or more, in either tier, the longest first."""

_MADE: list[tuple[Path, Server]] = []


def pytest_configure(config: pytest.Config) -> None:
    """Makes the directory of what tests share, in the process that starts all others."""
    if not hasattr(config, "workerinput"):
        directory = Path(tempfile.mkdtemp(prefix="hubexport-tests-"))
        os.environ[VARIABLE] = str(directory)
        _MADE.append((directory, Server(directory)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long files come first where several processes share them: none is left alone at the end."""
    if hasattr(config, "workerinput"):
        rank = {name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: rank.get(str(item.path.relative_to(HERE)), len(LONG)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Optimizing a graph takes longer than running it a few times."""
    if "tensorflow" in sys.modules:
        set_optimizer(False)
        leave_out_tracebacks()


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes it again."""
    gc.freeze()  # pytest looks for garbage five times at the end: seconds among TensorFlow's graphs
    for directory, server in _MADE:
        server.close()
        shutil.rmtree(directory, ignore_errors=True)

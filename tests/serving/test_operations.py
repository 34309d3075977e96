"""Servers, and programs without Python, have the operations that pipelines need."""

from __future__ import annotations

from pathlib import Path

import pytest

import hubexport
from hubexport.saved_model import ops
from tests import forks

pytest.importorskip("tensorflow_text")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

LIBRARIES = """
import importlib.util, sys
from pathlib import Path
import tensorflow as tf

found = Path(importlib.util.find_spec("tensorflow_text").origin).parent / "python" / "ops"
for library in sorted(found.glob("_*.so")):
    tf.load_op_library(str(library))
assert "tensorflow_text" not in sys.modules
v1 = tf.compat.v1
with v1.Session(graph=tf.Graph()) as session:
    signature = v1.saved_model.load(session, ["serve"], sys.argv[1]).signature_def["embed"]
    fed = {signature.inputs["text"].name: ["A man eats."]}
    print(session.run(signature.outputs["embedding"].name, fed).shape)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.oracles import pipelines

    made: Path = pipelines.save_sentence_model(tmp_path_factory.mktemp("model"))
    return made


def test_servers_have_them(model: Path, tmp_path: Path) -> None:
    record = hubexport.export_pipeline(checkpoint=model, export_path=tmp_path / "out")
    assert "FastWordpieceTokenizeWithOffsets" in record["saved_model"]["ops"]
    assert ops.not_served(record["saved_model"]["ops"]) == {}
    assert record["warnings"] == []
    # As a C program does it, which has the libraries and no Python.
    done = forks.run(LIBRARIES, tmp_path / "out", preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "(1, 16)"


def test_what_a_server_lacks_is_a_warning(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = frozenset({"FastWordpieceTokenizeWithOffsets"})
    monkeypatch.setitem(ops._NOT_SERVED, "2.20", lacking)
    record = hubexport.export_pipeline(checkpoint=model, export_path=tmp_path / "out")
    assert record["warnings"] == [
        "TensorFlow Serving 2.20 lacks ops of this pipeline: FastWordpieceTokenizeWithOffsets"
    ]

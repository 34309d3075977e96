"""`hubexport pipeline`: what it prints, what a fresh process finds in the artifact, its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport import cli
from tests import forks

pytest.importorskip("tensorflow_text")
pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

USER = """
import json, sys
import numpy as np, tensorflow as tf, tensorflow_text
pipeline = tf.saved_model.load(sys.argv[1])
assert "hubexport" not in sys.modules
texts = tf.constant(json.load(open(sys.argv[2])))
np.savez(sys.argv[3], root=pipeline(texts), **{
    name: signature(text=texts)["embedding"] for name, signature in pipeline.signatures.items()
})
import tensorflow_hub as hub
layer = hub.KerasLayer(sys.argv[1], trainable=True)
assert np.allclose(layer(texts), pipeline(texts), atol=1e-6)
assert len(layer.trainable_weights) == len(pipeline.trainable_variables)
"""
"""A user's program, with TensorFlow's optimizer of graphs."""


@pytest.fixture(scope="module")
def oracle() -> Any:
    from tests.oracles import pipelines

    return pipelines


@pytest.fixture(scope="module")
def model(oracle: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = oracle.save_sentence_model(
        tmp_path_factory.mktemp("model"), modes=("mean",), prompts={"query": "query: "},
        include_prompt=False,
    )  # fmt: skip
    return made


def test_from_the_command_line_to_a_fresh_process(model: Path, oracle: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = forks.hubexport("pipeline", f"--checkpoint={model}", f"--export_path={out}")
    assert done.returncode == 0, done.stderr
    assert "task         embedding" in done.stdout
    assert "query 'query: '" in done.stdout
    assert "signatures   document, embed, query, serving_default" in done.stdout
    (tmp_path / "texts.json").write_text(json.dumps(oracle.TEXTS))
    arguments = [str(out), str(tmp_path / "texts.json"), str(tmp_path / "found.npz")]
    subprocess.run([sys.executable, "-c", USER, *arguments], check=True, timeout=240)
    found = np.load(tmp_path / "found.npz")
    plain = oracle.embeddings(model, oracle.TEXTS)
    query = oracle.embeddings(model, oracle.TEXTS, prompt_name="query")
    for name in ("root", "embed", "serving_default"):
        assert np.max(np.abs(found[name] - plain)) <= 2e-6
    assert np.max(np.abs(found["query"] - query)) <= 2e-6
    assert np.max(np.abs(plain - query)) > 1e-3


def test_the_same_again(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two exports give the same bytes, the time in the record included."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("one", "other"):
        hubexport.export_pipeline(checkpoint=model, export_path=tmp_path / name)
    one, other = (
        {str(path.relative_to(tmp_path / name)): path.read_bytes()
         for path in sorted((tmp_path / name).rglob("*")) if path.is_file()}
        for name in ("one", "other")
    )  # fmt: skip
    assert list(one) == list(other)
    assert [name for name in one if one[name] != other[name]] == []


def test_errors_come_before_anything_is_written(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def refused(*argv: str) -> str:
        assert cli.run(["pipeline", *argv, f"--export_path={out}"]) != 0
        assert not out.exists()
        return capfd.readouterr().err

    assert "the model is not for classification" in refused(
        f"--checkpoint={model}", "--task=classification"
    )
    assert "lacks: the head .classifier; of heads it has none" in refused(
        f"--checkpoint={model}", "--task=classification"
    )
    assert "positions: 52" in refused(f"--checkpoint={model}", "--max_seq_length=53")
    assert "cut to this size" in refused(f"--checkpoint={model}", "--truncate_dim=17")
    assert "nothing tells where the tokenizer is" in refused(
        f"--checkpoint={model / 'model.safetensors'}"
    )
    hubexport.export_preprocessor(tokenizer=model, export_path=tmp_path / "text")
    assert "what --encoder names is something else" in refused(
        f"--encoder={tmp_path / 'text'}", f"--preprocessor={tmp_path / 'text'}"
    )


def test_inspect_shows_it(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hubexport.export_pipeline(checkpoint=model, export_path=tmp_path / "out")
    assert cli.run(["inspect", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "pipeline for embedding" in shown
    assert "preprocessor.tokenize" in shown
    assert "made from model.safetensors" in shown and "made from tokenizer.json" in shown
    assert "damaged" not in shown
    with pytest.raises(hubexport.HubexportError, match="its record says: pipeline"):
        hubexport.validate(saved_model=tmp_path / "out")

"""`hubexport diff`: exit status, formats, and never TensorFlow without a reference."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from hubexport.cli import run
from hubexport.publishing.publication import publish
from hubexport.saved_model.record import write_record
from hubexport.tf_formats import protos
from hubexport.tf_formats.bundle import BundleWriter

_RUN = """
import resource, sys
from hubexport.cli import run
status = run(["diff", *sys.argv[1:]])
heavy = {"tensorflow", "tensorflow_text", "torch", "jax", "aiohttp"} & set(sys.modules)
assert not heavy, heavy
print(f"status {status}, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}")
"""
RECORD = {
    "kind": "encoder", "family": {"name": "bert"}, "architecture": {"dtype": "float32"},
    "heads": {}, "warnings": [],
    "environment": {"tensorflow": "2.20.0"},
}  # fmt: skip


def artifact(directory: Path, *, bias: float = 1.0, rows: int = 2, **record: object) -> Path:
    """A SavedModel with a graph of one node, two variables and a record."""
    message = protos.SavedModel(saved_model_schema_version=1)
    graph = message.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.graph_def.node.add(name="product", op="MatMul")
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(message.SerializeToString())
    row = np.ones(1024, np.float32).tobytes()
    with BundleWriter(directory / "variables" / "variables") as writer:
        writer.add("bias", "float32", (3,), [np.full(3, bias, np.float32).tobytes()])
        writer.add("kernel", "float32", (rows, 1024), (row for _ in range(rows)))
    write_record(directory, {**RECORD, **record})
    return directory


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return artifact(tmp_path / "one")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return artifact(tmp_path / "other", bias=1.5, architecture={"dtype": "bfloat16"})


def test_equal_is_0(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(one), str(artifact(tmp_path / "same"))]) == 0
    assert capsys.readouterr().out.startswith("identical: 2 variables (2 by their bytes)")
    assert run(["diff", str(one), str(one), "--trust_checksums"]) == 0
    assert "2 by their checksums" in capsys.readouterr().out


def test_different_is_3(one: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(one), str(other)]) == 3
    said = capsys.readouterr()
    assert said.out.startswith("1 of 2 variables differ, the furthest bias by 0.5 of its norm; con")
    assert "architecture.dtype: float32 -> bfloat16" in said.out and not said.err


def test_json_is_for_programs(one: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(one), str(other), "--format=json"]) == 3
    fields = json.loads(capsys.readouterr().out)
    assert (fields["a"], fields["b"], fields["equal"]) == (str(one), str(other), False)
    (change,) = fields["variables"]["changes"]
    assert change["name"] == "bias"
    assert change["distance"] == {
        "absolute": pytest.approx(0.5 * 3**0.5), "relative": pytest.approx(0.5), "largest": 0.5,
        "at": [0], "elements": 3,
    }  # fmt: skip


def test_markdown_is_for_pages(one: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(one), str(other), "--format=markdown"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("## Changes\n") and "| `bias` | 0.5 | 0.5 |" in out


def test_errors_are_1_and_2(one: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(one), str(tmp_path / "nowhere")]) == 1
    assert "hubexport: error: there is no SavedModel." in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        run(["diff", str(one)])
    assert caught.value.code == 2
    with pytest.raises(SystemExit) as caught:
        run(["diff", str(one), str(one), "--format=yaml"])
    assert caught.value.code == 2


def test_published_versions_are_compared_as_directories_are(
    one: Path,
    other: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, scratch = tmp_path / "hub", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    for each in (one, other):
        page = each.with_suffix(".md")
        page.write_text(f"# Model\n\nThe model {each.name}.\n")
        publish(
            saved_model=each, handle="example/bert/next", to=[hub], allow_unvalidated=True,
            card=[page],
        )  # fmt: skip
    flags = ["--hub", str(hub), "--format=json"]
    assert run(["diff", str(one), "example/bert/1", *flags]) == 0
    assert "only b has a page" in capsys.readouterr().out
    assert run(["diff", "example/bert/1", "example/bert", *flags]) == 3
    fields = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in fields["variables"]["changes"]] == ["bias"]
    assert {"-The model one.", "+The model other."} <= {*fields["page"]}
    version = hub / "example" / "bert" / "2"
    assert run(["diff", str(other), str(version)]) == 0
    assert run(["diff", str(other), version.as_uri()]) == 0
    assert run(["diff", "example/bert/1", "example/bert/7", *flags]) == 1
    assert not any(scratch.iterdir())


def test_what_is_for_pages_can_be_published(
    one: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["diff", str(one), str(other), "--format=markdown"]) == 3
    page, changes = tmp_path / "page.md", tmp_path / "changes.md"
    page.write_text("# Model\n\nA model.\n")
    changes.write_text(capsys.readouterr().out)
    publish(
        saved_model=other, handle="example/bert/2", to=[tmp_path / "hub"], allow_unvalidated=True,
        card=[page, changes],
    )  # fmt: skip
    version = tmp_path / "hub" / "example" / "bert" / "2"
    assert (version / "README.md").read_text().count("## Changes\n\n- Variables: 1 of 2") == 1
    assert "<code>bias</code>" in (version / "index.html").read_text()


def diffed(*arguments: object) -> str:
    """What the command prints in a process of its own that must not import TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_neither_tensorflow_nor_memory_is_needed(one: Path, other: Path, tmp_path: Path) -> None:
    """200 MB of variables take no more than a few kilobytes do."""
    small = diffed(one, other)
    large = diffed(
        artifact(tmp_path / "a", rows=50_000), artifact(tmp_path / "b", rows=50_000, bias=0)
    )
    assert "status 3" in small and "status 3" in large
    peaks = [int(text.rpartition("peak ")[2]) for text in (small, large)]
    assert peaks[1] - peaks[0] < 16 << 10  # KiB

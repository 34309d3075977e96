"""An artifact's identity, as sha256sum would tell it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hubexport.errors import HubexportError
from hubexport.saved_model.identity import artifact_identity


def _artifact(directory: Path) -> Path:
    for name, data in {
        "saved_model.pb": b"graph",
        "variables/variables.index": b"index",
        "variables/variables.data-00001-of-00002": b"second",
        "variables/variables.data-00000-of-00002": b"first",
        "assets/vocab.txt": b"a\nb\n",
        "assets/b.model": b"model",
        "assets.extra/hubexport.json": b"{}",
        "fingerprint.pb": b"x",
    }.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return directory


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_digests(tmp_path: Path) -> None:
    model, vocabulary = _sha256(b"model"), _sha256(b"a\nb\n")
    listing = f"{model}  b.model\n{vocabulary}  vocab.txt\n"
    assert artifact_identity(_artifact(tmp_path)) == {
        "program": _sha256(b"graph"),
        "variables": _sha256(b"firstsecondindex"),
        "assets": _sha256(listing.encode()),
    }


@pytest.mark.parametrize(
    "name",
    ["saved_model.pb", "variables/variables.index", "assets/vocab.txt", "assets/new.txt"],
)
def test_what_it_computes_with_counts(name: str, tmp_path: Path) -> None:
    before = artifact_identity(_artifact(tmp_path))
    (tmp_path / name).write_bytes(b"changed")
    after = artifact_identity(tmp_path)
    changed = [part for part in before if before[part] != after[part]]
    part = {"saved_model.pb": "program"}.get(name, name.partition("/")[0])
    assert changed == [part]


def test_the_record_does_not_count(tmp_path: Path) -> None:
    before = artifact_identity(_artifact(tmp_path))
    (tmp_path / "assets.extra" / "hubexport.json").write_bytes(b"changed")
    (tmp_path / "fingerprint.pb").unlink()
    assert artifact_identity(tmp_path) == before


def test_a_graph_alone(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    assert artifact_identity(tmp_path) == {"program": _sha256(b"graph")}


def test_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(HubexportError, match="no SavedModel"):
        artifact_identity(tmp_path)

"""Artifacts as far as publishing looks at them: files, and a record that knows their digests."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from hubexport.saved_model.identity import RECORD, file_digests
from hubexport.validation.gates import NAMES

FILES = {
    "saved_model.pb": b"a program" * 100,
    "fingerprint.pb": b"",
    "variables/variables.index": b"an index",
    "variables/variables.data-00000-of-00001": bytes(range(256)) * 5000,
    "assets/vocab.txt": "[PAD]\nwörter\n".encode(),
}


def make_artifact(path: Path, *, salt: bytes = b"", padding: int = 0, **changes: Any) -> Path:
    """An encoder's directory.

    Args:
      path: to make.
      salt: other bytes make another artifact.
      padding: bytes of one more file, of zeros.
      changes: of the record.
    """
    for name, data in FILES.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data + (salt if name == "saved_model.pb" else b""))
    if padding:
        with open(path / "assets" / "zeros.bin", "wb") as zeros:
            zeros.truncate(padding)
    record = {
        "schema_version": 2,
        "kind": "encoder",
        "family": {"name": "bert"},
        "architecture": {"num_hidden_layers": 2, "hidden_size": 16, "num_attention_heads": 2},
        "validation": [{
            "runtime": "tensorflow", "device": "cpu", "passed": True, "files": file_digests(path),
            "gates": [{"name": name} for name in NAMES],
        }],
        **changes,
    }  # fmt: skip
    (path / RECORD).parent.mkdir(exist_ok=True)
    (path / RECORD).write_text(json.dumps(record), "utf-8")
    return path


def files_of(directory: Path) -> dict[str, bytes]:
    """Path -> bytes of every file."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def place_in(archive: Path, name: str) -> int:
    """Where a file's header begins in an archive."""
    with tarfile.open(archive) as tar:
        return tar.getmember(name).offset

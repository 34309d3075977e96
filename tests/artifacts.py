"""Artifacts that tests share: each is made once in a run, and copied to whoever asks for it.

`export_encoder`, `export_preprocessor`, `export_pipeline` and `make_reference` stand in for
hubexport's own, with the same arguments and results. What they made is kept by everything that it
was made of - the arguments, and the bytes of all files named by them - and handed out as a copy,
which a test may change. Tests of exporting itself call hubexport.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hubexport

VARIABLE = "HUBEXPORT_TEST_ARTIFACTS"
"""Names the directory that all processes of a run keep them in; tests/conftest.py makes it."""


def export_encoder(*, export_path: Path | str, **arguments: Any) -> dict[str, Any]:
    """`hubexport.export_encoder`."""
    return _made(hubexport.export_encoder, "export_path", export_path, arguments)


def export_preprocessor(*, export_path: Path | str, **arguments: Any) -> dict[str, Any]:
    """`hubexport.export_preprocessor`."""
    return _made(hubexport.export_preprocessor, "export_path", export_path, arguments)


def export_pipeline(*, export_path: Path | str, **arguments: Any) -> dict[str, Any]:
    """`hubexport.export_pipeline`."""
    return _made(hubexport.export_pipeline, "export_path", export_path, arguments)


def make_reference(*, output: Path | str, **arguments: Any) -> dict[str, Any]:
    """`hubexport.make_reference`."""
    result = _made(hubexport.make_reference, "output", output, arguments)
    return {**result, "path": str(output)} if "path" in result else result


def _made(
    make: Callable[..., dict[str, Any]],
    target_name: str,
    target: Path | str,
    arguments: Mapping[str, Any],
) -> dict[str, Any]:
    target = Path(target)
    if target.exists():  # what then happens is up to the real one
        return make(**arguments, **{target_name: target})
    entry = Path(os.environ[VARIABLE]) / key(make, arguments)
    result, made = entry / "result.json", entry / "made"
    with _alone(entry):
        if not result.exists():
            shutil.rmtree(entry, ignore_errors=True)
            entry.mkdir(parents=True)
            found = make(**arguments, **{target_name: made})
            result.write_text(json.dumps(found))
    target.parent.mkdir(parents=True, exist_ok=True)
    if made.is_dir():
        shutil.copytree(made, target)
    else:
        shutil.copyfile(made, target)
    answer: dict[str, Any] = json.loads(result.read_text())
    return answer


def key(make: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """What the same call with the same files has in common, and no other."""
    paths = {
        name
        for name, parameter in inspect.signature(make).parameters.items()
        if "PathLike" in str(parameter.annotation)
    }
    digest = hashlib.sha256(make.__name__.encode())
    for name, value in sorted(arguments.items()):
        if name in paths and value is not None:
            digest.update(f"\n{name}={Path(value).name}".encode())
            _add_files(digest, Path(value))
        else:
            digest.update(f"\n{name}={value!r}".encode())
    return f"{make.__name__}-{digest.hexdigest()[:32]}"


def _add_files(digest: Any, path: Path) -> None:
    """Adds a directory's files, or a file or prefix and all files that lie beside it."""
    root = path if path.is_dir() else path.parent
    for file in sorted(root.rglob("*") if path.is_dir() else root.glob("*")):
        if file.is_file():
            digest.update(f"\n{file.relative_to(root)} {file.stat().st_size}\n".encode())
            digest.update(file.read_bytes())


@contextlib.contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """While no other process is in here with the same entry."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    with entry.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

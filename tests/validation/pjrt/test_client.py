"""What is said where JAX is missing, of another version, or has no such device."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubexport.errors import HubexportError
from tests.validation.pjrt.support import ROOT, run_python

pytest.importorskip("jax", reason="JAX is not installed")


@pytest.mark.parametrize("version", ["0.6.1", "0.11.0", "1.0", "0.5.dev1", "unknown"])
def test_versions_that_were_not_tried(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import jax

    from hubexport.stablehlo.client import Client

    monkeypatch.setattr(jax, "__version__", version)
    with pytest.raises(HubexportError, match="not supported") as refused:
        Client("cpu")
    assert version in str(refused.value) and "0.6.2" in str(refused.value)


def test_the_extra_and_the_check_agree() -> None:
    import re

    from hubexport.stablehlo import client

    oldest, newer = (".".join(map(str, each)) for each in (client.OLDEST, client.NEWER))
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert re.findall(r'"jax>=([\d.]+),<([\d.]+)"', text) == [(oldest, newer)] * 2


def test_without_jax(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["jax"] = None
from hubexport.validation.pjrt.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
    done = run_python(str(tmp_path), code=code)
    assert done.returncode == 1
    assert "hubexport[pjrt]" in done.stderr and "Traceback" not in done.stderr


def test_run_in_child_without_jax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from hubexport.validation.pjrt.job import run_in_child

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HubexportError, match=r"hubexport\[pjrt\]"):
        run_in_child(tmp_path, "cpu", tmp_path / "report.json")


def test_help_and_wrong_arguments_import_nothing() -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(("jax", "jaxlib", "numpy", "tensorflow")))  # refused
from hubexport.validation.pjrt.__main__ import main
main(sys.argv[1:])
"""
    done = run_python("--help", code=code)
    assert done.returncode == 0 and "--platform" in done.stdout
    for wrong in (["DIR", "--repeat=-1"], ["DIR", "--repeat=x"], ["DIR", "--platform=abacus"], []):
        done = run_python(*wrong, code=code)
        assert done.returncode == 2 and "usage" in done.stderr

"""What the import of TensorFlow takes along, and what it leaves behind."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

OPTIONAL = ("jax", "scipy", "googleapiclient")
LEVEL = "TF_CPP_MIN_LOG_LEVEL"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with packages of those names, and nothing in them."""
    directory = tmp_path_factory.mktemp("packages")
    for name in OPTIONAL:
        (directory / f"{name}.py").touch()
    return directory


def run(packages: Path, program: str) -> str:
    """What a program prints in a fresh process that finds those packages first."""
    path = os.pathsep.join(filter(None, [str(packages), os.environ.get("PYTHONPATH")]))
    # Packages that other tests import set it.
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**environment, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_optional_packages_are_left_alone(packages: Path) -> None:
    found = run(
        packages,
        f"""
        import os, sys
        from hubexport.lean_tensorflow import lean_tensorflow

        environment = set(os.environ)
        with lean_tensorflow():
            import tensorflow as tf
        assert "TF_USE_LEGACY_KERAS" not in set(os.environ) - environment
        ours = "hubexport.lean_tensorflow"
        assert ours not in [type(each).__module__ for each in (*sys.meta_path, tf.__spec__.loader)]
        print([name for name in ("keras", *{OPTIONAL}) if name in sys.modules])
        for name in {OPTIONAL}:
            __import__(name)
        print(int(tf.reduce_sum(tf.ones([2, 3]))))
        """,
    )
    assert found.split("\n")[:2] == ["[]", "6"]


@pytest.mark.exhaustive
def test_tensorflow_would_take_them_along(packages: Path) -> None:
    """Else there would be nothing to leave alone, and that module could go."""
    program = "import sys, tensorflow; print(*({%r, %r} & set(sys.modules)))"
    assert run(packages, program % ("jax", "googleapiclient")).split()
    assert run(Path(os.devnull), program % ("keras", "no")).split() == ["keras"]


def test_nothing_is_left_where_tensorflow_was_not_imported() -> None:
    from hubexport.lean_tensorflow import lean_tensorflow

    before = list(sys.meta_path)
    with pytest.raises(KeyError):
        with lean_tensorflow():
            raise KeyError
    assert sys.meta_path == before


_FAKE = """
import os, sys
os.write(2, b"I0000 00:00:1795957614.912437 21067 port.cc:153] oneDNN custom operations are on.\\n")
os.write(2, b"2026-01-02 03:04:05.678901: E external/cuda.cc:51] failed call to cuInit\\n")
print("a warning of somebody else", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("level", ["3", "0"])
def test_notes_are_held_back(tmp_path: Path, level: str, fails: bool) -> None:
    """Nothing else is, and nothing where the import fails or the user wants to see it."""
    program = _FAKE + ("raise ImportError('no such processor')\n" if fails else "")
    (tmp_path / "tensorflow.py").write_text(program)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from hubexport.lean_tensorflow import silent_tensorflow\n"
            "with silent_tensorflow():\n    import tensorflow",
        ],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", LEVEL: level},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == int(fails)
    assert "a warning of somebody else\n" in done.stderr
    shown = fails or level == "0"
    assert ("oneDNN" in done.stderr, "cuInit" in done.stderr) == (shown, shown)
    assert ("no such processor" in done.stderr) == fails


def test_tensorflow_text_comes_without_layers() -> None:
    pytest.importorskip("tensorflow_text")
    found = run(
        Path(os.devnull),
        """
        import importlib, sys
        from hubexport.lean_tensorflow import lean_tensorflow

        with lean_tensorflow():
            import tensorflow_text as text
        print("keras" in sys.modules)
        print(text.normalize_utf8(["\ufb01"], "NFKC").numpy())
        print(importlib.import_module("tensorflow_text.python.keras").layers.__name__)
        """,
    )
    assert found.splitlines() == ["False", "[b'fi']", "tensorflow_text.python.keras.layers"]

"""The op tables: they cover the running TensorFlow, and nothing is guessed."""

import json
import sys
from pathlib import Path

import pytest

from hubexport.saved_model import ops
from tests import forks

DATA = Path(ops.__file__).with_name("data")


@pytest.fixture(scope="module")
def running():
    """What the generator finds here. A process of its own: tensorflow_text is loaded only once."""
    pytest.importorskip("tensorflow_text", reason="the op registry of tensorflow-text is needed")
    code = (
        "import json, sys; sys.path.insert(0, '.')\n"
        "import generate_op_packages as g; print(json.dumps(g.registered_ops()))"
    )
    done = forks.run(code, directory=DATA, preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_tables_cover_the_running_tensorflow(running):
    known = ops.known_versions()
    for package, (version,) in running["versions"].items():
        if version not in known[package]:
            pytest.skip(f"{package} {version} is none of {known[package]}")
    for package, names in running["ops"].items():
        assert names and ops.packages_of(names) == {package: names}


def test_each_op_has_one_package():
    table = json.loads((DATA / "op_packages.json").read_text())["ops"]
    assert len(set().union(*table.values())) == sum(map(len, table.values()))
    assert all(names == sorted(names) for names in table.values())


def test_packages_of():
    names = ["RegexSplitWithOffsets", "MatMul", "MatMul", "TFText>NoSuchOp", "CaseFoldUTF8"]
    assert ops.packages_of(names) == {
        "tensorflow": ["MatMul"],
        "tensorflow-text": ["CaseFoldUTF8", "RegexSplitWithOffsets"],
        "unknown": ["TFText>NoSuchOp"],  # its name is not evidence
    }
    assert ops.packages_of([]) == {}


def test_ops_that_servers_lack():
    """Which they lack is a fact of their sources; that it is about ops that exist is tested."""
    assert ops.not_served(["MatMul", "CaseFoldUTF8", "FastWordpieceTokenizeWithOffsets"]) == {}
    assert ops.not_served(["MatMul", "TFText>RoundRobinTrim"]) == {
        "2.18": ["TFText>RoundRobinTrim"],
        "2.19": ["TFText>RoundRobinTrim"],
    }
    assert ops.not_served(["TFText>Utf8Binarize", "NoSuchOp"])["2.18"] == [
        "NoSuchOp",
        "TFText>Utf8Binarize",
    ]
    assert ops.not_served(["NoSuchOp"])["2.20"] == ["NoSuchOp"]
    table = json.loads((DATA / "op_packages.json").read_text())["ops"]
    assert set().union(*ops._NOT_SERVED.values()) <= set(table["tensorflow-text"])


def test_merging_keeps_what_other_versions_had():
    sys.path.insert(0, str(DATA))
    try:
        from generate_op_packages import merged
    finally:
        sys.path.remove(str(DATA))
    old = {"versions": {"tensorflow": ["1.0"]}, "ops": {"tensorflow": ["Old", "Both"]}}
    new = {"versions": {"tensorflow": ["2.0"]}, "ops": {"tensorflow": ["New", "Both"]}}
    assert merged(old, new) == {
        "versions": {"tensorflow": ["1.0", "2.0"]},
        "ops": {"tensorflow": ["Both", "New", "Old"]},
    }

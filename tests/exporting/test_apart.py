"""An export inside a program that uses TensorFlow for other things gives the same artifact."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import forks, tiny

_PROGRAM = """
import sys, tensorflow as tf, hubexport
prefix, out, threads = sys.argv[1:]
if threads:  # settings of the machine at hand
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
def export(name):
    hubexport.export_encoder(checkpoint=prefix, export_path=f"{out}/{name}")
    print(name, tf.saved_model.experimental.read_fingerprint(f"{out}/{name}").singleprint())
export("plain")
tf.random.set_seed(1234)
export("seed")
if threads:
    sys.exit()
with tf.Graph().as_default():
    export("graph")
with tf.name_scope("scope"), tf.device("CPU:0"):
    export("scope")
tf.config.run_functions_eagerly(True)
export("eager")
assert tf.config.functions_run_eagerly()
tf.config.run_functions_eagerly(False)
with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
    export("strategy")
tf.compat.v1.disable_eager_execution()
try:
    export("off")
except hubexport.HubexportError as error:
    print("refused:", error.problem)
"""


def run(work: Path, threads: str) -> list[str]:
    config = {**tiny.CONFIG, "num_hidden_layers": 1}
    prefix = tiny.write_checkpoint(work / "ckpt", config, heads=False)
    process = forks.run(_PROGRAM, prefix, work / f"out{threads}", threads)
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout.splitlines()


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("apart")


@pytest.fixture(scope="module")
def lines(work) -> list[str]:
    return run(work, "")


def test_same_artifact_whatever_the_caller_does(lines):
    prints = dict(line.split(" ", 1) for line in lines[:-1])
    assert list(prints) == ["plain", "seed", "graph", "scope", "eager", "strategy"]
    assert len(set(prints.values())) == 1


def test_same_artifact_on_another_machine(work, lines):
    assert run(work, "3") == lines[:2]
    for name in ("saved_model.pb", "variables/variables.index"):
        ours, theirs = (work / out / "plain" / name for out in ("out", "out3"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_seeds_stay_out(work, lines):
    """A seed in the artifact would drop the same elements in every program that loads it."""
    program = (work / "out" / "plain" / "saved_model.pb").read_bytes()
    assert (work / "out" / "seed" / "saved_model.pb").read_bytes() == program


def test_refused_without_eager_execution(lines):
    assert lines[-1] == "refused: eager execution is switched off in this program"

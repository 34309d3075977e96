"""Devices: those that are absent are refused, and a strategy runs artifacts as the CPU does."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import HubexportError, UsageError
from hubexport.validation import devices
from hubexport.validation.devices import Precision, connect, cpu_name
from tests import forks
from tests.validation.conftest import Trained


def child(program: str, *arguments: object) -> Any:
    """What a Python program of a process of its own prints as JSON in its last line."""
    done = forks.run(program, *arguments, environment={"CUDA_VISIBLE_DEVICES": "-1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_cpu() -> None:
    tf = pytest.importorskip("tensorflow")
    cpu = connect("cpu")
    assert (cpu.name, cpu.hardware, cpu.strategy) == ("cpu", cpu_name(), None)
    assert [each.format for each in cpu.precisions] == ["float32"]
    placed = cpu.run(lambda x, factor: tf.constant(x) * factor, [1.0, 2.0], factor=3.0)
    assert placed.device.endswith("CPU:0")
    np.testing.assert_array_equal(placed, [3, 6])


def test_gpu_that_is_absent() -> None:
    tf = pytest.importorskip("tensorflow")
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    with pytest.raises(HubexportError, match="sees no GPU") as caught:
        connect("gpu")
    message = str(caught.value)
    assert "--device: gpu" in message and "--runtime=pjrt" in message


def test_gpu() -> None:
    tf = pytest.importorskip("tensorflow")
    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("there is no GPU")
    gpu = connect("gpu")
    assert [(each.label, each.format) for each in gpu.precisions] == [
        ("TF32 off", "float32"),
        ("TF32 on", "tf32"),
    ]
    x = np.random.default_rng(0).standard_normal((64, 512)).astype(np.float32)
    exact = x.astype(np.float64) @ x.T.astype(np.float64)
    for precision in gpu.precisions:
        with precision.in_force():
            found = gpu.run(lambda: tf.linalg.matmul(x, x, transpose_b=True))
        assert "GPU" in found.device
        error = np.linalg.norm(found.numpy() - exact) / np.linalg.norm(exact)
        assert error < 4 * {"float32": 512**0.5 * 2**-24, "tf32": 2**-11}[precision.format]


@pytest.mark.parametrize(("name", "tpu"), [("tpu", None), ("cpu", "local"), ("gpu", "local")])
def test_a_tpu_and_its_name_go_together(name: str, tpu: str | None) -> None:
    with pytest.raises(UsageError, match="--device=tpu and --tpu go together") as caught:
        connect(name, tpu)
    assert name in str(caught.value) and str(tpu) in str(caught.value)


TPUS = """
import json, sys
from hubexport.errors import HubexportError
from hubexport.validation.devices import connect
said = []
for name in sys.argv[1:]:
    try:
        connect("tpu", name)
    except HubexportError as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_tpus_that_are_absent() -> None:
    """Of no such name, not on this machine, without a name, and where nothing listens."""
    pytest.importorskip("tensorflow")
    with socket.socket() as taken:  # bound, but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        address = f"grpc://127.0.0.1:{taken.getsockname()[1]}"
        said = child(TPUS, "no-tpu-has-this-name", "local", "", address)
    assert len(said) == 4
    for message in said:
        assert message.startswith("the device cannot be used.\n  --device: tpu\n  found: ")
    assert all("--tpu" in message.partition("hint")[2] for message in said[:3])


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("setting", [True, False, None])
def test_tensor_float_32_is_switched_and_restored(before: bool, setting: bool | None) -> None:
    config = pytest.importorskip("tensorflow").config.experimental
    found = config.tensor_float_32_execution_enabled()
    precision = Precision("", "float32", setting)
    try:
        config.enable_tensor_float_32_execution(before)
        with precision.in_force():
            within = config.tensor_float_32_execution_enabled()
        assert within is (before if setting is None else setting)
        assert config.tensor_float_32_execution_enabled() is before
        with pytest.raises(KeyError):
            with precision.in_force():
                raise KeyError
        assert config.tensor_float_32_execution_enabled() is before
    finally:
        config.enable_tensor_float_32_execution(found)


X86 = b"processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some(R) CPU @ 2.0GHz: 4\nflags\t: fpu\n\n"
OTHER = X86.replace(b"Some(R)", b"Other")
BOARD = b"processor\t: 0\nCPU implementer\t: 0x41\n\nModel\t\t: Some Board Rev 1\n"
SERVER = b"processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (X86, "Some(R) CPU @ 2.0GHz: 4"),
        (X86 + OTHER, "Some(R) CPU @ 2.0GHz: 4"),
        (BOARD, "Some Board Rev 1"),
        (SERVER, "CPU"),
        (b"", "CPU"),
        (b"no colon\n\xff\xfe: \xff\n" + X86, "Some(R) CPU @ 2.0GHz: 4"),
        (None, "CPU"),
    ],
)
def test_cpu_name(
    text: bytes | None, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_bytes(text)
    monkeypatch.setattr(devices, "Path", lambda name: tmp_path / Path(name).name)
    assert cpu_name() == f"{model}, {len(os.sched_getaffinity(0))} cores"


STRATEGY = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from hubexport.validation import runner
from hubexport.validation.artifact import LoadedEncoder, flatten
from hubexport.validation.devices import connect, with_strategy
from hubexport.validation.reference_file import read_reference

artifact, reference = Path(sys.argv[1]), read_reference(Path(sys.argv[2]))
strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
assert strategy.num_replicas_in_sync == 2
device = with_strategy("tpu", "two of a kind", strategy, "float32")
encoder, plain = LoadedEncoder(artifact, device), LoadedEncoder(artifact, connect("cpu"))

# Every output of the root and of the heads; both traces; the signature, by keywords.
apart = {}
for name in ("ragged", "segments"):
    inputs = reference.cases[name].inputs
    outputs, wanted = encoder(inputs), plain(inputs)
    assert outputs.keys() == wanted.keys()
    for key, value in wanted.items():
        assert outputs[key].shape == value.shape and outputs[key].dtype == value.dtype
        apart[f"{name}: {key}"] = float(np.abs(outputs[key] - value).max())
trained = flatten(encoder.call("", inputs, training=True))["sequence_output"]
dropout = float(np.abs(trained - wanted["sequence_output"]).max())
three = ("input_word_ids", "input_mask", "input_type_ids")
served = device.run(
    encoder.root.signatures["serving_default"], **{key: tf.constant(inputs[key]) for key in three}
)
apart["signature"] = float(np.abs(served["default"].numpy() - wanted["default"]).max())

# What gates see: plain tensors in the function's own structure, of one replica.
nested = device.run(lambda x, y: {"a": [x + y, (x, y)], "b": x}, tf.constant(1.0), tf.constant(2.0))
found = tf.nest.map_structure(lambda value: float(value.numpy()), nested)

runner.connect = lambda name, tpu: device
report = runner.run_gates(runner.Request(
    saved_model=str(artifact), reference=sys.argv[2],
    only=["interface", "numerics", "batch", "determinism", "training"],
))
print(json.dumps({
    "apart": apart, "dropout": dropout, "nested": found, "report": report.record(),
    "mirrored": all(len(variable.values) == 2 for variable in encoder.root.variables),
}))
"""


@pytest.mark.parametrize("model", [
    "plain", pytest.param("trained", marks=pytest.mark.exhaustive)
])  # fmt: skip
def test_a_strategy_gives_what_the_cpu_gives(model: str, request: pytest.FixtureRequest) -> None:
    """As a TPU is run: loaded in its scope, called through it, the first replica's results."""
    of: Trained = request.getfixturevalue(model)
    found = child(STRATEGY, of.encoder, of.reference)
    assert found["mirrored"]  # both replicas have variables of their own
    apart = found["apart"]
    outputs = [f"encoder_outputs[{i}]" for i in range(2)]
    outputs += ["sequence_output", "pooled_output", "default"]
    outputs += ["mlm_logits", "nsp_logits"] if model == "trained" else []
    cases = ("ragged", "segments")
    assert set(apart) == {f"{case}: {name}" for case in cases for name in outputs} | {"signature"}
    assert max(apart.values()) < 1e-5, apart
    assert found["dropout"] > 0.1
    assert found["nested"] == {"a": [3.0, [1.0, 2.0]], "b": 1.0}
    report = found["report"]
    assert report["device"] == "tpu" and report["hardware"] == "two of a kind"
    statuses = {gate["name"]: gate["status"] for gate in report["gates"]}
    failed = [
        each for gate in report["gates"] for each in gate["measurements"] if not each["passed"]
    ]
    assert statuses == {
        "interface": "passed",
        "numerics": "passed",
        "batch": "passed",
        "determinism": "passed",
        "training": "not run",
    }, failed


def test_one_trace_for_all_sizes_that_were_saved(tmp_path: Path) -> None:
    """Of the inputs that are given; what was saved for other sizes refuses them itself."""
    import tensorflow as tf

    ids = {"ids": tf.TensorSpec([None, None], tf.int32)}
    memory = {"mems": tf.TensorSpec([None, 2, None], tf.float32)}
    module = tf.Module()
    module.call = tf.function(lambda given: {name: 2 * value for name, value in given.items()})
    for specs in (ids, {**ids, **memory}):
        module.call.get_concrete_function(specs)
    tf.saved_model.save(module, str(tmp_path / "model"))
    device = connect("cpu")
    call = device.load(tmp_path / "model").call

    def given(rows: int, length: int) -> dict[str, Any]:
        return {"ids": tf.ones([rows, length], tf.int32), "mems": tf.ones([rows, 2, length])}

    traced = device.for_all_shapes(call, given(1, 2), {})
    for rows, length in ((1, 2), (3, 1), (2, 5)):
        outputs = device.run(traced, given(rows, length))
        assert outputs["mems"].shape == (rows, 2, length) and outputs["ids"].numpy().min() == 2
    assert traced.experimental_get_tracing_count() == 1
    assert device.for_all_shapes(call, {"ids": tf.ones([1, 2], tf.int32)}, {}) is not None
    for other in ({"mems": tf.ones([1, 3, 2])}, {"ids": tf.ones([1, 2])}, {"more": tf.ones([1])}):
        assert device.for_all_shapes(call, {**given(1, 2), **other}, {}) is None

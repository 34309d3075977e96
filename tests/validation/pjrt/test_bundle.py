"""What a bundle holds, told by reading it without the code that wrote it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hubexport.errors import ExportPathError, HubexportError, UsageError
from tests.validation.pjrt.support import Exported, make_context, one_case, some_cases

pytest.importorskip("tensorflow")

from hubexport.validation.pjrt.bundle import write_bundle


def _manifest(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "manifest.json").read_text("utf-8"))


def _tensors(directory: Path, fields: dict[str, Any]) -> dict[str, np.ndarray]:
    """A set's tensors, cut out of the joined files by their shapes."""
    data = b"".join((directory / file["path"]).read_bytes() for file in fields["files"])
    found, start = {}, 0
    for tensor in fields["tensors"]:
        dtype = np.dtype(tensor["dtype"]).newbyteorder("<")
        size = int(np.prod(tensor["shape"], dtype=int)) * dtype.itemsize
        value = np.frombuffer(data[start : start + size], dtype)
        found[tensor["name"]] = value.reshape(tensor["shape"])
        start += size
    assert start == len(data)
    return found


def test_inputs_and_expected_outputs_are_the_references(bundle: Path, exported: Exported) -> None:
    cases = {case.name: case for case in some_cases()}
    fields = _manifest(bundle)
    assert [case["name"] for case in fields["cases"]] == list(cases)
    for case in fields["cases"]:
        inputs = _tensors(bundle, case["inputs"])
        assert inputs.keys() == cases[case["name"]].inputs.keys()
        for name, value in cases[case["name"]].inputs.items():
            np.testing.assert_array_equal(inputs[name], value)
        outputs = _tensors(bundle, case["expected"])
        theirs = dict(exported.outputs[case["name"]])
        theirs["default"] = theirs["pooled_output"]
        assert outputs.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_array_equal(outputs[name], value)


def test_weights_are_the_artifacts_variables(bundle: Path, exported: Exported) -> None:
    import tensorflow as tf

    weights = _tensors(bundle, _manifest(bundle)["weights"])
    root = tf.saved_model.load(str(exported.artifact))
    variables = {
        variable.name.removesuffix(":0"): variable.numpy()
        for part in (root, root.mlm, root.nsp)
        for variable in part.variables
    }
    assert weights.keys() == variables.keys()
    for name, value in variables.items():
        np.testing.assert_array_equal(weights[name], value)


def test_digests_name_the_files(bundle: Path, exported: Exported) -> None:
    fields = _manifest(bundle)
    files = [*fields["weights"]["files"], *(program["file"] for program in fields["programs"])]
    for case in fields["cases"]:
        files += [*case["inputs"]["files"], *case["expected"]["files"]]
    for file in files:
        data = (bundle / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["nbytes"], file["sha256"])
    on_disk = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert on_disk == {"manifest.json", *(file["path"] for file in files)}
    program = hashlib.sha256((exported.artifact / "saved_model.pb").read_bytes()).hexdigest()
    assert fields["artifact"]["program"] == program


def test_programs_say_their_precision_and_no_locations(bundle: Path) -> None:
    fields = _manifest(bundle)
    # Cases of one shape share programs: plain and segments.
    shapes = {tuple(case["inputs"]["tensors"][0]["shape"]) for case in fields["cases"]}
    assert shapes == {(3, 11), (5, 12)}
    assert len(fields["programs"]) == len(shapes) * 2 * 2
    for program in fields["programs"]:
        text = (bundle / program["file"]["path"]).read_text("utf-8")
        dots = [line for line in text.splitlines() if "= stablehlo.dot" in line]
        assert len(dots) >= 2 * 8  # of two layers: the projections, scores, values, feed-forward
        assert all(f"[{program['precision']}, {program['precision']}]" in line for line in dots)
        assert "loc(" not in text and "#loc" not in text
    parts = {program["part"]: program["results"] for program in fields["programs"]}
    assert [each["name"] for each in parts["heads"]] == ["mlm_logits", "nsp_logits"]
    assert "sequence_output" in [each["name"] for each in parts[""]]


def test_small_files_hold_the_same(bundle: Path, exported: Exported, tmp_path: Path) -> None:
    write_bundle(one_case(exported), tmp_path / "cut", shard_bytes=1000)
    whole, cut = _manifest(bundle), _manifest(tmp_path / "cut")
    sizes = [file["nbytes"] for file in cut["weights"]["files"]]
    # A multiple of no tensor's row: tensors go on in the next file.
    assert len(sizes) > 10 and set(sizes[:-1]) == {1000} and 0 < sizes[-1] <= 1000
    ours, theirs = (
        _tensors(directory, fields["weights"])
        for directory, fields in ((tmp_path / "cut", cut), (bundle, whole))
    )
    assert list(ours) == list(theirs)
    for name in theirs:
        np.testing.assert_array_equal(ours[name], theirs[name])
    digests = [[each["file"]["sha256"] for each in fields["programs"]] for fields in (whole, cut)]
    assert digests[0][: 2 * 2] == digests[1]  # lowered again, the same bytes


def test_a_bundle_for_timing_holds_no_values(seeded: Path) -> None:
    fields = _manifest(seeded)
    assert fields["seed"] == 0
    assert not fields["weights"]["files"] and fields["reference"] is None
    assert not any(case["expected"]["tensors"] for case in fields["cases"])
    assert not (seeded / "weights").exists()


def test_heads_need_their_inputs(exported: Exported, tmp_path: Path) -> None:
    cases = some_cases()[:1]
    del cases[0].inputs["masked_lm_positions"]
    context = make_context(exported.artifact, cases, None)
    context.__dict__.update(cases=cases, encoder=exported.context.encoder)
    manifest = write_bundle(context, tmp_path / "out")
    names = {result.name for program in manifest.programs for result in program.results}
    assert "nsp_logits" in names and "mlm_logits" not in names
    assert manifest.reference is None


def test_what_is_there_stays(bundle: Path, exported: Exported) -> None:
    before = (bundle / "manifest.json").stat().st_mtime_ns
    with pytest.raises(ExportPathError, match="not empty"):
        write_bundle(exported.context, bundle)
    assert (bundle / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("wrong", [{"shard_bytes": 0}, {"weights": "none"}])
def test_wrong_arguments(wrong: dict[str, Any], exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such bundle"):
        write_bundle(exported.context, tmp_path / "out", **wrong)
    assert not list(tmp_path.iterdir())


def _saved(directory: Path, call: Any, **parts: Any) -> Path:
    """An "encoder" of that function, saved as a SavedModel."""
    import tensorflow as tf

    root = tf.Module()
    for name, part in parts.items():
        setattr(root, name, part)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    spec = {name: tf.TensorSpec([None, None], tf.int32) for name in names}
    root.__class__ = type("Encoder", (tf.Module,), {})
    root.__class__.__call__ = tf.function(lambda self, inputs: call(inputs), autograph=False)
    root.__call__.get_concrete_function(spec)
    tf.saved_model.save(root, str(directory))
    return directory


def _context(artifact: Path, exported: Exported) -> Any:
    context = make_context(exported.artifact, [], None)
    context.saved_model = artifact
    context.__dict__.update(cases=some_cases()[:1], sizes=exported.context.sizes)
    return context


def test_tables_cannot_be_lowered(exported: Exported, tmp_path: Path) -> None:
    import tensorflow as tf

    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0], tf.int32, tf.float32), 0.0
    )
    artifact = _saved(
        tmp_path / "in",
        lambda inputs: {"sequence_output": table.lookup(inputs["input_word_ids"])},
        table=table,
    )
    with pytest.raises(HubexportError, match="cannot be lowered to StableHLO"):
        write_bundle(_context(artifact, exported), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_captured_constants_are_weights(exported: Exported, tmp_path: Path) -> None:
    import tensorflow as tf

    # Large enough that saving does not write it into the graph as a literal.
    constant = tf.constant(np.arange(4096, dtype=np.float32))
    variable = tf.Variable(2.0, name="factor")
    artifact = _saved(
        tmp_path / "in",
        lambda inputs: {
            "sequence_output": variable * tf.gather(constant, inputs["input_word_ids"])
        },
        variable=variable,
    )
    manifest = write_bundle(_context(artifact, exported), tmp_path / "out")
    program = manifest.programs[0]
    assert [result.name for result in program.results] == ["sequence_output"]
    weights = _tensors(tmp_path / "out", _manifest(tmp_path / "out")["weights"])
    shapes = {value.shape for value in weights.values()}
    assert () in shapes and shapes <= {(), (4096,)}

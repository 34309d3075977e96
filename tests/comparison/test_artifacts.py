"""Whole artifacts against changed copies: each difference is found, named, and nothing else is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hubexport
from hubexport.checkpoints.tensorflow import OBJECT_GRAPH_KEY, read_object_graph
from hubexport.comparison.changes import ADDED, CHANGED, REMOVED
from hubexport.comparison.result import Comparison
from hubexport.errors import CheckpointError, HubexportError
from hubexport.tf_formats import protos
from hubexport.tf_formats.bundle import BundleWriter, read_bundle
from tests import tiny
from tests.artifacts import export_encoder
from tests.tiers import examples
from tests.validation.faults import Values, with_graph, with_values

Copy = Callable[..., Path]
KINDS = ("encoder", "preprocessor")
KERNEL = "encoder/layer_1/output/dense/kernel"
BIAS = "pooler/dense/bias"


def kinds(comparison: Comparison) -> set[str]:
    """The parts of a comparison in which something differs."""
    parts = ("configuration", "key_report", "program", "assets", "page")
    found = {name for name in parts if getattr(comparison, name)}
    found |= {"variables"} if comparison.variables.changes else set()
    assert comparison.is_equal == (not found)
    return found


def data_of(artifact: Path) -> Path:
    return next((artifact / "variables").glob("*.data-*"))


def offset_of(variable: str, artifact: Path) -> int:
    """Where its first byte lies in the data file."""
    entries = read_bundle(artifact / "variables" / "variables")
    (key,) = (
        attribute.checkpoint_key
        for node in read_object_graph(entries[OBJECT_GRAPH_KEY]).nodes
        for attribute in node.attributes
        if attribute.full_name == variable
    )
    return entries[key].offset


@pytest.mark.parametrize("kind", examples(("encoder", "preprocessor", "pipeline"), KINDS))
def test_a_copy_is_equal(kind: str, copy_of: Copy, request: pytest.FixtureRequest) -> None:
    artifact = request.getfixturevalue(kind)
    comparison = hubexport.compare(artifact, copy_of(artifact))
    assert kinds(comparison) == set()
    assert comparison.variables.a == comparison.variables.equal.get("bytes", 0)
    assert (kind == "preprocessor") != (comparison.variables.a > 40)


def test_a_second_export_is_equal(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without a common time, which is never compared."""
    for epoch in ("1", "2"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        hubexport.export_encoder(checkpoint=checkpoint, export_path=tmp_path / epoch, heads="none")
    one, other = (hubexport.load_record(tmp_path / epoch) for epoch in ("1", "2"))
    assert one["created"] != other["created"]
    assert kinds(hubexport.compare(tmp_path / "1", tmp_path / "2")) == set()


def test_norms_are_those_of_the_values_that_tensorflow_loads(encoder: Path, tmp_path: Path) -> None:
    import tensorflow as tf

    def change(values: Values) -> None:
        values[KERNEL] += np.random.default_rng(0).normal(0, 0.01, values[KERNEL].shape)
        values[BIAS][3] *= 2

    other = with_values(encoder, tmp_path / "tuned", change)
    comparison = hubexport.compare(encoder, other)
    assert kinds(comparison) == {"variables"}
    one, two = (
        {v.name.removesuffix(":0"): v.numpy() for v in tf.saved_model.load(str(each)).variables}
        for each in (encoder, other)
    )
    found = {each.name: each for each in comparison.variables.changes}
    assert found.keys() == {n for n in one if not np.array_equal(one[n], two[n])} == {KERNEL, BIAS}
    for name, each in found.items():
        difference = two[name].astype("f8") - one[name]
        norm = np.linalg.norm(difference)
        assert each.status == CHANGED and each.distance is not None
        assert each.distance.absolute == pytest.approx(norm)
        norm_of_a = np.linalg.norm(one[name].astype("f8"))
        assert each.distance.relative == pytest.approx(norm / norm_of_a)
        assert each.distance.largest == pytest.approx(np.abs(difference).max())
    assert found[BIAS].distance is not None and found[BIAS].distance.at == (3,)
    assert found[BIAS].elements == 1


def test_one_bit_is_found_and_named(encoder: Path, tmp_path: Path) -> None:
    def change(values: Values) -> None:
        values[KERNEL].view(np.uint32)[5, 7] ^= 1

    comparison = hubexport.compare(encoder, with_values(encoder, tmp_path / "bit", change))
    (found,) = comparison.variables.changes
    assert (found.name, found.elements) == (KERNEL, 1)
    assert found.distance is not None and found.distance.at == (5, 7)
    assert not found.detail and not comparison.notes


def test_one_bit_that_its_index_does_not_know_of(encoder: Path, copy_of: Copy) -> None:
    """Checksums alone would not tell; reading does, and says that the file is damaged."""
    damaged = copy_of(encoder)
    content = bytearray(data_of(damaged).read_bytes())
    content[offset_of(KERNEL, encoder)] ^= 1
    data_of(damaged).write_bytes(content)
    (found,) = hubexport.compare(encoder, damaged).variables.changes
    assert found.elements == 1 and "the bytes of b are not" in found.detail
    trusting = hubexport.compare(encoder, damaged, trust_checksums=True).variables
    assert trusting.equal == {"checksums": trusting.a} and not trusting.changes


def test_damage_in_both_is_told_and_no_difference(encoder: Path, copy_of: Copy) -> None:
    copies = [copy_of(encoder), copy_of(encoder)]
    for each in copies:
        content = bytearray(data_of(each).read_bytes())
        content[offset_of(KERNEL, encoder)] ^= 1
        data_of(each).write_bytes(content)
    comparison = hubexport.compare(*copies)
    assert comparison.is_equal and "the bytes of a are not" in comparison.notes[0]


def test_checksums_are_enough_only_where_they_are_equal(encoder: Path, tmp_path: Path) -> None:
    def change(values: Values) -> None:
        values[BIAS][0] += 1

    other = with_values(encoder, tmp_path / "other", change)
    found = hubexport.compare(encoder, other, trust_checksums=True).variables
    assert [each.name for each in found.changes] == [BIAS]
    assert found.equal == {"checksums": found.a - 1}


def test_a_dtype_of_products_is_no_difference_of_variables(
    encoder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    export_encoder(checkpoint=checkpoint, export_path=tmp_path / "bfloat16", dtype="bfloat16")
    comparison = hubexport.compare(encoder, tmp_path / "bfloat16")
    assert kinds(comparison) == {"configuration", "program"}
    fields = {each.where: (each.a, each.b) for each in comparison.configuration}
    assert fields == {
        "architecture.dtype": ("float32", "bfloat16"),
        "command": (None, "--dtype=bfloat16"),
    }
    ops = {each.where: (each.a, each.b) for each in comparison.program if "ops" in each.where}
    assert ops["ops.Cast"][0] < ops["ops.Cast"][1]


@pytest.mark.exhaustive
def test_narrow_variables_are_compared_as_numbers(
    encoder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    export_encoder(
        checkpoint=checkpoint, export_path=tmp_path / "narrow", dtype="bfloat16",
        variable_dtype="bfloat16",
    )  # fmt: skip
    changes = {
        each.name: each
        for each in hubexport.compare(encoder, tmp_path / "narrow").variables.changes
    }
    found = changes[KERNEL]
    assert found.a is not None and found.b is not None and found.distance is not None
    assert (found.a.dtype, found.b.dtype) == ("float32", "bfloat16")
    assert 0 < found.distance.relative < 2**-8
    assert BIAS not in changes or changes[BIAS].distance is not None


def test_heads_that_one_lacks(encoder: Path, tmp_path: Path) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "headless", heads=False)
    export_encoder(checkpoint=checkpoint, export_path=tmp_path / "encoder")
    comparison = hubexport.compare(encoder, tmp_path / "encoder")
    gone = {each.name for each in comparison.variables.changes if each.status == REMOVED}
    assert {name.partition("/")[0] for name in gone} == {"cls", "mlm", "nsp"}
    assert {name for name in gone if not name.startswith("cls/")} == {
        "mlm/save_counter",
        "nsp/save_counter",
    }
    removed = {each.where for each in comparison.program if each.status == REMOVED}
    assert {"sub_objects.mlm", "sub_objects.nsp"} <= removed
    assert any(each.where.startswith("tensors[cls/") for each in comparison.key_report)
    assert comparison.variables.a - comparison.variables.b == len(gone)
    back = hubexport.compare(tmp_path / "encoder", encoder)
    assert {each.name for each in back.variables.changes if each.status == ADDED} == gone


def test_a_constant_in_the_graph_is_named(encoder: Path, tmp_path: Path) -> None:
    """Another epsilon: as many ops, the same signatures, other numbers."""
    changed = []

    def change(message: Any) -> None:
        for function in message.meta_graphs[0].graph_def.library.function:
            for node in function.node_def:
                if node.op != "Const" or changed:
                    continue
                if (tensor := node.attr["value"].tensor).float_val:
                    tensor.float_val[0] *= 2
                    changed.append((function.signature.name, node.name))

    other = with_graph(encoder, tmp_path / "constant", change)
    comparison = hubexport.compare(encoder, other)
    assert kinds(comparison) == {"program"}
    (found,) = comparison.program
    ((function, node),) = changed
    assert found.where.removeprefix("functions.") in function
    assert found.detail == f"nodes 1 changed: {node} (value)"


def test_numbers_of_functions_are_not_compared_but_bytes_are(encoder: Path, tmp_path: Path) -> None:
    """Every function is renumbered, as TensorFlow does in a program that did more before."""

    def change(message: Any) -> None:
        graph = message.meta_graphs[0]
        raw = graph.SerializeToString()
        names = [each.signature.name for each in graph.graph_def.library.function]
        new = {n: n[:-1] + chr((ord(n[-1]) - ord("0") + 1) % 10 + ord("0")) for n in names}
        if len({*new.values()}) == len(names):
            for old in names:
                raw = raw.replace(old.encode(), b"\0" + old.encode()[1:])
            for old, each in new.items():
                raw = raw.replace(b"\0" + old.encode()[1:], each.encode())
            graph.ParseFromString(raw)

    other = with_graph(encoder, tmp_path / "renumbered", change)
    assert (encoder / "saved_model.pb").read_bytes() != (other / "saved_model.pb").read_bytes()
    (found,) = hubexport.compare(encoder, other).program
    assert found.where == "saved_model.pb" and "names, order" in found.detail


def test_signatures_and_versions(encoder: Path, tmp_path: Path) -> None:
    def change(message: Any) -> None:
        graph = message.meta_graphs[0]
        graph.meta_info_def.tensorflow_version = "2.99.0"
        graph.graph_def.versions.min_consumer = 99
        signatures = graph.signature_def
        signatures["another"].CopyFrom(signatures["serving_default"])
        output = signatures["serving_default"].outputs["default"]
        output.tensor_shape.dim[1].size = 7
        del signatures["serving_default"].outputs["pooled_output"]

    found = {
        each.where: each
        for each in hubexport.compare(
            encoder, with_graph(encoder, tmp_path / "signatures", change)
        ).program
    }
    assert found["tensorflow_version"].b == "2.99.0"
    assert found["graph_versions.min_consumer"].b == 99
    assert found["signatures.another"].status == ADDED
    serving = "signatures.serving_default.outputs"
    assert found[f"{serving}.default.shape"].b == [None, 7]
    assert found[f"{serving}.pooled_output"].status == REMOVED


def test_assets_are_compared_by_their_bytes(preprocessor: Path, copy_of: Copy) -> None:
    other = copy_of(preprocessor)
    vocabulary = other / "assets" / "vocab.txt"
    vocabulary.write_bytes(vocabulary.read_bytes().swapcase())
    (other / "assets.extra" / "note.txt").write_text("new")
    (other / "fingerprint.pb").write_bytes(b"")
    comparison = hubexport.compare(preprocessor, other)
    assert kinds(comparison) == {"assets"}
    added, changed = comparison.assets
    assert (changed.where, changed.status) == ("assets/vocab.txt", CHANGED)
    assert changed.a["bytes"] == changed.b["bytes"] and changed.a["sha256"] != changed.b["sha256"]
    assert (added.where, added.status) == ("assets.extra/note.txt", ADDED)


def test_pages_are_compared_where_both_have_one(encoder: Path, copy_of: Copy) -> None:
    one, other = copy_of(encoder), copy_of(encoder)
    (one / "README.md").write_text("# Model\n\nfirst\n\nlast\n")
    comparison = hubexport.compare(one, other)
    assert comparison.is_equal and comparison.notes == (
        "only a has a page, so that none was compared",
    )
    (other / "assets.extra" / "README.md").write_text("# Model\n\nsecond\n\nlast\n")
    comparison = hubexport.compare(one, other)
    assert kinds(comparison) == {"page"}
    assert comparison.page == ("@@ -2,3 +2,3 @@", " ", "-first", "+second", " ")


def test_records_are_compared_field_by_field(encoder: Path, copy_of: Copy) -> None:
    def change(record: dict[str, Any]) -> None:
        record["created"], record["saved_model"] = "now", {}
        record["warnings"].append("careful")
        record["tensors"][0]["tensor"] = "elsewhere"

    comparison = hubexport.compare(encoder, copy_of(encoder, change))
    assert kinds(comparison) == {"configuration", "key_report"}
    assert [each.where for each in comparison.configuration] == ["warnings"]
    assert [each.b for each in comparison.key_report] == ["elsewhere"]


def test_savedmodels_without_records(encoder: Path, copy_of: Copy) -> None:
    bare = [copy_of(encoder), copy_of(encoder)]
    for each in bare:
        (each / "assets.extra" / "hubexport.json").unlink()
    comparison = hubexport.compare(*bare)
    assert comparison.is_equal and comparison.notes == ("neither has a record",)
    found = hubexport.compare(encoder, bare[0])
    assert [(each.where, each.status) for each in found.configuration] == [("record", REMOVED)]


def small(directory: Path, names: list[str], values: list[float]) -> Path:
    """A SavedModel of TensorFlow 1's kind, whose variables are entries of the bundle."""
    message = protos.SavedModel(saved_model_schema_version=1)
    graph = message.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for name in names:
        graph.graph_def.node.add(name=name, op="VariableV2")
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(message.SerializeToString())
    with BundleWriter(directory / "variables" / "variables") as writer:
        for name, value in zip(names, values, strict=True):
            writer.add(name, "float32", (1,), [np.float32(value).tobytes()])
    return directory


def test_savedmodels_of_tensorflow_1(tmp_path: Path) -> None:
    one = small(tmp_path / "a", ["x", "y"], [1, 2])
    other = small(tmp_path / "b", ["x", "z"], [3, 2])
    comparison = hubexport.compare(one, other)
    found = {each.name: each.status for each in comparison.variables.changes}
    assert found == {"x": CHANGED, "y": REMOVED, "z": ADDED}
    (graph,) = comparison.program
    assert graph.where == "graph" and graph.detail == "nodes 1 removed: y; 1 added: z"


def test_kinds_that_are_not_the_same(encoder: Path, preprocessor: Path) -> None:
    comparison = hubexport.compare(encoder, preprocessor)
    assert {"configuration", "variables", "program", "assets"} <= kinds(comparison)
    (kind,) = (each for each in comparison.configuration if each.where == "kind")
    assert (kind.a, kind.b) == ("encoder", "preprocessor")


def test_what_cannot_be_compared(encoder: Path, copy_of: Copy, tmp_path: Path) -> None:
    with pytest.raises(HubexportError, match="there is no SavedModel"):
        hubexport.compare(encoder, tmp_path / "nowhere")
    lost = copy_of(encoder)
    data_of(lost).unlink()
    with pytest.raises(CheckpointError):
        hubexport.compare(encoder, lost)
    (lost / "variables" / "variables.index").unlink()
    with pytest.raises(HubexportError, match="lacks its variables"):
        hubexport.compare(encoder, lost)
    damaged = copy_of(encoder)
    (damaged / "assets.extra" / "hubexport.json").write_text(json.dumps({"schema_version": 2}))
    with pytest.raises(HubexportError, match="the record is damaged"):
        hubexport.compare(damaged, encoder)
    shutil.rmtree(damaged)

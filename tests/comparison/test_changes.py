"""Records against each other: fields, lists whose order says nothing, and what is left out."""

from __future__ import annotations

import copy
from typing import Any

from hubexport.comparison.changes import ADDED, CHANGED, REMOVED, Change, changes
from hubexport.comparison.configuration import configuration_changes

RECORD: dict[str, Any] = {
    "schema_version": 2,
    "created": "2026-11-30T00:00:00Z",
    "kind": "encoder",
    "architecture": {"dtype": "float32", "layer_norm_eps": 1e-12},
    "checkpoint": {"files": [{"name": "a", "sha256": "1"}, {"name": "b", "sha256": "2"}]},
    "tensors": [
        {"variable": "x/kernel", "tensor": "bert/x/kernel"},
        {"variable": "y/kernel", "tensor": "bert/y/kernel"},
    ],
    "skipped_tensors": {"optimizer": ["step", "x/adam_m"]},
    "warnings": ["one", "two"],
    "saved_model": {"fingerprint": "1"},
    "throughput": [{"sequences_per_second": 1.0}],
    "validation": [
        {
            "runtime": "tensorflow", "device": "cpu", "hardware": "Xeon", "created": "then",
            "passed": True, "gates": [{"name": "numerics", "status": "passed", "seconds": 1.5}],
        }
    ],
}  # fmt: skip


def other() -> dict[str, Any]:
    return copy.deepcopy(RECORD)


def test_equal_values_have_no_changes() -> None:
    assert changes(RECORD, other()) == ()


def test_fields_are_found_where_they_are() -> None:
    a = {"x": {"y": 1, "gone": [1]}, "same": None}
    b = {"x": {"y": 2, "a.b": {"c": 1}}, "same": None}
    assert changes(a, b) == (
        Change("x.y", CHANGED, 1, 2),
        Change("x.gone", REMOVED, a=[1]),
        Change("x[a.b]", ADDED, b={"c": 1}),
    )


def test_null_is_something() -> None:
    assert changes({"x": None}, {}) == (Change("x", REMOVED),)
    assert changes({"x": None}, {"x": 1}) == (Change("x", CHANGED, None, 1),)


def test_numbers_are_not_flags() -> None:
    """In Python 1 == True == 1.0; in a record they say something else."""
    assert len(changes({"x": 1, "y": 1}, {"x": True, "y": 1.0})) == 2


def test_items_are_found_by_their_names_in_whatever_order() -> None:
    a = {"files": [{"name": "a", "bytes": 1}, {"name": "b", "bytes": 2}]}
    b = {"files": [{"name": "c", "bytes": 1}, {"name": "b", "bytes": 3}, {"name": "a", "bytes": 1}]}
    assert changes(a, b) == (
        Change("files[b].bytes", CHANGED, 2, 3),
        Change("files[c]", ADDED, b={"name": "c", "bytes": 1}),
    )


def test_two_files_of_one_name_are_compared_as_a_whole() -> None:
    twice = [{"name": "a", "bytes": 1}, {"name": "a", "bytes": 2}]
    assert changes({"files": twice}, {"files": twice[::-1]}) == (
        Change("files", CHANGED, twice, twice[::-1]),
    )


def test_order_counts_in_other_lists() -> None:
    assert len(changes({"labels": ["a", "b"]}, {"labels": ["b", "a"]})) == 1
    assert changes({"warnings": ["a", "b"]}, {"warnings": ["b", "c", "a"]}) == (
        Change("warnings", ADDED, b="c"),
    )


def test_what_is_left_out_is_no_difference() -> None:
    b = other()
    b |= {"created": "now", "saved_model": {}, "throughput": []}
    b["validation"][0] |= {"created": "now", "files": {"saved_model.pb": "1"}}
    b["validation"][0]["gates"][0]["seconds"] = 9
    assert configuration_changes(RECORD, b) == ((), ())


def test_validation_is_compared_but_for_times() -> None:
    b = other()
    b["validation"][0]["gates"][0]["status"] = "failed"
    found, _ = configuration_changes(RECORD, b)
    path = "validation[tensorflow cpu Xeon].gates[numerics].status"
    assert found == (Change(path, CHANGED, "passed", "failed"),)


def test_the_key_report_is_apart() -> None:
    b = other()
    b["tensors"][1]["tensor"] = "bert/z/kernel"
    b["skipped_tensors"]["optimizer"].append("y/adam_m")
    b["architecture"]["dtype"] = "bfloat16"
    configuration, key_report = configuration_changes(RECORD, b)
    assert [each.where for each in configuration] == ["architecture.dtype"]
    assert key_report == (
        Change("tensors[y/kernel].tensor", CHANGED, "bert/y/kernel", "bert/z/kernel"),
        Change("skipped_tensors.optimizer", ADDED, b="y/adam_m"),
    )


def test_the_records_in_a_pipelines_are_compared_in_the_same_way() -> None:
    a = {"kind": "pipeline", "encoder": other(), "preprocessor": other()}
    b = copy.deepcopy(a)
    b["encoder"] |= {"created": "now", "throughput": []}
    b["encoder"]["tensors"][0]["tensor"] = "other"
    b["preprocessor"]["kind"] = "preprocessor"
    configuration, key_report = configuration_changes(a, b)
    assert [each.where for each in configuration] == ["preprocessor.kind"]
    assert [each.where for each in key_report] == ["encoder.tensors[x/kernel].tensor"]


def test_one_record_alone_is_a_difference() -> None:
    assert configuration_changes(None, RECORD) == ((Change("record", ADDED, b="encoder"),), ())
    assert configuration_changes(RECORD, None) == ((Change("record", REMOVED, "encoder"),), ())
    assert configuration_changes(None, None) == ((), ())

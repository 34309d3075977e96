"""The gates' names, which are known without importing the gates, and what a dead process leaves."""

from __future__ import annotations

from hubexport.commands import validate as command
from hubexport.validation import apart, validating
from hubexport.validation.results import FAILED, NOT_RUN


def test_names_are_those_of_the_gates_in_their_order() -> None:
    assert tuple(gate.NAME for gate in validating._ordered()) == apart.GATES
    assert set(command._GATES) == set(apart.GATES)


def test_a_process_that_dies_fails_the_gate_that_was_running() -> None:
    only = ("interface", "numerics", "batch")
    request = apart.Request("artifact", None, None, None, "cpu", None, only)
    lost = apart._lost(request, ["interface"], -11, ["it said this"])
    assert {gate.name: gate.status for gate in lost} == {
        "interface": NOT_RUN, "numerics": FAILED, "batch": NOT_RUN
    }  # fmt: skip
    (failed,) = [gate for gate in lost if gate.status == FAILED]
    assert failed.worst is not None and failed.worst.figure == "signal SIGSEGV"
    assert failed.detail == "it said this"

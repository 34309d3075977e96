"""What help says of the gates, which of them share a process, and what a dead one leaves."""

from __future__ import annotations

import dataclasses

from hubexport.commands import validate as command
from hubexport.validation import processes
from hubexport.validation.gates import GATES, NAMES
from hubexport.validation.results import FAILED, NOT_RUN
from hubexport.validation.runner import Request


def test_the_command_explains_every_gate() -> None:
    assert len(set(NAMES)) == len(GATES)
    assert all(f"  {gate.NAME:23} {gate.SUMMARY}\n" in command.EPILOG for gate in GATES)


def test_gates_that_need_memory_have_a_process_each() -> None:
    request = Request("artifact", None, None, None, "cpu", None, NAMES)
    first, *others = processes._groups(request)
    assert [[gate.NAME] for gate in GATES if gate.APART] == others
    assert [*first, *(name for group in others for name in group)] == sorted(
        NAMES, key=lambda name: ([name] in others, NAMES.index(name))
    )
    of_tpu = dataclasses.replace(request, device="tpu")
    assert processes._groups(of_tpu) == [list(NAMES)]


def test_a_process_that_dies_fails_the_gate_that_was_running() -> None:
    only = ("interface", "numerics", "batch")
    request = Request("artifact", None, None, None, "cpu", None, only)
    lost = processes._lost(request, ["interface"], -11, ["it said this"])
    assert {gate.name: gate.status for gate in lost} == {
        "interface": NOT_RUN, "numerics": FAILED, "batch": NOT_RUN
    }  # fmt: skip
    (failed,) = [gate for gate in lost if gate.status == FAILED]
    assert failed.worst is not None and failed.worst.figure == "signal SIGSEGV"
    assert failed.detail == "it said this"

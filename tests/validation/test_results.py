"""Measurements and what a gate makes of them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from hubexport.validation.results import (
    FAILED,
    NOT_RUN,
    PASSED,
    GateResult,
    Measurement,
    at_most,
    judge,
    not_run,
)

GOOD = at_most("good", 0.25, 1.0)
NEAR = at_most("near", 0.75, 1.0)
BAD = at_most("bad", 3.0, 1.0)
WORDS = Measurement("words", True, "float32", "float32")
WRONG_WORDS = Measurement("wrong words", False, "int64", "int32")


@pytest.mark.parametrize(
    ("figure", "limit", "passed"),
    [
        (0.5, 1.0, True),
        (1.0, 1.0, True),
        (math.nextafter(1.0, 2.0), 1.0, False),
        (0.0, 0.0, True),
        (1e-30, 0.0, False),
        (math.inf, 1.0, False),
        (math.inf, math.inf, True),
        (math.nan, 1.0, False),
        (math.nan, math.inf, False),
        (0.0, math.nan, False),
    ],
)
def test_at_most(figure: float, limit: float, passed: bool) -> None:
    measured = at_most("x", figure, limit)
    assert measured.passed is passed
    assert isinstance(measured.figure, float) and isinstance(measured.limit, float)


@pytest.mark.parametrize(
    ("measurement", "strain"),
    [
        (at_most("a quarter", 0.5, 2.0), 0.25),
        (at_most("twice", 4.0, 2.0), 2.0),
        (at_most("nothing allowed, nothing found", 0.0, 0.0), 0.0),
        (at_most("nothing allowed, some found", 1e-9, 0.0), math.inf),
        (at_most("no number", math.nan, 1.0), math.inf),
        (WORDS, 0.0),
        (WRONG_WORDS, math.inf),
        (Measurement("what says it all", True), 0.0),
        (Measurement("what says it all", False), math.inf),
        (Measurement("a number without a limit", False, 3), math.inf),
    ],
)
def test_strain(measurement: Measurement, strain: float) -> None:
    assert measurement.strain == strain


def test_a_gate_passes_where_every_measurement_holds() -> None:
    result = judge("gate", [GOOD, WORDS, NEAR], "why")
    assert (result.name, result.status, result.detail) == ("gate", PASSED, "why")
    assert result.failures == []
    assert result.worst is NEAR


def test_one_that_does_not_hold_fails_it() -> None:
    result = judge("gate", [GOOD, BAD, NEAR])
    assert result.status == FAILED
    assert result.failures == [BAD]
    assert result.worst is BAD


def test_the_worst_is_the_one_furthest_beyond_its_limit() -> None:
    worse = at_most("worse", 10.0, 2.0)
    assert judge("gate", [BAD, worse, GOOD]).worst is worse
    assert judge("gate", [BAD, WRONG_WORDS, worse]).worst is WRONG_WORDS
    no_number = at_most("no number", math.nan, 1.0)
    assert judge("gate", [BAD, no_number]).worst is no_number


def test_the_worst_is_shown_where_there_are_only_words() -> None:
    assert judge("gate", [WORDS]).worst is WORDS


def test_a_gate_that_looked_at_nothing_does_not_pass() -> None:
    with pytest.raises(ValueError, match="'numerics' measured nothing"):
        judge("numerics", [])


def test_not_run() -> None:
    result = not_run("gate", "there is nothing")
    assert (result.status, result.detail) == (NOT_RUN, "there is nothing")
    assert result.worst is None
    assert result.failures == []


RESULTS = [
    GateResult("numerics [TF32 on]", PASSED, (GOOD, WORDS), "all well: µ", 1.25),
    GateResult("batch", FAILED, (BAD, at_most("inf", math.inf, 1.0), WRONG_WORDS), "why", 0.5),
    GateResult("portability", PASSED, (Measurement("loads", True), Measurement("n", True, 7, 8))),
    not_run("training", "nothing to train"),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: result.name)
def test_through_json(result: GateResult) -> None:
    text = json.dumps(result.record(), allow_nan=False)
    assert GateResult.from_record(json.loads(text)) == result


def test_a_nan_through_json() -> None:
    text = json.dumps(judge("x", [at_most("x", math.nan, 1.0)]).record(), allow_nan=False)
    again = GateResult.from_record(json.loads(text))
    (measurement,) = again.measurements
    assert isinstance(measurement.figure, float) and math.isnan(measurement.figure)
    assert again.status == FAILED and measurement.limit == 1.0


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"status": "fine"}, ValueError),
        ({"measurements": None}, TypeError),
        ({"measurements": [{"what": "x", "passed": True}]}, KeyError),
        ({"seconds": "long"}, ValueError),
        ({"seconds": None}, TypeError),
    ],
)
def test_records_of_another_form(change: dict[str, Any], error: type[Exception]) -> None:
    fields = {**judge("gate", [GOOD]).record(), **change}
    with pytest.raises(error):
        GateResult.from_record(fields)


@pytest.mark.parametrize("missing", ["name", "status", "measurements", "detail", "seconds"])
def test_records_that_lack_something(missing: str) -> None:
    fields = judge("gate", [GOOD]).record()
    del fields[missing]
    with pytest.raises(KeyError, match=missing):
        GateResult.from_record(fields)

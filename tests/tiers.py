"""Which of many parameters `make test` runs, and which only `make test-exhaustive` does."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def examples(parameters: Iterable[Any], chosen: Collection[Any]) -> list[Any]:
    """Parameters of `parametrize`; all but the chosen ones are marked as exhaustive.

    A parameter is chosen by its value, its `name` or, of several values, its first one.
    """
    parameters = list(parameters)
    names = [_name(each) for each in parameters]
    assert not {*chosen} - {*names}, f"not among the parameters: { ({*chosen} - {*names}) }"
    return [
        pytest.param(
            *(each if isinstance(each, tuple) else (each,)),
            marks=[] if name in chosen else [pytest.mark.exhaustive],
        )
        for each, name in zip(parameters, names, strict=True)
    ]


def _name(parameter: Any) -> Any:
    first = parameter[0] if isinstance(parameter, tuple) else parameter
    return getattr(first, "name", first)

"""The sizes of a model, by whatever tells them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubexport.errors import HubexportError
from hubexport.saved_model.objects import Variable
from hubexport.validation.reference_file import Provenance, Reference
from hubexport.validation.sizes import fitting, sizes_of
from tests import tiny

WANTED = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
}
OTHER = {name: size + 1 for name, size in WANTED.items()}
WHERE = Path("somewhere")


def summary(*variables: Variable) -> Any:
    return SimpleNamespace(directory=WHERE, variables=variables)


def google_variables() -> Any:
    """As the programs that were trained name them, below `bert/`, with other variables between."""
    shapes = tiny.tensor_shapes(tiny.CONFIG)
    return summary(*(Variable(n, "float32", shape, True) for n, shape in shapes.items()))


def garden_variables() -> Any:
    """As Model Garden's published encoders name them; heads are split in the kernels."""
    H, I, A = 16, 32, 2  # noqa: E741
    names = {
        "word_embeddings/embeddings:0": (50, H),
        "position_embedding/embeddings:0": (24, H),
        "type_embeddings/embeddings:0": (2, H),
    }
    for i in range(2):
        names[f"transformer/layer_{i}/self_attention/query/kernel:0"] = (H, A, H // A)
        names[f"transformer/layer_{i}/intermediate/kernel:0"] = (H, I)
        names[f"transformer/layer_{i}/output/kernel:0"] = (I, H)
    return summary(*(Variable(name, "float32", shape, True) for name, shape in names.items()))


def reference(architecture: dict[str, Any]) -> Reference:
    return Reference(WHERE, Provenance("file", "x", [], architecture), {}, {})


@pytest.mark.parametrize("variables", [google_variables, garden_variables])
def test_by_the_variables(variables: Any) -> None:
    assert sizes_of(None, variables(), None) == WANTED
    assert sizes_of(None, variables(), reference(OTHER)) == WANTED


def test_the_variables_come_first() -> None:
    """What is there, before what is said of it."""
    record = {"architecture": {**OTHER, "num_attention_heads": 7, "dtype": "float32"}}
    assert sizes_of(record, google_variables(), reference(OTHER)) == WANTED
    assert sizes_of(record, summary(), reference(WANTED)) == OTHER


def test_rows_of_positions_that_are_none() -> None:
    """As RoBERTa's table has: the record tells how many tokens the others are enough for."""
    record = {"architecture": {**WANTED, "max_position_embeddings": 23}}
    found = sizes_of(record, google_variables(), reference(WANTED))
    assert found == {**WANTED, "max_position_embeddings": 23}


def test_positions_without_limit() -> None:
    architecture = {**WANTED, "max_position_embeddings": None}
    others = {n: size for n, size in WANTED.items() if n != "max_position_embeddings"}
    for found in (
        sizes_of({"architecture": architecture}, summary(), None),
        sizes_of(None, summary(), reference(architecture)),
    ):
        assert found == others
        assert fitting(1000, found) == 1000
    assert fitting(1000, WANTED) == 24 and fitting(5, WANTED) == 5
    # What there are rows for is a limit, whatever is said.
    assert sizes_of({"architecture": architecture}, google_variables(), None) == WANTED


def test_no_token_types() -> None:
    """The variables do not tell of a table that is not there."""
    variables = google_variables()
    kept = [each for each in variables.variables if "token_type" not in each.name]
    record = {"architecture": {**OTHER, "type_vocab_size": 0}}
    assert sizes_of(record, summary(*kept), None) == {**WANTED, "type_vocab_size": 0}


def test_the_reference_comes_last() -> None:
    assert sizes_of(None, summary(), reference({**WANTED, "num_attention_heads": 2})) == WANTED


def test_each_fills_in_what_is_before_it_does_not_tell() -> None:
    record = {"architecture": {"vocab_size": 51, "hidden_size": None}}
    words = summary(Variable("x/kernel", "float32", (3, 4), True))
    partly = {name: WANTED[name] for name in list(WANTED)[1:]}
    assert sizes_of(record, words, reference(partly)) == {**WANTED, "vocab_size": 51}


def test_free_dimensions_do_not_tell() -> None:
    free = summary(Variable("x", "float32", (None, 4), False))
    assert sizes_of(None, free, reference(WANTED)) == WANTED


def test_nobody_tells() -> None:
    with pytest.raises(HubexportError, match="sizes of the model are not known") as caught:
        sizes_of(None, summary(), reference({"vocab_size": 50, "hidden_size": 16}))
    message = str(caught.value)
    assert str(WHERE) in message and "--reference" in message
    assert "num_hidden_layers, intermediate_size, max_position_embeddings, type_vocab_size" in (
        message
    )
    with pytest.raises(HubexportError, match="vocab_size, hidden_size"):
        sizes_of(None, summary(), None)

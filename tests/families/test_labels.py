"""Labels are what the configuration declares, and nothing where it declares nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubexport.errors import ConfigurationError
from hubexport.families.configuration import Configuration
from hubexport.families.labels import Labels, read_labels

NLI = {"0": "contradiction", "1": "neutral", "2": "entailment"}
INVERSE = {name: int(number) for number, name in NLI.items()}


def read(stored: int | None = None, **values: Any) -> Labels:
    return read_labels(Configuration(Path("some/config.json"), "json", "", values), stored)


@pytest.mark.parametrize(
    ("values", "stored", "expected"),
    [
        ({"id2label": NLI}, 3, Labels(3, tuple(NLI.values()))),
        ({"id2label": NLI, "label2id": INVERSE}, 3, Labels(3, tuple(NLI.values()))),
        ({"id2label": {2: "c", 0: "a", 1: "b"}}, 3, Labels(3, ("a", "b", "c"))),
        ({"id2label": NLI, "problem_type": "multi_label_classification"}, 3,
         Labels(3, tuple(NLI.values()), "multi_label_classification")),
        # Nothing is declared: transformers' stand-ins, or nothing at all.
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, 2, Labels(2)),
        ({"num_labels": 4}, 4, Labels(4)),
        ({"_num_labels": 4}, 4, Labels(4)),
        ({}, 5, Labels(5)),
        ({}, None, Labels(2)),
        # Old files have id2label as it was initialized, beside the true number.
        ({"num_labels": 3, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}, 3, Labels(3)),
        ({"_num_labels": 2, "id2label": {"0": "no", "1": "yes"}}, 2, Labels(2, ("no", "yes"))),
        # label2id that was never filled in.
        ({"id2label": NLI, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}, 3,
         Labels(3, tuple(NLI.values()))),
        # What the file says goes before the tensor: matching tensors says that they differ.
        ({"id2label": NLI}, 2, Labels(3, tuple(NLI.values()))),
        ({"problem_type": "regression", "num_labels": 1}, 1, Labels(1, (), "regression")),
    ],
)  # fmt: skip
def test_labels(values, stored, expected):
    assert read(stored, **values) == expected


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"id2label": NLI, "label2id": {**INVERSE, "neutral": 2}}, "'neutral': 1 and 2"),
        ({"id2label": NLI, "label2id": {"neutral": 1}}, "'contradiction': 0 and none"),
        ({"id2label": NLI, "num_labels": 2}, "num_labels: 2, id2label: 3"),
        ({"num_labels": 2, "_num_labels": 3}, "num_labels: 2, _num_labels: 3"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label {'0': 'a', '2': 'b'}"),
        ({"id2label": {"0": "a", "1": 7}}, "id2label"),
        ({"id2label": {"zero": "a"}}, "id2label"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"problem_type": "ranking"}, "problem_type 'ranking'"),
    ],
)
def test_contradictions(values, found):
    with pytest.raises(ConfigurationError) as caught:
        read(3, **values)
    assert "the configuration's labels cannot be used" in str(caught.value)
    assert f"found: {found}" in str(caught.value) or found in str(caught.value)
    assert "some/config.json" in str(caught.value)

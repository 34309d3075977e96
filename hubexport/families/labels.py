"""Labels of a classifier's classes, and how many there are."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from hubexport.errors import ConfigurationError, some_of
from hubexport.families.configuration import Configuration

PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
_UNDECLARED = re.compile(r"LABEL_\d+")
_TRANSFORMERS_DEFAULT = 2  # PretrainedConfig's num_labels


@dataclasses.dataclass(frozen=True)
class Labels:
    """What a configuration says of classes.

    Attributes:
      number: of classes.
      names: in order; () where none are declared: `LABEL_0` is transformers' stand-in.
      problem_type: of `PROBLEM_TYPES`, or None.
    """

    number: int
    names: tuple[str, ...] = ()
    problem_type: str | None = None


def read_labels(configuration: Configuration, stored: int | None) -> Labels:
    """`id2label`, `num_labels` and `problem_type` of transformers' config.json.

    Args:
      stored: how many classes the checkpoint's tensor has; taken where the configuration says
        nothing. Where it says another number, matching tensors fails later.

    Raises:
      ConfigurationError: labels that contradict each other, or are of no usable form.
    """
    values = configuration.values
    problem_type = values.get("problem_type")
    if problem_type not in (None, *PROBLEM_TYPES):
        raise _error(
            configuration, f"problem_type {problem_type!r}", f"one of {', '.join(PROBLEM_TYPES)}"
        )
    numbers = {
        key: configuration.integer(key)
        for key in ("num_labels", "_num_labels")
        if values.get(key) is not None
    }
    names = _names(configuration, values.get("id2label"))
    if names:
        _check_inverse(configuration, names, values.get("label2id"))
        # Of old files, id2label is what was never filled in.
        if any(number != len(names) for number in numbers.values()) and _are_stand_ins(names):
            names = ()
    if names:
        numbers["id2label"] = len(names)
    if len(set(numbers.values())) > 1:
        said = ", ".join(f"{key}: {number}" for key, number in numbers.items())
        raise _error(configuration, said, "one number of classes")
    number = next(iter(numbers.values()), stored or _TRANSFORMERS_DEFAULT)
    return Labels(number, () if _are_stand_ins(names) else names, problem_type)


def _names(configuration: Configuration, id2label: Any) -> tuple[str, ...]:
    if not id2label:
        return ()
    try:
        by_number = {int(key): value for key, value in id2label.items()}
    except (AttributeError, TypeError, ValueError):
        by_number = {}
    right = sorted(by_number) == list(range(len(id2label)))
    if not right or not all(isinstance(value, str) for value in by_number.values()):
        raise _error(
            configuration, f"id2label {str(id2label)[:80]}", "labels numbered 0, 1, 2, ..."
        )
    return tuple(by_number[number] for number in sorted(by_number))


def _check_inverse(
    configuration: Configuration, names: tuple[str, ...], label2id: Mapping[str, Any] | None
) -> None:
    if not isinstance(label2id, dict) or _are_stand_ins(tuple(label2id)):
        return
    wrong = [
        f"{name!r}: {i} and {label2id[name]}"
        for i, name in enumerate(names)
        if name in label2id and label2id[name] not in (i, str(i)) and names.count(name) == 1
    ]
    wrong += [f"{name!r}: {i} and none" for i, name in enumerate(names) if name not in label2id]
    if wrong:
        raise _error(
            configuration, f"id2label and label2id differ: {some_of(wrong)}", "one order of labels"
        )


def _are_stand_ins(names: tuple[str, ...]) -> bool:
    return all(_UNDECLARED.fullmatch(name) for name in names)


def _error(configuration: Configuration, found: str, needed: str) -> ConfigurationError:
    return ConfigurationError(
        "the configuration's labels cannot be used",
        [("configuration", str(configuration.path)), ("found", found), ("needed", needed)],
        "pass the configuration that the checkpoint was trained with.",
    )

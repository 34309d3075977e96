"""The words that a card may choose from."""

from __future__ import annotations

import functools
from typing import Annotated, NamedTuple

from hubexport.cards import casing, phrases
from hubexport.cards.fields import OneOf, words
from hubexport.cards.lint.findings import load_list
from hubexport.families.labels import PROBLEM_TYPES
from hubexport.families.registry import families
from hubexport.pipelines.registry import tasks
from hubexport.tokenizers.conventions import CONVENTIONS


class LicenceNames(NamedTuple):
    """What the platforms call a licence; None where a platform has no name for it."""

    tfhub: str
    kaggle: str | None
    hugging_face: str


LICENCES = {
    "Apache-2.0": LicenceNames("apache-2.0", "Apache 2.0", "apache-2.0"),
    "BSD-3-Clause": LicenceNames("bsd-3-clause", "BSD-3-Clause", "bsd-3-clause"),
    "CC-BY-4.0": LicenceNames("custom", "Attribution 4.0 International (CC BY 4.0)", "cc-by-4.0"),
    "CC-BY-NC-4.0": LicenceNames(
        "cc-by-nc-4.0",
        "Attribution-NonCommercial 4.0 International (CC BY-NC 4.0)",
        "cc-by-nc-4.0",
    ),
    "CC-BY-SA-4.0": LicenceNames("cc-by-sa-4.0", "CC BY-SA 4.0", "cc-by-sa-4.0"),
    "MIT": LicenceNames("mit", "MIT", "mit"),
    "LicenseRef-modified-MIT": LicenceNames("custom", None, "other"),
}
"""SPDX identifier -> its names elsewhere."""

FAMILIES = (*families(), *phrases.DESCRIBED)
"""Families that cards may name."""


def is_supported(family: str) -> bool:
    """Whether hubexport exports models of this family."""
    return family in families()


@functools.cache
def _listed(file: str, key: str) -> tuple[str, ...]:
    values = load_list(file)
    return tuple((values.get("values") or values)[key])


def _text_tasks() -> tuple[str, ...]:
    return tuple(task for task in _listed("tfhub_tags", "task") if task.startswith("text-"))


Family = Annotated[str, OneOf("family", lambda: FAMILIES)]
ModelType = Annotated[str, OneOf("model type", lambda: tuple(sorted(CONVENTIONS)))]
TokenizerKind = Annotated[str, OneOf("kind of tokenizer", words(*phrases.TOKENIZERS))]
Spdx = Annotated[str, OneOf("licence", lambda: tuple(LICENCES))]
Casing = Annotated[str, OneOf("casing", words(*casing.CASINGS))]
Language = Annotated[str, OneOf("language code", words(*phrases.LANGUAGES))]
Objective = Annotated[str, OneOf("training objective", words(*phrases.OBJECTIVES))]
MaskingUnit = Annotated[str, OneOf("unit of masking", words(*phrases.MASKING_UNITS))]
Relation = Annotated[str, OneOf("relation", words(*phrases.RELATIONS))]
Weights = Annotated[str, OneOf("state of weights", words(*phrases.WEIGHTS))]
Layout = Annotated[str, OneOf("checkpoint layout", words(*phrases.LAYOUTS))]
ProblemType = Annotated[str, OneOf("problem type", words(*PROBLEM_TYPES))]
PoolerStatus = Annotated[str, OneOf("status", words("trained", "untrained", "absent"))]
Split = Annotated[str, OneOf("split", words("train", "dev", "test"))]
TfHubTask = Annotated[str, OneOf("task of tfhub.dev", _text_tasks)]
TfHubArchitecture = Annotated[
    str,
    OneOf(
        "network architecture of tfhub.dev",
        functools.partial(_listed, "tfhub_tags", "network-architecture"),
    ),
]
TfHubDataset = Annotated[
    str, OneOf("dataset of tfhub.dev", functools.partial(_listed, "tfhub_tags", "dataset"))
]
TfHubLanguage = Annotated[
    str, OneOf("language of tfhub.dev", functools.partial(_listed, "tfhub_tags", "language"))
]
KaggleFramework = Annotated[
    str, OneOf("framework of Kaggle", functools.partial(_listed, "kaggle", "frameworks"))
]
PipelineTask = Annotated[str, OneOf("task of a pipeline", lambda: tuple(tasks()))]
PipelineTag = Annotated[
    str,
    OneOf(
        "pipeline tag of Hugging Face",
        functools.partial(_listed, "hugging_face", "pipeline_tags"),
    ),
]

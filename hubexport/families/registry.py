"""Which family a checkpoint belongs to, told by its configuration and its tensors."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, TypeVar

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError, UsageError
from hubexport.families.configuration import Configuration

if TYPE_CHECKING:
    from hubexport.families.bert import Bert

_FAMILIES: dict[str, type[Bert]] = {}
_Family = TypeVar("_Family", bound=type)


def register(family: _Family) -> _Family:
    """Class decorator: makes a family known by its `name`."""
    _FAMILIES[family.name] = family  # type: ignore[attr-defined]
    return family


def families() -> dict[str, type[Bert]]:
    """All families by name; every module of this package is a candidate for holding one."""
    package = importlib.import_module("hubexport.families")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"hubexport.families.{module.name}")
    return dict(sorted(_FAMILIES.items()))


def choose(
    name: str | None, configuration: Configuration, source: TensorSource
) -> tuple[type[Bert], str]:
    """The family and the evidence for it, a phrase for the summary.

    Args:
      name: what the user says it is, or None to recognise it.

    Raises:
      UsageError: no family of that name, or it does not come in this layout.
      ConfigurationError: the configuration and the tensors belong to no known family.
    """
    known = families()
    if name is not None:
        if name not in known:
            raise UsageError(f"there is no family {name!r}", [("families", ", ".join(known))])
        family, evidence = known[name], "as told by --family"
    else:
        family, evidence = _recognise(list(known.values()), configuration, source)
    if source.layout not in family.layouts:
        raise UsageError(
            f"the family {family.name!r} is not known in this checkpoint layout",
            [("checkpoint", f"{source.path} ({source.format})")],
        )
    return family, evidence


def _recognise(
    known: list[type[Bert]], configuration: Configuration, source: TensorSource
) -> tuple[type[Bert], str]:
    model_type = configuration.values.get("model_type")
    if configuration.kind == "model_garden":
        said, candidates = (
            f"encoder type {configuration.encoder_type}",
            [family for family in known if configuration.encoder_type in family.encoder_types],
        )
    elif model_type is not None:
        said = f"model_type {model_type}"
        candidates = [family for family in known if model_type in family.model_types]
    else:  # bert_config.json, and config.json from before model_type, are BERT's
        said = "a configuration of google-research/bert's form"
        candidates = [family for family in known if "bert" in family.model_types]
    marked = {family.marker for family in known if family.marker} & {
        marker
        for marker in {family.marker for family in known if family.marker}
        if any(marker in tensor for tensor in source.tensors)
    }
    for family in candidates:
        if family.marker in marked or (not marked and not family.marker and family.model_types):
            return family, f"{said}, {family.marker} in its tensors" if family.marker else said
    supported = {f"model_type {t}" for family in known for t in family.model_types}
    supported |= {f"encoder type {t}" for family in known for t in family.encoder_types}
    raise ConfigurationError(
        "the model belongs to no family that can be exported",
        [
            ("configuration", str(configuration.path)),
            ("found", said + (f", {', '.join(sorted(marked))} in its tensors" if marked else "")),
            ("supported", ", ".join(sorted(supported))),
        ],
        "pass --family if the model has the architecture of one of these: "
        + ", ".join(family.name for family in known)
        + ".",
    )

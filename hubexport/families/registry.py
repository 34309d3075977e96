"""Which family a checkpoint belongs to, told by its configuration and its tensors."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TypeVar

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import ConfigurationError, UsageError
from hubexport.families.configuration import Configuration
from hubexport.families.family import Family

_FAMILIES: dict[str, type[Family]] = {}
_Class = TypeVar("_Class", bound=type[Family])


def register(family: _Class) -> _Class:
    """Class decorator: makes a family known by its `name`."""
    _FAMILIES[family.name] = family
    return family


def families() -> dict[str, type[Family]]:
    """All families by name; every module of this package is a candidate for holding one."""
    _import_all()
    return dict(sorted(_FAMILIES.items()))


@functools.cache  # pages ask for each card
def _import_all() -> None:
    package = importlib.import_module("hubexport.families")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"hubexport.families.{module.name}")


def choose(
    name: str | None, configuration: Configuration, source: TensorSource
) -> tuple[type[Family], str]:
    """The family and the evidence for it, a phrase for the summary.

    Args:
      name: what the user says it is, or None to recognise it.

    Raises:
      UsageError: no family of that name, or it does not come in this layout.
      ConfigurationError: the configuration and the tensors belong to no known family.
    """
    known = families()
    if name is not None:
        if name not in list(known):
            raise UsageError(
                f"there is no family {name!r}",
                [("families", ", ".join(known))],
                "pass one of these, or none.",
            )
        family, evidence = known[name], "as told by --family"
    else:
        family, evidence = _recognise(list(known.values()), configuration, source)
    if source.layout not in family.layouts:
        raise UsageError(
            f"the family {family.name!r} is not known in this checkpoint layout",
            [("checkpoint", f"{source.path} ({source.format})")],
            ("pass" if name is None else "leave the family out, or pass")
            + " a checkpoint that the family's own program wrote.",
        )
    return family, evidence


def _recognise(
    known: list[type[Family]], configuration: Configuration, source: TensorSource
) -> tuple[type[Family], str]:
    said, candidates = _candidates(known, configuration, source)
    marked = {
        family.marker
        for family in known
        if family.marker and any(family.marker in tensor for tensor in source.tensors)
    }
    for family in candidates:
        if family.marker in marked:
            return family, f"{said}, {family.marker} in its tensors"
        if not marked and not family.marker:
            return family, said
    supported = {f"model_type {t}" for family in known for t in family.model_types if t}
    supported |= {f"encoder type {t}" for family in known for t in family.encoder_types}
    raise ConfigurationError(
        "the model belongs to no family that can be exported",
        [
            ("configuration", str(configuration.path)),
            ("found", said + (f", {', '.join(sorted(marked))} in its tensors" if marked else "")),
            ("supported", ", ".join(sorted(supported))),
        ],
        "if the model has the architecture of one of these, pass that to `hubexport encoder` as "
        f"--family: {', '.join(family.name for family in known)}.",
    )


def _candidates(
    known: list[type[Family]], configuration: Configuration, source: TensorSource
) -> tuple[str, list[type[Family]]]:
    """What the configuration says, a phrase, and the families that may be meant."""
    if configuration.kind == "model_garden":
        said = f"encoder type {configuration.encoder_type}"
        return said, [f for f in known if configuration.encoder_type in f.encoder_types]
    if model_type := configuration.values.get("model_type") or "":
        return f"model_type {model_type}", [f for f in known if model_type in f.model_types]
    # Files without a model_type are google-research/bert's, or older than it: RoBERTa's have the
    # very keys of BERT's, so only tensors tell them apart.
    signs = {
        family: [
            *(["the keys " + ", ".join(sorted(family.keys))] if _has_keys(family, configuration)
              else []),
            *family.signs(configuration, source),
        ]
        for family in known
    }  # fmt: skip
    if shown := [family for family in known if signs[family]]:
        said = "; ".join(f"{family.title}: {', '.join(signs[family])}" for family in shown)
        if len(shown) == 1:
            return f"no model_type, but {', '.join(signs[shown[0]])}", shown
        return f"no model_type, and signs of several families ({said})", []
    form = "a configuration of google-research/bert's form"
    return form, [family for family in known if "" in family.model_types]


def _has_keys(family: type[Family], configuration: Configuration) -> bool:
    return bool(family.keys) and family.keys <= configuration.values.keys()

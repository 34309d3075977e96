"""Model configuration files: found, parsed, their values fetched with a check of their type."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from hubexport.checkpoints.untrusted import clipped
from hubexport.errors import ConfigurationError, UsageError
from hubexport.families import openai_config
from hubexport.paths import PathLike

JSON_NAMES = (
    "config.json",
    "bert_config.json",
    "openai_gpt_config.json",
    "hparams.json",
    "xlnet_config.json",
)
"""Looked for beside a checkpoint, in this order: transformers' name, google-research/bert's,
pytorch_pretrained_bert's for GPT, openai/gpt-2's, zihangdai/xlnet's."""

_TOLD_BY = {"hparams.json": {"n_vocab", "n_ctx", "n_embd", "n_head", "n_layer"}}
"""Programs of all kinds write files of such a name: the keys of the one that is meant."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A configuration file's values, as its author's program reads them.

    Attributes:
      path: the file; with "fairseq", "xlm_original" and "openai" the checkpoint itself.
      kind: "json" (bert_config.json, config.json, hparams.json), "model_garden" (an encoder's
        YAML), "fairseq" and "xlm_original" (the training program's arguments, kept with the
        weights) or "openai" (what the shapes of GPT's release say).
      encoder_type: Model Garden's choice of encoder class ("bert", "bert_v2", ...), else "".
      values: the model's own values.
      heads: what Model Garden's experiment says of its classification heads (`cls_heads`).
    """

    path: Path
    kind: str
    encoder_type: str
    values: Mapping[str, Any]
    heads: Sequence[Mapping[str, Any]] = ()

    def integer(
        self,
        name: str,
        default: int | None = None,
        *,
        aliases: Sequence[str] = (),
        minimum: int = 1,
    ) -> int:
        """An integer of at least `minimum`; required when there is no default.

        Args:
          aliases: what else the key is, or was, called.

        Raises:
          ConfigurationError: it is not there, is none, or differs from an alias of its.
        """
        found = {key: self.values[key] for key in (name, *aliases) if key in self.values}
        value = next(iter(found.values()), default)
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            needed = "a positive integer" if minimum == 1 else f"an integer of at least {minimum}"
            raise self.unusable(name, value, needed)
        if any(other != value for other in found.values()):
            said = ", ".join(f"{key}: {other!r}" for key, other in found.items())
            raise self.unusable(name, said, "one value")
        return value

    def fraction(self, name: str, default: float) -> float:
        """A number of at least 0 and below 1: a dropout rate or an epsilon."""
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise self.unusable(name, value, "a number of at least 0 and less than 1")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.unusable(name, value, "true or false")
        return value

    def text(self, name: str, default: str) -> str:
        value = self.values.get(name, default)
        if not isinstance(value, str):
            raise self.unusable(name, value, "a string")
        return value

    def refuse(self, name: str, *harmless: Any, why: str) -> None:
        """Fails where a value asks for what the exported network does not do."""
        value = self.values.get(name)
        if value not in (None, *harmless):
            raise ConfigurationError(
                f"the configuration asks for {name} = {clipped(repr(value))}: {why}",
                [
                    ("configuration", str(self.path)),
                    ("supported", ", ".join(map(repr, harmless)) or "none"),
                ],
                "export another model, or fix the configuration if it is wrong.",
            )

    def unusable(self, name: str, value: Any, wanted: str) -> ConfigurationError:
        """The error of a value that is not what is wanted; None for one that is not there."""
        found = "nothing" if value is None else clipped(repr(value))
        return ConfigurationError(
            f"the configuration has no usable {name}",
            [("configuration", str(self.path)), ("found", found), ("needed", wanted)],
            "pass the configuration that the checkpoint was trained with.",
        )


def read_configuration(
    bert_config: PathLike | None,
    encoder_config: PathLike | None,
    checkpoint: Path,
    settings: Mapping[str, Any] | None = None,
    layout: str | None = None,
) -> Configuration:
    """The configuration that was passed, or the one kept with the checkpoint, or beside it.

    What is kept with the weights belongs to them, and goes before a file that lies beside them.
    A layout that keeps it there ("fairseq") takes none from beside: that file would be of the
    same model converted, whose names and values are others.

    Args:
      bert_config: a JSON file, where it was passed.
      encoder_config: a Model Garden YAML, where it was passed.
      checkpoint: as it was opened (`TensorSource.path`).
      settings: what the checkpoint keeps (`TensorSource.settings`).
      layout: of its tensors (`TensorSource.layout`).

    Raises:
      UsageError: both files are passed.
      ConfigurationError: there is none, it cannot be read, or it disagrees with what is kept.
    """
    if bert_config is not None and encoder_config is not None:
        raise UsageError(
            "both --bert_config and --encoder_config are given", hint="pass one of them."
        )
    if encoder_config is not None:
        return read_model_garden(Path(encoder_config))
    if layout == "openai":
        file = find_beside(checkpoint) if bert_config is None else Path(bert_config)
        given = read_json(file).values if file else {}
        values = openai_config.complete(checkpoint, settings or {}, given, file)
        kind = "json" if file else "openai"
        return Configuration(file or checkpoint, kind, "", values)
    if bert_config is not None:
        return read_json(Path(bert_config))
    if settings:
        return Configuration(checkpoint, layout or "fairseq", "", settings)
    if layout == "fairseq":
        raise ConfigurationError(
            "the model's configuration is needed",
            [
                ("checkpoint", str(checkpoint)),
                ("found", "tensors by fairseq's names, without the args of the program"),
                ("looked for", "`args`, or `model` in `cfg`, in the checkpoint"),
            ],
            "pass fairseq's own file (model.pt), which holds them, or --bert_config FILE.json with "
            "the values of transformers' config.json for this model.",
        )
    found = find_beside(checkpoint)
    if found is None:
        raise ConfigurationError(
            "the model's configuration is needed",
            [
                ("checkpoint", str(checkpoint)),
                ("looked for", f"{names_beside()} beside it"),
            ],
            "pass --bert_config FILE.json, or --encoder_config FILE.yaml for Model Garden.",
        )
    return read_json(found)


def read_json(path: Path) -> Configuration:
    """Reads bert_config.json, transformers' config.json or hparams.json.

    Raises:
      ConfigurationError: not readable, not JSON, or not an object.
    """
    return Configuration(path, "json", "", _object(path, _parse(path, json.loads)))


def read_model_garden(path: Path) -> Configuration:
    """Reads the encoder of a Model Garden YAML.

    Takes an encoder configuration (`bert: {...}`, with or without `type: bert`), or an
    experiment's `params.yaml`, whose encoder is at `task.model.encoder`, and its classification
    heads at `task.model.cls_heads`.

    Raises:
      ConfigurationError: not readable, not YAML, or no single encoder in it.
    """
    values = _object(path, _parse(path, yaml.safe_load))
    task = values.get("task")
    heads: tuple[dict[str, Any], ...] = ()
    if isinstance(task, dict):
        model = _object(path, task.get("model"))
        values = _object(path, model.get("encoder"))
        listed = _list(path, "cls_heads", model.get("cls_heads"))
        heads = tuple(_object(path, head) for head in listed)
    # Experiments write the defaults of every encoder type; `type` says which one is meant.
    types = [name for name, value in values.items() if isinstance(value, dict)]
    encoder_type = values.get("type") or (types[0] if len(types) == 1 else None)
    if encoder_type not in types:
        raise ConfigurationError(
            "the encoder configuration names no encoder",
            [
                ("configuration", str(path)),
                ("found", ", ".join(map(str, values)) or "nothing"),
                ("needed", "`bert: {hidden_size: ..., ...}`, or `type:` and that"),
            ],
            "pass the encoder's configuration, or the params.yaml of the experiment.",
        )
    return Configuration(path, "model_garden", encoder_type, values[encoder_type], heads)


def find_beside(checkpoint: Path) -> Path | None:
    """The configuration file in a checkpoint's directory, if there is one."""
    directory = checkpoint if checkpoint.is_dir() else checkpoint.parent
    return next(filter(_is_configuration, (directory / name for name in JSON_NAMES)), None)


def names_beside() -> str:
    """The names of such files, for messages."""
    return f"{', '.join(JSON_NAMES[:-1])} or {JSON_NAMES[-1]}"


def _is_configuration(path: Path) -> bool:
    if not path.is_file() or path.name not in _TOLD_BY:
        return path.is_file()
    try:
        return _TOLD_BY[path.name] <= read_json(path).values.keys()
    except ConfigurationError:
        return False


def _parse(path: Path, parse: Any) -> Any:
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigurationError(
            "the configuration cannot be read",
            [("configuration", str(path)), ("found", problem)],
            "pass the configuration that the checkpoint was trained with.",
        ) from error


def _list(path: Path, name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | None):
        raise ConfigurationError(
            f"the configuration has no usable {name}",
            [("configuration", str(path)), ("found", clipped(repr(value))), ("needed", "a list")],
            "pass the configuration that the checkpoint was trained with.",
        )
    return value or []


def _object(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(
            "the configuration holds no model",
            [("configuration", str(path)), ("found", type(value).__name__)],
            "pass the configuration that the checkpoint was trained with.",
        )
    return value

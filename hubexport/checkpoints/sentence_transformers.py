"""The pooling that a sentence-transformers directory declares.

`modules.json` lists the pipeline: Transformer, Pooling (with its own config.json), and optionally
Normalize. Format: sentence_transformers/models of github.com/huggingface/sentence-transformers.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from hubexport.checkpoints.untrusted import reading
from hubexport.errors import ConfigurationError

MODULES = "modules.json"
CHOOSE_YOURSELF = "pass --pooler to `hubexport encoder` to choose the pooled output yourself."
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Configuration key -> mode, in the order in which several are concatenated."""


@dataclasses.dataclass(frozen=True)
class SentenceEmbedding:
    """How a sentence's vector comes from its tokens'.

    Attributes:
      modes: pooling modes, whose results are concatenated.
      normalize: whether the result is scaled to length 1.
      files: what says so.
    """

    modes: tuple[str, ...]
    normalize: bool
    files: tuple[Path, ...]


@dataclasses.dataclass(frozen=True)
class PoolingModule:
    """A Pooling module's configuration.

    Attributes:
      modes: pooling modes, whose results are concatenated.
      include_prompt: whether the tokens of a prompt are pooled, too.
      file: what says so.
    """

    modes: tuple[str, ...]
    include_prompt: bool
    file: Path


def transformer_directory(directory: Path) -> Path:
    """Where a sentence-transformers directory keeps its encoder: itself, or a subdirectory.

    Any other directory is given back as it is, whatever its modules.json may be.

    Raises:
      ConfigurationError: a modules.json that points elsewhere.
    """
    try:
        modules = modules_of(directory)
    except ConfigurationError:
        return directory
    if not modules or kind_of(modules[0]) != "Transformer":
        return directory
    return below(directory, modules[0].get("path", ""))


def read_pipeline(directory: Path) -> SentenceEmbedding | None:
    """The sentence embedding that is declared for an encoder in a directory, or None.

    Args:
      directory: a sentence-transformers directory, or its subdirectory with the encoder.

    Raises:
      ConfigurationError: a pipeline with steps that are not reproduced, or unreadable files.
    """
    above = directory.absolute().parent
    encoder = transformer_directory(above)
    if encoder != above and encoder.is_dir() and encoder.samefile(directory):
        directory = above
    modules = modules_of(directory)
    if modules is None:
        return None
    kinds = [kind_of(module) for module in modules]
    if kinds == ["Transformer"]:  # a classifier of texts, say: nothing is pooled
        return None
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ConfigurationError(
            "the sentence-transformers pipeline has steps that are not reproduced",
            [
                ("file", str(directory / MODULES)),
                ("found", " -> ".join(kinds) or "no steps"),
                ("supported", "Transformer -> Pooling [-> Normalize]"),
            ],
            CHOOSE_YOURSELF,
        )
    pooling = read_pooling(directory, modules[1])
    return SentenceEmbedding(
        pooling.modes, "Normalize" in kinds, (directory / MODULES, pooling.file)
    )


def read_pooling(directory: Path, module: dict[str, Any]) -> PoolingModule:
    """The configuration of a Pooling module.

    Args:
      directory: of sentence-transformers.
      module: its entry in modules.json.

    Raises:
      ConfigurationError: a mode that is not known, or an unreadable file.
    """
    file = below(directory, module.get("path", "1_Pooling")) / "config.json"
    values = read_json(file)
    pooling = values if isinstance(values, dict) else {}
    modes = _modes(pooling)
    if not modes or not set(modes) <= set(_FLAGS.values()):
        raise ConfigurationError(
            "the pooling configuration names no known pooling mode",
            [
                ("file", str(file)),
                ("found", ", ".join(modes) or "none"),
                ("supported", ", ".join(_FLAGS.values())),
            ],
            CHOOSE_YOURSELF,
        )
    return PoolingModule(modes, pooling.get("include_prompt") is not False, file)


def modules_of(directory: Path) -> list[dict[str, Any]] | None:
    """The entries of modules.json; None where there is none.

    Raises:
      ConfigurationError: it is not a list of modules, or cannot be read.
    """
    path = directory / MODULES
    with reading(path):
        if not path.is_file():
            return None
    modules = read_json(path)
    if not isinstance(modules, list) or not all(
        isinstance(module, dict) and isinstance(module.get("type"), str) for module in modules
    ):
        raise ConfigurationError(
            f"{MODULES} is not a list of sentence-transformers modules",
            [("file", str(path))],
            CHOOSE_YOURSELF,
        )
    return modules


def kind_of(module: dict[str, Any]) -> str:
    """The class of a module, without its package."""
    # The class, whatever package the version at hand keeps it in; BERT is what it once was called.
    kind = module["type"].rsplit(".", 1)[-1]
    return "Transformer" if kind == "BERT" else kind


def below(directory: Path, path: Any) -> Path:
    """A module's directory; by its name alone, since a download's cache is made of links."""
    if not isinstance(path, str) or Path(path).is_absolute() or ".." in Path(path).parts:
        raise ConfigurationError(
            f"{MODULES} names a directory outside its own",
            [("file", str(directory / MODULES)), ("path", repr(path))],
            "fix the file.",
        )
    return directory / path


def _modes(pooling: dict[str, Any]) -> tuple[str, ...]:
    named = pooling.get("pooling_mode")  # the newer form: one name, or several
    if named is not None:
        return tuple(map(str, named)) if isinstance(named, list) else (str(named),)
    return tuple(mode for flag, mode in _FLAGS.items() if pooling.get(flag) is True)


def read_json(path: Path) -> Any:
    """The content of one of the directory's files.

    Raises:
      ConfigurationError: it cannot be read.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            "the sentence-transformers configuration cannot be read",
            [("file", str(path)), ("found", str(error))],
            "fix the file, or download it again.",
        ) from error

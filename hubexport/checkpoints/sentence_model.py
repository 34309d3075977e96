"""What a sentence-transformers directory declares from a text to its embedding.

Formats: sentence_transformers/{base,sentence_transformer} of github.com/huggingface/
sentence-transformers: `modules.json`, a `config.json` of each module, `sentence_bert_config.json`
beside the encoder, `config_sentence_transformers.json` for prompts and similarity. What is not
followed exactly is an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import open_checkpoint
from hubexport.checkpoints.sentence_transformers import (
    MODULES,
    below,
    kind_of,
    modules_of,
    read_json,
    read_pooling,
    transformer_directory,
)
from hubexport.checkpoints.source import LazyTensor
from hubexport.errors import ConfigurationError, TensorMismatchError, some_of

PROMPTS_FILE = "config_sentence_transformers.json"
_LENGTH_FILES = "sentence_*_config.json"
"""One of a name for each family, of which `sentence_bert_config.json` is the usual one."""
_ACTIVATIONS = {"Tanh": "tanh", "Identity": "linear", "ReLU": "relu", "Sigmoid": "sigmoid"}
"""Class of torch.nn -> what it is called here."""
_SENTENCE = "sentence_embedding"
_INNOCENT: Mapping[str, tuple[Any, ...]] = {
    "transformer_task": (None, "feature-extraction"),
    "module_output_name": (None, "token_embeddings"),
}
_READ = ("max_seq_length", "do_lower_case", "modality_config", "backend")


@dataclasses.dataclass(frozen=True)
class DenseModule:
    """A dense layer behind the pooling.

    Attributes:
      path: of its directory, inside that of the model.
      kernel: [out, in], as torch stores it.
      bias: [out]; None where it has none.
      activation: tanh, linear, relu or sigmoid.
    """

    path: str
    kernel: LazyTensor
    bias: LazyTensor | None
    activation: str

    @property
    def size(self) -> int:
        """Of what it gives."""
        return self.kernel.shape[0]


class NormalizeModule:
    """Scales a vector to length 1."""


@dataclasses.dataclass(frozen=True)
class SentenceModel:
    """From a text to its embedding, as declared.

    Attributes:
      modes: pooling modes, whose results are concatenated.
      include_prompt: whether the tokens of a prompt are pooled, too.
      steps: what is done to the pooled vector, in order.
      prompts: name -> what is put in front of a text.
      default_prompt: the name of the one that is used where none is asked for.
      max_seq_length: tokens of the longest text, special ones included; None where not declared.
      do_lower_case: whether text is lower-cased, whatever the tokenizer does.
      similarity: the function that embeddings are compared with.
      files: what says so, weights included.
    """

    modes: tuple[str, ...]
    include_prompt: bool
    steps: tuple[DenseModule | NormalizeModule, ...]
    prompts: Mapping[str, str]
    default_prompt: str | None
    max_seq_length: int | None
    do_lower_case: bool
    similarity: str
    files: tuple[Path, ...]

    @property
    def layers(self) -> tuple[DenseModule, ...]:
        """The dense layers among its steps."""
        return tuple(step for step in self.steps if isinstance(step, DenseModule))


def read_sentence_model(directory: Path) -> SentenceModel | None:
    """What a directory declares; None where it declares no embedding of sentences.

    Raises:
      ConfigurationError: steps or settings that are not reproduced, or unreadable files.
      CheckpointError: a dense layer's weights that cannot be read, or do not fit.
    """
    modules = modules_of(directory)
    kinds = [kind_of(module) for module in modules or ()]
    if not modules or "Pooling" not in kinds:
        return None
    follow = ("Dense", "Normalize")
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= set(follow):
        raise ConfigurationError(
            "the sentence-transformers pipeline has steps that are not reproduced",
            [
                ("file", str(directory / MODULES)),
                ("found", " -> ".join(kinds)),
                ("supported", f"Transformer -> Pooling, then any of {', '.join(follow)}"),
            ],
            "export encoder and preprocessor by themselves, and do the other steps outside.",
        )
    pooling = read_pooling(directory, modules[1])
    files = [directory / MODULES, pooling.file]
    steps: list[DenseModule | NormalizeModule] = []
    for kind, module in zip(kinds[2:], modules[2:], strict=True):
        file = below(directory, module.get("path", "")) / "config.json"
        if kind == "Dense" or file.is_file():  # Normalize has had none for long
            _check_dense_or_normalize(file, values := _object(file))
            files.append(file)
        if kind == "Normalize":
            steps.append(NormalizeModule())
            continue
        dense, of_dense = _dense(file, values)
        steps.append(dense)
        files += of_dense
    prompts, default, similarity, file_of_prompts = _prompts(directory / PROMPTS_FILE)
    length, lower_case, file_of_length = _length(transformer_directory(directory))
    files += [file for file in (file_of_prompts, file_of_length) if file]
    return SentenceModel(
        pooling.modes, pooling.include_prompt, tuple(steps), prompts, default, length, lower_case,
        similarity, tuple(files),
    )  # fmt: skip


def _check_dense_or_normalize(file: Path, values: Mapping[str, Any]) -> None:
    """Fails where a module works on something else than the sentence's vector, or adds to it."""
    other = [
        f"{key}: {values[key]!r}"
        for key in ("module_input_name", "module_output_name")
        if values.get(key) not in (None, _SENTENCE)
    ]
    other += ["use_residual: true"] if values.get("use_residual") else []
    if other:
        raise _not_reproduced(file, other)


def _dense(file: Path, values: Mapping[str, Any]) -> tuple[DenseModule, tuple[Path, ...]]:
    # Without an entry, sentence-transformers takes its own default, Tanh.
    said = str(values.get("activation_function", "torch.nn.modules.activation.Tanh"))
    name = said.rsplit(".", 1)[-1]
    if not said.startswith("torch.nn.") or name not in _ACTIVATIONS:
        raise _not_reproduced(file, [f"activation_function: {said!r}"], ", ".join(_ACTIVATIONS))
    sizes = (values.get("in_features"), values.get("out_features"))
    source = open_checkpoint(file.parent)
    wanted: dict[str, tuple[Any, ...]] = {"linear.weight": sizes[::-1]}
    if values.get("bias", True):
        wanted["linear.bias"] = sizes[1:]
    found = {name: tensor.shape for name, tensor in source.tensors.items()}
    dtypes = {tensor.dtype for tensor in source.tensors.values()}
    if found != wanted or not dtypes <= {"float32", "float16", "bfloat16"}:
        raise TensorMismatchError(
            "the weights of a dense layer are not those of its configuration",
            [
                ("configuration", str(file)),
                ("needed", some_of(f"{name} {list(shape)}" for name, shape in wanted.items())),
                ("found", some_of(map(str, source.tensors.values()))),
            ],
            "pass the directory as sentence-transformers saved it.",
        )
    tensors = source.tensors
    dense = DenseModule(
        file.parent.name, tensors["linear.weight"], tensors.get("linear.bias"), _ACTIVATIONS[name]
    )
    return dense, source.files


def _prompts(file: Path) -> tuple[dict[str, str], str | None, str, Path | None]:
    """Prompts, the default one's name, the similarity; the file, if it is there."""
    if not file.is_file():
        return {}, None, "cosine", None
    values = _object(file)
    said = values.get("prompts")
    prompts = said if isinstance(said, dict) else {}
    default = values.get("default_prompt_name")
    strange = [name for name, text in prompts.items() if not isinstance(text, str | None)]
    if strange or (default is not None and default not in prompts):
        facts = [("prompts", some_of(prompts) or "none"), ("not texts", some_of(strange))]
        facts = facts[: 2 if strange else 1]
        raise ConfigurationError(
            "the prompts cannot be used",
            [("file", str(file)), *facts, ("default_prompt_name", repr(default))],
            "fix the file: each prompt is a text, and the default one of them.",
        )
    texts = {name: text or "" for name, text in prompts.items()}
    return texts, default, values.get("similarity_fn_name") or "cosine", file


def _length(directory: Path) -> tuple[int | None, bool, Path | None]:
    """The longest text, whether text is lower-cased; the file, if it is there."""
    # That of BERT first, in whose name newer releases write it for all families.
    present = sorted(
        directory.glob(_LENGTH_FILES), key=lambda file: ("_bert_" not in file.name, file)
    )
    if not present:
        return None, False, None
    file = present[0]
    values = _object(file)
    other = [
        f"{key}: {value!r}"
        for key, value in values.items()
        if key not in _READ and value and value not in _INNOCENT.get(key, ())
    ]
    if other:
        raise _not_reproduced(file, other)
    length = values.get("max_seq_length")
    if length is not None and (not isinstance(length, int) or length < 1):
        raise _not_reproduced(file, [f"max_seq_length: {length!r}"])
    return length, bool(values.get("do_lower_case")), file


def _object(file: Path) -> dict[str, Any]:
    values = read_json(file)
    if not isinstance(values, dict):
        raise _not_reproduced(file, ["something else than an object"])
    return values


def _not_reproduced(file: Path, found: list[str], supported: str = "") -> ConfigurationError:
    facts = [("file", str(file)), ("found", some_of(found))]
    facts += [("supported", supported)] if supported else []
    return ConfigurationError(
        "the sentence-transformers configuration says something that is not reproduced",
        facts,
        "export encoder and preprocessor by themselves, and do the rest outside.",
    )

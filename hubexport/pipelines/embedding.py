"""Texts to vectors, as sentence-transformers' `encode` gives them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np

from hubexport.checkpoints.sentence_model import DenseModule, SentenceModel
from hubexport.errors import ConfigurationError, UsageError
from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, Task, TaskOptions
from hubexport.poolers import SENTENCE_EMBEDDING

if TYPE_CHECKING:
    import tensorflow as tf

    from hubexport.pipelines.graph.function import Built, Function, Parts

_ITSELF = "embed"
"""The signature with the default prompt, if there is one."""
_OUTPUT = "embedding"


Array: TypeAlias = np.ndarray[Any, Any]


def _cosines(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths == 0, 1, lengths)
    cosines: Array = units @ units.T
    return cosines


def _negative_distances(vectors: Array, order: int) -> Array:
    distances: Array = np.linalg.norm(vectors[:, None] - vectors[None], ord=order, axis=-1)
    return -distances


SIMILARITIES: Mapping[str, Callable[[Array], Array]] = {
    "cosine": _cosines,
    "dot": lambda vectors: vectors @ vectors.T,
    "euclidean": functools.partial(_negative_distances, order=2),
    "manhattan": functools.partial(_negative_distances, order=1),
}
"""As sentence-transformers calls them -> vectors [B, D] to how similar each is to each [B, B]."""


@register
class Embedding(Task):
    """The vector of a whole text; see `Task`.

    With what a sentence-transformers directory declares: its poolings, dense layers, normalization
    and prompts. Without, the encoder's `default`.
    """

    name: ClassVar[str] = "embedding"
    purpose: ClassVar[str] = "a vector for each text"
    tfhub_tasks: ClassVar[tuple[str, ...]] = ("text-embedding",)
    pipeline_tags: ClassVar[tuple[str, ...]] = ("sentence-similarity", "feature-extraction")
    example_size: ClassVar[int | None] = 4
    takes: ClassVar[tuple[str, ...]] = ("truncate_dim",)
    pools: ClassVar[bool] = True

    @classmethod
    def lacking(cls, found: Found) -> str:
        if found.encoder["pooler"]["pooled_output"] == "untrained" and not cls.is_declared(found):
            return "a pooler that was trained"
        return ""

    @classmethod
    def is_declared(cls, found: Found) -> bool:
        return found.sentence is not None or (
            found.encoder["pooler"]["default"] == SENTENCE_EMBEDDING
        )

    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        self.sentence = found.sentence
        self.prompts = dict(found.sentence.prompts) if found.sentence else {}
        if taken := [name for name in (_ITSELF, "serving_default") if name in self.prompts]:
            raise ConfigurationError(
                "a prompt has the name of another signature",
                [found.origin, ("prompt", taken[0])],
                "rename it in config_sentence_transformers.json.",
            )
        self.similarity = found.sentence.similarity if found.sentence else "cosine"
        if self.similarity not in SIMILARITIES:
            raise ConfigurationError(
                "it is not known how embeddings are compared",
                [
                    found.origin,
                    ("similarity_fn_name", self.similarity),
                    ("known", ", ".join(SIMILARITIES)),
                ],
                "correct it in config_sentence_transformers.json.",
            )
        self.modes, self.normalize = _pooling(found)
        self.size = self._size(found)
        self.dimension = options.truncate_dim or self.size
        if not 1 <= self.dimension <= self.size:
            raise UsageError(
                "an embedding cannot be cut to this size",
                [("--truncate_dim", f"{options.truncate_dim}"), ("embedding", f"{self.size}")],
                "pass a number of dimensions that the model was trained to be cut to.",
            )

    def _size(self, found: Found) -> int:
        """Of the whole vector."""
        layers = found.sentence.layers if found.sentence else ()
        hidden: int = found.encoder["architecture"]["hidden_size"]
        size = hidden * (len(self.modes) or 1)
        for layer in layers:
            if layer.kernel.shape[1] != size:
                raise ConfigurationError(
                    "a dense layer of the pipeline does not fit what is before it",
                    [
                        found.origin,
                        ("layer", f"{layer.path}, of {layer.kernel.shape[1]} numbers"),
                        ("before it", f"{size} numbers"),
                    ],
                    "pass the directory as sentence-transformers saved it.",
                )
            size = layer.size
        return size

    def record(self) -> dict[str, Any]:
        sentence = self.sentence
        return {
            "dimension": self.dimension,
            "full_dimension": self.size,
            "modes": list(self.modes),
            "layers": [
                {"path": each.path, "size": each.size, "activation": each.activation}
                for each in (sentence.layers if sentence else ())
            ],
            "normalize": self.normalize,
            "similarity": self.similarity,
            "prompts": self.prompts,
            "default_prompt": sentence.default_prompt if sentence else None,
            "include_prompt": sentence.include_prompt if sentence else True,
        }

    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        return {"text": ("How old are you?", "What is your age?", "The bakery opens at seven.")}

    def compared(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"similarity": SIMILARITIES[self.similarity](outputs[_OUTPUT])}

    def build(self, parts: Parts) -> Built:
        from hubexport.pipelines.graph.function import Built

        variables: list[tf.Variable] = []
        steps = _steps(self.sentence, variables)
        default = self.sentence.default_prompt if self.sentence else None
        prompts = {_ITSELF: self.prompts[default] if default else "", **self.prompts}
        left_out = {prompt: self._left_out(parts, prompt) for prompt in prompts.values()}
        by_count = {n: self._function(parts, steps, n) for n in sorted(set(left_out.values()))}
        functions = {
            name: dataclasses.replace(by_count[left_out[prompt]], prompt=prompt)
            for name, prompt in prompts.items()
        }
        return Built(functions, [*parts.encoder.variables, *variables])

    def _left_out(self, parts: Parts, prompt: str) -> int:
        """How many tokens of a prompt are not pooled."""
        if self.sentence is None or self.sentence.include_prompt or not prompt:
            return 0
        return parts.length_of_prompt(prompt)

    def _function(
        self, parts: Parts, steps: Sequence[Callable[[Any], Any]], left_out: int
    ) -> Function:
        """What gives the vectors of texts, but for so many tokens at their beginning."""
        import tensorflow as tf

        from hubexport.pipelines.graph.embedding import pooled
        from hubexport.pipelines.graph.function import TEXT, Batch, Function, Tensors

        sentence, dimension = self.sentence, self.dimension

        def answer(batch: Batch) -> Tensors:
            outputs = parts.encode(batch)
            vector = outputs["default"]
            if sentence is not None:
                sequence, mask = outputs["sequence_output"], batch.inputs["input_mask"]
                vector = pooled(sequence, mask, sentence.modes, left_out)
            for step in steps:
                vector = step(vector)
            return {_OUTPUT: vector[:, :dimension]}

        outputs = {_OUTPUT: tf.TensorSpec([dimension], tf.float32)}
        return Function((TEXT,), outputs, answer)


def _pooling(found: Found) -> tuple[tuple[str, ...], bool]:
    """Modes and whether vectors are normalized in the end, as far as it is known."""
    if found.sentence is not None:
        steps = found.sentence.steps
        return found.sentence.modes, bool(steps) and not isinstance(steps[-1], DenseModule)
    declared = found.encoder["pooler"]["sentence_embedding"]
    if declared:
        return tuple(declared["modes"]), declared["normalize"]
    return (), False


def _steps(
    sentence: SentenceModel | None, variables: list[tf.Variable]
) -> list[Callable[[Any], Any]]:
    """What is done to a pooled vector; the variables of it are added to the list."""
    import tensorflow as tf

    from hubexport.networks.pooling import normalized
    from hubexport.pipelines.graph.embedding import Dense

    steps: list[Callable[[Any], Any]] = []
    for module in sentence.steps if sentence else ():
        if not isinstance(module, DenseModule):
            steps.append(normalized)
            continue
        kernel = np.asarray(module.kernel.read(), np.float32).T
        made = [tf.Variable(kernel, name=f"{module.path}/kernel")]
        if module.bias is not None:
            bias = np.asarray(module.bias.read(), np.float32)
            made.append(tf.Variable(bias, name=f"{module.path}/bias"))
        steps.append(Dense(made[0], made[1] if module.bias is not None else None,
                           module.activation))  # fmt: skip
        variables += made
    return steps

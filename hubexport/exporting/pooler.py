"""Where `pooled_output` comes from, and `default` with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hubexport.checkpoints.sentence_transformers import SentenceEmbedding
from hubexport.checkpoints.source import ComputedTensor, LazyTensor, TensorSource
from hubexport.errors import CheckpointError
from hubexport.families.bert import Bert
from hubexport.families.tensor_map import Weight

if TYPE_CHECKING:
    from hubexport.networks.pooling import Pooling
    from hubexport.networks.variables import Variables

POOLERS = {
    "checkpoint": "the encoder's own pooler: tanh of a dense layer on the first token",
    "next_sentence": "the pooler of Model Garden's next-sentence head",
    "identity": "a trainable pooler that starts as tanh of the first token's vector",
    "mean": "the mean of the tokens' vectors",
    "cls": "the first token's vector",
    "untrained": "a pooler with random weights, for fine-tuning only",
}
SENTENCE_EMBEDDING = "sentence_embedding"
SCOPE = "pooler/dense"
_TRUNCATED_NORMAL_STDDEV = 0.02  # BERT's initializer_range


@dataclasses.dataclass(frozen=True)
class PoolerChoice:
    """How `pooled_output` is made.

    Attributes:
      kind: a key of `POOLERS`, or `sentence_embedding` where a sentence-transformers model has no
        other pooler.
      default: the sentence embedding behind `default`, or None where it is `pooled_output`.
      weights: of its dense layer, from the checkpoint.
      generated: of its dense layer, from no checkpoint.
      warnings: what the user should know of it.
    """

    kind: str
    default: SentenceEmbedding | None = None
    weights: tuple[Weight, ...] = ()
    generated: Mapping[str, LazyTensor] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def tensors(self) -> set[str]:
        """The checkpoint's names of its weights."""
        return {weight.tensor for weight in self.weights}

    def pooled_output(self, variables: Variables, hidden_size: int) -> Pooling:
        """The pooling of the network."""
        from hubexport.networks import pooling

        if self.kind == SENTENCE_EMBEDDING:
            return self.sentence_embedding()
        if self.kind in pooling.POOLINGS:
            return pooling.POOLINGS[self.kind]
        return pooling.FirstTokenDense(variables, SCOPE, hidden_size)

    def sentence_embedding(self) -> Pooling:
        """The pooling behind `default`."""
        from hubexport.networks import pooling

        assert self.default is not None
        return pooling.sentence_embedding(self.default.modes, self.default.normalize)

    def record(self) -> dict[str, object]:
        """What the record says of it."""
        return {
            "pooled_output": self.kind,
            "default": SENTENCE_EMBEDDING if self.default else "pooled_output",
            "sentence_embedding": {
                "modes": list(self.default.modes),
                "normalize": self.default.normalize,
            }
            if self.default
            else None,
            "trained": self.kind not in ("untrained", "identity"),
        }


def choose_pooler(
    requested: str | None,
    family: Bert,
    source: TensorSource,
    sentence: SentenceEmbedding | None,
) -> PoolerChoice:
    """The pooler that was asked for, or what the checkpoint says.

    Args:
      requested: a key of `POOLERS`, or None.
      sentence: what a sentence-transformers directory declares.

    Raises:
      CheckpointError: the checkpoint does not hold the pooler.
    """
    own = family.names.weights([family.pooler(SCOPE)])
    next_sentence = family.names.weights([family.next_sentence_pooler(SCOPE)])
    has_own, has_next_sentence = _has(source, own), _has(source, next_sentence)
    if requested is None:
        if sentence and not has_own:
            return PoolerChoice(SENTENCE_EMBEDDING, sentence)
        requested, default = "checkpoint", sentence
    else:
        default = None
    if requested == "checkpoint":
        if not has_own:
            raise _no_pooler(source, own, has_next_sentence)
        return PoolerChoice(
            requested, default, tuple(own), warnings=_doubts(source, own, next_sentence)
        )
    if requested == "next_sentence":
        if not has_next_sentence:
            raise _no_pooler(source, next_sentence, False)
        return PoolerChoice(requested, default, tuple(next_sentence))
    if requested in ("identity", "untrained"):
        generated = _generated(requested, family.config.hidden_size)
        warning = f"pooled_output is {requested}: fine-tune it before use"
        return PoolerChoice(requested, default, generated=generated, warnings=(warning,))
    return PoolerChoice(requested, default)


def _has(source: TensorSource, weights: list[Weight]) -> bool:
    return any(source.find(weight.tensor) is not None for weight in weights)


def _no_pooler(
    source: TensorSource, weights: list[Weight], has_next_sentence: bool
) -> CheckpointError:
    choices = {name: text for name, text in POOLERS.items() if name != "checkpoint"}
    if not has_next_sentence:
        choices.pop("next_sentence")
    return CheckpointError(
        "the checkpoint has no pooler",
        [
            ("checkpoint", str(source.path)),
            ("looked for", ", ".join(weight.tensor for weight in weights)),
            *((f"--pooler {name}", text) for name, text in choices.items()),
        ],
        "choose what pooled_output is to be with --pooler.",
    )


def _doubts(
    source: TensorSource, own: list[Weight], next_sentence: list[Weight]
) -> tuple[str, ...]:
    """Signs that the encoder's pooler was never trained."""
    separate = {weight.tensor for weight in next_sentence} != {weight.tensor for weight in own}
    if separate and _has(source, next_sentence):
        return (
            "pre-training trained the next-sentence head's pooler, not the encoder's own, which "
            "is what was exported; --pooler next_sentence takes the trained one",
        )
    bias = source.find(own[1].tensor)
    if bias is not None and bias.size <= 1 << 20 and not bias.read().any():
        return ("the pooler's bias is all zeros: it was probably never trained",)
    return ()


def _generated(kind: str, hidden_size: int) -> dict[str, LazyTensor]:
    shape = (hidden_size, hidden_size)
    if kind == "identity":
        name, compute = "identity matrix", lambda: np.eye(hidden_size, dtype=np.float32)
    else:
        name = f"truncated normal, stddev {_TRUNCATED_NORMAL_STDDEV}, seed 0"
        compute = lambda: _truncated_normal(shape)  # noqa: E731
    return {
        f"{SCOPE}/kernel": ComputedTensor(name, shape, "float32", compute),
        f"{SCOPE}/bias": ComputedTensor(
            "zeros", (hidden_size,), "float32", lambda: np.zeros(hidden_size, np.float32)
        ),
    }


def _truncated_normal(shape: tuple[int, int]) -> np.ndarray:
    """BERT's initializer: normal, redrawn beyond two standard deviations; always the same."""
    generator = np.random.default_rng(0)
    values = generator.standard_normal(shape)
    while (beyond := np.abs(values) > 2).any():
        values[beyond] = generator.standard_normal(int(beyond.sum()))
    return (values * _TRUNCATED_NORMAL_STDDEV).astype(np.float32)

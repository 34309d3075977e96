"""Where `pooled_output` comes from, and `default` with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from hubexport.checkpoints.sentence_transformers import SentenceEmbedding
from hubexport.checkpoints.source import ComputedTensor, LazyTensor, TensorSource
from hubexport.errors import CheckpointError, HubexportError, MissingPoolerError, some_of
from hubexport.families.dimensions import dimensions
from hubexport.families.family import Family
from hubexport.families.tensor_map import Weight
from hubexport.poolers import FLAG_VALUES, POOLERS, SENTENCE_EMBEDDING

if TYPE_CHECKING:
    from hubexport.networks.config import EncoderConfig
    from hubexport.networks.pooling import Pooling
    from hubexport.networks.variables import Variables

SCOPE = "pooler/dense"
_TRUNCATED_NORMAL_STDDEV = 0.02  # BERT's initializer_range


@dataclasses.dataclass(frozen=True)
class PoolerChoice:
    """How `pooled_output` is made.

    Attributes:
      kind: a key of `POOLERS`.
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
        return _tensors(self.weights)

    def pooled_output(self, config: EncoderConfig, variables: Variables) -> Pooling:
        """The pooling of the network."""
        from hubexport.networks import pooling

        if self.kind == SENTENCE_EMBEDDING:
            return self.sentence_embedding()
        if self.kind in pooling.POOLINGS:
            return pooling.POOLINGS[self.kind]
        return pooling.TokenDense(config, variables, SCOPE)

    def sentence_embedding(self) -> Pooling:
        """The pooling behind `default`."""
        from hubexport.networks import pooling

        assert self.default is not None
        return pooling.sentence_embedding(self.default.modes, self.default.normalize)

    @property
    def trained(self) -> bool | None:
        """Whether its dense layer was trained; None where it has none, or there are doubts."""
        if self.generated:
            return False
        return True if self.weights and not self.warnings else None

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
            "trained": self.trained,
            # Of a layer that is not the checkpoint's it is known that it was not trained.
            "doubts": [] if self.generated else list(self.warnings),
        }


def choose_pooler(
    requested: str | None,
    family: Family,
    source: TensorSource,
    sentence: SentenceEmbedding | None,
) -> PoolerChoice:
    """The pooler that was asked for, or what the checkpoint says.

    Args:
      requested: one of `FLAG_VALUES`, or None.
      sentence: what a sentence-transformers directory declares.

    Raises:
      CheckpointError: the checkpoint does not hold the pooler.
    """
    known = {
        name: family.names.weights([part])
        for name, part in family.poolers(SCOPE).items()
        if family.names.knows(part)
    }
    if _tensors(known.get("next_sentence", ())) == _tensors(known.get("checkpoint", ())):
        known.pop("next_sentence", None)  # the head has no pooler but the encoder's
    held = {
        name: weights
        for name, weights in known.items()
        if any(source.find(weight.tensor) is not None for weight in weights)
    }
    default: SentenceEmbedding | None = None
    warnings: tuple[str, ...] = ()
    if requested is None:
        by_default = family.default_pooler
        if sentence and by_default not in held:
            return PoolerChoice(SENTENCE_EMBEDDING, sentence)
        requested, default = by_default, sentence
        if held.keys() - {by_default} and POOLERS[by_default].dense != "checkpoint":
            warnings = (
                f"the checkpoint holds a pooler, which {family.title}'s pre-training does not "
                f"train; pooled_output is {POOLERS[by_default].help}; --pooler checkpoint takes "
                "the pooler",
            )
    if POOLERS[requested].dense == "checkpoint":
        if requested not in held:
            raise _no_pooler(requested, source, known.get(requested, []), held)
        doubts = _doubts(family, source, requested, held)
        return PoolerChoice(requested, default, tuple(held[requested]), warnings=doubts)
    if POOLERS[requested].dense == "generated":
        generated = _generated(requested, family.config.hidden_size)
        warning = f"pooled_output is {requested}: fine-tune it before use"
        return PoolerChoice(requested, default, generated=generated, warnings=(warning,))
    return PoolerChoice(requested, default, warnings=warnings)


def _tensors(weights: Iterable[Weight]) -> set[str]:
    return {weight.tensor for weight in weights}


def _no_pooler(
    requested: str, source: TensorSource, weights: list[Weight], held: Collection[str]
) -> HubexportError:
    if dimensions(source) is None:  # no pooler is the least of it
        return CheckpointError(
            "the checkpoint holds no encoder that is known",
            [
                ("checkpoint", str(source.path)),
                ("found", some_of(map(str, source.tensors.values()))),
            ],
            "pass an encoder's checkpoint; `hubexport inspect` shows what this one is.",
        )
    of = " of a next-sentence head" if requested == "next_sentence" else ""
    names = ", ".join(sorted(_tensors(weights)))  # in one order: errors are compared, too
    no_names = (
        "a pooler of its own, as Model Garden's heads have" if of else "none: it has no pooler"
    )
    looked_for = names or no_names
    choices = [
        (f"--pooler {name}", POOLERS[name].help)
        for name in FLAG_VALUES
        if name in held or POOLERS[name].dense != "checkpoint"
    ]
    return MissingPoolerError(
        f"the checkpoint has no pooler{of}",
        [("checkpoint", str(source.path)), ("looked for", looked_for), *choices],
        "choose what pooled_output is to be with --pooler.",
    )


def _doubts(
    family: Family, source: TensorSource, chosen: str, held: Mapping[str, list[Weight]]
) -> tuple[str, ...]:
    """Signs that the pooler was never trained."""
    if not family.pooler_is_pretrained:
        return (
            f"{family.title}'s pre-training does not train the pooler; unless the model was "
            "fine-tuned with it, pooled_output says nothing",
        )
    if chosen == "checkpoint" and "next_sentence" in held:
        return (
            "pre-training trained the next-sentence head's pooler, not the encoder's own, which "
            "is what was exported; --pooler next_sentence takes the trained one",
        )
    bias = source.find(held[chosen][1].tensor)
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

"""What `pooled_output` can be: one table, which flags, documents, pages and references read.

How a checkpoint's weights get behind it is in `hubexport.exporting.pooler`, its graph in
`hubexport.networks.pooling`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

OfSequence = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(sequence_output float32 [B, S, H], input_mask int32 [B, S]) -> float32 [B, H]."""


@dataclasses.dataclass(frozen=True)
class Pooler:
    """One way to make `pooled_output`.

    Attributes:
      help: what it is, after its name: in `--help`, README.md and docs/commands.md.
      sentence: what it is, on pages of models.
      dense: where the weights of its dense layer come from; "" where it has none.
      is_flag: whether `--pooler` takes its name.
      recorded: the output of a reference that holds it; "" where none does.
      of_sequence: what a reference must be where `sequence_output` alone decides it.
    """

    help: str
    sentence: str
    dense: Literal["checkpoint", "generated", ""] = ""
    is_flag: bool = True
    recorded: str = ""
    of_sequence: OfSequence | None = None


def _mean(sequence: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = mask[:, :, np.newaxis].astype(np.float64)
    total: np.ndarray = (sequence * weights).sum(axis=1)
    mean: np.ndarray = total / np.maximum(weights.sum(axis=1), 1)
    return mean.astype(np.float32)


def _last(sequence: np.ndarray, mask: np.ndarray) -> np.ndarray:
    last = (np.arange(mask.shape[1]) * mask).argmax(axis=1)
    of_last: np.ndarray = sequence[np.arange(len(mask)), last]
    return of_last


MODES: Mapping[str, str] = {
    "cls": "the first token's vector",
    "max": "the maximum of the tokens' vectors in each dimension",
    "mean": "the mean of the tokens' vectors",
    "mean_sqrt_len_tokens": "the sum of the tokens' vectors divided by the square root of their "
    "number",
    "weightedmean": "the mean of the tokens' vectors weighted by their positions",
    "lasttoken": "the last token's vector",
}
"""Pooling of sentence-transformers -> what it gives."""

_DENSE = "tanh of a dense layer on the first token's vector"

POOLERS: Mapping[str, Pooler] = {
    "checkpoint": Pooler(
        help=f"the encoder's own pooler: {_DENSE}",
        sentence=f"`pooled_output` is the encoder's own pooler: {_DENSE}.",
        dense="checkpoint",
        recorded="pooled_output",
    ),
    "next_sentence": Pooler(
        help="the pooler of Model Garden's next-sentence head, the one that pre-training trained",
        sentence="`pooled_output` is the pooler of the checkpoint's next-sentence head, in place "
        f"of the encoder's own: {_DENSE}.",
        dense="checkpoint",
        recorded="next_sentence_pooled_output",
    ),
    "identity": Pooler(
        help="tanh of a trainable dense layer on the first token's vector, at first the identity",
        sentence=f"`pooled_output` is {_DENSE}. The layer does not come from the checkpoint: it "
        "starts as the identity matrix, so that `pooled_output` is tanh of that vector until the "
        "layer is fine-tuned.",
        dense="generated",
        of_sequence=lambda sequence, mask: np.tanh(sequence[:, 0]),
    ),
    "mean": Pooler(
        help=MODES["mean"],
        sentence=f"`pooled_output` is {MODES['mean']} in `sequence_output`, at all positions where "
        "`input_mask` is 1.",
        of_sequence=_mean,
    ),
    "cls": Pooler(
        help=MODES["cls"],
        sentence=f"`pooled_output` is {MODES['cls']} in `sequence_output`.",
        of_sequence=lambda sequence, mask: sequence[:, 0],
    ),
    "lasttoken": Pooler(
        help=MODES["lasttoken"],
        sentence=f"`pooled_output` is {MODES['lasttoken']} in `sequence_output`, at the last "
        "position where `input_mask` is 1.",
        of_sequence=_last,
    ),
    "untrained": Pooler(
        help="tanh of a dense layer with random weights on the first token's vector, for "
        "fine-tuning only",
        sentence=f"`pooled_output` is {_DENSE}. The layer does not come from the checkpoint: it "
        "starts with random weights, so that `pooled_output` says nothing until the layer is "
        "fine-tuned.",
        dense="generated",
    ),
    "sentence_embedding": Pooler(
        help="what a sentence-transformers directory declares, if nothing is passed and there is "
        "no other",
        sentence="`pooled_output` is the sentence embedding that the checkpoint's files declare.",
        is_flag=False,
        recorded="sentence_embedding",
    ),
}
"""Name in the record -> what it is. Of `untrained` no reference can tell anything."""

SENTENCE_EMBEDDING = "sentence_embedding"
FLAG_VALUES = tuple(name for name, pooler in POOLERS.items() if pooler.is_flag)
"""What `--pooler` takes."""

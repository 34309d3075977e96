"""Where the parts of a model are in a TensorFlow checkpoint."""

from __future__ import annotations

import dataclasses
import re

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import CheckpointError, some_of
from hubexport.validation.references.garden_network import NEXT_SENTENCE

_ENCODERS = (
    "pretrainer/encoder_network",
    "model/encoder_network",
    "encoder_network",
    "encoder",
    "model/encoder",
    "model",
    "",
)
_MASKED_LM = ("pretrainer/masked_lm", "model/masked_lm", "masked_lm")
HEAD_POOLER = f"{NEXT_SENTENCE}.pooler_dense"
_HEAD = re.compile(r"((?:.*/)?classification_heads/\d+)/(dense|out_proj)/kernel")
_MARKS = {"functional": "layer_with_weights-0/embeddings", "v2": "_embedding_layer/embeddings"}


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the parts of a model are in a checkpoint's graph of objects.

    Attributes:
      kind: of encoder: "functional", "v2" or "scaffold".
      encoder, masked_lm: paths; None where it is not there.
      head: path of the next-sentence head, or None.
      head_pooler: path of its pooler, or None.
      head_width: of that pooler; None where there is no such head.
    """

    kind: str
    encoder: str
    masked_lm: str | None = None
    head: str | None = None
    head_pooler: str | None = None
    head_width: int | None = None


def find_layout(source: TensorSource) -> Layout:
    """How a checkpoint was made, told by its keys.

    Raises:
      CheckpointError: no encoder where Model Garden's programs put it.
    """
    if source.layout == "tf1":
        return Layout("functional", "")
    found = (
        (root, kind)
        for root in _ENCODERS
        for kind, mark in _MARKS.items()
        if source.find(f"{root}/{mark}".lstrip("/")) is not None
    )
    encoder, kind = next(found, (None, ""))
    if encoder is None:
        raise CheckpointError(
            "Model Garden's encoder is not where its checkpoints have it",
            [
                ("checkpoint", str(source.path)),
                ("looked for", ", ".join(filter(None, _ENCODERS))),
                ("found", some_of(source.tensors)),
            ],
            "pass a checkpoint of the encoder or of BertPretrainerV2.",
        )
    if any("pre_softmax_weight" in name for name in source.tensors):
        kind = "scaffold"
    masked_lm = next((p for p in _MASKED_LM if source.find(f"{p}/layer_norm/gamma")), None)
    head = next(
        (
            match[1]
            for tensor, variable in source.variable_names().items()
            if (match := _HEAD.fullmatch(tensor)) and f"{NEXT_SENTENCE}/" in f"{variable}"
        ),
        None,
    )
    poolers = [f"{head}/dense"] if head else []
    kernels = {path: source.find(f"{path}/kernel") for path in (*poolers, HEAD_POOLER)}
    pooler, kernel = next(((p, k) for p, k in kernels.items() if k is not None), (None, None))
    return Layout(kind, encoder, masked_lm, head, pooler, kernel.shape[1] if kernel else None)

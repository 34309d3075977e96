"""Where the parts of a model are in a TensorFlow checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from hubexport.checkpoints.source import TensorSource
from hubexport.errors import CheckpointError, some_of

_ENCODERS = (
    "pretrainer/encoder_network",
    "model/encoder_network",
    "encoder_network",
    "encoder",
    "model/encoder",
    "model/layer_with_weights-0",  # of BertClassifier
    "model",
    "",
)
_MASKED_LM = ("pretrainer/masked_lm", "model/masked_lm", "masked_lm")
_OUTPUT_LAYER = "/out_proj/kernel"
_MARKS = {"functional": "layer_with_weights-0/embeddings", "v2": "_embedding_layer/embeddings"}


@dataclasses.dataclass(frozen=True)
class HeadLayout:
    """Where a `ClassificationHead` is; each path is None where that is not in the checkpoint.

    Attributes:
      name: of the head, as Model Garden calls it.
      path: of the head, with its output layer.
      pooler: of its pooler.
      inner_dim: of that pooler; 0 for a head of the encoder's pooled vector.
      num_classes: of the output layer; 1 where it is not there.
    """

    name: str
    path: str | None
    pooler: str | None
    inner_dim: int
    num_classes: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the parts of a model are in a checkpoint's graph of objects.

    Attributes:
      kind: of encoder: "functional", "v2" or "scaffold".
      encoder, masked_lm: paths; None where it is not there.
      heads: that can be computed.
    """

    kind: str
    encoder: str
    masked_lm: str | None = None
    heads: tuple[HeadLayout, ...] = ()


def find_layout(source: TensorSource, heads: Iterable[str]) -> Layout:
    """How a checkpoint was made, told by its keys.

    Args:
      source: the checkpoint.
      heads: Model Garden's names of those that are looked for.

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
    found_heads = (_find_head(source, name) for name in heads)
    return Layout(kind, encoder, masked_lm, tuple(filter(None, found_heads)))


def _find_head(source: TensorSource, name: str) -> HeadLayout | None:
    """None where the checkpoint has nothing of the head, or it is not one of texts."""
    path = next(
        (
            tensor.removesuffix(_OUTPUT_LAYER)
            for tensor, variable in source.variable_names().items()
            if tensor.endswith(_OUTPUT_LAYER)
            and f"/{variable}".partition(":")[0].endswith(f"/{name}/logits/kernel")
        ),
        None,
    )
    # `checkpoint_items` of Model Garden's models have the pooler alone.
    poolers = [f"{name}.pooler_dense", *([f"{path}/dense"] if path else [])]
    kernels = {pooler: source.find(f"{pooler}/kernel") for pooler in reversed(poolers)}
    pooler, kernel = next(((p, k) for p, k in kernels.items() if k is not None), (None, None))
    # In such a list, heads without a pooler are given the vectors of all tokens.
    if kernel is None and (path is None or "classification_heads/" in path):
        return None
    logits = source.find(f"{path}{_OUTPUT_LAYER}")
    return HeadLayout(
        name,
        path,
        pooler,
        kernel.shape[1] if kernel else 0,
        logits.shape[1] if logits else 1,
    )

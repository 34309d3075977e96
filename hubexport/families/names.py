"""How each checkpoint layout spells the weights of a network's parts."""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable

from hubexport.checkpoints.source import TensorSource
from hubexport.families.tensor_map import AS_IS, AsIs, FirstRows, Part, Weight


class Names(abc.ABC):
    """How one checkpoint layout spells the weights of a part."""

    @abc.abstractmethod
    def tensor(self, part: Part, leaf: str) -> str:
        """The checkpoint's name for a leaf of a part."""

    def transform(self, from_tf2: AsIs, from_hugging_face: AsIs) -> AsIs:
        """Which of a leaf's transforms this layout needs."""
        return from_tf2

    def weights(self, parts: Iterable[Part]) -> list[Weight]:
        """The weights of parts, in order."""
        return [
            Weight(
                f"{part.scope}/{leaf}".rstrip("/"),
                shape,
                self.tensor(part, leaf),
                self.transform(from_tf2, from_hugging_face),
            )
            for part in parts
            for leaf, shape, from_tf2, from_hugging_face in part.leaves
        ]


class TF1Names(Names):
    """google-research/bert: our own variable names below `bert/`."""

    def tensor(self, part: Part, leaf: str) -> str:
        return f"{part.tf1 or 'bert/' + part.scope}/{leaf}".rstrip("/")

    def transform(self, from_tf2: AsIs, from_hugging_face: AsIs) -> AsIs:
        # Heads are never apart here: only a cut of rows, which both columns have, remains.
        return from_tf2 if isinstance(from_tf2, FirstRows) else AS_IS


class HuggingFaceNames(Names):
    """PyTorch state dicts of transformers, pytorch_transformers and pytorch_pretrained_bert.

    The prefix `bert.` is there when a model with heads was saved. LayerNorm's weights were called
    gamma and beta by pytorch_pretrained_bert and in checkpoints converted with it.
    """

    def __init__(self, source: TensorSource):
        self.prefix = "bert." if any(name.startswith("bert.") for name in source.tensors) else ""
        self._old_norms = any(name.endswith("LayerNorm.gamma") for name in source.tensors)

    def tensor(self, part: Part, leaf: str) -> str:
        if not self._old_norms:
            leaf = {"gamma": "weight", "beta": "bias"}.get(leaf, leaf)
        leaf = {"kernel": "weight"}.get(leaf, leaf)
        name = f"{part.hugging_face}.{leaf}".rstrip(".")
        return name if name.startswith("cls.") else self.prefix + name

    def transform(self, from_tf2: AsIs, from_hugging_face: AsIs) -> AsIs:
        return from_hugging_face


_ROOTS = (
    "encoder",
    "pretrainer/encoder_network",
    "model/encoder_network",
    "model/encoder",
    "model",
    "encoder_network",
)
_OPTIMIZER = re.compile(r"(.*/)?(optimizer|\.OPTIMIZER_SLOT)/")
_FUNCTIONAL_ORDER = (
    "_embedding_layer",
    "_position_embedding_layer",
    "_type_embedding_layer",
    "_embedding_norm_layer",
)


class ModelGardenNames(Names):
    """tf-models-official, object-based.

    `BertEncoderV2` is reached by its attributes (`_transformer_layers/0/...`). Functional models
    (`BertEncoder`, `EncoderScaffold`) number their layers that have weights instead: embeddings,
    their norm, the projection of a factorized embedding, the blocks, the pooler.
    """

    def __init__(self, source: TensorSource, *, num_hidden_layers: int, factorized: bool):
        self._source = source
        self.root = self._first(
            [
                f"{root}/{norm}"
                for root in _ROOTS
                for norm in ("_embedding_norm_layer/gamma", "layer_with_weights-3/gamma")
            ],
            "encoder/_embedding_norm_layer/gamma",
        ).rsplit("/", 2)[0]
        order = list(_FUNCTIONAL_ORDER) + ["_embedding_projection"] * factorized
        order += [f"_transformer_layers/{i}" for i in range(num_hidden_layers)]
        order += ["_pooler_layer"]
        functional = source.find(f"{self.root}/layer_with_weights-3/gamma") is not None
        self._numbers = {name: i for i, name in enumerate(order)} if functional else {}

    def _first(self, names: Iterable[str], otherwise: str) -> str:
        return next((name for name in names if self._source.find(name) is not None), otherwise)

    def tensor(self, part: Part, leaf: str) -> str:
        path = f"{part.tf2}/{leaf}".rstrip("/")
        if path.startswith("masked_lm/"):
            return self._first([f"{root}{path}" for root in ("", "pretrainer/", "model/")], path)
        if path.startswith("next_sentence/"):
            return self._by_variable_name(path)
        match = re.match(r"_transformer_layers/\d+|\w+", path)
        if match and match[0] in self._numbers:
            number = self._numbers[match[0]]
            path = f"layer_with_weights-{number}{path[match.end() :]}"
        return f"{self.root}/{path}"

    def _by_variable_name(self, path: str) -> str:
        """Heads are kept in a numbered list; what they are, only their variables' names say."""
        for tensor, variable in self._source.variable_names().items():
            # Keras' newer optimizers name their slots after the variables: Adam/m/<name>.
            if f"/{variable}".endswith(f"/{path}") and not _OPTIMIZER.match(tensor):
                return tensor
        return path

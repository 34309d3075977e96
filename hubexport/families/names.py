"""How each checkpoint layout spells the weights of a network's parts."""

from __future__ import annotations

import abc
import re
from collections.abc import Iterable

from hubexport.checkpoints.source import TensorSource
from hubexport.families.tensor_map import Leaf, Part, Weight
from hubexport.families.transforms import AS_IS, AsIs


class Names(abc.ABC):
    """How one checkpoint layout spells the weights of a part.

    Attributes:
      layout: key of parts' names and transforms.
      classification_head: what the checkpoint calls its head for classifying texts, where that is
        not the layout's to say; "" where there is none, or more than one.
      classification_pooler: what it calls that head's own pooler; "" where it has none.
    """

    layout: str
    classification_head: str = ""
    classification_pooler: str = ""

    def knows(self, part: Part) -> bool:
        """Whether the part may be in a checkpoint of this layout."""
        return self.layout in part.names

    @abc.abstractmethod
    def tensor(self, part: Part, leaf: str) -> str:
        """The checkpoint's name for a leaf of a part."""

    def transform(self, leaf: Leaf) -> AsIs:
        """What this layout's tensor goes through."""
        return leaf.transforms.get(self.layout, AS_IS)

    def weights(self, parts: Iterable[Part]) -> list[Weight]:
        """The weights of parts, in order."""
        return [
            Weight(
                f"{part.scope}/{leaf.name}".rstrip("/"),
                leaf.shape,
                self.tensor(part, leaf.name),
                self.transform(leaf),
            )
            for part in parts
            for leaf in part.leaves
        ]


class TF1Names(Names):
    """google-research/bert: our own variable names below `bert/`."""

    layout = "tf1"

    def knows(self, part: Part) -> bool:
        return part.base or super().knows(part)

    def tensor(self, part: Part, leaf: str) -> str:
        name = part.names.get("tf1", f"bert/{part.scope}")
        assert isinstance(name, str), part
        return f"{name}/{leaf}".strip("/")


_OPENAI_LEAVES = {"kernel": "w", "bias": "b", "gamma": "g", "beta": "b"}


class OpenAINames(Names):
    """OpenAI's programs for GPT and GPT-2, whatever the format of the file: variables by name."""

    layout = "openai"

    def tensor(self, part: Part, leaf: str) -> str:
        return f"{part.names['openai']}/{_OPENAI_LEAVES.get(leaf, leaf)}".rstrip("/")


_TORCH_LEAVES = {"kernel": "weight", "output_weights": "weight", "output_bias": "bias"}


class TorchNames(Names):
    """PyTorch state dicts: a leaf is `.weight` or `.bias`.

    Args:
      source: the checkpoint.
      layout: the key of parts' names; a part without one has the name of `fallback`.
      prefix: of the encoder in a model with heads; where the encoder alone was saved it is absent.
    """

    def __init__(
        self, source: TensorSource, layout: str = "hugging_face", *, prefix: str, fallback: str = ""
    ):
        self.layout, self._fallback = layout, fallback
        self._source = source
        self.prefix = prefix if any(name.startswith(prefix) for name in source.tensors) else ""
        # What pytorch_pretrained_bert, and checkpoints converted with it, called LayerNorm's.
        self._old_norms = any(name.endswith("LayerNorm.gamma") for name in source.tensors)

    def knows(self, part: Part) -> bool:
        return super().knows(part) or self._fallback in part.names

    def tensor(self, part: Part, leaf: str) -> str:
        if not self._old_norms:
            leaf = {"gamma": "weight", "beta": "bias"}.get(leaf, leaf)
        leaf = _TORCH_LEAVES.get(leaf, leaf)
        names = part.names.get(self.layout) or part.names[self._fallback]
        prefix = self.prefix if part.base else ""
        spelled = [
            prefix + (name.format(leaf) if "{}" in name else f"{name}.{leaf}".rstrip("."))
            for name in ((names,) if isinstance(names, str) else names)
        ]
        return next((name for name in spelled if self._source.find(name)), spelled[0])

    def transform(self, leaf: Leaf) -> AsIs:
        if self.layout in leaf.transforms:
            return leaf.transforms[self.layout]
        return leaf.transforms.get(self._fallback, AS_IS)


_ROOTS = (
    "encoder",
    "pretrainer/encoder_network",
    "model/encoder_network",
    "model/encoder",
    "model",
    "encoder_network",
    "model/layer_with_weights-0",  # of BertClassifier
)
_OPTIMIZER = re.compile(r"(.*/)?(optimizer|\.OPTIMIZER_SLOT)/")
_OUTPUT_LAYER = re.compile(r"(.*/)?out_proj/kernel")
_HEAD = re.compile(r"(?:.*/)?([^/]+)/logits/kernel(?::0)?")
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

    layout = "tf2"

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
        heads = self._classification_heads()
        heads.pop("next_sentence", None)
        if len(heads) == 1:
            self._name_head(*heads.popitem())

    def _classification_heads(self) -> dict[str, str]:
        """Name -> kernel of the output layer, of all that are Model Garden's ClassificationHead.

        Other networks of its call their last layer `logits`, too, but have it elsewhere.
        """
        return {
            match[1]: tensor
            for tensor, variable in self._source.variable_names().items()
            if _OUTPUT_LAYER.fullmatch(tensor) and (match := _HEAD.fullmatch(variable))
        }

    def _name_head(self, name: str, tensor: str) -> None:
        pooler = f"{name}/pooler_dense"
        if self._by_variable_name(f"{pooler}/kernel") != f"{pooler}/kernel":
            self.classification_head, self.classification_pooler = name, pooler
        elif "classification_heads/" not in tensor:
            # BertClassifier gives such a head the encoder's pooled vector; BertPretrainerV2, whose
            # heads are in a list, all tokens' vectors: that does not classify texts.
            self.classification_head = name

    def _first(self, names: Iterable[str], otherwise: str) -> str:
        return next((name for name in names if self._source.find(name) is not None), otherwise)

    def tensor(self, part: Part, leaf: str) -> str:
        leaf = {"output_weights": "kernel", "output_bias": "bias"}.get(leaf, leaf)
        path = f"{part.names['tf2']}/{leaf}".rstrip("/")
        if path.startswith("masked_lm/"):
            return self._first([f"{root}{path}" for root in ("", "pretrainer/", "model/")], path)
        if not path.startswith("_"):  # the encoder's attributes all begin so
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

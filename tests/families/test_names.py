"""The tables name exactly the tensors that real programs write: none more, none less."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hubexport.checkpoints.source import ComputedTensor, TensorSource
from hubexport.errors import ConfigurationError
from hubexport.exporting.heads import choose_heads
from hubexport.exporting.pooler import PoolerChoice
from hubexport.families.bert import Bert
from hubexport.families.carried import spelled_heads
from hubexport.families.configuration import Configuration
from hubexport.families.registry import families
from hubexport.families.tensor_map import Weight
from hubexport.families.transforms import AS_IS, TRANSPOSED, HeadsMerged, Rows, uncovered
from tests import tiny
from tests.oracles import openai

Shapes = dict[str, tuple[int, ...]]


def source(layout: str, shapes: Shapes, variables: dict[str, str] | None = None) -> TensorSource:
    def unread() -> Any:
        raise AssertionError("a tensor was read")

    tensors = {name: ComputedTensor(name, s, "float32", unread) for name, s in shapes.items()}
    return TensorSource(
        Path("model"), "some format", layout, (), tensors, variable_names=lambda: variables or {}
    )


def family(checkpoint: TensorSource, name: str = "bert", **changes: Any) -> Bert:
    """L=2 unless changed; `overrides` are those of the command line."""
    overrides = changes.pop("overrides", {})
    configuration = Configuration(Path("config"), "json", "", {**tiny.CONFIG, **changes})
    return families()[name](configuration, checkpoint, overrides)


def all_weights(model: Bert) -> list[Weight]:
    """Of the encoder, its pooler and the heads of pre-training."""
    parts = [*model.encoder(), model.poolers("pooler/dense")["checkpoint"]]
    for name, head in spelled_heads(model).items():
        if name in ("mlm", "nsp"):
            parts += head.parts
    return model.names.weights(parts)


def needed(model: Bert) -> Shapes:
    """Tensor -> shape that the checkpoint must have."""
    return {w.tensor: w.transform.source_shape(w.shape) for w in all_weights(model)}


class TestOpenAI:
    """GPT's release by its variables' names, and GPT-2's, whose tables are called otherwise."""

    VALUES = {"vocab_size": 11, "n_positions": 7, "n_embd": 4, "n_layer": 2, "n_head": 2}  # noqa: RUF012

    def shapes(self, name: str) -> Shapes:
        found = openai.shapes()
        if name == "gpt2":
            found["model/wpe"], found["model/wte"] = found.pop("model/pe"), found.pop("model/we")
            found |= {"model/ln_f/g": (4,), "model/ln_f/b": (4,)}
        return found

    def weights(self, name: str, layout: str, **overrides: Any) -> list[Weight]:
        configuration = Configuration(Path("config"), "json", "", self.VALUES)
        checkpoint = source(layout, self.shapes(name) if layout != "hugging_face" else {})
        model = families()[name](configuration, checkpoint, overrides)
        return model.names.weights(model.encoder())

    @pytest.mark.parametrize(("name", "layout"), [("gpt", "openai"), ("gpt2", "tf1")])
    def test_names_and_shapes(self, name, layout):
        weights = self.weights(name, layout)
        found = {w.tensor: w.transform.source_shape(w.shape) for w in weights}
        assert found == self.shapes(name)
        fused = [w for w in weights if "/c_attn/" in w.tensor]
        assert len(fused) == 2 * 3 * 2 and len({w.variable for w in fused}) == len(fused)
        assert not uncovered(
            (1, 4, 12),
            [(w.transform, w.shape) for w in fused if w.tensor == "model/h1/attn/c_attn/w"],
        )

    @pytest.mark.parametrize(("name", "layout"), [("gpt", "openai"), ("gpt2", "tf1")])
    def test_variables_are_called_the_same_in_every_layout(self, name, layout):
        ours, theirs = self.weights(name, layout), self.weights(name, "hugging_face")
        assert [(w.variable, w.shape) for w in ours] == [(w.variable, w.shape) for w in theirs]

    def test_fewer_positions(self):
        (table,) = (
            w for w in self.weights("gpt", "openai", max_position_embeddings=5)
            if w.tensor == "model/pe"
        )  # fmt: skip
        assert table.shape == (5, 4) and table.transform.source_shape(table.shape) == (7, 4)


class TestGoogleResearch:
    SHAPES = tiny.tensor_shapes(tiny.CONFIG)

    def test_names_and_shapes(self):
        model = family(source("tf1", self.SHAPES))
        assert needed(model) == self.SHAPES
        assert {weight.transform for weight in all_weights(model)} == {AS_IS}

    def test_variables_are_called_the_same(self):
        """Fine-tuning code finds what it must not decay by these names."""
        for weight in all_weights(family(source("tf1", self.SHAPES))):
            assert weight.tensor == weight.variable or weight.tensor == f"bert/{weight.variable}"

    def test_variables_are_called_the_same_in_every_layout(self):
        names = [
            [(weight.variable, weight.shape) for weight in all_weights(family(source(layout, {})))]
            for layout in ("tf1", "tf2", "hugging_face")
        ]
        assert names[0] == names[1] == names[2]
        assert len(dict(names[0])) == len(names[0])

    def test_factorized(self):
        model = family(source("tf1", {}), embedding_size=4)
        shapes = needed(model)
        assert shapes["bert/embeddings/word_embeddings"] == (50, 4)
        assert shapes["bert/encoder/embedding_hidden_mapping_in/kernel"] == (4, 16)
        assert shapes["cls/predictions/transform/dense/kernel"] == (16, 4)
        assert set(shapes) - set(self.SHAPES) == {
            "bert/encoder/embedding_hidden_mapping_in/kernel",
            "bert/encoder/embedding_hidden_mapping_in/bias",
        }

    @pytest.mark.parametrize("layout", ["tf1", "tf2", "hugging_face"])
    def test_fewer_positions(self, layout):
        model = family(source(layout, {}), overrides={"max_position_embeddings": 8})
        cut = [w for w in all_weights(model) if isinstance(w.transform, Rows)]
        assert [(w.variable, w.shape) for w in cut] == [("embeddings/position_embeddings", (8, 16))]
        assert cut[0].transform.source_shape(cut[0].shape) == (24, 16)


@pytest.fixture(scope="module")
def transformers() -> Any:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    return pytest.importorskip("transformers", reason="transformers is not installed")


class TestHuggingFace:
    def shapes(self, transformers: Any, name: str, **changes: Any) -> Shapes:
        config = transformers.BertConfig(**{**tiny.CONFIG, **changes})
        state = getattr(transformers, name)(config).state_dict()
        return {key: tuple(tensor.shape) for key, tensor in state.items()}

    def test_pre_training(self, transformers):
        shapes = self.shapes(transformers, "BertForPreTraining")
        model = family(source("hugging_face", shapes), model_type="bert")
        tied = {name for name in shapes if name in model.duplicates}
        assert tied == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
        assert needed(model) == {k: shape for k, shape in shapes.items() if k not in tied}

    def test_the_bare_model_has_no_prefix(self, transformers):
        shapes = self.shapes(transformers, "BertModel")
        model = family(source("hugging_face", shapes))
        encoder = [*model.encoder(), model.poolers("pooler/dense")["checkpoint"]]
        weights = model.names.weights(encoder)
        assert {w.tensor: w.transform.source_shape(w.shape) for w in weights} == shapes

    def test_norms_of_old(self, transformers):
        """pytorch_pretrained_bert kept TensorFlow's names for them."""
        shapes = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): shape
            for name, shape in self.shapes(transformers, "BertForPreTraining").items()
        }
        model = family(source("hugging_face", shapes))
        assert needed(model) == {k: s for k, s in shapes.items() if k not in model.duplicates}

    def test_every_linear_layer_is_turned_and_nothing_else(self, transformers):
        torch = pytest.importorskip("torch")
        model = transformers.BertForPreTraining(transformers.BertConfig(**tiny.CONFIG))
        linear = {
            f"{name}.weight"
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear)
        }
        shapes = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
        turned = {
            weight.tensor
            for weight in all_weights(family(source("hugging_face", shapes)))
            if weight.transform == TRANSPOSED
        }
        # Google's kernel of the next-sentence head is [out, in] as well.
        assert turned == linear - {
            "cls.predictions.decoder.weight", "cls.seq_relationship.weight",
        }  # fmt: skip


def garden_shapes(root: str, names: list[str], block: Shapes, blocks: list[str]) -> Shapes:
    """A Model Garden encoder's tensors: three tables, a norm, the blocks, the pooler."""
    shapes: Shapes = {}
    for name, rows in zip(names[:3], (50, 24, 2), strict=True):
        shapes[f"{root}/{name}/embeddings"] = (rows, 16)
    shapes |= {f"{root}/{names[3]}/{leaf}": (16,) for leaf in ("gamma", "beta")}
    for prefix in blocks:
        shapes |= {f"{root}/{prefix}/{name}": shape for name, shape in block.items()}
    return shapes | {f"{root}/{names[4]}/kernel": (16, 16), f"{root}/{names[4]}/bias": (16,)}


BLOCK: Shapes = {
    **{f"_attention_layer/_{n}_dense/kernel": (16, 2, 8) for n in ("query", "key", "value")},
    **{f"_attention_layer/_{n}_dense/bias": (2, 8) for n in ("query", "key", "value")},
    "_attention_layer/_output_dense/kernel": (2, 8, 16),
    "_attention_layer/_output_dense/bias": (16,),
    "_attention_layer_norm/gamma": (16,),
    "_attention_layer_norm/beta": (16,),
    "_intermediate_dense/kernel": (16, 32),
    "_intermediate_dense/bias": (32,),
    "_output_dense/kernel": (32, 16),
    "_output_dense/bias": (16,),
    "_output_layer_norm/gamma": (16,),
    "_output_layer_norm/beta": (16,),
}
TALKING_BLOCK: Shapes = {
    **{name: shape for name, shape in BLOCK.items() if name.startswith("_attention")},
    "_attention_layer/pre_softmax_weight": (2, 2),
    "_attention_layer/post_softmax_weight": (2, 2),
    **{
        f"_feedforward_block/{name}/0/{leaf}": shape
        for name, size_in, size_out in (
            ("_intermediate_dense", 16, 32), ("_gate_dense", 16, 32), ("_output_dense", 32, 16),
        )
        for leaf, shape in (("kernel", (size_in, size_out)), ("bias", (size_out,)))
    },
    **{f"_feedforward_block/_output_layer_norm/0/{leaf}": (16,) for leaf in ("gamma", "beta")},
}  # fmt: skip
ATTRIBUTES = [
    "_embedding_layer", "_position_embedding_layer", "_type_embedding_layer",
    "_embedding_norm_layer", "_pooler_layer",
]  # fmt: skip
NUMBERED = [f"layer_with_weights-{i}" for i in (0, 1, 2, 3, 6)]


class TestModelGarden:
    """The real checkpoints are in test_against_model_garden.py; here, the spellings."""

    def encoder(self, shapes: Shapes, name: str = "bert") -> Shapes:
        model = family(source("tf2", shapes), name)
        weights = model.names.weights(
            [*model.encoder(), model.poolers("pooler/dense")["checkpoint"]]
        )
        return {w.tensor: w.transform.source_shape(w.shape) for w in weights}

    @pytest.mark.parametrize(
        "root", ["encoder", "model/encoder", "model/encoder_network", "encoder_network", "model"]
    )
    def test_by_attributes(self, root):
        blocks = [f"_transformer_layers/{i}" for i in range(2)]
        shapes = garden_shapes(root, ATTRIBUTES, BLOCK, blocks)
        assert self.encoder(shapes) == shapes

    @pytest.mark.parametrize("root", ["encoder", "model/encoder"])
    def test_by_number(self, root):
        blocks = [f"layer_with_weights-{i}" for i in (4, 5)]
        shapes = garden_shapes(root, NUMBERED, BLOCK, blocks)
        assert self.encoder(shapes) == shapes

    def test_talking_heads(self):
        blocks = [f"layer_with_weights-{i}" for i in (4, 5)]
        shapes = garden_shapes("encoder", NUMBERED, TALKING_BLOCK, blocks)
        assert self.encoder(shapes, "talking_heads") == shapes

    def test_nothing_found(self):
        """The message about what is missing spells names as Model Garden would today."""
        shapes = self.encoder({})
        assert "encoder/_transformer_layers/1/_output_dense/kernel" in shapes

    @pytest.mark.parametrize("place", ["masked_lm", "pretrainer/masked_lm", "model/masked_lm"])
    def test_heads(self, place):
        """Classification heads are in a numbered list: their variables' names tell them apart."""
        mlm = {
            f"{place}/dense/kernel": (16, 16),
            f"{place}/dense/bias": (16,),
            f"{place}/layer_norm/gamma": (16,),
            f"{place}/layer_norm/beta": (16,),
            f"{place}/output_bias/bias": (50,),
        }
        variables = {
            "optimizer/3": "Adam/m/next_sentence/logits/kernel",
            "classification_heads/0/out_proj/kernel": "other/logits/kernel",
            "classification_heads/1/out_proj/kernel": "next_sentence/logits/kernel",
            "classification_heads/1/out_proj/bias": "bert_pretrainer/next_sentence/logits/bias",
        }
        model = family(source("tf2", mlm, variables))
        heads = {
            name: [w.tensor for w in model.names.weights(head.parts)]
            for name, head in spelled_heads(model).items()
        }
        assert set(heads["mlm"]) == set(mlm)
        assert heads["nsp"] == [
            "classification_heads/1/out_proj/kernel",
            "classification_heads/1/out_proj/bias",
        ]

    def test_heads_are_merged_where_they_are_apart(self):
        weights = all_weights(family(source("tf2", {})))
        merged = [w for w in weights if isinstance(w.transform, HeadsMerged)]
        assert len(merged) == 2 * (2 * 3 + 1)  # q, k, v: kernel and bias; the output's kernel
        assert all("/attention/" in weight.variable for weight in merged)


POOLER, LOGITS = "pooler_dense/kernel", "logits/kernel"
PRETRAINER = {
    "model/classification_heads/0/dense/kernel": f"bert/sst-2/{POOLER}",
    "model/classification_heads/0/out_proj/kernel": f"bert/sst-2/{LOGITS}",
}


class TestClassificationHeads:
    """Of Model Garden's, what a checkpoint calls the one that classifies texts."""

    def head(self, variables: dict[str, str], **said: Any) -> tuple[Bert, str]:
        """The model, and the tf2 name of the classifier's output layer; "" for none."""
        shapes: Shapes = {name: (16, 3 if "out_proj" in name else 16) for name in variables}
        checkpoint = source("tf2", shapes, variables)
        heads = [said] if said else []
        configuration = Configuration(
            Path("params.yaml"), "model_garden", "bert", {"hidden_size": 24}, heads
        )
        model = Bert(configuration, checkpoint, {})
        head = spelled_heads(model).get("classifier")
        return model, str(head.parts[0].names["tf2"]) if head else ""

    def test_with_its_own_pooler(self):
        model, name = self.head(PRETRAINER)
        head = spelled_heads(model)["classifier"]
        assert name == "sst-2/logits"
        assert model.names.weights(head.parts)[0].tensor.endswith("0/out_proj/kernel")
        assert head.pooler is not None
        assert model.names.weights([head.pooler.part])[0].tensor.endswith("0/dense/kernel")
        assert head.interface.outputs == {"classifier_logits": ("B", 3)}

    def test_beside_next_sentence(self):
        other = {
            "model/classification_heads/1/dense/kernel": f"bert/next_sentence/{POOLER}",
            "model/classification_heads/1/out_proj/kernel": f"bert/next_sentence/{LOGITS}",
        }
        assert self.head(PRETRAINER | other)[1] == "sst-2/logits"

    def test_of_several_none(self):
        other = {name.replace("/0/", "/1/"): v.replace("sst-2", "mnli")
                 for name, v in PRETRAINER.items()}  # fmt: skip
        model, name = self.head(PRETRAINER | other)
        assert name == ""
        (pattern,) = model.other_heads.values()
        assert all(pattern.fullmatch(tensor) for tensor in PRETRAINER | other)

    def test_of_a_pooler_alone_none(self):
        variables = {"sst-2.pooler_dense/kernel": f"sst-2/{POOLER}"}
        model, name = self.head(variables)
        assert name == ""
        assert all(model.other_heads["classification heads"].fullmatch(n) for n in variables)

    def test_bert_classifier_takes_the_encoders_pooler(self):
        model, name = self.head({"model/layer_with_weights-1/out_proj/kernel": f"sst-2/{LOGITS}"})
        assert name == "sst-2/logits"
        pooler = spelled_heads(model)["classifier"].pooler
        assert pooler is not None and pooler.part.names["tf2"] == "_pooler_layer"

    @pytest.mark.parametrize(
        "variables",
        [
            # BertPretrainerV2 gives a head without a pooler the vectors of all tokens.
            {"model/classification_heads/0/out_proj/kernel": f"bert/sst-2/{LOGITS}"},
            # BertSpanLabeler and BertTokenClassifier
            {"model/layer_with_weights-1/layer_with_weights-0/kernel":
             f"predictions/transform/{LOGITS}"},
            {"model/layer_with_weights-1/kernel": f"predictions/transform/{LOGITS}"},
        ],
    )  # fmt: skip
    def test_what_is_no_classifier_of_texts(self, variables):
        assert self.head(variables)[1] == ""

    def test_said_to_be_as_it_must(self):
        said = {"name": "sst-2", "inner_dim": 24, "activation": "tanh", "cls_token_idx": 0}
        model, name = self.head(PRETRAINER, **said)
        assert name == "sst-2/logits"
        assert model.heads()["classifier"].doubt == ""

    def test_not_said_at_all(self):
        """A checkpoint does not keep the activation: what is taken for it is said."""
        model, _ = self.head(PRETRAINER)
        assert "taken to be tanh" in model.heads()["classifier"].doubt

    def test_said_of_another(self):
        assert self.head(PRETRAINER, name="mnli", activation="relu")[1] == "sst-2/logits"

    @pytest.mark.parametrize("said", [{"activation": "relu"}, {"activation": None},
                                      {"cls_token_idx": 1}])  # fmt: skip
    def test_said_to_be_computed_otherwise(self, said):
        model, _ = self.head(PRETRAINER, name="sst-2", **said)
        (key,), (value,) = said.keys(), said.values()
        assert f"{key}: {value!r}" in model.heads()["classifier"].refused
        no_pooler = PoolerChoice("cls")
        with pytest.raises(ConfigurationError, match="a way that is not supported") as caught:
            choose_heads("auto", model, model.source, no_pooler)
        assert f"{key}: {value!r}" in str(caught.value) and "--heads none" in str(caught.value)
        assert not choose_heads("none", model, model.source, no_pooler).weights

"""Sizes are read from names and shapes of every layout, and only where they are said."""

import dataclasses
import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from hubexport.checkpoints.opening import open_checkpoint
from hubexport.checkpoints.source import ComputedTensor, TensorSource
from hubexport.families.dimensions import Dimensions, describe, dimensions, layout_name
from tests.material import material

# No two sizes are equal, so that a swapped axis is a wrong size.
SIZES = Dimensions(
    num_hidden_layers=3,
    hidden_size=8,
    num_attention_heads=None,
    intermediate_size=20,
    vocab_size=30,
    max_position_embeddings=16,
    type_vocab_size=2,
    embedding_size=6,
)
WITH_HEADS = dataclasses.replace(SIZES, num_attention_heads=2)
WITHOUT_TYPES = dataclasses.replace(SIZES, type_vocab_size=None)
OF_GPT = dataclasses.replace(WITHOUT_TYPES, intermediate_size=32, embedding_size=8)


def source(layout, shapes, variables=None):
    """A checkpoint of tensors that must not be read."""

    def unread() -> np.ndarray:
        raise AssertionError("a tensor was read")

    return TensorSource(
        Path("somewhere/model.ckpt"),
        "some format",
        layout,
        (),
        {name: ComputedTensor(name, shape, "float32", unread) for name, shape in shapes.items()},
        variable_names=lambda: variables or {},
    )


def tf1(root="bert/"):
    shapes = {
        f"{root}embeddings/word_embeddings": (30, 6),
        f"{root}embeddings/position_embeddings": (16, 6),
        f"{root}embeddings/token_type_embeddings": (2, 6),
    }
    for i in range(3):
        shapes[f"{root}encoder/layer_{i}/attention/self/query/kernel"] = (8, 8)
        shapes[f"{root}encoder/layer_{i}/intermediate/dense/kernel"] = (8, 20)
    return shapes


def hugging_face(root="bert."):
    shapes = {
        f"{root}embeddings.word_embeddings.weight": (30, 6),
        f"{root}embeddings.position_embeddings.weight": (16, 6),
        f"{root}embeddings.token_type_embeddings.weight": (2, 6),
    }
    for i in range(3):
        shapes[f"{root}encoder.layer.{i}.attention.self.query.weight"] = (8, 8)
        shapes[f"{root}encoder.layer.{i}.intermediate.dense.weight"] = (20, 8)
    return shapes


def distilbert(root="distilbert."):
    """DistilBERT has no token types."""
    shapes = {
        f"{root}embeddings.word_embeddings.weight": (30, 6),
        f"{root}embeddings.position_embeddings.weight": (16, 6),
    }
    for i in range(3):
        shapes[f"{root}transformer.layer.{i}.attention.q_lin.weight"] = (8, 8)
        shapes[f"{root}transformer.layer.{i}.ffn.lin1.weight"] = (20, 8)
    return shapes


def fairseq(root="decoder.sentence_encoder.", fused=False):
    """RoBERTa has no token types either; its lm_head is not the encoder's."""
    shapes = {
        f"{root}embed_tokens.weight": (30, 6),
        f"{root}embed_positions.weight": (16, 6),
        "decoder.lm_head.weight": (30, 7),
    }
    for i in range(3):
        if fused:
            shapes[f"{root}layers.{i}.self_attn.in_proj_weight"] = (24, 8)
        else:
            shapes |= {f"{root}layers.{i}.self_attn.{x}_proj.weight": (8, 8) for x in "qkv"}
        shapes[f"{root}layers.{i}.fc1.weight"] = (20, 8)
        shapes[f"{root}layers.{i}.fc2.weight"] = (8, 20)
    return shapes


def openai(word, position, convolution=True):
    """GPT and GPT-2 have neither token types nor a width of their own for embeddings."""
    shapes = {f"model/{word}": (30, 8), f"model/{position}": (16, 8)}
    one = (1,) if convolution else ()
    for i in range(3):
        shapes[f"model/h{i}/attn/c_attn/w"] = (*one, 8, 24)
        shapes[f"model/h{i}/attn/c_proj/w"] = (*one, 8, 8)
        shapes[f"model/h{i}/mlp/c_fc/w"] = (*one, 8, 32)
        shapes[f"model/h{i}/mlp/c_proj/w"] = (*one, 32, 8)
    return shapes


def gpt(word, position, root="transformer."):
    shapes = {f"{root}{word}.weight": (30, 8), f"{root}{position}.weight": (16, 8)}
    for i in range(3):
        shapes[f"{root}h.{i}.attn.c_attn.weight"] = (8, 24)
        shapes[f"{root}h.{i}.attn.c_proj.weight"] = (8, 8)
        shapes[f"{root}h.{i}.mlp.c_fc.weight"] = (8, 32)
        shapes[f"{root}h.{i}.mlp.c_proj.weight"] = (32, 8)
    return shapes


def model_garden(root, block, tables, feed_forward="_intermediate_dense/kernel"):
    shapes = dict(zip([root + table for table in tables], [(30, 6), (16, 6), (2, 6)], strict=True))
    for i in range(3):
        layer = root + block(i)
        shapes[f"{layer}/_attention_layer/_query_dense/kernel"] = (8, 2, 4)
        shapes[f"{layer}/{feed_forward}"] = (8, 20)
    return shapes


def by_attribute(root):
    tables = ("_embedding_layer", "_position_embedding_layer", "_type_embedding_layer")
    return model_garden(
        root, "_transformer_layers/{}".format, [f"{table}/embeddings" for table in tables]
    )


def functional(root, feed_forward="_intermediate_dense/kernel"):
    tables = [f"layer_with_weights-{i}/embeddings" for i in range(3)]
    return model_garden(root, lambda i: f"layer_with_weights-{i + 5}", tables, feed_forward)


@pytest.mark.parametrize("root", ["bert/", "", "module/bert/"])
def test_google_research(root):
    checkpoint = source("tf1", tf1(root))
    assert dimensions(checkpoint) == SIZES
    assert describe(checkpoint) == "google-research/bert layout, 3 layers, hidden size 8"


@pytest.mark.parametrize("root", ["bert.", "", "roberta."])
def test_hugging_face(root):
    checkpoint = source("hugging_face", hugging_face(root))
    assert dimensions(checkpoint) == SIZES
    assert describe(checkpoint) == "Hugging Face layout, 3 layers, hidden size 8"


@pytest.mark.parametrize("root", ["distilbert.", ""])
def test_distilbert(root):
    checkpoint = source("hugging_face", distilbert(root))
    assert dimensions(checkpoint) == WITHOUT_TYPES
    assert describe(checkpoint) == "Hugging Face layout, 3 layers, hidden size 8"


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("root", ["decoder.", "encoder.", "model.decoder."])
def test_fairseq(root, fused):
    checkpoint = source("fairseq", fairseq(f"{root}sentence_encoder.", fused))
    assert dimensions(checkpoint) == WITHOUT_TYPES
    assert describe(checkpoint) == "fairseq layout, 3 layers, hidden size 8"


@pytest.mark.parametrize("convolution", [True, False])
@pytest.mark.parametrize(
    ("layout", "tables", "name"),
    [
        ("openai", ("we", "pe"), "openai-gpt"),
        ("tf1", ("wte", "wpe"), "openai/gpt-2"),
    ],
)
def test_openai(layout, tables, name, convolution):
    checkpoint = source(layout, openai(*tables, convolution))
    assert dimensions(checkpoint) == OF_GPT
    assert describe(checkpoint) == f"{name} layout, 3 layers, hidden size 8"


@pytest.mark.parametrize("root", ["transformer.", ""])
@pytest.mark.parametrize("tables", [("tokens_embed", "positions_embed"), ("wte", "wpe")])
def test_gpt(tables, root):
    checkpoint = source("hugging_face", gpt(*tables, root))
    assert dimensions(checkpoint) == OF_GPT
    assert describe(checkpoint) == "Hugging Face layout, 3 layers, hidden size 8"


@pytest.mark.parametrize("root", ["", "model/", "encoder/", "pretrainer/encoder_network/"])
@pytest.mark.parametrize("names", [by_attribute, functional])
def test_model_garden(root, names):
    checkpoint = source("tf2", names(root))
    assert dimensions(checkpoint) == WITH_HEADS
    assert describe(checkpoint) == "Model Garden layout, 3 layers, hidden size 8"


def test_gated_feed_forward():
    shapes = functional("model/", "_feedforward_block/_intermediate_dense/0/kernel")
    assert dimensions(source("tf2", shapes)) == WITH_HEADS


def test_optimizer_slots_do_not_count():
    shapes = tf1()
    for name in list(shapes):
        shapes[f"{name}/adam_m"] = shapes[name]
    shapes["bert/encoder/layer_9/attention/self/query/kernel/adam_m"] = (8, 8)
    assert dimensions(source("tf1", shapes)) == SIZES
    shapes = by_attribute("model/")
    for name in list(shapes):
        shapes[f"{name}/.OPTIMIZER_SLOT/optimizer/m"] = shapes[name]
    assert dimensions(source("tf2", shapes)) == WITH_HEADS


def test_what_is_not_there_is_none():
    shapes = {"bert/encoder/layer_0/attention/self/query/kernel": (8, 8)}
    checkpoint = source("tf1", shapes)
    assert dimensions(checkpoint) == Dimensions(1, 8, None, None, None, None, None, None)
    assert describe(checkpoint) == "google-research/bert layout, 1 layer, hidden size 8"


def test_embeddings_kept_with_the_head():
    shapes = by_attribute("encoder/")
    shapes["masked_lm/embedding_table"] = shapes.pop("encoder/_embedding_layer/embeddings")
    assert dimensions(source("tf2", shapes)) == WITH_HEADS


def test_embeddings_found_by_another_path():
    shapes = by_attribute("encoder/")
    shapes["shared/table"] = shapes.pop("encoder/_embedding_layer/embeddings")
    paths = {"encoder/_embedding_layer/embeddings": "shared/table"}
    checkpoint = dataclasses.replace(source("tf2", shapes), resolve=paths.get)
    assert dimensions(checkpoint) == WITH_HEADS


def test_the_larger_of_two_encoders():
    shapes = {"small.encoder.layer.0.attention.self.query.weight": (4, 4)}
    assert dimensions(source("hugging_face", {**shapes, **hugging_face("large.")})) == SIZES


def test_variables_of_a_saved_model():
    """variables.index names tensors by number; the object graph knows the variables' names."""
    names = tf1("")
    numbered = {f"variables/{i}": shape for i, shape in enumerate(names.values())}
    variables = dict(zip(numbered, names, strict=True))
    assert dimensions(source("tf2", numbered, variables)) == SIZES
    assert dimensions(source("tf2", numbered)) is None


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"model/transformer/layer_0/rel_attn/q/kernel": (6, 2, 3)},
        {"bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel": (8, 8)},
        {"bert/encoder/layer_0/attention/self/query/kernel": (8,)},
        {"bert/encoder/layer_x/attention/self/query/kernel": (8, 8)},
        {"h.0.attn.c_attn.weight": (64, 192)},
        {"h.0.attn.c_attn.weight": (192, 64), "wte.weight": (53, 64)},  # of GPT-BigCode and Qwen
        {"h.0.attn.c_attn.weight": (64, 96), "wte.weight": (53, 64)},
        {"model/h0/attn/c_attn/w": (2, 4, 12), "model/we": (53, 4)},
        {"decoder.layers.0.self_attn.q_proj.weight": (8, 8)},  # of a translation model
    ],
)
def test_others_are_none(shapes):
    checkpoint = source("tf1", shapes)
    assert dimensions(checkpoint) is None and layout_name(checkpoint) is None
    assert describe(checkpoint) == "some format, no BERT-like layers"


# The sizes as the tool that trained each one published them.
REAL = {
    "index_only/google-research-bert_pr": (12, 768, None, 3072, 21128, 512, 2, 768),
    "index_only/llSiddharthll_Bert": (8, 512, None, 2048, 30522, 512, 2, 512),
    "index_only/imdb_bert_savedmodel": (4, 512, 8, 2048, 30522, 512, 2, 512),
    "tf1_keras-bert_toy": (2, 4, None, 16, 15, 16, 2, 4),
    "hf_camphr_bert-test": (2, 2, None, 8, 1000, 64, 2, 2),
    "index_only/Senti-BERT": None,
    "tf1_keras-xlnet_test_checkpoint_empty": None,
    "tf1_keras-transformer-xl_test_checkpoint_div_1": (2, 32, None, 64, 30, None, None, 32),
    "hf_gpt_capp": (4, 64, None, 256, 53, 512, None, 64),
}


@pytest.mark.parametrize("name", REAL)
def test_real_checkpoints(name):
    path = material(f"checkpoints/{name}")
    sizes = dimensions(open_checkpoint(path))
    assert sizes == (Dimensions(*REAL[name]) if REAL[name] else None)


def write_with_model_garden(out):
    from tests.oracles.model_garden import models, networks, tf

    sizes = {
        "vocab_size": 30, "hidden_size": 8, "num_attention_heads": 2, "max_sequence_length": 16,
        "type_vocab_size": 2,
    }  # fmt: skip
    for name, width in (("functional", 8), ("factorized", 6)):
        encoder = networks.BertEncoder(num_layers=3, inner_dim=20, embedding_width=width, **sizes)
        tf.train.Checkpoint(encoder=encoder).write(f"{out}/{name}")
    pretrainer = models.BertPretrainerV2(encoder_network=encoder)
    pretrainer(pretrainer.inputs)
    tf.train.Checkpoint(**pretrainer.checkpoint_items).save(f"{out}/items")
    encoder = networks.BertEncoderV2(num_layers=3, inner_dim=20, **sizes)
    encoder(encoder.inputs)
    tf.train.Checkpoint(model=encoder).write(f"{out}/v2")
    encoder = networks.BertEncoder(num_layers=1, inner_dim=20, **sizes)
    tf.train.Checkpoint(encoder=encoder).write(f"{out}/one")
    encoder = networks.AlbertEncoder(num_layers=3, intermediate_size=20, embedding_width=6, **sizes)
    tf.train.Checkpoint(encoder=encoder).write(f"{out}/albert")
    tf.saved_model.save(pretrainer.encoder_network, f"{out}/saved_model")


@pytest.fixture(scope="module")
def model_garden_checkpoints(tmp_path_factory):
    if importlib.util.find_spec("official") is None:
        pytest.skip("tf-models-official is not installed")
    out = tmp_path_factory.mktemp("checkpoints")
    write_with_model_garden(out)
    return out


def test_what_model_garden_writes(model_garden_checkpoints, tmp_path):
    def sizes(name):
        return dimensions(open_checkpoint(model_garden_checkpoints / name))

    narrow = dataclasses.replace(WITH_HEADS, embedding_size=8)
    assert sizes("functional") == narrow
    assert sizes("factorized") == WITH_HEADS
    assert sizes("items-1") == WITH_HEADS
    assert sizes("v2") == narrow
    assert sizes("one") == dataclasses.replace(narrow, num_hidden_layers=1)
    assert sizes("albert") is None  # one block, applied as often as the configuration says
    assert sizes("saved_model/variables") == WITH_HEADS
    shutil.copy(model_garden_checkpoints / "items-1.index", tmp_path)
    assert dimensions(open_checkpoint(tmp_path / "items-1")) == WITH_HEADS

"""`hubexport inspect`: real and small files, both outputs, and never TensorFlow."""

import argparse
import json
import shutil
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from hubexport.commands import inspect
from hubexport.errors import CheckpointError, HubexportError, UsageError
from hubexport.saved_model.record import write_record
from hubexport.tf_formats import protos
from hubexport.tf_formats.bundle import BundleWriter
from tests.material import material

_RUN = """
import argparse, sys, time
from hubexport.commands import inspect
parser = argparse.ArgumentParser()
inspect.add_arguments(parser)
for path in sys.argv[1:]:
    inspect.run(parser.parse_args([path]))
heavy = {"tensorflow", "torch", "jax", "transformers", "tensorflow_text"} & set(sys.modules)
assert not heavy, heavy
print(f"cpu {time.process_time():.3f}")
"""


@pytest.fixture
def run(capsys):
    """Runs the command with these arguments; gives what it printed."""

    def call(*argv):
        parser = argparse.ArgumentParser()
        inspect.add_arguments(parser)
        assert inspect.run(parser.parse_args([str(arg) for arg in argv])) == 0
        return capsys.readouterr().out

    return call


@pytest.fixture
def facts(run):
    return lambda *argv: json.loads(run(*argv, "--json"))


def real(name):
    return material(f"checkpoints/{name}")


def line(text, label):
    """What stands beside the first such label."""
    return next(row[15:] for row in text.splitlines() if row[:15].rstrip() == label)


@pytest.fixture
def tiny(tmp_path):
    """A google-research/bert checkpoint of one layer, with slots, and its configuration."""
    shapes = {
        "embeddings/word_embeddings": (30, 4),
        "embeddings/position_embeddings": (16, 4),
        "embeddings/token_type_embeddings": (2, 4),
        "embeddings/LayerNorm/gamma": (4,),
        "embeddings/LayerNorm/beta": (4,),
        "encoder/layer_0/attention/output/LayerNorm/gamma": (4,),
        "encoder/layer_0/attention/output/LayerNorm/beta": (4,),
        "encoder/layer_0/intermediate/dense/kernel": (4, 6),
        "encoder/layer_0/intermediate/dense/bias": (6,),
        "encoder/layer_0/output/dense/kernel": (6, 4),
        "encoder/layer_0/output/dense/bias": (4,),
        "encoder/layer_0/output/LayerNorm/gamma": (4,),
        "encoder/layer_0/output/LayerNorm/beta": (4,),
        "pooler/dense/kernel": (4, 4),
        "pooler/dense/bias": (4,),
    }
    for name in ("self/query", "self/key", "self/value", "output/dense"):
        shapes[f"encoder/layer_0/attention/{name}/kernel"] = (4, 4)
        shapes[f"encoder/layer_0/attention/{name}/bias"] = (4,)
    directory = tmp_path / "tiny"
    directory.mkdir()
    with BundleWriter(directory / "model.ckpt") as writer:
        for name, shape in shapes.items():
            zeros = np.zeros(shape, np.float32).tobytes()
            writer.add(f"bert/{name}", "float32", shape, [zeros])
            writer.add(f"bert/{name}/lamb_m", "float32", shape, [zeros])
        writer.add("global_step", "int64", (), [bytes(8)])
        writer.add("cls/seq_relationship/output_bias", "float32", (2,), [bytes(8)])
    configuration = {
        "vocab_size": 30, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 6, "max_position_embeddings": 16, "type_vocab_size": 2,
        "hidden_act": "gelu",
    }  # fmt: skip
    (directory / "bert_config.json").write_text(json.dumps(configuration))
    return directory


TINY_PARAMETERS = (30 + 16 + 2) * 4 + 8 + 4 * 20 + 8 + (24 + 6) + (24 + 4) + 8 + 20 + 2


@pytest.fixture
def saved_model(tmp_path):
    """A SavedModel with the objects of an encoder, its variables' bundle left out."""
    message = protos.SavedModel(saved_model_schema_version=1)
    graph = message.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    graph.meta_info_def.tensorflow_version = "2.18.1"
    graph.graph_def.versions.producer, graph.graph_def.versions.min_consumer = 1994, 12
    for op in ("CaseFoldUTF8", "Acme>Magic", "MatMul"):
        graph.graph_def.node.add(name=op, op=op, device="/device:GPU:0" if op == "MatMul" else "")
    graph.asset_file_def.add(filename="vocab.txt")
    signature = graph.signature_def.add(key="serving_default").value
    spec = signature.inputs.add(key="input_word_ids").value
    spec.dtype = protos.DTYPE_CODES["int32"]
    spec.shape.dim.add(size=-1)
    spec.shape.dim.add(size=128)
    nodes = graph.object_graph_def.nodes
    children = {
        0: {"mlm": 1, "vocab_file": 2, "variables": 4, "trainable_variables": 4, "__call__": 3},
        1: {"__call__": 3},
        4: {"0": 5, "1": 6},
    }
    for i in range(7):
        node = nodes.add()
        for name, child in children.get(i, {}).items():
            node.children.add(node_id=child, local_name=name)
    nodes[2].asset.asset_file_def_index = 0
    nodes[3].function.concrete_functions.extend(["f", "g"])
    for i, name in ((5, "query/kernel"), (6, "value/kernel")):
        variable = nodes[i].variable
        variable.dtype, variable.name, variable.trainable = 1, f"bert/{name}", True
        variable.shape.dim.add(size=1000)
        variable.shape.dim.add(size=3)
    directory = tmp_path / "made_by_others"
    (directory / "assets").mkdir(parents=True)
    (directory / "assets" / "vocab.txt").write_text("[UNK]\n")
    (directory / "saved_model.pb").write_bytes(message.SerializeToString())
    return directory


def test_never_imports_tensorflow(tiny, saved_model):
    paths = [tiny, tiny / "model.ckpt.index", saved_model]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *map(str, paths)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # About 0.25 s where this was written; importing TensorFlow alone is 4 s and more.
    assert float(done.stdout.rsplit("cpu ", 1)[1]) < 2


def test_checkpoint_with_configuration(run, tiny):
    text = run(tiny)
    assert line(text, "checkpoint") == str(tiny / "model.ckpt")
    assert line(text, "layout") == "google-research/bert layout"
    assert line(text, "family") == "bert (a configuration of google-research/bert's form)"
    assert line(text, "encoder") == "all 21 tensors found"
    assert line(text, "architecture") == "layers 1, hidden size 4, intermediate size 6"
    assert "attention heads 2, activation gelu_tanh, epsilon 1e-12 (as bert_config.json" in text
    assert line(text, "pooler") == "all 2 tensors"
    assert line(text, "heads") == "nsp: 1 of 2 tensors"
    assert line(text, "parameters") == f"{TINY_PARAMETERS} in 24 tensors (float32)"
    assert line(text, "besides").startswith("optimizer slots: 23 tensors, ")
    assert "disagreement" not in text
    assert "\x1b" not in text


def test_disagreement(run, tiny):
    path = tiny / "bert_config.json"
    path.write_text(path.read_text().replace('"intermediate_size": 6', '"intermediate_size": 7000'))
    expected = "intermediate_size: 6 in the tensors, 7,000 in the configuration"
    assert line(run(tiny), "disagreement") == expected


def test_without_configuration(run, tiny):
    (tiny / "bert_config.json").unlink()
    text = run(tiny / "model.ckpt")
    assert line(text, "family").startswith("not told: BERT-like layers, but no config.json")
    assert "attention heads unknown" in text
    assert line(text, "pooler") == "2 tensors, by their names"
    assert line(text, "heads") == "nsp: 1 tensor, by their names"


def test_unusable_configuration(run, tiny):
    (tiny / "bert_config.json").write_text("{")
    assert "the configuration cannot be read" in line(run(tiny), "configuration")
    (tiny / "bert_config.json").write_text('{"vocab_size": 30}')
    text = run(tiny)
    assert "not recognised: the configuration has no usable hidden_size" in text
    assert line(text, "configuration") == "bert_config.json, beside the checkpoint, not used"


def test_listing(run, facts, tiny):
    text = run(tiny)
    assert "  ... 32 more: --all lists them" in text
    assert run(tiny, "--all").count("float32") == 1 + 47
    text = run(tiny, "--filter", "LayerNorm/(gamma|beta)$")
    assert line(text, "tensors") == "6 found by --filter, of 48"
    found = facts(tiny, "--filter", "query/kernel$")
    assert found["num_tensors"] == 48
    assert found["tensors"] == [
        {
            "name": "bert/encoder/layer_0/attention/self/query/kernel",
            "dtype": "float32",
            "shape": [4, 4],
            "state": None,
            "variable": None,
        }
    ]
    with pytest.raises(UsageError, match="not a regular expression"):
        run(tiny, "--filter", "(")


def test_bare_index(run, facts, tiny):
    (tiny / "model.ckpt.data-00000-of-00001").unlink()
    text = run(tiny / "model.ckpt.index")
    assert "model.ckpt.data-00000-of-00001 (absent)" in text
    assert "without that data only names, types and shapes are known" in text
    assert line(text, "family").startswith("bert ")
    assert facts(tiny)["files"][1]["bytes"] is None


def test_archive(run, facts, tiny, tmp_path):
    archive = tmp_path / "tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tiny, "bert_model")
    text = run(archive)
    assert line(text, "checkpoint") == str(archive)
    assert line(text, "family").startswith("bert ")
    assert "hubexport-" not in json.dumps(facts(archive))  # no trace of the temporary directory


def test_archive_without_a_checkpoint(run, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "a.txt")
    with pytest.raises(CheckpointError, match=r"archive: .*a\.tar"):
        run(tmp_path / "a.tar")


def test_nothing_there(run, tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        run(tmp_path / "none")


def test_safetensors(run, tmp_path):
    names = {"encoder.layer.0.attention.self.query.weight": [4, 4], "other": [3]}
    header, offset = {}, 0
    for name, shape in names.items():
        nbytes = int(np.prod(shape)) * 2
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + nbytes]}
        offset += nbytes
    encoded = json.dumps(header).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + bytes(offset))
    text = run(path)
    assert line(text, "layout") == "Hugging Face layout"
    assert line(text, "parameters") == "19 in 2 tensors (bfloat16)"


@pytest.mark.parametrize("given", ["", "saved_model.pb"])
def test_saved_model(run, saved_model, given):
    text = run(saved_model / given)
    assert line(text, "SavedModel") == str(saved_model)
    assert line(text, "written by").endswith("2.18.1 (graph version 1994, readable from 12 on)")
    assert line(text, "record") == "none: not made by hubexport"
    assert line(text, "parameters") == "6,000 in 2 trainable variables"
    assert line(text, "root") == "callable, 2 traces, 2 variables (2 trainable), 6,000 parameters"
    assert ".vocab_file  asset vocab.txt" in text
    assert line(text, "sub-objects") == "mlm  callable, 2 traces"
    assert "in  input_word_ids  int32 [None, 128]" in text
    assert "pip install tensorflow-text, `import tensorflow_text` before loading" in text
    assert "ops of a package that is not known: Acme>Magic" in text
    assert line(text, "devices") == "/device:GPU:0"
    assert line(text, "assets") == "vocab.txt (6 bytes)"
    assert "bert/query/kernel  float32  [1000, 3]" in text


def test_saved_model_json(facts, saved_model):
    found = facts(saved_model, "--filter", "value")
    assert found["kind"] == "saved_model"
    assert found["ops"] == {"Acme>Magic": 1, "CaseFoldUTF8": 1, "MatMul": 1}
    assert found["required_ops"] == {
        "tensorflow-text": ["CaseFoldUTF8"],
        "unknown": ["Acme>Magic"],
    }
    assert [tensor["name"] for tensor in found["tensors"]] == ["bert/value/kernel"]
    assert found["num_tensors"] == 2


def test_record(run, facts, saved_model):
    write_record(
        saved_model,
        {
            "kind": "encoder",
            "family": {"name": "bert"},
            "warnings": ["the pooler is not trained"],
            "environment": {"hubexport": "0.1.0"},
        },
    )
    text = run(saved_model)
    assert line(text, "record").startswith("encoder of family bert, hubexport 0.1.0, 20")
    assert "warning: the pooler is not trained" in text
    assert facts(saved_model)["record"]["kind"] == "encoder"
    path = saved_model / "assets.extra" / "hubexport.json"
    path.write_text('{"schema_version": 999}')
    assert line(run(saved_model), "record") == "the record is of another version"


def test_variables_of_a_saved_model(run, tiny, saved_model):
    variables = saved_model / "variables"
    variables.mkdir()
    for file in tiny.glob("model.ckpt*"):
        shutil.copy(file, variables / file.name.replace("model.ckpt", "variables"))
    assert line(run(variables / "variables.index"), "part of") == (
        f"the SavedModel {saved_model}: inspect that for the rest"
    )


def test_damaged_saved_model(run, saved_model):
    (saved_model / "saved_model.pb").write_bytes(b"\x12\xff")
    with pytest.raises(HubexportError, match="damaged"):
        run(saved_model)


# path: (layout, family's first word, parameters, tensors that are none). The parameters of the
# first three are the published ones of BERT-Base Chinese and BERT-Medium with both heads, and of
# small BERT with a head and a classifier; the XLs' are their data files' sizes over four.
REAL = {
    "index_only/google-research-bert_pr/bert_model.ckpt.index": (
        "google-research/bert layout", "not", 102_267_648 + 613_256 + 1_538, 0),
    "index_only/llSiddharthll_Bert/bert_model.ckpt.index": (
        "google-research/bert layout", "bert", 41_373_184 + 294_202 + 1_026, 0),
    "index_only/imdb_bert_savedmodel/variables.index": (
        "Model Garden's variable names", "not", 28_763_648 + 294_202 + 513, 7),
    "index_only/Senti-BERT": (
        "tensors by their paths through the objects", "not", 97_354_754, 2 * 136 + 5),
    "tf1_keras-bert_toy": ("google-research/bert layout", "bert", 701, 93),
    "hf_camphr_bert-test": ("Hugging Face layout", "bert", 2_290, 0),
    "hf_gpt_capp": ("Hugging Face layout", "gpt2", 236_224, 0),
    "gpt1_allennlp_transformer_small/transformer_small.tar.gz": (
        "openai-gpt layout", "not", 3_660, 0),
    "tf1_keras-xlnet_test_checkpoint_empty": (
        "tensors by the names of their variables", "not", 3_840 // 4, 0),
    "tf1_keras-transformer-xl_test_checkpoint_div_1": (
        "kimiyoung/transformer-xl layout", "not", 79_992 // 4, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_checkpoints(run, facts, name):
    path = real(name)
    layout, family, parameters, others = REAL[name]
    text, found = run(path), facts(path)
    assert line(text, "layout") == layout
    assert line(text, "family").split()[0] == family
    assert found["parameters"]["count"] == parameters
    assert len(found["tensors"]) == found["parameters"]["tensors"] + others
    assert sum(group["tensors"] for group in found["not_parameters"].values()) == others


def test_real_heads(facts):
    parts = facts(real("tf1_keras-bert_toy"))["parts"]
    assert parts == {
        "pooler": {"found": 2, "of": 2},
        "mlm": {"found": 5, "of": 5},
        "nsp": {"found": 2, "of": 2},
    }
    parts = facts(real("index_only/imdb_bert_savedmodel/variables.index"))["parts"]
    assert parts == {"pooler": {"found": 2, "of": None}, "mlm": {"found": 5, "of": None}}


def test_real_checkpoint_with_compressed_index(facts):
    found = facts(real("index_only/CoVBERT/bert_model.ckpt.index"))
    assert found["parameters"] == {
        "count": 109_482_240 + 622_650 + 1_538,
        "tensors": 206,
        "by_dtype": {"float32": 110_106_428},
    }
    assert found["not_parameters"]["optimizer slots"]["tensors"] == 412
    assert found["not_parameters"]["step counters"]["tensors"] == 1

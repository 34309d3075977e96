"""A configuration file means what the program that it was written for makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubexport.errors import ConfigurationError, UsageError
from hubexport.families import bert_config
from hubexport.families.configuration import (
    Configuration,
    find_beside,
    read_configuration,
    read_json,
    read_model_garden,
)
from tests import tiny

REQUIRED = {
    key: tiny.CONFIG[key]
    for key in (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size",
    )
}  # fmt: skip
"""What google-research/bert's and transformers' files cannot go without."""


HPARAMS = {"n_vocab": 50257, "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12}
"""GPT-2's, as released."""


def of(values: dict[str, Any], kind: str = "json", encoder_type: str = "") -> Configuration:
    return Configuration(Path("some/config"), kind, encoder_type, values)


def bert_json(layout: str = "tf1", **values: Any) -> Any:
    return bert_config.read_json(of({**REQUIRED, **values}), layout)


def garden(**values: Any) -> Any:
    return bert_config.read_model_garden(of(values, "model_garden", "bert"), "tf2")


def problem(read: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(*arguments, **keywords)
    return str(caught.value)


class TestDefaults:
    @pytest.mark.parametrize(
        ("config", "types"),
        [
            (bert_json("tf1"), 16),  # BertConfig of google-research/bert's modeling.py
            (bert_json("tf2"), 16),
            (bert_json("hugging_face"), 2),
            (garden(), 2),
        ],
        ids=["google", "google's file, Model Garden's checkpoint", "Hugging Face", "Model Garden"],
    )
    def test_token_types(self, config, types):
        assert config.type_vocab_size == types

    def test_json(self):
        config = bert_json("tf1")
        assert config.max_position_embeddings == 512
        assert config.embedding_size == config.hidden_size == 16
        assert config.head_size == 8
        assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0.1
        assert config.layer_norm_eps == 1e-12

    def test_model_garden(self):
        """BertEncoderConfig is a BERT-Base."""
        assert vars(garden()) == {
            "vocab_size": 30522,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
            "embedding_size": 768,
            "hidden_act": "gelu_tanh",
            "layer_norm_eps": 1e-12,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "pad_token_id": 0,
            "dtype": "float32",
            "variable_dtype": "float32",
            "padding": "compute",
        }

    def test_model_gardens_own_names(self):
        config = garden(
            num_layers=3, hidden_activation="relu", dropout_rate=0.2, attention_dropout_rate=0,
            embedding_size=128, num_hidden_layers=7, hidden_act="gelu", hidden_dropout_prob=0.3,
        )  # fmt: skip
        assert (config.num_hidden_layers, config.hidden_act) == (3, "relu")
        assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.2, 0.0)
        assert (config.embedding_size, config.hidden_size) == (128, 768)

    @pytest.mark.parametrize("layout", ["tf1", "tf2", "hugging_face"])
    def test_factorized_embeddings(self, layout):
        assert bert_json(layout, embedding_size=4).embedding_size == 4
        assert bert_json(layout, embedding_size=None).embedding_size == 16


class TestEpsilon:
    """Only transformers reads it from the file; the others have 1e-12 in their code."""

    def test_hugging_face(self):
        assert bert_json("hugging_face", layer_norm_eps=1e-5).layer_norm_eps == 1e-5
        assert bert_json("hugging_face").layer_norm_eps == 1e-12

    @pytest.mark.parametrize("layout", ["tf1", "tf2"])
    def test_others(self, layout):
        """A file that says something else is not believed, and not ignored either."""
        assert bert_json(layout, layer_norm_eps=1e-12).layer_norm_eps == 1e-12
        text = problem(bert_json, layout, layer_norm_eps=1e-5)
        assert "asks for layer_norm_eps = 1e-05" in text and "--layer_norm_eps" in text

    @pytest.mark.parametrize("layout", ["tf1", "tf2"])
    def test_others_where_the_user_decides(self, layout):
        values = of({**REQUIRED, "layer_norm_eps": 1e-5})
        assert bert_config.read_json(values, layout, {"layer_norm_eps"}).layer_norm_eps == 1e-12

    def test_model_garden(self):
        assert garden().layer_norm_eps == 1e-12


class TestActivation:
    @pytest.mark.parametrize(
        ("layout", "computes"),
        [("tf1", "gelu_tanh"), ("tf2", "gelu_tanh"), ("hugging_face", "gelu_erf")],
    )
    def test_gelu_is_what_the_layouts_program_computes(self, layout, computes):
        assert bert_json(layout).hidden_act == computes  # the default everywhere
        assert bert_json(layout, hidden_act="gelu").hidden_act == computes

    @pytest.mark.parametrize("layout", ["tf1", "tf2", "hugging_face"])
    @pytest.mark.parametrize(
        ("name", "computes"),
        [
            ("gelu_new", "gelu_tanh"),
            ("gelu_pytorch_tanh", "gelu_tanh"),
            ("gelu_approximate", "gelu_tanh"),
            ("gelu_accurate", "gelu_tanh"),
            ("gelu_python", "gelu_erf"),
            ("relu", "relu"),
        ],
    )
    def test_other_names_are_plain(self, layout, name, computes):
        assert bert_json(layout, hidden_act=name).hidden_act == computes

    def test_every_meaning_has_a_function(self):
        from hubexport.networks.layers import ACTIVATIONS

        assert set(ACTIVATIONS) == {"gelu_tanh", "gelu_erf", "relu"}

    @pytest.mark.parametrize("name", ["swish", "GELU", "", "linear"])
    def test_unknown(self, name):
        text = problem(bert_json, hidden_act=name)
        assert f"the activation {name!r} is not supported" in text
        assert "gelu_new" in text and "configuration: some/config" in text

    def test_no_text(self):
        assert "no usable hidden_act" in problem(bert_json, hidden_act=None)


class TestValues:
    @pytest.mark.parametrize("name", REQUIRED)
    @pytest.mark.parametrize("value", ["missing", None, 0, -1, True, 1.0, "12", [12]])
    def test_sizes(self, name, value):
        values = {**REQUIRED, name: value}
        if value == "missing":
            del values[name]
        text = problem(bert_config.read_json, of(values), "tf1")
        assert f"the configuration has no usable {name}" in text
        found = "nothing" if value in ("missing", None) else repr(value)
        assert f"found: {found}\n" in text
        assert "needed: a positive integer" in text

    @pytest.mark.parametrize("value", [1, 1.5, -0.1, float("nan"), float("inf"), True, "0.1"])
    def test_rates(self, value):
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            assert f"no usable {name}" in problem(bert_json, **{name: value})
        assert "no usable layer_norm_eps" in problem(
            bert_json, "hugging_face", layer_norm_eps=value
        )

    def test_no_dropout(self):
        config = bert_json(hidden_dropout_prob=0, attention_probs_dropout_prob=0.0)
        assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.0, 0.0)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("position_embedding_type", "relative_key_query"),
            ("is_decoder", True),
            ("add_cross_attention", True),
            ("pruned_heads", {"1": [0]}),
        ],
    )
    def test_other_networks_are_refused(self, name, value):
        text = problem(bert_json, "hugging_face", **{name: value})
        assert f"the configuration asks for {name} = {value!r}: " in text

    def test_what_says_the_usual_is_fine(self):
        bert_json(
            "hugging_face", position_embedding_type="absolute", is_decoder=False,
            add_cross_attention=False, pruned_heads={}, architectures=["BertModel"],
            classifier_dropout=None, torch_dtype="float32",
        )  # fmt: skip
        garden(norm_first=False, output_range=None, return_all_encoder_outputs=True)

    @pytest.mark.parametrize(("name", "value"), [("norm_first", True), ("output_range", 1)])
    def test_other_networks_of_model_garden(self, name, value):
        assert f"asks for {name} = {value!r}" in problem(garden, **{name: value})


class TestFiles:
    def write(self, path: Path, text: str) -> Path:
        path.write_text(text, "utf-8")
        return path

    def test_json(self, tmp_path):
        path = self.write(tmp_path / "c.json", json.dumps(tiny.CONFIG))
        assert read_json(path) == Configuration(path, "json", "", tiny.CONFIG)

    @pytest.mark.parametrize("text", ["", "{", "{'a': 1}", "[" * 100_000])
    def test_broken_json(self, tmp_path, text):
        found = problem(read_json, self.write(tmp_path / "c.json", text))
        assert "the configuration cannot be read" in found and "c.json" in found

    def test_not_text(self, tmp_path):
        (tmp_path / "c.json").write_bytes(b"\xff\xfe\0")
        assert "cannot be read" in problem(read_json, tmp_path / "c.json")

    def test_not_there(self, tmp_path):
        assert "No such file" in problem(read_json, tmp_path / "c.json")
        assert "Is a directory" in problem(read_model_garden, tmp_path)

    @pytest.mark.parametrize("text", ["[]", "null", "3", '"bert"'])
    def test_no_object(self, tmp_path, text):
        for read in (read_json, read_model_garden):
            assert "holds no model" in problem(read, self.write(tmp_path / "c", text))

    @pytest.mark.parametrize(
        "text",
        [
            "bert: {num_layers: 2}",
            "type: bert\nbert: {num_layers: 2}",
            "type: bert\nany: null\nbert: {num_layers: 2}\nalbert: {num_layers: 9}",
            "task: {model: {encoder: {type: bert, bert: {num_layers: 2}, xlnet: {a: 1}}}}",
            "runtime: {}\ntrainer: {a: 1}\ntask: {model: {encoder: {bert: {num_layers: 2}}}}",
        ],
    )
    def test_model_garden(self, tmp_path, text):
        path = self.write(tmp_path / "params.yaml", text)
        expected = Configuration(path, "model_garden", "bert", {"num_layers": 2})
        assert read_model_garden(path) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "{}",
            "num_layers: 2",
            "bert: {}\nalbert: {}",  # which of them?
            "type: bert",
            "type: bert\nalbert: {}",
            "type: any\nany: null\nbert: {}",
        ],
    )
    def test_no_encoder_in_it(self, tmp_path, text):
        found = problem(read_model_garden, self.write(tmp_path / "c.yaml", text))
        assert "the encoder configuration names no encoder" in found
        assert "needed: `bert: {hidden_size: ..., ...}`" in found

    @pytest.mark.parametrize("text", ["task: {}", "task: {model: 3}", "task: {model: {}}"])
    def test_an_experiment_without_an_encoder(self, tmp_path, text):
        assert "holds no model" in problem(
            read_model_garden, self.write(tmp_path / "params.yaml", text)
        )

    def test_yaml_makes_no_objects(self, tmp_path):
        text = f"bert: !!python/object/apply:os.mkdir ['{tmp_path}/made']"
        found = problem(read_model_garden, self.write(tmp_path / "c.yaml", text))
        assert "cannot be read" in found
        assert not (tmp_path / "made").exists()


class TestBeside:
    def test_order_and_places(self, tmp_path):
        prefix = tmp_path / "bert_model.ckpt"
        assert find_beside(prefix) is None
        (tmp_path / "bert_config.json").touch()
        assert find_beside(prefix) == find_beside(tmp_path) == tmp_path / "bert_config.json"
        (tmp_path / "config.json").touch()
        assert find_beside(prefix) == tmp_path / "config.json"

    def test_names_of_gpts(self, tmp_path):
        hparams = tmp_path / "hparams.json"
        hparams.write_text(json.dumps(HPARAMS))
        assert find_beside(tmp_path) == hparams
        (tmp_path / "openai_gpt_config.json").touch()
        assert find_beside(tmp_path) == tmp_path / "openai_gpt_config.json"
        (tmp_path / "bert_config.json").touch()
        assert find_beside(tmp_path) == tmp_path / "bert_config.json"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            '{"n_layer": 12}',
            '{"hidden_size": 16, "learning_rate": 1e-4}',  # of somebody's training program
            json.dumps({key: HPARAMS[key] for key in list(HPARAMS)[1:]}),
        ],
    )
    def test_an_hparams_file_of_another_program(self, tmp_path, text):
        (tmp_path / "hparams.json").write_text(text)
        assert find_beside(tmp_path) is None
        found = problem(read_configuration, None, None, tmp_path / "model.ckpt")
        assert "openai_gpt_config.json, hparams.json or xlnet_config.json beside it" in found

    def test_a_directory_is_no_file(self, tmp_path):
        (tmp_path / "config.json").mkdir()
        assert find_beside(tmp_path) is None


class TestKeptWithTheWeights:
    """fairseq's files hold their configuration; whatever lies beside them is another's."""

    SETTINGS = {"arch": "roberta_base", "encoder_layers": 2}  # noqa: RUF012

    @pytest.fixture
    def checkpoint(self, tmp_path):
        (tmp_path / "config.json").write_text('{"hidden_size": 1}')
        return tmp_path / "model.pt"

    def test_before_what_is_beside(self, checkpoint):
        found = read_configuration(None, None, checkpoint, settings=self.SETTINGS)
        assert found == Configuration(checkpoint, "fairseq", "", self.SETTINGS)

    @pytest.mark.parametrize("layout", [None, "hugging_face", "tf1"])
    def test_nothing_kept(self, checkpoint, layout):
        for settings in ({}, None):
            found = read_configuration(None, None, checkpoint, settings, layout)
            assert (found.kind, found.values) == ("json", {"hidden_size": 1})

    def test_what_is_passed_goes_before(self, checkpoint, tmp_path):
        (tmp_path / "passed.json").write_text('{"hidden_size": 2}')
        (tmp_path / "passed.yaml").write_text("bert: {hidden_size: 3}")
        kept = (checkpoint, self.SETTINGS, "fairseq")
        passed = read_configuration(tmp_path / "passed.json", None, *kept)
        assert (passed.kind, passed.values) == ("json", {"hidden_size": 2})
        passed = read_configuration(None, tmp_path / "passed.yaml", *kept)
        assert (passed.kind, passed.values) == ("model_garden", {"hidden_size": 3})
        with pytest.raises(UsageError):
            read_configuration(tmp_path / "passed.json", tmp_path / "passed.yaml", *kept)

    def test_weights_of_fairseq_alone(self, checkpoint):
        text = problem(read_configuration, None, None, checkpoint, settings={}, layout="fairseq")
        assert "the model's configuration is needed" in text
        assert "found: tensors by fairseq's names, without the args" in text
        assert "pass fairseq's own file (model.pt)" in text and "--bert_config FILE.json" in text

    def test_values_in_errors_are_short(self, checkpoint):
        """They come out of files that nobody vouches for."""
        settings = {"encoder_layers": "9" * 100_000, "activation_fn": "\x1b[2J"}
        found = read_configuration(None, None, checkpoint, settings)
        assert len(problem(found.integer, "encoder_layers")) < 1000
        assert "\x1b" not in problem(found.refuse, "activation_fn", "gelu", why="not supported")


class TestShapesOnly:
    """GPT's release tells sizes by its shapes, and no number of attention heads."""

    SMALL = {"vocab_size": 11, "n_positions": 7, "n_embd": 4, "n_layer": 2}  # noqa: RUF012
    PUBLISHED = {  # noqa: RUF012
        "vocab_size": 40478, "n_positions": 512, "n_embd": 768, "n_layer": 12,
    }  # fmt: skip

    @pytest.fixture
    def checkpoint(self, tmp_path):
        return tmp_path / "params_shapes.json"

    def read(self, checkpoint, settings, passed=None):
        return read_configuration(passed, None, checkpoint, settings, "openai")

    def write(self, path, values):
        path.write_text(json.dumps(values))
        return path

    def test_published(self, checkpoint):
        found = self.read(checkpoint, self.PUBLISHED)
        assert found == Configuration(checkpoint, "openai", "", {**self.PUBLISHED, "n_head": 12})

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_nearly_published(self, checkpoint, name):
        """With three special tokens, say: its author knows what else was changed."""
        text = problem(self.read, checkpoint, {**self.PUBLISHED, name: self.PUBLISHED[name] + 3})
        assert "nothing tells the number of attention heads" in text
        assert f"{name} {self.PUBLISHED[name] + 3}" in text
        assert '--bert_config FILE.json with {"n_head": ...}' in text

    @pytest.mark.parametrize("key", ["n_head", "num_attention_heads"])
    @pytest.mark.parametrize("name", ["passed.json", "config.json", "openai_gpt_config.json"])
    def test_a_file_with_the_heads(self, checkpoint, tmp_path, key, name):
        file = self.write(tmp_path / name, {key: 2})
        found = self.read(checkpoint, self.SMALL, file if name == "passed.json" else None)
        assert found == Configuration(file, "json", "", {**self.SMALL, key: 2})

    def test_what_is_passed_goes_before_what_is_beside(self, checkpoint, tmp_path):
        self.write(tmp_path / "config.json", {"n_head": 4})
        passed = self.write(tmp_path / "passed.json", {"n_head": 2})
        assert self.read(checkpoint, self.SMALL, passed).values["n_head"] == 2

    def test_the_user_knows_better(self, checkpoint, tmp_path):
        file = self.write(tmp_path / "passed.json", {"n_head": 6})
        assert self.read(checkpoint, self.PUBLISHED, file).values["n_head"] == 6

    def test_a_file_without_the_heads(self, checkpoint, tmp_path):
        file = self.write(tmp_path / "passed.json", {"afn": "gelu", "n_head": None})
        text = problem(self.read, checkpoint, self.SMALL, file)
        assert f"configuration: {file}, without n_head" in text
        assert self.read(checkpoint, self.PUBLISHED, file).values == {
            **self.PUBLISHED, "afn": "gelu", "n_head": 12,
        }  # fmt: skip

    def test_all_that_disagrees_is_named(self, checkpoint, tmp_path):
        values = {"n_head": 2, "hidden_size": 8, "n_ctx": 7, "n_positions": "7", "n_layer": True}
        text = problem(self.read, checkpoint, self.SMALL, self.write(tmp_path / "c.json", values))
        assert "the configuration is not that of the checkpoint" in text
        assert "found: n_positions: '7', but 7 in the checkpoint\n" in text
        assert "found: hidden_size: 8, but 4 in the checkpoint\n" in text
        assert "found: n_layer: True, but 2 in the checkpoint\n" in text
        assert text.count("found:") == 3

    def test_what_agrees_is_fine(self, checkpoint, tmp_path):
        """pytorch_pretrained_bert's names, and values that nobody gave."""
        values = {
            "vocab_size_or_config_json_file": 11, "n_ctx": 7, "n_positions": 7, "n_embd": 4,
            "n_layer": None, "n_head": 1, "n_special": 0,
        }  # fmt: skip
        found = self.read(checkpoint, self.SMALL, self.write(tmp_path / "c.json", values))
        assert found.integer("n_layer") == 2
        assert found.integer("vocab_size", aliases=["vocab_size_or_config_json_file"]) == 11

    def test_model_garden(self, checkpoint, tmp_path):
        (tmp_path / "passed.yaml").write_text("bert: {hidden_size: 3}")
        found = read_configuration(None, tmp_path / "passed.yaml", checkpoint, self.SMALL, "openai")
        assert found.kind == "model_garden"

"""The family is told by configuration and tensors; what is not known is refused by name."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from hubexport import families as package
from hubexport.checkpoints.source import ComputedTensor, TensorSource
from hubexport.errors import ConfigurationError, UsageError
from hubexport.families import registry
from hubexport.families.configuration import Configuration
from hubexport.families.registry import choose, families

DIRECTORY = Path(package.__file__).parent
PHRASES = DIRECTORY.parent / "cards" / "phrases.py"
NO_MODEL_TYPE = "a configuration of google-research/bert's form"
TALKING = "encoder/layer_with_weights-4/_attention_layer/pre_softmax_weight"


def source(layout: str = "tf1", *names: str) -> TensorSource:
    def unread() -> Any:
        raise AssertionError("a tensor was read")

    tensors = {name: ComputedTensor(name, (2, 2), "float32", unread) for name in names}
    return TensorSource(Path("some/model.ckpt"), "some format", layout, (), tensors)


def json_file(**values: Any) -> Configuration:
    return Configuration(Path("some/config.json"), "json", "", values)


def yaml_file(encoder_type: str) -> Configuration:
    return Configuration(Path("some/encoder.yaml"), "model_garden", encoder_type, {})


def refusal(kind: type[Exception], *arguments: Any) -> str:
    with pytest.raises(kind) as caught:
        choose(*arguments)
    return str(caught.value)


class TestRecognition:
    @pytest.mark.parametrize(
        ("configuration", "layout", "evidence"),
        [
            (json_file(model_type="bert"), "hugging_face", "model_type bert"),
            (json_file(model_type="bert"), "tf1", "model_type bert"),
            (json_file(), "tf1", NO_MODEL_TYPE),
            (yaml_file("bert"), "tf2", "encoder type bert"),
            (yaml_file("bert_v2"), "tf2", "encoder type bert_v2"),
        ],
    )  # fmt: skip
    def test_bert(self, configuration, layout, evidence):
        family, said = choose(None, configuration, source(layout, "bert/pooler/dense/kernel"))
        assert (family.name, said) == ("bert", evidence)

    @pytest.mark.parametrize(
        ("configuration", "evidence"),
        [
            (json_file(), NO_MODEL_TYPE),
            (json_file(model_type="bert"), "model_type bert"),
            (yaml_file("bert"), "encoder type bert"),
        ],
    )
    def test_talking_heads(self, configuration, evidence):
        """Its configuration is BERT's; its tensors are not."""
        family, said = choose(None, configuration, source("tf2", "x", TALKING))
        assert family.name == "talking_heads"
        assert said == f"{evidence}, pre_softmax_weight in its tensors"

    def test_lambert_is_never_guessed(self):
        """It is a BERT in every respect that can be seen."""
        lambert = families()["lambert"]
        assert (lambert.model_types, lambert.encoder_types) == ((), ())
        assert choose(None, json_file(), source("tf1"))[0].name == "bert"
        for configuration in (json_file(model_type="lambert"), yaml_file("lambert")):
            assert "belongs to no family" in refusal(
                ConfigurationError, None, configuration, source("tf1")
            )

    @pytest.mark.parametrize("name", ["bert", "lambert", "talking_heads"])
    def test_as_told(self, name):
        configuration = json_file(model_type="something else")
        family, evidence = choose(name, configuration, source("tf2"))
        assert (family.name, evidence) == (name, "as told by --family")


class TestRefusals:
    @pytest.mark.parametrize(
        ("configuration", "found"),
        [
            (json_file(model_type="albert"), "model_type albert"),
            (json_file(model_type=["bert"]), "model_type ['bert']"),
            (yaml_file("albert"), "encoder type albert"),
        ],
    )
    def test_other_models(self, configuration, found):
        text = refusal(ConfigurationError, None, configuration, source("hugging_face"))
        assert "the model belongs to no family that can be exported" in text
        assert f"configuration: {configuration.path}" in text
        assert f"found: {found}\n" in text
        supported = [f"encoder type {name}" for name in ("bert", "bert_v2")]
        types = (
            "bert", "camembert", "distilbert", "gpt2", "openai-gpt", "roberta", "transfo-xl",
            "xlm", "xlm-roberta", "xlnet",
        )  # fmt: skip
        supported += [f"model_type {name}" for name in types]
        assert f"supported: {', '.join(supported)}\n" in text
        assert "`hubexport encoder` as --family: " in text
        assert ", ".join(families()) + "." in text

    def test_other_models_with_known_tensors(self):
        text = refusal(ConfigurationError, None, yaml_file("xlnet"), source("tf2", TALKING))
        assert "found: encoder type xlnet, pre_softmax_weight in its tensors" in text

    def test_unknown_name(self):
        text = refusal(UsageError, "brt", json_file(), source())
        assert "there is no family 'brt'" in text
        assert f"families: {', '.join(families())}" in text

    @pytest.mark.parametrize("layout", ["tf1", "hugging_face"])
    @pytest.mark.parametrize("name", ["talking_heads", None])
    def test_other_layouts(self, layout, name):
        text = refusal(UsageError, name, json_file(), source(layout, TALKING))
        assert "the family 'talking_heads' is not known in this checkpoint layout" in text
        assert "checkpoint: some/model.ckpt (some format)" in text


class TestRegistration:
    def test_each_file_registers_its_own(self):
        """A family is one file: its class is there, and nowhere else is it listed."""
        for name, family in families().items():
            assert family.name == name
            assert family.__module__ == f"hubexport.families.{name}"
            assert family.__doc__

    def test_names_of_families_are_in_their_files_alone(self):
        """The strings; `bert`, which others build upon, may be imported. Tokenizers have model
        types and kinds of their own, some of the same name, which pages call by words."""
        for name in set(families()) - {"bert"}:
            for path in DIRECTORY.parent.rglob("*.py"):
                if path.stem == name and path.parent == DIRECTORY:
                    continue
                if path.is_relative_to(DIRECTORY.parent / "tokenizers") or path == PHRASES:
                    continue
                strings = {
                    node.value
                    for node in ast.walk(ast.parse(path.read_text("utf-8")))
                    if isinstance(node, ast.Constant)
                }
                assert name not in strings, path

    def test_a_new_one_is_known_by_its_decorator(self, monkeypatch):
        monkeypatch.setattr(registry, "_FAMILIES", dict(families()))
        bert = families()["bert"]

        @registry.register
        class Camel(bert):  # type: ignore[valid-type, misc]
            name = "camel"
            model_types = ("camel",)
            encoder_types = ()

        assert families()["camel"] is Camel
        assert list(families()) == sorted(families())
        assert choose(None, json_file(model_type="camel"), source())[0] is Camel
        assert choose(None, json_file(model_type="bert"), source())[0] is bert

    def test_known_families(self):
        known = {"bert", "distilbert", "lambert", "roberta", "talking_heads"}
        assert known <= set(families())
        families().clear()
        assert "bert" in families()

"""An export's options are the arguments of the public function, one by one."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import hubexport
from hubexport import cli
from hubexport.exporting.options import EncoderOptions
from hubexport.exporting.pipeline_options import PipelineOptions
from hubexport.exporting.preprocessor_options import PreprocessorOptions
from hubexport.tokenizers.request import TokenizerOptions

ALL = [
    ("encoder", hubexport.export_encoder, EncoderOptions),
    ("preprocessor", hubexport.export_preprocessor, PreprocessorOptions),
    ("pipeline", hubexport.export_pipeline, PipelineOptions),
]


@pytest.mark.parametrize(("command", "export", "kind"), ALL)
def test_options_are_the_arguments(command: str, export: Callable[..., Any], kind: Any) -> None:
    arguments = inspect.signature(export).parameters.values()
    options = inspect.signature(kind).parameters.values()
    assert [(each.name, each.default, each.annotation) for each in arguments] == [
        (each.name, each.default, each.annotation) for each in options
    ]


@pytest.mark.parametrize(("command", "export", "kind"), ALL)
def test_flags_are_the_arguments(command: str, export: Callable[..., Any], kind: Any) -> None:
    (commands,) = (
        each for each in cli.make_parser()._actions if isinstance(each, argparse._SubParsersAction)
    )
    flags = {each.dest: each.default for each in commands.choices[command]._actions}
    for option in dataclasses.fields(kind):
        if option.name != "show_progress" and option.default is not dataclasses.MISSING:
            assert flags[option.name] == option.default, option.name
    assert set(flags) - {"help"} == {each.name for each in dataclasses.fields(kind)} - {
        "show_progress"
    }


def test_a_preprocessor_takes_all_that_can_be_said_of_its_tokenizer() -> None:
    options = {each.name: each for each in dataclasses.fields(PreprocessorOptions)}
    for each in dataclasses.fields(TokenizerOptions):
        assert (options[each.name].default, options[each.name].type) == (each.default, each.type)


def test_the_command_line_names_what_was_given() -> None:
    options = EncoderOptions(
        checkpoint="/some/where/model.ckpt", export_path="/else/where", do_lower_case=False,
        vocab_file="/some/vocab.txt", layer_norm_eps=1e-5, overwrite=True,
    )  # fmt: skip
    assert options.command() == [
        "hubexport", "encoder", "--checkpoint=model.ckpt", "--heads=auto",
        "--vocab_file=vocab.txt", "--nodo_lower_case", "--dtype=float32",
        "--variable_dtype=float32", "--padding=compute", "--layer_norm_eps=1e-05",
    ]  # fmt: skip
    assert options.overrides() == {"layer_norm_eps": 1e-5}
    assert [str(path) for path in options.sources()] == [
        "/some/where/model.ckpt", "/some/vocab.txt"
    ]  # fmt: skip

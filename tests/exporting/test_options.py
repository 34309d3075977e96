"""An export's options are the arguments of the public function, one by one."""

from __future__ import annotations

import inspect

import hubexport
from hubexport.exporting.options import EncoderOptions


def test_options_are_the_arguments() -> None:
    arguments = inspect.signature(hubexport.export_encoder).parameters.values()
    options = inspect.signature(EncoderOptions).parameters.values()
    assert [(each.name, each.default, each.annotation) for each in arguments] == [
        (each.name, each.default, each.annotation) for each in options
    ]


def test_the_command_line_names_what_was_given() -> None:
    options = EncoderOptions(
        checkpoint="/some/where/model.ckpt", export_path="/else/where", do_lower_case=False,
        vocab_file="/some/vocab.txt", layer_norm_eps=1e-5, overwrite=True,
    )  # fmt: skip
    assert options.command() == [
        "hubexport", "encoder", "--checkpoint=model.ckpt", "--heads=auto",
        "--vocab_file=vocab.txt", "--nodo_lower_case", "--dtype=float32",
        "--variable_dtype=float32", "--layer_norm_eps=1e-05",
    ]  # fmt: skip
    assert options.overrides() == {"layer_norm_eps": 1e-5}
    assert [str(path) for path in options.sources()] == [
        "/some/where/model.ckpt", "/some/vocab.txt"
    ]  # fmt: skip

"""A reference file from a checkpoint: the inputs, and what an independent implementation gives."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import unpacked
from hubexport.checkpoints.sentence_transformers import transformer_directory
from hubexport.errors import UsageError
from hubexport.families.opening import describe, open_complete
from hubexport.output_file import check_output
from hubexport.paths import PathLike
from hubexport.progress import steps_bar
from hubexport.saved_model.record import source_file
from hubexport.validation.reference_file import Provenance, write_reference
from hubexport.validation.references.sources import (
    Model,
    Outputs,
    Request,
    check_arguments,
    check_layout,
    check_not_read,
    check_packages,
)


def make_reference(
    *,
    source: str,
    checkpoint: PathLike,
    output: PathLike,
    bert_config: PathLike | None = None,
    encoder_config: PathLike | None = None,
    tokenizer: PathLike | None = None,
    vocab_file: PathLike | None = None,
    do_lower_case: bool | None = None,
    outputs_file: PathLike | None = None,
    causal: bool | None = None,
    language: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Writes what an implementation other than hubexport's gives for a checkpoint.

    Args:
      source: a key of `sources.MAKERS`: "transformers" for Hugging Face checkpoints,
        "model_garden" for TensorFlow's, "file" for outputs that were recorded elsewhere.
      checkpoint: as of `export_encoder`.
      output: the file to write; complete when this returns, untouched if it raises.
      bert_config: as of `export_encoder`.
      encoder_config: as of `export_encoder`.
      tokenizer: directory of a Hugging Face tokenizer, for the cases of text.
      vocab_file: WordPiece vocabulary, for the cases of text of "model_garden".
      do_lower_case: whether its text is lower-cased.
      outputs_file: the recorded outputs, .npz or .safetensors.
      causal: whether the model is, as of `export_encoder`.
      language: whose embedding is added where a case has none, as of `export_encoder`.
      seed: of the random inputs.
      overwrite: whether a file at `output` may be replaced.
      show_progress: whether a bar is shown, on a terminal.

    Returns:
      `path`, `cases` (name -> names of its outputs), `outputs` (all of those names), `bytes` (the
      file's size) and `provenance` (the fields of `Provenance`).

    Raises:
      HubexportError: one of its subclasses, by what is wrong.
    """
    maker = check_arguments(
        source,
        {
            "bert_config": bert_config,
            "encoder_config": encoder_config,
            "tokenizer": tokenizer,
            "vocab_file": vocab_file,
            "do_lower_case": do_lower_case,
            "outputs_file": outputs_file,
            "causal": causal,
            "language": language,
        },
    )
    if seed < 0:
        raise UsageError("the seed is negative", [("--seed", str(seed))], "pass 0 or more.")
    path = Path(output)
    check_output(path, overwrite=overwrite)
    with unpacked(Path(checkpoint)) as here:
        encoder = transformer_directory(here) if here.is_dir() else here
        tensors = open_complete(encoder)
        check_layout(source, maker, tensors)
        opened = describe(tensors, encoder, bert_config=bert_config, encoder_config=encoder_config)
        request = Request(
            directory=encoder if encoder.is_dir() else encoder.parent,
            source=tensors,
            configuration=opened.configuration,
            tokenizer=_path(tokenizer),
            vocab_file=_path(vocab_file),
            do_lower_case=do_lower_case,
            outputs_file=_path(outputs_file),
            seed=seed,
            causal=causal,
            language=language,
        )
        read = [request.configuration.path, request.vocab_file, request.outputs_file]
        check_not_read(path, [*tensors.files, *filter(None, read)])
        check_packages(source, maker)
        module = importlib.import_module(f"hubexport.validation.references.{maker.module}")
        model = module.open_model(request)
        outputs = _run(model, show_progress=show_progress)
        provenance = Provenance(
            source,
            model.made_by,
            [source_file(file) for file in tensors.files],
            dict(model.architecture),
            tuple(model.notes),
        )
    write_reference(path, provenance, model.cases, outputs)
    cases = {case.name: list(outputs[case.name]) for case in model.cases}
    return {
        "path": str(path),
        "cases": cases,
        "outputs": list(dict.fromkeys(name for names in cases.values() for name in names)),
        "bytes": path.stat().st_size,
        "provenance": dataclasses.asdict(provenance),
    }


def _run(model: Model, *, show_progress: bool) -> dict[str, Outputs]:
    outputs = {}
    with steps_bar("cases", len(model.cases), show=show_progress) as advance:
        for case in model.cases:
            outputs[case.name] = model.outputs(case)
            advance()
    return outputs


def _path(value: PathLike | None) -> Path | None:
    return None if value is None else Path(value)

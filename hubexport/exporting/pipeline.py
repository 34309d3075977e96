"""An encoder and a preprocessor in one SavedModel that answers texts."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import unpacked
from hubexport.checkpoints.sentence_model import SentenceModel, read_sentence_model
from hubexport.checkpoints.sentence_transformers import transformer_directory
from hubexport.errors import ConfigurationError, MissingPoolerError, UsageError
from hubexport.exporting.belonging import check_belong, check_fits
from hubexport.exporting.encoder import export_encoder
from hubexport.exporting.job import make_job
from hubexport.exporting.options import EncoderOptions
from hubexport.exporting.pipeline_options import PipelineOptions
from hubexport.exporting.pipeline_serving import lacking_servers, warmup_requests, write_warmup
from hubexport.exporting.preprocessor import export_preprocessor
from hubexport.exporting.preprocessor_options import MAXIMUM_SEQ_LENGTH, PreprocessorOptions
from hubexport.exporting.preprocessor_record import describe_tokenizer
from hubexport.exporting.tokenizer_files import TokenizerFiles
from hubexport.paths import PathLike
from hubexport.pipelines.registry import check_name, check_options, choose_task
from hubexport.pipelines.task import Found, Task
from hubexport.poolers import FLAG_VALUES
from hubexport.progress import steps_bar
from hubexport.saved_model.finish import PROGRAM, finish, read_fingerprint
from hubexport.saved_model.identity import file_digests
from hubexport.saved_model.reading import read_saved_model
from hubexport.saved_model.record import (
    check_time,
    environment,
    load_record,
    source_file,
    write_record,
)
from hubexport.saved_model.target import check_target, clear_abandoned, staged_directory
from hubexport.tokenizers.defining import define_tokenizer

Record = dict[str, Any]


def export_pipeline(
    *,
    export_path: PathLike,
    checkpoint: PathLike | None = None,
    tokenizer: PathLike | None = None,
    do_lower_case: bool | None = None,
    encoder: PathLike | None = None,
    preprocessor: PathLike | None = None,
    task: str = "auto",
    max_seq_length: int | None = None,
    batch_size: int = 32,
    truncate_dim: int | None = None,
    top_k: int | None = None,
    aggregation: str | None = None,
    stride: int | None = None,
    max_answer_length: int | None = None,
    handle_impossible_answer: bool | None = None,
    dtype: str | None = None,
    variable_dtype: str | None = None,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Exports a SavedModel that takes texts and gives answers; all or nothing.

    It holds an encoder and its preprocessor, as `.encoder` and `.preprocessor`, which are what
    `export_encoder` (with `padding="skip"`) and `export_preprocessor` give, or what is passed.

    Args:
      export_path: the directory to write; complete when this returns, untouched if it raises.
      checkpoint: of the encoder, as `export_encoder` takes it; a directory of transformers or
        sentence-transformers has everything.
      tokenizer: the directory of its tokenizer's files, or a tokenizer.json; None for the
        checkpoint's own directory.
      do_lower_case: whether text is lower-cased, as of `export_preprocessor`; None where the
        files tell.
      encoder, preprocessor: artifacts of hubexport, in place of a checkpoint.
      task: one of `hubexport.pipelines`, or "auto" for what the model says it is for.
      max_seq_length: tokens of the longest text, special ones included; longer texts are cut.
        None for what the model declares, or the preprocessor's default length.
      batch_size: texts that are computed at once, whatever a call brings.
      truncate_dim: how many numbers of an embedding are given; None for all.
      top_k: how many answers are given: pieces for a mask (None for 5), or answers to a question
        (None for 1).
      aggregation: how tokens become entities, one of
        `hubexport.pipelines.token_classification.AGGREGATIONS`; None for "simple".
      stride: how many tokens the windows of a text that is too long have in common; None for
        texts of token classification to be cut, and for question answering half of a row, at most
        128.
      max_answer_length: tokens of the longest answer to a question; None for 15.
      handle_impossible_answer: whether the empty answer competes with the others.
      dtype, variable_dtype: as of `export_encoder`; None for float32.
      overwrite: whether a directory at `export_path` that is not empty may be replaced.
      show_progress: whether a bar is shown, on a terminal.

    Returns:
      The record, as `assets.extra/hubexport.json` of the artifact holds it.

    Raises:
      HubexportError: one of its subclasses, by what is wrong.
    """
    return _export(PipelineOptions(**locals()))


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a pipeline is made of.

    Attributes:
      task: decided.
      max_seq_length: of its rows.
      sentence: what a sentence-transformers directory declares.
      encoder, preprocessor: arguments of the exports that make them; None where they are there.
    """

    task: Task
    max_seq_length: int
    sentence: SentenceModel | None = None
    encoder: Mapping[str, Any] | None = None
    preprocessor: Mapping[str, Any] | None = None


def _export(options: PipelineOptions) -> Record:
    check_time()
    options.check()
    check_name(options.task)
    target = options.target
    clear_abandoned(target)
    check_target(target, overwrite=options.overwrite, sources=options.sources())
    plan = _of_artifacts(options) if options.checkpoint is None else _of_checkpoint(options)
    with staged_directory(target, overwrite=options.overwrite) as directory:
        return _write(directory, options, plan)


def _of_artifacts(options: PipelineOptions) -> _Plan:
    assert options.encoder is not None and options.preprocessor is not None
    encoder = _record_of(Path(options.encoder), "encoder")
    text = _record_of(Path(options.preprocessor), "preprocessor")
    check_belong(encoder, text, _both(options))
    found = Found(("--encoder", str(options.encoder)), encoder, None)
    chosen = choose_task(options.task, found)
    check_options(chosen, options.of_task)
    length = _length(text["default_seq_length"], encoder, chosen, options)
    task = chosen(found, options.of_task, length)
    has_offsets = text["tokenize_with_offsets"]
    check_text(task, text["tokenizer"], ("--preprocessor", str(options.preprocessor)))
    if task.needs_offsets and not has_offsets:
        raise UsageError(
            "the preprocessor does not tell where tokens are",
            [("--preprocessor", str(options.preprocessor)), ("task", task.name)],
            "export it with `hubexport preprocessor --tokenize_with_offsets`.",
        )
    return _Plan(task, length)


def check_text(task: Task, tokenizer: Record, origin: tuple[str, str]) -> None:
    """Fails where a tokenizer is not for a task.

    Raises:
      UsageError: it is not.
    """
    lacking = task.lacking_in_text(tokenizer)
    if task.needs_offsets and tokenizer["no_offsets"]:
        lacking = f"exact offsets of tokens: {tokenizer['no_offsets']}"
    if task.needs_pieces and tokenizer["no_detokenize"]:
        lacking = f"texts for its pieces: {tokenizer['no_detokenize']}"
    if lacking:
        raise UsageError(
            f"the tokenizer is not for {task.name}",
            [origin, ("tokenizer", tokenizer["kind"]), ("lacks", lacking)],
            "pass another --task, or a model with another tokenizer.",
        )


def _both(options: PipelineOptions) -> list[tuple[str, str]]:
    names = ("checkpoint", "tokenizer", "encoder", "preprocessor")
    return [(f"--{n}", str(getattr(options, n))) for n in names if getattr(options, n) is not None]


def _record_of(directory: Path, kind: str) -> Record:
    """The record of an artifact, which must be of a kind.

    Raises:
      UsageError: it is of another.
      HubexportError: it has none.
    """
    record = load_record(directory)
    if record["kind"] != kind:
        raise UsageError(
            f"what --{kind} names is something else",
            [(f"--{kind}", str(directory)), ("its record says", str(record["kind"]))],
            "pass an artifact of `hubexport encoder` as --encoder, and one of `hubexport "
            "preprocessor` as --preprocessor.",
        )
    return record


def _of_checkpoint(options: PipelineOptions) -> _Plan:
    assert options.checkpoint is not None
    checkpoint = Path(options.checkpoint)
    if options.tokenizer is None and not checkpoint.is_dir():
        raise UsageError(
            "nothing tells where the tokenizer is",
            [("--checkpoint", f"{checkpoint}, which is not a directory")],
            "pass the directory of its files as --tokenizer, or a directory that holds both as "
            "--checkpoint.",
        )
    sentence = read_sentence_model(checkpoint) if checkpoint.is_dir() else None
    of_encoder: dict[str, Any] = {
        "checkpoint": checkpoint,
        "padding": "skip",
        "pooler": _pooler(sentence),
        "dtype": options.dtype or "float32",
        "variable_dtype": options.variable_dtype or "float32",
    }
    with unpacked(checkpoint) as path:
        lacks_pooler = None
        try:
            record = _encoder_of(path, options, of_encoder)
        except MissingPoolerError as error:  # which not every task needs
            lacks_pooler, of_encoder["pooler"] = error, _INSTEAD
            record = _encoder_of(path, options, of_encoder)
    found = Found(("--checkpoint", str(checkpoint)), record, sentence)
    chosen = choose_task(options.task, found)
    if lacks_pooler is not None and chosen.pools:
        raise lacks_pooler
    check_options(chosen, options.of_task)
    tokenizer = Path(options.tokenizer or transformer_directory(checkpoint))
    declared = sentence.max_seq_length if sentence else None
    length = _length(declared or _longest(tokenizer), record, chosen, options)
    task = chosen(found, options.of_task, length)
    of_text: dict[str, Any] = {
        "tokenizer": tokenizer,
        "do_lower_case": options.do_lower_case,
        "default_seq_length": length,
        # As transformers cuts pairs that are too long.
        "truncation": "longest_first",
    }
    if task.needs_offsets or task.needs_pieces:
        described = _tokenizer_of(PreprocessorOptions(export_path=options.export_path, **of_text))
        check_text(task, described, ("tokenizer", str(tokenizer)))
        of_text["tokenize_with_offsets"] = task.needs_offsets
    return _Plan(task, length, sentence, of_encoder, of_text)


def _encoder_of(path: Path, options: PipelineOptions, of_encoder: Mapping[str, Any]) -> Record:
    """The record of an encoder, as far as it is known before it is exported."""
    asked = EncoderOptions(export_path=options.export_path, **of_encoder)
    return make_job(path, asked, TokenizerFiles()).record()


_INSTEAD = "cls"
"""The pooler of an encoder whose checkpoint has none, for tasks that do not look at it."""


def _pooler(sentence: SentenceModel | None) -> str | None:
    """The encoder's pooler, where what the directory declares is more than an encoder can give."""
    if sentence is None or not sentence.layers:
        return None
    (mode, *others) = sentence.modes
    return mode if not others and mode in FLAG_VALUES else "cls"


def _longest(tokenizer: Path) -> int | None:
    """Tokens of the longest text, as a tokenizer's files say; None where they do not."""
    directory = tokenizer if tokenizer.is_dir() else tokenizer.parent
    try:
        values = json.loads((directory / "tokenizer_config.json").read_text("utf-8"))
        length = values.get("model_max_length")
    except (OSError, ValueError, AttributeError):  # who reads them for ids says what is wrong
        return None
    # Where there is no limit, transformers writes 10^30.
    return length if isinstance(length, int) and 0 < length <= MAXIMUM_SEQ_LENGTH else None


def _tokenizer_of(asked: PreprocessorOptions) -> Record:
    """What the record of a preprocessor would say of its tokenizer."""
    defined = define_tokenizer(**asked.files(), options=asked.of_tokenizer())
    return describe_tokenizer(defined, asked.normalization)


def _length(
    declared: int | None, encoder: Record, task: type[Task], options: PipelineOptions
) -> int:
    """Tokens of a row, at most as many as the encoder has positions.

    What was asked for; or else what is declared, at most as many as are usual for the task.

    Raises:
      UsageError: more were asked for, or nothing tells.
    """
    positions = encoder["architecture"]["max_position_embeddings"]
    if options.max_seq_length is not None:
        declared = options.max_seq_length
    elif task.longest is not None:
        declared = min(declared or task.longest, task.longest)
    if declared is None and not positions:
        raise UsageError(
            "nothing tells how long a text may be",
            [*_both(options), ("the encoder takes", "any number of tokens")],
            "pass --max_seq_length.",
        )
    if options.max_seq_length and positions and options.max_seq_length > positions:
        raise UsageError(
            "the encoder does not take so many tokens",
            [("--max_seq_length", f"{options.max_seq_length:,}"), ("positions", f"{positions:,}")],
            "pass at most as many as there are positions, or leave it out.",
        )
    return min(n for n in (declared, positions) if n)


def _write(directory: Path, options: PipelineOptions, plan: _Plan) -> Record:
    """Makes what is not there, and writes the pipeline into an empty directory."""
    from hubexport.exporting.pipeline_network import write
    from hubexport.exporting.pipeline_test import STEPS, self_test

    made = directory / "parts"
    if plan.encoder is None or plan.preprocessor is None:
        assert options.encoder is not None and options.preprocessor is not None
        places = Path(options.encoder), Path(options.preprocessor)
    else:
        places = made / "encoder", made / "preprocessor"
        show = options.show_progress
        export_preprocessor(**plan.preprocessor, export_path=places[1], show_progress=show)
        _check_casing(plan.sentence, load_record(places[1]), options)
        export_encoder(**plan.encoder, export_path=places[0], show_progress=show)
    encoder, text = (load_record(place) for place in places)
    warnings = [*encoder["warnings"], *text["warnings"]]
    if plan.encoder is None:
        warnings += check_belong(encoder, text, _both(options))
    else:
        check_fits(encoder, text, _both(options))
    with steps_bar("pipeline", 1 + STEPS, show=options.show_progress) as advance:
        write(directory, places, (encoder, text), plan.task, plan.max_seq_length, options)
        if made.exists():
            shutil.rmtree(made)
        finish(directory)
        advance()
        summary = read_saved_model(directory)
        warnings += lacking_servers(summary.ops)
        inputs = {name: each.inputs for name, each in summary.signatures.items()}
        warmup = write_warmup(directory, warmup_requests(inputs, plan.max_seq_length))
        tested = self_test(directory, plan.task, text["tokenizer"], advance)
        tested["self_test"]["files"] = file_digests(directory)
    sentence = plan.sentence.files if plan.sentence else ()
    return write_record(directory, {
        "kind": "pipeline",
        "task": {"name": plan.task.name, **plan.task.record()},
        "max_seq_length": plan.max_seq_length,
        "batch_size": options.batch_size,
        "files": [source_file(file) for file in sentence],
        "encoder": encoder,
        "preprocessor": text,
        "warnings": list(dict.fromkeys(warnings)),
        "command": options.command(),
        **tested,
        "warmup": source_file(warmup),
        "saved_model": {
            "fingerprint": read_fingerprint(directory),
            "program": source_file(directory / PROGRAM),
            **summary.record(),
        },
        "environment": environment(),
    })  # fmt: skip


def _check_casing(sentence: SentenceModel | None, text: Record, options: PipelineOptions) -> None:
    """Fails where text is to be lower-cased, and the tokenizer does not.

    Raises:
      ConfigurationError: so it is.
    """
    if sentence is None or not sentence.do_lower_case:
        return
    tokenizer = text["tokenizer"]
    stated = tokenizer["settings"].get("lower_case")
    lowers = stated if tokenizer["do_lower_case"] is None else tokenizer["do_lower_case"]
    if not lowers:
        raise ConfigurationError(
            "text is to be lower-cased, and the tokenizer does not do it",
            [*_both(options), ("do_lower_case", "true in sentence_bert_config.json")],
            "pass --do_lower_case, if the tokenizer can.",
        )

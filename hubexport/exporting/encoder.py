"""An encoder SavedModel from a checkpoint."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hubexport.checkpoints.opening import unpacked
from hubexport.exporting.job import Job, make_job
from hubexport.exporting.options import EncoderOptions
from hubexport.exporting.validation import (
    check_validation,
    reference_for,
    validate_before_leaving,
)
from hubexport.paths import PathLike
from hubexport.progress import bytes_bar
from hubexport.saved_model.record import check_time, environment, source_file, write_record
from hubexport.saved_model.target import (
    check_space,
    check_target,
    clear_abandoned,
    staged_directory,
)


def export_encoder(
    *,
    checkpoint: PathLike,
    export_path: PathLike,
    bert_config: PathLike | None = None,
    encoder_config: PathLike | None = None,
    family: str | None = None,
    heads: str = "auto",
    pooler: str | None = None,
    tokenizer: PathLike | None = None,
    vocab_file: PathLike | None = None,
    sp_model_file: PathLike | None = None,
    model_type: str | None = None,
    do_lower_case: bool | None = None,
    language: str | None = None,
    dtype: str = "float32",
    variable_dtype: str = "float32",
    padding: str = "compute",
    hidden_act: str | None = None,
    layer_norm_eps: float | None = None,
    hidden_dropout_prob: float | None = None,
    attention_probs_dropout_prob: float | None = None,
    max_position_embeddings: int | None = None,
    causal: bool | None = None,
    validate: bool = False,
    reference: PathLike | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Exports a text encoder as a SavedModel with the interface of TF-Hub's transformer encoders.

    Args:
      checkpoint: a TensorFlow prefix, a Hugging Face directory or file, or an archive of one.
      export_path: the directory to write; complete when this returns, untouched if it raises.
      bert_config: google-research/bert's or transformers' JSON; found beside the checkpoint when
        neither configuration is given.
      encoder_config: Model Garden's YAML.
      family: name of the model family; recognised when None.
      heads: "auto" (all that the checkpoint carries), "none", or names joined by commas.
      pooler: one of `hubexport.poolers.FLAG_VALUES`; None for the checkpoint's own, or what a
        sentence-transformers directory declares.
      tokenizer: the tokenizer's directory, for the artifact to carry its files, as given to
        `export_preprocessor`; of it, `vocab_file` and `sp_model_file` at most one.
      vocab_file: the tokenizer's vocabulary, as there.
      sp_model_file: the tokenizer's SentencePiece model, as there.
      model_type: kind of the tokenizer, as there; None where the files tell.
      do_lower_case: whether it lower-cases text, as there; None where the files tell.
      language: that of its texts, as there; of a model with languages, also the one whose embedding
        is added where `input_language_ids` is not given. None for none.
      dtype: "float32", "bfloat16" or "float16": what the encoder computes its matmuls and
        activations in, whatever the checkpoint's tensors are. Outputs are float32.
      variable_dtype: "float32", or `dtype`: what the dense layers' variables are stored in. They
        are cast to `dtype` before anything is computed with them, so that outputs are the same to
        the bit; stored so, they take half the memory and need no cast. For inference: in training,
        steps that are small beside a weight would be lost.
      padding: "skip" computes tokens only, so that a short text costs what its tokens cost and not
        what it is padded to, and gives zeros at padding; "compute" computes every position.
      hidden_act: replaces what layout and configuration say, as the four below do.
      layer_norm_eps: epsilon of all layer norms.
      hidden_dropout_prob: dropout in training, behind dense layers and embeddings.
      attention_probs_dropout_prob: dropout in training, of attention's probabilities.
      max_position_embeddings: how many tokens the encoder takes.
      causal: whether a token sees only those before it, for families in which either may be: XLM's
        published configurations do not say.
      validate: whether the written artifact must pass all gates of `hubexport.validate` before
        it is moved to `export_path`.
      reference: a file of `make_reference` to compare with; None to make one, where the packages
        for it are installed.
      overwrite: whether a directory at `export_path` that is not empty may be replaced.
      dry_run: do everything except writing.
      show_progress: whether a bar is shown while weights stream, on a terminal.

    Returns:
      The record, as `assets.extra/hubexport.json` of the artifact holds it; of a dry run, the
      part that does not need an artifact.

    Raises:
      HubexportError: one of its subclasses, by what is wrong.
    """
    return _export(EncoderOptions(**locals()))


def _export(options: EncoderOptions) -> dict[str, Any]:
    target = options.target
    check_time()
    check_validation(options.validate, options.reference, dry_run=options.dry_run)
    if not options.dry_run:
        clear_abandoned(target)
    check_target(target, overwrite=options.overwrite, sources=options.sources())
    tokenizer = options.read_tokenizer()
    show_progress = options.show_progress
    checkpoint = Path(options.checkpoint)
    with unpacked(checkpoint) as path, _in_background() as submit:
        job = make_job(path, options, tokenizer)
        sources = [*options.sources(), *job.files()]
        check_target(target, overwrite=options.overwrite, sources=sources)
        # While TensorFlow is imported and the network is traced.
        hashes = submit(_hash_all, job.source.files)
        record = {
            **job.record(), "overrides": options.overrides(), "command": options.command()
        }  # fmt: skip
        if path != checkpoint:
            record["checkpoint"]["archive"] = source_file(checkpoint)
        check_space(target, job.plan.nbytes)
        if options.dry_run:
            return _rehearse(record, hashes, job, show_progress=show_progress)
        with (
            reference_for(job, options) as compared_with,
            staged_directory(target, overwrite=options.overwrite) as staging,
        ):
            record = _write(staging, record, hashes, job, show_progress=show_progress)
            if compared_with is None:
                return record
            return validate_before_leaving(staging, compared_with, show_progress=show_progress)


def _write(
    staging: Path,
    record: dict[str, Any],
    hashes: Future[list[dict[str, Any]]],
    job: Job,
    *,
    show_progress: bool,
) -> dict[str, Any]:
    from hubexport.exporting.network import build
    from hubexport.saved_model.finish import PROGRAM, finish, read_fingerprint
    from hubexport.saved_model.reading import read_saved_model
    from hubexport.saved_model.saving import save
    from hubexport.saved_model.weights import fill_variables

    save(lambda: build(job), staging)
    with bytes_bar("weights", job.plan.nbytes, show=show_progress) as advance:
        fill_variables(staging, job.plan.values, advance)
    finish(staging)
    record["checkpoint"]["files"] = hashes.result()
    record["saved_model"] = {
        "fingerprint": read_fingerprint(staging),
        "program": source_file(staging / PROGRAM),
        **read_saved_model(staging).record(),
    }
    record["environment"] = environment()
    return write_record(staging, record)


def _rehearse(
    record: dict[str, Any],
    hashes: Future[list[dict[str, Any]]],
    job: Job,
    *,
    show_progress: bool,
) -> dict[str, Any]:
    """Builds the network and reads every weight, and writes nothing."""
    from hubexport.exporting.network import build
    from hubexport.saved_model.saving import apart
    from hubexport.saved_model.weights import stored_pieces

    root, _ = apart(lambda: build(job))
    parts = [root, *(getattr(root, head) for head in job.heads.weights)]
    dtypes = {each.name.partition(":")[0]: each.dtype.name for p in parts for each in p.variables}
    with bytes_bar("weights", job.plan.nbytes, show=show_progress) as advance:
        for name, value in job.plan.values.items():
            for _ in stored_pieces(value, dtypes[name], advance):
                pass
    record["checkpoint"]["files"] = hashes.result()
    record["environment"] = environment()
    return record


@contextlib.contextmanager
def _in_background() -> Iterator[Callable[..., Future[Any]]]:
    """Gives a function that starts another one; leaving because of an error stops its work."""
    stopped = threading.Event()
    with ThreadPoolExecutor(1) as executor:

        def submit(work: Callable[..., Any], *arguments: Any) -> Future[Any]:
            return executor.submit(work, *arguments, stopped.is_set)

        try:
            yield submit
        except BaseException:
            stopped.set()
            raise


def _hash_all(files: tuple[Path, ...], stop: Callable[[], bool]) -> list[dict[str, Any]]:
    return [source_file(file, stop) for file in files]

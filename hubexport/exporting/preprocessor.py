"""From tokenizer files to a text preprocessor on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hubexport.exporting.preprocessor_options import PreprocessorOptions
from hubexport.exporting.preprocessor_record import describe_tokenizer
from hubexport.exporting.self_test import SELF_TEST_STEPS, compare_with_corpus, self_test
from hubexport.exporting.tokenizer_files import assets
from hubexport.paths import PathLike
from hubexport.progress import steps_bar
from hubexport.saved_model.finish import PROGRAM, finish, read_fingerprint
from hubexport.saved_model.identity import file_digests
from hubexport.saved_model.reading import read_saved_model
from hubexport.saved_model.record import check_time, environment, source_file, write_record
from hubexport.saved_model.target import check_target, staged_directory
from hubexport.tokenizers.defining import define_tokenizer
from hubexport.tokenizers.definition import TokenizerDefinition

_STEPS = 2 + SELF_TEST_STEPS  # of the progress bar: TensorFlow is imported, the artifact is written


def export_preprocessor(
    *,
    export_path: PathLike,
    vocab_file: PathLike | None = None,
    sp_model_file: PathLike | None = None,
    tokenizer: PathLike | None = None,
    model_type: str | None = None,
    do_lower_case: bool | None = None,
    strip_accents: bool | None = None,
    language: str | None = None,
    normalization: str = "exact",
    special_tokens_in_text: bool = True,
    truncation: str = "round_robin",
    default_seq_length: int = 128,
    tokenize_with_offsets: bool = False,
    reference_tokenizer: PathLike | None = None,
    corpus: PathLike | None = None,
    max_differences: int = 0,
    overwrite: bool = False,
    show_progress: bool = False,
) -> dict[str, Any]:
    """Writes a preprocessor SavedModel; all or nothing.

    TensorFlow is imported once the arguments and the vocabulary have been found to be good. What
    was written is loaded again and tried out before it gets its place.

    Args:
      export_path: the directory to make.
      vocab_file: a vocabulary, one piece per line: WordPiece, or Transformer-XL's words.
      sp_model_file: a SentencePiece model.
      tokenizer: a directory with tokenizer files, or a tokenizer.json. Exactly one of the three
        is needed.
      model_type: whose special tokens and packing to follow, see
        `hubexport.tokenizers.conventions`; None where the files tell.
      do_lower_case: None to decide by evidence, see `hubexport.tokenizers.casing`.
      strip_accents: None to do what the files say, or else as do_lower_case.
      language: of the text, for XLM.
      normalization: "exact", or "tfhub" for what published TF-Hub preprocessors do.
      special_tokens_in_text: whether literal special tokens in text become their ids.
      truncation: "round_robin" or "longest_first", see `hubexport.tokenizers.graph.packing`.
      default_seq_length: of the root object, and of `.bert_pack_inputs` unless told otherwise.
      tokenize_with_offsets: whether to add that sub-object.
      reference_tokenizer: a directory of another implementation to compare with.
      corpus: the texts to compare on, one per line.
      max_differences: how many of them may have other tokens.
      overwrite: whether an existing export_path is replaced.
      show_progress: whether bars are shown, on a terminal.

    Returns:
      The record, as written to assets.extra/hubexport.json.

    Raises:
      UsageError: arguments that do not go together, or something that the files do not tell.
      VocabularyError: a vocabulary or model that cannot be used.
      ConfigurationError: tokenizer files that cannot be read or followed exactly.
      ExportPathError: export_path cannot be written, or exists and overwrite is False.
      MissingPackageError: the package that runs reference_tokenizer is not installed.
      DifferentTokensError: what was written gives other tokens than its reference.
    """
    return _export(PreprocessorOptions(**locals()))


def _export(options: PreprocessorOptions) -> dict[str, Any]:
    check_time()
    options.check()
    defined = define_tokenizer(**options.files(), options=options.of_tokenizer())
    definition = defined.definition
    options.check_offsets(definition)
    target = options.target
    sources = [*definition.files, *(options.compared_with or ())]
    check_target(target, overwrite=options.overwrite, sources=sources)
    record: dict[str, Any] = {
        "kind": "preprocessor",
        "tokenizer": describe_tokenizer(defined, options.normalization),
        "truncation": options.truncation,
        "default_seq_length": options.default_seq_length,
        "tokenize_with_offsets": options.tokenize_with_offsets,
        "warnings": list(defined.warnings),
        "command": options.command(defined),
    }
    with (
        staged_directory(target, overwrite=options.overwrite) as directory,
        steps_bar("preprocessor", _STEPS, show=options.show_progress) as advance,
    ):
        import tensorflow_text  # noqa: F401  takes about as long as all that follows

        advance()
        _save(directory, definition, options)
        finish(directory)
        advance()
        tested = self_test(directory, definition, advance)
        record["self_test"] = {**tested, "files": file_digests(directory)}
        if options.compared_with is not None:
            reference_tokenizer, corpus = options.compared_with
            record["comparison"] = compare_with_corpus(
                directory,
                definition,
                reference_tokenizer=reference_tokenizer,
                corpus=corpus,
                max_differences=options.max_differences,
                special_tokens_in_text=options.special_tokens_in_text,
                show_progress=options.show_progress,
            )
        record["saved_model"] = {
            "fingerprint": read_fingerprint(directory),
            "program": source_file(directory / PROGRAM),
            **read_saved_model(directory).record(),
        }
        record["environment"] = environment()
        return write_record(directory, record)


def _save(directory: Path, definition: TokenizerDefinition, options: PreprocessorOptions) -> None:
    """Builds the preprocessor and writes its SavedModel."""
    from hubexport.saved_model.saving import save
    from hubexport.tokenizers.graph.preprocessor import Preprocessor
    from hubexport.tokenizers.graph.special_tokens import SpecialTokensInText

    def make() -> tuple[Preprocessor, dict[str, Any]]:
        tokenizer = definition.make()
        # The stock ops get the bytes as they are.
        exact = options.normalization == "exact"
        wrapped = SpecialTokensInText(tokenizer, definition.added_tokens) if exact else tokenizer
        preprocessor = Preprocessor(
            wrapped,
            special_tokens=definition.special_tokens_dict,
            packing=definition.packing,
            truncation=options.truncation,
            default_seq_length=options.default_seq_length,
            tokenize_with_offsets=options.tokenize_with_offsets,
            words_with_offsets=(
                options.tokenize_with_offsets and hasattr(tokenizer, "words_with_offsets")
            ),
            detokenizer=None if definition.no_detokenize else tokenizer,
            assets=assets(definition),
        )
        return preprocessor, preprocessor.signatures()

    save(make, directory)

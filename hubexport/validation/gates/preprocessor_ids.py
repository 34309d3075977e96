"""The ids of a preprocessor against those of independent implementations.

What the reference file was made with, on its own texts, packed; and the tokenizer of
--reference_tokenizer on texts that are difficult. A record may say why ids can differ
(`tokenizer.differences_to_the_reference`); then as many may as the export itself allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hubexport.saved_model.reading import read_saved_model
from hubexport.tokenizers.comparing import Comparison, compare, describe, load_reference
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from hubexport.tokenizers.hugging_face import TOKENIZER_JSON
from hubexport.validation.cases import ENCODER_INPUTS, Case
from hubexport.validation.context import Context
from hubexport.validation.gates.text.cases import Preprocessed, preprocess, text_cases
from hubexport.validation.gates.text.client import ArtifactError, TextPreprocessor
from hubexport.validation.results import GateResult, Measurement, at_most, judge, not_run

NAME = "preprocessor ids"
SUMMARY = "ids against the reference's, or --reference_tokenizer"
NEEDS = ("preprocessor",)
LOADED = False
APART = False
EACH_PRECISION = False

_MANY = 4  # one text of so many with other ids is not a rare exception: as the export's own test
_SHOWN = 3


def run(context: Context) -> GateResult:
    """Compares with whatever there is to compare with."""
    cases = text_cases(context)
    if not cases and context.reference_tokenizer is None:
        why = (
            "the reference has no texts: make it with --tokenizer or --vocab_file"
            if context.reference
            else "there is no --reference"
        )
        return not_run(NAME, f"{why}, and there is no --reference_tokenizer")
    detail: list[str] = []
    try:
        preprocessor = TextPreprocessor(context)
    except ArtifactError as error:
        return judge(NAME, [Measurement("tf.saved_model.load", False, str(error))])
    measurements: list[Measurement] = []
    for case in cases:
        try:
            measurements += _packed(context, case, preprocess(preprocessor, case), detail)
        except ArtifactError as error:
            measurements.append(Measurement(case.name, False, str(error)))
    if context.reference_tokenizer is not None:
        measurements += _tokenized(context, preprocessor, context.reference_tokenizer, detail)
    return judge(NAME, measurements, "\n".join(detail))


def _packed(
    context: Context, case: Case, found: Preprocessed, detail: list[str]
) -> Iterator[Measurement]:
    """Ids, mask and types of the reference's texts, row by row."""
    assert case.texts is not None
    rows = len(case.texts)
    left_out = int(found.cut_otherwise.sum())
    if left_out:
        detail.append(
            f"{case.name}: {left_out} of {rows} pairs are cut by another policy (truncation) than "
            "the reference's and are not compared."
        )
    different: dict[str, np.ndarray] = {}
    for name in ENCODER_INPUTS:
        packed, expected = found.packed[name], found.expected[name]
        if packed.shape != expected.shape:
            shapes = f"shape {list(packed.shape)}", f"shape {list(expected.shape)}"
            yield Measurement(f"{case.name}: {name}", False, *shapes)
            continue
        different[name] = (packed != expected).any(axis=1) & ~found.cut_otherwise
        allowed = _allowed(context, rows)
        what = f"{case.name}: texts with other {name}"
        yield at_most(what, int(different[name].sum()), allowed)
    others = different.get("input_word_ids", np.zeros(0, bool))
    if others.any():
        masks = found.packed["input_mask"] == 1, found.expected["input_mask"] == 1
        comparison = Comparison(rows, int(others.sum()))
        for row in np.flatnonzero(others)[:_SHOWN]:
            ids, expected = (
                each["input_word_ids"][row][mask[row]].tolist()
                for each, mask in zip((found.packed, found.expected), masks, strict=True)
            )
            comparison.first.append((" | ".join(case.texts[row]), ids, expected))
        detail += _lines(comparison, pieces_of(context))


def _tokenized(
    context: Context, preprocessor: TextPreprocessor, directory: Path, detail: list[str]
) -> Iterator[Measurement]:
    """Ids of `.tokenize` against the tokenizer of a directory.

    Where no record says whether literal special tokens in text are recognised, the way in which
    fewer texts differ counts.
    """
    record = context.preprocessor_record
    ways = [bool(record["tokenizer"]["special_tokens_in_text"])] if record else [True, False]
    comparisons = []
    for special_tokens_in_text in ways:
        reference, name = load_reference(directory, special_tokens_in_text)
        try:
            comparisons.append(compare(preprocessor.tokens, reference, DIFFICULT_TEXTS))
        except ArtifactError as error:
            yield Measurement("difficult texts", False, str(error))
            return
    comparison = min(comparisons, key=lambda each: each.differences)
    what = f"difficult texts with other ids than {name}"
    yield at_most(what, comparison.differences, _allowed(context, comparison.texts))
    if comparison.differences:
        comparison.first = comparison.first[:_SHOWN]
        detail += _lines(comparison, pieces_of(context))


def _allowed(context: Context, texts: int) -> int:
    """How many of so many texts may differ."""
    record = context.preprocessor_record
    differ = bool(record and record["tokenizer"]["differences_to_the_reference"])
    return texts // _MANY if differ else 0


def _lines(comparison: Comparison, pieces: Sequence[str]) -> list[str]:
    return [f"{label}: {value}" for label, value in describe(comparison, pieces)]


def pieces_of(context: Context) -> list[str]:
    """The pieces by id, for messages; none where nothing at hand tells them.

    Told by a tokenizer.json of --reference_tokenizer, or by a vocabulary that the artifact carries.
    """
    directory = context.reference_tokenizer
    if directory is not None and (directory / TOKENIZER_JSON).is_file():
        import tokenizers

        known = tokenizers.Tokenizer.from_file(str(directory / TOKENIZER_JSON))
        size = known.get_vocab_size()
        return [known.id_to_token(number) or str(number) for number in range(size)]
    assert context.preprocessor is not None
    assets = read_saved_model(context.preprocessor).assets
    files = [asset.name for asset in assets if asset.name.endswith(".txt") and asset.nbytes]
    if len(files) != 1:  # merges and other tables are not a list of pieces
        return []
    text = (context.preprocessor / "assets" / files[0]).read_text("utf-8", "replace")
    return text.removesuffix("\n").split("\n")

"""Whether the masked-language-model head finds words that a trained model finds.

With `mlm_sentences` in the reference: the head must choose the reference's piece at every mask
(where the reference's two best are a tie within the tolerance, either), and give the true pieces
the same mean negative log-likelihood (NLL).

Without: sentences of `validation.sentences`, tokenized by the preprocessor, one word masked that is
one piece. The mean NLL of the true pieces is taken for each language, and the best language counts:
a model knows its own, not all. A model that has learned nothing gives each of V pieces the same,
ln V nats on average; a trained one is far below. Between them lies the limit, `LEARNED * ln V`.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from hubexport.families.heads import INTERFACES, POSITIONS
from hubexport.validation.artifact import flatten
from hubexport.validation.cases import MASKED_CASE, Case, Tensors
from hubexport.validation.context import Context
from hubexport.validation.gates.text.client import (
    ArtifactError,
    TextPreprocessor,
)
from hubexport.validation.reference_file import Reference
from hubexport.validation.results import GateResult, Measurement, at_most, in_a_line, judge, not_run
from hubexport.validation.sentences import MLM_SENTENCES
from hubexport.validation.sizes import fitting

NAME = "mlm sanity"
SUMMARY = "masked words are predicted as by the reference"
NEEDS = ("encoder",)
LOADED = True
APART = False
EACH_PRECISION = True

LEARNED = 0.6
"""Of ln V. With V = 30,000 that is a probability of 0.002 for the true piece, 60 times 1 / V."""

_CASE = MASKED_CASE
_HEAD = next(name for name, head in INTERFACES.items() if POSITIONS in head.inputs)
(_LOGITS,) = INTERFACES[_HEAD].outputs


def run(context: Context) -> GateResult:
    """Against the reference if that has sentences, else against ln V."""
    if _HEAD not in context.encoder.heads:
        return not_run(NAME, f"the encoder has no .{_HEAD}")
    reference = context.reference
    case = reference.cases.get(_CASE) if reference else None
    if case is not None and not context.fits(case):
        return not_run(NAME, "the reference's sentences are longer than the model's positions")
    true = case.masked_lm_ids if case else None
    if reference and case and true is not None and _LOGITS in reference.outputs(_CASE):
        return _against_reference(context, reference, case, true)
    if context.preprocessor is None:
        why = "the reference has no masked sentences" if reference else "there is no --reference"
        return not_run(NAME, f"{why}, and there is no --preprocessor")
    try:
        preprocessor = TextPreprocessor(context)
        found = masked_sentences(preprocessor, context.sizes, context.preprocessor_record)
    except ArtifactError as error:
        return judge(NAME, [Measurement("the preprocessor", False, str(error))])
    if isinstance(found, str):
        return not_run(NAME, found)
    return _by_language(context, found)


def _against_reference(
    context: Context, reference: Reference, case: Case, true: np.ndarray
) -> GateResult:
    """Choices and likelihoods as the reference's."""
    expected = reference.output(_CASE, _LOGITS).astype(np.float64)
    try:
        logits = _logits(context, case.inputs)
    except ArtifactError as error:
        return judge(NAME, [Measurement("runs", False, str(error))])
    if logits.shape != expected.shape:
        shapes = f"shape {list(logits.shape)}", f"shape {list(expected.shape)}"
        return judge(NAME, [Measurement(_LOGITS, False, *shapes)])
    tolerance = context.tolerance(case.shape[1])
    limit = tolerance.limits(_LOGITS, float(np.sqrt(np.mean(np.square(expected))))).max_abs
    chosen = logits.argmax(axis=-1)[..., np.newaxis]
    # Two logits that are each off by the limit can change places if they are twice as near.
    behind = expected.max(axis=-1) - np.take_along_axis(expected, chosen, axis=-1)[..., 0]
    nll, of_reference = _nll(logits, true).mean(), _nll(expected, true).mean()
    apart = abs(nll - of_reference)
    measurements = [
        at_most(
            "masks with another first choice than the reference's",
            int((behind > 2 * limit).sum()),
            0,
        ),
        at_most("mean NLL of the true pieces, distance from the reference's, nats", apart, limit),
    ]
    random = math.log(logits.shape[-1])
    detail = (
        f"Mean NLL of the true pieces of {true.size} masks: {nll:.3f} nats, the reference's "
        f"{of_reference:.3f}; ln V is {random:.3f}."
    )
    if of_reference >= random:
        detail += " The reference itself has not learned to predict them."
    return judge(NAME, measurements, detail)


def _by_language(context: Context, sentences: MaskedSentences) -> GateResult:
    """The best language's mean NLL against ln V."""
    try:
        logits = _logits(context, sentences.inputs)
    except ArtifactError as error:
        return judge(NAME, [Measurement("runs", False, str(error))])
    rows, vocab_size = len(sentences.languages), logits.shape[-1]
    if logits.shape[:2] != (rows, 1) or sentences.true.max() >= vocab_size:
        what = f"{_LOGITS}: shape {list(logits.shape)}"
        return judge(NAME, [Measurement(what, False, limit=f"[{rows}, 1, V]")])
    by_language: dict[str, list[float]] = defaultdict(list)
    for language, nll in zip(sentences.languages, _nll(logits, sentences.true)[:, 0], strict=True):
        by_language[language].append(float(nll))
    means = {language: float(np.mean(values)) for language, values in by_language.items()}
    best = min(means, key=lambda language: means[language])
    random = math.log(vocab_size)
    measurements = [
        at_most(
            f"mean NLL of the masked pieces, {best}, best of {len(means)} languages, nats",
            means[best],
            LEARNED * random,
        )
    ]
    shown = ", ".join(f"{language} {mean:.2f}" for language, mean in sorted(means.items()))
    detail = (
        f"{rows} masks; mean NLL by language: {shown}; ln V is {random:.2f}. "
        f"There is no reference with such sentences: the limit is {LEARNED} ln V."
    )
    return judge(NAME, measurements, detail)


def _logits(context: Context, inputs: Tensors) -> np.ndarray:
    """`mlm_logits` as float64 [B, N, V].

    Raises:
      ArtifactError: the head does not run, or gives no such thing.
    """
    try:
        outputs = flatten(context.encoder.call(_HEAD, inputs))
    except Exception as error:  # whatever TensorFlow and the graph say
        raise ArtifactError(in_a_line(error)) from error
    logits = outputs.get(_LOGITS)
    if logits is None or logits.ndim != 3:
        raise ArtifactError(f"{_LOGITS}: {'missing' if logits is None else list(logits.shape)}")
    return logits.astype(np.float64)


def _nll(logits: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of the true pieces [B, N], in nats."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=-1))
    nll: np.ndarray = total - np.take_along_axis(shifted, true[..., np.newaxis], axis=-1)[..., 0]
    return nll


_LENGTH = 64
# Letters of scripts that next to no vocabulary has, no two with equal bytes.
_RARE = ("\U00012000", "\U000103a0", "\U00013000", "\U00016800", "\ua000")


@dataclasses.dataclass(frozen=True)
class MaskedSentences:
    """Attributes:

    inputs: the encoder's, int32 [B, S], and `masked_lm_positions` [B, 1].
    true: int32 [B, 1], the pieces that were masked.
    languages: of each row.
    """

    inputs: Tensors
    true: np.ndarray
    languages: list[str]


def masked_sentences(
    preprocessor: TextPreprocessor, sizes: Mapping[str, int], record: Mapping[str, Any] | None
) -> MaskedSentences | str:
    """The sentences that can be used, or why none can.

    One can if the word to mask is one piece, the same in the sentence as at the end of its
    beginning, and no piece is unknown.

    Raises:
      ArtifactError: the preprocessor does not work.
    """
    special = preprocessor.special_tokens()
    if "mask_id" not in special:
        return "the preprocessor reports no mask_id"
    unknown = _unknown_ids(preprocessor, record)
    starts = [text[: text.index(word)].rstrip() for _, text, word in MLM_SENTENCES]
    whole = preprocessor.tokens([sentence for _, sentence, _ in MLM_SENTENCES])
    before = preprocessor.tokens(starts)
    through = preprocessor.tokens(
        [text[: text.index(word) + len(word)] for _, text, word in MLM_SENTENCES]
    )
    languages, masked, true = [], [], []
    for number, (language, _, _) in enumerate(MLM_SENTENCES):
        ids, place = whole[number], len(before[number])
        alone = through[number] == [*before[number], *ids[place : place + 1]]
        if alone and ids[: place + 1] == through[number] and not unknown & set(ids):
            languages.append(language)
            true.append(ids[place])
            masked.append([*ids[:place], special["mask_id"], *ids[place + 1 :]])
    if not masked:
        return "of the sentences at hand none has all its pieces and the word to mask as a piece"
    packed = preprocessor.pack([masked], fitting(_LENGTH, sizes))
    at = packed["input_word_ids"] == special["mask_id"]
    fits = at.sum(axis=1) == 1  # others are longer than the model takes
    if not fits.any():
        return "no sentence fits into the model's positions"
    inputs = {name: value[fits].astype(np.int32) for name, value in packed.items()}
    inputs[POSITIONS] = at[fits].argmax(axis=1).astype(np.int32)[:, np.newaxis]
    kept = np.flatnonzero(fits)
    pieces = np.array(true, np.int32)[kept][:, np.newaxis]
    return MaskedSentences(inputs, pieces, [languages[row] for row in kept])


def _unknown_ids(preprocessor: TextPreprocessor, record: Mapping[str, Any] | None) -> set[int]:
    """The id for what cannot be spelled: as recorded, or what different rare letters all become.

    A byte-level vocabulary spells them, each otherwise: nothing is unknown there.
    """
    if record is not None:
        entry = record["tokenizer"]["special_tokens"].get("unknown_id")
        return {entry["id"]} if entry else set()
    tokens = [row for row in preprocessor.tokens(_RARE) if row]
    return {row[-1] for row in tokens if tokens.count(row) > 1}

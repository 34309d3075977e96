"""TF-Hub's interface of text preprocessors, and the graph behind it; no reference is needed.

Interface: tensorflow.org/hub/common_saved_model_apis/text. What is packed is looked at by
`preprocessor_packing`, the graph by `preprocessor_graph`. Of an artifact with a record its promises
are looked at as well: the default length, the special tokens, the optional sub-objects.
"""

from __future__ import annotations

from collections.abc import Iterator

from hubexport.errors import some_of
from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.context import Context
from hubexport.validation.gates.text.calls import optional_parts, pack_forms, use_measurements
from hubexport.validation.gates.text.client import (
    SPECIAL_TOKENS,
    ArtifactError,
    TextPreprocessor,
    as_packed,
    attempt,
    check,
    different_rows,
    form_of_packed,
    shape_of_packed,
    strings,
)
from hubexport.validation.gates.text.graph import graph_measurements
from hubexport.validation.gates.text.packing import packing_measurements
from hubexport.validation.results import GateResult, Measurement, at_most, judge

NAME = "preprocessor interface"
SUMMARY = "TF-Hub's: ids, packing, bad text, Dataset.map"
NEEDS = ("preprocessor",)
LOADED = False
APART = False
EACH_PRECISION = False


ODD_TEXTS: dict[str, list[bytes]] = {
    "an empty batch": [],
    "empty texts": [b"", b" ", b"\n"],
    "bytes that are not UTF-8": [b"\xff\xfe", b"a\xc3 b", b"\xed\xa0\x80x", b"\x00", b"a\x00b"],
    "long texts": [b"word " * 50_000, b"x" * 250_000],
}


def run(context: Context) -> GateResult:
    """Calls everything that the interface has, with all that may be passed."""
    assert context.preprocessor is not None
    measurements = list(graph_measurements(context.preprocessor))
    try:
        preprocessor = TextPreprocessor(context)
    except ArtifactError as error:
        loads = Measurement("tf.saved_model.load", False, str(error))
        return judge(NAME, [loads, *measurements])
    measurements += _forms(context, preprocessor)
    measurements += _odd_texts(preprocessor)
    measurements += _repeats(preprocessor)
    measurements += pack_forms(preprocessor)
    measurements += packing_measurements(preprocessor, context.preprocessor_record)
    measurements += use_measurements(preprocessor, ours=context.preprocessor_record is not None)
    measurements += optional_parts(preprocessor, context.preprocessor_record)
    return judge(NAME, measurements)


def _forms(context: Context, preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    """Names, dtypes and shapes of what root, `.tokenize` and its dict give."""
    record = context.preprocessor_record
    texts = list(DIFFICULT_TEXTS)

    def root() -> str:
        value = attempt(preprocessor.loaded, strings(texts))
        packed = as_packed(value)
        if extra := sorted(set(value) - set(ENCODER_INPUTS)):
            return f"beside the three: {', '.join(extra)}"
        return form_of_packed(packed, len(texts), None)

    yield check("root: what it gives", root, "int32 [B, S] each: " + ", ".join(ENCODER_INPUTS))
    if record is not None:
        length = int(record["default_seq_length"])
        yield check(
            "root: default length, as recorded",
            lambda: _not(preprocessor.root(["a"])["input_word_ids"].shape[-1], length),
            str(length),
        )

    def tokenize() -> str:
        tokens = preprocessor.ragged(texts)
        rank = tokens.shape.rank
        found = f"{tokens.dtype.name}, rank {rank}"
        right = tokens.dtype.name == "int32" and rank in (2, 3) and tokens.ragged_rank == rank - 1
        return "" if right and tokens.shape[0] == len(texts) else found

    yield check("tokenize: what it gives", tokenize, "int32 RaggedTensor of rank 2 or 3")
    yield check("tokenize.get_special_tokens_dict", lambda: _special_tokens(context, preprocessor))

    def known() -> str:
        size = preprocessor.special_tokens().get("vocab_size", 0)
        ids = [each for row in preprocessor.tokens(texts) for each in row]
        ids += preprocessor.root(texts)["input_word_ids"].ravel().tolist()
        wrong = sorted({each for each in ids if not 0 <= each < size})
        return some_of(map(str, wrong)) if wrong else ""

    yield check("ids are below vocab_size", known)


def _special_tokens(context: Context, preprocessor: TextPreprocessor) -> str:
    """Scalars of int32, of known ids; of all names, or of those that the record says there are."""
    found = attempt(preprocessor.part("tokenize").get_special_tokens_dict)
    ids = preprocessor.special_tokens()
    needed: dict[str, int | None] = dict.fromkeys(SPECIAL_TOKENS)
    if context.preprocessor_record is not None:
        tokenizer = context.preprocessor_record["tokenizer"]
        needed = {
            name: entry["id"]
            for name, entry in tokenizer["special_tokens"].items()
            if name in SPECIAL_TOKENS
        } | {"vocab_size": tokenizer["vocab_size"]}
    wrong = [f"{name}: missing" for name in needed if name not in ids]
    for name, number in ids.items():
        dtype = getattr(getattr(found[name], "dtype", None), "name", type(found[name]).__name__)
        shape = getattr(found[name], "shape", ())
        if dtype != "int32" or tuple(shape) != ():
            wrong.append(f"{name}: {dtype} {list(shape)}")
        if name != "vocab_size" and not 0 <= number < ids.get("vocab_size", 0):
            wrong.append(f"{name}: {number} of {ids.get('vocab_size')}")
        if needed.get(name) not in (None, number):
            wrong.append(f"{name}: {number}, recorded {needed[name]}")
    return "; ".join(wrong)


def _odd_texts(preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    for what, texts in ODD_TEXTS.items():

        def look(texts: list[bytes] = texts) -> str:
            preprocessor.tokens(texts)
            return shape_of_packed(preprocessor.root(texts), len(texts), None)

        yield check(f"takes {what}", look)


def _repeats(preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    """A text's ids depend on nothing but the text."""
    texts = list(DIFFICULT_TEXTS)
    try:
        tokens, packed = preprocessor.tokens(texts), preprocessor.root(texts)
        different = int(different_rows(preprocessor.root(texts), packed).sum())
        again = preprocessor.tokens(texts)
        different += again != tokens
        yield at_most("texts with other ids the second time", different, 0)
        alone = 0
        for number, text in enumerate(texts):
            row = {name: value[number : number + 1] for name, value in packed.items()}
            other = preprocessor.tokens([text]) != [tokens[number]]
            alone += other or bool(different_rows(preprocessor.root([text]), row).any())
        yield at_most("texts with other ids alone than in a batch", alone, 0)
    except ArtifactError as error:
        yield Measurement("texts have ids of their own", False, str(error))


def _not(found: int, wanted: int) -> str:
    return "" if found == wanted else str(found)

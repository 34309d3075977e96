"""A preprocessor's optional parts, and how it is called: in tf.data, functions and signatures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.gates.text.client import (
    ArtifactError,
    Ids,
    Packed,
    TextPreprocessor,
    as_packed,
    as_ragged,
    attempt,
    check,
    different_rows,
    flat_rows,
    form_of_packed,
    strings,
)
from hubexport.validation.results import Measurement

_TEXTS = ("The quick brown fox jumps over the lazy dog.", "", "a b c")
_LENGTH, _OTHER_LENGTH = 16, 20


def pack_forms(preprocessor: TextPreprocessor) -> Iterator[Measurement]:
    """1 or 2 segments, with words or without, the length left out, a number or a tensor."""
    import tensorflow as tf

    try:
        ids: Ids = preprocessor.tokens(_TEXTS)
        root = preprocessor.root(_TEXTS)
    except ArtifactError as error:
        yield Measurement("bert_pack_inputs", False, str(error))
        return
    default = root["input_word_ids"].shape[1]
    length = _LENGTH if default != _LENGTH else _OTHER_LENGTH
    lengths: dict[str, dict[str, Any]] = {
        "left out": {},
        "a Python int": {"seq_length": length},
        "a tensor": {"seq_length": tf.constant(length, tf.int32)},
    }
    for count in (1, 2):
        joined: dict[int | None, Packed] = {}  # by length: what was packed without words
        for words in (False, True):
            segments = [as_ragged(ids, words)] * count
            for how, keywords in lengths.items():
                wanted = length if keywords else None

                def look(
                    segments: Sequence[Any] = segments,
                    keywords: Mapping[str, Any] = keywords,
                    wanted: int | None = wanted,
                    joined: dict[int | None, Packed] = joined,
                ) -> str:
                    pack = preprocessor.part("bert_pack_inputs")
                    packed = as_packed(attempt(pack, list(segments), **keywords))
                    if wrong := form_of_packed(packed, len(_TEXTS), wanted):
                        return wrong
                    first = joined.setdefault(wanted, packed)
                    rows = int(different_rows(packed, first).sum())
                    return f"{rows} texts are packed otherwise than in another form" if rows else ""

                yield check(
                    f"bert_pack_inputs: {count} of ragged rank {1 + words}, seq_length {how}",
                    look,
                    f"int32 [B, {wanted or 'S'}]",
                )

    def same_as_root() -> str:
        packed = as_packed(attempt(preprocessor.part("bert_pack_inputs"), [as_ragged(ids)]))
        rows = int(different_rows(packed, root).sum())
        return f"{rows} of {len(_TEXTS)} texts" if rows else ""

    yield check("root is bert_pack_inputs of tokenize", same_as_root)


def optional_parts(
    preprocessor: TextPreprocessor, record: Mapping[str, Any] | None
) -> Iterator[Measurement]:
    """`.tokenize_with_offsets` and `.detokenize`, where they are or the record promises them.

    tensorflow_text's own tokenizers lower-case and decompose first and give the bytes of that, so
    offsets into other than ASCII text are looked at only where a record promises exactness.
    """
    promised = {
        "tokenize_with_offsets": bool(record and record["tokenize_with_offsets"]),
        "detokenize": bool(record and not record["tokenizer"]["no_detokenize"]),
    }
    exact = record is not None and record["tokenizer"]["normalization"] == "exact"
    texts = [text for text in DIFFICULT_TEXTS if exact or text.isascii()]
    looks: dict[str, Callable[[TextPreprocessor], str]] = {
        "tokenize_with_offsets": functools.partial(_offsets, texts),
        "detokenize": _detokenize,
    }
    for name, look in looks.items():
        if promised[name] or getattr(preprocessor.loaded, name, None) is not None:
            yield check(name, functools.partial(look, preprocessor))


def _offsets(texts: Sequence[str], preprocessor: TextPreprocessor) -> str:
    """The ids of `.tokenize`, and for each the bytes from start to limit, within the text."""
    import tensorflow as tf

    found = attempt(preprocessor.part("tokenize_with_offsets"), strings(texts))
    if not isinstance(found, list | tuple) or len(found) != 3:
        return f"gives a {type(found).__name__}, needed ids, starts and limits"
    if not all(isinstance(each, tf.RaggedTensor) for each in found):
        return "not three RaggedTensors"
    if not all(each.dtype.is_integer for each in found):
        return f"dtypes {', '.join(each.dtype.name for each in found)}"
    ids, starts, limits = (flat_rows(each) for each in found)
    if ids != preprocessor.tokens(texts):
        return "other ids than tokenize"
    if [len(row) for row in starts] != [len(row) for row in ids] or [
        len(row) for row in limits
    ] != [len(row) for row in ids]:
        return "other row splits than the ids"
    outside = sum(
        not 0 <= start <= limit <= len(text.encode())
        for text, row, ends in zip(texts, starts, limits, strict=True)
        for start, limit in zip(row, ends, strict=True)
    )
    return f"{outside} pieces are not within their text" if outside else ""


def _detokenize(preprocessor: TextPreprocessor) -> str:
    """A text for each row of ids."""
    texts = list(DIFFICULT_TEXTS)
    tokens = preprocessor.ragged(texts)
    found = attempt(preprocessor.part("detokenize"), tokens)
    dtype = getattr(getattr(found, "dtype", None), "name", type(found).__name__)
    shape = list(np.shape(attempt(lambda: found.numpy())))
    return "" if dtype == "string" and shape == [len(texts)] else f"{dtype} {shape}"


_BATCH = 3
_SIGNATURE = "signature serving_default"


def use_measurements(preprocessor: TextPreprocessor, *, ours: bool) -> Iterator[Measurement]:
    """The same encoder inputs, whichever way the root is called.

    Args:
      ours: whether the artifact is hubexport's, whose signature has names that are promised. The
        interface has no signatures: of others it counts that the three tensors are given.
    """
    texts = list(DIFFICULT_TEXTS)
    try:
        direct = preprocessor.root(texts)
    except ArtifactError as error:
        yield Measurement("root on texts", False, str(error))
        return

    def compared(run: Callable[[], Packed]) -> str:
        rows = int(different_rows(run(), direct).sum())
        return f"{rows} of {len(texts)} texts differ" if rows else ""

    yield check(
        "in a tf.function",
        functools.partial(compared, functools.partial(_in_function, preprocessor, texts)),
    )
    for batched in (True, False):
        mapped = functools.partial(in_dataset, preprocessor, texts, batched)
        what = f"in Dataset.map, {'batched' if batched else 'text by text'}"
        yield check(what, functools.partial(compared, mapped))
    signature = getattr(preprocessor.loaded, "signatures", {}).get("serving_default")
    if signature is not None or ours:
        yield check(_SIGNATURE, lambda: _signature(signature, texts, direct, ours=ours))


def in_dataset(preprocessor: TextPreprocessor, texts: list[str], batched: bool = True) -> Packed:
    """What `Dataset.map` gives with two calls at a time, in order."""
    import tensorflow as tf

    def mapped() -> dict[str, np.ndarray]:
        dataset = tf.data.Dataset.from_tensor_slices(strings(texts))
        if batched:
            dataset = dataset.batch(_BATCH)
        dataset = dataset.map(
            lambda text: preprocessor.loaded(text if batched else text[tf.newaxis]),
            num_parallel_calls=2,
        )
        found = list(dataset)
        return {name: tf.concat([each[name] for each in found], axis=0) for name in ENCODER_INPUTS}

    return as_packed(attempt(mapped))


def _in_function(preprocessor: TextPreprocessor, texts: list[str]) -> Packed:
    import tensorflow as tf

    signature = [tf.TensorSpec([None], tf.string)]

    def traced() -> Any:
        function = tf.function(lambda text: preprocessor.loaded(text), input_signature=signature)
        return function(strings(texts))

    return as_packed(attempt(traced))


def _signature(signature: Any, texts: list[str], direct: Packed, *, ours: bool) -> str:
    """What is wrong with the signature; "" for nothing."""
    if signature is None:
        return "absent"
    takes = list(attempt(lambda: signature.structured_input_signature[1]))
    if len(takes) != 1 or (ours and takes != ["text"]):
        return f"takes {', '.join(takes)}"
    found = attempt(signature, **{takes[0]: strings(texts)})
    if not isinstance(found, Mapping):
        return f"gives a {type(found).__name__}"
    if ours or set(found) == set(ENCODER_INPUTS):
        rows = int(different_rows(as_packed(found), direct).sum())
        return f"{rows} of {len(texts)} texts differ" if rows else ""
    # Keras calls outputs after layers: the three tensors, under whatever names.
    values = [attempt(lambda each=each: each.numpy()) for each in found.values()]
    missing = [
        name
        for name in ENCODER_INPUTS
        if not any(np.array_equal(direct[name], value) for value in values)
    ]
    return f"{', '.join(sorted(found))}: none is {', '.join(missing)}" if missing else ""

"""A preprocessor used as programs use it: in a tf.function, in an input pipeline, in a server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hubexport.tokenizers.difficult_texts import DIFFICULT_TEXTS
from hubexport.validation.cases import ENCODER_INPUTS
from hubexport.validation.gates.text_preprocessor import (
    ArtifactError,
    Packed,
    TextPreprocessor,
    as_packed,
    attempt,
    check,
    different_rows,
    strings,
)
from hubexport.validation.results import Measurement

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

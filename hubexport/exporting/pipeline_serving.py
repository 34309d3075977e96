"""What a pipeline has for TensorFlow Serving: requests for its warmup, and ops that it knows.

A server replays the requests while it loads a model, before it takes others. Of each signature the
first takes seconds: its part of the graph is optimized, and executors are made for it. Of a
base-sized BERT on two busy processors that was 4 to 8 seconds, and then 0.2 for the same text, 0.5
for one of 64 words and 3 for one of 512, each the first time as the second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hubexport.errors import HubexportError, some_of
from hubexport.saved_model.ops import not_served
from hubexport.tf_formats.prediction_log import predict_log, read_predict_log
from hubexport.tf_formats.records import write_records

WARMUP_PATH = Path("assets.extra", "tf_serving_warmup_requests")
"""Where TensorFlow Serving looks for them."""
MAXIMUM_REQUESTS = 1000
"""With more, it refuses the model: kMaxNumRecords of its saved_model_warmup_util.h."""
SHORT, MIDDLE, LONGEST = 4, 64, 512
"""Words; longer texts would take too long for a start."""
BATCH = 2
"""Texts: servers that batch refuse requests of more than their `max_batch_size`, and with them the
model; 2 is the least that is a batch."""
_WORDS = ("the", "cat", "sat", "on", "the", "mat")
"""Of one token or few in any vocabulary."""
_DEFAULT = "serving_default"


class WarmupError(HubexportError):
    """A request fails, with which a server would refuse the model."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Attributes:

    signature: its name.
    inputs: name -> texts [B].
    """

    signature: str
    inputs: Mapping[str, tuple[bytes, ...]]


def warmup_requests(signatures: Mapping[str, Iterable[str]], max_seq_length: int) -> list[Request]:
    """What signatures are asked for: a text, a longer one, and some at once.

    The first signature is asked for a long one, too: memory that is short is then so at the start.

    Args:
      signatures: name -> its inputs, texts all.
      max_seq_length: tokens of the longest text.
    """
    names = sorted(signatures, key=lambda name: (name != _DEFAULT, name))
    lengths = [min(length, max_seq_length) for length in (SHORT, MIDDLE, LONGEST)]
    asked = [(name, [length]) for length in lengths[:2] for name in names]
    asked += [(name, lengths[:1] * BATCH) for name in names]
    asked += [(name, lengths[2:]) for name in names[:1]]
    requests = [
        Request(name, {each: tuple(map(_text, texts)) for each in signatures[name]})
        for name, texts in asked
    ]
    return requests[:MAXIMUM_REQUESTS]


def _text(words: int) -> bytes:
    return " ".join(_WORDS[i % len(_WORDS)] for i in range(words)).encode()


def write_warmup(directory: Path, requests: Iterable[Request]) -> Path:
    """Writes the file into a SavedModel, and gives its path."""
    path = directory / WARMUP_PATH
    path.parent.mkdir(exist_ok=True)
    write_records(path, (predict_log(each.signature, each.inputs) for each in requests))
    return path


def replay(directory: Path, loaded: Any) -> None:
    """Asks a loaded pipeline for what is in its file.

    Of signatures with the same inputs and outputs, which differ by a prompt, only the first one.

    Raises:
      WarmupError: a request fails.
    """
    import tensorflow as tf

    first: dict[tuple[frozenset[str], frozenset[str]], str] = {}
    for record in tf.data.TFRecordDataset(str(directory / WARMUP_PATH)):
        name, texts = read_predict_log(record.numpy())
        signature = loaded.signatures[name]
        form = frozenset(texts), frozenset(signature.structured_outputs)
        if first.setdefault(form, name) != name:
            continue
        try:
            signature(**{key: tf.constant(each, tf.string) for key, each in texts.items()})
        except (tf.errors.OpError, TypeError, ValueError) as error:
            raise WarmupError(
                "a request with which servers warm up fails",
                [("signature", name), ("found", str(error).partition("\n")[0])],
                "report this: the artifact was not written.",
            ) from error


def lacking_servers(ops: Iterable[str]) -> list[str]:
    """Warnings of servers that do not know one of a pipeline's ops."""
    return [
        f"TensorFlow Serving {release} lacks ops of this pipeline: {some_of(names)}"
        for release, names in not_served(ops).items()
    ]

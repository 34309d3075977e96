"""The run: loads the SavedModels, and puts one batch after the other through them."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hubexport.errors import HubexportError
from hubexport.running.lines import Row, batches
from hubexport.running.plan import DEFAULT_SIGNATURE, Plan
from hubexport.running.writers import JsonLines, open_writer

KEPT = 12
"""Texts of which outputs are kept, for whoever wants to look at them."""


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a run did.

    Attributes:
      texts: how many lines there were.
      load_seconds: to import TensorFlow and load the SavedModels.
      seconds: from the first text read to the last output written.
      shapes: of each output's rows, of the last batch.
      first: the first `KEPT` lines.
      values: their outputs, by name, [texts, ...].
    """

    texts: int
    load_seconds: float
    seconds: float
    shapes: Mapping[str, tuple[int, ...]]
    first: Sequence[Row]
    values: Mapping[str, np.ndarray[Any, Any]]


def run_texts(
    plan: Plan, source: Path, output: Path | None, batch_size: int, *, show_progress: bool
) -> Ran:
    """Runs every line of a file.

    Args:
      plan: what is run.
      source: the file, or `lines.STDIN`.
      output: the file to write, with an ending of `writers.FORMATS`; None for JSON lines on
        standard output.
      batch_size: lines that are run at a time.
      show_progress: whether a bar may be shown.

    Raises:
      HubexportError: the input is empty or wrong, or the SavedModel fails on it.
    """
    with contextlib.ExitStack() as stack:
        writer = (
            JsonLines(sys.stdout)
            if output is None
            else stack.enter_context(open_writer(output, plan.outputs))
        )
        started = time.monotonic()
        models = _Models(plan)
        loaded = time.monotonic()
        read = batches(source, len(plan.columns), batch_size, show=show_progress)
        names = [f"input_{each}" if each in plan.outputs else each for each in plan.columns]
        count, first = 0, list[Row]()
        shapes: dict[str, tuple[int, ...]] = {}
        values: dict[str, list[Any]] = {name: [] for name in plan.outputs}
        for rows in stack.enter_context(read):
            outputs = models(rows, count)
            columns = zip(names, map(list, zip(*rows, strict=True)), strict=True)
            writer.write({**dict(columns), **outputs})
            room = KEPT - len(first)
            for name in plan.outputs if room > 0 else ():
                values[name] += list(outputs[name][:room])
            first += rows[:room] if room > 0 else []
            shapes = {name: value.shape[1:] for name, value in outputs.items()}
            count += len(rows)
        if not count:
            raise HubexportError(
                "the input has no lines",
                [("--input", str(source))],
                "put a text on each line.",
            )
        finished = time.monotonic()
    same = {n: v for n, v in values.items() if len(set(map(np.shape, v))) == 1}
    kept = {name: np.stack(each) for name, each in same.items()}
    return Ran(count, loaded - started, finished - loaded, shapes, first, kept)


class _Models:
    """Rows to outputs."""

    def __init__(self, plan: Plan):
        import tensorflow as tf

        for module in plan.imports:
            importlib.import_module(module)
        self._plan = plan
        self._model = self._load(tf, plan.saved_model)
        if plan.preprocessor is not None:
            self._preprocessor = self._load(tf, plan.preprocessor)
        else:
            self._preprocessor = self._model  # used where it packs two texts

    def __call__(self, rows: Sequence[Row], before: int) -> dict[str, np.ndarray[Any, Any]]:
        """The outputs of a batch.

        Args:
          rows: their texts.
          before: number of the lines that came before.

        Raises:
          HubexportError: TensorFlow fails, or an output has no row for each text.
        """
        import tensorflow as tf

        lines = f"{before + 1:,} to {before + len(rows):,}"
        texts = {
            name: tf.constant(column)
            for name, column in zip(self._plan.columns, zip(*rows, strict=True), strict=True)
        }
        try:
            given = self._call(tf, texts)
        except (tf.errors.OpError, ValueError) as error:
            message = getattr(error, "message", str(error))
            raise HubexportError(
                "the SavedModel failed",
                [
                    ("SavedModel", str(self._plan.saved_model)),
                    ("lines", lines),
                    ("TensorFlow", str(message).strip().splitlines()[0]),
                ],
                "look at these lines; if their texts are longer than the encoder has positions, "
                "export its preprocessor with `hubexport preprocessor --default_seq_length=128`.",
            ) from error
        outputs = {name: _array(given[name]) for name in self._plan.outputs}
        for name, value in outputs.items():
            if value.shape[:1] != (len(rows),):
                raise HubexportError(
                    "an output has no row for each text",
                    [
                        ("output", name),
                        ("shape", str(list(value.shape))),
                        ("texts", f"{len(rows)}"),
                    ],
                    "choose others with --outputs.",
                )
        return outputs

    def _call(self, tf: Any, texts: dict[str, Any]) -> Mapping[str, Any]:
        plan = self._plan
        if plan.preprocessor is None and plan.signature is not None:
            return self._signature(self._model, plan.signature, texts)
        if len(texts) > 1:
            tokenize = self._preprocessor.tokenize
            inputs = self._preprocessor.bert_pack_inputs([tokenize(t) for t in texts.values()])
        else:
            spec = self._preprocessor.signatures[DEFAULT_SIGNATURE].structured_input_signature[1]
            named = dict(zip(spec, texts.values(), strict=True))
            inputs = self._signature(self._preprocessor, DEFAULT_SIGNATURE, named)
        if plan.signature is None:
            packed: Mapping[str, Any] = inputs
            return packed
        taken = {name: inputs[name] for name in plan.inputs}
        return self._signature(self._model, plan.signature, taken)

    @staticmethod
    def _signature(model: Any, name: str, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        outputs: Mapping[str, Any] = model.signatures[name](**inputs)
        return outputs

    @staticmethod
    def _load(tf: Any, directory: Path) -> Any:
        try:
            return tf.saved_model.load(str(directory))
        except (tf.errors.OpError, OSError, ValueError) as error:
            raise HubexportError(
                "TensorFlow cannot load the SavedModel",
                [
                    ("SavedModel", str(directory)),
                    ("found", str(getattr(error, "message", error)).strip().splitlines()[0]),
                ],
                "`hubexport validate` looks at its files.",
            ) from error


def _array(tensor: Any) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = tensor.numpy()
    # NumPy's formats, and JSON, know no bfloat16.
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values

"""An artifact's programs at given shapes, to be timed where there is no TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inputs import NAMES, make_inputs

from hubexport.saved_model.record import load_record
from hubexport.validation.cases import Case
from hubexport.validation.context import Context
from hubexport.validation.devices import connect
from hubexport.validation.pjrt.bundle import write_bundle


def lower(artifact: Path, bundle: Path, shapes: Sequence[tuple[int, int]], vocab_size: int) -> None:
    """Writes a bundle without weights, which are drawn from a seed where it runs."""
    host = connect("cpu")
    record = load_record(artifact)
    context = Context(artifact, None, record, None, None, None, host, host.precisions[0])
    context.cases = [
        Case(f"{rows} x {tokens}", {n: made[n] for n in NAMES})
        for rows, tokens in shapes
        for made in [make_inputs(rows, tokens, 0, vocab_size)]
    ]
    write_bundle(context, bundle, weights="seed", overwrite=True)
    context.close()

"""Which tasks a model is timed at, and how often."""

from __future__ import annotations

from collections.abc import Iterator

from interleaving import Task
from models import OURS, Model

CALLS = (
    "encoder", "training", "session", "text", "preprocessing", "signature", "mlm", "compiled"
)  # fmt: skip
PADDED = 0.4  # mean share of padding in tasks with it
FEW = 2  # counted turns of tasks that take minutes


def tasks(model: Model, turns: int, *, quick: bool, long: bool) -> Iterator[tuple[Task, int, int]]:
    """Tasks with their counted and their uncounted turns, the most important task first.

    `quick` leaves out what takes long, `long` adds the longest task of the largest model.
    """
    # Each contender does a task once before its first turn; more warming up would take minutes.
    short, minutes = (turns, 1), (min(turns, FEW), 0)
    small, large = model.hidden_size <= 256, model.layers > 12
    yield Task("encoder", 1, 128), *short
    yield Task("encoder", 8, 128), *short
    if not quick:
        yield Task("encoder", 32, 128), *(minutes if large else short)
        if long or not large:
            yield Task("encoder", 32, 512), *(short if small else minutes)
    yield Task("training", 8, 128), *short
    yield Task("session", 1, 128), *short
    yield Task("session", 8, 128), *short
    yield Task("text", 8, 128), *short
    if not quick and small:
        yield Task("text", 32, 128), *short
    yield Task("preprocessing", 8, 128), *short
    yield Task("encoder", 8, 128, PADDED), *short
    yield Task("signature", 8, 128), *short
    if not quick and not model.talking_heads:
        yield Task("mlm", 8, 128), *short
        yield Task("compiled", 8, 128), *short


def profiled() -> Iterator[tuple[str, Task]]:
    """Contenders, and the tasks that say where their time goes.

    Ours in a session, which has nothing but the graph's own kernels.
    """
    for shape in ((1, 128), (8, 128)):
        yield OURS, Task("session", *shape)
        yield "transformers compiled", Task("encoder", *shape)

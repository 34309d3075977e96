"""Which tasks a model is timed at, and how often."""

from __future__ import annotations

from collections.abc import Iterator

from interleaving import Task
from models import OURS, Model

CALLS = (
    "encoder", "training", "session", "text", "preprocessing", "signature", "mlm", "compiled"
)  # fmt: skip
PADDED = 0.4  # mean share of padding in tasks with it
FEW = 2  # counted turns of tasks of which one takes minutes


def tasks(model: Model, turns: int, *, quick: bool, long: bool) -> Iterator[tuple[Task, int]]:
    """Tasks with their counted turns, the most important first.

    `quick` leaves out what takes long, `long` adds the longest task of the largest model.
    """
    few = min(turns, FEW)
    small, large = model.hidden_size <= 256, model.layers > 12
    yield Task("encoder", 1, 128), turns
    yield Task("encoder", 8, 128), turns
    if not quick:
        yield Task("encoder", 32, 128), few if large else turns
        if long or not large:
            yield Task("encoder", 32, 512), turns if small else few
    yield Task("training", 8, 128), turns
    yield Task("session", 1, 128), turns
    yield Task("session", 8, 128), turns
    yield Task("text", 8, 128), turns
    if not quick and small:
        yield Task("text", 32, 128), turns
    yield Task("preprocessing", 8, 128), turns
    yield Task("encoder", 8, 128, PADDED), turns
    yield Task("signature", 8, 128), turns
    if not quick and not model.talking_heads:
        yield Task("mlm", 8, 128), turns
        yield Task("compiled", 8, 128), turns


def profiled() -> Iterator[tuple[str, Task]]:
    """Contenders, and the tasks that say where their time goes.

    Ours in a session, which has nothing but the graph's own kernels.
    """
    for shape in ((1, 128), (8, 128)):
        yield OURS, Task("session", *shape)
        yield "transformers compiled", Task("encoder", *shape)

"""One contender of a benchmark, in a process of its own: loads, then runs what it is told to.

python contenders.py KIND PATH [OPTION=VALUE ...]

KIND is `saved_model`, `transformers`, `products` or `keras_hub`. The first line says how long
loading took and the first call, the peak of resident memory after it, and which calls it can do.
Then it reads lines of JSON from standard input and answers each with one:
`{"rows": B, "tokens": S, "padding": share, "call": "encoder", "runs": n}` -> `{"seconds": [...]}`.
A request with `"ids": true` for the call `preprocessing` is answered with the ids instead, one with
`"profile": true` with what a call's kernels take: `{"profile": {kernel: [runs, seconds]}}`.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# Threads of PyTorch's that spin at barriers take the time of those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from inputs import make_inputs, make_texts

_OF_TEXTS = ("preprocessing", "text")
_SHORT = 10.0  # seconds of a first call, below which a second one does not matter


def main() -> None:
    kind, path, *given = sys.argv[1:]
    options = dict(option.split("=", 1) for option in given)
    vocabulary = options.pop("texts", "")
    module = importlib.import_module(f"calls_{kind}")  # the framework, not a part of loading
    started = time.perf_counter()
    calls, vocab_size = module.load(path, **options)
    loaded = time.perf_counter() - started
    first = calls["encoder"](make_inputs(1, 16, 0, vocab_size))
    started = time.perf_counter()
    first()
    answer({
        "load": loaded,
        "first": time.perf_counter() - started,
        "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "calls": list(calls),
    })  # fmt: skip
    ready: dict[tuple[Any, ...], Callable[[], Any]] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name, *shape = key = tuple(request[n] for n in ("call", "rows", "tokens", "padding"))
        if key not in ready:
            give_back()  # not between turns of a task, which would have to get it again
            texts = name in _OF_TEXTS
            made = make_texts(shape[0], vocabulary) if texts else make_inputs(*shape, vocab_size)
            ready[key] = calls[name](made)
            started = time.perf_counter()
            ready[key]()  # traced and compiled
            if time.perf_counter() - started < _SHORT:
                ready[key]()
        if request.get("ids"):
            answer({"ids": ready[key]().tolist()})
            continue
        if request.get("profile"):
            answer({"profile": module.profile(ready[key])})
            continue
        seconds = []
        for _ in range(request["runs"]):
            started = time.perf_counter()
            ready[key]()
            seconds.append(time.perf_counter() - started)
        answer({"seconds": seconds})


def give_back() -> None:
    """What earlier tasks allocated and freed goes to the system: all contenders share it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def answer(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()

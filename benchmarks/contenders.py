"""One contender of a benchmark, in a process of its own: loads, then runs what it is told to.

python contenders.py KIND PATH [OPTION=VALUE ...]

Reads lines of JSON from standard input and answers each with one: `{"rows": B, "tokens": S,
"padding": share, "call": "encoder", "runs": n}` -> `{"seconds": [...]}`. The first line that it
writes says how long loading took, and the first call.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# Threads of PyTorch's that spin at barriers take the time of those that work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

Inputs = dict[str, np.ndarray]
Call = Callable[[Inputs], object]
Calls = dict[str, Callable[[Inputs], Callable[[], object]]]
"""Name -> a function that takes inputs and gives what is timed."""


def make_inputs(rows: int, tokens: int, padding: float, vocab_size: int) -> Inputs:
    """Ids drawn from a seed; each row ends with up to twice the share of padding."""
    generator = np.random.default_rng(rows * 1000 + tokens)
    ids = generator.integers(5, vocab_size, [rows, tokens]).astype(np.int32)
    lengths = tokens - (generator.uniform(0, 2 * padding, rows) * tokens).astype(int)
    mask = (np.arange(tokens) < np.maximum(lengths, 1)[:, None]).astype(np.int32)
    positions = np.tile(np.arange(20, dtype=np.int32), [rows, 1])
    return {
        "input_word_ids": ids * mask,
        "input_mask": mask,
        "input_type_ids": np.zeros_like(ids),
        "masked_lm_positions": positions,
    }


def saved_model(path: str) -> tuple[Calls, int]:
    """An encoder SavedModel, anybody's."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    variables = list(loaded.trainable_variables)
    table = max(variables, key=lambda each: each.shape[0])
    names = ("input_word_ids", "input_mask", "input_type_ids")
    takes_training = "training" in str(loaded.__call__.function_spec)

    def tensors(inputs: Inputs, *more: str) -> dict[str, Any]:
        return {name: tf.constant(inputs[name]) for name in (*names, *more)}

    def encoder(inputs: Inputs) -> Callable[[], object]:
        fed = tensors(inputs)
        return lambda: loaded(fed)["sequence_output"].numpy()

    def mlm(inputs: Inputs) -> Callable[[], object]:
        fed = tensors(inputs, "masked_lm_positions")
        return lambda: loaded.mlm(fed)["mlm_logits"].numpy()

    def signature(inputs: Inputs) -> Callable[[], object]:
        serve = loaded.signatures["serving_default"]
        keys = sorted(serve.structured_input_signature[1])
        fed = dict(zip(keys, (tf.constant(inputs[name]) for name in names), strict=True))
        if set(keys) == set(names):
            fed = tensors(inputs)
        return lambda: [value.numpy() for value in serve(**fed).values()]

    def compiled(inputs: Inputs) -> Callable[[], object]:
        fed = tensors(inputs)
        function = tf.function(lambda x: loaded(x)["sequence_output"], jit_compile=True)
        return lambda: function(fed).numpy()

    def training(inputs: Inputs) -> Callable[[], object]:
        fed = tensors(inputs)
        keywords = {"training": True} if takes_training else {}

        @tf.function
        def step() -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(loaded(fed, **keywords)["pooled_output"] - 0.3))
            found = tape.gradient(loss, variables)
            for variable, gradient in zip(variables, found, strict=True):
                if gradient is not None:
                    variable.assign_sub(1e-6 * tf.convert_to_tensor(gradient))
            return loss

        return lambda: step().numpy()

    calls: Calls = {
        "encoder": encoder, "mlm": mlm, "signature": signature, "compiled": compiled,
        "training": training,
    }  # fmt: skip
    return calls, int(table.shape[0])


def transformers(path: str, dtype: str = "float32", compile: str = "") -> tuple[Calls, int]:
    """The same model in PyTorch: SDPA, eager or through torch.compile with frozen weights."""
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(
        path, attn_implementation="sdpa", dtype=getattr(torch, dtype)
    ).eval()
    if compile:
        import torch._inductor.config as inductor

        inductor.freezing = True
        model = torch.compile(model)

    def encoder(inputs: Inputs) -> Callable[[], object]:
        fed = {
            "input_ids": torch.from_numpy(inputs["input_word_ids"]).long(),
            "attention_mask": torch.from_numpy(inputs["input_mask"]).long(),
            "token_type_ids": torch.from_numpy(inputs["input_type_ids"]).long(),
        }

        def call() -> object:
            with torch.inference_mode():
                return model(**fed).last_hidden_state.float().numpy()

        return call

    return {"encoder": encoder}, model.config.vocab_size


def products(path: str, dtype: str = "float32") -> tuple[Calls, int]:
    """Nothing but the matrix products of the encoder, by TensorFlow: the machine's own limit."""
    import tensorflow as tf

    with open(path) as file:
        sizes = json.load(file)
    H, wide_size = sizes["hidden_size"], sizes["intermediate_size"]
    A, L = sizes["num_attention_heads"], sizes["num_hidden_layers"]
    kind = tf.as_dtype(dtype)
    mixing = tf.cast(tf.random.normal([A, A]), kind)
    square = [tf.Variable(tf.cast(tf.random.normal([H, H]), kind)) for _ in range(4)]
    up, down = (
        tf.Variable(tf.cast(tf.random.normal(shape), kind))
        for shape in ([H, wide_size], [wide_size, H])
    )

    def encoder(inputs: Inputs) -> Callable[[], object]:
        B, S = inputs["input_word_ids"].shape
        x = tf.cast(tf.random.normal([B * S, H]), kind)
        heads = tf.cast(tf.random.normal([B, A, S, H // A]), kind)
        scores = tf.cast(tf.random.normal([B, A, S, S]), kind)
        wide = tf.cast(tf.random.normal([B * S, wide_size]), kind)

        pairs = [
            *((x, kernel, False) for kernel in square),
            (heads, heads, True), (scores, heads, False), (x, up, False), (wide, down, False),
        ]  # fmt: skip
        if sizes.get("talking_heads"):  # two mixings of heads, and the gate
            flat = tf.reshape(scores, [B, A, S * S])
            pairs += [(mixing, flat, False), (mixing, flat, False), (x, up, False)]

        @tf.function
        def run() -> Any:
            # Each waits for the one before it, and a number of each is asked for: nothing is left
            # out, and nothing runs at the same time.
            results: list[Any] = []
            for _ in range(L):
                for left, right, transposed in pairs:
                    with tf.control_dependencies(results[-1:]):
                        left = tf.identity(left)
                        results.append(tf.matmul(left, right, transpose_b=transposed))
            return tf.add_n([tf.reshape(each, [-1])[0] for each in results])

        return lambda: run().numpy()

    return {"encoder": encoder}, sizes["vocab_size"]


KINDS: dict[str, Callable[..., tuple[Calls, int]]] = {
    "saved_model": saved_model,
    "transformers": transformers,
    "products": products,
}


def requests() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main() -> None:
    kind, path, *options = sys.argv[1:]
    if kind != "transformers":
        import tensorflow  # noqa: F401  not a part of loading
    started = time.perf_counter()
    calls, vocab_size = KINDS[kind](path, **dict(option.split("=", 1) for option in options))
    loaded = time.perf_counter() - started
    first = calls["encoder"](make_inputs(1, 16, 0, vocab_size))
    started = time.perf_counter()
    first()
    answer: dict[str, Any] = {"load": loaded, "first": time.perf_counter() - started}
    answer["resident"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(answer), flush=True)
    ready: dict[tuple[Any, ...], Callable[[], object]] = {}
    for request in requests():
        key = tuple(request[name] for name in ("call", "rows", "tokens", "padding"))
        if key not in ready:
            made = make_inputs(*key[1:], vocab_size)
            ready[key] = calls[request["call"]](made)
            ready[key]()  # traced and compiled
            ready[key]()
        seconds = []
        for _ in range(request["runs"]):
            started = time.perf_counter()
            ready[key]()
            seconds.append(time.perf_counter() - started)
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()

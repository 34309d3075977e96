"""Calls on a device of PyTorch's: the network in transformers, or its matrix products alone.

Weights are random: they are only timed. Inputs and results stay on the device.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from inputs import NAMES, Inputs

Call = Callable[[], None]


def load(
    path: str, device: str, what: str, dtype: str = "float32", tf32: str = "", compile: str = ""
) -> tuple[dict[str, Any], int]:
    """The call `encoder`, and the vocabulary's size.

    Args:
      path: a file of sizes, as transformers names them.
      what: `network`, with SDPA, or `products`.
      tf32: whether factors of float32 may be rounded to TF32.
      compile: whether by torch.compile, with frozen weights.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = bool(tf32)
    with open(path) as file:
        sizes = json.load(file)
    make = {"network": _network, "products": _products}[what]
    torch.set_default_device(device)
    encoder = make(sizes, getattr(torch, dtype), bool(compile))

    def waited(inputs: Inputs) -> Call:
        run = encoder(inputs)

        def call() -> None:
            with torch.inference_mode():
                run()
            if device != "cpu":
                torch.cuda.synchronize()

        return call

    return {"encoder": waited}, sizes["vocab_size"]


def _network(sizes: dict[str, Any], dtype: torch.dtype, compile: bool) -> Any:
    from transformers import BertConfig, BertModel

    config = BertConfig(**sizes, hidden_act="gelu_new", attn_implementation="sdpa")
    model: Any = BertModel(config).to(dtype).eval()
    if compile:
        import torch._inductor.config as inductor

        inductor.freezing = True
        model = torch.compile(model)

    def encoder(inputs: Inputs) -> Callable[[], Any]:
        ids, mask, types = (torch.tensor(inputs[name]).long() for name in NAMES)
        return lambda: model(input_ids=ids, attention_mask=mask, token_type_ids=types)

    return encoder


def _products(sizes: dict[str, Any], dtype: torch.dtype, compile: bool) -> Any:
    H, I = sizes["hidden_size"], sizes["intermediate_size"]  # noqa: E741
    A, L = sizes["num_attention_heads"], sizes["num_hidden_layers"]

    def encoder(inputs: Inputs) -> Callable[[], Any]:
        B, S = inputs[NAMES[0]].shape

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, dtype=dtype)

        rows, square = draw(B * S, H), draw(H, H)
        heads, scores = draw(B, A, S, H // A), draw(B, A, S, S)
        pairs = [
            *[(rows, square)] * 4, (heads, heads.transpose(2, 3)), (scores, heads),
            (rows, draw(H, I)), (draw(B * S, I), draw(I, H)),
        ]  # fmt: skip
        if sizes.get("talking_heads"):  # two mixings of heads, and the gate
            pairs += [*[(draw(A, A), scores.reshape(B, A, S * S))] * 2, (rows, draw(H, I))]

        def run() -> None:
            for _ in range(L):
                for left, right in pairs:
                    left @ right

        return run

    return encoder

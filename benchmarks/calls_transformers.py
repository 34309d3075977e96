"""Calls of the same network in transformers, on PyTorch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from inputs import Inputs

# The classes themselves: importing them is not a part of loading.
from transformers import (  # noqa: F401
    AutoConfig,
    AutoModel,
    BertModel,
    DistilBertModel,
    GPT2Model,
    OpenAIGPTModel,
    RobertaModel,
    XLMModel,
    XLNetModel,
)

Calls = dict[str, Any]


def load(
    path: str, dtype: str = "float32", compile: str = "", vocabulary: str = ""
) -> tuple[Calls, int]:
    """Name -> a function that takes inputs and gives what is timed; and the vocabulary's size.

    With SDPA; eager, or through torch.compile with frozen weights. The tokenizer is loaded when it
    is first asked for.
    """
    config = AutoConfig.from_pretrained(path)
    attention = "eager" if config.model_type in ("xlnet", "xlm") else "sdpa"  # which have no other
    model: Any = AutoModel.from_pretrained(
        path, attn_implementation=attention, dtype=getattr(torch, dtype)
    ).eval()
    vocab_size = model.config.vocab_size
    model.config.use_cache = False  # causal models would keep keys and values
    model.config.use_mems_eval = False  # as XLNet would of all layers
    has_types = getattr(model.config, "type_vocab_size", 0) > 1
    if compile:
        import torch._inductor.config as inductor

        inductor.freezing = True
        model = torch.compile(model)

    def encoder(inputs: Inputs) -> Any:
        fed = {
            "input_ids": torch.from_numpy(inputs["input_word_ids"]).long(),
            "attention_mask": torch.from_numpy(inputs["input_mask"]).long(),
        }
        if has_types:
            fed["token_type_ids"] = torch.from_numpy(inputs["input_type_ids"]).long()

        def call() -> object:
            with torch.inference_mode():
                return model(**fed).last_hidden_state.float().numpy()

        return call

    tokenizer = functools.cache(lambda: _tokenizer(vocabulary))

    def preprocessing(texts: list[str]) -> Any:
        tokenize = tokenizer()
        return lambda: tokenize(texts)["input_ids"].numpy()

    def text(texts: list[str]) -> Any:
        tokenize = tokenizer()

        def call() -> object:
            with torch.inference_mode():
                return model(**tokenize(texts)).pooler_output.float().numpy()

        return call

    calls: Calls = {"encoder": encoder}
    if vocabulary:
        calls.update(preprocessing=preprocessing, text=text)
    return calls, vocab_size


def profile(run: Callable[[], object], runs: int = 20) -> dict[str, tuple[float, float]]:
    """Kernel -> how many a run has, and their seconds; of the call `encoder`."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    with record(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(runs):
            run()
    return {
        each.key: (each.count / runs, each.self_cpu_time_total * 1e-6 / runs)
        for each in recorded.key_averages()
    }


def _tokenizer(vocabulary: str) -> Any:
    from transformers import BertTokenizerFast

    tokenizer = BertTokenizerFast(vocabulary, do_lower_case=True)
    return functools.partial(
        tokenizer, padding="max_length", truncation=True, max_length=128, return_tensors="pt"
    )

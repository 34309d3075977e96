"""Makes `transformer_xl.npz`: what transformers 4.57.6 gives for the models of `transformer_xl.py`.

In an environment of its own, since that release needs an older huggingface-hub than later ones:

    python -m venv ENV && ENV/bin/pip install transformers==4.57.6 torch
    ENV/bin/python -m tests.oracles.transformer_xl_goldens

Of each variant and layout there are, float32:

    layers [L, B, S, H], log_probs [B, N, V], classifier_logits [B, C]     of `plain()`
    later/layers, later/log_probs, mems, new_mems [B, L, M, H]             of the second segment

The layouts differ as their programs do: in the epsilon of norms, and in that, with `same_length`,
TensorFlow's lets a token see `mem_len` tokens and itself, and PyTorch's one less.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import transformers

from tests.oracles import transformer_xl
from tests.oracles.transformer_xl import Tensors


def patch() -> None:
    """Heals releases 4.38 to 4.57, which pass `dtype` to a method that takes another tensor
    (huggingface/transformers, issue 29650)."""
    original = torch.Tensor.type_as

    def type_as(self: Any, other: Any = None, *, dtype: Any = None) -> Any:
        return original(self, other) if dtype is None else self.to(dtype)

    torch.Tensor.type_as = type_as  # type: ignore[method-assign]


def build(name: str, layout: str) -> tuple[Any, Any]:
    """A variant's language model and classifier, every weight of `transformer_xl.weights`."""
    values = transformer_xl.config(name)
    if layout == "tf1":
        values["layer_norm_epsilon"] = 1e-12
        values["mem_len"] += values["same_length"]
    found = []
    for head, ends in ("lm", "LMHeadModel"), ("classifier", "ForSequenceClassification"):
        made_by = getattr(transformers, f"TransfoXL{ends}")
        model = made_by(transformers.TransfoXLConfig(**values)).eval()
        given = transformer_xl.weights(name, head=head)
        wanted = {key for key, _ in model.named_parameters()}
        assert wanted == given.keys(), wanted ^ given.keys()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                assert tuple(parameter.shape) == given[key].shape, key
                parameter.copy_(torch.from_numpy(given[key]))
        found.append(model)
    return found[0], found[1]


def encode(model: Any, batch: Tensors, mems: Any) -> Any:
    """Runs a model that knows of no mask with one: to the layers it is part of that against the
    future, [queries, keys, B]. Padding is seen by itself alone."""
    absent = torch.from_numpy(batch["input_mask"] == 0).T  # [S, B]
    length, earlier = len(absent), mems[0].shape[0]
    absent = torch.cat([torch.zeros(earlier, absent.shape[1], dtype=torch.bool), absent])
    others = ~torch.eye(length, earlier + length, dtype=torch.bool).roll(earlier, 1)

    def masked(module: Any, arguments: Any, keywords: Any) -> Any:
        mask = keywords["dec_attn_mask"] | (absent[None] & others[:, :, None])
        return arguments, {**keywords, "dec_attn_mask": mask}

    hooks = [
        layer.register_forward_pre_hook(masked, with_kwargs=True)
        for layer in model.transformer.layers
    ]
    try:
        with torch.inference_mode():
            return model(
                input_ids=torch.from_numpy(batch["input_word_ids"]).long(),
                mems=mems, output_hidden_states=True, return_dict=True,
            )  # fmt: skip
    finally:
        for hook in hooks:
            hook.remove()


def outputs(outputs: Any, batch: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """Layers and log-probabilities."""
    layers = np.stack([each.numpy() for each in outputs.hidden_states[1:]])
    positions = batch["lm_positions"][:, :, np.newaxis]
    return layers, np.take_along_axis(outputs.prediction_scores.numpy(), positions, axis=1)


def of(name: str, layout: str) -> Iterator[tuple[str, np.ndarray]]:
    """Everything that is kept of a variant."""
    model, classifier = build(name, layout)
    values = transformer_xl.config(name)
    H, L, M = values["d_model"], values["n_layer"], values["mem_len"]

    def nothing(rows: int) -> list[torch.Tensor]:
        return [torch.zeros(0, rows, H) for _ in range(L)]

    batch = transformer_xl.plain()
    rows = len(batch["input_word_ids"])
    layers, log_probs = outputs(encode(model, batch, nothing(rows)), batch)
    yield "layers", layers
    yield "log_probs", log_probs
    if values["d_embed"] == H:  # else its classifier cannot be run
        last = (np.arange(batch["input_mask"].shape[1]) * batch["input_mask"]).argmax(axis=1)
        with torch.inference_mode():
            of_last = torch.from_numpy(layers[-1][np.arange(rows), last])
            yield "classifier_logits", classifier.score(of_last).numpy()
    first, second = transformer_xl.segments()
    mems = encode(model, first, nothing(2)).mems
    mems = [each[-M:] for each in mems]
    found = encode(model, second, mems)
    layers, log_probs = outputs(found, second)
    yield "later/layers", layers
    yield "later/log_probs", log_probs
    for key, memory in ("mems", mems), ("new_mems", found.mems):
        yield key, np.stack([each[-M:].numpy() for each in memory]).transpose(2, 0, 1, 3)


def main() -> None:
    patch()
    found: dict[str, np.ndarray] = {}
    for name in transformer_xl.VARIANTS:
        for layout in transformer_xl.LAYOUTS:
            if layout == "hugging_face" or name in transformer_xl.OF_TF1:
                found |= {f"{name}/{layout}/{key}": value for key, value in of(name, layout)}
    np.savez_compressed(transformer_xl.GOLDENS, **found)
    print(len(found), transformer_xl.GOLDENS.stat().st_size)


if __name__ == "__main__":
    main()

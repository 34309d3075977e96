"""Tensors of a checkpoint that are not part of the model: what training and programs left there."""

from __future__ import annotations

import re

from hubexport.checkpoints.source import TensorSource

FREQUENCIES = "frequencies of distances"
"""What of Transformer-XL is computed, and kept with the weights."""

_BY_NAME = {
    "tf1": {
        "optimizer slots": r".*/(adam_[mv]|lamb_[mv]|Adam(_\d)?|AdamWeightDecayOptimizer(_\d)?"
        r"|Momentum|accum)",
        "step counters": r"(.*/)?(global_step|beta[12]_power)",
        "loss scaling": r"(.*/)?(loss_scale|good_steps)(/.*)?",
    },
    "tf2": {
        "optimizer slots": r"(.*/)?\.OPTIMIZER_SLOT/.*|(.*/)?optimizer/.*",
        "step counters": r"(.*/)?(save_counter|global_step)",
        "metrics": r"(.*/)?keras_api/metrics/.*",
    },
    "openai": {},
    "fairseq": {
        "buffers": r"(.*\.)?(version|_float_tensor)",
    },
    "xlm_original": {},
    "hugging_face": {
        "index buffers": r"(.*\.)?embeddings\.(position_ids|token_type_ids)",
        "masks of attention": r"(.*\.)?h\.\d+\.attn\.(bias|masked_bias)",
        FREQUENCIES: r"(.*\.)?pos_emb\.inv_freq",
    },
}


def training_state(source: TensorSource) -> dict[str, str]:
    """Tensor -> what it is, for those that are not parameters of the model.

    In a name-based checkpoint every tensor named below another one is an optimizer's slot of
    it, whatever the optimizer (`kernel/adam_m`): a variable is not a scope for other things.
    """
    kinds = {kind: re.compile(pattern) for kind, pattern in _BY_NAME[source.layout].items()}
    found = {}
    for name in source.tensors:
        kind = next((kind for kind, pattern in kinds.items() if pattern.fullmatch(name)), None)
        if kind is None and source.layout == "tf1" and name.rpartition("/")[0] in source.tensors:
            kind = "optimizer slots"
        if kind is not None:
            found[name] = kind
    return found

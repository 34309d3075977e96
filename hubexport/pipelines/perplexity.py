"""Texts to their log-probability, as causal language models give it to their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, Task, TaskOptions, check_uncut, lacking_head

if TYPE_CHECKING:
    from hubexport.pipelines.graph.function import Built, Parts

_HEAD, _FUNCTION = "lm", "score"


@register
class Perplexity(Task):
    """How likely a text is, and the perplexity of its tokens; see `Task`.

    The first token has no probability: there is nothing before it.
    """

    name: ClassVar[str] = "perplexity"
    purpose: ClassVar[str] = "the log-probability of each text, and its perplexity"

    @classmethod
    def lacking(cls, found: Found) -> str:
        if lacking := lacking_head(found, _HEAD):
            return lacking
        functions = found.heads[_HEAD].get("functions") or {}
        return "" if _FUNCTION in functions else f"the function .{_HEAD}.{_FUNCTION}"

    @classmethod
    def is_declared(cls, found: Found) -> bool:
        return not cls.lacking(found)

    def __init__(self, found: Found, options: TaskOptions):
        check_uncut(self.name, options)

    def record(self) -> dict[str, Any]:
        return {"head": _HEAD, "function": _FUNCTION}

    def build(self, parts: Parts) -> Built:
        import tensorflow as tf

        from hubexport.pipelines.graph.function import TEXT, Built, Function, Tensors

        head = getattr(parts.encoder, _HEAD)
        score = getattr(head, _FUNCTION)

        def answer(inputs: Tensors, training: bool) -> Tensors:
            log_probs = score(dict(inputs))["sequence_log_probs"]  # [B]
            scored = tf.maximum(tf.reduce_sum(inputs["input_mask"], axis=1) - 1, 0)
            mean = tf.math.divide_no_nan(log_probs, tf.cast(scored, tf.float32))
            return {
                "sequence_log_probs": log_probs,
                "num_tokens": scored,
                "perplexity": tf.exp(-mean),
            }

        outputs = {
            "sequence_log_probs": tf.TensorSpec([], tf.float32),
            "num_tokens": tf.TensorSpec([], tf.int32),
            "perplexity": tf.TensorSpec([], tf.float32),
        }
        return Built({"perplexity": Function((TEXT,), outputs, answer)}, list(head.variables))

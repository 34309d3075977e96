"""Texts to their log-probability, as causal language models give it to their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, Task, TaskOptions, lacking_head

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
    tfhub_tasks: ClassVar[tuple[str, ...]] = ("text-language-model",)
    # The Hub has no name for it: of text-generation it expects text.
    pipeline_tags: ClassVar[tuple[str, ...]] = ("other",)

    @classmethod
    def lacking(cls, found: Found) -> str:
        if lacking := lacking_head(found, _HEAD):
            return lacking
        functions = found.heads[_HEAD].get("functions") or {}
        return "" if _FUNCTION in functions else f"the function .{_HEAD}.{_FUNCTION}"

    @classmethod
    def is_declared(cls, found: Found) -> bool:
        return not cls.lacking(found)

    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        pass

    def record(self) -> dict[str, Any]:
        return {"head": _HEAD, "function": _FUNCTION}

    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        words = "The children went to the park after school"
        return {"text": (f"{words}.", f"{' '.join(reversed(words.split()))}.")}

    def build(self, parts: Parts) -> Built:
        import tensorflow as tf

        from hubexport.pipelines.graph.function import TEXT, Batch, Built, Function, Tensors

        head = getattr(parts.encoder, _HEAD)
        score = getattr(head, _FUNCTION)

        def answer(batch: Batch) -> Tensors:
            found, mask = score(dict(batch.inputs)), batch.inputs["input_mask"]
            log_probs = found["sequence_log_probs"]  # [b]
            scored = tf.maximum(tf.reduce_sum(mask, axis=1) - 1, 0)
            mean = tf.math.divide_no_nan(log_probs, tf.cast(scored, tf.float32))
            return {
                "sequence_log_probs": log_probs,
                "token_log_probs": _of_tokens(found["token_log_probs"], mask),
                "num_tokens": scored,
                "perplexity": tf.exp(-mean),
            }

        outputs = {
            "sequence_log_probs": tf.TensorSpec([], tf.float32),
            "token_log_probs": tf.RaggedTensorSpec([None], tf.float32, ragged_rank=0),
            "num_tokens": tf.TensorSpec([], tf.int32),
            "perplexity": tf.TensorSpec([], tf.float32),
        }
        return Built({"perplexity": Function((TEXT,), outputs, answer)}, list(head.variables))


def _of_tokens(values: Any, mask: Any) -> Any:
    """Of values [b, S] those where the mask is 1: ragged [b, (tokens)]."""
    import tensorflow as tf

    lengths = tf.reduce_sum(tf.cast(mask, tf.int64), axis=1)
    return tf.RaggedTensor.from_row_lengths(values[mask > 0], lengths, validate=False)

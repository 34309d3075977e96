"""Texts with masks to the likeliest pieces for each, as transformers' fill-mask pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from hubexport.errors import UsageError
from hubexport.pipelines.registry import register
from hubexport.pipelines.task import Found, HeadTask, TaskOptions

if TYPE_CHECKING:
    from hubexport.pipelines.graph.function import Built, Parts

DEFAULT_TOP_K = 5


@register
class FillMask(HeadTask):
    """The likeliest pieces for each mask of a text; see `Task`.

    Masks beyond the longest text are cut off with it.
    """

    head: ClassVar[str] = "mlm"
    name: ClassVar[str] = "fill-mask"
    purpose: ClassVar[str] = "the likeliest pieces for each mask in a text, and their scores"
    tfhub_tasks: ClassVar[tuple[str, ...]] = ("text-language-model",)
    pipeline_tags: ClassVar[tuple[str, ...]] = ("fill-mask",)
    takes: ClassVar[tuple[str, ...]] = ("top_k",)
    needs_pieces: ClassVar[bool] = True

    def __init__(self, found: Found, options: TaskOptions, max_seq_length: int):
        self.vocab_size: int = found.encoder["architecture"]["vocab_size"]
        self.top_k = options.top_k or DEFAULT_TOP_K
        if self.top_k > self.vocab_size:
            raise UsageError(
                "there are not so many pieces",
                [("--top_k", f"{self.top_k:,}"), ("pieces", f"{self.vocab_size:,}")],
                "pass at most as many as there are.",
            )

    def lacking_in_text(self, tokenizer: Mapping[str, Any]) -> str:
        return "" if "mask_id" in tokenizer["special_tokens"] else "a piece for masks"

    def record(self) -> dict[str, Any]:
        return {"head": self.head, "top_k": self.top_k}

    def example(self, tokenizer: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
        mask = tokenizer["special_tokens"]["mask_id"]["piece"]
        return {
            "text": (
                f"The capital of France is {mask}.",
                f"She {mask} a letter to her {mask}.",
            )
        }

    def build(self, parts: Parts) -> Built:
        import tensorflow as tf

        from hubexport.pipelines.graph.function import TEXT, Batch, Built, Function, Tensors
        from hubexport.pipelines.graph.pieces import pieces_of

        head, top_k = getattr(parts.encoder, self.head), self.top_k
        mask_id = parts.special_ids["mask_id"]
        pieces = pieces_of(parts.preprocessor, self.vocab_size)

        def answer(batch: Batch) -> Tensors:
            is_mask = tf.equal(batch.inputs["input_word_ids"], mask_id)  # [b, S]
            masks = tf.RaggedTensor.from_value_rowids(
                *tf.unstack(tf.where(is_mask)[:, ::-1], axis=1),
                nrows=tf.shape(is_mask, tf.int64)[0], validate=False,
            )  # fmt: skip  # [b, (masks)]
            # At least one column: not every network is made for none.
            columns = tf.maximum(masks.bounding_shape(axis=1), 1)
            positions = masks.to_tensor(shape=tf.stack([masks.nrows(), columns]))
            positions = tf.cast(positions, tf.int32)
            logits = parts.predict(self.head, batch, masked_lm_positions=positions)["mlm_logits"]
            scores = tf.nn.softmax(tf.gather_nd(logits, _places(masks)))  # [masks, V]
            best = tf.math.top_k(scores, top_k)
            return {
                "tokens": masks.with_values(tf.gather(pieces, best.indices)),
                "token_ids": masks.with_values(best.indices),
                "scores": masks.with_values(best.values),
                "num_masks": tf.cast(masks.row_lengths(), tf.int32),
            }

        def ragged(dtype: tf.DType) -> tf.RaggedTensorSpec:
            return tf.RaggedTensorSpec([None, top_k], dtype, ragged_rank=0)

        outputs = {
            "tokens": ragged(tf.string),
            "token_ids": ragged(tf.int32),
            "scores": ragged(tf.float32),
            "num_masks": tf.TensorSpec([], tf.int32),
        }
        return Built({"fill": Function((TEXT,), outputs, answer)}, list(head.variables))


def _places(ragged: Any) -> Any:
    """int64 [values, 2]: row and column of each value of a RaggedTensor [b, (n)]."""
    import tensorflow as tf

    rows = ragged.value_rowids()
    columns = tf.range(tf.size(rows, tf.int64)) - tf.gather(ragged.row_starts(), rows)
    return tf.stack([rows, columns], axis=1)

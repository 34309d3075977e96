"""What shapes an encoder; imports nothing, so that families can fill it in without TensorFlow."""

from __future__ import annotations

import dataclasses

ACTIVATIONS = ("gelu_tanh", "gelu_erf", "relu")
"""By what they compute; configurations spell them in many ways."""

DTYPES = ("float32", "bfloat16", "float16")
"""That a network can compute in."""

MEMORY, NEW_MEMORY = "mems", "new_mems"
"""Names of what encoders with a memory take and give."""

PADDINGS = ("compute", "skip")
"""What a network does with padding."""


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """What shapes every network, in the terms of google-research/bert; families add their own.

    Attributes:
      max_position_embeddings: the longest sequence; None where there is no limit.
      type_vocab_size: 0 where the network has no token types. `input_type_ids` has no influence
        where it is 0 or 1.
      pad_token_id: what preprocessors fill sequences with.
      dtype: of `DTYPES`, what matmuls and activations are computed in. Layer norms, the softmax
        and outputs are float32 whatever it is. How the checkpoint keeps its tensors is another
        matter.
      variable_dtype: "float32", or `dtype`: what the variables are stored in that are cast to
        `dtype` before anything is computed with them, which are dense layers'. All others are
        float32.
      padding: of `PADDINGS`. With "skip", dense layers, norms and embeddings are computed for
        tokens only, and outputs are 0 at padding; with "compute", for every position, and outputs
        at padding are whatever the network makes of it.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int | None
    type_vocab_size: int
    embedding_size: int
    hidden_act: str
    layer_norm_eps: float
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    pad_token_id: int = 0
    dtype: str = "float32"
    variable_dtype: str = "float32"
    padding: str = "compute"

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def heads_fit(self) -> bool:
        """Whether attention heads can be of their size."""
        return self.hidden_size % self.num_attention_heads == 0

    def out_of_bounds(self) -> list[str]:
        """Values that no network can be made with, each with what would be possible."""
        fractions = ("layer_norm_eps", "hidden_dropout_prob", "attention_probs_dropout_prob")
        wrong = [
            f"{name} {getattr(self, name)!r}; at least 0 and less than 1"
            for name in fractions
            if type(getattr(self, name)) not in (int, float) or not 0 <= getattr(self, name) < 1
        ]
        positions = self.max_position_embeddings
        if positions is None:
            pass
        elif isinstance(positions, bool) or not isinstance(positions, int) or positions < 1:
            wrong.append(f"max_position_embeddings {positions!r}; at least 1")
        if self.hidden_act not in ACTIVATIONS:
            wrong.append(f"hidden_act {self.hidden_act!r}; {', '.join(ACTIVATIONS)}")
        # By name only: TensorFlow's and NumPy's dtypes equal their names, but fit no JSON.
        if not isinstance(self.dtype, str) or self.dtype not in DTYPES:
            wrong.append(f"dtype {self.dtype!r}; {', '.join(DTYPES)}")
        elif self.variable_dtype not in ("float32", self.dtype):
            possible = " or ".join(dict.fromkeys(("float32", f"the dtype, {self.dtype}")))
            wrong.append(f"variable_dtype {self.variable_dtype!r}; {possible}")
        if self.padding not in PADDINGS:
            wrong.append(f"padding {self.padding!r}; {', '.join(PADDINGS)}")
        return wrong

"""What shapes a network with attention by distance."""

from __future__ import annotations

import dataclasses

from hubexport.networks.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class RelativeConfig(EncoderConfig):
    """See `EncoderConfig`.

    Attributes:
      head_size: of attention; heads together may be larger or smaller than the hidden size.
      causal: whether tokens see those before them only.
      clamp_len: distances beyond it are taken to be of it; None for no limit.
      mem_len: the last steps that a memory keeps; None for all.
    """

    head_size: int = 0
    causal: bool = False
    clamp_len: int | None = None
    mem_len: int | None = None

    @property
    def heads_fit(self) -> bool:
        return True

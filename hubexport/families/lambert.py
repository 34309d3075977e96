"""LAMBERT: BERT trained with LAMB and RoBERTa's techniques, without next-sentence prediction
(tfhub.dev/tensorflow/lambert_en_uncased_L-24_H-1024_A-16). The network is BERT's, so nothing in
configuration or tensors tells it from BERT: it is chosen with --family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hubexport.families.bert import Bert
from hubexport.families.heads import Head
from hubexport.families.registry import register


@register
class Lambert(Bert):
    """BERT that was never trained to predict the next sentence."""

    name: ClassVar[str] = "lambert"
    title: ClassVar[str] = "LAMBERT"
    model_types: ClassVar[tuple[str, ...]] = ()
    encoder_types: ClassVar[tuple[str, ...]] = ()

    def heads(self) -> Mapping[str, Head]:
        return {name: head for name, head in super().heads().items() if name != "nsp"}

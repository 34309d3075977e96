"""What a page says of a head: its interface, as the record holds it, and its labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubexport.cards.phrases import shape
from hubexport.cards.schema import EncoderCard
from hubexport.families.heads import ENCODER_LEAD, Interface

_PROBABILITIES: Mapping[str, str] = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "",
}


@dataclass(frozen=True)
class HeadFacts:
    """A head of an artifact.

    Attributes:
      interface: as in the record.
      num_parameters: that it alone has.
      stated_labels, stated_problem_type: as the card has them, for checkpoints that declare none.
    """

    interface: Interface
    num_parameters: int
    stated_labels: tuple[str, ...] = ()
    stated_problem_type: str | None = None

    @property
    def inputs(self) -> dict[str, str]:
        """Beside the encoder's -> shape in words."""
        return {name: shape(axes) for name, axes in self.interface.inputs.items()}

    @property
    def outputs(self) -> dict[str, str]:
        """That it adds -> shape in words."""
        return {name: shape(axes) for name, axes in self.interface.outputs.items()}

    @property
    def encoder_inputs(self) -> str:
        """Shape in words of the encoder's inputs; "" where they are as the encoder takes them."""
        lead = self.interface.lead
        return "" if lead == ENCODER_LEAD else shape(lead)

    @property
    def size(self) -> int:
        """Of the last axis of its outputs: how many classes, pieces or scores there are."""
        return int(next(iter(self.interface.outputs.values()))[-1])

    @property
    def labels(self) -> tuple[str, ...]:
        """In order; () where neither the checkpoint nor the card names any."""
        return self.interface.labels or self.stated_labels

    @property
    def problem_type(self) -> str | None:
        """As the checkpoint declares it, else as the card does."""
        return self.interface.problem_type or self.stated_problem_type

    @property
    def probabilities(self) -> str:
        """The function of tf.nn that makes probabilities of the logits; "" where they are figures
        themselves. Where no problem type is declared, several classes are alternatives."""
        usual = "single_label_classification" if self.size > 1 else "regression"
        return _PROBABILITIES[self.problem_type or usual]


def heads_of(record: Mapping[str, Any], card: EncoderCard) -> dict[str, HeadFacts]:
    """Of an encoder's record, by name; none where there is no record."""
    found = {}
    for name, fields in (record.get("heads") or {}).items():
        interface = Interface.of_record(fields)
        stated = (card.labels, card.problem_type) if interface.declares_labels else ((), None)
        found[name] = HeadFacts(interface, fields["num_parameters"], *stated)
    return found

"""What a page says of `pooled_output` and `default`: as the artifact's record has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hubexport.cards.parts import Pooler as Stated
from hubexport.cards.rendering.filters import both, plain, sentence
from hubexport.poolers import MODES, POOLERS, SENTENCE_EMBEDDING

_STATED = {"trained": "was trained", "untrained": "was not trained"}


def sentences(stated: Stated | None, recorded: Mapping[str, Any] | None) -> Iterator[str]:
    """Markdown, a sentence or two at a time.

    Args:
      stated: what the card says of the checkpoint's pooler.
      recorded: `pooler` of the record; None where nothing is known of an artifact.
    """
    if not recorded:
        yield from _of_card(stated)
        return
    name = recorded["pooled_output"]
    pooler = POOLERS.get(name)
    yield pooler.sentence if pooler else f"`pooled_output` is made by `{name}`."
    dense = pooler.dense if pooler else ""
    if dense == "checkpoint":
        yield _trained(stated, recorded)
    elif dense == "generated":
        yield "That layer was not trained: fine-tune it before use."
    embedding = recorded.get(SENTENCE_EMBEDDING)
    if embedding and recorded.get("default") == SENTENCE_EMBEDDING:
        subject = "Both it and `default` are" if name == SENTENCE_EMBEDDING else "`default` is"
        yield f"{subject} {_embedding(embedding, declared=name != SENTENCE_EMBEDDING)}"
    if stated is None:
        return
    if stated.status == "absent":
        yield "The checkpoint has no pooler."
    elif dense != "checkpoint":
        yield (
            "The checkpoint's own pooler, which this SavedModel does not use, "
            f"{_STATED[stated.status]}."
        )
        return  # what the card says to follow from that is about a layer that is not here
    elif stated.status == "trained" and not recorded.get("trained"):
        return
    if stated.note:
        yield plain(sentence(stated.note))


def _of_card(stated: Stated | None) -> Iterator[str]:
    if stated is None:
        return
    if stated.status == "absent":
        yield "The checkpoint has no pooler."
    else:
        yield f"The pooler {_STATED[stated.status]}."
    if stated.note:
        yield plain(sentence(stated.note))


def _trained(stated: Stated | None, recorded: Mapping[str, Any]) -> str:
    """Whether the checkpoint's pooler was: what the record knows, else what the card says."""
    if recorded.get("trained"):
        return "It was trained."
    # Records had no `doubts` at first; what the export warned of is on the page in any case.
    doubts = "; ".join(recorded.get("doubts") or ["see what it warned of, below"])
    if stated is not None and stated.status == "untrained":
        return f"It was not trained; the export warned: {plain(sentence(doubts))}"
    if stated is not None and stated.status == "trained":
        known = "The model's authors trained a pooler, but it is not certain that it is this one"
    else:
        known = "Whether it was trained is not known"
    return f"{known}. The export warned: {plain(sentence(doubts))}"


def _embedding(embedding: Mapping[str, Any], *, declared: bool) -> str:
    """`the mean of the tokens' vectors, scaled to length 1.`"""
    modes = [MODES.get(mode, f"the pooling `{mode}`") for mode in embedding["modes"]]
    words = f"{both(modes)}, joined in this order" if len(modes) > 1 else modes[0]
    whose = "the sentence embedding that the checkpoint's files declare: " if declared else ""
    return f"{whose}{words}{', scaled to length 1' if embedding['normalize'] else ''}."

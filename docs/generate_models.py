"""Writes docs/models.md: what is made of each model that transformers once had a shortcut name for.

PYTHONPATH=. python docs/generate_models.py            after any change to families or cards
PYTHONPATH=. python docs/generate_models.py --check    says whether it is up to date (status 1: no)

Every row is decided as an export decides it, on a checkpoint of the model's true names and shapes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubexport.cards.loading import load_catalogue
from hubexport.families.registry import families
from tests.oracles import shortcuts
from tests.planned import planned

TARGET = Path(__file__).with_name("models.md")
CARDS = Path(__file__).parents[1] / "model_cards"
HEAD = """\
# Models

Written by `docs/generate_models.py`; do not edit.

The models that transformers' first releases had shortcut names for, and what hubexport makes of
each: an encoder with its heads, a preprocessor, and a page, from its card in `model_cards/`. Each
row is what an export decides for a checkpoint of the model's true names and shapes. The same
families take checkpoints of any size, trained by anybody.

How exact the numbers are is tested with small models of the same classes, on every layer and head,
against transformers; each family's also pass all gates of [`hubexport validate`](validation.md).

| model | encoder | parameters | heads | preprocessor |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole document."""
    return HEAD + "".join(map(row, shortcuts.MODELS))


def row(name: str) -> str:
    """A model's."""
    catalogue = load_catalogue(CARDS)
    card = catalogue.encoders[f"huggingface/{name}"]
    with tempfile.TemporaryDirectory(prefix="hubexport-models-") as directory:
        checkpoint = shortcuts.write(name, Path(directory, name))
        record, _ = planned(checkpoint, read=False, **shortcuts.MODELS[name].options)
    of = record["architecture"]
    cells = [
        f"`{name}`" + "".join(f" `--{key}`" for key in shortcuts.MODELS[name].options),
        f"{type_of(record)}, {of['num_hidden_layers']} x {of['hidden_size']}, "
        f"{of['num_attention_heads']} heads",
        f"{of['num_parameters'] / 1e6:.1f} M",
        ", ".join(f"`.{head}`" for head in record["heads"]),
        f"`{card.preprocessor}`",
    ]
    return f"| {' | '.join(cells)} |\n"


def type_of(record: Mapping[str, Any]) -> str:
    """The family's name in print."""
    return families()[record["family"]["name"]].title


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        return int(TARGET.read_text("utf-8") != text)
    TARGET.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

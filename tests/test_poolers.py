"""The table of poolers: whole, read by everything that speaks of poolers, and light to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hubexport import cli
from hubexport.checkpoints import sentence_transformers
from hubexport.families.heads import FORMS
from hubexport.networks.config import NEW_MEMORY
from hubexport.poolers import FLAG_VALUES, MODES, POOLERS, SENTENCE_EMBEDDING
from hubexport.validation.reference_file import OUTPUTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", POOLERS)
def test_every_pooler_has_all_texts(name: str) -> None:
    pooler = POOLERS[name]
    assert pooler.help and not pooler.help.endswith(".") and "`" not in pooler.help
    assert pooler.sentence.startswith("`pooled_output` is ") and pooler.sentence.endswith(".")
    # Random weights are the artifact's own; of all others a reference tells what they must give.
    told = bool(pooler.recorded) + (pooler.of_sequence is not None)
    assert told == (name != "untrained")


def test_texts_are_distinct() -> None:
    for texts in ([p.help for p in POOLERS.values()], [p.sentence for p in POOLERS.values()]):
        assert len(set(texts)) == len(POOLERS)


def test_the_flag_takes_what_the_table_says() -> None:
    parser = cli.make_parser()
    encoder = parser._subparsers._group_actions[0].choices["encoder"]  # type: ignore[union-attr]
    (flag,) = (action for action in encoder._actions if "--pooler" in action.option_strings)
    assert list(flag.choices) == list(FLAG_VALUES)
    assert set(POOLERS) - set(FLAG_VALUES) == {SENTENCE_EMBEDDING}
    for name, pooler in POOLERS.items():
        assert any(line.split() == [name, *pooler.help.split()] for line in _lines(encoder.epilog))


def _lines(text: str) -> list[str]:
    return text.splitlines()


def test_references_record_the_outputs_of_the_table() -> None:
    recorded = [pooler.recorded for pooler in POOLERS.values() if pooler.recorded]
    heads = [output for _, interface in FORMS for output in interface.given()]
    assert set(OUTPUTS) == {"sequence_output", *heads, *recorded, NEW_MEMORY}
    assert len(OUTPUTS) == len(set(OUTPUTS))


def test_every_pooling_of_sentence_transformers_has_words() -> None:
    assert list(MODES) == list(sentence_transformers._FLAGS.values())
    pooling = pytest.importorskip("hubexport.networks.pooling")
    assert set(pooling.POOLINGS) == set(MODES)


def test_the_table_needs_no_tensorflow() -> None:
    program = "import sys, hubexport.poolers; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"

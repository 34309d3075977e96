"""The programs on the pages run: each page's snippets in order, on artifacts of hubexport.

The artifacts are small. The cards are those of the catalogue, with an artifact's sizes in place of
their own. Pages whose programs differ in nothing but the handles share one run: see `Program.key`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from hubexport.cards.allowed import LICENCES
from hubexport.cards.loading import Catalogue
from hubexport.cards.rendering.formats import FORMATS
from hubexport.cards.schema import EncoderCard, Model
from hubexport.families.registry import families
from tests.cards.rendering.exported import (
    BASIC,
    MAKERS,
    PREPROCESSORS,
    Artifacts,
    Exported,
    artifacts_for,
    enlarged,
    fitted,
)
from tests.cards.rendering.programs import (
    Program,
    Runner,
    grouped,
    handles,
    page_text,
    program_of,
)

TINY = "tensorflow/small_bert/bert_en_uncased_L-2_H-128_A-2"


def models(catalogue: Catalogue) -> list[Model]:
    return [*catalogue.encoders.values(), *catalogue.preprocessors.values()]


def has_page(name: str, card: Model) -> bool:
    """Kaggle takes no model without a licence that it knows."""
    licence = card.licence and LICENCES[card.licence.spdx].kaggle
    return name != "kaggle" or licence is not None


def program(
    name: str, card: Model, artifact: Exported, artifacts: Artifacts, catalogue: Catalogue
) -> Program:
    """What a page of the card would have a reader do with the artifact."""
    card = fitted(card, artifact.record)
    used = [artifact]
    if isinstance(card, EncoderCard):
        used.append(artifacts[PREPROCESSORS.get(card.family, BASIC[1])])
        preprocessors = {
            handle: dataclasses.replace(each, vocab_size=None, casing=card.casing)
            for handle, each in catalogue.preprocessors.items()
        }
        catalogue = dataclasses.replace(catalogue, preprocessors=preprocessors)
    named = dict(zip(handles(name, card, catalogue), used, strict=True))
    text = page_text(name, card, catalogue, artifact.record)
    return program_of(f"{card.handle} for {name}", text, named)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    started = Runner(tmp_path_factory.mktemp("programs"))
    yield started
    started.close()


@pytest.mark.parametrize("artifact", MAKERS)
def test_programs_of_pages_run(
    artifact: str, artifacts: Artifacts, catalogue: Catalogue, runner: Runner
) -> None:
    cards = [card for card in models(catalogue) if artifact in artifacts_for(card)]
    formats = list(FORMATS)
    if artifacts_for(cards[0])[0] != artifact:
        # The same models in another form: one page tells, and how it is loaded was tried.
        cards, formats = cards[:1], ["tfhub", "kaggle"]
    programs = [
        program(name, card, artifacts[artifact], artifacts, catalogue)
        for card in cards
        for name in formats
        if has_page(name, card)
    ]
    groups = grouped(programs)
    assert groups
    wrong = [found for found in runner.run([group[0] for group in groups]) if found]
    assert not wrong, "\n\n".join(wrong)


def test_every_model_that_can_be_exported_has_artifacts(catalogue: Catalogue) -> None:
    for card in models(catalogue):
        known = not isinstance(card, EncoderCard) or card.family in families()
        assert bool(set(artifacts_for(card)) & {*MAKERS}) == known, card.handle


def test_nothing_but_handles_and_places_is_left_out_of_groups(
    artifacts: Artifacts, catalogue: Catalogue
) -> None:
    cards = [card for card in catalogue.encoders.values() if "small_bert" in card.name][:3]
    made = [artifacts[name] for name in ("bert tf1", "bert tf1, no heads")]
    one, same, other = (program("tfhub", c, made[0], artifacts, catalogue) for c in cards)
    assert grouped([one, same, other]) == [[one, same, other]]
    hub = program("huggingface", cards[0], made[0], artifacts, catalogue)
    headless = program("tfhub", cards[0], made[1], artifacts, catalogue)
    swapped = Program(one.page, one.text, dict.fromkeys(one.artifacts, made[0]))
    changed = Program(one.page, one.text.replace("batch(2)", "batch(1)"), one.artifacts)
    assert changed.text != one.text
    assert len(grouped([one, hub, headless, swapped, changed])) == 5


FAULTS = (
    ("model.bert_pack_inputs", "model.pack_inputs", "AttributeError"),
    ("print(dataset.element_spec)", "print(datasets)", "NameError"),
    ("import tensorflow_text", "# import tensorflow_text", "Op type not registered"),
    ("second = ", "second = (", "SyntaxError"),
    ("handle = ", 'handle = "https://tfhub.dev/other/1" or ', "urlopen error"),
    ("pack = hub", "pack = tf.test.is_gpu_available() or hub", "is deprecated"),
    ("pack = hub", "pack = __import__('warnings').warn('', FutureWarning) or hub", "FutureWarning"),
)
"""What a page has, what it might have by mistake, and what its readers would see."""


def test_pages_with_broken_programs_are_found(
    artifacts: Artifacts, catalogue: Catalogue, runner: Runner
) -> None:
    card = catalogue.preprocessors["tensorflow/bert_en_uncased_preprocess"]
    artifact = artifacts[BASIC[1]]
    card = fitted(card, artifact.record)
    text = page_text("tfhub", card, catalogue, artifact.record)
    named = {handles("tfhub", card, catalogue)[0]: artifact}
    broken = [program_of("the page", text.replace(old, new), named) for old, new, _ in FAULTS]
    found = runner.run([program_of("the page", text, named), *broken])
    assert found[0] == ""
    for (old, new, said), wrong in zip(FAULTS, found[1:], strict=True):
        assert text.count(old) == 1, old
        assert re.search(said, wrong), (new, wrong)
        line = text[: text.index(old)].count("\n") + 1
        uses = text.count("\n", 0, text.index("preprocessor = hub")) + 1
        at = uses if "import" in old or "handle" in old else line
        assert wrong.startswith(f"the page, line {at}: "), (new, wrong)


def test_lines_are_those_of_the_page(artifacts: Artifacts, catalogue: Catalogue) -> None:
    card = catalogue.encoders[TINY]
    record = enlarged(artifacts[BASIC[0]].record, card)
    page = page_text("tfhub", card, catalogue, record)
    found = program_of("page", page, {}).text.splitlines()
    assert sum(map(bool, found)) > 40
    assert all(line in ("", there) for line, there in zip(found, page.splitlines(), strict=False))

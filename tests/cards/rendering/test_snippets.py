"""The programs on the pages run: each page's snippets in order, on artifacts of hubexport.

The artifacts are small. The cards are those of the catalogue, with an artifact's sizes in place of
their own. The pages of a few are run whole; of all others, the snippets that do something else than
those before them: see `Program.keys`.
"""

from __future__ import annotations

import dataclasses
import re

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
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="module")
def known() -> set[str]:
    """Keys of the snippets that were run."""
    return set()


def card_of(artifact: str, catalogue: Catalogue) -> Model:
    return next(card for card in models(catalogue) if artifact in artifacts_for(card))


@pytest.mark.parametrize(
    ("artifact", "name"),
    [
        (BASIC[0], "tfhub"),
        pytest.param(BASIC[0], "huggingface", marks=pytest.mark.exhaustive),
        pytest.param(BASIC[1], "tfhub", marks=pytest.mark.exhaustive),
        (BASIC[1], "huggingface"),
    ],
)
def test_whole_programs_run(
    artifact: str, name: str, artifacts: Artifacts, catalogue: Catalogue, runner: Runner,
    known: set[str],
) -> None:  # fmt: skip
    card = card_of(artifact, catalogue)
    whole = program(name, card, artifacts[artifact], artifacts, catalogue)
    assert runner.run([whole]) == [""]
    known.update(whole.keys)


@pytest.mark.exhaustive
@pytest.mark.parametrize("artifact", MAKERS)
def test_all_programs_run(
    artifact: str, artifacts: Artifacts, catalogue: Catalogue, runner: Runner, known: set[str]
) -> None:
    cards = [card for card in models(catalogue) if artifact in artifacts_for(card)]
    if artifacts_for(cards[0])[0] != artifact:
        cards = cards[:1]  # the same models in another form: one page tells
    rest = []
    for card in cards:
        for name in FORMATS:
            if has_page(name, card):
                whole = program(name, card, artifacts[artifact], artifacts, catalogue)
                rest.append(whole.without(known))
                known.update(whole.keys)
    wrong = [found for found in runner.run([each for each in rest if each]) if found]
    assert not wrong, "\n\n".join(wrong)


def test_every_model_that_can_be_exported_has_artifacts(catalogue: Catalogue) -> None:
    for card in models(catalogue):
        known = not isinstance(card, EncoderCard) or card.family in families()
        assert bool(set(artifacts_for(card)) & {*MAKERS}) == known, card.handle


def test_nothing_but_snippets_that_do_the_same_is_left_out(
    artifacts: Artifacts, catalogue: Catalogue
) -> None:
    cards = [card for card in catalogue.encoders.values() if "small_bert" in card.name][:2]
    made = [artifacts[name] for name in ("bert tf1", "bert tf1, no heads")]
    one, same = (program("tfhub", card, made[0], artifacts, catalogue) for card in cards)
    hub = program("huggingface", cards[0], made[0], artifacts, catalogue)
    assert one.without(()) == one
    assert one.keys == same.keys == hub.keys and len({*one.keys}) == len(one.snippets) > 5
    assert same.without(one.keys) is None
    without_heads = program("tfhub", cards[0], made[1], artifacts, catalogue)
    assert without_heads.without(one.keys) is None
    rest = one.without(without_heads.keys)
    assert rest and ".mlm" in rest.text and ".nsp" in rest.text and "HubLayer" not in rest.text
    assert "import tensorflow" in rest.text and "pair_inputs = " in rest.text  # used by .nsp

    def changed(old: str, new: str) -> Program:
        codes = [snippet.code.replace(old, new) for snippet in one.snippets]
        snippets = map(lambda each, code: dataclasses.replace(each, code=code), one.snippets, codes)
        return dataclasses.replace(one, snippets=tuple(snippets))

    rest = changed("batch(2)", "batch(1)").without(one.keys)
    assert rest and "batch(1)" in rest.text and "HubLayer" not in rest.text
    everything = changed("import tensorflow as", "import  tensorflow as")
    assert everything.without(one.keys) == everything


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

"""What lists show of models, what they are searched and narrowed down by, and grids of sizes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from hubexport.cards.parts import Architecture, Author
from hubexport.cards.site.facets import facets_of, values_as_json, values_of
from hubexport.cards.site.summaries import (
    Summary,
    exponent,
    folded,
    grid_of,
    millions,
    significant,
    summarize,
)
from tests.cards.site import material


def summaries() -> dict[str, Summary]:
    found = summarize(material.catalogue(), material.records())
    return {each.card.handle: each for each in found}


def alone(card: object, record: dict[str, object] | None = None) -> Summary:
    """The summary of an encoder in a catalogue that has no other."""
    catalogue = dataclasses.replace(
        material.catalogue(), encoders={card.handle: card}, pipelines={}
    )  # type: ignore[attr-defined]
    records = {card.handle: record} if record else {}  # type: ignore[attr-defined]
    found = summarize(catalogue, records)
    return next(each for each in found if each.card is card)


class TestSummaries:
    def test_every_model_has_one(self) -> None:
        catalogue = material.catalogue()
        models = (catalogue.encoders, catalogue.preprocessors, catalogue.pipelines)
        assert set(summaries()) == {handle for table in models for handle in table}

    def test_a_pipeline_has_the_sizes_of_its_encoder(self) -> None:
        catalogue = material.catalogue()
        handle, card = next(iter(catalogue.pipelines.items()))
        encoder = catalogue.encoders[card.encoder]
        by_card = {each.card.handle: each for each in summarize(catalogue, {})}[handle]
        assert (by_card.source, by_card.families) == (encoder, (encoder.family,))
        assert by_card.layers == encoder.architecture.num_hidden_layers and by_card.stated
        records = {handle: {"encoder": material.record(4, 256)}}
        by_record = {each.card.handle: each for each in summarize(catalogue, records)}[handle]
        assert (by_record.layers, by_record.hidden, by_record.stated) == (4, 256, False)

    def test_the_record_comes_before_the_card(self) -> None:
        card = material.encoder(
            architecture=Architecture(num_hidden_layers=2, stated_parameters=4_000_000)
        )
        found = alone(card, material.record(4, 256))
        assert (found.layers, found.hidden, found.attention_heads) == (4, 256, 4)
        assert (found.parameters, found.stated) == (material.parameters(4, 256), False)
        assert found.heads == ("mlm", "nsp")

    def test_without_a_record_parameters_are_stated_and_heads_not_known(self) -> None:
        card = material.encoder(
            architecture=Architecture(num_hidden_layers=2, stated_parameters=4_000_000)
        )
        found = alone(card)
        assert (found.layers, found.hidden) == (2, None)
        assert (found.parameters, found.stated, found.heads) == (4_000_000, True, ())

    def test_nothing_is_made_up(self) -> None:
        found = alone(material.encoder(architecture=Architecture()))
        assert found.parameters is None
        assert not found.stated
        assert set(values_of(found)) == {"kind", "family", "language", "casing"}

    def test_preprocessors_have_the_families_of_their_encoders(self) -> None:
        found = summaries()["tensorflow/bert_en_uncased_preprocess"]
        assert "bert" in found.families
        assert "lambert" in found.families
        assert found.vocabulary == 30_522

    def test_searches_look_into_names_and_authors_whatever_their_accents(self) -> None:
        authors = (Author("Łukasz Müller", "Universität X"),)
        card = material.encoder(also_known_as=("BERT-Tiny",), authors=authors, title="Ångström")
        text = alone(card).searched
        for word in ("bert-tiny", "muller", "universitat", "angstrom", card.name.lower()):
            assert word in text
        assert "é" not in folded("É") and folded("É") == "e"

    def test_encoders_come_first_the_small_before_the_large(self) -> None:
        found = [each.card.kind for each in summarize(material.catalogue(), {})]
        assert found == sorted(found, key=["encoder", "preprocessor", "pipeline"].index)
        small = [
            (each.layers, each.hidden)
            for each in summarize(material.catalogue(), {})
            if material.SMALL in each.card.collections and each.layers
        ]
        assert small == list(material.sizes())


class TestFacets:
    def test_options_count_the_models_that_have_them(self) -> None:
        listed = list(summaries().values())
        facets = {facet.key: facet for facet in facets_of(listed)}
        assert list(facets) == [
            "kind",
            "task",
            "family",
            "language",
            "casing",
            "parameters",
            "layers",
            "hidden",
            "heads",
        ]
        for key, facet in facets.items():
            for option in facet.options:
                having = [each for each in listed if option.value in values_of(each).get(key, ())]
                assert option.count == len(having) > 0

    def test_every_value_of_a_model_is_an_option(self) -> None:
        listed = list(summaries().values())
        options = {
            facet.key: {option.value for option in facet.options} for facet in facets_of(listed)
        }
        for each in listed:
            for key, values in values_of(each).items():
                assert set(values) <= options[key]
            assert json.loads(values_as_json(each)) == values_of(each)

    def test_numbers_are_in_the_order_of_numbers(self) -> None:
        facets = {facet.key: facet for facet in facets_of(summaries().values())}
        for key in ("layers", "hidden"):
            values = [int(option.value) for option in facets[key].options]
            assert values == sorted(values)
        labels = [option.label for option in facets["parameters"].options]
        assert labels[0] == "up to 10 M"
        assert labels[-1] == "over 400 M"

    @pytest.mark.parametrize(
        ("parameters", "band"),
        [
            (10_000_000, "up to 10 M"),
            (10_000_001, "10 to 50 M"),
            (110_106_428, "50 to 150 M"),
            (340_000_000, "150 to 400 M"),
            (774_000_000, "over 400 M"),
        ],
    )
    def test_bands_of_parameters(self, parameters: int, band: str) -> None:
        card = material.encoder(architecture=Architecture(stated_parameters=parameters))
        assert values_of(alone(card))["parameters"] == [band]

    def test_a_facet_that_no_model_has_is_left_out(self) -> None:
        without = summarize(material.catalogue(), {})
        assert "heads" not in {facet.key for facet in facets_of(without)}


class TestGrids:
    def small(self) -> list[Summary]:
        return [each for each in summaries().values() if material.SMALL in each.card.collections]

    def test_small_berts_are_one(self) -> None:
        grid = grid_of(self.small())
        assert grid is not None
        assert (grid.layers, grid.hidden) == (material.LAYERS, material.HIDDEN)
        for size in material.sizes():
            assert grid.cells[size].card.handle == material.small_handle(*size)
            assert grid.cells[size].parameters == material.parameters(*size)

    def test_a_missing_cell_or_two_models_of_a_size_make_it_none(self) -> None:
        small = self.small()
        assert grid_of(small[1:]) is None
        twice = dataclasses.replace(small[0], path="elsewhere/index.html")
        assert grid_of([*small, twice]) is None
        assert grid_of([]) is None

    def test_a_single_row_is_none(self) -> None:
        assert grid_of([each for each in self.small() if each.layers == 2]) is None


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "text"),
        [(4_385_920, "4.39 M"), (110_106_428, "110 M"), (774_000_000, "774 M"), (66e6, "66 M")],
    )
    def test_millions(self, value: int, text: str) -> None:
        assert millions(value) == text

    @pytest.mark.parametrize(
        ("value", "text"),
        [(0, "0"), (0.01234, "0.0123"), (1234.5, "1,230"), (9.996, "10"), (1e6, "1,000,000")],
    )
    def test_significant(self, value: float, text: str) -> None:
        assert significant(value) == text

    def test_exponent(self) -> None:
        assert (exponent(0.0), exponent(2.714e-7)) == ("0", "2.71e-07")

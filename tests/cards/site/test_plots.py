"""Drawings: the right figures, as SVG that fits its page."""

from __future__ import annotations

import copy
import math
import re
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest

from hubexport.cards.site.drawing import Plot, power_of_ten, round_ticks
from hubexport.cards.site.layer_errors import error_plot
from hubexport.cards.site.summaries import Grid, grid_of, summarize
from hubexport.cards.site.throughput import throughput_plots
from tests.cards.site import material

_NAMES = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def parsed(plot: Plot) -> ElementTree.Element:
    return ElementTree.fromstring(str(plot.svg).replace("<svg ", f"<svg {_NAMES} ", 1))


def grid(records: dict[str, dict[str, Any]]) -> Grid:
    found = summarize(material.catalogue(), records)
    made = grid_of(each for each in found if material.SMALL in each.card.collections)
    assert made is not None
    return made


def changed(**changes: Any) -> dict[str, Any]:
    """A record whose one gate of numbers is other."""
    record = material.record(2, 128)
    record["validation"][0]["gates"][1].update(changes)
    return record


def errors(record: dict[str, Any]) -> Plot:
    plot = error_plot(record)
    assert plot is not None
    return plot


class TestThroughput:
    def test_one_plot_for_each_setting_with_all_its_figures(self) -> None:
        plots = throughput_plots(grid(material.records()))
        assert [plot.title.split(",")[0] for plot in plots] == [
            "Throughput on Intel(R) Xeon(R)",
            "Throughput on NVIDIA H200 (GPU)",
        ]
        for plot in plots:
            assert [text for _, _, text in plot.legend] == ["H-128", "H-256", "H-512", "H-768"]
            assert [row[:2] for row in plot.rows] == [
                (f"L-{layers}, H-{hidden}", f"{material.parameters(layers, hidden):,}")
                for layers, hidden in material.sizes()
            ]

    def test_points_lie_where_their_figures_say(self) -> None:
        """More layers of one width are more parameters, to the right, and slower, further down."""
        plot = throughput_plots(grid(material.records()))[0]
        paths = re.findall(r'<path d="(M[^"]+)"[^>]*stroke: var\(--series-1\)', plot.svg)
        line = max(paths, key=len)
        points = [tuple(map(float, pair)) for pair in re.findall(r"[ML] (\S+) (\S+)", line)]
        assert len(points) == len(material.LAYERS)
        assert points == sorted(points)
        assert [y for _, y in points] == sorted(y for _, y in points)

    def test_without_figures_there_is_no_plot(self) -> None:
        assert throughput_plots(grid({})) == []
        one = {material.small_handle(2, 128): material.record(2, 128)}
        assert throughput_plots(grid(one)) == []

    def test_other_settings_are_not_mixed(self) -> None:
        records = material.records()
        for entry in records[material.small_handle(2, 128)]["throughput"]:
            entry["batch_size"] = 1
        plots = throughput_plots(grid(records))
        assert [len(plot.rows) for plot in plots] == [23, 23]

    def test_figures_of_texts_are_not_mixed_with_those_of_full_batches(self) -> None:
        records = material.records()
        for record in records.values():
            for entry in list(record["throughput"]):
                texts = {"texts": "sentences", "tokens_per_text": 33.3, "sequences_per_second": 7e6}
                record["throughput"].append({**entry, **texts})
        plots = throughput_plots(grid(records))
        full = throughput_plots(grid(material.records()))
        of_texts = [plot for plot in plots if "sentences" in plot.title]
        assert [plot.title for plot in plots if plot not in of_texts] == [p.title for p in full]
        assert [plot.rows for plot in plots if plot not in of_texts] == [p.rows for p in full]
        assert len(of_texts) == len(full)
        for plot in of_texts:
            assert "sentences of 33.3 tokens, padded to 128, padding computed" in plot.title
            assert {row[2] for row in plot.rows} == {"7,000,000"}

    def test_models_that_skip_padding_are_not_compared_with_others(self) -> None:
        records = material.records()
        for number, record in enumerate(records.values()):
            record["architecture"]["padding"] = ("skip", "compute")[number % 2]
            record["throughput"] = [
                {**entry, "texts": "questions", "tokens_per_text": 14.6}
                for entry in record["throughput"][:1]
            ]
        titles = [plot.title for plot in throughput_plots(grid(records))]
        assert [title.rpartition(" ")[2] for title in titles] == ["computed", "skipped"]

    def test_figures_that_no_logarithm_has_are_left_out(self) -> None:
        records = material.records()
        records[material.small_handle(2, 128)]["throughput"][0]["sequences_per_second"] = 0
        assert len(throughput_plots(grid(records))[0].rows) == 23


class TestErrors:
    def test_layers_by_number_then_the_other_outputs(self) -> None:
        record = material.record(12, 512)
        gate = record["validation"][0]["gates"][1]
        gate["outputs"] = dict(sorted(gate["outputs"].items()))  # [10] before [2]
        names = [row[0] for row in errors(record).rows]
        assert names[:12] == [f"encoder_outputs[{number}]" for number in range(12)]
        assert set(names[12:]) == {
            "sequence_output",
            "pooled_output",
            "default",
            "mlm_logits",
            "nsp_logits",
        }

    def test_the_table_has_the_measured_figures(self) -> None:
        plot = errors(material.record(2, 128))
        assert plot.columns == ("Output", "relative Frobenius", "largest difference")
        assert plot.rows[0] == ("encoder_outputs[0]", "2.50e-07", "1.00e-06")

    def test_the_limit_is_said_and_drawn(self) -> None:
        assert errors(material.record(2, 128)).note == "Dashed: limit of mlm_logits, 4.67e-06."
        assert "dasharray" in errors(material.record(2, 128)).svg

    @pytest.mark.parametrize(
        "worst",
        [
            None,
            {"what": "plain: default, max abs", "figure": 1e-6, "limit": 1e-5, "passed": True},
            {"what": "x: y, relative Frobenius", "figure": None, "limit": "equal bits"},
            {"what": "x: y, relative Frobenius", "figure": 1e-6, "limit": None},
        ],
    )
    def test_limits_of_another_kind_are_not_drawn(self, worst: dict[str, Any] | None) -> None:
        plot = errors(changed(worst=worst))
        assert plot.note == ""
        assert "dasharray" not in plot.svg

    def test_zero_and_what_is_no_number_stay_off_the_axis(self) -> None:
        record = changed()
        outputs = record["validation"][0]["gates"][1]["outputs"]
        outputs["default"] = {"relative_frobenius": 0.0, "max_abs": 0.0}
        outputs["nsp_logits"] = {"relative_frobenius": math.nan, "max_abs": None}
        rows = {row[0]: row[1:] for row in errors(record).rows}
        assert rows["default"] == ("0", "0")
        assert "nsp_logits" not in rows

    @pytest.mark.parametrize("gate", ["batch", "integrity", "end to end"])
    def test_only_the_gate_of_numbers_is_drawn(self, gate: str) -> None:
        assert error_plot(changed(name=gate)) is None

    def test_the_axis_reaches_from_the_least_to_the_greatest(self) -> None:
        for powers in ((-7, -6), (-9, -2), (-16, 3)):
            outputs = {
                name: {"relative_frobenius": 3 * 10.0**power, "max_abs": 1.0}
                for name, power in zip(("default", "pooled_output"), powers, strict=True)
            }
            plot = errors(changed(outputs=outputs, worst=None))
            left, right = 124, 380 - 14  # of the axes
            marker = r'<use xlink:href="[^"]+" x="([^"]+)" y="[^"]+" style="fill: var\(--series-1\)'
            points = re.findall(marker, plot.svg)
            drawn = [float(x) for x in points]
            assert len(drawn) == 2
            assert left <= drawn[0] < drawn[1] <= right

    def test_without_validation_there_is_no_plot(self) -> None:
        record = material.record(2, 128)
        del record["validation"]
        assert error_plot(record) is None
        assert error_plot({}) is None
        assert error_plot(changed(outputs={})) is None

    def test_every_precision_is_a_series(self) -> None:
        record = material.record(2, 128)
        entry = record["validation"][0]
        other = copy.deepcopy(entry["gates"][1])
        other["name"] = "numerics (tf32)"
        entry["gates"].append(other)
        plot = errors(record)
        assert len(plot.legend) == 2
        assert plot.legend[1][2].endswith("tf32")
        assert len(plot.columns) == len(plot.rows[0]) == 5


class TestSvg:
    @pytest.fixture(params=["throughput", "errors"])
    def plot(self, request: pytest.FixtureRequest) -> Plot:
        if request.param == "errors":
            return errors(material.record(12, 768))
        return throughput_plots(grid(material.records()))[0]

    def test_it_is_named_for_those_who_do_not_see_it(self, plot: Plot) -> None:
        root = parsed(plot)
        assert root.attrib["role"] == "img"
        texts = {each.attrib.get("id"): each.text for each in root.iter()}
        named = root.attrib["aria-labelledby"].split()
        assert [texts[name] for name in named] == [plot.title, plot.description]

    def test_it_has_the_colours_of_the_page(self, plot: Plot) -> None:
        assert "var(--series-1)" in plot.svg
        assert not re.search(r"#[0-9a-f]{6}\b", plot.svg.lower())

    def test_its_ids_are_its_own_and_are_there(self, plot: Plot) -> None:
        root = parsed(plot)
        ids = [each.attrib["id"] for each in root.iter() if "id" in each.attrib]
        assert len(ids) == len(set(ids))
        assert all(name.startswith(f"{plot.name}-") for name in ids)
        used = re.findall(r'(?:url\(#|href="#)([^")]+)', plot.svg)
        assert used
        assert set(used) <= set(ids)

    def test_nothing_of_the_day_or_the_program_is_in_it(self, plot: Plot) -> None:
        assert "metadata" not in plot.svg
        assert "<!--" not in plot.svg

    def test_settings_of_users_do_not_matter(self, plot: Plot) -> None:
        with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.grid": False}):
            again = errors(material.record(12, 768))
            assert matplotlib.rcParams["lines.linewidth"] == 9
        assert again.svg == errors(material.record(12, 768)).svg

    def test_hostile_names_cannot_inject(self) -> None:
        record = material.record(2, 128)
        hostile = "</title></svg><script>x</script>$\\frac{$"
        record["validation"][0]["gates"][1]["outputs"] = {
            hostile: {"relative_frobenius": 1e-6, "max_abs": 1e-6},
            "default": {"relative_frobenius": 1e-6, "max_abs": 1e-6},
        }
        record["validation"][0]["hardware"] = hostile
        plot = errors(record)
        assert "<script" not in plot.svg
        assert parsed(plot) is not None


class TestAxes:
    def test_ticks_are_1_2_5_within_the_values(self) -> None:
        assert round_ticks([4.4, 110]) == [5, 10, 20, 50, 100]
        assert round_ticks([3, 4]) == [3]

    @pytest.mark.parametrize(
        ("value", "text"), [(1e-7, "10⁻⁷"), (1.0, "10⁰"), (2e-6, "2·10⁻⁶"), (1e12, "10¹²")]
    )
    def test_powers_of_ten(self, value: float, text: str) -> None:
        assert power_of_ten(value) == text

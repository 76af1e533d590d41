"""Charts of a report: drawn once for light, dark and print, and read to those who cannot see them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import altair as alt
import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures

from harness.reports.drawing import (
    CONTROL,
    MEASURED,
    PREDICTED,
    Figures,
    alone,
    bin_edges,
    row_colour,
    to_svg,
)
from harness.results import RunResult


@pytest.fixture(scope="module")
def svg() -> str:
    table = pd.DataFrame({"x": [1, 2, 3], "y": [2, 1, 3]})
    chart = alt.Chart(table, width=200, height=80).mark_bar(color=PREDICTED).encode(x="x", y="y")
    return to_svg(chart, 'r < 1 & "sure"')


def test_colours_are_those_of_the_page(svg):
    assert "var(--row-predicted)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#0[1-7]0[1-7]0[1-7]", svg)


def test_a_chart_shrinks_with_the_page_but_not_below_what_can_be_read(svg):
    width, least = re.search(r"^<svg[^>]*width:100%;max-width:(\d+)px;min-width:(\d+)px", svg).groups()
    assert int(least) == round(0.8 * int(width))
    assert not re.search(r'^<svg[^>]*\swidth="', svg)


def test_a_chart_has_a_text_in_its_place_and_fetches_nothing(svg):
    assert svg.startswith('<svg role="img" aria-label="r &lt; 1 &amp; &quot;sure&quot;"')
    assert "http" not in svg


def test_ids_in_a_drawing_are_its_own_and_the_same_again():
    table = pd.DataFrame({"x": [1, 2, 3], "y": [0.1, 0.5, 0.9]})

    def drawn(size: int) -> str:
        chart = alt.Chart(table, width=size).mark_rect().encode(x="x:O", color="y:Q")
        return to_svg(chart, "a gradient")

    first, other, again = drawn(100), drawn(120), drawn(100)
    assert first == again
    ids = [set(re.findall(r'\sid="([^"]+)"', svg)) for svg in (first, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r"url\(#([^)]+)\)", first)) <= ids[0]


def test_a_figure_that_fails_costs_itself_alone(caplog):
    figures = Figures()

    def broken() -> str:
        raise ValueError("no such column")

    table = pd.DataFrame({"r": [0.5]})
    assert figures.draw("first", broken, lambda: table) is None
    assert figures.draw("of nothing", lambda: "", broken) is None
    second = figures.draw("voxel r", lambda: "<svg/>", lambda: table)
    assert (second.file, second.svg, second.table is table) == ("voxel-r", "<svg/>", True)
    assert figures.failed == [("first", "ValueError: no such column")]
    assert figures.drawn == [second]
    assert "the figure 'first' is left out of the report" in caplog.text


def test_a_figure_alone_is_an_svg_file_in_the_colours_of_light_paper(svg):
    root = ElementTree.fromstring(alone(svg))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "var(" not in alone(svg)
    assert float(root.get("width")) > 200
    assert float(root.get("height")) > 80
    assert "#16191d" in alone(svg)  # --ink of light paper


@pytest.mark.parametrize("values", [[0.1, 0.9], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0 + 1e-15], [-3.0, -3.0]])
def test_bins_hold_all_values_also_equal_ones(values):
    edges = bin_edges(np.array(values), 10)
    assert len(edges) == 11
    assert (np.diff(edges) > 0).all()
    assert np.histogram(values, edges)[0].sum() == 2
    assert edges[0] <= min(values) <= max(values) <= edges[-1]


def test_rows_are_coloured_by_their_group(tmp_path):
    run = RunResult.open(fixtures.write_run(tmp_path / "run", images=3, voxels=4, side=2))
    assert row_colour(run, "measured") == row_colour(run, "remeasured") == MEASURED
    assert row_colour(run, "predicted") == PREDICTED
    assert row_colour(run, "zero") == CONTROL

"""The page of a comparison shows its tests, how large differences are, where they are, and the images."""

from __future__ import annotations

import numpy as np
import pytest
from board_runs import board_run
from report_pages import EVIL, Page, change_info, words

from harness.reports.comparison import compare
from harness.reports.comparison_page import SHOWN, render_comparison
from harness.reports.layout import SIMULATED, number
from harness.reports.values import image_values
from harness.results import RunResult


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    return [
        board_run(folder / "ridge", better=-0.2),
        board_run(folder / "chasm", encoder="chasm", better=0.1),
        board_run(folder / "mlp", encoder="mlp", decoder="mindeye2", better=0.11),
    ]


def compared(folders, **how):
    return compare([RunResult.open(folder) for folder in folders], regions=["all"], flips=200, **how)


@pytest.fixture(scope="module")
def comparison(folders):
    return compared(folders)


@pytest.fixture(scope="module")
def page(comparison):
    return Page(render_comparison(comparison))


def test_every_table_of_the_comparison_is_there(page):
    tables = [table["id"] for table in page.all("table")]
    names = ("region-differences", "region-means", "means", "differences")
    assert tables == [*(f"table-{name}" for name in names), "side-by-side"]
    assert all(SIMULATED in caption for caption in page.captions)
    text = words(page)
    assert "V1" in text
    assert "Cohen's d_z" in text
    assert "9 comparisons" in text or "comparisons: 3 pairs of systems" in text


def test_sizes_of_effects_are_of_the_same_images(comparison, folders):
    line = comparison.differences.set_index(["a", "b", "metric"]).loc[
        "ridge · linear", "chasm · linear", "distance@1"
    ]
    first, second = (
        image_values(RunResult.open(folder), "stimulus")["predicted", "distance@1"] for folder in folders[:2]
    )
    apart = (first - second).to_numpy()
    assert line["effect"] == pytest.approx(apart.mean() / apart.std(ddof=1))
    assert line["better_on"] == pytest.approx((apart < 0).mean()), "a smaller distance is better"
    regions = comparison.region_differences
    assert np.isfinite(regions["effect"]).all()
    assert set(regions["region"]) == {"all voxels", "V1"}


def test_images_stand_by_id_with_their_scores_furthest_apart_first(comparison, page, folders):
    runs = [RunResult.open(folder) for folder in folders]
    metric = comparison.means["metric"].iloc[0]
    values = [image_values(run, "stimulus")["predicted", metric] for run in runs]
    labels = [attrs.get("aria-label") or "" for attrs in page.all("button")]
    shown = [label.removeprefix("enlarge image ") for label in labels if label]
    apart = {name: float(np.ptp([of[name] for of in values])) for name in shown}
    assert len(shown) == 6 <= SHOWN
    assert list(apart.values()) == sorted(apart.values(), reverse=True)
    text = words(page)
    assert all(number(of[name]) in text for of in values for name in shown)
    # stimulus, measured of two decoders, three systems
    assert len(page.all("img")) == 6 * len(shown)
    assert "measured fMRI, linear" in text
    assert "measured fMRI, mindeye2" in text


def test_stimuli_can_be_withheld(comparison):
    page = Page(render_comparison(comparison, show_stimuli=False))
    withheld = [attrs for attrs in page.all("span") if attrs.get("class") == "withheld"]
    assert len(withheld) == 6
    assert len(page.all("img")) == 5 * 6
    assert "Stimuli are withheld" in words(page)


def test_runs_whose_galleries_have_nothing_in_common_say_so(folders, tmp_path):
    other = board_run(tmp_path / "other", encoder="other")
    with np.load(other / "gallery.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["ids"] = np.array([f"else-{k}" for k in range(len(arrays["ids"]))])
    np.savez(other / "gallery.npz", **arrays)
    text = words(Page(render_comparison(compared([folders[0], other]))))
    assert "have no image in common" in text
    (other / "gallery.npz").unlink()
    assert "have no image in common" in words(Page(render_comparison(compared([folders[0], other]))))


def test_rows_of_one_run_and_seeds_are_shown(folders, tmp_path):
    again = board_run(tmp_path / "again", seed=1, better=-0.2)
    page = Page(render_comparison(compared([folders[0], again], rows=("predicted", "measured"))))
    text = words(page)
    assert "Each subject and seed" in text
    assert "2 seeds" in text
    assert "measured fMRI" in text


def test_markup_in_names_is_text(folders, tmp_path):
    evil = board_run(tmp_path / "evil", encoder="x")
    named = {"name": "ridge", "version": "1", "params": {"note": EVIL}}
    change_info(evil, encoder=named, command=["harness", EVIL])
    page = Page(render_comparison(compared([folders[0], evil])))
    assert len(page.scripts) == 1
    assert EVIL in words(page)
    assert all(attrs["src"].startswith("data:") for attrs in page.all("img"))

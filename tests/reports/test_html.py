"""``report.html``: complete, harmless, offline and the same every time."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from report_pages import EVIL, Page, change_info, words

from harness.errors import DataError
from harness.reports import html
from harness.reports.html import TELLING, render_html, write_report
from harness.results import RunResult


def test_report_holds_the_stored_means(folder: Path, page: Page) -> None:
    scores = RunResult.open(folder).scores.query("target == 'stimulus'")
    means = scores.groupby(["row", "metric", "image_id"])["value"].mean().groupby(["row", "metric"]).mean()
    text = words(page)
    for value in means:
        assert f"{value:.3f}" in text
    cells = [float(cell["data-value"]) for cell in page.all("td") if cell.get("data-value")]
    assert all(any(abs(value - cell) < 1e-12 for cell in cells) for value in means)


def test_report_says_what_was_run_and_how_to_run_it_again(page: Page) -> None:
    text = words(page)
    assert "ridge → linear on toy@1, s1" in text
    assert "the first 6 of 24 test images" in text
    assert "harness run --encoder ridge --set 'encoder.note=two words'" in text
    assert "0000000000 with uncommitted changes" in text
    assert "e" * 64 in text
    assert "decoder-prior-zone" in text
    for heading in ("Paired differences", "Decoded agreement", "Predicted responses", "Provenance"):
        assert heading in text


def test_headline_shows_two_way_identification_with_its_best_control(folder: Path, page: Page) -> None:
    values = RunResult.open(folder).scores.query("target == 'stimulus' and metric == 'pixel-2way@1'")
    means = values.groupby(["row", "image_id"])["value"].mean().groupby("row").mean()
    text = words(page)
    headline = text[: text.index("Scores against the stimuli")]
    assert f"2-way (pixels) (chance 0.5), best control {means['nearest-train']:.3f}" in headline
    for row in ("measured", "predicted"):
        assert f"2-way (pixels) (chance 0.5) {means[row]:.3f}" in headline


def test_report_asks_nothing_of_a_network(folder: Path, page: Page) -> None:
    for _, attrs in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attrs.get(name) or ""
            beside = name == "href" and re.fullmatch(
                r"figures/[a-z-]+\.(svg|csv)|methods.txt|reproduce.yaml", value
            )
            assert value == "" or value.startswith(("data:", "#")) or beside
        assert "url(" not in (attrs.get("style") or "").replace("url(#", "")
    text = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|@import|ftp:|wss?:", text)
    for script in page.scripts:
        assert not re.search(r"fetch|XMLHttpRequest|import|WebSocket|sendBeacon|EventSource|\beval\b", script)
    for style in page.styles:
        assert "url(" not in style
    assert len(text) < 5_000_000


def test_every_figure_lies_beside_the_report_as_svg_and_as_the_table_behind_it(
    folder: Path, page: Page
) -> None:
    linked = {attrs["href"] for attrs in page.all("a") if attrs["href"].startswith("figures/")}
    assert {f"figures/{file.name}" for file in (folder / "figures").iterdir()} == linked
    names = {Path(link).stem for link in linked}
    assert len(linked) == 2 * len(names)
    assert names == {
        *("predicted-against-measured", "voxel-r-by-region", "voxel-r-by-noise-ceiling", "noise-ceilings"),
        *("scores-of-single-images", "patterns-of-single-images"),
    }
    for name in names:
        assert (folder / "figures" / f"{name}.svg").read_text().startswith("<svg xmlns=")
        assert len(pd.read_csv(folder / "figures" / f"{name}.csv")) > 0
    boxes = pd.read_csv(folder / "figures" / "scores-of-single-images.csv").set_index(["metric", "label"])
    values = RunResult.open(folder).scores.query("target == 'stimulus' and row == 'measured'")
    assert boxes.loc[("ssim@1", "measured fMRI"), "median"] == pytest.approx(
        values[values.metric == "ssim@1"]["value"].median()
    )


def test_ids_are_unique_and_images_have_alternative_text(folder: Path, page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    used = re.findall(r"url\(#([^)]+)\)", (folder / "report.html").read_text("utf-8"))
    assert set(used) <= set(ids)
    images = page.all("img")
    assert len(images) >= 6 * 6
    assert all(image.get("alt") for image in images)


def test_every_caption_of_a_simulated_run_says_so(page: Page) -> None:
    assert len(page.captions) >= 10
    for caption in page.captions:
        # The strip of constant controls stands under the marked grid.
        assert "simulated, not brain data" in caption or caption in [r[0] for r in fixtures.ROWS.values()]


@pytest.mark.usefixtures("no_charts")
def test_measured_data_are_not_called_simulated(fresh: Path) -> None:
    change_info(fresh, benchmark={"name": "nsd", "version": "1", "simulated": False})
    assert "not brain data" not in render_html(RunResult.open(fresh))


def test_same_folder_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    before = (folder / "report.html").read_bytes()
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    (copy / "report.html").unlink()
    assert write_report(copy) == copy / "report.html"
    assert (copy / "report.html").read_bytes() == before


def test_names_cannot_inject_anything(tmp_path: Path) -> None:
    run = fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=8)
    info = json.loads((run / "run.json").read_text())
    info["encoder"]["name"] = info["decoder"]["params"]["x"] = info["subject"] = info["gallery_rule"] = EVIL
    info["benchmark"]["name"] = info["run"] = info["device"] = EVIL
    info["space"]["rois"] = {EVIL: list(range(6))}
    info["flags"] = [{"name": EVIL, "level": EVIL, "message": EVIL}]
    info["failed_metrics"] = [{"metric": EVIL, "error": EVIL, "how_to_rerun": EVIL}]
    info["command"] = ["harness", EVIL]
    info["metrics"][0]["label"] = info["rows"][0]["label"] = info["rows"][1]["note"] = EVIL
    info["packages"] = {EVIL: EVIL}
    (run / "run.json").write_text(json.dumps(info))
    fixtures.change_scores(
        run, "scores", lambda f: f.assign(image_id=f["image_id"].replace("scene-000", EVIL))
    )
    gallery = dict(np.load(run / "gallery.npz"))
    gallery["ids"] = np.array([EVIL, *gallery["ids"][1:]])
    np.savez(run / "gallery.npz", **gallery)
    text = render_html(RunResult.open(run))
    page = Page(text)
    assert len(page.scripts) == len(page.all("script")) == 1
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    handlers = [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert handlers == []
    assert words(page).count("<img src=x onerror=alert(1)>") >= 12
    assert "{{7*7}}" in words(page)
    assert "alert(1)" in text


OPTIONAL = [
    key
    for key in fixtures.run_info(["a"], 3, 0)
    if key not in ("schema", "metrics")  # the reader asks for schema; metrics without description: below
]


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize("key", OPTIONAL)
def test_every_key_but_the_schema_may_be_absent(fresh: Path, key: str) -> None:
    change_info(fresh, **{key: None})
    text = words(Page(render_html(RunResult.open(fresh))))
    assert "Scores against the stimuli" in text
    assert "None" not in text


def test_a_bare_run_still_has_its_scores(fresh: Path) -> None:
    (fresh / "run.json").write_text('{"schema": 1}')
    (fresh / "gallery.npz").unlink()
    text = words(Page(render_html(RunResult.open(fresh))))
    assert "pixcorr@1" in text
    assert "This run made no images." in text


@pytest.mark.usefixtures("no_charts")
def test_failed_metrics_and_alarms_are_shown_first(fresh: Path) -> None:
    change_info(
        fresh,
        failed_metrics=[{"metric": "lpips@1", "error": "weights missing", "how_to_rerun": "type X"}],
        flags=[
            {"name": "small", "level": "info", "message": "a note"},
            {"name": "misaligned-ids", "level": "alarm", "message": "at chance"},
        ],
    )
    text = words(Page(render_html(RunResult.open(fresh))))
    assert "lpips@1 could not be scored: weights missing. type X" in text
    assert text.index("misaligned-ids") < text.index("a note") < text.index("Scores against the stimuli")


@pytest.mark.usefixtures("no_charts")
def test_images_that_were_not_scored_are_counted(fresh: Path) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        lost = frame["image_id"].isin(["scene-001", "scene-002"]) & (frame["metric"] == "ssim@1")
        return frame.assign(value=frame["value"].where(~lost))

    assert "not scored" not in words(Page(render_html(RunResult.open(fresh))))
    fixtures.change_scores(fresh, "scores", spoil)
    text = words(Page(render_html(RunResult.open(fresh))))
    rows = sum(name not in ("measured", "measured-trial") for name in fixtures.ROWS)
    assert text.count("2 not scored") == len(fixtures.ROWS) + rows  # against stimulus, against measured


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no run\.json"):
        write_report(tmp_path)


@pytest.mark.usefixtures("no_charts")
def test_distances_to_training_images_are_not_called_better(fresh: Path) -> None:
    def add(frame: pd.DataFrame) -> pd.DataFrame:
        near = frame[frame["target"] == "stimulus"]
        return pd.concat([frame, near.assign(target="training", metric="pixel-nearest-train@1")])

    fixtures.change_scores(fresh, "scores", lambda f: add(f[f["metric"] == "pixcorr@1"]))
    text = words(Page(render_html(RunResult.open(fresh))))
    near = text[text.index("How near to the training images") : text.index("Provenance")]
    assert "beside the stimuli themselves" in near
    assert "is better" not in near


def test_a_reason_is_given_once_for_all_metrics_that_share_it(fresh: Path, no_charts) -> None:
    reasons = [{"metric": f"score-{k}", "why": "its weights are not here"} for k in range(12)]
    reasons.append({"metric": "clip-100way", "why": "it needs 100 test images and there are 12"})
    page = render_html(RunResult.open(change_info(fresh, left_out_metrics=reasons)))
    text = words(Page(page[page.index('id="flags"') : page.index("</section>")]))
    assert text.count("left out") == 1
    assert text.count("its weights are not here") == 1
    assert ", ".join(f"score-{k}" for k in range(12)) in text
    assert "it needs 100 test images and there are 12" in text


def tiles_of(folder: Path) -> str:
    page = render_html(RunResult.open(folder))
    start = page.index('<section class="tiles"')
    return words(Page(page[start : page.index("</section>", start)]))


def test_a_tile_of_agreement_needs_images_and_its_ratio_an_interval(
    tmp_path: Path, no_charts, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fixtures.write_run(tmp_path / "run", images=12, voxels=12, side=8)
    assert TELLING > 12
    assert "decoded-agreement-controlled" not in tiles_of(folder)
    monkeypatch.setattr(html, "TELLING", 12)
    text = tiles_of(folder)
    assert "decoded-agreement-controlled" in text
    assert re.search(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\] of a re-measurement", text)
    assert text.count("of a re-measurement") == 1


def test_the_tile_of_voxel_r_has_its_ceiling_and_its_areas_beside_it(fresh: Path, no_charts) -> None:
    text = tiles_of(fresh)
    run = RunResult.open(fresh)
    ceiling = np.sqrt(np.array(run.info["noise_ceiling"])).mean()
    assert f"noise ceiling {ceiling:.3f}" in text
    assert all(f"{name} 0." in text for name in run.info["space"]["groups"])

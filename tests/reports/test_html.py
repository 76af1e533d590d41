"""``report.html``: complete, harmless, offline and the same every time."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from PIL import Image

from harness.errors import DataError
from harness.reports import figures, html
from harness.reports.html import TELLING, render_html, write_report
from harness.reports.images import read_gallery
from harness.reports.layout import chance_level
from harness.results import RunResult

EVIL = "</script><img src=x onerror=alert(1)>'\"&{{7*7}}"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.captions: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "caption", "figcaption"):
            self._open.append(tag)
            if tag in ("caption", "figcaption"):
                self.captions.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        kind = self._open[-1] if self._open else ""
        if kind in ("script", "style"):
            (self.scripts if kind == "script" else self.styles).append(data)
        else:
            self.text.append(data)
            if kind:
                self.captions[-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def words(page: Page) -> str:
    return " ".join(" ".join(page.text).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = fixtures.write_run(tmp_path_factory.mktemp("run"))
    write_report(path)
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text("utf-8"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=8)


@pytest.fixture
def no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts take most of the time and are tested on their own."""
    for name in ("region_chart", "ceiling_chart", "ceiling_histogram", "image_chart"):
        monkeypatch.setattr(figures, name, lambda run: "")


def change_info(folder: Path, **changes: object) -> Path:
    path = folder / "run.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))
    return folder


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
            assert value == "" or value.startswith(("data:", "#"))
        assert "url(" not in (attrs.get("style") or "").replace("url(#", "")
    text = (folder / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|@import|ftp:|wss?:", text)
    for script in page.scripts:
        assert not re.search(r"fetch|XMLHttpRequest|import|WebSocket|sendBeacon|EventSource|\beval\b", script)
    for style in page.styles:
        assert "url(" not in style
    assert len(text) < 5_000_000


def test_content_security_policy_names_the_one_script(page: Page) -> None:
    (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    (script,) = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


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


@pytest.mark.usefixtures("no_charts")
def test_a_failed_report_leaves_the_old_one(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(fresh)
    before = (fresh / "report.html").read_bytes()
    change_info(fresh, run="another")
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        write_report(fresh)
    assert (fresh / "report.html").read_bytes() == before
    assert not [path for path in fresh.iterdir() if path.name.startswith(".")]


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


@pytest.mark.usefixtures("no_charts")
def test_half_of_a_surrogate_pair_in_a_name_still_gives_a_file(fresh: Path) -> None:
    change_info(fresh, run="broken \ud800 name")
    assert write_report(fresh).read_text("utf-8").count("broken \\ud800 name") >= 1


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


def decoded_images(page: Page) -> list[np.ndarray]:
    sources = [image["src"] for image in page.all("img")]
    contents = [base64.b64decode(source.split(",", 1)[1]) for source in sources]
    return [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents]


@pytest.mark.usefixtures("no_charts")
def test_small_images_are_shown_exactly(fresh: Path) -> None:
    page = Page(render_html(RunResult.open(fresh)))
    shown = {image.tobytes() for image in decoded_images(page)}
    gallery = np.load(fresh / "gallery.npz")
    for row in ("stimulus", "measured", "predicted", "oracle"):
        assert {image.tobytes() for image in gallery[row]} <= shown
    assert "pixelated" in {word for _, attrs in page.tags for word in (attrs.get("class") or "").split()}


@pytest.mark.usefixtures("no_charts")
def test_without_stimuli_no_stimulus_is_in_the_file(fresh: Path) -> None:
    page = Page(render_html(RunResult.open(fresh), show_stimuli=False))
    shown = {image.tobytes() for image in decoded_images(page)}
    gallery = np.load(fresh / "gallery.npz")
    for row in ("stimulus", "nearest-train", "mean-image", "generator-ceiling"):
        assert not shown & {image.tobytes() for image in gallery[row]}
    assert {image.tobytes() for image in gallery["predicted"]} <= shown
    assert "Stimuli are withheld" in words(page)
    tiles = [attrs for _, attrs in page.tags if attrs.get("class") == "withheld"]
    average = np.round(gallery["stimulus"][0].reshape(-1, 3).mean(axis=0)).astype(int)
    assert tiles[0]["style"] == "background:#" + "".join(f"{value:02x}" for value in average)
    assert tiles[0]["aria-label"] == "stimulus (withheld), image scene-000"


@pytest.mark.usefixtures("no_charts")
@pytest.mark.parametrize("how", ["by name", "by content"])
def test_without_stimuli_a_decoder_that_returns_training_images_shows_none(fresh: Path, how: str) -> None:
    if how == "by name":
        change_info(fresh, decoder={"name": "nearest-train", "version": "1"})
    else:
        gallery = dict(np.load(fresh / "gallery.npz"))
        gallery["predicted"][2] = gallery["nearest-train"][4]
        np.savez(fresh / "gallery.npz", **gallery)
    assert decoded_images(Page(render_html(RunResult.open(fresh), show_stimuli=False))) == []


@pytest.mark.usefixtures("no_charts")
def test_large_galleries_are_reduced_to_fit(tmp_path: Path) -> None:
    run = fixtures.write_run(tmp_path / "run", images=16, voxels=12, side=8)
    rng = np.random.default_rng(0)
    ids = np.array([f"scene-{k:03d}" for k in range(16)])
    noise = {row: rng.integers(0, 256, (16, 256, 256, 3), np.uint8) for row in (*fixtures.ROWS, "stimulus")}
    np.savez(run / "gallery.npz", ids=ids, **noise)
    text = render_html(RunResult.open(run))
    assert len(text) < 5_000_000
    assert "Reduced to" in text
    assert max(image.shape[0] for image in decoded_images(Page(text))) < 256


def test_constant_controls_are_shown_once(folder: Path) -> None:
    gallery = read_gallery(RunResult.open(folder))
    assert {column.name for column in gallery.constant} == set(fixtures.CONSTANT)
    assert [column.name for column in gallery.columns if column.shown] == [
        "stimulus",
        "measured",
        "predicted",
    ]


@pytest.mark.parametrize("damage", ["truncated", "pickled", "float", "count"])
def test_damaged_galleries_are_named(fresh: Path, damage: str) -> None:
    path = fresh / "gallery.npz"
    gallery = dict(np.load(path))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "pickled":
        np.savez(path, ids=gallery["ids"], stimulus=np.array([{}] * 6, dtype=object))
    elif damage == "float":
        np.savez(path, ids=gallery["ids"], stimulus=gallery["stimulus"] / 255)
    else:
        np.savez(path, ids=gallery["ids"], stimulus=gallery["stimulus"][:2])
    with pytest.raises(DataError, match=r"gallery\.npz.*[Tt]ype the run's command again") as error:
        write_report(fresh)
    assert "\n" not in str(error.value)
    assert not (fresh / "report.html").exists()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no run\.json"):
        write_report(tmp_path)


def test_charts_follow_the_readers_colours(folder: Path) -> None:
    run = RunResult.open(folder)
    names = ("region_chart", "ceiling_chart", "ceiling_histogram", "image_chart")
    drawn = {name: getattr(figures, name)(run) for name in names}
    for svg in drawn.values():
        assert svg.startswith("<svg")
        (picture,) = Page(svg).all("svg")
        assert picture["role"] == "img"
        assert len(picture["aria-label"].split()) > 8
        least, most = (
            float(re.search(rf"{name}-width:([\d.]+)px", picture["style"])[1]) for name in ("min", "max")
        )
        assert 0.75 * most < least < most  # on a telephone it scrolls and stays readable
        assert "var(--ink)" in svg
        assert not re.search(r"#0\d0\d0\d\b|xmlns|\swidth=\"\d+\"\s+height=", svg)
    assert all(name in drawn["region_chart"] for name in ("V1", "faces", "all voxels"))
    assert all(m["label"] in drawn["image_chart"] for m in fixtures.IMAGE_METRICS.values())


def test_every_panel_has_a_place_for_every_row(fresh: Path) -> None:
    """Names stand at the left of the first panel only, so panels that lack a row may not close ranks."""

    def drop(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~((frame["metric"] == "ssim@1") & frame["row"].isin(("predicted", "zero")))]

    fixtures.change_scores(fresh, "scores", drop)
    svg = figures.image_chart(RunResult.open(fresh))
    heights = re.findall(r"M0,0h318v([\d.]+)h-318Z", svg)  # frames of the panels
    assert len(heights) == len(fixtures.IMAGE_METRICS)
    assert len(set(heights)) == 1


@pytest.mark.usefixtures("no_charts")
def test_what_a_column_means_is_said_of_every_score(fresh: Path) -> None:
    from harness.metrics.meanings import MEANINGS as OF_METRICS
    from harness.reports.glossary import OWN

    MEANINGS = OF_METRICS | OWN
    text = words(Page(render_html(RunResult.open(fresh))))
    assert text.count("What the columns mean") == 2
    for name in ("pixcorr", "ssim", "pixel-2way", "voxel-r", "pattern-r", "rsa", "ceiling-fraction"):
        assert MEANINGS[name] in text
    assert MEANINGS["voxel-mse"] not in text  # not in this run


def test_the_glossary_names_metrics_that_exist() -> None:
    from harness import plugins
    from harness.metrics.meanings import MEANINGS

    names = {ref.name.split("@")[0] for ref in plugins.available("metrics")}
    assert set(MEANINGS) <= names


@pytest.mark.usefixtures("no_charts")
def test_distances_to_training_images_are_not_called_better(fresh: Path) -> None:
    def add(frame: pd.DataFrame) -> pd.DataFrame:
        near = frame[frame["target"] == "stimulus"]
        return pd.concat([frame, near.assign(target="training", metric="pixel-nearest-train@1")])

    fixtures.change_scores(fresh, "scores", lambda f: add(f[f["metric"] == "pixcorr@1"]))
    text = words(Page(render_html(RunResult.open(fresh))))
    near = text[text.index("How near to the training images") : text.index("Paired differences")]
    assert "beside the stimuli themselves" in near
    assert "is better" not in near


def test_charts_are_left_out_where_there_is_nothing_to_draw(fresh: Path) -> None:
    change_info(fresh, noise_ceiling=None)
    run = RunResult.open(fresh)
    assert figures.ceiling_histogram(run) == ""
    assert "voxel r, predicted fMRI" in figures.ceiling_chart(run)
    for name in ("scores", "voxel_scores", "set_scores"):
        fixtures.change_scores(fresh, name, lambda frame: frame.iloc[:0])
    empty = RunResult.open(fresh)
    assert figures.region_chart(empty) == figures.ceiling_chart(empty) == figures.image_chart(empty) == ""
    assert "No image was scored" in words(Page(render_html(empty)))


CHARTS = ("region_chart", "ceiling_chart", "ceiling_histogram", "image_chart")


@pytest.mark.parametrize("broken", CHARTS)
def test_a_figure_that_fails_costs_itself_alone(fresh: Path, monkeypatch, broken: str) -> None:
    def fail(run: RunResult) -> str:
        raise ValueError(f"Too many bins for {EVIL}")

    for name in CHARTS:
        monkeypatch.setattr(figures, name, fail if name == broken else lambda run: "<svg>drawn</svg>")
    text = render_html(RunResult.open(fresh))
    assert text.count("<svg>drawn</svg>") == 3
    assert "could not be drawn: ValueError: Too many bins" in text
    assert EVIL not in text


def test_responses_proportional_to_the_measured_ones_are_drawn(fresh: Path) -> None:
    """Every voxel r is 1 but for rounding, which numpy cuts into no bins."""

    def proportional(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["metric"] == "voxel-r@1") & (frame["row"] != "zero")
        near = 1 - np.spacing(1) * (np.arange(len(frame)) % 2)
        return frame.assign(value=frame["value"].where(~ours, near))

    fixtures.change_scores(fresh, "voxel_scores", proportional)
    r = RunResult.open(fresh).voxel_scores.query("metric == 'voxel-r@1' and row == 'predicted'")["value"]
    with pytest.raises(ValueError, match="bins"):
        np.histogram(r, bins=40)
    for changes in ({}, {"noise_ceiling": None}):
        run = RunResult.open(change_info(fresh, **changes))
        assert "<svg" in figures.ceiling_chart(run)
        assert "could not be drawn" not in render_html(run)


def test_scores_of_0_or_1_get_no_panel_of_boxes(fresh: Path) -> None:
    def hits(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["metric"] == "pixcorr@1") & ~frame["row"].str.startswith("shuffled")
        return frame.assign(value=frame["value"].where(~ours, np.arange(len(frame)) % 2))

    before = figures.image_chart(RunResult.open(fresh))
    fixtures.change_scores(fresh, "scores", hits)
    after = figures.image_chart(RunResult.open(fresh))
    assert ("PixCorr" in before, "PixCorr" in after) == (True, False)
    assert "SSIM" in after


def test_a_reason_is_given_once_for_all_metrics_that_share_it(fresh: Path, no_charts) -> None:
    reasons = [{"metric": f"score-{k}", "why": "its weights are not here"} for k in range(12)]
    reasons.append({"metric": "clip-100way", "why": "it needs 100 test images and there are 12"})
    page = render_html(RunResult.open(change_info(fresh, left_out_metrics=reasons)))
    text = words(Page(page[page.index('id="flags"') : page.index("</section>")]))
    assert text.count("left out") == 1
    assert text.count("its weights are not here") == 1
    assert ", ".join(f"score-{k}" for k in range(12)) in text
    assert "it needs 100 test images and there are 12" in text


@pytest.mark.parametrize(
    ("chance", "written"),
    [
        (1 / 12, "1/12"),
        (1 / 300, "1/300"),
        (0.5, "0.5"),
        (0.01, "0.01"),
        (0.0, "0"),
        (0.0123457, "0.0123457"),
    ],
)
def test_chance_is_written_as_people_say_it(chance: float, written: str) -> None:
    assert chance_level(chance) == written


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

"""Images of a report: which are shown, how large, and what stands for withheld ones."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures
from PIL import Image
from report_pages import Page, change_info, words

from harness.errors import DataError
from harness.reports.html import render_html, write_report
from harness.reports.images import read_gallery
from harness.results import RunResult


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
    page = Page(render_html(RunResult.open(fresh), shareable=True))
    shown = {image.tobytes() for image in decoded_images(page)}
    gallery = np.load(fresh / "gallery.npz")
    for row in ("stimulus", "nearest-train", "mean-image", "generator-ceiling"):
        assert not shown & {image.tobytes() for image in gallery[row]}
    assert {image.tobytes() for image in gallery["predicted"]} <= shown
    assert "Stimuli are withheld" in words(page)
    whole = words(Page(render_html(RunResult.open(fresh))))
    for of_voxels in ('"rois":', '"noise_ceiling":'):  # of few voxels they stand there in full
        assert of_voxels in whole
        assert of_voxels not in words(page)
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
    assert decoded_images(Page(render_html(RunResult.open(fresh), shareable=True))) == []


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

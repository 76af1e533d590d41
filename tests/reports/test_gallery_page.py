"""All images of a run beside each other: every one, lazily, by scores, and none that may not be shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures
from report_pages import EVIL, Page, change_info, words

from harness.errors import DataError
from harness.reports.gallery_page import read_pictures, write_gallery
from harness.results import RunResult


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = fixtures.write_run(tmp_path / "run", images=9, voxels=12, side=8)
    return fixtures.with_pictures(fixtures.rename(folder, "scene-002", EVIL))


def test_every_image_is_there_by_lazy_files_with_its_scores(folder: Path) -> None:
    run = RunResult.open(folder)
    page = Page(write_gallery(run, folder).read_text("utf-8"))
    images = page.all("img")
    assert len(images) == 9 * 3
    assert all(image["loading"] == "lazy" and image["alt"] for image in images)
    assert all((folder / image["src"]).is_file() for image in images)
    assert words(page).count("<img src=x onerror=alert(1)>") == 1
    scores = run.scores.query("row == 'predicted' and target == 'stimulus' and metric == 'ssim@1'")
    shown = {float(cell["data-value"]) for cell in page.all("td") if cell.get("data-value")}
    assert all(
        min(abs(value - v) for v in shown) < 1e-12 for value in scores.groupby("image_id")["value"].mean()
    )


def test_what_may_be_handed_on_has_no_stimuli(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    page = Page(write_gallery(RunResult.open(folder), other, shareable=True).read_text("utf-8"))
    assert {Path(image["src"]).parts[1] for image in page.all("img")} == {"measured", "predicted"}
    assert sorted(path.name for path in (other / "gallery").iterdir()) == ["measured", "predicted"]
    assert "Stimuli are withheld" in words(page)
    # A decoder that hands out training images hands out stimuli.
    change_info(folder, decoder={"name": "nearest-train"})
    (tmp_path / "third").mkdir()
    page = Page(write_gallery(RunResult.open(folder), tmp_path / "third", shareable=True).read_text("utf-8"))
    assert page.all("img") == []


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["paths"]["measured"].pop(),
        lambda index: index["paths"].update(measured=["../../x.png"] * 9),
        lambda index: index["paths"].update(measured=["gallery/../../x.png"] * 9),
        lambda index: index.pop("ids"),
    ],
)
def test_an_index_of_other_files_is_refused(folder: Path, change) -> None:
    index = json.loads((folder / "gallery.json").read_text())
    change(index)
    (folder / "gallery.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="type the command of that run again"):
        read_pictures(RunResult.open(folder))


def test_runs_of_before_have_none(fresh: Path) -> None:
    assert write_gallery(RunResult.open(fresh), fresh) is None
    assert np.isfinite(RunResult.open(fresh).scores["value"]).all()

"""Pictures in a notebook: what is shown, what is withheld, and names as text."""

from __future__ import annotations

import numpy as np
import pytest
import report_fixtures as fixtures

from harness.errors import ConfigError, DataError
from harness.reports.inline import pictures
from harness.results import RunResult


@pytest.fixture
def run(tmp_path) -> RunResult:
    return RunResult.open(fixtures.write_run(tmp_path / "run", images=6, voxels=12, side=4))


def test_a_line_for_each_row_and_a_picture_for_each_image(run):
    shown = pictures(run, ["predicted", "flat-grey"], images=3)
    assert shown.rows == ("predicted", "flat-grey")
    assert len(shown.ids) == 3
    assert shown.html.count("<img") == 6
    assert "simulated, not brain data" in shown.html
    assert pictures(run, "predicted").html.count("<img") == 6


def test_stimuli_may_be_left_out(run):
    shown = pictures(run, ["stimulus"], images=2, show_stimuli=False)
    assert "<img" not in shown.html
    assert shown.html.count("background:#") == 2


def test_names_are_shown_as_text(run):
    arrays = dict(np.load(run.folder / "gallery.npz"))
    arrays["ids"] = np.array(["<script>alert(1)</script>", *arrays["ids"][1:]])
    np.savez(run.folder / "gallery.npz", **arrays)
    html = pictures(RunResult.open(run.folder)).html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_what_is_not_there_is_refused(run):
    with pytest.raises(ConfigError, match="did you mean 'predicted'"):
        pictures(run, ["predicte"])
    with pytest.raises(ConfigError, match="expected 1 or more"):
        pictures(run, images=0)
    (run.folder / "gallery.npz").unlink()
    with pytest.raises(DataError, match="come with a decoder"):
        pictures(RunResult.open(run.folder))

"""Measured over predicted responses: whole areas in order, neighbours averaged, nothing counted twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import report_fixtures as fixtures

from harness.reports.patterns import BINS, areas_of, pattern_chart, pattern_table
from harness.results import RunResult


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("patterns") / "run"
    return RunResult.open(fixtures.write_run(folder, images=6, voxels=330, side=8))


def test_areas_follow_the_voxel_space_and_do_not_overlap(run: RunResult) -> None:
    areas = areas_of(run)
    assert [name for name, _ in areas] == ["early", "higher"]
    voxels = np.concatenate([members for _, members in areas])
    assert sorted(voxels) == list(range(330))


def test_bins_are_means_of_neighbouring_voxels(run: RunResult) -> None:
    table, patterns = pattern_table(run), run.patterns
    bins = table[(table.image_id == "scene-001") & (table.row == "predicted")]
    assert list(bins["bin"]) == list(range(len(bins)))
    assert abs(len(bins) - BINS) <= 2
    assert bins["voxels"].sum() == 330
    mean = (bins["value"] * bins["voxels"]).sum() / 330
    assert mean == pytest.approx(patterns["predicted"][1].mean(), abs=1e-6)
    first = run.info["space"]["groups"]["early"][: bins["voxels"].iloc[0]]
    assert bins["value"].iloc[0] == pytest.approx(patterns["predicted"][1, first].mean(), abs=1e-6)


def test_the_chart_says_how_alike_the_two_are(run: RunResult, fresh: Path) -> None:
    table = pattern_table(run)
    svg = pattern_chart(run, table)
    sides = [
        table[(table.image_id == "scene-000") & (table.row == row)]["value"]
        for row in ("measured", "predicted")
    ]
    assert f"scene-000 {np.corrcoef(*sides)[0, 1]:.2f}" in svg
    (fresh / "patterns.npz").unlink()
    bare = RunResult.open(fresh)
    assert pattern_table(bare).empty
    assert pattern_chart(bare, pattern_table(bare)) == ""

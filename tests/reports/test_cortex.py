"""Maps on the cortex: values where they belong, drawn by what is known of the voxels' places."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from click.testing import CliRunner
from PIL import Image

from harness.cli.cortex import cortex
from harness.errors import ConfigError, DataError
from harness.reports.cortex import (
    FSAVERAGE,
    FSAVERAGE5,
    Map,
    _by_vertex,
    difference_map,
    draw,
    fsaverage5,
    maps_of,
    sampled,
    spacing,
    write_cortex,
)
from harness.reports.cortex_drawing import DIVERGING, SIDE, Scale, Surface, draw_surfaces
from harness.reports.html import render_html
from harness.results import RunResult

VOXELS = 27


def run_with(folder, **columns):
    """A run of 27 voxels whose places are `columns`."""
    written = fixtures.write_run(folder, images=6, voxels=VOXELS, side=8)
    frame = pd.DataFrame({"voxel": np.arange(VOXELS), "x": np.nan, "y": np.nan, "z": np.nan, "vertex": -1})
    frame.assign(template="").assign(**columns).to_parquet(written / "voxel_places.parquet", index=False)
    return RunResult.open(written)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def coloured(picture):
    """(h, w) bool: neither grey, paper nor ink."""
    return np.ptp(picture, axis=-1) > 40


@pytest.fixture(scope="module")
def mesh():
    pytest.importorskip("nilearn", reason="nilearn (extra surface) is not here")
    return fsaverage5()


def test_the_mesh_comes_without_any_network(mesh):
    for surface in mesh.values():
        assert surface.vertices.shape == (FSAVERAGE5, 3)
        assert surface.triangles.shape == (20480, 3)
        assert surface.sulci.shape == (FSAVERAGE5,)


def test_a_vertex_is_coloured_in_the_views_of_its_half_alone(mesh, tmp_path):
    """Values of the left half's back, and of vertices of the finer mesh alone: the right half stays grey."""
    back = np.argsort(mesh["left"].vertices[:, 1])[: VOXELS - 2]
    run = run_with(tmp_path, vertex=[*back, FSAVERAGE5, FSAVERAGE + FSAVERAGE5])
    marked = coloured(pixels(draw(run, Map("x", "x", np.ones(VOXELS)))))
    upper, lower = marked[44 : 40 + SIDE], marked[40 + SIDE : 30 + 2 * SIDE]
    assert upper.sum() > 20
    assert lower.sum() == 0
    # seen from the left the front is at the left, and the back at the right; from the middle the other way.
    lateral, medial = upper[:, :SIDE], upper[:, SIDE : 2 * SIDE]
    assert np.flatnonzero(lateral.any(axis=0)).min() > SIDE * 0.6
    assert np.flatnonzero(medial.any(axis=0)).max() < SIDE * 0.4


def test_vertices_of_both_halves_are_told_apart():
    halves = _by_vertex(np.array([5, FSAVERAGE + 7, FSAVERAGE5]), np.array([1.0, 2.0, 3.0]))
    assert {half: np.flatnonzero(np.isfinite(values)).tolist() for half, values in halves.items()} == {
        "left": [5],
        "right": [7],
    }


def test_volumes_in_mni_are_sampled_where_they_are(mesh):
    """A ball of voxels around the left occipital pole: vertices within it have its value, others none."""
    centre = np.array([-16.0, -94.0, 0.0])
    grid = np.stack(np.meshgrid(*[np.arange(-12, 13, 2.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    where = grid[np.linalg.norm(grid, axis=1) < 12] + centre
    assert spacing(where) == 2.0
    values = where[:, 2] * 0.1
    halves = sampled(where, values)
    measured = np.isfinite(halves["left"])
    assert measured.sum() > 20
    assert np.isfinite(halves["right"]).sum() == 0
    from nilearn import datasets, surface

    paths = datasets.fetch_surf_fsaverage("fsaverage5")
    pial, white = (
        np.asarray(surface.load_surf_mesh(paths[f"{name}_left"]).coordinates) for name in ("pial", "white")
    )
    middle = (pial + white) / 2
    assert np.linalg.norm(middle[measured] - centre, axis=1).max() < 16
    np.testing.assert_allclose(halves["left"][measured], middle[measured, 2] * 0.1, atol=0.35)


def test_a_subjects_own_volume_is_dots_from_three_sides_and_a_sheet_from_above(tmp_path):
    x, y, z = (axis.ravel() * 2.0 for axis in np.meshgrid(*[np.arange(3)] * 3, indexing="ij"))
    values = Map("x", "x", np.linspace(0, 1, VOXELS))
    three = pixels(draw(run_with(tmp_path / "a", x=x, y=y, z=z), values))
    assert three.shape == (SIDE + 90, 3 * SIDE, 3)
    assert all(coloured(three[44 : 30 + SIDE, k * SIDE : (k + 1) * SIDE]).any() for k in range(3))
    flat = pixels(draw(run_with(tmp_path / "b", x=x, y=y), values))
    assert flat.shape[1] == SIDE
    assert coloured(flat[44 : 30 + SIDE]).any()


def test_scales_hold_zero_where_values_have_signs():
    scale = Scale.of(np.array([-0.2, 0.1, np.nan]), signed=True)
    assert scale.low == -scale.high
    np.testing.assert_array_equal(scale.colours(np.array([0.0]))[0], [0xF7, 0xF7, 0xF7])
    assert Scale.of(np.array([np.nan]), signed=False).high == 1.0
    assert Scale(-1, 1, DIVERGING).colours(np.array([-5.0, 5.0])).shape == (2, 3)


def test_the_nearer_triangle_is_seen():
    """Two triangles behind each other: from the left the one at smaller x, from the middle the other."""
    corners = np.array([[x, *place] for x in (0.0, 1.0) for place in ([0, 0], [2, 0], [1, 2])])
    surface = Surface(corners, np.array([[0, 1, 2], [3, 4, 5]]), np.zeros(6))
    halves = {"left": surface, "right": surface}
    values = {"left": np.array([0.0] * 3 + [1.0] * 3), "right": np.full(6, np.nan)}
    png = draw_surfaces(halves, values, Scale(0, 1, ("#ff0000", "#0000ff")), title="t")
    middle = 40 + SIDE // 2 + 20
    picture = pixels(png)
    np.testing.assert_array_equal(picture[middle, SIDE // 2], [255, 0, 0])
    np.testing.assert_array_equal(picture[middle, SIDE + SIDE // 2], [0, 0, 255])


def test_maps_of_a_run_and_of_two(tmp_path):
    grid = dict(zip("xyz", np.random.default_rng(0).uniform(0, 9, (3, VOXELS))))
    run, other = run_with(tmp_path / "a", **grid), run_with(tmp_path / "b", **grid)
    fixtures.change_scores(other.folder, "voxel_scores", lambda frame: frame.assign(value=frame["value"] / 2))
    names = [each.name for each in maps_of(run)]
    assert names == ["voxel-r-predicted", "voxel-r-oracle", "noise-ceiling", "ceiling-share"]
    difference = difference_map(run, RunResult.open(other.folder))
    ours = next(iter(maps_of(run))).values
    np.testing.assert_allclose(difference.values, ours / 2)
    files = write_cortex(run, tmp_path / "out", other=other)
    assert [file.name for file in files] == [
        *(f"{name}.png" for name in names),
        "difference.png",
        "regions.svg",
    ]
    assert all(file.stat().st_size for file in files)


def test_branches_of_one_encoder_are_told_apart_by_what_differs(tmp_path):
    run, other = (run_with(tmp_path / name, x=1.0, y=2.0) for name in "ab")
    for each, stream in ((run, "where"), (other, "what")):
        info = json.loads((each.folder / "run.json").read_text())
        info["encoder"] |= {"name": "chasm", "params": {"intervention": stream, "depth": 2}}
        (each.folder / "run.json").write_text(json.dumps(info))
    run, other = (RunResult.open(each.folder) for each in (run, other))
    title = difference_map(run, other).title
    assert title.startswith("voxel r, chasm intervention=where less chasm intervention=what")


def test_the_command_writes_beside_the_run(tmp_path):
    run = run_with(tmp_path, x=1.0, y=2.0)
    done = CliRunner().invoke(cortex, [str(run.folder)])
    assert done.exit_code == 0
    assert [Path(line).parent for line in done.output.split()] == [run.folder / "cortex"] * 5


def test_what_cannot_be_drawn_is_said(tmp_path):
    without = RunResult.open(fixtures.write_run(tmp_path / "a", images=6, voxels=VOXELS, side=8))
    with pytest.raises(DataError, match="does not say where its voxels are"):
        write_cortex(without, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run = run_with(tmp_path / "b", x=1.0, y=2.0)
    larger = RunResult.open(fixtures.write_run(tmp_path / "c", images=6, voxels=VOXELS + 1, side=8))
    with pytest.raises(ConfigError, match="are not of the same voxels"):
        difference_map(run, larger)


def test_a_report_shows_the_maps_and_says_when_they_are_simulated(tmp_path, no_charts):
    run = run_with(tmp_path, x=np.arange(VOXELS) * 1.0, y=np.arange(VOXELS) % 5 * 1.0)
    page = render_html(run)
    assert page.count("data:image/png;base64,") >= 2
    assert "On the cortex" in page
    assert all("simulated, not brain data" in each.title for each in maps_of(run))
    without = RunResult.open(fixtures.write_run(tmp_path / "b", images=6, voxels=VOXELS, side=8))
    assert "On the cortex" not in render_html(without)

"""The score tables of a run: their columns, their order, what stands in them and what does not."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from commands import TOYS
from toy_runs import toy_run

from harness.results import CONTRIBUTION_COLUMNS, REGION_COLUMNS, SCORE_COLUMNS, SET_COLUMNS, VOXEL_COLUMNS
from harness.run.tables import _stacked

METRICS = ["pixcorr", "voxel-r", "pattern-2way", "rsa"]
TABLES = {
    "scores": SCORE_COLUMNS,
    "voxel_scores": VOXEL_COLUMNS,
    "set_scores": SET_COLUMNS,
    "region_scores": REGION_COLUMNS,
    "region_contributions": CONTRIBUTION_COLUMNS,
}
NOT_SORTED_BY = ("value", "rivalry", "n", "n_voxels", "pool", "contributions", "image_ids")


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("tables")
    values = {"run": {"metrics": METRICS, "derangements": 2, "samples": 2}}
    result = toy_run(folder / "run", folder / "store", values)
    return {name: pd.read_parquet(result.folder / f"{name}.parquet") for name in TABLES}


@pytest.mark.parametrize(("name", "columns"), TABLES.items())
def test_columns_are_the_documented_ones_and_rows_stand_in_one_order(tables, name, columns):
    table = tables[name]
    assert len(table)
    assert tuple(table.columns) == columns
    keys = [column for column in columns if column not in NOT_SORTED_BY]
    assert not table.duplicated(keys).any()
    pd.testing.assert_frame_equal(table, table.sort_values(keys, kind="stable", ignore_index=True))
    assert table.benchmark.unique().tolist() == [f"{TOYS}:ToyBenchmark@1"]
    assert table.encoder.unique().tolist() == [f"{TOYS}:ToyEncoder"]
    assert table.subject.unique().tolist() == ["toy01"]


def test_a_value_per_image_sample_and_target(tables):
    pixcorr = tables["scores"].query("metric == 'pixcorr@1'")
    predicted = pixcorr.query("row == 'predicted'")
    assert predicted.groupby(["target", "sample"]).image_id.nunique().to_dict() == {
        (target, sample): 8 for target in ("measured", "stimulus") for sample in (0, 1)
    }
    assert set(pixcorr.query("row == 'measured'").target) == {"stimulus"}
    assert (pixcorr.pool == "").all()
    assert (pixcorr.rivalry == 0).all()


def test_what_depends_on_the_other_images_names_their_pool(tables):
    """An identification has a pool and a rivalry of mean 0; its target are the measured responses."""
    identified = tables["scores"].query("metric == 'pattern-2way@1' and row == 'predicted'")
    ids = sorted(set(identified.image_id))
    assert set(identified.pool) == {hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]}
    assert set(identified.target) == {"responses"}
    assert identified.n.unique().tolist() == [8]
    assert abs(identified.rivalry.mean()) < 1e-9


def test_voxels_by_their_place_and_their_mean_with_its_interval(tables):
    voxels = tables["voxel_scores"].query("metric == 'voxel-r@1' and row == 'predicted'")
    assert voxels.voxel.tolist() == list(range(40))
    shown = tables["set_scores"].query("row == 'predicted'").set_index("metric").value
    assert np.isclose(shown["voxel-r-mean@1"], voxels.value.mean(), atol=1e-6)
    assert shown["voxel-r-low@1"] < shown["voxel-r-mean@1"] < shown["voxel-r-high@1"]
    assert "rsa@1" in shown


def test_contributions_of_a_region_have_its_value_as_their_mean(tables):
    table = tables["region_contributions"]
    for _, part in table.iterrows():
        assert len(part.contributions) == len(part.image_ids) == part.n == 8
        assert np.isclose(np.mean(part.contributions), part.value, atol=1e-6)


def test_parts_are_stacked_as_pandas_would():
    """Text, numbers of any kind and columns of values; an empty part adds nothing, no part is no column."""
    parts = [
        {"row": "a", "image_id": ("x", "long name"), "trial": -1, "value": np.array([0.5, np.nan]), "n": 2},
        {"row": "predicted", "image_id": ("y",), "trial": 3, "value": np.array([1], np.float32), "n": 1},
        {"row": "", "image_id": (), "trial": 0, "value": np.zeros(0), "n": 0},
    ]
    expected = pd.concat([pd.DataFrame(part) for part in parts[:2]], ignore_index=True)
    pd.testing.assert_frame_equal(_stacked(parts, by="image_id"), expected)
    assert _stacked([], by="image_id").empty

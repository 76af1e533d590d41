"""Tables of a report: the numbers in them are those of the stored scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures as fixtures
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from harness.errors import DataError
from harness.metrics.identification import two_way
from harness.reports.grids import encoding_grid, score_grid
from harness.reports.layout import MetricInfo
from harness.reports.tables import (
    COMPARED,
    agreement_table,
    encoding_table,
    paired_table,
    roi_table,
    score_table,
    shuffled_expectation,
)
from harness.reports.terminal import render
from harness.reports.values import image_values, quartiles
from harness.results import RunResult
from harness.statistics import holm, mean_interval

FLIPS = 400


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return RunResult.open(fixtures.write_run(tmp_path_factory.mktemp("run")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fixtures.write_run(tmp_path / "run", images=12, voxels=30, side=8)


def line(table: pd.DataFrame, **where: str) -> pd.Series:
    """The one line of `table` with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_score_means_average_samples_and_trials_within_an_image(shared: RunResult) -> None:
    scores = shared.scores.query("target == 'stimulus'")
    expected = scores.groupby(["row", "metric", "image_id"])["value"].mean().groupby(["row", "metric"]).mean()
    table = score_table(shared)
    assert len(table) == len(expected) == len(fixtures.ROWS) * len(fixtures.IMAGE_METRICS)
    means = table.set_index(["row", "metric"])["mean"]
    np.testing.assert_allclose(means.sort_index(), expected.sort_index(), rtol=1e-12)


def test_score_interval_is_the_bootstrap_over_images(shared: RunResult) -> None:
    values = shared.scores.query("target == 'stimulus' and row == 'predicted' and metric == 'ssim@1'")
    images = values.groupby("image_id")["value"].mean().sort_index().to_numpy()
    expected = mean_interval(images)
    ssim_line = line(score_table(shared), row="predicted", metric="ssim@1")
    assert (ssim_line["low"], ssim_line["high"]) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert ssim_line["low"] < ssim_line["mean"] < ssim_line["high"]


def test_more_samples_of_the_same_images_do_not_narrow_an_interval(folder: Path) -> None:
    before = score_table(RunResult.open(folder))
    fixtures.change_scores(
        folder, "scores", lambda f: pd.concat([f, *(f.assign(sample=f["sample"] + 10 * k) for k in (1, 2))])
    )
    pd.testing.assert_frame_equal(score_table(RunResult.open(folder)), before)


def test_rows_are_grouped_and_unknown_ones_come_last(folder: Path) -> None:
    def rename(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(row=frame["row"].replace({"flat-grey": "a-new-row"}))

    fixtures.change_scores(folder, "scores", rename)
    table = score_table(RunResult.open(folder))
    assert list(dict.fromkeys(table["group"])) == ["compared", "reference", "control", "other"]
    assert list(dict.fromkeys(table["row"]))[:2] == ["measured", "predicted"]
    assert set(table.loc[table["group"] == "other", "row"]) == {"a-new-row"}
    assert set(table.loc[table["group"] == "control", "row"]) >= {"zero", "shuffled", "mean-image"}


def test_values_that_are_not_scored_are_counted_and_left_out(folder: Path) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["row"] == "predicted") & (frame["metric"] == "ssim@1") & (frame["target"] == "stimulus")
        lost = ours & (frame["image_id"] == "scene-003")
        half_lost = ours & (frame["image_id"] == "scene-004") & (frame["sample"] == 0)
        return frame.assign(value=frame["value"].where(~(lost | half_lost)))

    before = image_values(RunResult.open(folder))["predicted", "ssim@1"]
    fixtures.change_scores(folder, "scores", spoil)
    run = RunResult.open(folder)
    ssim_line = line(score_table(run), row="predicted", metric="ssim@1")
    assert (ssim_line["n"], ssim_line["missing"]) == (11, 1)
    after = image_values(run)["predicted", "ssim@1"]
    assert np.isnan(after["scene-003"])
    second = run.scores.query("row=='predicted' and metric=='ssim@1' and target=='stimulus' and sample==1")
    assert after["scene-004"] == second.set_index("image_id")["value"]["scene-004"]
    assert ssim_line["mean"] == pytest.approx(after.drop("scene-003").mean())
    assert after.drop(["scene-003", "scene-004"]).equals(before.drop(["scene-003", "scene-004"]))


def test_an_image_that_a_row_never_had_is_not_called_missing(folder: Path) -> None:
    def drop(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[~((frame["row"] == "measured-trial") & (frame["image_id"] == "scene-000"))]

    fixtures.change_scores(folder, "scores", drop)
    table = score_table(RunResult.open(folder))
    assert set(table.loc[table["row"] == "measured-trial", "n"]) == {11}
    assert set(table["missing"]) == {0}


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_order_of_stored_lines_changes_nothing(shared: RunResult, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(shared.scores))
    other = RunResult(shared.folder)
    other.__dict__["scores"] = shared.scores.iloc[order].reset_index(drop=True)
    pd.testing.assert_frame_equal(score_table(other), score_table(shared))


def test_paired_differences_match_the_images_and_holm_runs_over_a_row(shared: RunResult) -> None:
    table = paired_table(shared, flips=FLIPS)
    values = image_values(shared)
    assert set(table["row"]) == {"predicted", "measured", "oracle"}
    for _, ours in table.groupby("row"):
        np.testing.assert_allclose(ours["p_holm"], holm(ours["p"].to_numpy()))
        assert (ours["p_holm"] >= ours["p"]).all()
        assert len(ours) % len(fixtures.IMAGE_METRICS) == 0
    for comparison in table.itertuples():
        assert comparison.control in COMPARED[comparison.row]
        expected = (
            values[comparison.row, comparison.metric] - values[comparison.control, comparison.metric]
        ).mean()
        assert comparison.difference == pytest.approx(expected, rel=1e-9)
        assert comparison.low <= comparison.difference <= comparison.high


def test_verdicts_follow_the_metrics_direction(shared: RunResult) -> None:
    table = paired_table(shared, flips=2000)
    for metric in ("pixcorr@1", "distance@1"):
        assert line(table, row="predicted", control="zero", metric=metric)["verdict"] == "better"
        assert line(table, row="measured", control="zero", metric=metric)["verdict"] == "better"
    assert line(table, row="predicted", control="zero", metric="distance@1")["difference"] < 0


def test_equal_rows_are_undecided_and_a_worse_one_is_worse(folder: Path) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        keep = frame[frame["row"] != "flat-grey"]
        ours = frame[(frame["row"] == "predicted") & (frame["sample"] == 0)]
        other = frame[(frame["row"] == "predicted") & (frame["sample"] == 1)]
        better = pd.concat([ours, other]).assign(row="mean-image")
        better["value"] += np.where(better["metric"] == "distance@1", -0.5, 0.5)
        keep = keep[keep["row"] != "mean-image"]
        return pd.concat([keep, pd.concat([ours, other]).assign(row="flat-grey"), better])

    fixtures.change_scores(folder, "scores", change)
    table = paired_table(RunResult.open(folder), flips=4000)
    table = table[table["row"] == "predicted"]
    same = table[table["control"] == "flat-grey"]
    assert set(same["verdict"]) == {"undecided"}
    assert set(same["p_holm"]) == {1.0}
    assert set(table.loc[table["control"] == "mean-image", "verdict"]) == {"worse"}


def test_encoding_describes_voxels_without_an_interval_over_them(shared: RunResult) -> None:
    table = encoding_table(shared)
    values = shared.voxel_scores.query("row == 'oracle' and metric == 'voxel-r@1'")["value"]
    summary = line(table, row="oracle", metric="voxel-r@1")
    assert summary["over"] == "voxels"
    np.testing.assert_allclose(
        summary[["mean", "q25", "median", "q75"]].astype(float),
        [values.mean(), *np.percentile(values, [25, 50, 75])],
    )
    assert np.isnan(summary["low"])
    assert np.isnan(summary["high"])
    with_interval = line(table, row="predicted", metric="voxel-r@1")
    assert (with_interval["low"], with_interval["high"]) == (0.31, 0.35)
    voxels = table[(table["over"] == "voxels") & (table["metric"] != "voxel-r@1")]
    assert len(voxels)
    assert voxels["low"].isna().all()


def test_encoding_has_image_and_set_scores(shared: RunResult) -> None:
    table = encoding_table(shared)
    pattern = line(table, row="predicted", metric="pattern-r@1")
    assert pattern["over"] == "images"
    assert pattern["mean"] == pytest.approx(0.3 + 0.01 * 23 / 2)
    assert pattern["low"] < pattern["mean"] < pattern["high"]
    rsa = line(table, row="predicted", metric="rsa@1")
    assert (rsa["over"], rsa["mean"]) == ("set", 0.41)
    assert not table["metric"].str.startswith("voxel-r-").any()


def test_ceiling_fraction_is_a_ratio_of_sums(shared: RunResult) -> None:
    r = shared.voxel_scores.query("row == 'predicted' and metric == 'voxel-r@1'").set_index("voxel")["value"]
    ceiling = np.array(shared.info["noise_ceiling"])
    expected = sum(max(r[k], 0) ** 2 for k in range(len(ceiling))) / ceiling.sum()
    fraction_line = line(encoding_table(shared), row="predicted", metric="ceiling-fraction")
    assert fraction_line["mean"] == pytest.approx(expected)
    everything = line(roi_table(shared), row="predicted", region="all voxels")
    assert everything["ceiling_fraction"] == pytest.approx(expected)


def test_voxels_without_a_score_are_counted(folder: Path) -> None:
    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(value=frame["value"].where(frame["voxel"] >= 4))

    fixtures.change_scores(folder, "voxel_scores", spoil)
    run = RunResult.open(folder)
    r_line = line(encoding_table(run), row="predicted", metric="voxel-r@1")
    assert (r_line["n"], r_line["missing"]) == (26, 4)
    assert line(roi_table(run), row="predicted", region="V1")["n_voxels"] == 6


def test_regions_hold_only_their_scored_voxels(folder: Path) -> None:
    fixtures.change_scores(folder, "voxel_scores", lambda f: f[f["voxel"] >= 15])  # V1 and half of V2 masked
    run = RunResult.open(folder)
    table = roi_table(run)
    assert set(table["region"]) == {"all voxels", "early", "higher", "V2", "faces"}
    assert dict(zip(table["region"], table["kind"]))["early"] == "group"
    r = run.voxel_scores.query("row == 'predicted' and metric == 'voxel-r@1'").set_index("voxel")["value"]
    ceiling = np.array(run.info["noise_ceiling"])
    v2 = line(table, row="predicted", region="V2")
    assert v2["n_voxels"] == 5
    assert v2["mean_r"] == pytest.approx(r.loc[15:19].mean())
    assert v2["median_r"] == pytest.approx(r.loc[15:19].median())
    assert v2["r2_nc"] == pytest.approx((r.loc[15:19].clip(lower=0) ** 2 / ceiling[15:20]).mean())
    assert v2["ceiling"] == pytest.approx(ceiling[15:20].mean())


def test_regions_without_ceiling_have_no_fraction(tmp_path: Path) -> None:
    run = RunResult.open(fixtures.write_run(tmp_path, images=6, voxels=12, side=8, noise_ceiling=None))
    table = roi_table(run)
    assert table["ceiling_fraction"].isna().all()
    assert table["mean_r"].notna().all()
    assert "ceiling-fraction" not in set(encoding_table(run)["metric"])


def test_agreement_is_divided_by_the_remeasurement(shared: RunResult) -> None:
    table = agreement_table(shared)
    assert set(table["metric"]) == set(fixtures.AGREEMENT)
    assert set(table["reference"]) == {"remeasured"}
    for metric in fixtures.AGREEMENT:
        ours, again = (line(table, row=row, metric=metric) for row in ("predicted", "remeasured"))
        assert ours["normalised"] == pytest.approx(ours["mean"] / again["mean"])
        assert ours["normalised_low"] < ours["normalised"] < ours["normalised_high"]
        # One joint draw: a row divided by itself does not vary.
        assert (again["normalised_low"], again["normalised_high"]) == pytest.approx((1, 1))


@pytest.mark.parametrize(("left", "expected"), [(("half-1",), "half-1"), ((), "")])
def test_agreement_names_its_reference_or_has_none(
    folder: Path, left: tuple[str, ...], expected: str
) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        again = frame[frame["row"] == "remeasured"]
        return pd.concat([frame[frame["row"] != "remeasured"], *(again.assign(row=name) for name in left)])

    fixtures.change_scores(folder, "scores", change)
    table = agreement_table(RunResult.open(folder))
    assert set(table["reference"]) == {expected}
    divided = table[table["normalised"].notna()]
    assert set(divided["row"]) == {*left}
    assert divided["normalised"].to_numpy() == pytest.approx(1.0)


def test_a_half_divides_what_is_compared_with_the_same_half(folder: Path) -> None:
    """The predicted row is compared with all trials, the odd half with the even one: not like with like."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        ours = frame["target"] == "measured"
        half = frame[(frame["row"] == "remeasured")].assign(row="half-1")
        same = frame[(frame["row"] == "predicted") & ours].assign(row="predicted-half")
        same = same.assign(value=0.8 * same["value"])  # fewer trials agree less
        return pd.concat([frame[frame["row"] != "remeasured"], half, same])

    fixtures.change_scores(folder, "scores", change)
    table = agreement_table(RunResult.open(folder))
    for metric in fixtures.AGREEMENT:
        rows = ("predicted", "predicted-half", "half-1", "oracle")
        predicted, same, half, truth = (line(table, row=row, metric=metric) for row in rows)
        assert same["mean"] == pytest.approx(0.8 * predicted["mean"])
        assert predicted["normalised"] == pytest.approx(same["mean"] / half["mean"])
        assert np.isnan(truth["normalised"])  # it has no row beside the half


def test_the_noise_ceiling_stands_beside_what_was_measured_again(shared: RunResult) -> None:
    table = encoding_table(shared)
    ceiling_lines = table[(table["row"] == "noise-ceiling")]
    ceiling = np.array(shared.info["noise_ceiling"])
    assert ceiling_lines["metric"].tolist() == ["voxel-r@1"]
    assert ceiling_lines["mean"].item() == pytest.approx(np.sqrt(ceiling).mean())
    assert ceiling_lines["label"].item() == "noise ceiling"
    grid = encoding_grid(shared, table)
    notes = {label: note for body in grid.bodies for label, note, _ in body.lines}
    assert "noiseless prediction" in notes["noise ceiling"]


def test_agreement_is_not_divided_by_a_reference_at_zero(folder: Path) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        ours = (frame["row"] == "remeasured") & frame["metric"].isin(fixtures.AGREEMENT)
        sign = np.where(np.arange(len(frame)) % 2, 0.1, -0.1)
        return frame.assign(value=np.where(ours, sign, frame["value"]))

    fixtures.change_scores(folder, "scores", change)
    table = agreement_table(RunResult.open(folder))
    assert table["normalised"].isna().all()
    assert table["mean"].notna().all()


def test_a_run_without_any_score_has_empty_tables(folder: Path) -> None:
    for name in ("scores", "voxel_scores", "set_scores"):
        fixtures.change_scores(folder, name, lambda frame: frame.iloc[:0])
    run = RunResult.open(folder)
    for table in (score_table, paired_table, encoding_table, roi_table, agreement_table):
        assert table(run).empty
        assert "row" in table(run).columns


@pytest.mark.parametrize("name", ["scores", "voxel_scores", "set_scores"])
@pytest.mark.parametrize("damage", ["absent", "truncated", "not parquet"])
def test_damaged_tables_are_named(folder: Path, name: str, damage: str) -> None:
    path = folder / f"{name}.parquet"
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if damage == "truncated" else b"hello")
    with pytest.raises(DataError) as error:
        encoding_table(RunResult.open(folder))
    assert f"{name}.parquet" in str(error.value)
    assert ("is missing" if damage == "absent" else "cannot be read") in str(error.value)
    assert "Type the run's command again" in str(error.value)
    assert "\n" not in str(error.value)


def test_quartiles_of_nothing_are_not_numbers() -> None:
    summary = dataclasses.asdict(quartiles(np.array([np.nan, np.nan])))
    assert (summary.pop("n"), summary.pop("missing")) == (0, 2)
    assert all(np.isnan(value) for value in summary.values())


def test_shuffled_rows_stand_beside_what_they_have_by_construction(shared: RunResult, capsys) -> None:
    table = score_table(shared)
    ranked = {
        m["name"]: m["chance"]
        for m in shared.info["metrics"]
        if m["pool"] and m["chance"] and m["unit"] == "image"
    }
    n = shared.info["n_test"]
    lines = table[table["row"].str.startswith("shuffled") & table["metric"].isin(ranked)]
    assert len(lines)
    assert table["expected"].notna().sum() == len(lines)
    for shuffled in lines.itertuples():
        row = {"shuffled": "predicted", "shuffled-measured": "measured"}[shuffled.row]
        matched = line(table, row=row, metric=shuffled.metric)["mean"]
        assert shuffled.expected == pytest.approx((n * ranked[shuffled.metric] - matched) / (n - 1))
    grid = score_grid(shared, table, "stimulus")
    notes = [cell.note for body in grid.bodies for _, _, cells in body.lines for cell in cells if cell]
    assert sum("by construction 0." in note for note in notes) == len(lines)
    assert "below chance" in grid.caption
    render(shared, Console(width=200), tables=("scores",))
    printed = " ".join(capsys.readouterr().out.split())
    assert "by construction 0." in printed
    assert "below chance" in printed
    assert score_table(shared, "measured")["expected"].isna().all()


def test_the_expectation_is_the_mean_over_all_re_pairings() -> None:
    metric = pooled_metric(chance=0.5)
    assert shuffled_expectation(metric, 1.0, pictures=12) == pytest.approx(5 / 11)
    assert shuffled_expectation(metric, 0.5, pictures=12) == 0.5
    rng = np.random.default_rng(0)
    target = rng.standard_normal((12, 30))
    result = target + rng.standard_normal((12, 30))
    turned = [two_way(np.roll(result, k, axis=0), target).mean() for k in range(12)]
    assert shuffled_expectation(metric, turned[0], pictures=12) == pytest.approx(np.mean(turned[1:]))
    assert np.isnan(shuffled_expectation(metric, 1.0, pictures=1))
    assert np.isnan(shuffled_expectation(pooled_metric(chance=0.0), 0.7, pictures=12))


def pooled_metric(*, chance: float) -> MetricInfo:
    return MetricInfo("m@1", "m", "image", True, chance, ("stimulus",), "", True)

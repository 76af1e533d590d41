"""``harness compare`` on voxel scores: tables against what the runs hold, and the command."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures
from commands import TOYS
from toy_runs import toy_run

from harness.errors import DataError
from harness.reports.comparison import compare
from harness.results import CONTRIBUTION_COLUMNS, RunResult
from harness.statistics import holm, mean_interval, sign_flip_ps

REGIONAL = f"{TOYS.with_name('regional.py')}:Regional"
HALF = f"{TOYS.with_name('cheats.py')}:HalfDecoder"
METRICS = ["pixel-2way", "pattern-r", "voxel-r", "voxel-r2", "voxel-r2-nc", "variance-ratio"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, RunResult]:
    """A good and a noisy encoder, the good one through another decoder too, one without any decoder."""
    folder = tmp_path_factory.mktemp("encoders")
    kinds = {
        "good": (0.1, f"{TOYS}:ToyDecoder"),
        "noisy": (2.0, f"{TOYS}:ToyDecoder"),
        "good, other decoder": (0.1, HALF),
    }
    return {
        name: toy_run(
            folder / name,
            folder / "store",
            {
                "run": {"metrics": METRICS, "derangements": 1},
                "encoder": {"noise": noise},
                "benchmark": {"n_test": 40},
            },
            benchmark=REGIONAL,
            decoder=decoder,
        )
        for name, (noise, decoder) in kinds.items()
    }


@pytest.fixture(scope="module")
def pair(runs) -> list[RunResult]:
    return [runs["good"], runs["noisy"]]


def kept(run, row="predicted") -> pd.DataFrame:
    table = run.region_contributions
    return table[table.row == row].set_index(["metric", "region"])


def line(table: pd.DataFrame, **values: str) -> pd.Series:
    for name, value in values.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def copied(run: RunResult, folder: Path, change=None, **info) -> RunResult:
    """A copy with other contributions (``change(table)``) or other keys in run.json."""
    shutil.copytree(run.folder, folder)
    if change is not None:
        report_fixtures.change_scores(folder, "region_contributions", change)
    (folder / "run.json").write_text(json.dumps(run.info | info))
    return RunResult.open(folder)


def test_a_run_keeps_what_its_encoder_scores_rest_on(runs):
    run = runs["good"]
    table = run.region_contributions
    assert tuple(table.columns) == CONTRIBUTION_COLUMNS
    assert set(table.metric) == {"voxel-r@1", "voxel-r2@1", "voxel-r2-nc@1"}  # moments give no others
    assert set(table.row) == {"predicted"}
    scores = run.region_scores.set_index(["row", "metric", "region"])
    for region_line in table.itertuples():
        score = scores.loc[(region_line.row, region_line.metric, region_line.region)]
        assert (region_line.value, region_line.n_voxels, region_line.n) == pytest.approx(
            (score.value, score.n_voxels, 40)
        )
        assert (len(region_line.contributions), len(region_line.image_ids)) == (40, 40)
        assert np.mean(region_line.contributions) == pytest.approx(region_line.value, abs=1e-5)


def test_files_stay_small(runs):
    size = (runs["good"].folder / "region_contributions.parquet").stat().st_size
    assert size < 18 * (40 * 4 + 1500)  # regions x metrics, single-precision numbers


def test_the_tables_are_those_of_the_stored_contributions(pair):
    comparison = compare(pair, regions=["all"])
    labels = [encoder.label for encoder in comparison.encoders]
    assert labels == ["toys.py:ToyEncoder · noise=0.1", "toys.py:ToyEncoder · noise=2.0"]
    ours, theirs = (kept(run) for run in pair)
    p, flips = [], int(2 * len(comparison.region_differences) / 0.05)
    for got in comparison.region_differences.itertuples():
        a, b = ours.loc[(got.metric, got.region)], theirs.loc[(got.metric, got.region)]
        difference = a.value - b.value
        parts = np.float64(a.contributions) - np.float64(b.contributions)
        expected = mean_interval(parts)
        moved = difference - expected.mean  # single precision
        bounds = (expected.low + moved, expected.high + moved)
        assert (got.difference, got.low, got.high) == pytest.approx((difference, *bounds))
        p.append(sign_flip_ps(parts[:, None], draws=max(10_000, flips))[0])
        assert got.p == p[-1]
        assert (got.a, got.b, got.n, got.subjects, got.unit) == (*labels, 40, 1, "image")
        told = got.p_holm < 0.05 and (got.low > 0 or got.high < 0)
        assert got.better == (labels[0 if got.low > 0 else 1] if told else "")
        letters = comparison.region_means[
            (comparison.region_means.metric == got.metric) & (comparison.region_means.region == got.region)
        ].group
        assert bool(set.intersection(*map(set, letters))) == (not told)
    assert comparison.region_differences.p_holm.to_numpy() == pytest.approx(holm(p))
    assert {"", labels[0]} == set(comparison.region_differences.better)
    assert set(comparison.differences.metric) == {"pixel-2way@1"}  # a family of its own
    for got in comparison.region_means.itertuples():
        own_scores = (ours if got.system == labels[0] else theirs).loc[(got.metric, got.region)]
        expected = mean_interval(np.float64(own_scores.contributions))
        assert (got.mean, got.low, got.high) == pytest.approx(
            (own_scores.value, expected.low, expected.high), abs=1e-6
        )
        assert (got.n_voxels, got.n) == (own_scores.n_voxels, 40)


def test_the_interval_of_all_voxels_is_the_one_that_the_run_reports(pair):
    comparison = compare(pair, metrics=["voxel-r"])
    for run, system in zip(pair, comparison.encoders):
        scores = run.set_scores[run.set_scores.row == "predicted"].set_index("metric").value
        got = line(comparison.region_means, system=system.label, region="all voxels")
        assert [got["mean"], got.low, got.high] == pytest.approx(
            [scores[f"voxel-r-{part}@1"] for part in ("mean", "low", "high")], abs=1e-6
        )


def test_regions_are_all_voxels_and_groups_unless_named(pair):
    def regions(**given):
        return list(dict.fromkeys(compare(pair, metrics=["voxel-r"], **given).region_means.region))

    assert regions() == ["all voxels", "early", "higher"]
    assert regions(regions=["V1", "PPA"]) == ["PPA", "V1"]
    assert regions(regions=["all"]) == ["all voxels", "early", "higher", "FFA", "PPA", "V1"]
    with pytest.raises(DataError, match="unknown region 'V2'; did you mean 'V1'"):
        regions(regions=["V2"])


def test_an_encoder_under_two_decoders_is_one_encoder(runs):
    comparison = compare(list(runs.values()))
    assert len(comparison.systems) == 3
    assert [encoder.label.rpartition(" ")[2] for encoder in comparison.encoders] == ["noise=0.1", "noise=2.0"]
    two = compare([runs["good"], runs["noisy"]])
    pd.testing.assert_frame_equal(comparison.region_differences, two.region_differences)
    same = compare([runs["good"], runs["good, other decoder"]])
    assert len(same.differences) > 0
    assert len(same.region_differences) == 0


def test_a_run_differs_from_itself_by_exactly_nothing(runs, tmp_path):
    comparison = compare([runs["good"], copied(runs["good"], tmp_path / "again")], regions=["all"])
    table = comparison.region_differences
    assert len(table) == 18
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)
    assert (table[["p", "p_holm", "p_t"]] == 1).all(axis=None)
    assert set(table.better) == {""}
    assert set(comparison.region_means.group) == {"a"}


def test_subjects_are_averaged(runs, tmp_path):
    def doubled(table):
        twice = [2 * array for array in table.contributions]
        return table.assign(value=2 * table.value, contributions=twice)

    others = [
        copied(runs[name], tmp_path / name, doubled, subject="two", train_subjects=[])
        for name in ("good", "noisy")
    ]
    single = compare([runs["good"], runs["noisy"]], metrics=["voxel-r"])
    both = compare([runs["good"], runs["noisy"], *others], metrics=["voxel-r"])
    assert set(both.region_differences.subjects) == {2}
    for name in ("difference", "low", "high"):  # the mean of a subject and its double, on the same images
        assert both.region_differences[name].to_numpy() == pytest.approx(
            1.5 * single.region_differences[name], abs=1e-6
        )
    assert (both.region_differences.p == single.region_differences.p).all()
    assert (both.region_means.n_voxels == 2 * single.region_means.n_voxels).all()


def test_what_cannot_be_compared_is_said(runs, tmp_path):
    left = shutil.ignore_patterns("region_contributions.parquet")
    shutil.copytree(runs["noisy"].folder, tmp_path / "old", ignore=left)
    comparison = compare([runs["good"], RunResult.open(tmp_path / "old")])
    assert len(comparison.differences) > 0
    assert len(comparison.region_means) == 0
    assert "old holds no region_contributions.parquet; type the command of that run again" in " ".join(
        comparison.notes
    )

    def without(table):
        return table[(table.metric != "voxel-r2@1") & (table.region != "early")]

    fewer = copied(runs["noisy"], tmp_path / "fewer", without)
    metrics = [
        m | {"chance": 0.3} if m["name"] == "voxel-r2-nc@1" else m for m in runs["noisy"].info["metrics"]
    ]
    other = copied(fewer, tmp_path / "other", metrics=metrics)
    comparison = compare([runs["good"], other])
    why = dict(comparison.left_out)
    assert why["voxel-r2@1"] == "not scored in other for predicted"
    assert "another definition: chance is" in why["voxel-r2-nc@1"]
    assert list(dict.fromkeys(comparison.region_means.region)) == ["all voxels", "higher"]
    assert comparison.notes[-1] == "voxel scores of 'early' are not compared: not all runs have it"


def test_rows_that_no_encoder_made_have_no_voxel_scores(runs):
    comparison = compare([runs["good"]], rows=("measured", "predicted", "flat-grey"))
    assert len(comparison.systems) == 3
    assert len(comparison.region_means) == 0
    assert [note.partition(":")[0] for note in comparison.notes] == ["one seed of all systems"]


def test_runs_without_image_scores_are_compared(runs, tmp_path):
    """Computed anew, in a store of their own, the contributions are the same to the last digit."""
    plain = [
        toy_run(
            tmp_path / str(noise),
            tmp_path / "store",
            {"run": {"metrics": ["voxel-r"]}, "encoder": {"noise": noise}, "benchmark": {"n_test": 40}},
            benchmark=REGIONAL,
        )
        for noise in (0.1, 2.0)
    ]
    expected = kept(runs["good"]).loc["voxel-r@1"].contributions
    assert np.array_equal(np.stack(kept(plain[0]).contributions), np.stack(expected))
    comparison = compare(plain)
    assert len(comparison.means) == len(comparison.differences) == len(comparison.variance) == 0
    expected = compare([runs["good"], runs["noisy"]], metrics=["voxel-r"]).region_differences
    pd.testing.assert_frame_equal(comparison.region_differences, expected)


def test_the_command_says_the_unit(harness, tmp_path, pair):
    words = ["compare", *(run.folder for run in pair), "--metrics", "voxel-r,voxel-r2", "--regions", "all"]
    done = harness(*words, "--csv", "out.csv", "--table", "region_differences")
    assert "simulated, not brain data" in done.stdout
    assert "mean over voxels [95 % interval over test images]" in done.stdout
    assert "the unit is the test image" in done.stdout
    first = next(text for text in done.stdout.splitlines() if text.startswith("voxel r, all voxels"))
    assert re.search(r"noise=0.1 +0\.\d+ \[0\.\d+, 0\.\d+\] +29 +40 +a", first)
    for name in ("voxel R², all voxels", "voxel r, early", "voxel R², FFA"):
        assert done.stdout.count(name) == 2  # a mean and a difference
    differences = compare(pair, metrics=["voxel-r", "voxel-r2"], regions=["all"]).region_differences
    read = pd.read_csv(tmp_path / "out.csv").fillna({"better": ""})
    pd.testing.assert_frame_equal(read, differences, check_dtype=False)

"""``harness compare``: real runs through the command and as tables, against their stored values."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures
from board_runs import board_run
from click.testing import CliRunner
from commands import TOYS
from report_fixtures import line_of
from toy_runs import toy_run

from harness.cli.compare import compare as command
from harness.cli.main import main
from harness.errors import DataError
from harness.reports.comparison import (
    DIFFERENCE_COLUMNS,
    MEAN_COLUMNS,
    SUBJECT_COLUMNS,
    VARIANCE_COLUMNS,
    compare,
)
from harness.reports.encoder_comparison import REGION_DIFFERENCE_COLUMNS, REGION_MEAN_COLUMNS
from harness.results import RunResult
from harness.statistics import holm, mean_interval, mean_intervals, paired_difference, variance_components

PIXCORR = f"{TOYS.with_name('toy_metrics.py')}:SmallPixCorr"
METRICS = [PIXCORR, "pixel-2way", "pattern-r", "pattern-2way", "decoded-agreement", "voxel-r"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """Toy runs: a good encoder, also on another subject, a noisy one, the noisy one on fewer images."""
    folder = tmp_path_factory.mktemp("compared")
    kinds = {"good": (0.1, {"trial_rows": True}), "noisy": (2.0, {}), "few": (2.0, {"limit": 9})}
    folders = {
        name: toy_run(
            folder / f"run-{name}",
            folder / "store",
            {
                "run": {"metrics": METRICS, "derangements": 2, "samples": 2, **more},
                "benchmark": {"n_test": 16},
                "encoder": {"noise": noise},
            },
        ).folder
        for name, (noise, more) in kinds.items()
    }
    # The toy cortices are all alike, so the other subject's scores are made to differ.
    folders["good, toy02"] = copied(
        folders["good"], folder / "toy02", subject="toy02", train_subjects=[]
    ).folder
    report_fixtures.change_scores(
        folders["good, toy02"], "scores", lambda scores: scores.assign(value=scores.value**2)
    )
    return folders


def opened(runs: dict[str, Path], *names: str) -> list[RunResult]:
    return [RunResult.open(runs[name]) for name in names]


def test_the_command_prints_means_differences_and_groups(harness, runs):
    done = harness("compare", runs["good"], runs["noisy"])
    assert "simulated, not brain data" in done.stdout
    assert "toys.py:ToyEncoder · noise=0.1" in done.stdout
    assert "toys.py:ToyEncoder · noise=2.0" in done.stdout
    assert "left out: " not in done.stdout
    means = [text for text in done.stdout.splitlines() if re.search(r"\d\] +16 +\w", text)]
    assert [text.split()[-1] for text in means[:2]] == ["a", "b"]  # PixCorr of the good and the noisy one
    assert "Holm's family: 2 comparisons: 1 pair of systems x 2 metrics" in done.stdout
    assert "one seed of all systems: what another seed" in done.stdout
    assert "share of images, trials, samples, rest" in done.stdout
    assert done.stderr == ""


def test_json_and_csv_hold_the_tables(harness, tmp_path, runs):
    words = ["compare", runs["good"], runs["noisy"], "--metrics", f"{PIXCORR},pixel-2way,voxel-r"]
    given = json.loads(harness(*words, "--json", "--csv", "out.csv").stdout)
    comparison = compare(opened(runs, "good", "noisy"), metrics=[PIXCORR, "pixel-2way", "voxel-r"])
    assert set(comparison.region_means.metric) == {"voxel-r@1"}
    assert given["simulated"] is True
    assert [system["label"] for system in given["systems"]] == [system.label for system in comparison.systems]
    for name, table in comparison.tables.items():
        read = pd.DataFrame(given[name], columns=table.columns).astype(table.dtypes)
        pd.testing.assert_frame_equal(read, table)
    assert [encoder["label"] for encoder in given["encoders"]] == [
        system["label"] for system in given["systems"]
    ]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "out.csv").fillna({"better": ""}), comparison.differences, check_dtype=False
    )
    more = ["--csv", str(tmp_path / "means.csv"), "--table", "region_means", "--json"]
    printed = CliRunner().invoke(command, [*map(str, words[1:]), *more], catch_exceptions=False).output
    assert json.loads(printed) == given
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "means.csv"), comparison.region_means, check_dtype=False
    )


def test_a_page_has_every_region_and_the_same_tests(tmp_path):
    folders = [board_run(tmp_path / name, images=9, encoder=name) for name in ("ridge", "mlp")]
    page = tmp_path / "new" / "page.html"
    words = [*map(str, folders), "-o", str(page), "--no-stimuli", "--json"]
    printed = json.loads(CliRunner().invoke(command, words, catch_exceptions=False).output)
    assert {line["region"] for line in printed["region_differences"]} == {"all voxels", "V1"}
    text = page.read_text("utf-8")
    assert "Stimuli are withheld" in text
    for line in printed["region_differences"]:
        assert f"[{line['low']:.3f}, {line['high']:.3f}]" in text
    named = CliRunner().invoke(command, [*words, "--regions", "V1"], catch_exceptions=False).output
    assert {line["region"] for line in json.loads(named)["region_differences"]} == {"V1"}


def test_the_tables_are_those_of_the_stored_values(runs):
    good, noisy = opened(runs, "good", "noisy")
    comparison = compare([good, noisy])
    labels = [system.label for system in comparison.systems]
    columns = (MEAN_COLUMNS, DIFFERENCE_COLUMNS, SUBJECT_COLUMNS, VARIANCE_COLUMNS)
    columns += (REGION_MEAN_COLUMNS, REGION_DIFFERENCE_COLUMNS)
    assert [tuple(table.columns) for table in comparison.tables.values()] == list(columns)
    assert set(comparison.means.metric) == {f"{PIXCORR}@1", "pixel-2way@1"}
    values, others = {}, {}
    for label, run in zip(labels, (good, noisy)):
        scores = run.scores[(run.scores.row == "predicted") & (run.scores.target == "stimulus")]
        by_image = scores.groupby(["metric", "image_id"])[["value", "rivalry"]].mean()
        for metric in set(scores.metric):
            values[label, metric], others[label, metric] = by_image.loc[metric].to_numpy().T
    p = []
    for metric in dict.fromkeys(comparison.means.metric):
        for label in labels:
            limits = (0.0, 1.0) if metric == "pixel-2way@1" else None
            expected = mean_interval(values[label, metric], rivalry=others[label, metric], limits=limits)
            got = line_of(comparison.means, system=label, metric=metric)
            assert (got["mean"], got.low, got.high) == pytest.approx(
                (expected.mean, expected.low, expected.high)
            )
            assert (got.n, got.missing, got.subjects) == (16, 0, 1)
        expected = paired_difference(
            *(values[label, metric] for label in labels),
            rivalry=others[labels[0], metric] - others[labels[1], metric],
        )
        got = line_of(comparison.differences, metric=metric)
        for name in ("low", "high", "p", "p_t"):
            assert got[name] == pytest.approx(getattr(expected, name))
        assert got.difference == pytest.approx(expected.mean)
        p.append(expected.p)
    assert comparison.differences.p_holm.to_numpy() == pytest.approx(holm(p))
    assert set(comparison.differences.better) == {labels[0]}
    assert comparison.means.group.tolist() == ["a", "b"] * 2


def test_identification_counts_its_rivals(runs):
    """The stored rivalry changes intervals of identification, and of nothing else."""
    (run,) = opened(runs, "noisy")
    scores = run.scores
    rivals = scores.groupby("metric").rivalry.apply(lambda column: bool(column.abs().max() > 0))
    assert rivals.to_dict() == {
        **dict.fromkeys([f"{PIXCORR}@1", "pattern-r@1", "decoded-agreement@1"], False),
        **dict.fromkeys(["pixel-2way@1", "pattern-2way@1"], True),
    }
    keys = ["row", "target", "trial", "sample", "metric"]
    assert scores.groupby(keys).rivalry.mean().abs().max() < 1e-12
    assert scores[(scores.row == "shuffled") & (scores.metric == "pixel-2way@1")].rivalry.abs().max() > 0


def test_subjects_are_held_fixed_and_share_the_draw(runs):
    """Good against noisy on toy01, good alone on toy02: only the shared subject counts, and that is said."""
    comparison = compare(opened(runs, "good", "good, toy02", "noisy"), metrics=[PIXCORR])
    assert [list(system.runs) for system in comparison.systems] == [["toy01", "toy02"], ["toy01"]]
    assert any("left out: toy02" in note for note in comparison.notes)
    alone = compare(opened(runs, "good", "noisy"), metrics=[PIXCORR])
    pd.testing.assert_frame_equal(comparison.means, alone.means)


def test_rows_of_one_run_on_two_subjects(runs):
    pair = opened(runs, "good", "good, toy02")
    comparison = compare(pair, rows=("predicted", "oracle"), metrics=[PIXCORR])
    assert [system.label for system in comparison.systems] == ["predicted fMRI", "noise-free truth"]
    assert comparison.means.subjects.tolist() == [2, 2]
    stacked = []
    for run in pair:
        scores = run.scores[(run.scores.metric == f"{PIXCORR}@1") & (run.scores.target == "stimulus")]
        means = scores.groupby(["row", "image_id"]).value.mean()
        stacked.append(means["predicted"].to_numpy()[:, None])
    (expected,) = mean_intervals(np.stack(stacked))
    got = comparison.means.iloc[0]
    assert (got["mean"], got.low, got.high) == pytest.approx((expected.mean, expected.low, expected.high))
    points = comparison.subjects[comparison.subjects.system == "predicted fMRI"]["mean"]
    assert got["mean"] == pytest.approx(points.mean())
    assert points.nunique() == 2


def test_single_trials_have_components(runs):
    (run,) = opened(runs, "good")
    comparison = compare([run], rows=("measured", "measured-trial"))
    assert set(comparison.variance.system) == {"measured, single trials"}
    part = run.scores[(run.scores.row == "measured-trial") & (run.scores.metric == f"{PIXCORR}@1")]
    expected = variance_components(part.value.to_numpy(), part.image_id, part.trial, part["sample"])
    got = line_of(comparison.variance, metric=f"{PIXCORR}@1")
    assert (got.images, got.trials) == pytest.approx((expected.images, expected.trials))
    assert got.images_share + got.trials_share == pytest.approx(1)
    assert np.isnan(got.samples_share)


def test_a_subset_is_compared_on_the_images_that_both_have(runs):
    comparison = compare(opened(runs, "good", "few"))
    assert set(comparison.means.metric) == {f"{PIXCORR}@1"}
    assert dict(comparison.left_out) == {
        "pixel-2way@1": "depends on its pool of images, and the pools differ",
        "voxel-r@1": "one value for all test images together, and the test images differ",
    }
    assert len(comparison.region_means) == 0
    assert comparison.means.n.tolist() == [16, 9]
    assert set(comparison.differences.n) == {9}
    assert any("limit-9" in note for note in comparison.notes)


def test_responses_and_measured_reconstructions_are_targets_too(runs):
    pair = opened(runs, "good", "noisy")
    assert set(compare(pair, target="responses").means.metric) == {"pattern-r@1", "pattern-2way@1"}
    assert "decoded-agreement@1" in set(compare(pair, target="measured").means.metric)


def copied(source: Path, folder: Path, **changes) -> RunResult:
    """A copy of a run with other keys in run.json."""
    shutil.copytree(source, folder)
    info = json.loads((folder / "run.json").read_text()) | changes
    (folder / "run.json").write_text(json.dumps(info))
    return RunResult.open(folder)


def test_other_data_are_refused_and_say_what_differs(runs, tmp_path):
    (good,) = opened(runs, "good")
    benchmark = good.info["benchmark"]
    other = copied(runs["noisy"], tmp_path / "other", benchmark={**benchmark, "version": "2"})
    with pytest.raises(DataError, match=r"different benchmarks \(.*ToyBenchmark@1; .*ToyBenchmark@2\)"):
        compare([good, other])
    louder = {**benchmark, "params": {**benchmark["params"], "noise": 0.7}}
    sha = {**good.info["data_sha"], "test_responses": "0" * 64}
    other = copied(runs["noisy"], tmp_path / "louder", benchmark=louder, data_sha=sha)
    with pytest.raises(DataError, match=r"different test responses of toy01 \(noise: 0.5 / 0.7\)"):
        compare([good, other])
    other = copied(runs["noisy"], tmp_path / "elsewhere", subject="toy02", train_subjects=[])
    with pytest.raises(DataError, match="no subject is in all of the systems"):
        compare([good, other])


def test_what_else_differs_is_said(runs, tmp_path):
    (good,) = opened(runs, "good")
    sha = {**good.info["data_sha"], "train_stimuli": "0" * 64}
    metrics = [dict(metric) for metric in good.info["metrics"]]
    metrics[0]["file_sha"], metrics[1]["chance"] = "0" * 64, 0.25
    other = copied(runs["noisy"], tmp_path / "other", data_sha=sha, n_train=30, metrics=metrics, seed=7)
    comparison = compare([good, other])
    notes = " ".join(comparison.notes)
    assert "training data of toy01 differ: 60 images" in notes
    assert f"different code under one version: {metrics[0]['name']}" in notes
    assert any(metrics[1]["name"] == name and "chance is" in why for name, why in comparison.left_out)
    assert comparison.systems[1].label.endswith("30 training images · noise=2.0")


def test_seeds_of_one_system_are_replicates(harness, runs, tmp_path):
    """Means are over seeds, their spread is in p, and no seed is ranked against another."""

    def shifted(name, seed, by):
        folder = tmp_path / f"{name}-{seed}"
        copied(runs[name], folder, seed=seed)
        report_fixtures.change_scores(
            folder,
            "scores",
            lambda scores: scores.assign(
                value=scores.value
                + by * ((scores.row == "predicted") & (scores.metric == f"{PIXCORR}@1")).astype(float)
            ),
        )
        return folder

    good = [runs["good"], shifted("good", 1, 0.02), shifted("good", 2, -0.03)]
    noisy = [runs["noisy"], shifted("noisy", 1, -0.01), shifted("noisy", 2, 0.02)]
    with pytest.raises(DataError, match="one system, of seeds 0, 1, 2, to compare with nothing"):
        compare([RunResult.open(folder) for folder in good])
    comparison = compare([RunResult.open(folder) for folder in (*good, *noisy)], metrics=[PIXCORR])
    single = compare(opened(runs, "good", "noisy"), metrics=[PIXCORR])
    assert [system.label for system in comparison.systems] == [system.label for system in single.systems]
    assert [system.seeds for system in comparison.systems] == [("0", "1", "2")] * 2
    (ours,), (alone,) = comparison.differences.itertuples(), single.differences.itertuples()
    assert (ours.seeds_a, ours.seeds_b, alone.seeds_a) == (3, 3, 1)
    assert ours.difference == pytest.approx(alone.difference - 0.01 / 3 - 0.01 / 3)
    assert ours.high - ours.low > alone.high - alone.low
    assert ours.p == ours.p_t != alone.p
    assert len(comparison.subjects) == 6
    assert comparison.subjects.seed.tolist() == ["0", "1", "2"] * 2
    assert any("seeds 0, 1, 2 are replicates" in note for note in comparison.notes)
    given = json.loads(harness("compare", *good, *noisy, "--metrics", PIXCORR, "--json").stdout)
    assert given["families"] == {"differences": "1 comparison: 1 pair of systems x 1 metric"}
    assert list(given["systems"][0]["seeds"]["toy01"]) == ["0", "1", "2"]
    assert given["differences"][0]["family"] == given["families"]["differences"]
    printed = harness("compare", *good, *noisy, "--metrics", PIXCORR).stdout
    assert "Holm's family: 1 comparison: 1 pair" in printed
    assert "where a system has several seeds p (t)" in printed


def test_equal_systems_are_told_by_their_run(runs, tmp_path):
    (good,) = opened(runs, "good")
    comparison = compare([good, copied(runs["good"], tmp_path / "again")])
    assert [system.label.rpartition(" ")[2] for system in comparison.systems] == [
        f"({good.folder.name})",
        "(again)",
    ]
    assert (comparison.differences.difference == 0).all()
    assert (comparison.differences.p == 1).all()
    assert set(comparison.means.group) == {"a"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{good}"], "one system to compare with nothing"),
        (["{good}", "{good}"], "is given twice"),
        (["{good}", "absent"], "holds no run.json"),
        (["{good}", "{noisy}", "--row", "imagined"], "has no row 'imagined'; its rows: "),
        (["{good}", "{noisy}", "--metrics", "pixel-2wa"], "did you mean 'pixel-2way'"),
        (["{good}", "{noisy}", "--regions", "all voxel"], "unknown region 'all voxel'; did you mean"),
        (
            ["{good}", "{noisy}", "--row", "shuffled", "--target", "measured"],
            "share no metric against 'measured'",
        ),
        (["{good}", "{noisy}", "-o", "page.txt"], "a page ends in .html; type -o page.html"),
        ([], "Missing argument"),
    ],
)
def test_wrong_words_are_one_line(runs, words, message, monkeypatch, capsys):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest's own handlers stay
    monkeypatch.setattr(sys, "argv", ["harness", "compare", *(word.format(**runs) for word in words)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    stderr = capsys.readouterr().err
    assert message in stderr
    assert stderr.count("\n") == 1


def test_long_names_are_numbered(three_encoders):
    from rich.console import Console

    from harness.cli.compare import print_comparison

    long = {system.label: f"{system.label} with {'many ' * 8}words" for system in three_encoders.systems}
    renamed = dataclasses.replace(
        three_encoders,
        systems=tuple(
            dataclasses.replace(system, label=long[system.label]) for system in three_encoders.systems
        ),
        means=three_encoders.means.replace({"system": long}),
        differences=three_encoders.differences.replace({"a": long, "b": long, "better": long}),
        variance=three_encoders.variance.replace({"system": long}),
    )
    page = io.StringIO()
    print_comparison(renamed, Console(file=page, width=200))
    assert all(page.getvalue().count(name) == 1 for name in long.values())
    assert "system 1 − system 3" in page.getvalue()


def test_every_value_can_be_printed(three_encoders):
    from rich.console import Console

    from harness.cli.compare import print_comparison

    texts = []
    for width in (60, 200):
        page = io.StringIO()
        print_comparison(three_encoders, Console(file=page, width=width))
        texts.append(page.getvalue())
    assert not any("…" in text for text in texts)
    assert texts[1].count("undecided") == (three_encoders.differences.better == "").sum()

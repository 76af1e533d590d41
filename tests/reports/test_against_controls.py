"""Decoders held against their controls: numbers are those of the stored values, and blind ones are named."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from commands import TOYS
from rich.console import Console
from toy_runs import toy_run

from harness.cli.suite_tables import show
from harness.reports.against_controls import against_controls_table, not_above
from harness.reports.suites import SuiteRun
from harness.run.cells import CellResult, cells
from harness.run.suites import read_suite

METRICS = ("pixcorr", "voxel-mse")
BLIND = """
import numpy as np
from toys import Decoded, ToyDecoder

class Blind(ToyDecoder):
    def decode(self, responses, *, seeds):
        done = super().decode(responses, seeds=seeds)
        done.images[:] = np.random.default_rng(0).integers(0, 256, done.images.shape[2:])
        return done

    def rebuild(self, images, *, seeds):
        return Decoded((images // 64 * 64)[:, None])
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("controls")
    (folder / "blind.py").write_text(BLIND)
    decoders = {"toy": f"{TOYS}:ToyDecoder", "nearest": "nearest-train", "blind": f"{folder}/blind.py:Blind"}
    values = {"run": {"metrics": ["pixcorr"], "derangements": 3}, "benchmark": {"n_test": 24}}
    return [
        SuiteRun(
            "measured fMRI",
            name,
            0,
            toy_run(folder / name, folder / "store", values, encoder=None, decoder=decoder),
        )
        for name, decoder in decoders.items()
    ]


@pytest.fixture(scope="module")
def table(runs):
    return against_controls_table(runs, ["pixcorr", "ssim"])


def test_numbers_are_those_of_the_stored_values(runs, table):
    assert list(table["system"]) == ["toy", "nearest", "blind"]  # ssim was not scored
    rows = (
        "measured",
        "shuffled-measured",
        "train-mean",
        "nearest-train-measured",
        "oracle",
        "generator-ceiling",
        "code-ceiling",
    )
    for suite_run, line in zip(runs, table.itertuples()):
        scores = suite_run.run.scores
        scores = scores[scores["target"] == "stimulus"]
        values = scores.groupby(["row", "image_id"], observed=True)["value"].mean()
        means = {row: values[row].mean() if row in values.index.levels[0] else np.nan for row in rows}
        ours = (line.mean, line.shuffled, line.train_mean, line.nearest_train, line.truth, line.ceiling)
        ours += (line.codes,)
        np.testing.assert_allclose(ours, [means[row] for row in rows], rtol=1e-12)
        gain = values["measured"] - values["shuffled-measured"]
        assert line.gain == pytest.approx(gain.mean(), abs=1e-12)
        assert line.gain_low <= line.gain <= line.gain_high
        assert line.low <= line.mean <= line.high
    assert list(table["codes"].notna()) == [False, False, True]


def test_what_needs_no_brain_is_named(table):
    assert table["gain_low"][0] > 0
    assert [sentence.partition(":")[0] for sentence in not_above(table)] == ["blind", "blind"]
    falling = table.assign(higher_is_better=False)
    assert {sentence.partition(":")[0] for sentence in not_above(falling)} == {"toy", "nearest", "blind"}


def test_several_seeds_are_a_mean_without_an_interval(runs):
    twice = against_controls_table([runs[0], replace(runs[0], seed=1)], ["pixcorr"]).iloc[0]
    once = against_controls_table(runs[:1], ["pixcorr"]).iloc[0]
    assert (twice["runs"], twice["mean"]) == (2, pytest.approx(once["mean"]))
    assert np.isnan(twice["low"])
    assert np.isnan(twice["gain_high"])
    assert not not_above(against_controls_table([runs[0], replace(runs[0], seed=1)], ["pixcorr"]))


def test_it_is_printed_with_what_it_means(tmp_path, runs):
    (tmp_path / "s.yaml").write_text(
        f'table: against-controls\nmetrics: [pixcorr]\nbenchmark: {{name: "{TOYS}:ToyBenchmark"}}\n'
        "decoders: {toy: {decoder: linear}, nearest: {decoder: nearest-train}, blind: {decoder: linear}}\n"
    )
    suite = read_suite(str(tmp_path / "s.yaml"))
    planned = cells(suite, tmp_path)
    results = [CellResult(cell, suite_run.run) for cell, suite_run in zip(planned, runs)]
    out = io.StringIO()
    show(suite, results, tmp_path, Console(file=out, width=160))
    assert "blind: PixCorr is not above that of the mean training response" in out.getvalue()
    assert "re-paired" in out.getvalue()
    assert "codes: the true image by the codes" in " ".join(out.getvalue().split())
    assert (tmp_path / "against-controls.csv").read_text().count("\n") == 4

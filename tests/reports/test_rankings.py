"""Encoders under two decoders: rankings, what both tell apart, and a cheat that only one decoder likes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from commands import TOYS
from scipy.stats import kendalltau
from toy_runs import toy_run

from harness.cli.compare import compare as command
from harness.reports.comparison import compare
from harness.reports.rankings import RANKING_COLUMNS, ranking_table

CHEATS = TOYS.with_name("cheats.py")
PIXCORR = f"{TOYS.with_name('toy_metrics.py')}:SmallPixCorr"
METRICS = [PIXCORR, "decoded-agreement", "decoded-agreement-controlled"]
ENCODERS = {
    "good": (f"{TOYS}:ToyEncoder", {"noise": 0.1}),
    "noisy": (f"{TOYS}:ToyEncoder", {"noise": 1.5}),
    "cheat": (f"{CHEATS}:InverseOfTheDecoder", {"noise": 0.0}),
}
DECODERS = {"inverted": f"{TOYS}:ToyDecoder", "other": f"{CHEATS}:HalfDecoder"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rankings")
    return {
        (decoder, encoder): toy_run(
            folder / f"{decoder}-{encoder}",
            folder / "store",
            {
                "run": {"metrics": METRICS, "derangements": 2},
                "benchmark": {"n_test": 60, "n_train": 120},
                "encoder": params,
            },
            encoder=name,
            decoder=plugin,
        )
        for decoder, plugin in DECODERS.items()
        for encoder, (name, params) in ENCODERS.items()
    }


def mean(run, metric, target):
    scores = run.scores[(run.scores.row == "predicted") & (run.scores.metric == metric)]
    return scores[scores.target == target].value.mean()


@pytest.mark.parametrize(
    ("target", "metric"),
    [
        ("stimulus", f"{PIXCORR}@1"),
        ("measured", "decoded-agreement@1"),
        ("measured", "decoded-agreement-controlled@2"),
    ],
)
def test_tau_orders_and_verdicts_are_those_of_the_runs(runs, target, metric):
    comparison = compare(list(runs.values()), target=target, metrics=[metric], flips=500)
    table = ranking_table(comparison)
    assert tuple(table.columns) == RANKING_COLUMNS
    (line,) = table.itertuples()
    means = {
        decoder: [mean(runs[decoder, encoder], metric, target) for encoder in ENCODERS]
        for decoder in DECODERS
    }
    assert line.tau == pytest.approx(kendalltau(means["inverted"], means["other"]).statistic)
    assert (line.decoder_a, line.decoder_b) == ("toys.py:ToyDecoder", "cheats.py:HalfDecoder")
    names = [
        "toys.py:ToyEncoder (noise=0.1)",
        "toys.py:ToyEncoder (noise=1.5)",
        "cheats.py:InverseOfTheDecoder",
    ]
    for decoder, order in (("inverted", line.order_a), ("other", line.order_b)):
        assert order == ", ".join(names[k] for k in np.argsort([-m for m in means[decoder]]))
    assert (line.encoders, line.same + line.reversed + line.undecided) == (3, 3)


def test_a_cheat_that_one_decoder_likes_moves_in_the_ranking_of_the_other(runs):
    def above_good(decoder):
        cheat, good = (mean(runs[decoder, name], f"{PIXCORR}@1", "stimulus") for name in ("cheat", "good"))
        return cheat - good

    assert above_good("inverted") > 0 > above_good("other")
    (line,) = ranking_table(compare(list(runs.values()), metrics=[PIXCORR], flips=500)).itertuples()
    assert line.reversed >= 1
    # What the stimulus does not explain finds it out under both.
    for decoder in DECODERS:
        agreement = mean(runs[decoder, "cheat"], "decoded-agreement-controlled@2", "measured")
        assert abs(agreement) < 0.1


def test_one_decoder_gives_no_table(runs):
    comparison = compare([runs["inverted", name] for name in ENCODERS], flips=200)
    assert len(ranking_table(comparison)) == 0
    assert list(ranking_table(comparison).columns) == list(RANKING_COLUMNS)
    one_each = compare([runs["inverted", "good"], runs["other", "noisy"]], flips=200)
    assert len(ranking_table(one_each)) == 0


def test_the_command_shows_it(runs):
    folders = [str(run.folder) for run in runs.values()]
    printed = CliRunner().invoke(command, folders, catch_exceptions=False).output
    assert "do two decoders put the encoders in the same order?" in printed
    given = json.loads(CliRunner().invoke(command, [*folders, "--json"], catch_exceptions=False).output)
    assert {line["metric"] for line in given["rankings"]} == {f"{PIXCORR}@1"}


def test_seeds_of_one_encoder_are_one_encoder(tmp_path):
    runs = [
        toy_run(
            tmp_path / f"{name}-{noise}-{seed}",
            tmp_path / "store",
            {"run": {"metrics": [PIXCORR], "derangements": 1, "seed": seed}, "encoder": {"noise": noise}},
            decoder=decoder,
        )
        for name, decoder in DECODERS.items()
        for noise in (0.5, 1.5)
        for seed in (0, 1)
    ]
    comparison = compare(runs)
    assert len(comparison.systems) == 4
    table = ranking_table(comparison)
    assert set(table.encoders) == {2}
    assert {"toys.py:ToyEncoder (noise=0.5)", "toys.py:ToyEncoder (noise=1.5)"} == set(
        table.order_a[0].split(", ")
    )
    for system in comparison.systems:
        means = [mean(run, f"{PIXCORR}@1", "stimulus") for own in system.replicates.values() for run in own]
        assert len(means) == 2
        (own,) = comparison.means[comparison.means.system == system.label].itertuples()
        assert (own.mean, own.seeds) == pytest.approx((np.mean(means), 2))

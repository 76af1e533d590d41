"""Look-alike metrics in a run: kinds from labels, controls, and what is said without labels."""

from __future__ import annotations

import numpy as np
import pytest
from commands import TOYS
from labelled import LABELLED

from harness.metrics.lookalikes import lookalike_two_way
from harness.reports.comparison import compare
from harness.reports.tables import score_table
from harness.results import RunResult
from harness.run.flags import Evidence, run_flags
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import write_run
from harness.scoring.compare import derangements_of
from harness.settings import Request
from harness.stages.extraction import open_backbone
from harness.statistics import mean_interval
from harness.storage.store import Store
from harness.storage.worker import forget

NAME = "clip-lookalike@tiny"


@pytest.fixture
def run(tmp_path):
    """A run of one of the labelled benchmarks in this process."""
    file = tmp_path / "labelled.py"
    file.write_text(LABELLED.format(toys=str(TOYS.parent)))

    def run(benchmark, *metrics):
        forget()
        request = Request(
            benchmark=f"{file}:{benchmark}" if benchmark != "ToyBenchmark" else f"{TOYS}:ToyBenchmark",
            encoder=f"{TOYS}:ToyEncoder",
            decoder=f"{TOYS}:ToyDecoder",
            values={
                "run": {"metrics": list(metrics or (NAME, "pixcorr")), "derangements": 4},
                "benchmark": {"n_test": 13, "noise": 3.0},
            },
        )
        return run_plan(make_plan(request), Store(tmp_path / "store"))

    return run


def of(outcome, row, target="stimulus", name=NAME):
    (image_scores,) = [
        s
        for s in outcome.scored.images
        if (s.metric.ref.name, s.images.row, s.target) == (name, row, target) and s.images.trial < 0
    ]
    return image_scores


def test_rivals_are_the_stimuli_of_the_same_labels(run):
    outcome = run("Labelled")
    backbone = open_backbone("clip@tiny", device="cpu")

    def features(stimuli):
        return backbone.extract(stimuli.images(), ["image"])["image"]

    kind = np.arange(13) % 8  # category and background repeat every eight images: 8 kinds, 5 pairs
    measured = of(outcome, "measured")
    result, target = features(measured.images.images), features(measured.images.stimuli)
    np.testing.assert_allclose(measured.values, lookalike_two_way(result, target, kind=kind))
    np.testing.assert_array_equal(np.isfinite(measured.values), (kind < 5))
    assert set(measured.values[np.isfinite(measured.values)]) <= {0.0, 0.5, 1.0}
    # Against the measured reconstructions the kinds are the stimuli's too.
    predicted = of(outcome, "predicted", "measured")
    win_rates = lookalike_two_way(features(predicted.images.images), result, kind=kind)
    np.testing.assert_allclose(predicted.values, win_rates)
    # Re-paired results stand among their target's look-alikes.
    orders = derangements_of(measured.images.images.ids, 4)
    expected = np.mean([lookalike_two_way(result[order], target, kind=kind) for order in orders], axis=0)
    np.testing.assert_allclose(of(outcome, "shuffled-measured").values, expected)
    assert outcome.scored.left_out == []
    assert outcome.scored.failures == []


@pytest.mark.parametrize(
    ("benchmark", "why"),
    [
        ("ToyBenchmark", "the stimuli have no label category and background"),
        ("HalfLabelled", "the stimuli have no label background"),
        ("AllDifferent", "no two of the 13 test images share category and background"),
    ],
)
def test_without_lookalikes_nothing_is_scored_and_one_line_says_why(run, caplog, benchmark, why):
    with caplog.at_level("WARNING"):
        outcome = run(benchmark, NAME, "inception-lookalike@tiny", "pixcorr")
    assert [name for name, _ in outcome.scored.left_out] == [NAME, "inception-lookalike@tiny"]
    assert all(why in reason for _, reason in outcome.scored.left_out)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "harness.scoring.driver"]
    assert line.startswith(f"not scored: {NAME}, inception-lookalike@tiny: ")
    assert {score.metric.ref.name for score in outcome.scored.images} == {"pixcorr"}
    for row in ("measured", "predicted", "shuffled", "mean-image"):
        assert np.isfinite(of(outcome, row, name="pixcorr").values).any()
    assert outcome.scored.failures == []


def test_a_constant_image_is_at_chance_without_doubt(run, tmp_path):
    """Tables and comparisons draw both images of a pair, or neither."""
    write_run(run("Labelled"), tmp_path / "run", command=["harness"], store=Store(tmp_path / "store"))
    result = RunResult.open(tmp_path / "run")
    table = score_table(result, metrics=[f"{NAME}@1"]).set_index("row")
    for row in ("flat-grey", "mean-image"):
        assert table.loc[row, ["mean", "low", "high"]].tolist() == pytest.approx([0.5] * 3, abs=1e-6)
    assert table.loc["measured", "n"] == 10
    pairs = compare([result], rows=("flat-grey", "mean-image"), metrics=[NAME])
    means, difference = pairs.means, pairs.differences.iloc[0]
    assert means[["mean", "low", "high"]].to_numpy() == pytest.approx(0.5, abs=1e-6)
    assert (difference.low, difference.high) == pytest.approx((0, 0), abs=1e-6)
    values = result.scores[(result.scores.row == "flat-grey") & (result.scores.metric == f"{NAME}@1")].value
    alone = mean_interval(values.to_numpy())
    assert alone.high - alone.low > 0.3


def test_chance_among_lookalikes_raises_no_alarm(run):
    outcome = run("Labelled")
    score = of(outcome, "measured")
    score.values[:] = 0.5
    flags = run_flags(Evidence(data=outcome.data, scores=[score]))
    assert "misaligned-ids" not in {flag.name for flag in flags}

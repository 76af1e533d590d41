"""Rows through a bottleneck: full rank is the measured row, rank 0 no brain at all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commands import TOYS
from sklearn.decomposition import PCA
from toys import ToyBenchmark

from harness.data import Responses, Split, VoxelSpace
from harness.errors import ConfigError
from harness.reports.curves import curve_table
from harness.reports.layout import ordered_rows
from harness.reports.tables import score_table
from harness.results import RunResult
from harness.rows.bottleneck import bottleneck_streams
from harness.rows.components import fit_bottleneck
from harness.rows.table import response_streams
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import write_run
from harness.settings import Request
from harness.storage.executors import Inline
from harness.storage.store import Store
from harness.storage.worker import forget

DRAWN = {"seed": 0, "samples": 1}


@pytest.fixture
def data():
    return ToyBenchmark(ToyBenchmark.Params(n_train=60, n_test=12, voxels=20)).load("toy01")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def streams(data, ranks, store, repeats="inputs"):
    by_rank = bottleneck_streams(data, ranks, repeats=repeats, store=store, executor=Inline(), **DRAWN)
    return {stream.row: stream for stream in by_rank}


@pytest.mark.parametrize("voxels", [20, 100], ids=["fewer voxels", "fewer images"])
@pytest.mark.parametrize("rank", [1, 7, 20])
def test_components_are_those_of_scikit_learn(voxels, rank):
    data = ToyBenchmark(ToyBenchmark.Params(n_train=60, voxels=voxels)).load("toy01")
    fitted = fit_bottleneck(data.train.responses.mean(), data.space.valid, rank)
    patterns, test = data.train.responses.mean().astype(np.float64), data.test.responses.mean()
    pca = PCA(rank, svd_solver="full").fit(patterns)
    expected = pca.inverse_transform(pca.transform(test))
    np.testing.assert_allclose(fitted.through(test, rank), expected, atol=2e-5)
    lower = PCA(1).fit(patterns)
    np.testing.assert_allclose(
        fitted.through(test, 1), lower.inverse_transform(lower.transform(test)), atol=2e-5
    )


def test_masked_voxels_stay_empty(data):
    valid = np.ones(20, bool)
    valid[[3, 11]] = False
    space = replace(data.space, valid=valid)

    def masked(responses: Responses) -> Responses:
        kept = np.where(valid, responses.trials(), 0).astype(np.float32)
        return Responses(space, responses.ids, kept, responses.image_index)

    train, test = masked(data.train.responses), masked(data.test.responses).mean()
    fitted = fit_bottleneck(train.mean(), train.space.valid, 5)
    out = fitted.through(test, 5)
    assert not out[:, ~valid].any()
    pca = PCA(5).fit(train.mean()[:, valid].astype(np.float64))
    np.testing.assert_allclose(out[:, valid], pca.inverse_transform(pca.transform(test[:, valid])), atol=2e-5)
    np.testing.assert_array_equal(fitted.through(test, 18), test)


@pytest.mark.parametrize("repeats", ["inputs", "outputs"])
def test_the_ends_are_the_training_mean_and_the_measured_row(data, store, repeats):
    given = {s.row: s for s in response_streams(data, repeats=repeats, trial_rows=False, **DRAWN)}
    by_row = streams(data, [0, 4, 20, 4], store, repeats)
    assert list(by_row) == ["measured-rank-0", "measured-rank-4", "measured-rank-20"]
    full, none = by_row["measured-rank-20"], by_row["measured-rank-0"]
    assert full.responses.sha == given["measured"].responses.sha  # the same artifacts, nothing decoded twice
    np.testing.assert_array_equal(none.responses.mean(), given["train-mean"].responses.mean())
    assert by_row["measured-rank-4"].responses.n_trials == given["measured"].responses.n_trials
    np.testing.assert_array_equal(full.seeds, given["measured"].seeds)
    # What is lost shrinks with the rank.
    target = data.test.responses.mean()
    errors = [
        np.square(streams(data, [k], store)[f"measured-rank-{k}"].responses.mean() - target)
        for k in (0, 1, 4, 12, 20)
    ]
    assert (np.diff([e.sum() for e in errors]) < 0).all()
    assert errors[-1].sum() == 0


def test_test_responses_say_nothing_about_the_components(data, store):
    before = streams(data, [3], store)["measured-rank-3"].responses.mean()
    test = data.test.responses
    moved = Responses(test.space, test.ids, test.trials()[::-1] * 5, test.image_index[::-1])
    other = replace(data, test=Split(data.test.stimuli, moved))
    after = streams(other, [3], Store(store.root / "other"))["measured-rank-3"].responses.mean()
    mean = data.train.responses.mean().mean(axis=0)
    np.testing.assert_allclose(
        after - mean,
        fit_bottleneck(data.train.responses.mean(), data.space.valid, 3).through(moved.mean(), 3) - mean,
        atol=1e-5,
    )
    assert np.linalg.matrix_rank(np.vstack([before, after]) - mean, tol=1e-3) == 3


@pytest.mark.parametrize(
    ("voxels", "rank", "message"),
    [
        (20, 21, "rank 21; toy01 has 20 voxels"),
        (100, 80, "59 dimensions of 100 voxels"),
        (20, -1, "negative"),
    ],
)
def test_impossible_ranks(store, voxels, rank, message):
    data = ToyBenchmark(ToyBenchmark.Params(n_train=60, voxels=voxels)).load("toy01")
    with pytest.raises(ConfigError, match=message):
        request(bottleneck=[rank]) if rank < 0 else streams(data, [rank], store)


def request(**run):
    return make_plan(
        Request(
            benchmark=f"{TOYS}:ToyBenchmark",
            decoder=f"{TOYS}:ToyDecoder",
            values={
                "run": {"metrics": ["pixcorr", "pixel-2way", "decoded-agreement"], "derangements": 8, **run},
                "benchmark": {"n_test": 24},
            },
        )
    )


def test_the_curve_of_a_run(tmp_path):
    forget()
    store = Store(tmp_path / "store")
    ranks = [40, 0, 16, 2]
    outcome = run_plan(request(bottleneck=ranks), store)
    write_run(outcome, tmp_path / "run", command=["harness"], store=store)
    run = RunResult.open(tmp_path / "run")
    values = run.scores[run.scores.target == "stimulus"].pivot_table(
        index=["metric", "image_id"], columns="row", values="value", dropna=False
    )
    np.testing.assert_array_equal(values["measured-rank-40"], values["measured"])
    np.testing.assert_array_equal(values["measured-rank-0"], values["train-mean"])
    means = values.groupby("metric").mean()
    identified = means.loc["pixel-2way@1"]
    assert identified["measured-rank-0"] == pytest.approx(0.5)
    assert identified["measured-rank-0"] < identified["measured-rank-2"] < identified["measured-rank-16"]
    assert identified["measured-rank-16"] <= 1
    assert abs(identified["shuffled-measured"] - 0.5) < 0.1
    # They share trials with the measured row, so no agreement with it is scored.
    agreement = run.scores[run.scores.metric.str.startswith("decoded-agreement")]
    assert not agreement.row.str.startswith("measured-rank").any()
    shown = [row for row in ordered_rows(run, score_table(run).row) if row.group == "bottleneck"]
    assert [row.label for row in shown] == [f"measured, rank {k}" for k in (40, 16, 2, 0)]
    assert all("principal components" in row.note for row in shown)
    assert run.info["settings"]["bottleneck"] == ranks
    curve = curve_table(run).set_index(["metric", "rank"])
    for metric in ("pixcorr@1", "pixel-2way@1"):
        assert list(curve.loc[metric].index[:-1]) == sorted(ranks)
        whole = curve.loc[(metric, 40), ["share", "share_low", "share_high"]]
        assert whole.tolist() == pytest.approx([1, 1, 1])
        assert curve.loc[(metric, 0), "share"] == pytest.approx(0)
        assert 0 < curve.loc[(metric, 16), "share"] <= 1.2


def test_a_space_of_one_dimension(store):
    space = VoxelSpace("d", "s", "m", 2, "raw", "x")
    trials = np.outer(np.arange(6), [1.0, 2.0]).astype(np.float32)
    responses = Responses.single(space, [f"a{k}" for k in range(6)], trials)
    fitted = fit_bottleneck(responses.mean(), responses.space.valid, 2)
    assert len(fitted.components) == 1
    np.testing.assert_allclose(fitted.through(trials, 1), trials, atol=1e-6)

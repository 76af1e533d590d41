"""The stage that scores responses: ceilings, what a metric asks for, regions; the tables of a run."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import HELPERS, TOYS, call_harness
from regional import CATEGORIES, Regional, V

from harness.data import Stimuli
from harness.metrics import encoding
from harness.metrics.ceilings import ceiling_from_repeats
from harness.metrics.contrasts import category_profile, contrast_agreement
from harness.reports.functional import SELECTIVE, all_scores_grid, contrast_table, region_table
from harness.results import REGION_COLUMNS, RunResult
from harness.scoring.context import Scoring
from harness.scoring.regions import regions_of
from harness.scoring.response_target import ResponseTarget, ceiling_of
from harness.scoring.responses import ResponsesScorer
from harness.scoring.scores import metric_ref
from harness.storage.executors import Inline
from harness.storage.store import Store

METRICS = (
    "voxel-r,voxel-mse,mse-explained,rsa,category-contrast,category-profile,energy-distance,sample-spread"
)


@pytest.fixture(scope="module")
def data():
    return Regional(Regional.Params()).load("one")


@pytest.fixture(scope="module")
def predicted(data):
    """(N, 3, V) samples around a shrunk truth; nothing in the masked voxel."""
    generator = np.random.default_rng(5)
    mean = 0.6 * data.test.responses.mean()
    samples = mean[:, None] + 0.3 * generator.standard_normal((len(mean), 3, V)).astype(np.float32)
    return np.where(data.space.valid, samples, 0).astype(np.float32)


def scorer(data, predicted, store=None):
    return ResponsesScorer(Scoring(data, store, Inline(), features=None, predicted=predicted))


def scored(name, data, predicted, store):
    scores = scorer(data, predicted, store).score(metric_ref(name))
    return scores.responses, {(s.row, s.kind, s.region, s.part): s for s in scores.regions}


def test_without_ncsnr_the_ceiling_is_from_all_repeats(data):
    ceiling, source = ceiling_of(data)
    counts = {name: getattr(data, name).responses.counts() for name in ("train", "test")}
    repeated = {name: n[n > 1] for name, n in counts.items()}
    assert source.within == sum((n - 1).sum() for n in repeated.values())
    assert source.between == sum(len(n) - 1 for n in repeated.values())
    alone = ceiling_from_repeats(data.test.responses.repeats())
    assert np.isnan(ceiling).tolist() == np.isnan(alone).tolist()
    np.testing.assert_allclose(ceiling, alone, atol=0.25)
    with_ncsnr = replace(data, space=replace(data.space, ncsnr=np.full(V, 0.5)))
    ceiling, source = ceiling_of(with_ncsnr)
    assert source.trials == "ncsnr that came with the data"
    np.testing.assert_allclose(ceiling, 0.25 / (0.25 + np.mean(1 / counts["test"])))

    def shown_once(split):
        trials, once = split.responses.trials(), np.unique(split.responses.image_index, return_index=True)[1]
        responses = type(split.responses).single(data.space, split.responses.ids, trials[once])
        return replace(split, responses=responses)

    # Training repeats tell the noise of test images that were shown once.
    single = replace(data, test=shown_once(data.test))
    assert ceiling_of(single)[1].within == (repeated["train"] - 1).sum()
    assert ceiling_of(replace(single, train=shown_once(data.train))) == (None, None)


def test_voxel_scores_of_a_region_are_means_over_its_valid_voxels(data, predicted, tmp_path):
    scores, regions = scored("voxel-r", data, predicted, Store(tmp_path))
    values = next(s.values for s in scores if s.row == "predicted")
    assert np.flatnonzero(np.isnan(values)).tolist() == [V - 1]
    for kind, table in (("roi", data.space.rois), ("group", data.space.groups)):
        for name, members in table.items():
            score = regions["predicted", kind, name, ""]
            assert score.value == pytest.approx(np.nanmean(values[members]))
            assert score.n_voxels == np.isfinite(values[members]).sum()
    assert regions["predicted", "all", "all voxels", ""].value == pytest.approx(np.nanmean(values))
    assert regions["zero", "roi", "FFA", ""].value == 0


def test_pattern_and_set_scores_are_computed_from_a_regions_voxels_alone(data, predicted, tmp_path):
    members = data.space.rois["V1"] & data.space.valid
    mean = predicted.mean(axis=1, dtype=np.float64).astype(np.float32)[:, members]
    measured = data.test.responses.mean()[:, members]
    baseline = ResponseTarget.of(data).baseline[members[data.space.valid]]
    expected = {
        "rsa": encoding.rsa(mean, measured),
        "pattern-r": encoding.pattern_r(mean, measured, baseline=baseline).mean(),
        "pattern-2way": encoding.pattern_two_way(mean, measured, baseline).mean(),
    }
    for name, value in expected.items():
        scores, regions = scored(name, data, predicted, Store(tmp_path))
        score = regions["predicted", "roi", "V1", ""]
        assert score.value == pytest.approx(value), name
        assert score.n_voxels == 9
        whole = next(np.mean(s.values) for s in scores if s.row == "predicted")
        assert regions["predicted", "all", "all voxels", ""].value == pytest.approx(whole)
        assert not any(row in ("zero", "train-mean") for row, *_ in regions)


def test_categories_are_kept_by_region_and_of_the_measured_responses(data, predicted, tmp_path):
    scores, regions = scored("category-profile", data, predicted, Store(tmp_path))
    assert scores == []  # areas only
    assert not any(kind == "all" for _, kind, *_ in regions)
    members = data.space.rois["PPA"]
    measured, labels = data.test.responses.mean()[:, members], data.test.stimuli.labels["category"]
    expected = category_profile(measured, measured, labels)
    for part, value in expected.items():
        assert regions["measured", "roi", "PPA", part].value == pytest.approx(value)
    assert max(CATEGORIES, key=expected.get) == "house"
    scores, regions = scored("category-contrast", data, predicted, Store(tmp_path))
    mean = predicted.mean(axis=1, dtype=np.float64).astype(np.float32)
    expected = contrast_agreement(mean[:, members], measured, labels)
    assert regions["predicted", "roi", "PPA", "house"].value == pytest.approx(expected["house"])
    assert {s.row for s in scores} == {"zero", "train-mean", "predicted"}


def test_samples_are_scored_where_there_are_some(data, predicted, tmp_path):
    scores, _ = scored("energy-distance", data, predicted, Store(tmp_path))
    assert [s.row for s in scores] == ["predicted"]
    several = data.test.responses.counts() > 1
    assert np.array_equal(np.isfinite(scores[0].values), several)
    metric = metric_ref("energy-distance").load()
    assert "--samples 2" in scorer(data, predicted[:, :1]).problem(metric)
    assert scorer(data, predicted).problem(metric) == ""


def test_missing_labels_are_named(data, predicted):
    bare = Stimuli(data.test.stimuli.ids, data.test.stimuli.images)
    of_bare = scorer(replace(data, test=replace(data.test, stimuli=bare)), predicted)
    assert "no label 'category'" in of_bare.problem(metric_ref("category-contrast").load())
    assert of_bare.problem(metric_ref("voxel-r").load()) == ""


def test_other_trials_or_labels_are_other_artifacts(data, predicted, tmp_path):
    """The mean over repeats may be equal where trials or labels are not."""
    store = Store(tmp_path)
    before, _ = scored("synbrain-mse", data, predicted, store)
    trials = data.test.responses.trials()
    spread = trials + (trials - data.test.responses.mean()[data.test.responses.image_index])
    responses = type(data.test.responses)(
        data.space, data.test.responses.ids, spread, data.test.responses.image_index
    )
    after, _ = scored(
        "synbrain-mse", replace(data, test=replace(data.test, responses=responses)), predicted, store
    )
    assert after[-1].values.mean() > before[-1].values.mean() * 1.2
    moved = {"category": np.sort(data.test.stimuli.labels["category"])}
    stimuli = Stimuli(data.test.stimuli.ids, data.test.stimuli.images, labels=moved)
    other = replace(data, test=replace(data.test, stimuli=stimuli))
    values = [scored("category-contrast", d, predicted, store)[0][-1].values[0] for d in (data, other)]
    assert values[0] != values[1]


def test_a_region_without_a_valid_voxel_is_left_out(data):
    none = {"nowhere": np.zeros(V, bool), "masked": ~data.space.valid}
    space = replace(data.space, rois={**data.space.rois, **none})
    assert list(regions_of(space)) == list(regions_of(data.space))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A real run with samples, in a folder of its own."""

    folder = tmp_path_factory.mktemp("regional")
    call_harness(
        folder,
        *("run", "--benchmark", f"{HELPERS / 'regional.py'}:Regional"),
        *("--encoder", f"{TOYS}:ToyEncoder", "--decoder", f"{TOYS}:ToyDecoder", "--samples", "3"),
        *("--metrics", METRICS),
    )
    return next((folder / "runs").iterdir())


def test_a_run_holds_and_shows_regions_and_contrasts(run):
    result = RunResult.open(run)
    table = result.region_scores
    assert tuple(table.columns) == REGION_COLUMNS
    source = result.info["noise_ceiling_source"]
    counted = r"\d+ trials of \d+ {} images"
    assert re.fullmatch(f"{counted.format('training')} and {counted.format('test')}", source["trials"])
    assert source["within"] > 24
    assert source["between"] > 24
    assert result.info["noise_floor_mse"] > 0
    assert set(table["region"]) == {"all voxels", "FFA", "PPA", "V1", "higher", "early"}
    contrasts = contrast_table(result).set_index(["region", "row"])
    assert set(contrasts.index) == {("FFA", "predicted"), ("PPA", "predicted")}  # V1 prefers nothing
    assert contrasts.loc[("FFA", "predicted"), "category"] == "face"
    assert contrasts.loc[("PPA", "predicted"), "category"] == "house"
    assert (contrasts["measured_d"] > SELECTIVE).all()
    assert (contrasts["d"] > 0.5).all()
    assert (contrasts["map_r"] > 0.2).all()
    assert set(region_table(result)["row"]) == {"predicted"}
    html = (run / "report.html").read_text()
    assert "Functional check" in html
    assert source["trials"] in html
    assert "FFA: prefers face, 10 voxels" in html
    assert html.index("FFA: prefers") < html.index("PPA: prefers")
    grid = all_scores_grid(result, region_table(result))
    assert [label for label, _, _ in grid.bodies[0].lines] == [
        "all voxels",
        *result.info["space"]["groups"],
        *result.info["space"]["rois"],
    ]
    assert list(result.info["space"]["groups"]) == ["higher", "early"]  # not by name, so that the order shows
    assert "Every encoding score by region" in html


def test_a_run_from_before_regions_still_opens(run, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(run, old, ignore=shutil.ignore_patterns("region_scores.parquet", "report.html"))
    result = RunResult.open(old)
    assert result.region_scores.empty
    assert contrast_table(result).empty
    from harness.reports.html import render_html

    assert "Functional check" not in render_html(result)


def test_what_cannot_be_scored_is_left_out_with_its_reason(harness, tmp_path):
    done = harness(
        *("run", "--benchmark", f"{TOYS}:ToyBenchmark", "--encoder", f"{TOYS}:ToyEncoder"),
        *("--decoder", f"{TOYS}:ToyDecoder", "--metrics", "voxel-r,category-contrast,energy-distance"),
        "--no-report",
    )
    info = json.loads(next((tmp_path / "runs").glob("*/run.json")).read_text())
    why = {line["metric"]: line["why"] for line in info["left_out_metrics"]}
    assert "no label 'category'" in why["category-contrast"]
    assert "--samples 2" in why["energy-distance"]
    assert "not scored: category-contrast" in done.stderr
    frame = pd.read_parquet(next((tmp_path / "runs").glob("*/region_scores.parquet")))
    assert set(frame["metric"]) == {"voxel-r@1"}


def test_two_voxels_are_no_pattern(data, predicted, tmp_path):
    few = replace(data, space=replace(data.space, rois={"two": np.arange(V) < 2}, groups={}))
    assert {region for *_, region, _ in scored("rsa", few, predicted, Store(tmp_path))[1]} == {"all voxels"}
    assert ("predicted", "roi", "two", "") in scored("voxel-r", few, predicted, Store(tmp_path))[1]

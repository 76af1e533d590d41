"""Rows of lesions: kept voxels are untouched, dropped ones the training mean, shuffled ones another's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commands import HELPERS, TOYS
from regional import Regional

from harness.data import Split, Stimuli
from harness.errors import ConfigError
from harness.results import RunResult
from harness.rows.lesions import Lesions, lesion_streams, lesioned_areas
from harness.rows.table import (
    LESIONS,
    in_order,
    is_lesion,
    lesion_row,
    response_streams,
    row_named,
    training_mean,
)
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import write_run
from harness.settings import Request
from harness.storage.store import Store


@pytest.fixture
def data():
    return Regional(Regional.Params(n_test=12)).load("one")


def streams(data, *asked, repeats="inputs"):
    lesioned = lesion_streams(data, Lesions.of(data, asked), seed=0, samples=1, repeats=repeats)
    return {stream.row: stream for stream in lesioned}


@pytest.mark.parametrize("repeats", ["inputs", "outputs"])
def test_what_is_kept_dropped_and_shuffled(data, repeats):
    of_rows = response_streams(data, seed=0, samples=1, repeats=repeats, trial_rows=False)
    intact = next(stream for stream in of_rows if stream.row == "measured")
    lesions = streams(data, "FFA", repeats=repeats)
    assert list(lesions) == [f"measured-{kind}-FFA" for kind in LESIONS]
    area, trials = data.space.rois["FFA"], intact.responses.trials()
    keep, drop, shuffle = (stream.responses for stream in lesions.values())
    mean = np.broadcast_to(training_mean(data), trials.shape)
    np.testing.assert_array_equal(keep.trials()[:, area], trials[:, area])
    np.testing.assert_array_equal(keep.trials()[:, ~area], mean[:, ~area])
    np.testing.assert_array_equal(drop.trials()[:, area], mean[:, area])
    np.testing.assert_array_equal(drop.trials()[:, ~area], trials[:, ~area])
    np.testing.assert_array_equal(shuffle.trials()[:, ~area], trials[:, ~area])
    for other in (keep, drop, shuffle):
        np.testing.assert_array_equal(other.image_index, intact.responses.image_index)
    # Whole patterns of one other image, of which each image is one's donor.
    index = intact.responses.image_index
    giver = [
        int(index[np.flatnonzero((trials[:, area] == pattern).all(axis=1))[0]])
        for pattern in shuffle.trials()[:, area]
    ]
    of_image = [{giver[t] for t in np.flatnonzero(index == image)} for image in range(len(data.test))]
    assert all(len(donors) == 1 for donors in of_image)
    assert sorted(donor for donors in of_image for donor in donors) == list(range(len(data.test)))
    assert all(image not in donors for image, donors in enumerate(of_image))
    np.testing.assert_array_equal(lesions["measured-keep-FFA"].seeds, intact.seeds)


def test_no_area_comes_from_an_image_of_equal_content(data):
    stimuli = data.test.stimuli
    images = stimuli.images()
    images[1:4] = images[0]
    twins = replace(data, test=Split(Stimuli.from_array(stimuli.ids, images), data.test.responses))
    donors, copies = Lesions.of(twins, ["FFA"]).donors, twins.test.stimuli.copies()
    assert (copies[donors] != copies).all()
    images[:7] = images[0]
    same = replace(data, test=Split(Stimuli.from_array(stimuli.ids, images), data.test.responses))
    with pytest.raises(ConfigError, match="of 12 test images 7 are the same picture"):
        Lesions.of(same, ["FFA"])


def test_names_of_areas(data):
    space = data.space
    assert list(lesioned_areas(space, ["groups"])) == ["higher", "early"]
    assert list(lesioned_areas(space, ["rois", "early", "FFA"])) == ["FFA", "PPA", "V1", "early"]
    with pytest.raises(ConfigError, match="did you mean 'FFA'"):
        lesioned_areas(space, ["FFa"])
    whole = replace(space, groups={"cortex": np.ones(30, bool), "lost": ~space.valid})
    for name, which in (("cortex", "all"), ("lost", "none")):
        with pytest.raises(ConfigError, match=f"'{name}' is {which} of the voxels"):
            lesioned_areas(whole, [name])
    with pytest.raises(ConfigError, match="no groups that are a part of its voxels; name areas of it: FFA"):
        lesioned_areas(whole, ["groups"])
    assert Lesions.of(data, ()) is None


def test_their_rows_say_what_they_are():
    name = lesion_row("predicted", "shuffle", "V1-drop-<b>")
    row = row_named(name)
    assert (row.intact, row.lesion, row.area, row.group) == ("predicted", "shuffle", "V1-drop-<b>", "lesion")
    assert row.label == "predicted, V1-drop-<b> shuffled"
    # Agreement with measured reconstructions is scored where no trials are shared.
    assert row.reference == "measured"
    assert row_named("measured-drop-V1").reference == ""
    assert not any(map(is_lesion, ("measured", "measured-rank-4", "shuffled-measured", "measured-trial")))
    order = ["flat-grey", "measured-rank-2", "measured-keep-b", "measured-drop-a", "predicted-keep-a"]
    assert [row.name for row in in_order([*reversed(order[3:]), *order])] == [
        *("flat-grey", "measured-rank-2", "measured-drop-a", "measured-keep-b", "predicted-keep-a"),
    ]


def test_a_run_with_lesions(tmp_path):
    """Categories colour the images; FFA and PPA tell them, V1 does not."""
    request = Request(
        benchmark=f"{HELPERS / 'regional.py'}:Regional",
        encoder=f"{TOYS}:ToyEncoder",
        decoder=f"{TOYS}:ToyDecoder",
        values={"run": {"metrics": ["pixcorr", "pixel-2way", "decoded-agreement"], "lesions": ["groups"]}},
    )
    bad = make_plan(replace(request, values={"run": {"metrics": ["pixcorr"], "lesions": ["group"]}}))
    with pytest.raises(ConfigError, match="did you mean 'groups'"):
        run_plan(bad, Store(tmp_path / "other"))
    store = Store(tmp_path / "store")
    plan = make_plan(request)
    write_run(run_plan(plan, store), tmp_path / "run", command=["harness"], store=store)
    run = RunResult.open(tmp_path / "run")
    named = {row.name: row for row in run.record.rows if row.group == "lesion"}
    assert {(row.intact, row.lesion, row.area) for row in named.values()} == {
        (intact, kind, area)
        for intact in ("measured", "predicted")
        for kind in LESIONS
        for area in ("early", "higher")
    }
    of_stimulus = run.scores[run.scores.target == "stimulus"]
    means = of_stimulus.groupby(["metric", "row"], observed=True)["value"].mean()["pixcorr@1"]
    for intact in ("measured", "predicted"):
        without = {area: means[f"{intact}-drop-{area}"] for area in ("early", "higher")}
        assert without["higher"] < without["early"] - 0.1
        assert means[f"{intact}-keep-higher"] > means[f"{intact}-keep-early"] + 0.1
    agreement = run.scores[run.scores.metric == "decoded-agreement@1"]
    lesioned = {row for row in agreement.row.unique() if is_lesion(row)}
    assert lesioned == {row for row in named if row.startswith("predicted")}
    store_again = Store(tmp_path / "store")
    run_plan(plan, store_again)
    assert sum(store_again.computed.values()) == 0


def test_lesions_need_a_decoder_that_runs_here(tmp_path):
    np.savez(tmp_path / "given.npz", reconstructions=np.zeros((1, 8, 8, 3), np.uint8), ids=["test-000"])
    with pytest.raises(ConfigError, match="--lesions is for a decoder that runs here"):
        make_plan(
            Request(
                benchmark=f"{TOYS}:ToyBenchmark",
                decoder=f"file:{tmp_path / 'given.npz'}",
                values={"run": {"lesions": ["groups"]}},
            )
        )

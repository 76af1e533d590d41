"""Plugins of a benchmark whose ids say too much get other names; no number knows of it."""

from __future__ import annotations

import numpy as np
import pytest
from commands import TOYS
from toys import ToyBenchmark

from harness.benchmarks.embedded import Embedded
from harness.rows.opaque import TRUE_IDS, OpaqueNames
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.storage.store import Store

CHEATS = TOYS.with_name("cheats.py")


@pytest.fixture
def stimuli():
    return ToyBenchmark(ToyBenchmark.Params()).load("toy01").test.stimuli


def test_names_are_unique_the_same_each_time_and_say_nothing(stimuli):
    names = OpaqueNames.of(Embedded, stimuli)
    hidden = names(stimuli.ids)
    assert len(set(hidden)) == len(stimuli)
    assert hidden == OpaqueNames.of(Embedded, stimuli)(stimuli.ids)
    assert not any(name in other for name in stimuli.ids for other in hidden)
    # Who knows the scheme still needs the images to get from one to the other.
    assert set(hidden).isdisjoint(OpaqueNames.of(Embedded, stimuli.select(stimuli.ids[:4]))(stimuli.ids))
    assert OpaqueNames.of(ToyBenchmark, stimuli) == TRUE_IDS
    assert TRUE_IDS(stimuli.ids) == stimuli.ids
    np.testing.assert_array_equal(names.stimuli(stimuli).images(), stimuli.images())
    assert names.stimuli(stimuli).image_hashes() == stimuli.image_hashes()


def test_scores_are_those_under_the_true_ids(tmp_path):
    """Noise of encoder and decoder is seeded by the true ids; files of predictions match them."""
    data = ToyBenchmark(ToyBenchmark.Params()).load("toy01")
    np.savez(tmp_path / "p.npz", predictions=data.remeasured.mean(), ids=np.array(data.test.stimuli.ids))
    for encoder in (f"{TOYS}:ToyEncoder", f"file:{tmp_path / 'p.npz'}"):
        tables = []
        for benchmark in (f"{TOYS}:ToyBenchmark", f"{CHEATS}:OpaqueBenchmark"):
            request = Request(
                benchmark=benchmark,
                encoder=encoder,
                decoder=f"{TOYS}:ToyDecoder",
                values={"run": {"metrics": ["pixcorr", "voxel-r"], "derangements": 2}},
            )
            outcome = run_plan(make_plan(request), Store(tmp_path / "store"))
            tables.append([score.values for score in (*outcome.scored.images, *outcome.scored.responses)])
            assert {score.images.images.ids for score in outcome.scored.images} == {data.test.stimuli.ids}
        for true, hidden in zip(*tables, strict=True):
            np.testing.assert_array_equal(true, hidden)

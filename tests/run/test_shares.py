"""Training data in part: for a transfer, and for a decoder that learns of an encoder's responses too."""

from __future__ import annotations

import numpy as np
import pytest
from commands import TOYS
from submissions import submitted
from toy_runs import toy_run
from toys import ToyBenchmark

from harness.errors import ConfigError
from harness.run.shares import decoder_share, few
from harness.storage.store import Store


@pytest.fixture(scope="module")
def data():
    return ToyBenchmark(ToyBenchmark.Params()).load("toy01")


def test_a_part_is_the_same_for_all_and_lies_in_a_larger_one(data):
    assert few(data, None) is data
    part, larger = few(data, 10), few(data, 20)
    assert len(part.train) == 10
    assert set(part.train.stimuli.ids) < set(larger.train.stimuli.ids)
    assert part.train.responses.ids == part.train.stimuli.ids
    assert part.test is data.test
    with pytest.raises(ConfigError, match=r"run\.adapt_images asks for 61 of 60"):
        few(data, 61)


def test_other_images_come_with_predicted_responses_and_no_measured_ones(data):
    predicted = np.arange(60 * 40, dtype=np.float32).reshape(60, 40)
    share = decoder_share(data, 10, 20, predicted).train
    counts = share.responses.counts()
    assert sorted(counts) == [1] * 20 + [3] * 10
    assert share.stimuli.ids == share.responses.ids
    place = {name: k for k, name in enumerate(data.train.stimuli.ids)}
    measured = dict(zip(data.train.responses.ids, data.train.responses.mean()))
    for name, count, pattern in zip(share.responses.ids, counts, share.responses.mean()):
        expected = predicted[place[name]] if count == 1 else measured[name]
        np.testing.assert_allclose(pattern, expected, rtol=1e-6)
    assert decoder_share(data, None, 0, None) is data
    assert len(decoder_share(data, 12, 0, None).train) == 12
    with pytest.raises(ConfigError, match="only 50 training images are left"):
        decoder_share(data, 10, 51, predicted)
    with pytest.raises(ConfigError, match="give an encoder"):
        decoder_share(data, 10, 5, None)


def test_a_run_fits_its_decoder_on_them(tmp_path):
    few_only = {"decoder_images": 12, "derangements": 2, "metrics": ["pixcorr"]}
    runs = [
        toy_run(tmp_path / name, tmp_path / "store", {"run": {**few_only, **more}})
        for name, more in (("few", {}), ("more", {"synthetic_images": 40}), ("all", {"decoder_images": None}))
    ]
    means = [run.scores.query("row == 'measured'")["value"].mean() for run in runs]
    # The encoder of the toys is linear and nearly right, so what it says of other images helps.
    assert means[0] < means[1]
    assert len({run.record.identity for run in runs}) == 3
    # What is submitted of such a run is what it decoded.
    submission = submitted(runs[1], tmp_path / "submission", Store(tmp_path / "store"), own_code=True)
    assert (submission / "reconstructions.npz").is_file()
    assert TOYS.is_file()

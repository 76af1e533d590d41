"""Noise ceilings rest on every repeat there is, and say on how many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from toys import ToyBenchmark

from harness.benchmarks.paired import Paired
from harness.data import CeilingSource, Responses, Split
from harness.nn.variance_components import variance_components
from harness.scoring.response_target import ceiling_of
from harness.settings import resolve_params
from harness.stages.data import read_subject
from harness.stages.generating import write_subject
from harness.storage.store import Store

V = 400
NCSNR = np.linspace(0.2, 1.5, V)


def trials(counts, *, seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Trials (T, V) of images shown `counts` times, in random order, and their image index."""
    rng = np.random.default_rng(seed)
    index = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    signal = NCSNR * rng.normal(size=(len(counts), V)) + shift
    return signal[index] + rng.normal(size=(len(index), V)), index


def test_balanced_repeats_give_the_textbook_analysis_of_variance():
    data, index = trials([4] * 12, seed=0)
    components = variance_components([(data, index)])
    groups = [data[index == k] for k in range(12)]
    f = stats.f_oneway(*groups).statistic
    np.testing.assert_allclose(
        components.signal / components.noise, np.maximum(f - 1, 0) / 4, rtol=1e-9, atol=1e-12
    )
    assert (components.within, components.between) == (36, 11)
    # The share of the mean's variance that is signal is 1 - 1 / F.
    np.testing.assert_allclose(components.noise_ceiling(np.full(12, 4)), np.maximum(1 - 1 / f, 0), atol=1e-12)


def test_unequal_repeats_over_two_splits_are_unbiased():
    runs = [
        variance_components(
            [trials([1] * 30 + [2] * 6, seed=2 * k, shift=5), trials([3] * 8 + [12] * 4, seed=2 * k + 1)]
        )
        for k in range(60)
    ]
    noise = np.mean([run.noise for run in runs], axis=0)
    unclipped = np.mean([run.signal for run in runs], axis=0)[NCSNR > 1]
    assert noise.mean() == pytest.approx(1, abs=0.01)
    assert (unclipped / NCSNR[NCSNR > 1] ** 2).mean() == pytest.approx(1, abs=0.02)


def test_two_repeated_training_images_do_not_stand_for_all_test_repeats():
    train, test = trials([1] * 60 + [2] * 2, seed=0), trials([12] * 20, seed=1)
    both, alone = variance_components([train, test]), variance_components([test])
    np.testing.assert_allclose(both.noise, alone.noise, rtol=0.1)
    np.testing.assert_allclose(both.ncsnr(least_noise=1e-6), alone.ncsnr(least_noise=1e-6), atol=0.15)
    assert both.source(("training", "test")) == (
        "4 trials of 2 training images and 240 trials of 20 test images"
    )
    assert (both.within, both.between) == (222, 20)


def test_without_repeats_nothing_is_known():
    once, pair = trials([1] * 9, seed=0), trials([1] * 9 + [2], seed=0)
    assert variance_components([once, once]) is None
    assert variance_components([once, pair]) is None  # a single image has no spread between images
    flat = variance_components([(np.ones((8, 2)), np.repeat(np.arange(4), 2))])
    assert flat.ncsnr(least_noise=1e-6).tolist() == [0, 0]
    assert np.isnan(flat.noise_ceiling(np.full(4, 2))).all()


def test_paired_data_with_a_few_training_repeats(tmp_path, caplog):
    """The case: a one-back task repeats 2 of 62 training images, the test images were shown 12 times."""
    (y_train, shown), (y_test, tested) = trials([1] * 60 + [2] * 2, seed=3), trials([12] * 20, seed=4)
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (82, 4, 4, 3), np.uint8)
    arrays = {"a": images[:62], "ya": y_train, "wa": shown, "b": images[62:], "yb": y_test, "wb": tested}
    np.savez(tmp_path / "d.npz", **arrays)
    split = {
        name: {"images": key, "responses": f"y{key}", "image_index": f"w{key}"}
        for name, key in (("train", "a"), ("test", "b"))
    }
    given = {
        "base_dir": str(tmp_path),
        "file": "d.npz",
        "units": "raw",
        "index_base": 0,
        "image_layout": "nhwc",
    }
    with caplog.at_level("INFO"):
        data = Paired(resolve_params(Paired.Params, {**given, **split}, section="benchmark")).load("subj01")
    assert np.corrcoef(data.space.ncsnr, NCSNR)[0, 1] > 0.8
    assert "4 trials of 2 training images and 240 trials of 20 test images (222 degrees" in caplog.text
    assert str(ceiling_of(data)[1]) in caplog.text


def test_a_benchmark_without_ncsnr_pools_its_trials_too():
    data = ToyBenchmark(ToyBenchmark.Params()).load("toy01")
    bare = replace(data.space, ncsnr=None)

    def moved(split: Split) -> Split:
        r = split.responses
        return Split(split.stimuli, Responses(bare, r.ids, r.data, r.image_index))

    ceiling, source = ceiling_of(replace(data, space=bare, train=moved(data.train), test=moved(data.test)))
    assert (source.within, source.between) == (60 * 2 + 8 * 2, 59 + 7)
    assert ((ceiling > 0.5) & (ceiling <= 1)).all()
    assert ceiling_of(data)[1].within == 0


def test_where_ceilings_are_from_survives_the_store(tmp_path):
    data = ToyBenchmark(ToyBenchmark.Params()).load("toy01")
    source = CeilingSource("seven trials", 5, 3)
    space = replace(data.space, ncsnr_source=source)
    r = data.train.responses
    train = Split(data.train.stimuli, Responses(space, r.ids, r.data, r.image_index))
    store = Store(tmp_path)
    written = replace(data, space=space, train=train)
    artifact = store.get("data", {"toy": 1}, lambda folder: write_subject(written, folder))
    assert read_subject(artifact).space.ncsnr_source == source
    assert str(source) == "seven trials (5 degrees of freedom within images, 3 between them)"

"""Each flag that needs no whole run: data that raise it, and a clean twin that does not."""

from __future__ import annotations

import io
import logging
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from toys import ToyBenchmark

from harness import plugins
from harness.benchmarks.scenes import draw
from harness.data import CeilingSource, Responses, Split, Stimuli
from harness.notices import Flag, hearing_warnings
from harness.run.flags import Evidence, run_flags
from harness.run.flags.small_copies import small_copies
from harness.stages.checks import check_responses
from harness.stages.data import load_subject
from harness.stages.model import Configured
from harness.storage.executors import Inline
from harness.storage.store import Store


@pytest.fixture(scope="module")
def data():
    """Forty test images of a toy cortex, three trials each, with what a good encoder predicts for them."""
    return ToyBenchmark(ToyBenchmark.Params(n_test=40)).load("toy01")


@pytest.fixture(scope="module")
def predicted(data):
    noise = np.random.default_rng(7).normal(size=(40, data.space.n_voxels))
    return data.truth.mean() + 0.3 * noise


def names(**evidence) -> list[str]:
    return [flag.name for flag in run_flags(Evidence(**evidence))]


def with_test(data, **changes):
    """`data` with other test responses or stimuli; what belongs to the old ones goes."""
    return replace(data, test=replace(data.test, **changes), truth=None, remeasured=None)


def with_train_images(data, images):
    return replace(
        data, train=Split(Stimuli.from_array(data.train.stimuli.ids, images), data.train.responses)
    )


def copies_of(data) -> dict[str, np.ndarray]:
    sets = {"training": data.train.stimuli, "stimulus": data.test.stimuli}
    return {name: small_copies(stimuli.images()) for name, stimuli in sets.items()}


def as_jpeg(images: np.ndarray, quality: int) -> np.ndarray:
    saved = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        saved.append(np.asarray(Image.open(buffer)))
    return np.stack(saved)


def test_clean_data_raise_nothing(data, predicted):
    assert names(data=data, predicted=predicted, copies=copies_of(data), voxel_r=(0.6, 0.5, 0.7)) == []


def test_a_list_of_ids_that_slipped_for_a_while(data, predicted):
    responses = data.test.responses
    first_trials = np.arange(0, 120, 3)  # the first showing of each image, one run of the scanner
    order = np.concatenate([first_trials, np.delete(np.arange(120), first_trials)])
    index = responses.image_index[order].copy()
    index[12:26] = np.roll(index, -1)[12:26]
    moved = Responses(data.space, responses.ids, responses.trials()[order], index)
    flags = run_flags(Evidence(with_test(data, responses=moved), predicted=predicted))
    assert [flag.name for flag in flags] == ["block-near-chance"]
    first, last = map(int, re.search(r"numbers (\d+) to (\d+) from 0", flags[0].message).groups())
    assert abs(first - 12) <= 2
    assert abs(last - 25) <= 2
    # The same trials in another order of the file are found by their number.
    chosen = moved.select(tuple(reversed(moved.ids)))
    turned = Split(data.test.stimuli.select(chosen.ids), chosen)
    again = run_flags(Evidence(replace(with_test(data), test=turned), predicted=predicted[::-1]))
    assert [flag.message.split(" from 0")[0] for flag in again] == [flags[0].message.split(" from 0")[0]]


def test_reconstructions_that_are_shifted_for_a_while(data):
    copies = copies_of(data)
    given = copies["stimulus"] + np.random.default_rng(0).normal(0, 0.05, copies["stimulus"].shape)
    assert names(data=data, copies=copies | {"reconstructions": given}) == []
    shifted = given.copy()
    shifted[10:25] = np.roll(given, 1, axis=0)[10:25]
    assert names(data=data, copies=copies | {"reconstructions": shifted}) == ["block-near-chance"]
    everywhere = np.roll(given, 1, axis=0)
    assert names(data=data, copies=copies | {"reconstructions": everywhere}) == ["misaligned-ids"]


def test_alarms_look_at_predictions_too_whatever_is_scored(data, predicted):
    copies = copies_of(data)
    good = {"measured": copies["stimulus"] + 0.01, "predicted": copies["stimulus"] * 0.9}
    assert names(data=data, predicted=predicted, copies=copies | good) == []
    permuted = good | {"predicted": np.roll(good["predicted"], 1, axis=0)}
    (flag,) = run_flags(Evidence(data, predicted=predicted, copies=copies | permuted))
    assert (flag.name, flag.level) == ("misaligned-ids", "alarm")
    assert "reconstructions from predicted responses" in flag.message
    (flag,) = run_flags(Evidence(data, predicted=np.roll(predicted, 1, axis=0)))
    assert "predicted responses identify the measured ones at chance" in flag.message


@pytest.mark.parametrize("scale", [300.0, 15.0, 1 / 30, 1 / 300])
def test_predictions_in_other_units(data, predicted, scale):
    (flag,) = run_flags(Evidence(data, predicted=predicted * scale))
    assert flag.name == "predictions-in-other-units"
    assert flag.message.startswith("predicted responses spread")
    # The hint: by that factor they are in the same units.
    word, factor = flag.message.split("? ")[1].split(" them by about ")
    mended = predicted * scale * (float(factor) if word == "Multiply" else 1 / float(factor))
    assert names(data=data, predicted=mended) == []


def test_a_weak_prediction_is_not_in_other_units(data, predicted):
    """Regression shrinks what it cannot predict: a spread of a twentieth with a correlation as small."""
    noise = np.random.default_rng(3).normal(size=predicted.shape)
    weak = 0.015 * predicted + 0.04 * noise
    assert weak.std() < 0.06
    assert "predictions-in-other-units" not in names(data=data, predicted=weak)
    assert "predictions-in-other-units" not in names(data=data, predicted=0 * predicted)


def test_near_duplicates_in_training(data):
    test = draw("test", range(40))
    images = draw("train", range(60))
    clean = replace(with_train_images(data, images), truth=None, remeasured=None)
    clean = replace(clean, test=Split(Stimuli.from_array(data.test.stimuli.ids, test), data.test.responses))
    assert names(data=clean, copies=copies_of(clean)) == []
    for copies in (as_jpeg(test, 60), (test * 0.8 + 20).astype(np.uint8)):
        images[[3, 17]] = copies[[11, 29]]
        spoiled = with_train_images(clean, images)
        (flag,) = run_flags(Evidence(spoiled, copies=copies_of(spoiled)))
        assert (flag.name, flag.level) == ("near-duplicates-in-training", "alarm")
        assert "2 of 40 test images" in flag.message
        assert "test-011 of train-003" in flag.message
    images[3] = test[11]
    spoiled = with_train_images(clean, images)
    flags = run_flags(Evidence(spoiled, copies=copies_of(spoiled)))
    assert [flag.name for flag in flags] == ["test-images-in-training", "near-duplicates-in-training"]
    assert "1 of 40 test images are near duplicates" in flags[1].message


def test_doubled_test_images(data):
    images = data.test.stimuli.images().copy()
    images[7] = images[2]
    doubled = with_test(data, stimuli=Stimuli.from_array(data.test.stimuli.ids, images))
    (flag,) = run_flags(Evidence(doubled))
    assert flag.name == "doubled-test-images"
    assert "40 test images are 39 different pictures (for example test-002 = test-007)" in flag.message


def test_ceilings_that_rest_on_little(data):
    def source(within, between):
        space = replace(data.space, ncsnr_source=CeilingSource("few trials", within, between))
        return replace(data, space=space)

    (flag,) = run_flags(Evidence(source(2, 1)))
    assert flag.name == "weak-noise-ceiling"
    assert "few trials (2 degrees of freedom within images, 1 between them)" in flag.message
    assert names(data=source(120, 30)) == []


def test_voxel_r_above_its_ceiling(data, predicted):
    limit = float(np.sqrt(data.space.noise_ceiling(data.test.responses.counts())).mean())
    above = (limit + 0.1, limit + 0.01, limit + 0.2)
    (flag,) = run_flags(Evidence(data, predicted=predicted, voxel_r=above))
    assert (flag.name, flag.level) == ("above-ceiling", "alarm")
    assert names(data=data, predicted=predicted, voxel_r=(limit + 0.1, limit - 0.01, limit + 0.2)) == []
    # A ceiling that is known to a few degrees of freedom only may be higher.
    unsure = replace(data, space=replace(data.space, ncsnr_source=CeilingSource("trials", 30, 12)))
    assert names(data=unsure, predicted=predicted, voxel_r=above) == []


def test_zeros_and_warnings_are_flags(data, tmp_path, caplog):
    trials = data.train.responses.trials().copy()
    with hearing_warnings("data-warning") as flags:
        check_responses(data.train.responses, what="responses")
    assert flags == []
    trials[[4, 5]] = 0
    spoiled = Responses(data.space, data.train.stimuli.ids, trials, data.train.responses.image_index)
    with hearing_warnings("data-warning") as flags:
        check_responses(spoiled, what="responses")
        logging.getLogger("harness.anything").warning("%d things", 3)
        logging.getLogger("harness.anything").info("not this")
        logging.getLogger("lab.unheard").warning("nor this")
    assert [flag.name for flag in flags] == ["zero-trials", "data-warning"]
    assert "2 of 180 trials are 0 in every voxel (first, from 0: 4, 5)" in flags[0].message
    assert flags[1] == Flag("data-warning", "warning", "3 things")
    with hearing_warnings("data-warning", plugin="lab.benchmarks:Toy") as flags:
        logging.getLogger("lab.benchmarks").warning("of a plugin")
    assert flags == [Flag("data-warning", "warning", "of a plugin")]


def test_warnings_of_a_generated_benchmark_outlive_its_cache(tmp_path):
    path = str(tmp_path / "warns.py")
    (tmp_path / "warns.py").write_text(
        "import logging\nfrom toys import ToyBenchmark\n\n\n"
        "class Warns(ToyBenchmark):\n"
        "    def load(self, subject):\n"
        "        logging.getLogger(__name__).warning('sessions 3 and 4 are missing')\n"
        "        return super().load(subject)\n"
    )
    ref = plugins.find("benchmarks", f"{path}:Warns")
    store = Store(tmp_path / "store")
    heard = [
        load_subject(Configured(ref, ToyBenchmark.Params()), "toy01", store=store, executor=Inline())[2]
        for _ in range(2)
    ]
    assert store.computed["data"] == 1
    assert heard[0] == heard[1] == [Flag("data-warning", "warning", "sessions 3 and 4 are missing")]

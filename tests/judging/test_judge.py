"""Data are judged rightly: sound data pass, and each way in which they go wrong is named."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import nibabel
import numpy as np
import pytest
import yaml
from commands import ROOT, SHARED
from PIL import Image

from harness.benchmarks.embedded import Embedded, Params
from harness.benchmarks.lab import Lab
from harness.benchmarks.paired import Paired
from harness.data import Responses, Split, Stimuli, SubjectData
from harness.errors import DataError
from harness.judging.alignment import judge_alignment, known_orders
from harness.judging.judge import judge
from harness.judging.pictures import judge_pictures
from harness.judging.power import judge_power
from harness.judging.reliability import judge_ceilings
from harness.judging.sample import Sample
from harness.judging.sessions import judge_sessions
from harness.judging.verdict import Rate, Verdict
from harness.settings import resolve_params


@cache
def sound() -> SubjectData:
    return Embedded(Params(n_train=240, n_test=60)).load("subj01")


def with_trials(data: SubjectData, change, *, splits=("train", "test")) -> SubjectData:
    """`data` with `change` (values (T, V), responses) -> values of the same shape."""
    parts = {}
    for name in splits:
        split = getattr(data, name)
        old = split.responses
        values = change(old.trials(), old)
        new = Responses(data.space, old.ids, values, old.image_index, session=old.session)
        parts[name] = Split(split.stimuli, new)
    return replace(data, **parts)


def reordered(data: SubjectData, order) -> SubjectData:
    """The responses of image `order` (n,) under the id of each image, in each split."""
    parts = {}
    for name in ("train", "test"):
        split = getattr(data, name)
        place = np.argsort(order(len(split)))
        old = split.responses
        at = np.random.default_rng(2).permutation(old.n_trials)  # the order of trials tells nothing
        index, session = place[old.image_index][at], old.session[at]
        parts[name] = Split(
            split.stimuli, Responses(data.space, old.ids, old.trials()[at], index, session=session)
        )
    return replace(data, **parts)


def shuffled(n):
    return np.random.default_rng(0).permutation(n)


def alignment(data):
    return judge_alignment(data, Sample.of(data))


def test_sound_data_raise_no_alarm():
    verdicts = {judgement.name: judgement.verdict for judgement in judge(sound())}
    assert verdicts["alignment"] == verdicts["noise ceilings"] == Verdict.GOOD
    assert Verdict.ALARM not in verdicts.values()


def test_responses_under_other_ids_raise_the_alarm():
    judgement = alignment(reordered(sound(), shuffled))
    assert judgement.verdict == Verdict.ALARM
    assert "trials of one image agree, and a ridge cannot tell which image it was" in judgement.sentence


def test_rows_that_are_off_by_one_are_told_so():
    judgement = alignment(reordered(sound(), lambda n: np.roll(np.arange(n), 1)))
    assert judgement.verdict == Verdict.ALARM
    assert "both splits' one row too late" in judgement.sentence


def test_orders_are_tried_on_data_too_large_to_be_looked_at_whole(monkeypatch):
    """NSD has 9,000 training images of a subject; 4,000 are looked at."""
    monkeypatch.setattr("harness.judging.sample.MOST_IMAGES", 150)
    judgement = alignment(reordered(sound(), lambda n: np.roll(np.arange(n), 1)))
    assert judgement.verdict == Verdict.ALARM
    assert "both splits' one row too late" in judgement.sentence


def test_a_test_set_in_the_reverse_is_told_so():
    data = sound()
    test = reordered(data, lambda n: np.arange(n)[::-1]).test
    judgement = alignment(replace(data, test=test))
    assert judgement.verdict == Verdict.ALARM
    assert "the test set's reversed" in judgement.sentence


def test_known_orders_are_permutations_other_than_the_given_one():
    for order in known_orders(sound().test).values():
        assert sorted(order) == list(range(60))
        assert not np.array_equal(order, np.arange(60))


def test_noise_has_no_ceiling():
    rng = np.random.default_rng(1)
    data = with_trials(sound(), lambda values, _: rng.standard_normal(values.shape).astype(np.float32))
    judgement = judge_ceilings(data, np.arange(0, data.space.n_voxels, 10))
    assert judgement.verdict == Verdict.ALARM
    assert alignment(data).verdict == Verdict.ALARM


def test_a_region_without_signal_is_named():
    members = sound().space.rois["FFA"]
    rng = np.random.default_rng(1)

    def change(values, _):
        values[:, members] = rng.standard_normal((len(values), members.sum()))
        return values

    data = with_trials(sound(), change)
    judgement = judge_ceilings(data, np.flatnonzero(data.space.valid))
    assert judgement.verdict == Verdict.NOTE
    assert "FFA" in judgement.sentence


def test_without_repeats_nothing_is_said_of_ceilings():
    data = sound()
    single = {
        name: Split(part.stimuli, Responses.single(data.space, part.stimuli.ids, part.responses.mean()))
        for name, part in (("train", data.train), ("test", data.test))
    }
    assert judge_ceilings(replace(data, **single), np.arange(20)).verdict == Verdict.UNKNOWN


def test_recompressed_training_images_in_the_test_set_raise_the_alarm():
    data = sound()
    ids, images = data.test.stimuli.ids, data.test.stimuli.images().copy()
    copies = data.train.stimuli.images(data.train.stimuli.ids[:12]).astype(np.int16)
    images[:12] = np.clip(copies + np.random.default_rng(0).integers(-3, 4, copies.shape), 0, 255)
    test = Split(Stimuli.from_array(ids, images), data.test.responses)
    judgement = judge_pictures(replace(data, test=test), Sample.of(replace(data, test=test)))
    assert judgement.verdict == Verdict.ALARM
    assert "harness data split" in judgement.advice


def test_drift_between_sessions_is_found_and_which_trials_were_scaled():
    data = sound()
    voxels = np.arange(40)
    drifted = with_trials(data, lambda values, old: values + 3 * old.session[:, None].astype(np.float32))
    assert "drift" in judge_sessions(drifted, voxels).sentence
    train, test = data.train.responses, data.test.responses
    mean = np.concatenate([train.trials(), test.trials()]).mean(0)
    sd = np.concatenate([train.trials(), test.trials()]).std(0)
    scaled = with_trials(data, lambda values, _: ((values - mean) / sd).astype(np.float32))
    # the training trials alone are as good as scaled here, unless the test set is shifted
    assert (
        "all trials of all sessions"
        in dict(judge_sessions(scaled, voxels).figures)["means 0 and spreads 1 over"]
    )


def test_power_shrinks_with_the_root_of_the_test_set():
    small = Embedded(Params(n_train=240, n_test=30)).load("subj01")
    least = [
        float(dict(judge_power(Sample.of(data)).figures)[name])
        for data in (small, sound())
        for name in ("smallest difference found in 80 % of such test sets (two-sided, .05)",)
    ]
    assert 1.0 < least[0] / least[1] < 2.2


def test_a_handful_of_images_raises_no_alarm_about_ids():
    data = sound()
    few = replace(data, test=data.test.select(data.test.stimuli.ids[:4]), truth=None, remeasured=None)
    judgement = alignment(few)
    assert judgement.verdict in (Verdict.UNKNOWN, Verdict.GOOD)
    shuffled_few = replace(few, test=reordered(few, lambda n: np.roll(np.arange(n), 1)).test)
    assert alignment(shuffled_few).verdict == Verdict.UNKNOWN


def test_a_rate_knows_chance():
    assert Rate.of(np.full(50, 0.9) + np.linspace(-0.1, 0.1, 50)).above_chance
    assert not Rate.of(np.tile([0.0, 1.0], 25)).above_chance


def test_data_without_a_test_split_are_not_judged():
    with pytest.raises(DataError, match="at least 2 training and 2 test images"):
        list(judge(sound().training()))


def needs(name):
    """Skips where the real measurements `name` are not beside this repository."""
    return pytest.mark.skipif(not (SHARED / "data" / name).is_file(), reason=f"{name} is not here")


@pytest.mark.slow
@needs("vangerven2010_digits69.mat")
def test_measured_digits_belong_to_their_ids_and_others_raise_the_alarm(tmp_path):
    """Ridge tells the ten test images apart two-way at .91 to .98; no image was shown twice."""
    example = yaml.safe_load((ROOT / "configs" / "benchmarks" / "digits69.yaml").read_text())["benchmark"]
    given = {
        **example,
        "file": str(SHARED / "data" / "vangerven2010_digits69.mat"),
        "base_dir": str(tmp_path),
    }
    data = Paired(resolve_params(Paired.Params, given, section="benchmark")).load("subj01")
    judgements = {judgement.name: judgement for judgement in judge(data)}
    verdicts = {name: judgement.verdict for name, judgement in judgements.items()}
    assert verdicts["alignment"] == verdicts["pictures"] == Verdict.GOOD
    assert verdicts["noise ceilings"] == verdicts["sessions"] == Verdict.UNKNOWN
    rate = dict(judgements["alignment"].figures)["two-way, by a ridge on small pictures"]
    assert 0.88 <= float(rate.split()[0]) <= 1
    assert alignment(reordered(data, shuffled)).verdict != Verdict.GOOD


@needs("haxby2001_slice.nii.gz")
def test_a_measured_slice_has_signal_and_drifts_no_more_than_by_chance(tmp_path):
    """Eight categories in twelve runs, two of them held out; every category has a picture made here."""
    marks = np.loadtxt(SHARED / "data" / "haxby2001_slice_attributes.txt", dtype=int)
    names = ["rest", *(f"category{k}" for k in range(1, 9))]
    lines = [f"{names[label]},{run},{'test' if label > 6 else 'train'}" for label, run in marks]
    (tmp_path / "trials.csv").write_text("\n".join(["image,run,split", *lines]) + "\n")
    (tmp_path / "pictures").mkdir()
    for number, name in enumerate(names[1:]):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{name}.png")
    volume = SHARED / "data" / "haxby2001_slice.nii.gz"
    spread = np.asarray(nibabel.load(volume).dataobj).std(axis=-1)
    nibabel.save(nibabel.Nifti1Image((spread > 0).astype(np.int16), np.eye(4)), tmp_path / "mask.nii.gz")
    given = {
        **{"base_dir": str(tmp_path), "betas": str(volume), "trials": "trials.csv", "images": "pictures"},
        **{"mask": "mask.nii.gz", "session": "run", "split": "split", "skip": ("rest",)},
        **{"mean_over": ("run",), "units": "raw", "normalise": "zscore_session"},
    }
    judgements = {judgement.name: judgement for judgement in judge(Lab(Lab.Params(**given)).load("subj01"))}
    assert judgements["noise ceilings"].verdict == judgements["sessions"].verdict == Verdict.GOOD
    assert judgements["alignment"].verdict == judgements["power"].verdict == Verdict.UNKNOWN

"""Benchmark `paired`: any format and layout gives the same data; statistics come from training trials."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
import scipy.io
import yaml
from commands import ROOT, SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from paired_loading import COLOUR, load, same, save, small
from paired_writers import FORMATS, write_arrays

from harness.api import ConfigError, DataError
from harness.benchmarks.paired import Paired
from harness.settings import read_request, resolve_params
from harness.stages.checks import check_subject

DIGITS = SHARED / "data" / "vangerven2010_digits69.mat"
EXAMPLES = ROOT / "configs" / "benchmarks"


def example(seed=0, *, n_train=6, n_test=3, repeats=2, voxels=5, image=(4, 5, 3), floating=False):
    """Images, trial-wise responses, image index, ids and sessions of both splits."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for split, n in (("train", n_train), ("test", n_test)):
        shade = rng.random((n, *image)) if floating else rng.integers(0, 256, (n, *image), np.uint8)
        shade.reshape(n, -1)[:, 0] = 200 if not floating else 1  # never as good as black
        arrays[f"{split}_images"] = shade
        index = rng.permutation(np.repeat(np.arange(n), repeats))
        arrays[f"{split}_responses"] = rng.normal(3, 2, (n * repeats, voxels))
        arrays[f"{split}_index"] = index + 1
        arrays[f"{split}_session"] = np.arange(n * repeats) % 2 + 1
        arrays[f"{split}_ids"] = np.array([f"{split}-é{k}" for k in range(n)])
    return arrays


def keys(references, split, *names):
    field = {"index": "image_index"}
    return {field.get(name, name): references[f"{split}_{name}"] for name in names}


ALL = ("images", "responses", "index", "session", "ids")


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    repeats=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    floating=st.booleans(),
    normalise=st.sampled_from(["none", "zscore", "zscore_session"]),
)
def test_every_format_gives_identical_data(
    tmp_path_factory, seed, repeats, height, width, floating, normalise
):
    arrays = example(seed, repeats=repeats, image=(height, width, 3), floating=floating)
    subjects = {}
    for kind in FORMATS:
        folder = tmp_path_factory.mktemp(kind)
        references = write_arrays(folder, kind, arrays)
        split = {s: keys(references, s, *ALL) for s in ("train", "test")}
        subjects[kind] = load(
            folder, **split, image_layout="nhwc", index_base=1, normalise=normalise, allow_overlap=True
        )
    first = subjects.pop("npz")
    np.testing.assert_array_equal(
        first.train.stimuli.images(),
        arrays["train_images"].astype(np.float32) if floating else arrays["train_images"],
    )
    for kind, data in subjects.items():
        assert same(first, data), kind
        if repeats > 1:
            np.testing.assert_array_equal(first.space.ncsnr, data.space.ncsnr)


def test_voxels_first_and_images_repeats_voxels(tmp_path):
    rng = np.random.default_rng(2)
    y = rng.normal(size=(6, 2, 4))
    y[1, 1] = y[4, 0] = np.nan  # shown once
    measured = ~np.isnan(y).any(axis=2)
    image, _ = np.nonzero(measured)
    file = save(
        tmp_path, x=COLOUR, y=y, t=y[measured].T, i=image, m=np.arange(6) > 3, s=np.tile([1, 2], (6, 1))
    )
    common = {**file, "image_layout": "nhwc", "test_mask": "m"}
    boxes = load(
        tmp_path, **common, data={"images": "x", "responses": "y"}, responses_layout="images-repeats-voxels"
    )
    table = load(
        tmp_path,
        **common,
        data={"images": "x", "responses": "t", "image_index": "i"},
        responses_layout="voxels-first",
        index_base=0,
    )
    assert same(boxes, table)
    assert boxes.train.responses.counts().tolist() == [2, 1, 2, 2]
    np.testing.assert_allclose(boxes.train.responses.mean()[0], y[0].mean(axis=0), rtol=1e-6)
    by_repeat = load(
        tmp_path,
        **common,
        data={"images": "x", "responses": "y", "session": "s"},
        responses_layout="images-repeats-voxels",
    )
    assert by_repeat.train.responses.session.tolist() == [1, 2, 1, 1, 2, 1, 2]


def test_index_and_ids_per_trial_agree_and_unused_images_are_left_out(tmp_path):
    rng = np.random.default_rng(3)
    index = np.array([4, 0, 4, 2])
    ids = np.array([f"i{k}" for k in range(6)])
    file = save(
        tmp_path,
        x=COLOUR,
        ids=ids,
        a=rng.normal(size=(4, 3)),
        b=rng.normal(size=(3, 3)),
        ai=index,
        bi=[1, 3, 3],
        at=ids[index],
        bt=ids[[1, 3, 3]],
        c=np.array([f"caption {k}" for k in range(6)]),
        l=np.arange(6.0),
    )
    more = {"ids": "ids", "captions": "c", "labels": {"category": "l"}}
    by_index = load(
        tmp_path,
        **file,
        train={"images": "x", "responses": "a", "image_index": "ai", **more},
        test={"images": "x", "responses": "b", "image_index": "bi", **more},
        image_layout="nhwc",
        index_base=0,
    )
    by_id = load(
        tmp_path,
        **file,
        train={"images": "x", "responses": "a", "image_ids": "at", **more},
        test={"images": "x", "responses": "b", "image_ids": "bt", **more},
        image_layout="nhwc",
    )
    assert same(by_index, by_id)
    assert by_id.train.stimuli.ids == ("i0", "i2", "i4")
    assert by_id.train.responses.image_index.tolist() == [2, 0, 2, 1]
    assert by_id.train.stimuli.captions == ("caption 0", "caption 2", "caption 4")
    assert by_id.train.stimuli.labels["category"].tolist() == [0, 2, 4]
    assert by_id.train.stimuli.labels["category"].dtype == np.int64
    np.testing.assert_array_equal(by_id.train.stimuli.images(["i4"])[0], COLOUR[4])


def test_made_ids(tmp_path):
    arrays = example()
    references = write_arrays(tmp_path, "npz", arrays)
    split = {s: keys(references, s, "images", "responses", "index") for s in ("train", "test")}
    data = load(tmp_path, **split, image_layout="nhwc", index_base=1)
    assert data.train.stimuli.ids[:2] == ("train-0000", "train-0001")
    assert data.test.stimuli.ids[-1] == "test-0002"
    assert small(tmp_path, COLOUR, image_layout="nhwc").test.stimuli.ids == ("image-0004", "image-0005")


def test_normalisation_uses_training_trials_only(tmp_path):
    arrays = example(7, n_train=20, n_test=4)
    references = write_arrays(tmp_path, "h5", arrays)
    split = {s: keys(references, s, *ALL) for s in ("train", "test")}
    common = {**split, "image_layout": "nhwc", "index_base": 1}
    train, test = arrays["train_responses"], arrays["test_responses"]
    whole = load(tmp_path, **common, normalise="zscore")
    assert whole.space.units == "zscore"
    expected = (test - train.mean(axis=0)) / train.std(axis=0)
    np.testing.assert_allclose(whole.test.responses.trials(), expected, rtol=1e-5, atol=1e-6)
    by_session = load(tmp_path, **common, normalise="zscore_session")
    assert by_session.space.units == "zscore_session"
    for number in (1, 2):
        own = train[arrays["train_session"] == number]
        rows = arrays["test_session"] == number
        np.testing.assert_allclose(
            by_session.test.responses.trials()[rows],
            (test[rows] - own.mean(axis=0)) / own.std(axis=0),
            rtol=1e-5,
            atol=1e-6,
        )
    raw = load(tmp_path, **common, units="percent")
    assert raw.space.units == "percent"
    np.testing.assert_array_equal(raw.train.responses.trials(), train.astype(np.float32))


@pytest.mark.parametrize(
    ("given", "wanted", "times"), [("percent", "raw/2000", 0.15), ("raw/2000", "raw/300", 20 / 3)]
)
def test_responses_are_brought_to_the_units_asked_for(tmp_path, given, wanted, times):
    arrays = example(7, n_train=20, n_test=4)
    references = write_arrays(tmp_path, "h5", arrays)
    split = {s: keys(references, s, *ALL) for s in ("train", "test")}
    common = {**split, "image_layout": "nhwc", "index_base": 1}
    data = load(tmp_path, **common, units=given, normalise=wanted)
    assert data.space.units == wanted
    np.testing.assert_allclose(data.test.responses.trials(), arrays["test_responses"] * times, rtol=1e-6)
    plain = load(tmp_path, **common, units=given)
    np.testing.assert_allclose(data.space.ncsnr, plain.space.ncsnr, rtol=1e-5)
    with pytest.raises(
        DataError, match="'raw', of which nothing says how large one percent is; leave out norm"
    ):
        load(tmp_path, **common, units="raw", normalise=wanted)
    with pytest.raises(ConfigError, match="unknown normalise 'raw/200'; did you mean 'raw/2000'"):
        load(tmp_path, **common, units=given, normalise="raw/200")


def test_statistics_survive_a_large_offset_and_many_blocks(tmp_path):
    rng = np.random.default_rng(8)
    y = rng.normal(size=(700, 3)) + 1e4
    images = rng.integers(0, 256, (700, 2, 2), np.uint8)
    file = save(tmp_path, x=images, y=y, m=np.arange(700) >= 690)
    data = load(
        tmp_path,
        **file,
        data={"images": "x", "responses": "y"},
        image_layout="nhw",
        test_mask="m",
        normalise="zscore",
    )
    expected = (y[:690] - y[:690].mean(axis=0)) / y[:690].std(axis=0)
    np.testing.assert_allclose(data.train.responses.trials(), expected, atol=1e-6)


def test_ncsnr_comes_from_test_where_training_images_were_shown_once(tmp_path):
    arrays = example(10, n_test=4)
    arrays["train_responses"] = arrays["train_responses"][:6]
    references = write_arrays(tmp_path, "npz", arrays)
    data = load(
        tmp_path,
        train=keys(references, "train", "images", "responses"),
        test=keys(references, "test", "images", "responses", "index"),
        image_layout="nhwc",
        index_base=1,
    )
    y, index = arrays["test_responses"], arrays["test_index"]
    means = np.array([y[index == k].mean(axis=0) for k in range(1, 5)])
    noise = np.mean([y[index == k].var(axis=0, ddof=1) for k in range(1, 5)], axis=0)
    signal = np.maximum(means.var(axis=0, ddof=1) - noise * 4 / len(y), 0)
    np.testing.assert_allclose(data.space.ncsnr, np.sqrt(signal / noise), rtol=1e-4, atol=1e-6)
    assert data.space.ncsnr_source.trials == f"{len(y)} trials of 4 test images"
    single = small(tmp_path, COLOUR, image_layout="nhwc")
    assert single.space.ncsnr is None


def test_several_subjects(tmp_path):
    np.savez(tmp_path / "images.npz", x=COLOUR, m=np.arange(6) > 3)
    for k, name in enumerate(("anna", "bert")):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(k).normal(size=(6, 4 + k)))
    params = {
        "data": {"images": "images.npz:x", "responses": "{subject}.npy"},
        "test_mask": "images.npz:m",
        "image_layout": "nhwc",
        "subjects": ["anna", "bert"],
    }
    assert load(tmp_path, "anna", **params).space.n_voxels == 4
    bert = load(tmp_path, "bert", **params)
    assert (bert.space.n_voxels, bert.space.subject) == (5, "bert")
    with pytest.raises(DataError, match="unknown subject 'berta'; did you mean 'bert'"):
        load(tmp_path, "berta", **params)


@pytest.mark.parametrize("kind", ["h5", "npy", "mat73"])
def test_responses_and_images_stay_lazy_and_picklable(tmp_path, kind):
    arrays = example(11, n_train=40, image=(16, 16, 3))
    references = write_arrays(tmp_path, kind, arrays)
    split = {s: keys(references, s, *ALL) for s in ("train", "test")}
    data = load(tmp_path, **split, image_layout="nhwc", index_base=1, normalise="zscore")
    assert len(pickle.dumps(data.train.stimuli)) < arrays["train_images"].nbytes / 2
    again = pickle.loads(pickle.dumps(data))
    assert same(data, again)
    rows = data.train.responses
    np.testing.assert_array_equal(rows.data[3:7], rows.trials()[3:7])
    np.testing.assert_array_equal(rows.data[5], rows.trials()[5])
    np.testing.assert_array_equal(rows.data[[4, 2], 1:3], rows.trials()[[4, 2], 1:3])
    chosen = rows.select(rows.ids[3:5])
    np.testing.assert_array_equal(chosen.mean(), rows.mean()[3:5])


def test_hdf5_is_read_block_by_block(tmp_path, monkeypatch):
    arrays = example(12)
    references = write_arrays(tmp_path, "h5", arrays)
    split = {s: keys(references, s, *ALL) for s in ("train", "test")}
    data = load(tmp_path, **split, image_layout="nhwc", index_base=1)
    asked = []
    original = h5py.Dataset.__getitem__
    monkeypatch.setattr(
        h5py.Dataset,
        "__getitem__",
        lambda self, index, **k: asked.append(index) or original(self, index, **k),
    )
    data.train.stimuli.images(data.train.stimuli.ids[1:3])
    assert asked == [(slice(1, 3),)]


def test_examples_are_short_and_valid():
    for file in ("digits69.yaml", "my_experiment.yaml"):
        text = (EXAMPLES / file).read_text()
        assert len(text.splitlines()) <= 10
        params = resolve_params(Paired.Params, yaml.safe_load(text)["benchmark"], section="benchmark")
        assert Paired(params).subjects()


def test_paths_start_from_the_folder_of_the_yaml(tmp_path, monkeypatch):
    save(tmp_path, x=COLOUR, y=np.random.default_rng(0).normal(size=(6, 4)), m=np.arange(6) > 3)
    (tmp_path / "mine.yaml").write_text(
        "benchmark:\n  file: a.npz\n  data: {images: x, responses: y}\n  test_mask: m\n"
        "  image_layout: nhwc\n  units: percent\n  exclude: [nan, constant]\n"
    )
    monkeypatch.chdir("/")
    request = read_request(tmp_path / "mine.yaml", [], plugins={"benchmark": "paired"})
    params = resolve_params(
        Paired.Params, request.values["benchmark"], section="benchmark", sources=request.sources
    )
    data = Paired(params).load("subj01")
    assert (data.space.dataset, data.space.units) == ("a", "percent")


@pytest.mark.skipif(not DIGITS.is_file(), reason=f"the measured digits are not at {DIGITS}")
def test_measured_digits():
    given = yaml.safe_load((EXAMPLES / "digits69.yaml").read_text())["benchmark"]
    params = resolve_params(Paired.Params, given | {"base_dir": str(DIGITS.parent)}, section="benchmark")
    data = Paired(params).load("subj01")
    check_subject(data)
    assert (len(data.train), len(data.test)) == (90, 10)
    assert (data.space.n_voxels, data.space.n_valid, data.space.units) == (3092, 3092, "zscore")
    images = data.train.stimuli.images()
    raw = scipy.io.loadmat(DIGITS)
    assert images.shape == (90, 28, 28, 3)
    np.testing.assert_allclose(images[3, 5, 9], raw["stimTrn"][3, 9 * 28 + 5] / 255, atol=1e-6)
    # Upright, the tail of a six (1) points up and that of a nine (2) down; on their side, both point
    # the same way along the rows.  The ink is centred, so the third moment tells.
    ink = images[..., 0] / images[..., 0].sum(axis=(1, 2), keepdims=True)
    rows = np.arange(28)[:, None] - (ink * np.arange(28)[:, None]).sum(axis=(1, 2), keepdims=True)
    skew = (ink * rows**3).sum(axis=(1, 2))
    digit = data.train.stimuli.labels["category"]
    assert np.mean((skew > 0) == (digit == 2)) > 0.9
    y = raw["fmriTrn"]
    expected = (raw["fmriTest"] - y.mean(axis=0)) / y.std(axis=0)
    np.testing.assert_allclose(data.test.responses.trials(), expected, atol=1e-5)

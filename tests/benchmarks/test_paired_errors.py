"""Benchmark `paired`: every bad input is one line that says what was found and what to type."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from paired_writers import FORMATS, write_arrays
from PIL import Image

from harness.api import ConfigError, DataError, HarnessError
from harness.benchmarks.paired import Paired
from harness.settings import resolve_params

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 4, 5, 3), np.uint8)
BETAS = np.random.default_rng(6).normal(size=(6, 4))
TRAIN, TEST = {"images": "a", "responses": "ya"}, {"images": "b", "responses": "yb"}


def arrays(**changed):
    return {"a": IMAGES[:4], "ya": BETAS[:4], "b": IMAGES[4:], "yb": BETAS[4:]} | changed


def params(folder, **given):
    given = {"base_dir": str(folder), "file": "a.npz", "units": "raw", "image_layout": "nhwc", **given}
    if "data" not in given:
        given = {"train": TRAIN, "test": TEST} | given
    return resolve_params(Paired.Params, given, section="benchmark")


def load(folder, changed=None, **given):
    np.savez(folder / "a.npz", **arrays(**(changed or {})))
    return Paired(params(folder, **given)).load("subj01")


def test_unchanged_data_load(tmp_path):
    data = load(tmp_path)
    assert (len(data.train), len(data.test), data.space.n_voxels) == (4, 2, 4)


IDS = {"ia": np.array(["c", "d", "e", "f"]), "ib": np.array(["g", "h"])}
WITH_IDS = {"train": TRAIN | {"ids": "ia"}, "test": TEST | {"ids": "ib"}}
NAN = BETAS[:4].copy()
NAN[0, 2] = np.nan

BAD_DATA = {
    "missing key": (
        {},
        {"train": TRAIN | {"images": "aa"}},
        r"no array 'aa'; did you mean 'a'\? It holds: a \(4, 4, 5, 3\)",
    ),
    "missing file": ({}, {"file": "b.npz"}, r"no file .*b\.npz; did you mean 'a\.npz'"),
    "responses too few": ({"ya": BETAS[:3]}, {}, r"train: 3 responses for 4 images; .*add image_index: KEY"),
    "voxels first": ({"ya": BETAS[:3].T}, {}, r"3 voxels and 'yb' of a\.npz 4; both splits need the same"),
    "voxel counts": ({"yb": BETAS[4:, :3]}, {}, r"4 voxels and 'yb' of a\.npz 3; both splits need the same"),
    "responses of three axes": (
        {"ya": BETAS[:4, None]},
        {},
        r"shape \(4, 1, 4\); responses_layout trials-first needs 2 axes; .*add responses_layout: images-rep",
    ),
    "responses are text": ({"ya": np.full((4, 4), "x")}, {}, "holds <U1; expected numbers"),
    "nan": ({"ya": NAN}, {}, r"1 of 4 voxels hold NaN or inf \(first, from 0: 2\).*add exclude: \[nan\]"),
    "constant": (
        {"ya": BETAS[:4] * [1, 1, 0, 0]},
        {},
        r"2 of 4 voxels are constant .*\(first, from 0: 2, 3\).*exclude: \[constant\]",
    ),
    "nothing left": (
        {"ya": BETAS[:4] * 0 + 1},
        {"exclude": ["constant"]},
        "all 4 voxels hold NaN or inf, or are con",
    ),
    "empty": ({"a": IMAGES[:0], "ya": BETAS[:0]}, {}, r"'ya' of a\.npz is empty \(shape \(0, 4\)\)"),
    "ids doubled": (
        IDS | {"ia": np.array(["c", "d", "c", "f"])},
        WITH_IDS,
        r"train: ia: the id 'c' occurs more than once \(1 such\)",
    ),
    "ids missing": (
        IDS | {"ia": np.array(["c", "d", " ", "f"])},
        WITH_IDS,
        r"train: ia has no id in 1 places, the first at entry 2",
    ),
    "ids too few": (IDS | {"ia": np.array(["c", "d", "e"])}, WITH_IDS, "train: 3 ids for 4 images"),
    "ids not whole": (
        IDS | {"ia": np.array([1, 2, np.pi, 3])},
        WITH_IDS,
        r"'ia' of a\.npz, entry 2 .*more than the six decimals of an id; save the ids as text",
    ),
    "ids overlap": (
        IDS | {"ib": np.array(["g", "d"])},
        WITH_IDS,
        r"1 image ids are in both train and test \(for example 'd'\)",
    ),
    "same content": (
        {"b": IMAGES[[4, 1]]},
        {},
        r"1 test images are also training images \(for example test-0001 = train-0001\).*allow_overlap: true",
    ),
    "index out of range": (
        {"i": np.arange(4)},
        {"train": TRAIN | {"image_index": "i"}, "index_base": 1},
        r"train: i runs from 0 to 3; expected 1 to 4 for 4 images counted from 1",
    ),
    "index too short": (
        {"i": np.arange(3)},
        {"train": TRAIN | {"image_index": "i"}, "index_base": 0},
        "train: i has 3 entries for 4 trials",
    ),
    "unknown trial id": (
        IDS | {"s": np.array(["c", "d", "e", "ff"])},
        {**WITH_IDS, "train": WITH_IDS["train"] | {"image_ids": "s"}},
        r"train: s: 1 ids belong to no image, for example 'ff'; did you mean 'f'\?",
    ),
    "trial ids without ids": (
        {"s": np.array(["c", "d", "e", "f"])},
        {"train": TRAIN | {"image_ids": "s"}},
        "4 ids belong to no image.*name the ids of the images as well, ids: KEY",
    ),
    "session too short": (
        {"s": np.ones(3)},
        {"train": TRAIN | {"session": "s"}},
        "train: s has 3 entries for 4 trials",
    ),
    "no session": (
        {},
        {"normalise": "zscore_session"},
        "needs the session of each trial of train; add session: KEY",
    ),
    "session without training trials": (
        {"s": np.array([1, 1, 2, 2]), "t": np.array([2, 3])},
        {"train": TRAIN | {"session": "s"}, "test": TEST | {"session": "t"}, "normalise": "zscore_session"},
        r"session 3 has fewer than 2 training trials \(1 such sessions\).*normalise: zscore",
    ),
    "session with one training trial": (
        {"s": np.array([1, 1, 1, 2]), "t": np.array([1, 1])},
        {"train": TRAIN | {"session": "s"}, "test": TEST | {"session": "t"}, "normalise": "zscore_session"},
        "session 2 has fewer than 2 training trials",
    ),
    "captions too few": (
        {"c": np.array(["x"])},
        {"train": TRAIN | {"captions": "c"}},
        "train: captions has 1 entries for 4 images",
    ),
    "labels too few": (
        {"l": np.ones(2)},
        {"train": TRAIN | {"labels": {"category": "l"}}},
        "train: category has 2 entries for 4 images",
    ),
    "float of 0 to 255": (
        {"a": IMAGES[:4].astype(float)},
        {},
        r"'a' of a\.npz holds float64 images from 0.* to 25\d .*image_max: 255",
    ),
    "float of 0 to 4095": (
        {"a": IMAGES[:4] / 255 * 4095},
        {},
        r"holds float64 images .*, give image_max: 4095",
    ),
    "integers": ({"a": IMAGES[:4].astype(np.int16) * 16}, {}, "holds int16 images .*, give image_max: 4095"),
    "negative images": ({"a": IMAGES[:4] / 127.5 - 1}, {}, "from -1 to .*; rescale them so that black is 0"),
    "nan in images": ({"a": np.where(IMAGES[:4] > 9, 0.5, np.nan)}, {}, "'a' of a.npz holds NaN or inf"),
    "white too small": ({}, {"image_max": 100}, r"image_max is 100; if white is 255, give image_max: 255"),
    "black": ({"a": IMAGES[:4] % 2}, {}, "largest pixel is 1 of 255, so all images are black.*image_max: 1"),
    "images are text": ({"a": np.full((4, 4, 5, 3), "x")}, {}, "'a' of a.npz holds text; expected images"),
    "five channels": ({"a": np.ones((4, 4, 3, 5))}, {}, "has 5 colour channels; expected 1 .* or 3"),
    "order without flat images": (
        {},
        {"image_order": "F"},
        r"are for flattened images; leave them out for 'a' of a\.npz of shape \(4, 4, 5, 3\)",
    ),
    "two axes": ({"a": IMAGES[:4, :, 0, 0]}, {}, r"shape \(4, 4\); image_layout nhwc needs 4 axes"),
    "wrong image_shape": (
        {"a": IMAGES[:4].reshape(4, -1)},
        {"image_layout": "flat", "image_shape": [5, 5]},
        r"has 60 values per image; image_shape \[5, 5\] needs 25",
    ),
    "sizes differ": (
        {"b": IMAGES[4:, :3]},
        {},
        r"training images are 4 x 5 pixels and test images 3 x 5; .*add image_resize: \[4, 5\]",
    ),
    "types differ": (
        {"b": IMAGES[4:] / 255},
        {},
        "training images are 4 x 5 uint8 and test images 4 x 5 float32",
    ),
    "mask of wrong length": (
        {"m": np.ones(3)},
        {"rois": {"V1": "m"}},
        r"ROI 'V1' \(m\) has 3 entries; .* 4 voxels",
    ),
    "mask of labels": ({"m": np.arange(4)}, {"rois": {"V1": "m"}}, "other values than 0 and 1.*roi_labels"),
    "empty mask": ({"m": np.zeros(4)}, {"rois": {"V1": "m"}}, "ROI 'V1' has no voxel"),
    "label of nothing": (
        {"m": np.arange(4)},
        {"roi_labels": "m", "roi_names": {"V1": 7}},
        "ROI 'V1' has no voxel; m holds 0, 1, 2, 3",
    ),
    "ncsnr too short": ({"n": np.ones(3)}, {"ncsnr": "n"}, r"'n' of a\.npz has 3 entries; .* 4 voxels"),
    "ncsnr negative": ({"n": np.array([1, -1, 1, np.nan])}, {"ncsnr": "n"}, "is negative in 1 voxels"),
    "coordinates": ({"n": np.ones((3, 4))}, {"coordinates": "n"}, r"\(3, 4\); expected \(4, 2\) or \(4, 3\)"),
    "layout unknown for shape": (
        {},
        {"image_layout": ""},
        r"shape \(4, 4, 5, 3\) and no image_layout; add image_layout: nhwc, nchw, or hwcn",
    ),
    "no main file": ({}, {"file": ""}, r"'ya' names no file; add file: FILE, or type it as FILE:ya"),
    "no folder": ({}, {"train": TRAIN | {"images": "nothing/"}}, "there is no folder .*nothing"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data(tmp_path, name):
    changed, given, message = BAD_DATA[name]
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        load(tmp_path, changed, **given)
    assert "\n" not in str(caught.value)


def test_overlapping_content_may_be_allowed(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = load(tmp_path, {"b": IMAGES[[4, 1]]}, allow_overlap=True)
    assert len(data.test) == 2
    assert "1 test images are also training images" in caplog.text


ALL = {"data": {"images": "x", "responses": "y", "ids": "i"}}
BAD_DIVISIONS = {
    "unknown id": (
        {"test_ids": ["30", "5"]},
        r"test_ids: 1 ids belong to no image, for example '30'; did you mean '3'",
    ),
    "doubled": ({"test_ids": [1, 1]}, "test_ids: the id '1' occurs more than once"),
    "short mask": ({"test_mask": "m"}, "test_mask has 5 entries; expected 0 or 1 for each of 6 images"),
    "mask of numbers": ({"test_mask": "i"}, "expected 0 or 1 for each of 6 images"),
    "all test": ({"test_ids": "i"}, "6 of 6 images are test images; both splits need some"),
}


@pytest.mark.parametrize("name", BAD_DIVISIONS)
def test_bad_division_of_one_set(tmp_path, name):
    given, message = BAD_DIVISIONS[name]
    with pytest.raises(DataError, match=message):
        load(tmp_path, {"x": IMAGES, "y": BETAS, "i": np.arange(6), "m": np.ones(5)}, **ALL, **given)


def test_division_by_ids_in_yaml_or_file(tmp_path):
    whole = {"x": IMAGES, "y": BETAS, "i": np.arange(6.0), "t": np.array([5, 0])}
    for test_ids in ([5, "0"], "t"):
        data = load(tmp_path, whole, **ALL, test_ids=test_ids)
        assert data.test.stimuli.ids == ("0", "5")
        np.testing.assert_array_equal(data.test.responses.trials(), BETAS[[0, 5]].astype(np.float32))


BAD_PARAMS = {
    "misspelt": ({"trian": TRAIN}, "unknown benchmark parameter 'trian'; did you mean 'train'"),
    "misspelt inside": (
        {"train": TRAIN | {"sesion": "s"}},
        "unknown benchmark.train parameter 'sesion'; did you mean 'session'",
    ),
    "number for a key": ({"train": TRAIN | {"ids": 3}}, "train.ids is 3; expected the key of an array"),
    "labels": (
        {"train": TRAIN | {"labels": {"category": 3}}},
        "train.labels.category is 3; expected the key",
    ),
    "no responses": ({"train": {"images": "a"}}, "needs the key of its responses; add responses: KEY"),
    "units": ({"units": ""}, "units of the responses are not stated; add units: and one of raw"),
    "unknown units": ({"units": "z-score"}, "unknown units 'z-score'; did you mean 'zscore'"),
    "normalise": ({"normalise": "session"}, "unknown normalise 'session'; did you mean 'zscore_session'"),
    "exclude": ({"exclude": ["nans"]}, "unknown reason to exclude 'nans'; did you mean 'nan'"),
    "layout": ({"image_layout": "nhx"}, "image_layout 'nhx' is not known; type the letters n, h, w"),
    "order": ({"image_order": "fortran"}, r"image_order is 'fortran'; type C \(row by row\) or F"),
    "shape": ({"image_shape": [28]}, r"image_shape is \[28\]; expected \[height, width\]"),
    "flat": ({"image_layout": "flat"}, r"flat needs image_shape: \[height, width\]"),
    "white": ({"image_max": 0}, "image_max is 0.0; expected the value of white"),
    "responses_layout": ({"responses_layout": "voxel-first"}, "did you mean 'voxels-first'"),
    "no base": ({"train": TRAIN | {"image_index": "i"}}, "image_index needs index_base: 0, or 1"),
    "base": ({"index_base": 2}, "index_base is 2; expected 0, or 1 as in MATLAB"),
    "two ways": ({"train": TRAIN | {"image_index": "i", "image_ids": "j"}}, "both given; keep one"),
    "no names": ({"roi_labels": "l"}, "roi_labels and roi_names go together"),
    "group": ({"rois": {"V1": "m"}, "groups": {"early": ["V2"]}}, "unknown ROI of group 'early' 'V2'"),
    "no test": ({"test": None}, "name the arrays of both splits"),
    "mask beside splits": ({"test_mask": "m"}, "divide `data`; with train and test leave them out"),
    "data beside splits": (
        {"data": TRAIN, "train": TRAIN, "test_mask": "m"},
        "give either data or train and test",
    ),
    "undivided": ({"data": TRAIN}, "data needs one of test_ids and test_mask"),
    "subjects twice": ({"subjects": ["s", "s"]}, "a name occurs more than once"),
    "no subjects": ({"file": "{subject}.mat"}, r"hold \{subject\}, but no subjects are listed"),
    "same files": ({"subjects": ["s", "t"]}, r"2 subjects share the same files; put \{subject\} into"),
}


@pytest.mark.parametrize("name", BAD_PARAMS)
def test_bad_params(tmp_path, name):
    given, message = BAD_PARAMS[name]
    with pytest.raises(ConfigError, match=message) as caught:
        params(tmp_path, **given)
    assert "\n" not in str(caught.value)


def folder_of_images(tmp_path, n=6, sizes=(5,) * 6):
    folder = tmp_path / "stimuli"
    folder.mkdir()
    for k in range(n):
        Image.fromarray(IMAGES[k][:, : sizes[k]]).save(folder / f"s{k}.png")
    (tmp_path / "ids.txt").write_text("s0\ns1\ns2\ns3\ns4\ns5\n")
    return folder


FOLDER = {"data": {"images": "stimuli/", "responses": "y", "ids": "ids.txt"}, "test_ids": ["s5"]}


def test_folder_without_ids(tmp_path):
    folder_of_images(tmp_path)
    given = {"data": {"images": "stimuli/", "responses": "y"}, "test_ids": ["s5"]}
    with pytest.raises(DataError, match=r"need ids, in the order of the responses.*ls .*stimuli > ids\.txt"):
        load(tmp_path, {"y": BETAS}, **given)


def test_folder_lacks_an_image(tmp_path):
    folder = folder_of_images(tmp_path)
    (folder / "s3.png").rename(folder / "scene3.png")
    with pytest.raises(
        DataError,
        match=r"no image file for 1 of 5 training images \('s3', did you mean 's.*allow_missing_images: true",
    ):
        load(tmp_path, {"y": BETAS}, **FOLDER)


def test_folder_holds_two_files_of_one_id(tmp_path):
    folder = folder_of_images(tmp_path)
    Image.fromarray(IMAGES[0]).save(folder / "s2.jpg")
    with pytest.raises(DataError, match=r"holds 's2\.jpg' and 's2\.png' for the id 's2'; keep one"):
        load(tmp_path, {"y": BETAS}, **FOLDER)


def test_folder_holds_images_of_two_sizes(tmp_path):
    folder_of_images(tmp_path, sizes=(5, 5, 4, 5, 5, 5))
    with pytest.raises(DataError, match=r"s2\.png is 4 x 4 pixels and s0\.png is 4 x 5; all images"):
        load(tmp_path, {"y": BETAS}, **FOLDER)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_folder_holds_a_truncated_image(tmp_path, share):
    folder = folder_of_images(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for file in folder.iterdir():
        Image.fromarray(noise + np.uint8(int(file.stem[1]))).save(file)
    whole = (folder / "s4.png").read_bytes()
    (folder / "s4.png").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"s4\.png cannot be read as an image") as caught:
        load(tmp_path, {"y": BETAS}, **FOLDER)
    assert "\n" not in str(caught.value)


def test_folder_holds_transparent_or_deep_images(tmp_path):
    folder = folder_of_images(tmp_path)
    Image.fromarray(np.dstack([IMAGES[1], IMAGES[1][..., 0]])).save(folder / "s1.png")
    with pytest.raises(DataError, match=r"s1\.png has transparent parts; save it as 8-bit"):
        load(tmp_path, {"y": BETAS}, **FOLDER)
    Image.fromarray(IMAGES[1][..., 0].astype(np.uint16) * 200).save(folder / "s1.png")
    with pytest.raises(DataError, match=r"s1\.png has pixels of type I"):
        load(tmp_path, {"y": BETAS}, **FOLDER)


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_files_never_load_as_other_data(tmp_path, kind):
    references = write_arrays(tmp_path, kind, arrays())
    given = {
        "file": "",
        "train": {"images": references["a"], "responses": references["ya"]},
        "test": {"images": references["b"], "responses": references["yb"]},
        "dataset": "mine",
    }
    whole = fingerprint(tmp_path, given)
    file = tmp_path / references["yb"].partition(":")[0]
    content = file.read_bytes()
    refused = 0
    for cut in np.linspace(0, len(content) - 1, 20).astype(int):
        file.write_bytes(content[:cut])
        problem = ""
        try:
            assert fingerprint(tmp_path, given) == whole
        except HarnessError as error:
            problem = str(error)
            refused += 1
        assert "\n" not in problem
    assert refused >= 19  # the last cut may fall into padding
    file.write_bytes(content)
    assert fingerprint(tmp_path, given) == whole


def fingerprint(folder, given):
    data = Paired(params(folder, **given)).load("subj01")
    return data.train.stimuli.sha, data.train.responses.sha, data.test.stimuli.sha, data.test.responses.sha


@pytest.mark.parametrize(
    ("responses", "words"),
    [
        (np.full((4, 4), np.nan), "NaN"),
        (np.ones((4, 4)), "constant"),
        (np.full((4, 4), np.inf), "NaN or inf"),
    ],
)
def test_where_no_voxel_is_left_none_is_to_be_masked(tmp_path, responses, words):
    with pytest.raises(DataError, match=words) as caught:
        load(tmp_path, {"ya": responses})
    assert "exclude" not in str(caught.value)

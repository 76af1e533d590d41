"""img2fmri's read-out: pickles read through a whitelist, equal to scikit-learn's own predictions."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from sklearn.linear_model import Ridge
from torchvision import models

from harness.api import ConfigError, DataError, SpaceMismatch, VoxelSpace
from harness.encoders.pretrained import Img2fmriEncoder
from harness.encoders.pretrained.base import package_folder
from harness.encoders.pretrained.img2fmri import REGIONS
from harness.stages.precomputed import read_predictions
from harness.testing import check_encoder, toy_subject

RNG = np.random.default_rng(0)
SIDES = RNG.integers(2, 6, (3, len(REGIONS), 2)).astype(np.float64)


@dataclass(frozen=True)
class Given:
    """Features that are known."""

    values: np.ndarray

    def layer(self, backbone, layer, stimuli):
        assert (backbone, layer) == ("resnet18", "avgpool")
        return self.values[: len(stimuli)]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder as the package's, with small regions of random ridges."""
    folder = tmp_path_factory.mktemp("published") / "img2fmri"
    (folder / "models").mkdir(parents=True)
    (folder / "derivatives").mkdir()
    np.save(folder / "derivatives" / "shape_array.npy", SIDES)
    x = RNG.standard_normal((20, 512)).astype(np.float32)
    for subject in (1, 2, 3):
        for region, sides in zip(REGIONS, SIDES[subject - 1]):
            y = RNG.standard_normal((20, int(sides.sum()))).astype(np.float32)
            file = folder / "models" / f"subj{subject}_{region}_model.pkl"
            file.write_bytes(pickle.dumps(Ridge(alpha=np.float64(10)).fit(x, y), protocol=4))
    return folder


@pytest.fixture
def weights(keep, tmp_path):
    """Random weights of ResNet-18 where ``harness prefetch`` would put them."""
    import torch

    torch.manual_seed(0)
    torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "resnet18.pth")
    keep("resnet18", tmp_path / "resnet18.pth")


def sklearns(folder, subject, features):
    """What scikit-learn's own objects predict, region by region."""
    parts = []
    for region in REGIONS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = pickle.loads((folder / "models" / f"subj{subject}_{region}_model.pkl").read_bytes())
        parts.append(model.predict(features))
    return np.concatenate(parts, axis=1)


def predicted(folder, subject, features):
    encoder = Img2fmriEncoder(Img2fmriEncoder.Params(subject=subject, folder=str(folder)))
    stimuli = toy_subject(n_test=len(features)).test.stimuli
    seeds = np.zeros((len(features), 1), np.uint64)
    return encoder.predict(stimuli, Given(features), space=encoder.own_space(), seeds=seeds)[:, 0]


@pytest.mark.parametrize("subject", [1, 2, 3])
def test_predictions_are_scikit_learns(published, subject):
    features = RNG.standard_normal((6, 512)).astype(np.float32)
    expected = sklearns(published, subject, features)
    assert np.abs(predicted(published, subject, features) - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.skipif(package_folder("img2fmri") is None, reason="pip install --no-deps img2fmri is not here")
@pytest.mark.parametrize(("subject", "voxels"), [(1, 1685), (2, 2270), (3, 3104)])
def test_the_published_weights_are_read_and_predict_as_scikit_learn_does(subject, voxels):
    features = np.abs(RNG.standard_normal((4, 512))).astype(np.float32)
    folder = package_folder("img2fmri")
    expected = sklearns(folder, subject, features)
    assert expected.shape == (4, voxels)
    assert np.abs(predicted("", subject, features) - expected).max() < 1e-5 * np.abs(expected).max()


def test_regions_lie_one_after_the_other_left_before_right(published):
    space = Img2fmriEncoder(Img2fmriEncoder.Params(subject=2, folder=str(published))).own_space()
    assert space.n_voxels == SIDES[1].sum()
    assert [int(space.rois[side + r].sum()) for r in REGIONS for side in ("LH", "RH")] == list(
        SIDES[1].ravel()
    )
    starts = [np.flatnonzero(space.rois[side + r])[0] for r in REGIONS for side in ("LH", "RH")]
    assert starts == sorted(starts)
    assert np.array_equal(space.rois["OPA"], space.rois["LHOPA"] | space.rois["RHOPA"])
    assert np.array_equal(space.groups["higher"], ~space.rois["EarlyVis"])


def test_what_is_missing_is_said_in_a_line_that_helps(tmp_path, monkeypatch):
    params = Img2fmriEncoder.Params(folder=str(tmp_path))
    (line,) = Img2fmriEncoder.missing(params, subject="")
    assert "pip install --no-deps img2fmri==1.0" in line
    assert "\n" not in line
    with pytest.raises(ConfigError, match="weights are not in"):
        Img2fmriEncoder(params).own_space()
    monkeypatch.setattr("harness.encoders.pretrained.img2fmri.package_folder", lambda name: None)
    assert "in this Python" in Img2fmriEncoder.missing(Img2fmriEncoder.Params(), subject="")[0]


def test_files_of_another_size_or_kind_are_refused(published, tmp_path):
    import shutil

    folder = tmp_path / "img2fmri"
    shutil.copytree(published, folder)
    models_of = folder / "models"
    shutil.copy(models_of / "subj2_PPA_model.pkl", models_of / "subj1_OPA_model.pkl")
    with pytest.raises(DataError, match="expected"):
        predicted(folder, 1, np.zeros((1, 512), np.float32))
    (models_of / "subj1_OPA_model.pkl").write_bytes(pickle.dumps({"coef_": 1}))
    with pytest.raises(DataError, match="is no pickled sklearn"):
        predicted(folder, 1, np.zeros((1, 512), np.float32))


def test_it_conforms_in_its_own_space_and_refuses_others(published, weights):
    report = check_encoder(Img2fmriEncoder, Img2fmriEncoder.Params(folder=str(published)))
    report.require()
    assert {"output", "micro-batches", "spaces", "saving"} <= set(report.passed)
    encoder = Img2fmriEncoder(Img2fmriEncoder.Params(folder=str(published)))
    other = VoxelSpace("bold5000", "CSI1", "brain", 7, "percent", "x")
    with pytest.raises(SpaceMismatch, match="harness predict img2fmri:1 images/"):
        encoder.predict(toy_subject().test.stimuli, None, space=other, seeds=np.zeros((1, 1), np.uint64))


def test_images_of_all_sizes_are_predicted_by_the_command(published, weights, tmp_path):
    from harness.backbones.catalogue import OWN
    from harness.cli.predict import predict

    (tmp_path / "images").mkdir()
    for k, size in enumerate([(40, 30), (300, 200), (40, 30)]):
        image = RNG.integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"i{k}.png")
    words = ["img2fmri:3", tmp_path / "images", "--out", tmp_path / "p.h5", "--store", tmp_path / "store"]
    words += ["--set", f"encoder.folder={published}"]
    done = CliRunner().invoke(predict, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "not known, which are not here" in done.output
    ids, values = read_predictions(tmp_path / "p.h5")
    assert ids == ("i0", "i1", "i2")
    assert values.shape == (3, 1, SIDES[2].sum())
    import torch

    torch.manual_seed(0)
    network = models.resnet18(weights=None).eval()
    network.fc = torch.nn.Identity()
    image_batch = np.asarray(Image.open(tmp_path / "images" / "i1.png"))[None]
    with torch.no_grad():
        features = network(OWN["resnet18"].apply(image_batch)).numpy()
    expected = sklearns(published, 3, features)
    assert np.abs(values[1] - expected).max() < 1e-4 * np.abs(expected).max()

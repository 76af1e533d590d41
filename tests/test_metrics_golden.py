"""Metrics equal the recorded values of the original authors' evaluation code.

Every recorded output has a comparison here; an unknown kind, or an output or array that nothing
compared, fails.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.metrics import encoding, identification, pixel
from harness.metrics.resize import resize, unit_range

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 2e-6
NETWORKS = {  # per-channel mean and SD of the network's input
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class Pair:
    """A recorded pair that knows which of its values have been used."""

    def __init__(self, record, arrays):
        self.kind = record["kind"]
        self._values = _flatten(record["expected"])
        self._arrays = arrays
        self._unused = {*self._values, *arrays}

    @classmethod
    def open(cls, name):
        with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        return cls(json.loads((FOLDER / f"{name}.json").read_text()), arrays)

    def array(self, name):
        self._unused.discard(name)
        return self._arrays[name]

    def images(self, name):
        return np.moveaxis(self.array(name), 1, -1)

    def compare(self, name, value, tolerance=TOLERANCE):
        expected = self._arrays.get(name, self._values.get(name))
        self._unused.discard(name)
        np.testing.assert_allclose(value, expected, rtol=0, atol=tolerance, err_msg=name)

    def finish(self):
        assert not self._unused, f"recorded but not compared: {sorted(self._unused)}"


def _flatten(tree, prefix=""):
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {k: v for name, branch in tree.items() for k, v in _flatten(branch, f"{prefix}{name}.").items()}


def check_functions(pair):
    """The bare functions, straight to 425 px with antialiasing."""
    recon, truth = pair.images("recon"), pair.images("gt")
    family = pixel.Family("straight", sizes=(425,), antialias=True)
    sides = [pixel.prepare_pixcorr(images, family) for images in (recon, truth)]
    pair.compare("pixcorr", pixel.pixcorr(*sides).mean())
    sides = [pixel.prepare_ssim(images, family) for images in (recon, truth)]
    pair.compare("ssim", pixel.ssim(*sides).mean())

    features = pair.array("feat_recon"), pair.array("feat_gt")
    wins = identification.two_way(*features, strict=True)
    pair.compare("two_way_counts", np.rint(wins * (len(wins) - 1)), tolerance=0)
    pair.compare("two_way", wins.mean())
    pair.compare("correlation_distance", identification.correlation_distance(*features).mean())

    measured = pair.array("measured_fmri")
    predicted = np.broadcast_to(pair.array("pred_fmri"), measured.shape).reshape(-1, measured.shape[-1])
    measured = measured.reshape(predicted.shape)
    for name, value in (
        ("MSE", encoding.voxel_mse(predicted, measured).mean()),
        ("Pearson", encoding.pattern_r(predicted, measured).mean()),
        ("Cosine", encoding.pattern_cosine(predicted, measured).mean()),
        ("CKA", encoding.synbrain_cka(predicted, measured)),
    ):
        pair.compare(f"synbrain_voxel.{name}", value)


def check_whole_path(pair):
    """224-px stimuli and 512-px reconstructions through 256 px, both families, and network inputs."""
    recon, truth = pair.images("recon"), pair.images("gt")
    metrics = {
        "antialias_false": (pixel.PixCorr(), pixel.SSIM()),
        "antialias_true": (pixel.PixCorrV2(), pixel.SSIMV2()),
    }
    for setting, (correlation, similarity) in metrics.items():
        for name, metric in (("pixcorr", correlation), ("ssim", similarity)):
            values = metric.score(metric.prepare(recon), metric.prepare(truth))
            pair.compare(f"{setting}.{name}_per_image", values)
            pair.compare(f"{setting}.{name}", values.mean())

    small = resize(unit_range(recon[:1]), (256, 256), antialias=False)
    sizes = {"alexnet": 256, "inception": 342, "clip": 224, "efficientnet": 255, "swav": 224}
    for network, size in sizes.items():
        pair.compare(f"input_{network}_size", [size, size], tolerance=0)
        mean, spread = NETWORKS.get(network, NETWORKS["imagenet"])
        whole = (resize(small, (size, size), antialias=False)[0] - mean) / spread
        corner = (size - 16) // 2
        centre = whole[corner : corner + 16, corner : corner + 16]
        pair.compare(f"input_{network}_centre16_image0", np.moveaxis(centre, -1, 0))


CHECKS = {
    "evaluation functions of MindEye2 / SynBrain": check_functions,
    "image metrics, whole path": check_whole_path,
}


def check(pair):
    if pair.kind not in CHECKS:
        raise AssertionError(f"no check for the kind {pair.kind!r}")
    CHECKS[pair.kind](pair)
    pair.finish()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("metrics_*.json")))
def test_recorded_values_are_reproduced(name):
    check(Pair.open(name))


def test_an_unknown_kind_fails():
    with pytest.raises(AssertionError, match="no check for the kind 'a new one'"):
        check(Pair({"kind": "a new one", "expected": {}}, {}))


def test_an_output_that_nothing_compares_fails(monkeypatch):
    monkeypatch.setitem(CHECKS, "one of two", lambda pair: pair.compare("first", 1.0))
    with pytest.raises(AssertionError, match="not compared: \\['extra', 'second'\\]"):
        check(Pair({"kind": "one of two", "expected": {"first": 1.0, "second": 2.0}}, {"extra": np.ones(1)}))


def test_a_wrong_value_fails():
    pair = Pair({"kind": "", "expected": {"first": 1.0}}, {})
    with pytest.raises(AssertionError, match="first"):
        pair.compare("first", 1.0 + 3e-6)

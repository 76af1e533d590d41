"""The adapter to BERG, on a package of its interface: what is missing is said, regions come side by side."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from harness.api import ConfigError
from harness.encoders.pretrained import BergEncoder
from harness.testing import toy_subject

PACKAGE = """
import numpy as np
SIZES = {"early": 5, "ventral": 3}
class BERG:
    def __init__(self, berg_dir):
        self.folder = berg_dir
    def get_encoding_model(self, model_id, device="auto", selection=None, **more):
        print("loading", model_id)
        assert more == {"subject": 2} and model_id == "fmri-nsd-fwrf" and device == "cpu"
        return selection["roi"]
    def encode(self, model, stimulus, return_metadata=False):
        assert stimulus.dtype == np.uint8
        assert stimulus.shape[1] == 3 and stimulus.shape[2] == stimulus.shape[3]
        out = stimulus.reshape(len(stimulus), -1)[:, : SIZES[model]].astype(np.float32) + len(model)
        return (out, {"fmri": {"ncsnr": np.full(SIZES[model], 0.5)}}) if return_metadata else out
"""


@pytest.fixture
def params(tmp_path, monkeypatch):
    """Parameters of a folder of models, with a package of BERG's interface."""
    (tmp_path / "berg").mkdir()
    (tmp_path / "berg" / "__init__.py").write_text(PACKAGE)
    (tmp_path / "models" / "encoding_models").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HARNESS_ACCEPT_TERMS", "berg")
    yield BergEncoder.Params(subject=2, regions=("early", "ventral"), folder=str(tmp_path / "models"))
    sys.modules.pop("berg", None)


def test_regions_come_side_by_side_in_order(params, capsys):
    encoder = BergEncoder(params)
    space = encoder.own_space()
    assert (space.dataset, space.subject, space.n_voxels) == ("nsd", "subj02", 8)
    assert np.array_equal(space.rois["ventral"], np.arange(8) >= 5)
    assert np.array_equal(space.ncsnr, np.full(8, 0.5))
    stimuli = toy_subject(n_test=3).test.stimuli
    values = encoder.predict(stimuli, None, space=space, seeds=np.zeros((3, 2), np.uint64))
    planes = stimuli.images().transpose(0, 3, 1, 2).reshape(3, -1)
    expected = np.concatenate([planes[:, :5] + 5.0, planes[:, :3] + 7.0], axis=1)
    assert np.array_equal(values, np.repeat(expected[:, None], 2, axis=1).astype(np.float32))
    assert capsys.readouterr().out == ""


def test_package_models_and_terms_are_each_said_to_be_missing(params, monkeypatch, tmp_path):
    assert BergEncoder.missing(params, subject="") == ()
    monkeypatch.setenv("HARNESS_ACCEPT_TERMS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (line,) = BergEncoder.missing(params, subject="")
    assert line.endswith("type: harness data accept berg")
    assert "executes what a file says" in line
    lines = BergEncoder.missing(BergEncoder.Params(), subject="")
    assert "aws s3 sync --no-sign-request" in lines[0]
    monkeypatch.setattr("harness.encoders.pretrained.berg.package_folder", lambda name: None)
    assert "BERG is not installed. Type: pip install git+" in BergEncoder.missing(params, subject="")[0]
    with pytest.raises(ConfigError, match="BERG is not installed"):
        BergEncoder(params).own_space()

"""The adapter to MOSAIC, on a package of its interface: nothing is fetched; one subject is predicted."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from harness.api import ConfigError
from harness.encoders.pretrained import MosaicEncoder
from harness.testing import toy_subject

PACKAGE = """
import torch
class Network(torch.nn.Module):
    def __init__(self, framework):
        super().__init__()
        self.framework = framework
    def forward(self, x, names_and_subjects=None):
        assert x.shape[1:] == (3, 224, 224)
        out = x.mean(dim=(2, 3))
        if self.framework == "singlehead":
            assert names_and_subjects is None
            return out
        ((dataset, (subject,)),) = names_and_subjects.items()
        return {dataset: {f"sub-{subject:02}": out + subject}}
def from_pretrained(backbone_name, framework, subjects, vertices, folder):
    print("Checkpoint", folder, "already downloaded.")
    return Network(framework)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of checkpoints, with a package of MOSAIC's interface."""
    (tmp_path / "mosaic").mkdir()
    (tmp_path / "mosaic" / "__init__.py").write_text(PACKAGE)
    for framework in ("multihead", "singlehead"):
        (tmp_path / f"model-CNN8_framework-{framework}_subjects-all_vertices-visual.pth").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield str(tmp_path)
    sys.modules.pop("mosaic", None)


@pytest.mark.parametrize(("framework", "more"), [("multihead", 4.0), ("singlehead", 0.0)])
def test_the_subject_asked_for_is_predicted(folder, capsys, framework, more):
    encoder = MosaicEncoder(MosaicEncoder.Params(framework=framework, subject=4, folder=folder))
    space = encoder.own_space()
    assert (space.dataset, space.subject, space.n_voxels) == ("NSD", "sub-04", 3)
    stimuli = toy_subject(n_test=3, side=224).test.stimuli
    values = encoder.predict(stimuli, None, space=space, seeds=np.zeros((3, 1), np.uint64))[:, 0]
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    planes = torch.from_numpy(stimuli.images()).float() / 255
    expected = ((planes - mean) / sd).mean(dim=(1, 2)).numpy() + more
    assert np.allclose(values, expected, atol=1e-5)
    assert capsys.readouterr().out == ""


def test_a_checkpoint_that_is_not_there_is_said_and_not_fetched(folder, monkeypatch):
    assert MosaicEncoder.missing(MosaicEncoder.Params(folder=folder), subject="") == ()
    params = MosaicEncoder.Params(model="SwinT", folder=folder)
    (line,) = MosaicEncoder.missing(params, subject="")
    assert "model-SwinT_framework-multihead_subjects-all_vertices-visual.pth is not in" in line
    with pytest.raises(ConfigError, match="model-SwinT"):
        MosaicEncoder(params).own_space()
    monkeypatch.setattr("harness.encoders.pretrained.mosaic.package_folder", lambda name: None)
    assert "pip install mosaic-dataset" in MosaicEncoder.missing(params, subject="")[0]

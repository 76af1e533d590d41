"""Backbones by name: identity of each, what is said without weights, and imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from commands import TESTS
from named_backbones import backbone_named

from harness import plugins
from harness.api import PluginError, WeightsMissing
from harness.backbones.catalogue import PREPROCESSING


def test_backbones_of_one_network_share_weights_and_differ_in_identity(store):
    store("swav", {"module.x": torch.zeros(1)})
    backbones = [plugins.find("backbones", f"swav{end}").load()() for end in ("", "-v1", "-v2")]
    assert len({backbone.weights_sha() for backbone in backbones}) == 1
    assert len({backbone.identity() for backbone in backbones}) == 3


def test_another_filter_is_another_identity_where_it_resizes(store, monkeypatch):
    """Features of one filter are never taken for those of another."""
    from harness.backbones import preprocessing

    store("clip", {"x": torch.zeros(1)})
    ends = ("", "-v1", "-v2", "-brain-diffuser")

    def identities():
        return [plugins.find("backbones", f"clip{end}").load()().identity() for end in ends]

    before = identities()
    monkeypatch.setattr(preprocessing, "OWN_FILTER", "another")
    same = [old_identity == new_identity for old_identity, new_identity in zip(before, identities())]
    assert same == [True, False, False, True]  # bicubic, bilinear twice, Pillow


def test_a_backbone_says_what_is_wrong(images, tmp_path, monkeypatch):
    with pytest.raises(PluginError, match="backbone 'clip-v1' is not open"):
        backbone_named("clip-v1").extract(images, ["image"])
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    for name in PREPROCESSING:
        backbone = plugins.find("backbones", name).load()()
        with pytest.raises(WeightsMissing) as caught:
            backbone.identity()
        line = str(caught.value)
        assert "\n" not in line
        assert f"harness prefetch {backbone.weights}" in line


def test_importing_backbones_and_metrics_needs_no_library_of_networks():
    code = (
        "import sys\n"
        "import harness.backbones.pooled, harness.backbones.transformers_models, harness.backbones.texts\n"
        "import harness.metrics.catalogue, harness.metrics.brain_diffuser\n"
        "networks = {'torch', 'torchvision', 'transformers', 'open_clip', 'timm', 'PIL'}\n"
        "assert not networks & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS)

"""Backbones that break one promise each: the kit names it in a sentence."""

from __future__ import annotations

import random

import numpy as np
import pytest
from kit_plugins import GoodBackbone
from kit_reports import broken, check_name, one_of

from harness import plugins
from harness.testing import (
    check_backbone,
    check_plugin,
)


class _BrokenBackbone:
    """The same of backbones."""

    class contract(GoodBackbone):
        layers = ()
        interface = 99

    class signatures(GoodBackbone):
        def extract(self, images):
            return {}

    class identity(GoodBackbone):
        def identity(self):
            return str(random.random())

    class output(GoodBackbone):
        def extract(self, images, layers):
            return {
                name: values.astype(np.float64) for name, values in super().extract(images, layers).items()
            }

    class micro_batches(GoodBackbone):
        def extract(self, images, layers):
            features = super().extract(images, layers)
            return {name: values - values.mean(axis=0) for name, values in features.items()}

    class same_twice(GoodBackbone):
        def extract(self, images, layers):
            noise = np.float32(np.random.default_rng().uniform())
            return {name: values + noise for name, values in super().extract(images, layers).items()}

    class floats(GoodBackbone):
        def extract(self, images, layers):
            return {layer: images.mean(axis=(1, 2)).astype(np.float32) for layer in layers}

    class texts(GoodBackbone):
        def extract_text(self, captions):
            return np.full((len(captions), 3), np.nan)

    class printing(GoodBackbone):
        def open(self, *, device):
            print("loading")

    class random_state(GoodBackbone):
        def open(self, *, device):
            random.seed(0)


@pytest.mark.parametrize("name", broken(_BrokenBackbone))
def test_a_broken_backbone(name):
    one_of(check_backbone(getattr(_BrokenBackbone, name)), check_name(name))


def test_missing_weights_are_a_reason_and_no_finding(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    report = check_plugin(plugins.find("backbones", "clip"))
    assert report.ok
    assert any("harness prefetch clip" in why for _, why in report.skipped)

"""Scenes for the small networks."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def fresh():
    """Scenes that no network has seen, as training scripts hold them."""
    from harness.backbones.tiny.train_data import DrawnScenes
    from harness.benchmarks.scenes import describe, draw

    indices = range(800)
    return DrawnScenes(draw("tiny-unseen", indices), describe("tiny-unseen", indices))

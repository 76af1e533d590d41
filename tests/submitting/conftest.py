"""A run on the simulated cortex and its submission."""

from __future__ import annotations

import shutil

import pytest
from submissions import submitted
from toy_runs import toy_run

from harness.storage.store import Store

METRICS = ["pixcorr", "ssim", "pixel-2way", "decoded-agreement", "voxel-r", "voxel-mse", "pattern-r"]
METRICS += ["clip-100way@tiny"]  # left out: so many images there are not


@pytest.fixture(scope="session")
def kept(tmp_path_factory):
    """The store of the run."""
    return tmp_path_factory.mktemp("submitting") / "store"


@pytest.fixture(scope="session")
def run(kept):
    values = {
        "benchmark": {"n_train": 60, "n_test": 12},
        "run": {"derangements": 2, "metrics": METRICS, "rows": ["oracle"]},
    }
    return toy_run(kept.parent / "run", kept, values, benchmark="embedded", encoder="ridge", decoder="linear")


@pytest.fixture(scope="session")
def whole(run, kept):
    """The submission as it was made."""
    return submitted(run, kept.parent / "submission", Store(kept))


@pytest.fixture
def copy(whole, tmp_path):
    """The submission, to be altered."""
    shutil.copytree(whole, tmp_path / "copy")
    return tmp_path / "copy"

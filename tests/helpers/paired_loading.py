"""Small data for benchmark `paired`, and loading it."""

from __future__ import annotations

import numpy as np

from harness.benchmarks.paired import Paired
from harness.settings import resolve_params

COLOUR = np.random.default_rng(5).integers(0, 256, (6, 4, 5, 3), np.uint8)
GREY = COLOUR[..., 0]


def load(folder, subject="subj01", **params):
    params = {"base_dir": str(folder), "units": "raw", "dataset": "mine", **params}
    return Paired(resolve_params(Paired.Params, params, section="benchmark")).load(subject)


def same(first, second):
    return all(
        getattr(first, split).stimuli.sha == getattr(second, split).stimuli.sha
        and getattr(first, split).responses.sha == getattr(second, split).responses.sha
        for split in ("train", "test")
    )


def save(folder, **arrays):
    np.savez(folder / "a.npz", **arrays)
    return {"file": "a.npz"}


def small(folder, images, *, n_test=2, **params):
    """Load N images from `images` (any layout) with one response each, as `data` with a test mask."""
    n = params.pop("n", 6)
    rng = np.random.default_rng(1)
    mask = np.arange(n) >= n - n_test
    file = save(folder, x=images, y=rng.normal(size=(n, 4)), m=mask)
    return load(folder, **file, data={"images": "x", "responses": "y"}, test_mask="m", **params)

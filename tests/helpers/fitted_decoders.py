"""A decoder fitted by hand on a toy subject, and what is given to it."""

from __future__ import annotations

import numpy as np
from plain_features import PlainFeatures

from harness.api import Responses


def means(subject) -> Responses:
    measured = subject.test.responses
    return Responses.single(measured.space, measured.ids, measured.mean())


def seeds(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


def fitted(kind, params, subject, folder, *, features=None):
    decoder = kind(params)
    features = features or PlainFeatures()
    decoder.fit(subject.training(), features, seed=0, device="cpu", checkpoint_dir=folder)
    return decoder

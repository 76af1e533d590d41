"""The one experiment that the small folders of all layouts hold, and one session apart from it.

Images are shown three times over four sessions, some of them shared; responses are of the simulated cortex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from harness.benchmarks.embedded import Embedded, Params

N_SHARED, N_OWN, REPEATS, SESSIONS, V = 8, 28, 3, 4, 45
N_IMAGES = N_SHARED + N_OWN
PER_SESSION = N_IMAGES * REPEATS // SESSIONS
GRID = (6, 5, 4)
N_STIMULI = 90
SUBJECT = "subj01"


@dataclass(frozen=True)
class Experiment:
    """What was shown and measured.

    pictures : (90, 64, 64, 3) uint8, those not shown included.  order : (T,) row of `rows` in each trial,
    shared ones first; rows : (36,) place of each image among the pictures.  betas : (T, 45) percent.
    mask : (6, 5, 4) bool of 45 voxels.  labels : (45,) 1 to 3 for areas.  voxels : (45,) places in the
    simulated cortex.
    """

    pictures: np.ndarray
    rows: np.ndarray
    order: np.ndarray
    betas: np.ndarray
    mask: np.ndarray
    labels: np.ndarray
    voxels: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """(T,) place among the pictures of the image of each trial."""
        return self.rows[self.order]

    @property
    def session(self) -> np.ndarray:
        """(T,) from 1."""
        return np.arange(len(self.order)) // PER_SESSION + 1

    @property
    def is_shared(self) -> np.ndarray:
        """(T,) bool."""
        return self.order < N_SHARED


@cache
def experiment() -> Experiment:
    """The one experiment; its responses are those of a simulated cortex, as percent signal change."""
    data = Embedded(Params(n_train=N_OWN, n_test=N_SHARED, repeats=REPEATS)).load(SUBJECT)
    rng = np.random.default_rng(7)
    chosen = np.sort(rng.choice(data.space.n_voxels, V, replace=False))
    rows = np.sort(rng.choice(N_STIMULI, N_IMAGES, replace=False))
    rows = rng.permutation(rows)  # a subject's list of images is in no order
    pictures = rng.integers(0, 256, (N_STIMULI, 64, 64, 3), dtype=np.uint8)
    pictures[rows[:N_SHARED]] = data.test.stimuli.images()
    pictures[rows[N_SHARED:]] = data.train.stimuli.images()
    order = np.concatenate([rng.permutation(N_IMAGES) for _ in range(REPEATS)])
    patterns = [data.test.responses.repeats(), data.train.responses.repeats()]
    betas, seen = np.zeros((len(order), V)), np.zeros(N_IMAGES, int)
    for trial, image in enumerate(order):
        shared = image < N_SHARED
        repeats = patterns[0 if shared else 1][image if shared else image - N_SHARED]
        betas[trial] = repeats[seen[image], chosen]
        seen[image] += 1
    session = np.arange(len(order)) // PER_SESSION
    betas = 1.5 * betas + 0.4 * rng.standard_normal((SESSIONS, V))[session] + 0.8  # drifts between sessions
    mask = np.zeros(GRID, bool)
    mask.ravel()[np.sort(rng.choice(mask.size, V, replace=False))] = True
    return Experiment(pictures, rows, order, betas, mask, np.arange(V) % 3 + 1, chosen)


@dataclass(frozen=True)
class Elsewhere:
    """Other pictures, (12, 64, 64, 3) uint8, and betas (24, 45), percent, of a session of its own: each was
    shown in two trials, `order` (24,)."""

    pictures: np.ndarray
    order: np.ndarray
    betas: np.ndarray


@cache
def elsewhere() -> Elsewhere:
    """The one session apart."""
    data = Embedded(Params(n_train=4, n_test=N_SHARED + 12, repeats=2)).load(SUBJECT)
    rng, voxels = np.random.default_rng(11), experiment().voxels
    pictures = data.test.stimuli.images()[N_SHARED:]
    patterns = data.test.responses.repeats()[N_SHARED:, :, voxels]
    order = np.concatenate([rng.permutation(12), rng.permutation(12)])
    betas = np.stack([patterns[image, trial // 12] for trial, image in enumerate(order)])
    return Elsewhere(pictures, order, 1.5 * betas + 0.4 * rng.standard_normal(V) + 0.8)


def zscored() -> np.ndarray:
    """(T, V) by session, with trials of images that are not shared."""
    exp = experiment()
    out = np.empty_like(exp.betas)
    for session in range(1, SESSIONS + 1):
        of, fitted = exp.session == session, (exp.session == session) & ~exp.is_shared
        out[of] = (exp.betas[of] - exp.betas[fitted].mean(0)) / exp.betas[fitted].std(0)
    return out.astype(np.float32)

"""How much of each region is signal: noise ceilings with a test against chance, and voxels without signal.

A region's ceiling is the median over its voxels of the share of variance of means that is signal (Allen et
al. 2022). It is compared with what it is when trials are dealt to images at random, within sessions where
there are several.
"""

from __future__ import annotations

import numpy as np

from ..data import Responses, SubjectData
from ..nn.variance_components import variance_components
from .sample import evenly, trials_at
from .verdict import Judgement, Verdict

DEALS = 199
_LEVEL = 0.05
_MOST_TRIALS = 3000


def judge_ceilings(data: SubjectData, voxels: np.ndarray) -> Judgement:
    """Ceilings of regions and groups, of the split with more repeated trials."""
    split = max((data.test, data.train), key=lambda part: _repeated(part.responses))
    name = "test" if split is data.test else "training"
    if _repeated(split.responses) < 4:
        return Judgement(
            "noise ceilings",
            Verdict.UNKNOWN,
            "no image has two trials, so nothing tells signal from noise",
            advice="give the ceilings that whoever made the data published: ncsnr or noise_ceiling",
        )
    values, index, session = _trials(split.responses, voxels)
    counts = np.bincount(index)
    counts = counts[counts >= 2]
    measured = _ceilings(values, index, counts)
    rng = np.random.default_rng(0)
    dealt = np.stack([_ceilings(values, _dealt(index, session, rng), counts) for _ in range(DEALS)])
    regions = {"all voxels": np.ones(len(voxels), bool)}
    regions |= {name: members[voxels] for name, members in {**data.space.groups, **data.space.rois}.items()}
    figures, without = [], []
    for region, members in regions.items():
        if not members.any():
            continue
        ceiling = float(np.nanmedian(measured[members]))
        chance = np.nanmedian(dealt[:, members], axis=1)
        p = float((1 + (chance >= ceiling).sum()) / (1 + DEALS))
        figures.append(
            (region, f"{ceiling:.3f} (p {p:.3f}, {int(members.sum())} voxels, {np.mean(counts):.2g} trials)")
        )
        if p > _LEVEL:
            without.append(region)
    silent = float(np.mean(measured <= np.nanquantile(dealt, 1 - _LEVEL, axis=0)))
    figures.append(("voxels without signal (p > .05 each)", f"{100 * silent:.0f} %"))
    if "all voxels" in without:
        sentence = f"trials of one {name} image agree no more than trials of different ones"
        advice = (
            "see the mask (voxels above 0, not those other than -1), the z-score within sessions, "
            "and the table of trials"
        )
        return Judgement("noise ceilings", Verdict.ALARM, sentence, tuple(figures), advice)
    if without:
        sentence = f"there is signal, and none to be seen in {', '.join(without)}"
        return Judgement("noise ceilings", Verdict.NOTE, sentence, tuple(figures))
    return Judgement("noise ceilings", Verdict.GOOD, "every region has signal", tuple(figures))


def _repeated(responses: Responses) -> int:
    counts = responses.counts()
    return int(counts[counts >= 2].sum())


def _trials(responses: Responses, voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up to 3,000 trials of repeated images: (T, K) values, (T,) image from 0, (T,) session."""
    repeated = np.flatnonzero(responses.counts() >= 2)
    at = np.flatnonzero(np.isin(responses.image_index, repeated))
    if len(at) > _MOST_TRIALS:
        repeated = repeated[evenly(len(repeated), int(len(repeated) * _MOST_TRIALS / len(at)))]
        at = np.flatnonzero(np.isin(responses.image_index, repeated))
    index = np.unique(responses.image_index[at], return_inverse=True)[1]
    return trials_at(responses, at, voxels), index, responses.session[at]


def _ceilings(values: np.ndarray, index: np.ndarray, counts: np.ndarray) -> np.ndarray:
    components = variance_components([(values, index)])
    return np.nan_to_num(components.noise_ceiling(counts))


def _dealt(index: np.ndarray, session: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    dealt = index.copy()
    for number in np.unique(session):
        at = np.flatnonzero(session == number)
        dealt[at] = index[rng.permutation(at)]
    return dealt

"""Splits whose test images training does not know: no copy, no near picture, no cluster or category of it.

A copy is what :func:`.pictures.judge_pictures` alarms of: the same bytes, or the picture saved again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data import SubjectData
from ..errors import ConfigError, DataError, suggest
from ..run.flags.thumbnails import near_pairs
from ..solvers.nearest import nearest_with_r
from .sample import luminance_copies, small_pictures

CLUSTERS = 40


@dataclass(frozen=True)
class HonestSplit:
    """Ids of the test images, and how near the nearest training picture is, before and now (median r)."""

    test_ids: tuple[str, ...]
    n_images: int
    sentence: str
    before: float
    after: float


def honest_split(data: SubjectData, *, by: str, share: float, label: str = "", seed: int = 0) -> HonestSplit:
    """Whole groups of images, drawn until `share` of all images test.

    by : ``stimulus``: a picture and its copies are one group; ``cluster``: one of up to 40 clusters of small
        pictures (k-means); ``category``: images of one value of `label`; ``distance``: images one by one,
        those whose nearest other picture is farthest, their copies with them.

    Raises
    ------
    ConfigError
        A `share` outside 0 to 1, or `by` category without such a label.
    DataError
        Fewer than two groups.
    """
    if not 0 < share < 1:
        raise ConfigError(f"--share is {share}; expected a share of the images, for example 0.1")
    parts = (data.train, data.test)
    ids = [name for part in parts for name in part.stimuli.ids]
    pictures = np.concatenate([small_pictures(part) for part in parts])
    copies = _copies(data)
    rng = np.random.default_rng(seed)
    if by == "category":
        groups = _merged(_numbers(_labels(data, label)), copies)
    elif by == "cluster":
        from sklearn.cluster import KMeans

        number = max(2, min(CLUSTERS, len(set(copies)) // 5))
        groups = _merged(KMeans(number, n_init=4, random_state=seed).fit_predict(pictures), copies)
    else:
        groups = copies
    names = np.unique(groups)
    if len(names) < 2:
        raise DataError(f"all {len(ids)} images are one group ({by}); nothing is left to train on")
    order = rng.permutation(names)
    if by == "distance":
        far = _isolation(pictures, copies)
        order = names[np.argsort([far[groups == name].max() for name in names], kind="stable")]
    chosen: list[int] = []
    for name in order[:-1]:
        if chosen and np.isin(groups, chosen).sum() >= share * len(ids):
            break
        chosen.append(int(name))
    is_test = np.isin(groups, chosen)
    before = nearest_with_r(pictures[len(data.train) :], pictures[: len(data.train)])[1]
    after = nearest_with_r(pictures[is_test], pictures[~is_test])[1]
    test_ids = tuple(name for name, test in zip(ids, is_test) if test)
    sentence = f"{len(chosen)} of {len(names)} groups by {by}, none of which trains"
    return HonestSplit(
        tuple(dict.fromkeys(test_ids)), len(ids), sentence, float(np.median(before)), float(np.median(after))
    )


def _copies(data: SubjectData) -> np.ndarray:
    """(N,) number of the group of copies that each image is of, of training and then of test images."""
    stimuli = (data.train.stimuli, data.test.stimuli)
    same = _numbers([sha for images in stimuli for sha in images.image_hashes()])
    small = [luminance_copies(images) for images in stimuli]
    if small[0].shape[1:] == small[1].shape[1:]:
        small = [np.concatenate(small)]
    pairs = []
    for start, copies in zip(np.cumsum([0, *map(len, small)]), small):
        of_content = np.unique(same[start : start + len(copies)], return_index=True)[1]
        pairs.append(start + of_content[near_pairs(copies[of_content])])
    return _united(same, *np.concatenate(pairs).T)


def _isolation(pictures: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """(N,) highest correlation with a picture that is no copy."""
    first = np.unique(copies, return_index=True)[1]
    return nearest_with_r(pictures[first], pictures[first], barred=np.arange(len(first)))[1][copies]


def _labels(data: SubjectData, label: str) -> list[str]:
    shared_labels = sorted(set(data.train.stimuli.labels) & set(data.test.stimuli.labels))
    if label not in shared_labels:
        if not shared_labels:
            raise ConfigError(
                "these images have no labels; give them under labels: of paired or lab, or split --by cluster"
            )
        raise ConfigError(suggest(label, shared_labels, what="label (--label)"))
    return [str(value) for part in (data.train, data.test) for value in part.stimuli.labels[label]]


def _numbers(values: list[str]) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _merged(groups: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Groups united where a copy of an image of one is in the other."""
    first = np.unique(copies, return_index=True)[1]
    return _united(groups, first[copies], np.arange(len(copies)))


def _united(groups: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N,) `groups` in which those of image ``first[k]`` and of image ``second[k]`` are one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first)), (groups[first], groups[second])), shape=(groups.max() + 1,) * 2)
    _, of = connected_components(links, directed=False)
    return of[groups]

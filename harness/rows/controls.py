"""Image sets of every row: what was made, and the controls that need no decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..data import ImageSet, SubjectData, image_sha
from ..solvers.nearest import nearest
from ..storage.cached import Item, cached_map
from ..storage.executors import Executor
from ..storage.references import readable
from ..storage.store import Store
from .averaging import write_mean_image
from .row_images import RowImages
from .table import ROWS, row_named

ImagesByPlace = dict[tuple[str, int, int], ImageSet]
"""Finished images by (row, trial, sample)."""


def control_images(
    data: SubjectData, inputs: Mapping[str, np.ndarray], *, store: Store, executor: Executor
) -> ImagesByPlace:
    """Constant images, and the training image nearest to each row's `inputs` (N, V).

    Without inputs (images were given) the measured responses still say which one is nearest.  Without any
    training image, or any voxel, there is no such control.
    """
    ids, train = data.test.stimuli.ids, data.train
    first = data.test.stimuli.images(ids[:1])
    images = {
        ("flat-grey", -1, 0): constant_set(
            ids, np.full(first.shape[1:], 128 if first.dtype == np.uint8 else 0.5, first.dtype)
        ),
    }
    if not len(train):
        return images
    images["mean-image", -1, 0] = constant_set(ids, mean_image(train.stimuli, first.dtype, store, executor))
    if not data.measured:
        return images
    patterns = train.responses.mean()[:, data.space.valid]
    for row, responses in (inputs or {"measured": data.test.responses.mean()}).items():
        at = nearest(responses[:, data.space.valid], patterns)
        images[ROWS[row].nearest, -1, 0] = renamed(train.stimuli, at, ids)
    return images


def image_sets(by_place: ImagesByPlace, data: SubjectData) -> list[RowImages]:
    """Each row with its stimuli and the reconstructions from measured responses to compare with."""
    sets = []
    redrawn_rows = {row.redrawn for row in ROWS.values()}
    rendered = by_place.get(("generator-ceiling", -1, 0))
    for (row, trial, sample), images in by_place.items():
        if row in redrawn_rows:
            continue

        def same(others: ImageSet | None, ids: tuple[str, ...] = images.ids) -> ImageSet | None:
            return None if others is None else others.select(ids)

        facts = row_named(row)
        reference = facts.reference
        measured = by_place.get((reference, -1, sample), by_place.get((reference, -1, 0)))
        again = ROWS[reference].redrawn if reference else ""
        redrawn = by_place.get((again, -1, sample), by_place.get((again, -1, 0), measured))
        stimuli = data.test.stimuli.select(images.ids)
        sets.append(
            RowImages(row, trial, sample, images, stimuli, same(measured), same(redrawn), same(rendered))
        )
        half = by_place.get(("half-2", -1, sample), by_place.get(("half-2", -1, 0)))
        if facts.against_half and trial < 0 and half is not None:
            again = ROWS["half-2"].redrawn
            other = by_place.get((again, -1, sample), by_place.get((again, -1, 0), half))
            sets.append(
                replace(
                    sets[-1],
                    row=facts.against_half,
                    measured=same(half),
                    redrawn=same(other),
                    against_stimuli=False,
                )
            )
    return sets


def mean_image(train: ImageSet, dtype: np.dtype, store: Store, executor: Executor) -> np.ndarray:
    """(H, W, 3) mean of the training images, rounded where they are uint8."""
    ingredients = {"what": "mean-image", "train": train.sha, "dtype": str(dtype)}
    arguments = lambda: (readable(train), str(dtype))  # noqa: E731
    (artifact,) = cached_map(
        "controls", [Item(ingredients, arguments)], write_mean_image, store=store, executor=executor
    )
    return np.array(artifact.array("image"))


@dataclass(frozen=True)
class ConstantReader:
    """Reads one image (H, W, 3) whatever is asked for."""

    image: np.ndarray
    portable = True

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.image, (len(positions), *self.image.shape)).copy()


@dataclass(frozen=True)
class SameReader:
    """Reads the images of `stimuli` called `names`, of which some may be equal."""

    stimuli: ImageSet
    names: tuple[str, ...]

    @property
    def portable(self) -> bool:
        return self.stimuli.portable

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        return self.stimuli.images([self.names[k] for k in positions])


def constant_set(ids: tuple[str, ...], image: np.ndarray) -> ImageSet:
    """One image (H, W, 3) for all `ids`."""

    return ImageSet(ids, ConstantReader(image), hashes=[image_sha(image)] * len(ids))


def renamed(stimuli: ImageSet, at: np.ndarray, ids: tuple[str, ...]) -> ImageSet:
    """The images at positions `at`, under other ids; an image may stand for several."""
    names, hashes = [stimuli.ids[k] for k in at], stimuli.image_hashes()
    return ImageSet(ids, SameReader(stimuli, tuple(names)), hashes=[hashes[k] for k in at])

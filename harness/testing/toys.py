"""Small subjects, images, responses and features to try a plugin on, in milliseconds and without files.

The cortex is linear in pixels with white noise.  Subjects differ in the number of their voxels, some voxels
are masked, images have one to three repeats, captions and labels.  Nothing here says anything about a brain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..api import Responses, Split, Stimuli, SubjectData, VoxelSpace
from ..stages.extraction import BATCH, open_backbone

SIDE = 64
VOXELS = {"toy01": 24, "toy02": 31, "toy03": 17}
"""Subjects of :class:`ToyBenchmark` and their numbers of voxels."""
COLOURS = ("red", "green", "blue")


def toy_images(n: int, *, seed: int, side: int = SIDE) -> np.ndarray:
    """(n, side, side, 3) uint8: four by four patches of random colour."""
    patches = np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3))
    places = np.arange(side) * 4 // side
    return patches[:, places][:, :, places].astype(np.uint8)


def toy_stimuli(prefix: str, n: int, *, seed: int, side: int = SIDE) -> Stimuli:
    """`n` of :func:`toy_images` called ``PREFIX-000`` and on, with a caption and a label by main colour."""
    images = toy_images(n, seed=seed, side=side)
    main = np.array(COLOURS)[images.mean(axis=(1, 2)).argmax(axis=1)]
    return Stimuli.from_array(
        [f"{prefix}-{k:03d}" for k in range(n)],
        images,
        captions=[f"a {colour} pattern, number {k}" for k, colour in enumerate(main)],
        labels={"category": main},
    )


def toy_space(subject: str = "toy01", voxels: int | None = None) -> VoxelSpace:
    """A space in which every seventh voxel is masked; `voxels` by default as in :data:`VOXELS`."""
    voxels = VOXELS.get(subject, 24) if voxels is None else voxels
    number = np.arange(voxels)
    return VoxelSpace(
        *("toy", subject, "all", voxels, "zscore", f"toy-{subject}-{voxels}"),
        rois={"front": number < voxels // 2, "back": number >= voxels // 2},
        groups={"early": number < voxels // 3, "higher": number >= voxels // 3},
        ncsnr=np.linspace(0.5, 2.0, voxels),
        valid=number % 7 != 3,
    )


def toy_responses(
    space: VoxelSpace, stimuli: Stimuli, *, seed: int, noise: float = 0.5, repeats: int = 3
) -> Responses:
    """One to `repeats` trials of each of `stimuli`, shuffled; masked voxels are 0."""
    counts = 1 + np.arange(len(stimuli)) % repeats
    generator = np.random.default_rng(seed)
    index = generator.permutation(np.repeat(np.arange(len(stimuli)), counts))
    data = _signal(space, stimuli.images())[index]
    data = data + noise * generator.standard_normal(data.shape)
    data[:, ~space.valid] = 0.0
    return Responses(space, stimuli.ids, data.astype(np.float32), index, session=np.arange(len(index)) % 2)


def _signal(space: VoxelSpace, images: np.ndarray) -> np.ndarray:
    """(N, V) noise-free responses."""
    step = max(1, images.shape[1] // 4)
    pixels = images[:, step // 2 :: step, step // 2 :: step].reshape(len(images), -1) / 255.0 - 0.5
    seed = sum(space.subject.encode()) + space.n_voxels
    weights = np.random.default_rng(seed).standard_normal((pixels.shape[1], space.n_voxels))
    return pixels @ weights / np.sqrt(pixels.shape[1] / 12)


def toy_subject(
    subject: str = "toy01",
    *,
    n_train: int = 32,
    n_test: int = 12,
    side: int = SIDE,
    voxels: int | None = None,
    space: VoxelSpace | None = None,
) -> SubjectData:
    """A whole subject; two of one name are equal.  `space` : in place of a toy's."""
    space = space or toy_space(subject, voxels)
    seed = sum(subject.encode())
    train = toy_stimuli(f"{subject}-train", n_train, seed=seed, side=side)
    test = toy_stimuli("test", n_test, seed=1, side=side)
    truth = _signal(space, test.images()) * space.valid
    return SubjectData(
        space,
        Split(train, toy_responses(space, train, seed=seed + 1)),
        Split(test, toy_responses(space, test, seed=seed + 2)),
        truth=Responses.single(space, test.ids, truth),
        remeasured=toy_responses(space, test, seed=seed + 3),
    )


class ToyBenchmark:
    """Three subjects of a cortex that is linear in pixels: for tests, not for science."""

    version = "1"
    simulated = True
    generated = True

    @dataclass(frozen=True)
    class Params:
        """How many images, and how large.

        n_train, n_test : images.  side : in px.
        """

        n_train: int = 32
        n_test: int = 12
        side: int = SIDE

    def __init__(self, params: Params) -> None:
        self.params = params

    def subjects(self) -> tuple[str, ...]:
        """The subjects' names."""
        return tuple(VOXELS)

    def load(self, subject: str) -> SubjectData:
        """One subject."""
        p = self.params
        return toy_subject(subject, n_train=p.n_train, n_test=p.n_test, side=p.side)


class FeaturesInMemory:
    """Features of installed backbones, extracted when they are asked for; keeps which images were.

    Implements :class:`harness.api.Features`.
    """

    def __init__(self, *, device: str = "cpu") -> None:
        self.device = device
        self.asked: set[str] = set()
        self._backbones: dict[str, Any] = {}
        self._features: dict[tuple[str, str, str], np.ndarray] = {}

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        """(N, ...) float32 features of `stimuli`, in their order."""
        hashes = stimuli.image_hashes()
        self.asked |= set(hashes)
        missing = [k for k, sha in enumerate(hashes) if (backbone, layer, sha) not in self._features]
        for start in range(0, len(missing), BATCH):
            self._extract(backbone, layer, stimuli, missing[start : start + BATCH])
        return np.stack([self._features[backbone, layer, sha] for sha in hashes])

    def text(self, backbone: str, texts: Sequence[str]) -> np.ndarray:
        """(n, D) float32 of `texts`."""
        return np.asarray(self._opened(backbone).extract_text(list(texts)), np.float32)

    def computed(
        self,
        name: str,
        compute: Callable[[np.ndarray, int], np.ndarray],
        stimuli: Stimuli,
        *,
        identity: str,
        batch: int = 32,
    ) -> np.ndarray:
        """(N, ...) of what `compute` makes of `stimuli`, computed each time, so that draws show."""
        self.asked |= set(stimuli.image_hashes())
        starts = range(0, len(stimuli), batch)
        batches = (images for _, images in stimuli.batches(batch))
        return np.concatenate([compute(images, start) for start, images in zip(starts, batches, strict=True)])

    def _extract(self, backbone: str, layer: str, stimuli: Stimuli, places: Sequence[int]) -> None:
        images = stimuli.images([stimuli.ids[k] for k in places])
        extracted = self._opened(backbone).extract(images, [layer])[layer]
        for k, features in zip(places, extracted, strict=True):
            sha = stimuli.image_hashes()[k]
            self._features[backbone, layer, sha] = np.asarray(features, np.float32)

    def _opened(self, backbone: str) -> Any:
        if backbone not in self._backbones:
            self._backbones[backbone] = open_backbone(backbone, device=self.device)
        return self._backbones[backbone]

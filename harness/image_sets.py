"""Images named by id and read lazily: what was shown, and what was made.

Plugins import these through :mod:`harness.api`, the engine through :mod:`harness.data`.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from .errors import DataError
from .image_readers import ArrayReader, PartReader


def digest_of(*parts: bytes) -> str:
    """SHA-256 of `parts`, each with its length."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()


def image_sha(image: np.ndarray) -> str:
    """Content hash of one image (H, W, 3): dtype, shape and bytes."""
    image = np.ascontiguousarray(image)
    return digest_of(str(image.dtype).encode(), str(image.shape).encode(), image.tobytes())


class ImageSet:
    """Ordered images that are named by id and read lazily: stimuli, reconstructions, controls.

    Parameters
    ----------
    ids : N unique names.
    read : positions (n,) int -> images (n, H, W, 3), uint8, or float in [0, 1] where the source
        is float.  One that is picklable and reads in any process says so by ``portable = True``.
    hashes : N content hashes as :func:`image_sha` gives, if already known.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[np.ndarray], np.ndarray],
        *,
        hashes: Sequence[str] | None = None,
    ) -> None:
        self.ids = tuple(str(i) for i in ids)
        self._position = {name: k for k, name in enumerate(self.ids)}
        if len(self._position) != len(self.ids):
            seen: set[str] = set()
            twice = next(i for i in self.ids if i in seen or seen.add(i))
            raise DataError(f"image id '{twice}' occurs more than once; every image needs its own id")
        self._read = read
        self._hashes = None if hashes is None else tuple(hashes)
        self._check_length("hashes", hashes)

    def _check_length(self, name: str, values: Any) -> None:
        if values is not None and len(values) != len(self.ids):
            raise DataError(f"{name} has {len(values)} entries for {len(self.ids)} images")

    @classmethod
    def from_array(cls, ids: Sequence[str], images: np.ndarray, **more: Any) -> Self:
        """The set over an array or memory map `images` (N, H, W, 3)."""
        if len(ids) != len(images):
            raise DataError(f"{len(ids)} ids for {len(images)} images")
        return cls(ids, ArrayReader(images), **more)

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, ids: Sequence[str]) -> np.ndarray:
        """(n,) positions of `ids`; an absent id is a :class:`DataError`."""
        try:
            return np.array([self._position[i] for i in ids], np.int64)
        except KeyError as missing:
            raise DataError(f"no image has the id {missing}; there are {len(self)} images") from None

    def images(self, ids: Sequence[str] | None = None) -> np.ndarray:
        """Images (n, H, W, 3) of `ids`, by default all, in that order."""
        positions = np.arange(len(self)) if ids is None else self.positions(ids)
        return self._read(positions)

    def batches(self, size: int) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """Yield (ids, images) in order, `size` images at a time."""
        for start in range(0, len(self), size):
            ids = self.ids[start : start + size]
            yield ids, self.images(ids)

    def select(self, ids: Sequence[str]) -> ImageSet:
        """The same images, only `ids`, in that order."""
        at = self.positions(ids)
        return ImageSet(ids, PartReader(self._read, at), hashes=_chosen(self._hashes, at))

    def held(self) -> Self:
        """The same images, read now and held in memory."""
        return self._like(read=ArrayReader(np.asarray(self.images())))

    def hashed(self, hashes: Sequence[str]) -> Self:
        """The same images, whose content hashes are known already."""
        self._check_length("hashes", hashes)
        return self._like(hashes=tuple(hashes))

    def _like(self, **private: Any) -> Self:
        """A copy with another reader or other hashes."""
        like = copy.copy(self)
        for name, value in private.items():
            setattr(like, f"_{name}", value)
        return like

    @property
    def portable(self) -> bool:
        """Whether another process of this machine can read them when it is sent this object."""
        return bool(getattr(self._read, "portable", False))

    def image_hashes(self) -> tuple[str, ...]:
        """Content hash of every image, computed once (:func:`image_sha`)."""
        if self._hashes is None:
            self._hashes = tuple(image_sha(image) for _, batch in self.batches(256) for image in batch)
        return self._hashes

    def copies(self) -> np.ndarray | None:
        """(N,) int64 numbers, equal for images of equal content, from 0 in order; None where no two are."""
        hashes = self.image_hashes()
        number = {sha: k for k, sha in enumerate(dict.fromkeys(hashes))}
        return np.array([number[sha] for sha in hashes], np.int64) if len(number) < len(hashes) else None

    @property
    def sha(self) -> str:
        """Content hash of ids and images, in order."""
        return digest_of(*(part.encode() for pair in zip(self.ids, self.image_hashes()) for part in pair))


class Stimuli(ImageSet):
    """Images that were shown, with what is known of them.

    Parameters
    ----------
    ids, read, hashes : as for an :class:`ImageSet`.
    captions : N strings, or for each image one or more of them, optional; ``captions`` has the first of each
        and ``references`` all.
    labels : attribute -> (N,) array, optional (``category``, ``background`` ...); never given to
        an encoder or decoder that does not ask, used for look-alike scores and reports.
    """

    def __init__(
        self,
        ids: Sequence[str],
        read: Callable[[np.ndarray], np.ndarray],
        *,
        captions: Sequence[str | Sequence[str]] | None = None,
        labels: Mapping[str, np.ndarray] | None = None,
        hashes: Sequence[str] | None = None,
    ) -> None:
        super().__init__(ids, read, hashes=hashes)
        for name, values in (("captions", captions), *(labels or {}).items()):
            self._check_length(name, values)
        self.references = None if captions is None else tuple(map(_texts, captions))
        self.captions = None if self.references is None else tuple(texts[0] for texts in self.references)
        self.labels = {name: np.asarray(values) for name, values in (labels or {}).items()}

    @property
    def written_sha(self) -> str:
        """Content hash of captions and labels, in the order of the images."""
        labels = [(name, list(map(str, values))) for name, values in sorted(self.labels.items())]
        return digest_of(json.dumps([self.references, labels]).encode())

    def select(self, ids: Sequence[str]) -> Stimuli:
        """The same images with all that is known of them, only `ids`, in that order."""
        at = self.positions(ids)
        return Stimuli(
            ids,
            PartReader(self._read, at),
            captions=_chosen(self.references, at),
            labels={name: values[at] for name, values in self.labels.items()},
            hashes=_chosen(self._hashes, at),
        )

    def renamed(self, ids: Sequence[str]) -> Stimuli:
        """The same images in the same order under other `ids`."""
        more = {"captions": self.references, "labels": self.labels, "hashes": self._hashes}
        return Stimuli(ids, self._read, **more)


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else tuple(given)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(f"an image has the captions {texts}; expected one text or more")
    return texts


def _chosen(texts: Sequence[Any] | None, at: np.ndarray) -> list[Any] | None:
    return None if texts is None else [texts[k] for k in at]

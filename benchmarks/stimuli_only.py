"""Benchmark ``stimuli``: images, captions or both, without any response to them.

For what was reconstructed or captioned elsewhere (``harness score PATH --benchmark stimuli``), where the
measurements are somebody else's: a paper's supplement, a lab's folder of pictures.  No encoder and no
decoder can be run on it.  Stimuli may have no pictures; then captions alone are scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.api import ConfigError, DataError, Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.reading.arrays import as_names
from harness.reading.caption_files import read_captions
from harness.reading.ids import match_ids, require_ids
from harness.reading.image_files import ImageFolder, image_names
from harness.reading.pixels import checked_hashes

from .named_files import absent_files, is_folder, named_array, named_path
from .paired_images import ArrayImages, ChosenImages, ImageKeys, Images


@dataclass(frozen=True)
class Params(ImageKeys):
    """What was shown.  Give `images`, `captions` or both.

    Attributes
    ----------
    images : an array, ``FILE:KEY`` or a file of one array, or ``folder/`` (with the slash) of image files,
        whose names are the ids.
    ids : (N,) ids of the array's images, as an array in the same form; numbers from 0 when absent.
    captions : a ``.json`` of one or several captions for each id, or in COCO's form.
    base_dir : folder that relative paths start from; the folder of the YAML file.
    dataset : name in tables.
    image_layout, image_shape, image_order : order of the array's axes, see benchmark ``paired``.
    image_max, image_clip : value of white, and whether overshoot is cut off.
    image_resize, image_filter, image_fit : ``[height, width]`` to which images are brought, and how.
    test_sets : names of the image sets that the images are of, such as ``nsd-shared1000``.
    """

    images: str = ""
    ids: str = ""
    captions: str = ""
    base_dir: str = "."
    dataset: str = "stimuli"
    image_layout: str = ""
    image_shape: tuple[int, ...] = ()
    image_order: str = "C"
    image_max: float | None = None
    image_clip: bool = False
    image_resize: tuple[int, ...] = ()
    image_filter: str = ""
    image_fit: str = ""
    test_sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.images or self.captions):
            raise ConfigError(
                "benchmark 'stimuli' needs what was shown: --set benchmark.images=FILE.npz:KEY or "
                "folder/, or "
                "--set benchmark.captions=references.json"
            )
        if self.ids and not self.images:
            raise ConfigError("benchmark.ids are those of benchmark.images; captions bring their own")
        self.layout()
        self.resize()


class StimuliOnly:
    """Stimuli of one subject, ``all``, whose space has no voxels and which has no training images."""

    version = "1"
    simulated = False
    generated = False
    measured = False
    Params = Params

    def __init__(self, params: Params) -> None:
        self.params = params

    @staticmethod
    def missing(params: Params, *, subject: str) -> list[str]:
        """A line for each file or folder that `params` name and that is not there."""
        references = filter(None, (params.images, params.ids, params.captions))
        return absent_files(params.base_dir, references)

    def subjects(self) -> Sequence[str]:
        """``all``."""
        return ("all",)

    def test_sets(self) -> Sequence[str]:
        """Names of the sets that the images are of, as the user gave them."""
        return tuple(self.params.test_sets)

    def load(self, subject: str) -> SubjectData:
        """Read and check the stimuli; every problem is a :class:`DataError`."""
        return unmeasured(self.params.dataset, subject, self._stimuli())

    def _stimuli(self) -> Stimuli:
        params = self.params
        captions = read_captions(named_path(params.base_dir, params.captions)) if params.captions else {}
        if not params.images:
            ids = tuple(captions)
            shas = [hashlib.sha256("\0".join((name, *captions[name])).encode()).hexdigest() for name in ids]
            return Stimuli(ids, _no_pictures, captions=list(captions.values()), hashes=shas)
        ids, images = self._images()
        chosen = ChosenImages(images, np.arange(len(ids)))
        hashes = checked_hashes(ids, chosen.read, what=images.what, scale=params.scale())
        texts = None
        if captions:
            matches = match_ids(ids, captions, what=params.captions)
            if absent := [name for name in ids if name not in matches]:
                raise DataError(
                    f"{params.captions} has no caption of {len(absent)} of {len(ids)} images (first: "
                    f"'{absent[0]}'; it holds ids such as '{next(iter(captions))}')"
                )
            texts = [captions[matches[name]] for name in ids]
        return Stimuli(ids, chosen.read, captions=texts, hashes=hashes)

    def _images(self) -> tuple[tuple[str, ...], Images]:
        params = self.params
        if is_folder(params.images):
            folder = named_path(params.base_dir, params.images)
            names = image_names(folder, below=False) if folder.is_dir() else ()
            if not names:
                raise DataError(f"{folder} holds no image file")
            return names, ImageFolder(folder, list(names), scale=params.scale(), resize=params.resize())
        source = named_array(params.base_dir, params.images)
        images = ArrayImages(source, params.layout(), scale=params.scale(), resize=params.resize())
        width = max(4, len(str(len(images) - 1)))
        ids = [f"test-{k:0{width}d}" for k in range(len(images))]
        if params.ids:
            ids = as_names(named_array(params.base_dir, params.ids))
            require_ids(ids, what=params.ids)
            if len(ids) != len(images):
                raise DataError(f"{params.ids}: {len(ids)} ids for {len(images)} images of {images.what}")
        return tuple(ids), images


def unmeasured(dataset: str, subject: str, stimuli: Stimuli) -> SubjectData:
    """A subject who saw `stimuli` and of whom there is no voxel and no training image."""
    sha = hashlib.sha256(b"no voxels").hexdigest()
    space = VoxelSpace(dataset, subject, "none", 0, "raw", sha)
    nothing = Responses(space, (), np.zeros((0, 0), np.float32), np.zeros(0, np.int64))
    responses = Responses.single(space, stimuli.ids, np.zeros((len(stimuli), 0), np.float32))
    none = Stimuli((), _no_pictures, captions=(), hashes=())
    return SubjectData(space, Split(none, nothing), Split(stimuli, responses))


def _no_pictures(positions: np.ndarray) -> np.ndarray:
    if not len(positions):
        return np.zeros((0, 1, 1, 3), np.uint8)
    raise DataError("these stimuli have captions and no pictures; add benchmark.images to score images")

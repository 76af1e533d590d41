"""Which files hold a split, and which image was shown in each of its trials."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.api import DataError
from harness.reading.arrays import (
    ArraySource,
    MemoryArray,
    as_integers,
    as_names,
    as_vector,
    split_reference,
)
from harness.reading.ids import match_ids, nearest_id, require_ids
from harness.reading.image_files import ImageFolder, image_names

from .named_files import absent_files, is_folder, named_array, named_path
from .paired_images import ArrayImages, Images
from .paired_params import Params, SplitKeys
from .paired_responses import ResponseTable, measured_trials

logger = logging.getLogger(__name__)

_NAMED = 5
"""Images without a file that are named."""


@dataclass(frozen=True)
class SplitTrials:
    """A split as it lies in the files: N images and T trials of `table`.

    positions : (N,) of the images in `images`; trials : (T,) rows of `table`;
    image_index : (T,) in 0..N-1; session : (T,) or None.
    unnamed : nobody gave ids or said which image a trial showed: a row of images for each row of responses.
    """

    ids: tuple[str, ...]
    images: Images
    positions: np.ndarray
    table: ResponseTable
    trials: np.ndarray
    image_index: np.ndarray
    session: np.ndarray | None
    captions: tuple[str, ...] | None
    labels: dict[str, np.ndarray]
    unnamed: bool = False

    def lost(self) -> list[str]:
        """Ids of the images that have no file in their folder."""
        if not isinstance(self.images, ImageFolder):
            return []
        return [name for name, k in zip(self.ids, self.positions) if self.images.files[k] is None]

    def choose(self, chosen: np.ndarray) -> SplitTrials:
        """Only the images at `chosen` (n,), with their trials."""
        place = np.full(len(self.ids), -1)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.image_index] >= 0
        return SplitTrials(
            tuple(self.ids[k] for k in chosen),
            self.images,
            self.positions[chosen],
            self.table,
            self.trials[kept],
            place[self.image_index[kept]],
            None if self.session is None else self.session[kept],
            None if self.captions is None else tuple(self.captions[k] for k in chosen),
            {name: values[chosen] for name, values in self.labels.items()},
            self.unnamed,
        )

    def merged(self, hashes: Sequence[str]) -> tuple[SplitTrials, tuple[str, ...]]:
        """With images of one content as one image of several trials, if they are `unnamed`; and the hashes.

        The image goes by the id, caption and labels of its first copy.
        """
        first: dict[str, int] = {}
        copies = np.array([first.setdefault(sha, k) for k, sha in enumerate(hashes)], np.int64)
        kept = np.unique(copies)
        if not self.unnamed or len(kept) == len(copies):
            return self, tuple(hashes)
        logger.warning(
            "%s holds %d images without ids, of %d different pictures: copies are taken for trials of one "
            "image, called as the first of them; to keep them apart give each an id, ids: KEY",
            self.images.what,
            len(copies),
            len(kept),
            extra={"flag": "copies-are-trials"},
        )
        everyone = replace(self, image_index=copies[self.image_index])
        return everyone.choose(kept), tuple(hashes[k] for k in kept)


class SubjectFiles:
    """Opens what the parameters name, for one subject."""

    def __init__(self, params: Params, subject: str) -> None:
        self.params, self.subject = params, subject
        main = params.file or split_reference(next(iter(params.splits().values())).responses)[0]
        stem = Path(main).name.partition(".")[0].replace("{subject}", "").strip("_-. ")
        self.dataset = params.dataset or stem or "paired"

    def open(self, reference: str) -> ArraySource:
        """The array that `reference` names."""
        of_subject = reference.replace("{subject}", self.subject)
        return named_array(self.params.base_dir, of_subject, file=self._file, advice="add file: FILE, or ")

    def missing(self) -> list[str]:
        """A line for each file or folder that the parameters name and that is not there."""
        references = [name.replace("{subject}", self.subject) for name in self.params.references()]
        return absent_files(self.params.base_dir, references, file=self._file)

    def trials(self, name: str, keys: SplitKeys) -> SplitTrials:
        """The images and trials that `keys` name; images without a trial are left out."""
        table = ResponseTable(self.open(keys.responses), self.params.responses_layout)
        ids = as_names(self.open(keys.ids)) if keys.ids else None
        shown = as_names(self.open(keys.image_ids)) if keys.image_ids else None
        for given, key in ((ids, keys.ids), (shown, keys.image_ids)):
            if given is not None:
                require_ids(given, what=f"{name}: {key}", unique=given is ids)
        images = self._images(keys, ids=ids, shown=shown)
        if isinstance(images, ImageFolder) and ids is None:
            ids = list(dict.fromkeys(shown))
        if ids is not None and len(ids) != len(images):
            raise DataError(f"{name}: {len(ids)} ids for {len(images)} images of {images.what}")
        if ids is None:
            prefix, width = "image" if name == "data" else name, max(4, len(str(len(images) - 1)))
            ids = [f"{prefix}-{k:0{width}d}" for k in range(len(images))]
        image_index = self._image_index(name, keys, table, ids=ids, shown=shown)
        session = self._session(name, keys, table)
        trials = measured_trials(table, name=name, exclude=self.params.exclude)
        used, compact = np.unique(image_index[trials], return_inverse=True)
        if len(used) < len(ids):
            logger.info(
                "%s: %d of %d images have no trial and are left out", name, len(ids) - len(used), len(ids)
            )
        captions = as_names(self.open(keys.captions)) if keys.captions else None
        labels = {label: as_vector(self.open(key)) for label, key in keys.labels.items()}
        for what, values in (("captions", captions), *labels.items()):
            if values is not None and len(values) != len(ids):
                raise DataError(f"{name}: {what} has {len(values)} entries for {len(ids)} images")
        return SplitTrials(
            tuple(ids[k] for k in used),
            images,
            used,
            table,
            trials,
            compact,
            None if session is None else session[trials],
            None if captions is None else tuple(captions[k] for k in used),
            {label: _whole(values)[used] for label, values in labels.items()},
            unnamed=not (keys.ids or keys.image_ids or keys.image_index),
        )

    def _images(self, keys: SplitKeys, *, ids: list[str] | None, shown: list[str] | None) -> Images:
        reference = keys.images.replace("{subject}", self.subject)
        if not is_folder(reference):
            source, layout = self.open(reference), self.params.layout()
            return ArrayImages(source, layout, scale=self.params.scale(), resize=self.params.resize())
        folder = named_path(self.params.base_dir, reference)
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}")
        names = ids if ids is not None else shown
        if names is None:
            listing = f"ls {folder}" if image_names(folder, below=False) else f"(cd {folder} && ls -d */*)"
            raise DataError(
                f"images in the folder {folder} need ids, in the order of the responses; if that is the "
                f"order of the file names, type: {listing} > ids.txt, and add ids: ids.txt"
            )
        return ImageFolder(
            folder, list(dict.fromkeys(names)), scale=self.params.scale(), resize=self.params.resize()
        )

    def _image_index(
        self, name: str, keys: SplitKeys, table: ResponseTable, *, ids: list[str], shown: list[str] | None
    ) -> np.ndarray:
        n_trials = table.shape[0]
        if self.params.responses_layout == "images-repeats-voxels":
            if keys.image_index or keys.image_ids:
                raise DataError(
                    f"{name}: responses of (images, repeats, voxels) are one row per image; leave out "
                    "image_index and image_ids"
                )
            index, n_rows = np.arange(n_trials) // table.repeats, n_trials // table.repeats
            if n_rows != len(ids):
                raise DataError(
                    f"{name}: {table.what} has {n_rows} images; expected {len(ids)}, as there are images"
                )
            return index
        if keys.image_index:
            given = keys.image_index
            index = as_integers(self.open(given)) - self.params.index_base
        elif shown is not None:
            given = keys.image_ids
            matches = match_ids(shown, ids, what=f"{name}: {keys.ids or 'the folder of images'}")
            absent = sorted(set(shown) - set(matches))
            if absent:
                hint = "" if keys.ids else "; name the ids of the images as well, ids: KEY"
                raise DataError(absent_ids(absent, ids, what=f"{name}: {given}") + hint)
            place = {image: k for k, image in enumerate(ids)}
            index = np.array([place[matches[image]] for image in shown], np.int64)
        elif n_trials != len(ids):
            raise DataError(
                f"{name}: {n_trials} responses for {len(ids)} images; with several trials per image add "
                "image_index: KEY or image_ids: KEY, one entry per trial; if voxels come first add "
                "responses_layout: voxels-first"
            )
        else:
            return np.arange(n_trials)
        if len(index) != n_trials:
            raise DataError(f"{name}: {given} has {len(index)} entries for {n_trials} trials of {table.what}")
        if index.min() < 0 or index.max() >= len(ids):
            base = self.params.index_base
            raise DataError(
                f"{name}: {given} runs from {index.min() + base} to {index.max() + base}; expected {base} to "
                f"{len(ids) - 1 + base} for {len(ids)} images counted from {base} (index_base)"
            )
        return index

    def _session(self, name: str, keys: SplitKeys, table: ResponseTable) -> np.ndarray | None:
        if not keys.session:
            return None
        source = self.open(keys.session)
        n_trials = table.shape[0]
        if source.shape == (n_trials // table.repeats, table.repeats):
            source = MemoryArray(source.read().ravel(), source.what)
        session = as_integers(source)
        if len(session) != n_trials:
            raise DataError(f"{name}: {keys.session} has {len(session)} entries for {n_trials} trials")
        return session

    @property
    def _file(self) -> str:
        """The file of bare keys, or ``""``."""
        return self.params.file.replace("{subject}", self.subject)


def lost_images(part: SplitTrials, other: SplitTrials, lost: Sequence[str], *, split: str) -> str:
    """That the images `lost` of `part` have no file, and which file the first may be.

    other : the other split, whose files are not meant.
    """
    few = ", ".join(f"'{name}'" for name in lost[:_NAMED]) + (" ..." if len(lost) > _NAMED else "")
    folders = [other.images] if isinstance(other.images, ImageFolder) else []
    near = part.images.near(lost[0], *folders)
    hint = f", did you mean '{near}'?" if near else ""
    return (
        f"{part.images.folder} holds no image file for {len(lost)} of {len(part.ids)} {split} images "
        f"({few}{hint})"
    )


def absent_ids(absent: Sequence[str], ids: Sequence[str], *, what: str) -> str:
    near = nearest_id(absent[0], ids)
    hint = f"; did you mean '{near}'?" if near else ""
    return f"{what}: {len(absent)} ids belong to no image, for example '{absent[0]}'{hint}"


def _whole(values: np.ndarray) -> np.ndarray:
    """MATLAB's numbers are doubles; labels without a fraction become integers again."""
    if values.dtype.kind == "f" and np.array_equal(values, np.round(values)):
        return values.astype(np.int64)
    return values

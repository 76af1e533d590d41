"""What a user writes about his own images and responses: which files, which keys, which layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.api import ConfigError, suggest, units
from harness.reading.ids import typed_ids

from .paired_images import ImageKeys
from .paired_responses import LAYOUTS

EXCLUSIONS = ("nan", "constant", "zero")


@dataclass(frozen=True)
class SplitKeys:
    """Where the images and responses of a split are.

    Every value names an array: ``key`` of the benchmark's `file`, or ``other.h5:key``, or a file of
    one array such as ``betas.npy`` or ``ids.txt``; ``{subject}`` stands for the subject's name.

    Attributes
    ----------
    images : array in `image_layout`, or ``folder/`` (with the slash) of image files named by id, with or
        without their endings; ids with slashes are paths below the folder.
    responses : array in `responses_layout`.
    ids : (N,) id of each image, text or numbers; made from the split's name when absent.
    image_index : (T,) place in `images` of each trial's image, counted from `index_base`.
    image_ids : (T,) id of each trial's image, in place of `image_index`.
    session : (T,) session number of each trial; (N, R) where responses are (N, R, V).
    captions : (N,) texts.
    labels : attribute -> (N,) array.
    """

    images: str = ""
    responses: str = ""
    ids: str = ""
    image_index: str = ""
    image_ids: str = ""
    session: str = ""
    captions: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("images", "responses"):
            if not getattr(self, name):
                raise ConfigError(f"a split needs the key of its {name}; add {name}: KEY beside the others")
        if self.image_index and self.image_ids:
            raise ConfigError("image_index and image_ids are both given; keep one of them")

    @classmethod
    def read(cls, given: Any, *, where: str) -> SplitKeys:
        """From a mapping; unknown keys suggest the near name."""
        if isinstance(given, cls):
            return given
        example = f"{where}: {{images: KEY, responses: KEY}}"
        if not isinstance(given, Mapping):
            raise ConfigError(f"{where} is {given!r}; expected keys and values, for example {example}")
        keys = [f.name for f in dataclasses.fields(cls)]
        for key, value in given.items():
            if key not in keys:
                raise ConfigError(suggest(str(key), keys, what=f"key of {where}"))
            kind, word = (Mapping, "names and keys") if key == "labels" else (str, "the key of an array")
            if not isinstance(value, kind):
                raise ConfigError(f"{where}.{key} is {value!r}; expected {word}")
        for name, key in given.get("labels", {}).items():
            if not isinstance(key, str):
                raise ConfigError(f"{where}.labels.{name} is {key!r}; expected the key of an array")
        return cls(**given)


@dataclass(frozen=True)
class Params(ImageKeys):
    """A user's data set.  Give `train` and `test`, or `data` with `test_ids` or `test_mask`.

    Attributes
    ----------
    file : file that bare keys refer to, of any format of :mod:`harness.reading.arrays`.
    base_dir : folder that relative paths start from; the folder of the YAML file.
    train, test, data : where images and responses are (:class:`SplitKeys`).
    test_ids : ids of the test images of `data`, as a list or the name of an array; leading zeros and the
        endings of image files need not be as in the file (:func:`harness.reading.ids.match_ids`).
    test_mask : name of an (N,) array, true for the test images of `data`.
    dataset : name in tables; the stem of the file when empty.
    subjects : names put in place of ``{subject}``; one subject, ``subj01``, when empty.
    image_layout, image_shape, image_order : see :class:`.paired_images.ImageLayout`.
    image_max : the value of white, where it is not 255 for whole numbers and 1 for float.
    image_clip : cut off what lies up to a fifth of white beyond black and white, as sharp resize filters
        leave it (overshoot); without it, more than a thousandth is an error.
    image_resize, image_filter, image_fit : ``[height, width]`` to which images are brought; ``lanczos``,
        ``bicubic``, ``bilinear`` or ``area``, with antialiasing; and for images of another shape
        ``center-crop`` or ``stretch``.  Images of unequal size are an error without it.
    allow_missing_images : leave out training images that have no file in their folder, with their trials:
        true, or a list of the ids that may be missing.  A test image is never left out.
    responses_layout : ``trials-first`` (T, V), ``voxels-first`` (V, T) or
        ``images-repeats-voxels`` (N, R, V), where a repeat of NaN only is one not measured.  In any
        layout a trial that is NaN in every voxel is left out, with a warning.
    index_base : 0 or 1, what `image_index` counts from; stated wherever `image_index` is.
    units : ``raw``, ``percent``, ``raw/300`` (the same), ``raw/2000`` (of NSD's whole numbers), ``zscore`` or
        ``zscore_session``, of the responses in the file.
    normalise : ``none``, ``zscore`` or ``zscore_session``: z-score with the mean and population
        standard deviation of the training trials (of the same session); or ``percent``, ``raw/300`` or
        ``raw/2000``: bring them to these units.
    exclude : ``nan`` and ``constant``: mask such voxels, those whose ncsnr is NaN included; ``zero``: leave
        out trials that are 0 in every voxel.  Without it they are errors; voxels that are constant over the
        test trials alone are flagged.
    mask : name of the set of voxels.
    rois : name -> (V,) array of 0 and 1.
    roi_labels, roi_names : (V,) array of whole numbers, and name -> number.
    groups : cortical group -> names of ROIs that it unites.
    ncsnr : (V,) noise-ceiling SNR, SD of signal over SD of a single trial's noise; estimated from all
        repeats of training and test images when absent.
    noise_ceiling, noise_ceiling_max, noise_ceiling_trials : in its place (V,) noise ceilings, the value of a
        perfect one (100 for percent, else 1), and the number of trials whose mean they are for.
    coordinates : (V, 3) or (V, 2) positions.
    allow_overlap : let test images be training images under another id.
    training_sets, test_sets : names of the image sets that the images are of, such as
        ``nsd-shared1000``, so that models which were trained on them elsewhere are flagged.
    """

    file: str = ""
    base_dir: str = "."
    train: SplitKeys | Mapping[str, Any] | None = None
    test: SplitKeys | Mapping[str, Any] | None = None
    data: SplitKeys | Mapping[str, Any] | None = None
    test_ids: str | tuple[str | int | float | bool | None, ...] = ()
    test_mask: str = ""
    dataset: str = ""
    subjects: tuple[str, ...] = ()
    image_layout: str = ""
    image_shape: tuple[int, ...] = ()
    image_order: str = "C"
    image_max: float | None = None
    image_clip: bool = False
    image_resize: tuple[int, ...] = ()
    image_filter: str = ""
    image_fit: str = ""
    allow_missing_images: bool | tuple[str | int, ...] = False
    responses_layout: str = "trials-first"
    index_base: int | None = None
    units: str = ""
    normalise: str = "none"
    exclude: tuple[str, ...] = ()
    mask: str = "all"
    rois: Mapping[str, str] = field(default_factory=dict)
    roi_labels: str = ""
    roi_names: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ncsnr: str = ""
    noise_ceiling: str = ""
    noise_ceiling_max: int | None = None
    noise_ceiling_trials: int | None = None
    coordinates: str = ""
    allow_overlap: bool = False
    training_sets: tuple[str, ...] = ()
    test_sets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("train", "test", "data"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, SplitKeys.read(given, where=name))
        if not isinstance(self.test_ids, str):
            object.__setattr__(self, "test_ids", typed_ids(self.test_ids, what="test_ids"))
        self._check_splits()
        if not self.units:
            raise ConfigError(
                f"the units of the responses are not stated; add units: and one of {', '.join(units.UNITS)}"
            )
        self._check_choices()
        if self.index_base not in (None, 0, 1):
            raise ConfigError(f"index_base is {self.index_base}; expected 0, or 1 as in MATLAB")
        if self.index_base is None and any(keys.image_index for keys in self.splits().values()):
            raise ConfigError("image_index needs index_base: 0, or 1 where the first image is number 1")
        if bool(self.roi_labels) != bool(self.roi_names):
            raise ConfigError("roi_labels and roi_names go together, for example roi_names: {V1: 1, V2: 2}")
        rois = {*self.rois, *self.roi_names}
        for group, members in self.groups.items():
            for roi in members:
                if roi not in rois:
                    raise ConfigError(suggest(roi, rois, what=f"ROI of group '{group}'"))
        self._check_ceiling()
        self.layout()
        self.scale()
        self.resize()
        self._check_subjects()

    def splits(self) -> dict[str, SplitKeys]:
        """The splits that are given, by name."""
        return {name: keys for name in ("train", "test", "data") if (keys := getattr(self, name)) is not None}

    def references(self) -> list[str]:
        """Every file and array that the parameters name."""
        named = [
            self.file,
            self.test_mask,
            self.roi_labels,
            self.ncsnr,
            self.noise_ceiling,
            self.coordinates,
            *self.rois.values(),
        ]
        named += [self.test_ids] if isinstance(self.test_ids, str) else []
        for keys in self.splits().values():
            named += [getattr(keys, f.name) for f in dataclasses.fields(keys) if f.name != "labels"]
            named += list(keys.labels.values())
        return [reference for reference in named if reference]

    def _check_splits(self) -> None:
        marks = bool(self.test_ids) + bool(self.test_mask)
        if self.data is None:
            if self.train is None or self.test is None:
                raise ConfigError(
                    "name the arrays of both splits, train: {images: KEY, responses: KEY} and test: the "
                    "same; or data: with test_ids or test_mask"
                )
            if marks:
                raise ConfigError("test_ids and test_mask divide `data`; with train and test leave them out")
        elif self.train is not None or self.test is not None:
            raise ConfigError("give either data or train and test, not both")
        elif marks != 1:
            raise ConfigError("data needs one of test_ids and test_mask, to tell the test images")

    def _check_choices(self) -> None:
        choices = {
            "units": units.UNITS,
            "normalise": units.BROUGHT_TO,
            "responses_layout": LAYOUTS,
        }
        for name, allowed in choices.items():
            given = getattr(self, name)
            if given not in allowed:
                raise ConfigError(suggest(given, allowed, what=name))
        for given in self.exclude:
            if given not in EXCLUSIONS:
                raise ConfigError(suggest(given, EXCLUSIONS, what="reason to exclude"))

    def _check_ceiling(self) -> None:
        given = (self.noise_ceiling_max, self.noise_ceiling_trials)
        if not self.noise_ceiling:
            if given != (None, None):
                raise ConfigError(
                    "noise_ceiling_max and noise_ceiling_trials need the ceilings; add noise_ceiling: KEY"
                )
            return
        if self.ncsnr:
            raise ConfigError("ncsnr and noise_ceiling say the same in two ways; keep one of them")
        if self.noise_ceiling_max not in (1, 100):
            raise ConfigError(
                f"noise_ceiling_max is {self.noise_ceiling_max}; type 100 where noise_ceiling is in percent, "
                "else 1"
            )
        if not self.noise_ceiling_trials or self.noise_ceiling_trials < 1:
            raise ConfigError(
                f"noise_ceiling_trials is {self.noise_ceiling_trials}; type how many trials were averaged in "
                "the responses that noise_ceiling is for, for example noise_ceiling_trials: 3"
            )

    def _check_subjects(self) -> None:
        if len(set(self.subjects)) != len(self.subjects):
            raise ConfigError(f"subjects {', '.join(self.subjects)}: a name occurs more than once")
        varies = any("{subject}" in reference for reference in self.references())
        if varies and not self.subjects:
            raise ConfigError(
                "file names hold {subject}, but no subjects are listed; add subjects: [subj01, ...]"
            )
        if len(self.subjects) > 1 and not varies:
            raise ConfigError(
                f"{len(self.subjects)} subjects share the same files; put {{subject}} into the name of "
                "the file or key of the responses"
            )

"""A layout as a benchmark: choose sessions and a test set, normalise, assemble."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import ConfigError, DataError, SubjectData, suggest, units
from harness.reading.arrays import as_names, open_array
from harness.reading.ids import match_ids, require_ids
from harness.reading.image_files import ImageFolder
from harness.reading.pixels import Scale
from harness.reading.resizing import FILTERS, Resize
from harness.reading.terms import require_terms

from ..assembly import Assembly
from ..paired_images import YAML
from ..paired_responses import measured_trials
from ..paired_trials import SplitTrials
from .manifest import Manifest, examine, read_manifest
from .recording import Recording

logger = logging.getLogger(__name__)

SPLITS = ("images", "trials")

FOLDER = replace(
    YAML, sizes="give image_size: {height}, to which pictures are cut to their centre square and resized"
)
"""What can be typed about the pictures of a layout."""


@dataclass(frozen=True)
class Params:
    """Where the files are and what is made of them.

    Attributes
    ----------
    root : folder of the download, as its manifest describes it (``harness data check NAME --root DIR``).
    test : name of the test set, or a file with the ids of its images, one a line (``ids.txt``, as ``harness
        data split`` writes it); the layout's own when empty.
    split : ``images``: no test image is a training image; ``trials``: one trial of every image of several
        tests and the others train, as some papers do, and the run is flagged.
    sessions : train with the trials of the first so many sessions; test trials are of all.
    normalise : ``none``, ``zscore`` or ``zscore_session``, with trials that are of no test image, those of
        sessions that do not train included; or units, ``percent``, ``raw/300`` (the same) or ``raw/2000``;
        what suits the layout when empty.
    exclude : ``nan`` and ``constant``: mask such voxels, instead of refusing the data; ``zero``: leave out
        trials of zeros.
    image_size : side to which pictures are brought, 0 for the files' own; image_filter : how.
    """

    root: str = ""
    test: str = ""
    split: str = "images"
    sessions: int | None = None
    normalise: str = ""
    exclude: tuple[str, ...] = ("nan", "constant")
    image_size: int = 0
    image_filter: str = "area"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("split", SPLITS),
            ("normalise", ("", *units.BROUGHT_TO)),
            ("image_filter", FILTERS),
        ):
            if getattr(self, name) not in allowed:
                raise ConfigError(suggest(getattr(self, name), allowed, what=name))
        if self.sessions is not None and self.sessions < 1:
            raise ConfigError(
                f"benchmark.sessions is {self.sessions}; expected 1 or more, or nothing for all"
            )
        if self.image_size < 0:
            raise ConfigError(f"benchmark.image_size is {self.image_size}; expected a number of pixels, or 0")

    def resize(self) -> Resize:
        """To which size pictures are brought."""
        if not self.image_size:
            return Resize()
        return Resize((self.image_size, self.image_size), self.image_filter, "center-crop")


class LayoutBenchmark(ABC):
    """What all layouts share; a layout is a manifest and :meth:`read`.

    images_of : name of the images, such as ``nsd``, of which the test sets are parts.
    """

    version: ClassVar[str] = "1"
    simulated: ClassVar[bool] = False
    generated: ClassVar[bool] = False
    Params: ClassVar[type] = Params
    layout: ClassVar[str]
    images_of: ClassVar[str]
    normalise: ClassVar[str] = "zscore_session"
    default_test: ClassVar[str]

    def __init__(self, params: Params) -> None:
        self.params = params

    @classmethod
    def manifest(cls) -> Manifest:
        """What the layout's files are."""
        return read_manifest(cls.layout)

    @classmethod
    def missing(cls, params: Params, *, subject: str) -> list[str]:
        """A line for each file of `subject` that is not there; no file's content is read."""
        if not params.root:
            return [_no_root(cls.manifest())]
        manifest, root = cls.manifest(), Path(params.root).expanduser()
        return list(manifest.missing(root, subject, manifest.find(root, subject)).values())

    @property
    def root(self) -> Path:
        """The folder of the download; an absent one is a :class:`DataError`."""
        if not self.params.root:
            raise ConfigError(_no_root(self.manifest()))
        root = Path(self.params.root).expanduser()
        if not root.is_dir():
            raise DataError(f"there is no folder {root}; {_where(self.manifest())}")
        return root

    def subjects(self) -> Sequence[str]:
        """The subjects that have files under the root."""
        names = self.manifest().subjects(self.root)
        if not names:
            raise DataError(
                f"{self.root} holds no subject of {self.manifest().title}; see what was expected: "
                f"harness data check {self.layout} --root {self.root}"
            )
        return names

    def test_sets(self) -> Sequence[str]:
        """The image set that test images are of (:mod:`harness.run.overlaps`)."""
        name = self.params.test or self.default_test
        return () if is_list(name) else (f"{self.images_of}-{name}",)

    def pictures(self, folder: Path, names: Sequence[str], resize: Resize | None = None) -> ImageFolder:
        """The pictures `names` of `folder`, of which none may be absent; of the size that was asked for."""
        resize = resize or self.params.resize()
        return ImageFolder(folder, names, scale=Scale(door=FOLDER), resize=resize).complete()

    @abstractmethod
    def read(self, root: Path, subject: str) -> Recording:
        """The subject's trials, before any split."""

    def prepare(self, subject: str) -> Recording:
        """Check terms and files, and read; a damaged or missing file is a :class:`DataError`."""
        manifest = self.manifest()
        require_terms(manifest.terms)
        subjects = self.subjects()
        if subject not in subjects:
            raise DataError(suggest(subject, subjects, what="subject"))
        problems = [line for finding in examine(manifest, self.root, subject) for line in finding.problems]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise DataError(
                f"{problems[0]}{more}; see all: harness data check {self.layout} --root {self.root}"
            )
        return self.read(self.root, subject)

    def load(self, subject: str) -> SubjectData:
        """Read, split, normalise and check one subject's data."""
        recording = self.prepare(subject)
        train, test = self._split(recording)
        scaled_by = train
        if self.params.sessions is not None:
            train = first_sessions(train, self.params.sessions)
        assembly = Assembly(
            self.manifest().dataset,
            subject,
            recording.mask,
            recording.units,
            self._normalise(recording),
            tuple(self.params.exclude),
            shared_ids=self.params.split == "trials",
            allow_overlap=self.params.split == "trials",
            scale=Scale(door=FOLDER),
            test_scale=self.test_scale(),
        )
        return assembly.subject_data(train, test, recording.facts, scaled_by=scaled_by)

    def test_scale(self) -> str:
        """How test trials of a session of their own are scaled (:class:`..assembly.Assembly`)."""
        return ""

    def _measured(self, trials: SplitTrials) -> SplitTrials:
        table, listed = trials.table, trials.trials
        rows = measured_trials(table, name=table.what, exclude=self.params.exclude, listed=listed)
        kept = np.isin(trials.trials, rows)
        return trials if kept.all() else chosen_trials(trials, kept)

    def _normalise(self, recording: Recording) -> str:
        asked = self.params.normalise
        if not recording.normalised:
            return asked or self.normalise
        if asked not in ("", "none"):
            raise ConfigError(
                f"the responses of {self.layout} are z-scored as they come, by statistics that are not among "
                f"its files; leave out normalise: {asked}"
            )
        return "none"

    def _split(self, recording: Recording) -> tuple[SplitTrials, SplitTrials]:
        name, trials = self.params.test or self.default_test, self._measured(recording.trials)
        if name in recording.apart:
            if self.params.split == "trials":
                raise ConfigError(f"the test set '{name}' was measured apart; leave out split: trials")
            return trials, self._measured(recording.apart[name])
        if self.params.split == "trials":
            return self._by_trial(trials)
        if is_list(name) and recording.apart:
            raise ConfigError(
                f"test images of {self.layout} were measured apart, so that test: names one of "
                f"{', '.join(recording.apart)} and no list"
            )
        if is_list(name):
            names = as_names(open_array(Path(name).expanduser()))
            held_out = listed_images(names, trials.ids, where=name, what=trials.table.what)
        elif name in recording.test_sets:
            held_out = np.isin(trials.ids, list(recording.test_sets[name]))
        else:
            sets = (*recording.test_sets, *recording.apart)
            raise ConfigError(suggest(name, sets, what="test set"))
        if held_out.all() or not held_out.any():
            raise DataError(
                f"{held_out.sum()} of {len(held_out)} images of {trials.table.what} are of the test set "
                f"'{name}'; both splits need some"
            )
        trains = ~held_out
        if name in recording.training_sets:
            trains &= np.isin(trials.ids, list(recording.training_sets[name]))
        if not trains.any():
            raise DataError(f"none of the images of {trials.table.what} trains beside the test set '{name}'")
        return trials.choose(np.flatnonzero(trains)), trials.choose(np.flatnonzero(held_out))

    def _by_trial(self, trials: SplitTrials) -> tuple[SplitTrials, SplitTrials]:
        order = np.argsort(trials.image_index, kind="stable")
        counts = np.bincount(trials.image_index, minlength=len(trials.ids))
        starts = np.cumsum(counts) - counts
        held_out = np.zeros(len(trials.trials), bool)
        for name, start, count in zip(trials.ids, starts, counts):
            if count > 1:  # one by the hash of the id, so that no session is without training trials
                held_out[order[start + _hash(name) % int(count)]] = True
        if not held_out.any():
            raise DataError("split: trials needs images of several trials; here each has one")
        logger.warning(
            "split: trials: all %d test images were seen in training, with another trial's response",
            len(np.unique(trials.image_index[held_out])),
            extra={"flag": "trained-on-test-images"},
        )
        return chosen_trials(trials, ~held_out), chosen_trials(trials, held_out)


def listed_images(names: Sequence[str], ids: Sequence[str], *, where: str, what: str) -> np.ndarray:
    """(N,) bool: those of the `ids` of `what` that a list of test images, which stands `where`, names."""
    require_ids(names, what=where)
    matches = match_ids(names, ids, what=what)
    absent = [name for name in names if name not in matches]
    if absent:
        raise DataError(
            f"{where} names {len(absent)} images that were not shown (for example '{absent[0]}'); the "
            f"images are called such as '{ids[0]}'"
        )
    return np.isin(ids, list(matches.values()))


def chosen_trials(trials: SplitTrials, kept: np.ndarray) -> SplitTrials:
    """Only the trials where `kept` (T,) is true, and the images that have one of them."""
    used = np.unique(trials.image_index[kept])
    fewer = replace(
        trials,
        trials=trials.trials[kept],
        image_index=trials.image_index[kept],
        session=None if trials.session is None else trials.session[kept],
    )
    return fewer.choose(used)


def first_sessions(trials: SplitTrials, count: int) -> SplitTrials:
    """Only the trials of the first `count` sessions."""
    if trials.session is None:
        raise ConfigError("sessions: these files do not say in which session a trial was; leave it out")
    present = np.unique(trials.session)
    if count > len(present):
        raise ConfigError(f"sessions is {count}; these files hold {len(present)}")
    return chosen_trials(trials, np.isin(trials.session, present[:count]))


def is_list(name: str) -> bool:
    """Whether a test set is named by a file with its images' ids."""
    return name.endswith((".txt", ".json"))


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def _no_root(manifest: Manifest) -> str:
    return f"the folder of {manifest.title} is not named; type --set benchmark.root=DIR; {_where(manifest)}"


def _where(manifest: Manifest) -> str:
    return f"where to get it: {manifest.ask}"

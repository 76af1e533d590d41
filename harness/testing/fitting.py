"""Checks of whatever is fitted, encoders and decoders: what they share is fitting, saving and resuming."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..api import Responses, Split, SubjectData
from ..errors import SpaceMismatch
from ..progress import listening
from ..stages.fit import texts_wanted, wanted
from ..storage.content import digest
from .case import SAME, Case, differs
from .report import NotChecked, Problem
from .toys import FeaturesInMemory, toy_space, toy_subject

MASKED_VALUE = 1e3
"""What stands in masked voxels when nothing may look at them."""


class Interrupted(BaseException):
    """A fit that is stopped in its midst, as by ``kill``."""


class FittedCase(Case, ABC):
    """An encoder or decoder.  `subjects` : toys with different numbers of voxels, or your own."""

    def __init__(
        self, plugin: Any, params: Any = None, *, subjects: tuple[SubjectData, ...] = (), device: str = "cpu"
    ) -> None:
        super().__init__(plugin, params)
        self.subjects = tuple(subjects) or tuple(map(toy_subject, ("toy01", "toy02", "toy03")))
        self.device = device

    @property
    def subject(self) -> SubjectData:
        return self.subjects[0]

    @abstractmethod
    def fitted(self, subject: SubjectData, *, place: Path) -> Any:
        """A new object, fitted on the training split of `subject` with checkpoints in `place`."""

    @abstractmethod
    def results(self, model: Any, **change: Any) -> np.ndarray:
        """(N, ...) what `model` makes of the test images."""

    @property
    def features(self) -> FeaturesInMemory:
        """Features that it wants, extracted before anything is watched."""

        def compute() -> FeaturesInMemory:
            features = FeaturesInMemory(device=self.device)
            for backbone, layer in self.call("wants", wanted, self.build()):
                for subject in self.subjects:
                    features.layer(backbone, layer, subject.train.stimuli)
                features.layer(backbone, layer, self.subject.test.stimuli)
            for backbone in self.call("wants_text", texts_wanted, self.build()):
                features.text(backbone, ["a text"])  # opens it
            return features

        return self.once("features", compute)

    @property
    def model(self) -> Any:
        """Fitted once, with seed 0."""
        return self.once("fit", lambda: self.fitted(self.subject, place=self.folder("fit")))

    @property
    def plain(self) -> np.ndarray:
        """Results of :attr:`model`."""
        model = self.model
        return self.once("results", lambda: self.results(model))

    def again(self, name: str, subject: SubjectData | None = None) -> np.ndarray:
        """Results of another fit, with checkpoints of its own."""

        def compute() -> np.ndarray:
            model = self.fitted(subject or self.subject, place=self.folder(name))
            return self.results(model)

        return self.once(name, compute)


def replaced_responses(subject: SubjectData, change: Callable[[Responses], Responses]) -> SubjectData:
    """`subject` with other training responses."""
    train = subject.train
    return SubjectData(subject.space, Split(train.stimuli, change(train.responses)), subject.test)


def with_masked(responses: Responses, value: float) -> Responses:
    """The same with `value` in every masked voxel."""
    data = responses.trials().copy()
    data[:, ~responses.space.valid] = value
    return Responses(responses.space, responses.ids, data, responses.image_index, session=responses.session)


def trained_without_test(case: FittedCase) -> Iterator[Problem]:
    """Fitted on training data alone, which it leaves as they are."""
    before = digest([s.train.responses.trials() for s in case.subjects])
    assert case.model is not None
    if digest([s.train.responses.trials() for s in case.subjects]) != before:
        yield Problem(
            "training responses to stay as they are",
            "that fit changes them in place",
            "Work on a copy, np.array(responses.mean()).",
        )


def same_seed(case: FittedCase) -> Iterator[Problem]:
    """Two fits with one seed are equal."""
    plain = case.plain
    if seen := differs(plain, case.again("fit again"), SAME):
        yield Problem(
            "two fits with the same seed to give the same",
            seen,
            "Draw only from generators that are made of the seed which fit is given.",
        )


def masked_voxels(case: FittedCase) -> Iterator[Problem]:
    """What stands in masked training voxels changes nothing."""
    plain = case.plain
    subject = replaced_responses(case.subject, lambda r: with_masked(r, MASKED_VALUE))
    if seen := differs(plain, case.again("fit with masked voxels", subject), SAME):
        yield Problem(
            "masked voxels to be ignored by fit",
            f"{seen} once {MASKED_VALUE:g} stands in them",
            "Fit on responses.mean()[:, space.valid] only.",
        )


def refused_spaces(
    case: FittedCase, ask: Callable[[Any], Any], *, space_name: str, method: str
) -> Iterator[Problem]:
    """`ask` is to raise :class:`SpaceMismatch`."""
    model = case.model
    try:
        case.call(method, ask, model)
    except SpaceMismatch:
        return
    except Exception as problem:
        seen = f"{type(problem).__name__}: {problem}"
    else:
        seen = "an answer"
    yield Problem(
        f"{method} to refuse {space_name} with SpaceMismatch",
        seen,
        "Keep the space of the fit and call space.require(other, what='...') first.",
    )


def other_spaces(case: FittedCase) -> dict[str, Any]:
    """Spaces that no fit on the first subject knows, in words."""
    space = case.subject.space
    voxels = space.n_voxels
    renamed = toy_space(space.subject, voxels)
    object.__setattr__(renamed, "voxels_sha", "others")
    return {"another subject's space": case.subjects[2].space, "other voxels of that number": renamed}


def saving(case: FittedCase) -> Iterator[Problem]:
    """What was saved and loaded gives the same, in a folder of its own and without a pickle."""
    plain = case.plain
    folder = case.folder("saved")
    case.call("save", case.model.save, folder)
    files = [file for file in folder.rglob("*") if file.is_file()]
    if not files:
        yield Problem("files from save(folder)", "an empty folder", "Write all that load needs there.")
        return
    pickles = [f.name for f in files if f.suffix in (".pkl", ".pickle", ".joblib")]
    if pickles:
        yield Problem(
            "files that execute nothing when they are read",
            ", ".join(pickles),
            "Write .npz or .safetensors, and .json.",
        )
    loaded = case.call("load", case.plugin.load, folder, case.params, device=case.device)
    if seen := differs(plain, case.results(loaded), SAME):
        yield Problem("what was loaded to give the same as what was saved", seen, "Save all that was fitted.")


def resuming(case: FittedCase) -> Iterator[Problem]:
    """A fit that was stopped goes on from its checkpoints and ends in the same."""
    plain = case.plain
    place = case.folder("checkpoints")
    stopped = False

    def stop(what: str, done: int, total: int) -> None:
        nonlocal stopped
        if 0 < done < total and any(file.is_file() for file in place.rglob("*")):
            stopped = True
            raise Interrupted

    try:
        with listening(stop):
            case.fitted(case.subject, place=place)
    except Interrupted:
        pass
    if not stopped and not any(file.is_file() for file in place.rglob("*")):
        raise NotChecked("it keeps no checkpoints")
    resumed = case.results(case.fitted(case.subject, place=place))
    if seen := differs(plain, resumed, SAME):
        when = "that was stopped" if stopped else "whose checkpoints are left over"
        yield Problem(
            f"a fit {when} to end as one that was not",
            seen,
            "Keep weights, optimiser, counters and random state there, as harness.toolkit.train does.",
        )

"""Checks of an encoder: images -> responses."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..api import Stimuli, SubjectData, VoxelSpace
from ..errors import HarnessError, SpaceMismatch, WeightsMissing, suggest
from ..plugins import available, find
from ..seeds import sample_seeds
from ..stages.features import backbone_identity
from .case import CLOSE, CONDUCT, SAME, calls, class_of, contract, differs, parameters
from .fitting import (
    FittedCase,
    masked_voxels,
    other_spaces,
    refused_spaces,
    resuming,
    same_seed,
    saving,
    trained_without_test,
)
from .report import NotChecked, Problem, Report, carry_out
from .toys import FeaturesInMemory, toy_subject

FIT = ("seed", "device", "checkpoint_dir")


class EncoderCase(FittedCase):
    """An encoder, fitted on the first of `subjects` in most checks."""

    group = "encoders"

    def __init__(
        self, plugin: Any, params: Any = None, *, subjects: tuple[SubjectData, ...] = (), device: str = "cpu"
    ) -> None:
        super().__init__(plugin, params, subjects=subjects, device=device)
        self.absent = ""
        if hasattr(class_of(plugin), "own_space") and not subjects:
            self.subjects = (self._in_own_space(), *self.subjects[1:])

    def _in_own_space(self) -> SubjectData:
        """The first toy in the space of an encoder that brings its own; :attr:`absent` says what is not
        here."""
        try:
            lines = self.plugin.missing(self.params, subject="") if hasattr(self.plugin, "missing") else ()
            for backbone, _ in () if lines else self.build().wants():
                backbone_identity(backbone)
            self.absent = lines[0] if lines else ""
        except WeightsMissing as problem:
            self.absent = str(problem)
        return self.subjects[0] if self.absent else toy_subject(space=self.build().own_space())

    @property
    def features(self) -> FeaturesInMemory:
        """Features that it wants, where it can be had at all."""
        if self.absent:
            raise NotChecked(f"it brings weights that are not here: {self.absent}")
        return super().features

    def fitted(self, subject: SubjectData, *, place: Path) -> Any:
        return self.fitted_on([subject], place=place)

    def fitted_on(self, subjects: Sequence[SubjectData], *, place: Path) -> Any:
        encoder, features = self.build(), self.features
        training = [subject.training() for subject in subjects]
        self.call("fit", encoder.fit, training, features, **self.settings(place))
        return encoder

    def settings(self, place: Path) -> dict[str, Any]:
        """Keywords of ``fit`` and ``adapt``."""
        return {"seed": 0, "device": self.device, "checkpoint_dir": place}

    def results(self, model: Any, **change: Any) -> np.ndarray:
        """(N, S, U) predictions of valid voxels, for two samples of the test images."""
        return self.predicted(model, **change)[:, :, change.get("space", self.subject.space).valid]

    def predicted(
        self,
        model: Any,
        *,
        stimuli: Stimuli | None = None,
        seeds: np.ndarray | None = None,
        space: VoxelSpace | None = None,
    ) -> np.ndarray:
        """(N, S, V) as `model` gives it."""
        stimuli = self.subject.test.stimuli if stimuli is None else stimuli
        seeds = self.seeds if seeds is None else seeds
        space = self.subject.space if space is None else space
        return np.asarray(
            self.call("predict", model.predict, stimuli, self.features, space=space, seeds=seeds.copy())
        )

    @property
    def seeds(self) -> np.ndarray:
        """(N, 2) uint64 of the test images."""
        return sample_seeds(0, self.subject.test.stimuli.ids, 2)


def signatures(case: EncoderCase) -> Iterator[Problem]:
    """Methods take what the engine gives."""
    shapes = {
        "wants": ((), ()),
        "fit": (("subjects", "features"), FIT),
        "predict": (("stimuli", "features"), ("space", "seeds")),
        "save": (("folder",), ()),
        "load": (("folder", "params"), ("device",)),
        "adapt": (("subject", "features"), FIT),
        "own_space": ((), ()),
        "wants_text": ((), ()),
        "require": (("stimuli",), ()),
    }
    yield from calls(case, shapes)
    if not isinstance(inspect.getattr_static(case.plugin, "load", None), classmethod):
        yield Problem("load to be a classmethod", "something else", "Write @classmethod above it.")
    if not isinstance(case.plugin.stochastic, bool | property):
        yield Problem("stochastic to be True or False", repr(case.plugin.stochastic), "Say which.")


def wanted_layers(case: EncoderCase) -> Iterator[Problem]:
    """``wants()`` names layers of installed backbones."""
    wants = case.call("wants", case.build().wants)
    for pair in wants:
        if not (isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(p, str) for p in pair)):
            yield Problem(
                "pairs (backbone, layer) from wants()",
                repr(pair),
                "Return for example (('pixels', 'rgb16'),).",
            )
            return
        backbone, layer = pair
        names = [ref.name for ref in available("backbones")]
        if backbone not in names:
            yield Problem(
                "an installed backbone",
                suggest(backbone, names, what="backbone"),
                "Name one that is installed.",
            )
        elif layer not in (layers := find("backbones", backbone).load()().layers):
            yield Problem(f"a layer of {backbone}", f"'{layer}'", f"It has {', '.join(layers)}.")


def wanted_texts(case: EncoderCase) -> Iterator[Problem]:
    """``wants_text()`` names installed backbones that read texts."""
    if not hasattr(case.plugin, "wants_text"):
        raise NotChecked("it has no wants_text")
    readers = [ref.name for ref in available("backbones") if hasattr(ref.load(), "extract_text")]
    for name in case.call("wants_text", case.build().wants_text):
        if name not in readers:
            yield Problem(
                "an installed backbone with extract_text",
                suggest(str(name), readers, what="backbone"),
                "Name one that reads texts.",
            )


def training_images_only(case: EncoderCase) -> Iterator[Problem]:
    """Fitting leaves the data as they are and asks for features of training images alone."""
    features = case.features
    features.asked.clear()
    yield from trained_without_test(case)
    allowed = {sha for subject in case.subjects for sha in subject.train.stimuli.image_hashes()}
    if features.asked - allowed:
        yield Problem(
            "fit to ask for features of training images only",
            f"{len(features.asked - allowed)} others",
            "Read test images in predict alone.",
        )


def output(case: EncoderCase) -> Iterator[Problem]:
    """(N, S, V) float32, finite in valid voxels."""
    model = case.model
    predicted = case.predicted(model)
    n, space = len(case.subject.test), case.subject.space
    expected = (n, 2, space.n_voxels)
    if predicted.shape != expected:
        yield Problem(
            f"predictions of shape (N, S, V) = {expected}",
            str(predicted.shape),
            "One row an image of `stimuli`, one column a sample of `seeds`, all V voxels of `space`.",
        )
        return
    if predicted.dtype != np.float32:
        yield Problem("float32 predictions", str(predicted.dtype), "Return predicted.astype(np.float32).")
    if not np.isfinite(predicted[:, :, space.valid]).all():
        yield Problem(
            "finite predictions in valid voxels",
            "NaN or infinity",
            "Look for constant features, and for masked voxels that were fitted.",
        )
    if not case.plugin.stochastic and (seen := differs(predicted[:, 0], predicted[:, 1], SAME)):
        yield Problem(
            "equal samples of an encoder with stochastic = False",
            seen,
            "Say stochastic = True, or draw nothing.",
        )


def seeds_of_images(case: EncoderCase) -> Iterator[Problem]:
    """What is drawn for an image depends on its own seeds alone, and is equal for equal ones."""
    plain, model, seeds = case.plain, case.model, case.seeds
    if seen := differs(plain, case.results(model), SAME):
        yield Problem(
            "the same predictions for the same seeds",
            seen,
            "Draw from np.random.default_rng(int(seeds[n, s])).",
        )
        return
    if seen := differs(plain[:, :1], case.results(model, seeds=seeds[:, :1]), CLOSE):
        yield Problem(
            "the first sample to be the same when one is asked for",
            seen,
            "Draw sample s of image n from its own seeds[n, s].",
        )
    other = case.results(model, seeds=sample_seeds(1, case.subject.test.stimuli.ids, 2))
    if not case.plugin.stochastic and (seen := differs(plain, other, SAME)):
        yield Problem("seeds to change nothing where stochastic = False", seen, "Say stochastic = True.")


def order_of_images(case: EncoderCase) -> Iterator[Problem]:
    """Whichever image comes first."""
    plain, model, stimuli = case.plain, case.model, case.subject.test.stimuli
    order = np.random.default_rng(0).permutation(len(stimuli))
    turned = stimuli.select([stimuli.ids[k] for k in order])
    if seen := differs(plain[order], case.results(model, stimuli=turned, seeds=case.seeds[order]), CLOSE):
        yield Problem(
            "predictions that follow their images in another order",
            seen,
            "Let nothing but an image and its seeds decide about its prediction.",
        )


def micro_batches(case: EncoderCase) -> Iterator[Problem]:
    """One image at a time or all at once."""
    plain, model, stimuli, seeds = case.plain, case.model, case.subject.test.stimuli, case.seeds
    parts = [
        case.results(model, stimuli=stimuli.select([name]), seeds=seeds[k : k + 1])
        for k, name in enumerate(stimuli.ids)
    ]
    if seen := differs(plain, np.concatenate(parts), CLOSE):
        yield Problem(
            "the same predictions one image at a time as all at once",
            seen,
            "Take means and normalisations from training data, and networks in eval mode.",
        )


def names_of_images(case: EncoderCase) -> Iterator[Problem]:
    """Neither ids nor captions nor labels matter: a run may hide them.  Of an encoder that says it reads
    texts (``wants_text``), ids alone."""
    if getattr(case.plugin, "by_id", False):
        raise NotChecked("its predictions are looked up by id")
    plain, model, stimuli = case.plain, case.model, case.subject.test.stimuli
    ids = [f"hidden-{k}" for k in range(len(stimuli))]
    reads_texts = hasattr(case.plugin, "wants_text")
    hidden = stimuli.renamed(ids) if reads_texts else Stimuli.from_array(ids, stimuli.images())
    if seen := differs(plain, case.results(model, stimuli=hidden), CLOSE):
        yield Problem(
            f"predictions that do not depend on ids{'' if reads_texts else ', captions or labels'}",
            seen,
            "Predict from images and their features alone; one that reads captions names its backbones "
            "of text in wants_text().",
        )


def inputs_kept(case: EncoderCase) -> Iterator[Problem]:
    """``predict`` writes into nothing that it is given."""
    model, seeds = case.model, case.seeds
    kept = seeds.copy()
    case.call(
        "predict",
        model.predict,
        case.subject.test.stimuli,
        case.features,
        space=case.subject.space,
        seeds=seeds,
    )
    if not np.array_equal(seeds, kept):
        yield Problem("seeds to stay as they are", "others after predict", "Work on a copy.")


def spaces(case: EncoderCase) -> Iterator[Problem]:
    """Another voxel space is refused."""
    for words, space in other_spaces(case).items():
        yield from refused_spaces(
            case, lambda model, s=space: case.predicted(model, space=s), space_name=words, method="predict"
        )


def several_subjects(case: EncoderCase) -> Iterator[Problem]:
    """Fitted on two subjects, it predicts each in its own space, or refuses at once."""
    _ = case.model  # a fit that fails is a finding once
    first, second = case.subjects[:2]
    try:
        model = case.fitted_on([first, second], place=case.folder("two"))
    except HarnessError as problem:
        raise NotChecked(f"it is fitted on one subject only: {problem}") from problem
    for subject in (first, second):
        try:
            predicted = case.predicted(model, space=subject.space)
        except SpaceMismatch:
            seen = "SpaceMismatch"
        else:
            if predicted.shape[2] == subject.space.n_voxels:
                continue
            seen = f"{predicted.shape[2]} voxels in place of {subject.space.n_voxels}"
        yield Problem(
            f"predictions for {subject.subject} after a fit on {first.subject} and {second.subject}",
            seen,
            "Keep a read-out per subject, or raise harness.api.DataError for more than one in fit.",
        )


def adapting(case: EncoderCase) -> Iterator[Problem]:
    """``adapt`` adds a subject and leaves the first as it was."""
    if not hasattr(case.plugin, "adapt"):
        raise NotChecked("it has no adapt")
    plain = case.plain
    model = case.fitted(case.subject, place=case.folder("before adapt"))
    other = case.subjects[2]
    place = case.folder("adapt")
    case.call("adapt", model.adapt, other.training(), case.features, **case.settings(place))
    predicted = case.predicted(model, space=other.space)
    if (
        predicted.shape[2] != other.space.n_voxels
        or not np.isfinite(predicted[:, :, other.space.valid]).all()
    ):
        yield Problem(
            f"finite predictions of {other.space.n_voxels} voxels after adapt",
            str(predicted.shape),
            "Add a read-out for the new space.",
        )
    try:
        seen = differs(plain, case.results(model), SAME)
    except SpaceMismatch:
        return  # a model that moves on to its new subject says so
    if seen:
        yield Problem(
            "the first subject's predictions to outlive adapt", seen, "Change its read-out no more."
        )


CHECKS = {
    "contract": contract,
    "signatures": signatures,
    "parameters": parameters,
    "wanted layers": wanted_layers,
    "wanted texts": wanted_texts,
    "training data": training_images_only,
    "output": output,
    "seeds": seeds_of_images,
    "inputs": inputs_kept,
    "order": order_of_images,
    "micro-batches": micro_batches,
    "names": names_of_images,
    "spaces": spaces,
    "same seed": same_seed,
    "masked voxels": masked_voxels,
    "saving": saving,
    "resuming": resuming,
    "several subjects": several_subjects,
    "adapting": adapting,
    **CONDUCT,
}


def check_encoder(
    plugin: Any,
    params: Any = None,
    *,
    subjects: Sequence[SubjectData] = (),
    device: str = "cpu",
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Whether the class `plugin` keeps the contract of :class:`harness.api.Encoder`.

    params : an instance of its ``Params``, by default from its defaults.  subjects : three of different
    numbers of voxels, by default toys.
    """
    case = EncoderCase(plugin, params, subjects=tuple(subjects), device=device)
    label = f"encoder {getattr(plugin, '__name__', plugin)}"
    return carry_out(label, CHECKS, case, expected_failures=expected_failures)

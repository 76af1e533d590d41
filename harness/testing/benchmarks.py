"""Checks of a benchmark: data and protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..api import Responses, SubjectData
from ..data import image_sha
from ..errors import DataError, FilesMissing
from ..stages.checks import check_subject, overlapping_images
from ..units import UNITS
from .case import CONDUCT, Case, calls, contract, parameters
from .report import NotChecked, Problem, Report, carry_out

LOOKED_AT = 8
"""Images whose stated hashes are computed again."""


class BenchmarkCase(Case):
    """A benchmark and its first subject, loaded once."""

    group = "benchmarks"

    @property
    def benchmark(self) -> Any:
        return self.once("__init__", self.build)

    @property
    def subjects(self) -> tuple[str, ...]:
        return self.once("subjects", lambda: tuple(self.call("subjects", self.benchmark.subjects)))

    @property
    def data(self) -> SubjectData:
        """The first subject's."""
        return self.once("load", lambda: self.loaded(self.benchmark))

    def loaded(self, benchmark: Any) -> SubjectData:
        """What `benchmark` gives of the first subject; NotChecked without its files."""
        name = self.subjects[0]
        if hasattr(self.plugin, "missing"):
            lines = self.plugin.missing(self.params, subject=name)
            if lines:
                raise NotChecked(f"its files are not here: {lines[0]}")
        try:
            return self.call("load", benchmark.load, name)
        except FilesMissing as problem:
            raise NotChecked(str(problem)) from problem


def signatures(case: BenchmarkCase) -> Iterator[Problem]:
    """Methods take what the engine gives."""
    yield from calls(case, {"subjects": ((), ()), "load": (("subject",), ())})
    for name in ("simulated", "generated"):
        if not isinstance(getattr(case.plugin, name), bool):
            yield Problem(f"{name} to be True or False", repr(getattr(case.plugin, name)), "Say which.")


def subjects(case: BenchmarkCase) -> Iterator[Problem]:
    """At least one, each once, and no other is loaded."""
    names = case.subjects
    if not names or len(set(names)) != len(names) or not all(isinstance(n, str) and n for n in names):
        yield Problem(
            "different names from subjects()", repr(names), "Return for example ('subj01', 'subj02')."
        )
    if case.data.subject != names[0]:
        yield Problem(
            f"load('{names[0]}') to give that subject",
            f"data of '{case.data.subject}'",
            "Write the subject's name into its VoxelSpace.",
        )


def data(case: BenchmarkCase) -> Iterator[Problem]:
    """What the engine refuses: no test images, NaN, constant voxels, odd shapes, ids in both splits."""
    try:
        check_subject(case.data)
    except DataError as problem:
        yield Problem(
            "data that can be scored", str(problem), "Mask such voxels in VoxelSpace.valid, or mend the data."
        )


def splits(case: BenchmarkCase) -> Iterator[Problem]:
    """No image is in both, by id or by content."""
    train, test = case.data.train.stimuli, case.data.test.stimuli
    same = overlapping_images(train, test)
    if same:
        yield Problem(
            "no test image among the training images",
            f"{len(same)} of equal content, such as '{same[0]}'",
            "Leave them out.",
        )


def hashes(case: BenchmarkCase) -> Iterator[Problem]:
    """Stated content hashes are those of the images."""
    for name, split in (("train", case.data.train), ("test", case.data.test)):
        stimuli = split.stimuli
        ids = stimuli.ids[:LOOKED_AT]
        computed = tuple(map(image_sha, stimuli.images(ids)))
        wrong = [i for i, ours, theirs in zip(ids, computed, stimuli.image_hashes()) if ours != theirs]
        if wrong:
            yield Problem(
                f"hashes of {name} images as harness.api.image_sha gives",
                f"another for '{wrong[0]}'",
                "Leave hashes out of Stimuli, or compute them of the images that it reads.",
            )
        again = stimuli.images([ids[-1]])
        if not np.array_equal(again[0], stimuli.images(ids)[-1]):
            yield Problem(
                f"each {name} image to be the same however it is asked for",
                f"another for '{ids[-1]}'",
                "Let read(positions) return images in the order of positions.",
            )


def space(case: BenchmarkCase) -> Iterator[Problem]:
    """Units, ceilings and names that can be believed."""
    space = case.data.space
    if space.units not in UNITS:
        yield Problem(
            f"units to be one of {', '.join(UNITS)}", repr(space.units), "Say what the numbers are."
        )
    if not space.voxels_sha:
        yield Problem(
            "voxels_sha, the identity of the voxels in their order", "none", "Hash indices or coordinates."
        )
    if space.ncsnr is not None:
        ncsnr = np.asarray(space.ncsnr)[space.valid]
        if not np.isfinite(ncsnr).all() or (ncsnr < 0).any():
            yield Problem(
                "ncsnr to be 0 or more in valid voxels",
                f"values from {ncsnr.min():.3g} to {ncsnr.max():.3g}",
                "It is the SD of the signal over the SD of a single trial's noise.",
            )
    covered = [name for name, members in {**space.rois, **space.groups}.items() if not np.any(members)]
    if covered:
        yield Problem("a voxel in every region", f"none in '{covered[0]}'", "Leave empty regions out.")


def scale(case: BenchmarkCase) -> Iterator[Problem]:
    """z-scored training responses have about unit variance."""
    space = case.data.space
    if not space.units.startswith("zscore"):
        raise NotChecked(f"its units are '{space.units}'")
    _, spread = case.data.train.responses.spread()
    median = float(np.median(spread[space.valid]))
    if not 0.2 <= median <= 5.0:
        yield Problem(
            f"a spread of about 1 in units '{space.units}'",
            f"a median of {median:.3g}",
            "Name the units that they have.",
        )


def same_twice(case: BenchmarkCase) -> Iterator[Problem]:
    """Loaded twice, equal."""
    first, second = case.data, case.loaded(case.build())
    if first.space.sha != second.space.sha:
        yield Problem(
            "the same voxel space when it is loaded again", "another", "Draw nothing without a fixed seed."
        )
        return
    for name in ("train", "test"):
        for part in ("stimuli", "responses"):
            if getattr(getattr(first, name), part).sha != getattr(getattr(second, name), part).sha:
                yield Problem(
                    f"the same {name} {part} when they are loaded again",
                    "others",
                    "Draw nothing without a fixed seed.",
                )


def extras(case: BenchmarkCase) -> Iterator[Problem]:
    """``truth`` and ``remeasured`` belong to the test images."""
    present = {name: getattr(case.data, name) for name in ("truth", "remeasured")}
    for name, value in present.items():
        if value is None:
            continue
        if not isinstance(value, Responses) or set(value.ids) != set(case.data.test.stimuli.ids):
            yield Problem(
                f"{name} of the test images", "other ids", "Give Responses with the ids of test images."
            )
    if present["truth"] is not None and not case.plugin.simulated:
        yield Problem("noise-free truth of simulated data only", "simulated = False", "Say simulated = True.")


CHECKS = {
    "contract": contract,
    "signatures": signatures,
    "parameters": parameters,
    "subjects": subjects,
    "data": data,
    "splits": splits,
    "hashes": hashes,
    "space": space,
    "scale": scale,
    "truth": extras,
    "same twice": same_twice,
    **CONDUCT,
}


def check_benchmark(
    plugin: Any, params: Any = None, *, expected_failures: Mapping[str, str] | None = None
) -> Report:
    """Whether the class `plugin` keeps :class:`harness.api.Benchmark`; its first subject is read.

    params : an instance of its ``Params``, by default from its defaults.
    """
    label = f"benchmark {getattr(plugin, '__name__', plugin)}"
    return carry_out(label, CHECKS, BenchmarkCase(plugin, params), expected_failures=expected_failures)

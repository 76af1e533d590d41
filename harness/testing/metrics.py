"""Checks of a metric: a row of a catalogue, and its score as a pure function."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import plugins
from ..catalogue import Call, Metric
from ..errors import PluginError, what_happened
from ..scoring.calls import HEADLINE, mean_over_orders
from ..scoring.compare import derangements_of
from ..storage.content import digest
from .case import CLOSE, CONDUCT, Case, differs
from .metric_inputs import DRAWS, IMAGES, PICTURES, Draw, Sample
from .report import NotChecked, Problem, Report, carry_out

UNITS = ("image", "voxel", "set", "region")
DRAWN = 12
"""Random inputs that a chance level is estimated from."""
CHANCE = 0.02
"""How far from the stated chance level their mean may lie, besides four standard errors."""
ROUNDING = 2e-3


class MetricCase(Case):
    """A row of a catalogue; `draw` gives inputs of kinds that the kit does not know."""

    group = "metrics"

    def __init__(self, row: Any, draw: Draw | None = None) -> None:
        super().__init__(row)
        self.row = row
        self._draw = draw

    @property
    def images(self) -> int:
        """Images in a sample."""
        return max(PICTURES if self.row.inputs == "images" else IMAGES, self.row.smallest_pool)

    def sample(self, seed: int, *, same: bool = False) -> Sample:
        """What it is tried on."""
        draw = self._draw or DRAWS.get(self.row.inputs)
        if draw is None:
            raise NotChecked(
                f"only its scorer knows what '{self.row.inputs}' are; check_metric(row, draw=...) tries it"
            )
        return draw(self.row, self.images, seed, same)

    def values(self, sample: Sample) -> np.ndarray:
        """(N,), (V,) or (1,) float64; of values by name the one of the whole, or their mean."""
        things = sample.things
        if self.row.prepare is not None:
            prepare = self.row.function("prepare")
            things = tuple(self.call("prepare", prepare, thing) for thing in things)
        value = self.call("score", self.row.function(), *things, **sample.keywords)
        if isinstance(value, Mapping):
            parts = dict(value)
            value = parts[HEADLINE] if HEADLINE in parts else np.mean(list(parts.values()))
        return np.atleast_1d(np.asarray(value, np.float64))

    @property
    def plain(self) -> np.ndarray:
        """Values of unrelated results and targets."""
        return self.once("score", lambda: self.values(self.sample(0)))


def contract(case: MetricCase) -> Iterator[Problem]:
    """A row whose fields fit together and whose functions are there."""
    row = case.row
    if not isinstance(row, Metric):
        yield Problem(
            "a harness.api.Metric", type(row).__name__, "Write Metric(name=..., inputs=..., score=...)."
        )
        return
    if not row.name or any(letter in row.name for letter in " ,:="):
        yield Problem(
            "a name without blanks, commas, colons or '='", repr(row.name), "Use hyphens, as in 'my-score'."
        )
    try:
        plugins.find("scorers", row.inputs)
    except PluginError as problem:
        yield Problem(
            "inputs of an installed scorer", str(problem), "Name one, or add its scorer to a catalogue."
        )
    if row.unit not in UNITS:
        yield Problem(f"unit to be one of {', '.join(UNITS)}", repr(row.unit), "Say what a value belongs to.")
    if not isinstance(row.version, str) or not row.version:
        yield Problem("version to be text such as '1'", repr(row.version), "Raise it with the definition.")
    for name in ("gets", "targets", "labels", "weights"):
        if not isinstance(getattr(row, name), tuple):
            yield Problem(
                f"{name} to be a tuple", repr(getattr(row, name)), f"Write {name}=(...,) with the comma."
            )
    if row.inputs == "images" and row.prepare is None:
        yield Problem(
            "prepare, which 'images' scores need", "none", "Give prepare(images) -> dict of arrays."
        )
    if row.inputs in ("embedding", "training") and row.backbone is None:
        yield Problem("a backbone (name, layer)", "none", "Name what the images are seen through.")
    for field in ("score", "deranged", "prepare", "on", "lacking"):
        if (value := getattr(row, field)) is None:
            continue
        try:
            function = row.function(field)
        except Exception as problem:
            target = value.target if isinstance(value, Call) else repr(value)
            yield Problem(
                f"a function behind {field}", f"{target}: {what_happened(problem)}", "Name module:function."
            )
            continue
        if field == "score":
            yield from _takes(function, row)


def _takes(function: Any, row: Metric) -> Iterator[Problem]:
    """The score takes what its row says that it gets."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    names = set(signature.parameters)
    if any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
        return
    bound = set(function.keywords) if isinstance(function, partial) else set()
    if unknown := [name for name in row.gets if name not in names - bound]:
        yield Problem(
            f"a score that takes {', '.join(unknown)}, which gets names",
            f"score{signature}",
            "Add the keyword.",
        )


def identity(case: MetricCase) -> Iterator[Problem]:
    """What defines a score can be written down, so that kept values are found again."""
    row = case.row
    for call in row.calls():
        for name, value in call.arguments:
            if not _is_plain(value):
                yield Problem(
                    f"arguments of {call.target} that can be written down",
                    f"{name} = {value!r}",
                    "Give text or numbers, or name another function.",
                )


def _is_plain(value: Any) -> bool:
    """Text, numbers and tuples of them, which are equal tomorrow and in another process."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def explained(case: MetricCase) -> Iterator[Problem]:
    """A label for tables and a sentence for readers."""
    for field in ("label", "meaning"):
        if not getattr(case.row, field).strip():
            yield Problem(
                f"a {field}", "none", "A reader who has never seen the score meets it in the report."
            )


def shape(case: MetricCase) -> Iterator[Problem]:
    """One value for each image or voxel, or one of the set."""
    values, unit = case.plain, case.row.unit
    wanted = {"image": case.images, "voxel": np.shape(case.sample(0).things[0])[-1]}.get(unit, 1)
    if values.shape != (wanted,):
        yield Problem(
            f"{wanted} values of a score with unit = '{unit}'", str(values.shape), "Return one each."
        )
    elif not np.isfinite(values).any():
        yield Problem("a number", "NaN for all of unrelated results", "NaN is for what cannot be scored.")


def pure(case: MetricCase) -> Iterator[Problem]:
    """The same inputs give the same, and stay as they are."""
    sample = case.sample(0)
    before = digest(sample.arrays())
    values = case.values(sample)
    if digest(sample.arrays()) != before:
        yield Problem("inputs to stay as they are", "others after the score", "Work on a copy.")
    elif seen := differs(case.plain, values, 0.0):
        yield Problem("the same values for the same inputs", seen, "Draw nothing, or from a fixed seed.")


def order_of_images(case: MetricCase) -> Iterator[Problem]:
    """Values follow their images; those of a set or of voxels do not change."""
    order = np.random.default_rng(1).permutation(case.images)
    values = case.values(case.sample(0).ordered(order))
    plain = case.plain[order] if case.row.unit == "image" else case.plain
    if seen := differs(plain, values, CLOSE):
        yield Problem(
            "values that follow their images in another order",
            seen,
            "Let no position decide; use ids where there are.",
        )


def missing_values(case: MetricCase) -> Iterator[Problem]:
    """A result that is NaN is not scored, and costs no other image its value."""
    sample, plain, unit = case.sample(0), case.plain, case.row.unit
    result = sample.things[0]
    if not isinstance(result, np.ndarray) or result.dtype.kind != "f":
        raise NotChecked("its inputs cannot be NaN")
    if unit not in ("image", "voxel"):
        raise NotChecked("it is one value of all images")
    if "samples" in sample.keywords:
        raise NotChecked("it compares samples")
    broken = result.copy()
    if unit == "image":
        broken[0] = np.nan
    else:
        broken[:, 0] = np.nan
    values = case.values(Sample((broken, *sample.things[1:]), sample.keywords))
    if np.isfinite(values[0]):
        yield Problem(f"NaN for a {unit} whose result is NaN", f"{values[0]:.3g}", "NaN means: not scored.")
    lost = int((np.isfinite(plain[1:]) & ~np.isfinite(values[1:])).sum())
    if lost:
        yield Problem(
            f"NaN in one {unit} to cost no other its value",
            f"{lost} that are lost",
            "Leave it out of the others' sums.",
        )


def best_of_all(case: MetricCase) -> Iterator[Problem]:
    """The target itself is scored better than what has nothing to do with it."""
    if case.row.inputs == "training":
        raise NotChecked("it has no target")
    row = case.row
    best, other = (np.nanmean(case.values(case.sample(0, same=same))) for same in (True, False))
    if best == other or (best > other) != row.higher_is_better:
        yield Problem(
            f"the target itself {'above' if row.higher_is_better else 'below'} unrelated results",
            f"{best:.3g} and {other:.3g}",
            f"Say higher_is_better={not row.higher_is_better}, or look at the sign.",
        )


def chance_level(case: MetricCase) -> Iterator[Problem]:
    """Unrelated results score at the stated chance level."""
    row = case.row
    chance = 1 / min(row.gallery, case.images) if row.gallery else row.chance
    if chance is None:
        raise NotChecked("it states no chance level")
    means = np.array([np.nanmean(case.values(case.sample(seed))) for seed in range(DRAWN)])
    error = means.std(ddof=1) / np.sqrt(DRAWN)
    if not abs(means.mean() - chance) <= 4 * error + CHANCE:
        yield Problem(
            f"unrelated results to score {chance:.3g}, the stated chance",
            f"{means.mean():.3g} in {DRAWN} random sets",
            "State the level that guessing reaches, or chance=None.",
        )


def re_pairings(case: MetricCase) -> Iterator[Problem]:
    """``deranged`` is the mean of single scores."""
    row = case.row
    if row.deranged is None:
        raise NotChecked("it has no deranged")
    sample = case.sample(0)
    orders = derangements_of([str(k) for k in range(len(sample))], 3)
    given = case.call("deranged", row.function("deranged"), *sample.things, orders, **sample.keywords)
    mean = case.call("score", mean_over_orders, row.function(), sample.things, orders, sample.keywords)
    if seen := differs(mean, given, CLOSE):
        yield Problem(
            "deranged to be the mean of the score over re-pairings",
            seen,
            "Pair result orders[k, i] with target i.",
        )


def precision(case: MetricCase) -> Iterator[Problem]:
    """Both precisions agree."""
    values = [case.values(case.sample(0).cast(dtype)) for dtype in (np.float32, np.float64)]
    if seen := differs(values[1], values[0], ROUNDING):
        yield Problem("the same values in float32 and float64", seen, "Take sums and differences in float64.")


CHECKS = {
    "contract": contract,
    "identity": identity,
    "explained": explained,
    "shape": shape,
    "pure": pure,
    "order": order_of_images,
    "missing values": missing_values,
    "best": best_of_all,
    "chance": chance_level,
    "re-pairings": re_pairings,
    "precision": precision,
    **CONDUCT,
}


def check_metric(
    row: Any, *, draw: Draw | None = None, expected_failures: Mapping[str, str] | None = None
) -> Report:
    """Whether `row` keeps the contract of :class:`harness.api.Metric`.

    draw : (row, images, seed, same) -> :class:`.metric_inputs.Sample`, for inputs of a scorer of your own.
    """
    case = MetricCase(row, draw)
    return carry_out(f"metric {getattr(row, 'name', row)}", CHECKS, case, expected_failures=expected_failures)

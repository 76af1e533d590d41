"""Checks of a backbone, images -> layers of features, and of a scorer."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..scoring.context import Scorer
from .case import CLOSE, CONDUCT, SAME, Case, calls, contract, differs
from .report import NotChecked, Problem, Report, carry_out
from .toys import toy_images

IMAGES = 5
CAPTIONS = ("a red dog on grass", "two cups on a table")


class BackboneCase(Case):
    """A backbone; weights that are missing leave out what needs them."""

    group = "backbones"

    @property
    def opened(self) -> Any:
        """Built and ready on the CPU."""

        def compute() -> Any:
            backbone = self.built
            self.call("identity", backbone.identity)
            self.call("open", backbone.open, device="cpu")
            return backbone

        return self.once("open", compute)

    @property
    def built(self) -> Any:
        return self.once("__init__", lambda: self.call("__init__", self.plugin))

    @property
    def images(self) -> np.ndarray:
        return toy_images(IMAGES, seed=0)

    def features(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Layer -> (n, ...) of all layers."""
        layers = list(self.opened.layers)
        if not layers:
            raise NotChecked("it has no layers of images")
        return self.call("extract", self.opened.extract, images, layers)

    @property
    def plain(self) -> dict[str, np.ndarray]:
        self.opened  # noqa: B018  weights first, so that their absence is the reason that is given
        return self.once("features", lambda: self.features(self.images))


def signatures(case: BackboneCase) -> Iterator[Problem]:
    """Methods take what the engine gives."""
    yield from calls(
        case, {"identity": ((), ()), "open": ((), ("device",)), "extract": (("images", "layers"), ())}
    )


def identity(case: BackboneCase) -> Iterator[Problem]:
    """A hash of weights and preprocessing, the same each time."""
    first = case.call("identity", case.built.identity)
    if not isinstance(first, str) or not first:
        yield Problem("text from identity()", repr(first), "Return a hash of weights and preprocessing.")
    elif first != case.call("identity", case.call("__init__", case.plugin).identity):
        yield Problem(
            "one identity()", "another the second time", "Hash what the features depend on, no addresses."
        )


def output(case: BackboneCase) -> Iterator[Problem]:
    """(n, ...) float32 of every layer, finite, that differ between images."""
    features = case.plain
    for layer in getattr(case.opened, "half", ()):
        if layer not in case.opened.layers:
            yield Problem(f"a layer in half, not '{layer}'", "none of layers", "Name layers that it has.")
    for layer in case.opened.layers:
        if layer not in features:
            yield Problem(
                f"layer '{layer}'", f"only {', '.join(features)}", "Return every layer that was asked for."
            )
            continue
        values = np.asarray(features[layer])
        if values.dtype != np.float32 or len(values) != IMAGES or values.ndim < 2:
            yield Problem(
                f"({IMAGES}, ...) float32 of '{layer}'",
                f"{values.dtype} {values.shape}",
                "Return one row an image.",
            )
        elif not np.isfinite(values).all():
            yield Problem(f"finite features of '{layer}'", "NaN or infinity", "Look at its preprocessing.")
        elif (values == values[:1]).all():
            yield Problem(
                f"features of '{layer}' that differ between images", "equal ones", "Look at what it is given."
            )


def micro_batches(case: BackboneCase) -> Iterator[Problem]:
    """One image at a time or all at once."""
    plain = case.plain
    parts = [case.features(case.images[k : k + 1]) for k in range(IMAGES)]
    for layer, values in plain.items():
        if seen := differs(values, np.concatenate([part[layer] for part in parts]), CLOSE):
            yield Problem(f"the same '{layer}' one image at a time", seen, "Put the network into eval mode.")


def same_twice(case: BackboneCase) -> Iterator[Problem]:
    """The same images, the same features; images stay as they are."""
    plain, images = case.plain, case.images
    again = case.features(images)
    for layer, values in plain.items():
        if seen := differs(values, again[layer], SAME):
            yield Problem(
                f"the same '{layer}' for the same images", seen, "Switch dropout off, draw nothing."
            )
    if not np.array_equal(images, case.images):
        yield Problem("images to stay as they are", "others after extract", "Work on a copy.")


def floats(case: BackboneCase) -> Iterator[Problem]:
    """uint8 and float in [0, 1] are the same images."""
    plain = case.plain
    other = case.features((case.images / 255.0).astype(np.float32))
    for layer, values in plain.items():
        if seen := differs(values, other[layer], 0.05):
            yield Problem(
                f"the same '{layer}' of uint8 and of float images", seen, "Divide uint8 by 255 first."
            )


def texts(case: BackboneCase) -> Iterator[Problem]:
    """Captions, for backbones that read them."""
    if not hasattr(case.built, "extract_text"):
        raise NotChecked("it reads no captions")
    backbone = case.opened
    values = np.asarray(case.call("extract_text", backbone.extract_text, list(CAPTIONS)))
    if values.ndim != 2 or len(values) != len(CAPTIONS) or not np.isfinite(values).all():
        yield Problem(
            f"({len(CAPTIONS)}, D) finite numbers from extract_text", str(values.shape), "One row a caption."
        )


CHECKS = {
    "contract": contract,
    "signatures": signatures,
    "identity": identity,
    "output": output,
    "micro-batches": micro_batches,
    "same twice": same_twice,
    "floats": floats,
    "texts": texts,
    **CONDUCT,
}


def check_backbone(plugin: Any, *, expected_failures: Mapping[str, str] | None = None) -> Report:
    """Whether `plugin`, a class or a row's class with its arguments, keeps :class:`harness.api.Backbone`."""
    label = f"backbone {getattr(plugin, '__name__', None) or getattr(plugin, 'func', plugin)}"
    return carry_out(label, CHECKS, BackboneCase(plugin), expected_failures=expected_failures)


class ScorerCase(Case):
    """A scorer."""

    group = "scorers"


def scorer_contract(case: ScorerCase) -> Iterator[Problem]:
    """A class of :class:`harness.scoring.context.Scorer` that has all of it."""
    if not (inspect.isclass(case.plugin) and issubclass(case.plugin, Scorer)):
        yield Problem("a class derived from harness.scoring.context.Scorer", repr(case.plugin), "Derive it.")
        return
    if lacking := sorted(case.plugin.__abstractmethods__):
        yield Problem(
            "score(metric)", f"no {', '.join(lacking)}", "Return harness.scoring.scores.Scored from it."
        )
    if not isinstance(getattr(case.plugin, "inputs", None), str) or not getattr(case.plugin, "inputs", ""):
        yield Problem(
            "inputs, the kind that it scores", "none", "Write inputs = 'NAME', the name of its row."
        )


def scorer_signatures(case: ScorerCase) -> Iterator[Problem]:
    """Methods take what the driver gives."""
    shapes = {"problem": (("metric",), ()), "prepare": (("metrics",), ()), "score": (("metric",), ())}
    yield from calls(case, {**shapes, "expected": (("metric", "plan"), ()), "reads": (("metric",), ())})


SCORER_CHECKS = {"contract": scorer_contract, "signatures": scorer_signatures}


def check_scorer(plugin: Any, *, expected_failures: Mapping[str, str] | None = None) -> Report:
    """Whether the class `plugin` is a scorer; what it gives shows in a run with metrics of its kind."""
    label = f"scorer {getattr(plugin, '__name__', plugin)}"
    return carry_out(label, SCORER_CHECKS, ScorerCase(plugin), expected_failures=expected_failures)

"""Checks of a decoder: responses -> images."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..api import Decoded, Responses, SubjectData
from ..plugins import PluginRef
from ..seeds import image_seeds
from ..stages.fit import takes_features
from ..stages.fitting import decoder_training
from ..stages.guard import is_pretrained
from .case import CLOSE, CONDUCT, SAME, calls, contract, differs, parameters
from .fitting import (
    MASKED_VALUE,
    FittedCase,
    masked_voxels,
    other_spaces,
    refused_spaces,
    resuming,
    same_seed,
    saving,
    trained_without_test,
    with_masked,
)
from .report import NotChecked, Problem, Report, carry_out

LEVELS = 3.5 / 255
"""Images of 8 bits may round to a near level when sums are made in another order, all the more after the
many steps of a diffusion; networks that look at the whole batch differ by tens of levels."""


class DecoderCase(FittedCase):
    """A decoder, fitted on the first of `subjects` and given its measured test responses."""

    group = "decoders"

    def fitted(self, subject: SubjectData, *, place: Path) -> Any:
        if is_pretrained(self.plugin, self.params):
            start = self.plugin.from_pretrained
            model = self.call("from_pretrained", start, self.params, subject.space, device=self.device)
        else:
            model = self.build()
            features = [self.features] if self.takes_features(model) else []
            given = (decoder_training(model, subject), *features)
            self.call("fit", model.fit, *given, seed=0, device=self.device, checkpoint_dir=place)
        return model

    def takes_features(self, decoder: Any) -> bool:
        """Whether its ``fit`` takes features; those that were written before there were any do not."""
        name = type(decoder).__name__
        return takes_features(
            decoder, PluginRef(self.group, name, f"{self.plugin.__module__}:{name}", "", "")
        )

    @property
    def responses(self) -> Responses:
        """What the engine hands over: a mean of each image or, for ``repeats = "outputs"``, every trial."""
        measured = self.subject.test.responses
        if self.plugin.repeats == "outputs":
            return measured
        return Responses.single(measured.space, measured.ids, measured.mean())

    @property
    def seeds(self) -> np.ndarray:
        """(N,) uint64 of the test images."""
        return image_seeds(0, self.subject.test.stimuli.ids, 0)

    def results(self, model: Any, **change: Any) -> np.ndarray:
        """(N, C, H, W, 3) float images in [0, 1]."""
        return as_floats(self.decoded(model, **change).images)

    def decoded(
        self, model: Any, *, responses: Responses | None = None, seeds: np.ndarray | None = None
    ) -> Decoded:
        """What `model`, opened for the first subject, decodes."""
        responses = self.responses if responses is None else responses
        seeds = self.seeds if seeds is None else seeds
        self.call("open", model.open, self.subject.space, device=self.device)
        return self.call("decode", model.decode, responses, seeds=seeds.copy())


def as_floats(images: Any) -> np.ndarray:
    """Images as float64 in [0, 1]."""
    images = np.asarray(images)
    return images / 255.0 if images.dtype == np.uint8 else images.astype(np.float64)


def unlike(first: np.ndarray, second: np.ndarray) -> str:
    """By how much images differ, in words; ``""`` where that is rounding.

    Every pixel within :data:`LEVELS`, or all of them within :data:`CLOSE` on average: a generator that
    looks at its own picture again and again makes more of a rounding in a few pixels.
    """
    if first.shape == second.shape:
        off = np.abs(np.asarray(first, np.float64) - second)
        if off.max() <= LEVELS or off.mean() <= CLOSE * np.std(first):
            return ""
    return differs(first, second, CLOSE)


def signatures(case: DecoderCase) -> Iterator[Problem]:
    """Methods take what the engine gives; what is declared is one of what there is."""
    fit = ("subject", "features") if case.takes_features(case.build()) else ("subject",)
    shapes = {
        "wants": ((), ()),
        "fit": (fit, ("seed", "device", "checkpoint_dir")),
        "open": (("space",), ("device",)),
        "decode": (("responses",), ("seeds",)),
        "save": (("folder",), ()),
        "load": (("folder", "params"), ("device",)),
        "from_pretrained": (("params", "space"), ("device",)),
        "generate": (("images",), ("seeds",)),
        "rebuild": (("images",), ("seeds",)),
        "embed": (("images",), ()),
        "calibrate": (("responses",), ()),
    }
    yield from calls(case, shapes)
    if not isinstance(inspect.getattr_static(case.plugin, "load", None), classmethod):
        yield Problem("load to be a classmethod", "something else", "Write @classmethod above it.")
    for name, allowed in (("repeats", ("inputs", "outputs")), ("trains_on", ("means", "trials"))):
        if (value := getattr(case.plugin, name)) not in allowed:
            yield Problem(f"{name} to be {' or '.join(map(repr, allowed))}", repr(value), "Say which.")
    if hasattr(case.plugin, "calibrate") and not case.plugin.transductive:
        yield Problem(
            "calibrate, which sees all test inputs, of transductive decoders only",
            "transductive = False",
            "Say transductive = True, so that its scores are flagged.",
        )


def output(case: DecoderCase) -> Iterator[Problem]:
    """A :class:`Decoded` of one set of candidates an image, uint8 or float in [0, 1]."""
    decoded = case.decoded(case.model)
    n = len(case.subject.test)
    if not isinstance(decoded, Decoded):
        yield Problem("harness.api.Decoded from decode", type(decoded).__name__, "Return Decoded(images).")
        return
    images = np.asarray(decoded.images)
    if images.ndim != 5 or len(images) != n or images.shape[1] < 1 or images.shape[-1] != 3:
        yield Problem(
            f"images of shape ({n}, candidates, height, width, 3)",
            str(images.shape),
            "Give one row for each id of `responses`, and images[:, None] for a single candidate.",
        )
        return
    if images.dtype != np.uint8:
        floating = np.issubdtype(images.dtype, np.floating)
        if not floating or not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
            yield Problem(
                "uint8 images, or float in [0, 1]",
                f"{images.dtype} from {images.min():.3g} to {images.max():.3g}",
                "Return np.clip(images, 0, 1).",
            )
    for name in ("embedding", "low_level", "caption"):
        value = getattr(decoded, name)
        if value is None:
            continue
        if len(value) != n:
            yield Problem(f"{n} entries of {name}", str(len(value)), "Give one for each image.")
        elif name != "caption" and not np.isfinite(np.asarray(value)).all():
            yield Problem(f"a finite {name}", "NaN or infinity", "Look at what the network was given.")


def true_embedding(case: DecoderCase) -> Iterator[Problem]:
    """``embed`` gives as many numbers as are decoded, ``generate`` and ``rebuild`` one image an image."""
    model, stimuli = case.model, case.subject.test.stimuli
    if not any(hasattr(case.plugin, method) for method in ("embed", "generate", "rebuild")):
        raise NotChecked("it has neither embed nor generate")
    decoded = case.decoded(model)
    images = stimuli.images()
    if hasattr(case.plugin, "embed"):
        true = np.asarray(case.call("embed", model.embed, images))
        predicted = decoded.embedding
        if predicted is not None and true[0].size != np.asarray(predicted)[0].size:
            yield Problem(
                "as many numbers from embed(images) as in Decoded.embedding",
                f"{true[0].size} and {np.asarray(predicted)[0].size}",
                "Embed images into the space that is decoded.",
            )
        if len(true) != len(images) or not np.isfinite(true).all():
            yield Problem(
                f"{len(images)} finite rows from embed(images)", str(true.shape), "Give one row an image."
            )
    for method in ("generate", "rebuild"):
        if not hasattr(case.plugin, method):
            continue
        generated = case.call(method, getattr(model, method), images, seeds=case.seeds)
        if not isinstance(generated, Decoded) or len(generated.images) != len(images):
            yield Problem(
                f"Decoded with {len(images)} images from {method}",
                repr(type(generated).__name__),
                "Give one an image.",
            )


def seeds_of_images(case: DecoderCase) -> Iterator[Problem]:
    """Equal seeds, equal images; other seeds change nothing unless it is stochastic."""
    plain, model = case.plain, case.model
    if seen := differs(plain, case.results(model), SAME):
        yield Problem(
            "the same images for the same seeds", seen, "Draw from np.random.default_rng(int(seeds[n]))."
        )
        return
    other = image_seeds(1, case.subject.test.stimuli.ids, 0)
    if not case.plugin.stochastic and (seen := differs(plain, case.results(model, seeds=other), SAME)):
        yield Problem("seeds to change nothing where stochastic = False", seen, "Say stochastic = True.")


def order_of_images(case: DecoderCase) -> Iterator[Problem]:
    """Whichever image comes first."""
    plain, model, responses = case.plain, case.model, case.responses
    order = np.random.default_rng(0).permutation(len(responses.ids))
    turned = responses.select([responses.ids[k] for k in order])
    if seen := unlike(plain[order], case.results(model, responses=turned, seeds=case.seeds[order])):
        yield Problem(
            "images that follow their responses in another order",
            seen,
            "Let nothing but an image's responses and its seed decide about it.",
        )


def micro_batches(case: DecoderCase) -> Iterator[Problem]:
    """One image at a time or all at once."""
    plain, model, responses, seeds = case.plain, case.model, case.responses, case.seeds
    parts = [
        case.results(model, responses=responses.select([name]), seeds=seeds[k : k + 1])
        for k, name in enumerate(responses.ids)
    ]
    if seen := unlike(plain, np.concatenate(parts)):
        yield Problem(
            "the same images one at a time as all at once",
            seen,
            "Take means and normalisations from training data, and networks in eval mode.",
        )


def names_of_images(case: DecoderCase) -> Iterator[Problem]:
    """Ids say nothing."""
    plain, model, responses = case.plain, case.model, case.responses
    hidden = responses.renamed([f"hidden-{k}" for k in range(len(responses.ids))])
    if seen := unlike(plain, case.results(model, responses=hidden)):
        yield Problem("images that do not depend on ids", seen, "Decode from responses alone.")


def inputs_kept(case: DecoderCase) -> Iterator[Problem]:
    """``decode`` writes into nothing that it is given."""
    model, responses, seeds = case.model, case.responses, case.seeds
    kept = responses.trials().copy(), seeds.copy()
    case.call("open", model.open, case.subject.space, device=case.device)
    case.call("decode", model.decode, responses, seeds=seeds)
    for name, before, after in (("responses", kept[0], responses.trials()), ("seeds", kept[1], seeds)):
        if not np.array_equal(before, after):
            yield Problem(f"{name} to stay as they are", "others after decode", "Work on a copy.")


def masked_inputs(case: DecoderCase) -> Iterator[Problem]:
    """What stands in masked voxels changes nothing, neither in training nor in decoding."""
    yield from masked_voxels(case)
    plain, model = case.plain, case.model
    filled = with_masked(case.responses, MASKED_VALUE)
    if seen := unlike(plain, case.results(model, responses=filled)):
        yield Problem(
            "masked voxels to be ignored by decode",
            f"{seen} once {MASKED_VALUE:g} stands in them",
            "Decode from responses.mean()[:, space.valid] only.",
        )


def spaces(case: DecoderCase) -> Iterator[Problem]:
    """Another voxel space is refused, when it is opened."""
    for words, space in other_spaces(case).items():
        yield from refused_spaces(
            case,
            lambda model, s=space: model.open(s, device=case.device),
            space_name=words,
            method="open",
        )


def training_data(case: DecoderCase) -> Iterator[Problem]:
    """Fitting needs no test data and leaves all as it is."""
    yield from trained_without_test(case)


CHECKS = {
    "contract": contract,
    "signatures": signatures,
    "parameters": parameters,
    "training data": training_data,
    "output": output,
    "embedding": true_embedding,
    "seeds": seeds_of_images,
    "inputs": inputs_kept,
    "order": order_of_images,
    "micro-batches": micro_batches,
    "names": names_of_images,
    "spaces": spaces,
    "same seed": same_seed,
    "masked voxels": masked_inputs,
    "saving": saving,
    "resuming": resuming,
    **CONDUCT,
}


def check_decoder(
    plugin: Any,
    params: Any = None,
    *,
    subjects: Sequence[SubjectData] = (),
    device: str = "cpu",
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Whether the class `plugin` keeps the contract of :class:`harness.api.Decoder`.

    Arguments as of :func:`.encoders.check_encoder`.
    """
    case = DecoderCase(plugin, params, subjects=tuple(subjects), device=device)
    label = f"decoder {getattr(plugin, '__name__', plugin)}"
    return carry_out(label, CHECKS, case, expected_failures=expected_failures)

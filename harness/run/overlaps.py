"""Image sets that plugins say they were trained on, and which of them hold images of a test set.

A model that was fitted elsewhere cannot be checked image by image, but whoever wraps it knows which
named set it saw.  Encoders, decoders and files of predictions declare ``training_sets``, benchmarks
``test_sets``; equal names overlap, and so do the pairs known here.

=========================  ========================================================================
``nsd-73k``                all images of the Natural Scenes Dataset (Allen et al. 2022), from COCO
``nsd-shared1000``         those that all eight subjects were to see; MindEye2's test images
``nsd-shared982``          the 982 of them that Brain-Diffuser and MindEye test on
``nsd-special515``         those of them seen three times by all eight subjects
``algonauts-2023-train``   training split of the Algonauts 2023 challenge, drawn from NSD
``coco``                   Microsoft COCO, on which captioners and generators are trained
=========================  ========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

_INSIDE = {
    "nsd-special515": "nsd-shared907",
    "nsd-shared907": "nsd-shared982",
    "nsd-shared982": "nsd-shared1000",
    "nsd-shared1000": "nsd-73k",
    "nsd-73k": "coco",
    "algonauts-2023-train": "nsd-73k",
}
"""Set -> the next larger one that holds all of it."""

_ALGONAUTS = (
    "the split by sessions of Algonauts 2023 leaves shared images that were shown before the last three "
    "sessions in training"
)
_IMAGERY = "the complex pictures of NSD-Imagery are named after shared images of NSD"

_PARTLY = {
    frozenset(("algonauts-2023-train", name)): _ALGONAUTS
    for name in ("nsd-shared1000", "nsd-shared982", "nsd-shared907", "nsd-special515")
} | {
    frozenset((larger, f"nsd-imagery-{name}")): _IMAGERY
    for larger in ("nsd-shared1000", "nsd-73k", "coco")
    for name in ("vision", "vision-complex", "imagery", "imagery-complex")
}
"""Sets that share images though none holds the other -> why (Gifford et al. 2023, devkit; names of files)."""

DECLARATIONS = ("networks", "training_sets", "training_hashes", "wants_text")
"""Optional methods by which a plugin says where it comes from."""


@dataclass(frozen=True)
class Declared:
    """What one plugin of a run says about where it comes from.

    networks : backbones that it looks through besides those the harness extracts for an encoder.
    sets : names of image sets it was trained on.
    hashes : content hashes (:func:`harness.data.image_sha`) of images it was trained on.
    reads_texts : it predicts from captions or labels.
    """

    who: str
    networks: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    hashes: frozenset[str] = field(default_factory=frozenset)
    reads_texts: bool = False

    @classmethod
    def of(cls, who: str, plugin: Any, *, wants: bool = False) -> Declared:
        """From a plugin object; each method is optional.  `wants`: the backbones that it wants count too."""
        wanted = (backbone for backbone, _ in _called(plugin, "wants")) if wants else ()
        texts = tuple(_called(plugin, "wants_text"))
        return cls(
            who,
            tuple(dict.fromkeys([*_called(plugin, "networks"), *texts, *wanted])),
            tuple(_called(plugin, "training_sets")),
            frozenset(_called(plugin, "training_hashes")),
            bool(texts),
        )


def shared_images(trained: Iterable[str], tested: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(training set, test set, why they share images) of every pair that does."""
    for training_set in trained:
        for test_set in tested:
            if why := _why(training_set, test_set):
                yield training_set, test_set, why


def _why(trained: str, tested: str) -> str:
    if trained == tested:
        return "they are the same images"
    if tested in _larger(trained):
        return f"{tested} holds all of {trained}"
    if trained in _larger(tested):
        return f"{trained} holds all of {tested}"
    return _PARTLY.get(frozenset((trained, tested)), "")


def _larger(name: str) -> Iterator[str]:
    while name in _INSIDE:
        name = _INSIDE[name]
        yield name


def _called(plugin: Any, name: str) -> Iterable[str]:
    method = getattr(plugin, name, None)
    return () if method is None else method()

"""The contracts between the harness and its plugins (numpy and the standard library only).

A plugin package imports this module and, where it wants what others share (a training loop, ridge, saved
voxel spaces), :mod:`harness.toolkit`; nothing else of the engine.  The data classes are defined
in :mod:`harness.data`; the plugin kinds below are protocols, so that any class with these methods
will do, without inheritance; metrics are rows (:class:`Metric`).  A `fit` that takes long says how far it
is by wrapping its loop, ``for epoch in track(range(epochs), "stage 1")``, or by calling
``progress("stage 1", done, total)``: both change nothing but what the terminal shows.

Shapes: N images, T trials, V voxels, S samples, C candidates, R repeats, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from . import units
from .catalogue import Metric, call, plugin
from .data import (
    CeilingSource,
    Decoded,
    ImageSet,
    Responses,
    Scaling,
    Split,
    Stimuli,
    SubjectData,
    VoxelSpace,
    image_sha,
)
from .errors import (
    ConfigError,
    DataError,
    HarnessError,
    PluginError,
    SpaceMismatch,
    StoreError,
    WeightsMissing,
    check_ranges,
    suggest,
)
from .progress import progress, track

__all__ = [
    "INTERFACE",
    "Backbone",
    "Benchmark",
    "CeilingSource",
    "ConfigError",
    "DataError",
    "Decoded",
    "Decoder",
    "Encoder",
    "Features",
    "HarnessError",
    "ImageSet",
    "Metric",
    "PluginError",
    "Responses",
    "Scaling",
    "SpaceMismatch",
    "Split",
    "Stimuli",
    "StoreError",
    "SubjectData",
    "VoxelSpace",
    "WeightsMissing",
    "call",
    "check_ranges",
    "image_sha",
    "plugin",
    "progress",
    "suggest",
    "track",
    "units",
]

INTERFACE = 1
"""Version of these contracts.  A plugin class may state ``interface = 1``; another number is refused."""


class Features(Protocol):
    """Features that the harness keeps: those of images by backbones, those of texts, and a plugin's own."""

    def layer(self, backbone: str, layer: str, stimuli: Stimuli) -> np.ndarray:
        """(N, ...) float32 features of `stimuli`, in their order.

        A layer larger than a gigabyte stays on disk: what is returned is then read row by row, and is as what
        :meth:`computed` returns, float16 where the backbone's layer is kept so (:attr:`Backbone.half`);
        ``np.asarray(values, np.float32)`` reads all of it.
        """

    def text(self, backbone: str, texts: Sequence[str]) -> np.ndarray:
        """(n, D) float32 of `texts` by the ``extract_text`` of `backbone`, one of :meth:`Encoder.wants_text`.

        PluginError where it reads none.
        """

    def computed(
        self,
        name: str,
        compute: Callable[[np.ndarray, int], np.ndarray],
        stimuli: Stimuli,
        *,
        identity: str,
        batch: int = 32,
    ) -> np.ndarray:
        """(N, ...) of what the plugin computes of `stimuli` itself while it is fitted, in their order.

        compute : (images (n, H, W, 3) as they are stored, place of the first) -> (n, ...), for each `batch`
            of neighbours; not called for what an earlier fit computed, whatever its learning rate.
        identity : a hash of all that the values depend on besides the images, their places and the plugin's
            code: weights, sizes, a seed; ``""`` keeps nothing.
        batch : images at a time; it divides 256.

        What is returned has `shape`, `dtype` and a length, is indexed along its first axis as an array is,
        keeps the type that `compute` gave, and may be larger than memory.
        """


@runtime_checkable
class Encoder(Protocol):
    """Images -> responses.  Built as ``cls(params)`` with a ``cls.Params`` frozen dataclass.

    ``stochastic`` says whether two samples of one image may differ.  ``wants()`` names the
    (backbone, layer) pairs that the harness must have extracted before `fit` and `predict`.
    Optional: ``adapt(subject, features, *, seed, device, checkpoint_dir)`` transfers a fitted or loaded
    encoder to one more subject.  It is called where the scored subject is none of those that the encoder was
    fitted on; then `save` keeps all that `predict` needs for its space.  ``any_space = True``, an attribute,
    where it predicts a space that it has met in neither.
    Optional: ``own_space() -> VoxelSpace``, with ``pretrained = True`` and ``from_pretrained`` as a
    :class:`Decoder` has it, where it brings weights and voxels of its own, so that ``harness predict``
    needs no fit; ``takes``, the name of the parameter that ``NAME:VALUE`` gives.
    Optional: ``wants_text() -> Sequence[str]``, backbones that read texts (``extract_text``), of one that
    predicts from what people wrote of an image, its captions or labels, in place of the image; such runs are
    flagged.  `Stimuli` carry them where the benchmark has them, ``features.text`` reads them.
    Optional: ``branches``, the name of a parameter that `predict` alone reads, with a ``Literal`` of values:
    its parts alone, or otherwise wired, with the same weights (``harness branches``).
    Optional: ``require(stimuli)`` raises what stands against predicting them, asked once for all stimuli
    before `predict` gets them by the batch.
    Optional, of encoders and decoders: ``identity() -> str``, a hash of what else the numbers depend on,
    ``""`` where that is unknown and nothing may be kept.  Without it the identity is: name, version, source,
    the modules that it imports from ``harness``, from its own package or, where the plugin is a file, from
    that file's folder; parameters, and the content of files and folders that they name.  For `identity`
    there remain weights and files that no parameter names, and what other packages compute.
    Optional, of encoders and decoders, so that flags can be computed:
    ``training_sets()`` names of image sets that it, or weights it starts from, was trained on
    (:mod:`harness.run.overlaps`); ``training_hashes()`` :func:`image_sha` of such images; ``networks()``
    backbones that it looks through besides those it wants.
    Optional, of encoders, decoders and benchmarks: ``presets``, the name of a YAML file of presets beside the
    module, where that is not called as :mod:`harness.presets` says; a static method
    ``missing(params, *, subject)``, a line for each file (weights, data) that a run would read and that is
    not there, with how to get it.  It is
    asked with the plan, so that nobody waits an hour for it, and reads no file's content.
    """

    version: ClassVar[str]
    Params: ClassVar[type]
    stochastic: ClassVar[bool]

    def wants(self) -> Sequence[tuple[str, str]]: ...

    def fit(
        self,
        subjects: Sequence[SubjectData],
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Learn from the training splits of one or several subjects."""

    def predict(
        self,
        stimuli: Stimuli,
        features: Features,
        *,
        space: VoxelSpace,
        seeds: np.ndarray,
    ) -> np.ndarray:
        """(N, S, V) float32 responses in `space`; `seeds` (N, S) uint64 seed every draw."""

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> Encoder: ...


@runtime_checkable
class Decoder(Protocol):
    """Responses -> images.  Built as ``cls(params)``.

    ``repeats`` = ``"inputs"``: the harness averages an image's trials and gives one pattern each;
    ``"outputs"``: the decoder gets every trial and averages its own outputs.
    ``trains_on`` = ``"means"``: `fit` gets one response of each training image, the mean of its trials;
    ``"trials"``: every trial.  ``transductive`` decoders may have
    ``calibrate(responses)`` that sees all test inputs (never a stimulus), and are flagged.

    Optional: ``wants()``, the (backbone, layer) pairs of training images that the harness extracts before
    `fit`, as for an :class:`Encoder`.
    Optional: ``targets(subject, features, *, seed, device)``, which asks ``features.computed`` for all that
    `fit` will ask it for, and nothing else.  Before a fit several workers call it at once, each with
    `features` that compute a share of it.
    Optional: ``generate(images, *, seeds) -> Decoded``, the generator given the true embedding of
    `images` (the generator ceiling); ``rebuild(images, *, seeds) -> Decoded``, `images` through the codes in
    which it draws and back (the code ceiling); ``embed(images (n, H, W, 3)) -> (n, D)`` or (n, tokens, D),
    the true embedding of images in the space of ``Decoded.embedding`` and of as many numbers, used to choose
    among candidates and by the retrieval metrics, which without either score nothing;
    ``captions = True``, where `decode` returns captions and so may `generate`, of the true images, or a
    static method ``captions(params) -> bool`` where that depends;
    ``blend``, an attribute of the object: the share of ``Decoded.low_level`` that is mixed into the pictures
    before they are scored where no protocol says another, 0 without it.  `decode` and `generate` return
    pictures with nothing mixed in.  The field of ``Params`` that sets it, as any that neither `fit` nor
    `decode` reads, may have the metadata ``{"identity": False}``: another value then fits and decodes nothing
    again; a field of an encoder's that `fit` does not read and `predict` does, ``{"fit": False}``;
    ``from_pretrained(params, space, *, device)``, a class method in place of `fit`, where
    ``pretrained = True`` or, where that depends, a static method ``pretrained(params) -> bool`` says so; what
    it reads is in the decoder's identity, and the voxel space is in the key;
    a static method ``costs(params, *, images) -> harness.nn.costs.DecodingCosts | None``, what decoding
    `images` images at once takes, counted without weights, which plans show before anything is loaded;
    ``identity``, ``training_sets``, ``training_hashes``, ``networks`` and ``missing`` as for an
    :class:`Encoder`.
    """

    version: ClassVar[str]
    Params: ClassVar[type]
    stochastic: ClassVar[bool]
    repeats: ClassVar[str]
    trains_on: ClassVar[str]
    transductive: ClassVar[bool]

    def fit(
        self,
        subject: SubjectData,
        features: Features,
        *,
        seed: int,
        device: str,
        checkpoint_dir: Path,
    ) -> None:
        """Learn from the training split of a subject.

        A decoder that was written before there were `features` and takes none is fitted without.
        """

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Make ready to decode responses of `space`; refuse any other."""

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Reconstruct the N images of `responses`; `seeds` (N,) uint64 seed every draw."""

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> Decoder: ...


@runtime_checkable
class Backbone(Protocol):
    """Images -> named layers of features.  Built as ``cls()``; variants have names of their own.

    Optional: ``weights_sha() -> str``, equal for backbones of the same weights behind another
    preprocessing, so that a metric which shares a network with an encoder is found and flagged;
    ``extract_text(captions) -> (n, D)``, comparable with a layer of the images;
    ``half``, names of layers that the store keeps as float16, such as tokens, which take gigabytes.
    """

    version: ClassVar[str]
    layers: ClassVar[tuple[str, ...]]

    def identity(self) -> str:
        """Hash of weights and preprocessing; raises :class:`WeightsMissing` when absent."""

    def open(self, *, device: str) -> None: ...

    def extract(self, images: np.ndarray, layers: Sequence[str]) -> dict[str, np.ndarray]:
        """Images (n, H, W, 3) uint8 or float in [0, 1] -> layer -> (n, ...) float32."""


@runtime_checkable
class Benchmark(Protocol):
    """Data and protocol, no models.  Built as ``cls(params)``.

    ``simulated`` benchmarks are labelled so everywhere.  ``generated`` ones are computed, and the
    harness keeps what `load` returns in its store, under source, parameters and the files that these name.
    Optional: ``training_sets()`` and ``test_sets()``
    names of the image sets that training and test images are of, to detect known overlaps; ``missing`` as
    for an :class:`Encoder`.
    ``rdms() -> {subject: (sessions, pairs)}``, measured dissimilarities of the test images (upper
    triangle, row by row), and ``other_rdms() -> {name: (pairs,)}``, where ``harness rsa`` can compare with
    them.
    ``measured = False`` where there are stimuli and no responses: `load` gives a space of no voxels, and
    what was made elsewhere is scored, nothing else.
    ``opaque_ids = True`` where an id tells what its image shows, so that it could be drawn again: encoders
    and decoders then get test images under names that say nothing.
    """

    version: ClassVar[str]
    Params: ClassVar[type]
    simulated: ClassVar[bool]
    generated: ClassVar[bool]

    def subjects(self) -> Sequence[str]: ...

    def load(self, subject: str) -> SubjectData: ...

"""The decoder ``mindbridge`` (Wang et al. 2024, arXiv:2404.07850): pooled voxels -> image and word tokens.

A run fits one subject, so by default this is the paper's single-subject network.  With `checkpoint`, a
published bridge of several subjects, a subject in it is decoded as it is, and another gets an embedder and a
builder of its own while the bridge stays; the public adaptation also shows source subjects' data, which a run
has not.  No prior stands between regression and Versatile Diffusion, which reads both token sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.api import (
    ConfigError,
    DataError,
    Decoded,
    Features,
    Responses,
    SubjectData,
    VoxelSpace,
    WeightsMissing,
    check_ranges,
)
from harness.backbones.images import planes
from harness.decoders.drawing import image_generators
from harness.decoders.latent_diffusion.conditions import Conditions
from harness.decoders.latent_diffusion.decoder import CaptionBook, PaintedDecoder, PaintedParams
from harness.decoders.settings import part_of
from harness.training import purpose_seed, seeded, train, write_curves

from .settings import FitSettings, LossWeights, NetworkSettings, Pooling

if TYPE_CHECKING:
    import torch

    from .fitting import BridgeSet
    from .network import MindBridgeNetwork

TINY = NetworkSettings(
    pooled=1500, bottleneck=32, hidden=256, blocks=2, image_tokens=16, text_tokens=48, token_dim=64
)
OWN = 1
"""Number of the only subject in a network that was fitted here."""


@dataclass(frozen=True, kw_only=True)
class MindBridgeParams(PaintedParams):
    """What it is made of, how it is fitted, how it draws.

    checkpoint : ``last.pth`` of a published bridge; with `number`, the subject's in it, nothing is trained.
    number : of the scored subject in the checkpoint's names; 0 for a subject that is not in it.
    pooling : of the voxels, repetition by repetition.
    epochs, batch, learning_rate, decay : of the training; published are 600 epochs, for adaptation 200.
    mse, reconstruction, cycle : factors of the losses besides the contrastive one.
    words : share of the words in what is drawn.
    sampler, steps, guidance : of the generator; there is no first image.
    candidates : pictures drawn per image.  The paper shows the best of eight by the true image.
    """

    checkpoint: str = ""
    number: int = 0
    pooling: Pooling = "max"
    epochs: int = 600
    batch: int = 50
    learning_rate: float = 3e-4
    decay: float = 1e-2
    mse: float = 1e4
    reconstruction: float = 1.0
    cycle: float = 1.0
    words: float = 0.5
    sampler: Literal["ddim", "unipc"] = "unipc"
    steps: int = 20
    guidance: float = 5.0

    def __post_init__(self) -> None:
        ranges = {
            "number": (0, 8), "epochs": (3, 1e6), "batch": (2, 1e6), "learning_rate": (1e-12, 1),
            "decay": (0, 100), "mse": (0, 1e9), "reconstruction": (0, 1e9), "cycle": (0, 1e9),
        }  # fmt: skip
        super().__post_init__()
        check_ranges(self, ranges, section="decoder")
        if self.number and not self.checkpoint:
            raise ConfigError(
                f"decoder.number is {self.number} and there is no checkpoint whose subject it could be; give "
                "--set decoder.checkpoint=FILE, or leave the number out"
            )

    def fitting(self) -> FitSettings:
        """How the network is fitted."""
        return part_of(self, FitSettings, weights=part_of(self, LossWeights))


class MindBridgeDecoder(PaintedDecoder):
    """Every trial of an image, pooled, then averaged -> picture; the embedding is the image tokens."""

    version = "1"
    repeats = "outputs"
    trains_on = "trials"
    Params = MindBridgeParams
    label = "mindbridge"
    checkpoints = ("checkpoint",)

    def __init__(self, params: MindBridgeParams) -> None:
        super().__init__(params)
        self.network: MindBridgeNetwork | None = None
        self.subject = OWN
        self._book: CaptionBook | None = None
        self.history: list = []

    @property
    def sizes(self) -> NetworkSettings:
        """Of the network."""
        return TINY if self.params.weights == "tiny" else NetworkSettings()

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Train on the trials of `subject`, or take it from the published bridge that knows it."""
        from .fitting import BridgeSet

        self._begin(subject, device)
        p, space, stimuli = self.params, subject.space, subject.train.stimuli
        self._book = CaptionBook.of(self.painter, stimuli.captions)
        self._start(seed)
        if not p.number:
            responses = subject.train.responses
            images = self._computed(features, "tokens", stimuli, lambda x, _: self.painter.image_tokens(x))
            words = self._word_targets(features, stimuli)
            pooled = self._pooled(responses.trials()[:, space.valid])
            data = {self.subject: BridgeSet(pooled, responses.image_index, images, words)}
            self._train(data, seed, device, checkpoint_dir)
        self.space = space

    @classmethod
    def from_pretrained(
        cls, params: MindBridgeParams, space: VoxelSpace, *, device: str
    ) -> MindBridgeDecoder:
        """The published network of a subject that is in it, as it is.

        A generator ceiling needs captions, which only a fit has.
        """
        if not params.checkpoint or not params.number:
            raise WeightsMissing(
                "decoder.checkpoint and decoder.number are needed: the published file and the subject's "
                "number in it, --set decoder.checkpoint=FILE --set decoder.number=1"
            )
        decoder = cls(params)
        decoder._start(0)
        decoder.space = space
        decoder.open(space, device=device)
        return decoder

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Pictures."""
        import torch

        self.open(responses.space, device=self.device)
        pooled = self._pooled(responses.trials()[:, self.space.valid]).astype(np.float64)
        means = np.zeros((len(responses.ids), pooled.shape[1]))
        np.add.at(means, responses.image_index, pooled)
        means /= responses.counts()[:, None]
        s = self.network.settings
        with torch.no_grad():
            output = self.network(torch.from_numpy(means.astype(np.float32)).to(self.device), self.subject)
        image = output.image.unflatten(1, (s.image_tokens, s.token_dim))
        words = output.text.unflatten(1, (s.text_tokens, s.token_dim))
        conditions = Conditions(self.painter.renormed(image), self.painter.renormed(words))
        return self._painted(conditions, image_generators(seeds))

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: true image tokens, words of the nearest training caption."""
        if self._book is None:
            raise DataError("mindbridge has no training captions, which its generator ceiling needs; fit it")
        words = self.painter.word_tokens(self._book.nearest(self.painter, planes(images).to(self.device)))
        return self._painted(Conditions(self._true_tokens(images), words), image_generators(seeds))

    def _painted(self, conditions: Conditions, generators: Sequence[torch.Generator]) -> Decoded:
        embedding = conditions.image.float().cpu().numpy()
        return self._drawn(conditions, generators, embedding=embedding)

    def _pooled(self, trials: np.ndarray) -> np.ndarray:
        """(T, V) -> (T, pooled) float32."""
        import torch

        from .network import pool

        return pool(torch.from_numpy(trials), self.sizes.pooled, kind=self.params.pooling).numpy()

    def _start(self, seed: int) -> None:
        """A new network, the published one, or the published one with parts for a new subject."""
        from . import checkpoints
        from .network import MindBridgeNetwork

        p, self.subject = self.params, self.params.number or OWN
        weights = checkpoints.published(Path(p.checkpoint).expanduser()) if p.checkpoint else None
        if p.number:
            self.network = checkpoints.of_subject(weights, p.number, self.sizes)
            return
        with seeded(seed, "mindbridge start"):
            network = MindBridgeNetwork([OWN], self.sizes)
        if weights is not None:
            checkpoints.take_bridge(network, weights)
        self.network = network

    def _train(self, data: dict[int, BridgeSet], seed: int, device: str, folder: Path) -> None:
        from harness.decoders.latent_diffusion.fitting import settings_of

        from .fitting import BridgeTask

        how = self.params.fitting()
        adapting = bool(self.params.checkpoint)
        task = BridgeTask(self.network, data, how, seed=seed, device=device, adapting=adapting)
        shapes = [bridge_set.pooled.shape for bridge_set in data.values()]
        identity = str(purpose_seed(seed, asdict(how), self.sizes, shapes, adapting))
        checkpoint = folder / "mindbridge.safetensors"
        settings = settings_of(task, clip=1.0)
        self.history = train(task, settings, device=device, checkpoint=checkpoint, identity=identity).history
        self.network.requires_grad_(False)

    def _move(self, device: str) -> None:
        super()._move(device)
        if self.network is not None:
            self.network.to(device).eval()

    def _keep(self, folder: Path) -> None:
        from harness.decoders.files import save

        write_curves(folder / "curves.json", self.history)
        save(self.network, folder / "mindbridge.safetensors")
        self._book.save(folder)

    def _take(self, folder: Path) -> None:
        from . import checkpoints

        weights = checkpoints.published(folder / "mindbridge.safetensors")
        self.subject = self.params.number or OWN
        self.network = checkpoints.of_subject(weights, self.subject, self.sizes)
        self._book = CaptionBook.load(folder)

"""The decoder given its parts: fit a subject, decode its responses, measure the generator's ceiling.

Which parts (the token embedder, the generator, the low-level VAE, the part trained on other
subjects) is the choice of who builds it; everything else is here, the same at every size.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from harness.api import (
    ConfigError,
    DataError,
    Decoded,
    Features,
    Responses,
    SpaceMismatch,
    SubjectData,
    VoxelSpace,
)
from harness.backbones.images import resized
from harness.solvers.saved import load_space, save_space
from harness.training import write_curves

from . import low_level
from .checkpoints import load_network, read_weights, save_network, start_from_pretrained
from .fitting import EpochLosses, FitSettings, TrainingSet, fit_network, step_seed
from .generator import Generator
from .inference import image_generators, predict
from .model import MindEye2Network, ModelSettings
from .teacher import Teacher, augmented

logger = logging.getLogger(__name__)

BATCH = 32
"""Images embedded at a time."""


class TokenEmbedder(Protocol):
    """The frozen network whose tokens are predicted; (B, 3, H, W) in [0, 1] -> (B, tokens, dim)."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor: ...


class CaptionWriter(Protocol):
    """Tokens (N, tokens, dim) -> N captions."""

    def __call__(self, tokens: torch.Tensor) -> tuple[str, ...]: ...


class PictureRefiner(Protocol):
    """Pictures (N, 3, H, W) in [0, 1], N captions, a CPU generator each -> refined pictures."""

    def __call__(
        self, pictures: torch.Tensor, captions: Sequence[str], *, generators: Sequence[torch.Generator]
    ) -> torch.Tensor: ...


@dataclass(frozen=True)
class Parts:
    """What the decoder is made of.

    embedder, generator : the generator draws from the embedder's tokens.
    settings : sizes of what is trained.
    vae, latent_scale : of the low-level path, needed if ``settings`` has a low-level head.
    teacher : builds the teacher of the low-level head, which only a fit needs; optional: without one its
        contrastive term is left out.
    captioner, refiner : build what writes captions of the predicted tokens, and what refines pictures
        prompted with these; optional, and called when first drawn, since a fit needs neither.
    pretrained : a subject's name -> weights of a network trained on others, or None to start from
        nothing.
    identity : hash of the weights behind the targets of a fit; ``""``, unknown, keeps no targets.
    """

    embedder: TokenEmbedder
    generator: Generator
    settings: ModelSettings
    vae: torch.nn.Module | None = None
    latent_scale: float = low_level.LATENT_SCALE
    teacher: Callable[[], Teacher] | None = None
    captioner: Callable[[], CaptionWriter] | None = None
    refiner: Callable[[], PictureRefiner] | None = None
    pretrained: Callable[[str], Mapping[str, torch.Tensor] | None] = lambda subject: None
    identity: str = ""

    def __post_init__(self) -> None:
        ours, theirs = self.settings.backbone.token_dim, self.generator.unet_settings.token_dim
        if ours != theirs:
            raise ConfigError(f"mindeye2 predicts tokens of size {ours}, the generator reads {theirs}")
        if self.settings.backbone.low_level and self.vae is None:
            raise ConfigError("mindeye2 has a low-level head and no VAE; give one, or set low_level: false")
        if self.refiner is not None and self.captioner is None:
            raise ConfigError("mindeye2 refines with captions as prompts and has no captioner; give both")


@dataclass(frozen=True)
class DecodeSettings:
    """How it is fitted and decodes; the defaults are those of the paper.

    fit : of the subject's training.
    prior_steps : of the diffusion prior; below its 100 training steps it is DDIM.
    candidates : pictures drawn per image.
    blend : share of the blurry image that is mixed in before scoring; 0.25 in the published scores.
    """

    fit: FitSettings = field(default_factory=FitSettings)
    prior_steps: int = 20
    candidates: int = 1
    blend: float = 0.25

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ConfigError(f"decoder.candidates is {self.candidates}; it must be at least 1")
        if not 0 <= self.blend <= 1:
            raise ConfigError(f"decoder.blend is {self.blend}; expected 0 to 1, published 0.25")


class MindEye2Core:
    """Every trial of an image -> pictures; outputs are averaged over trials before the prior.

    With a captioner the result has captions, of the prior's tokens; with a refiner its pictures are the
    refined ones.  The blurry image is returned beside the pictures and is not in them: whoever scores
    mixes it in, by the share `blend` unless a protocol says another.

    `parts` may be a function, which is called when they are first needed: at full size they are
    gigabytes.
    """

    stochastic = True
    repeats = "outputs"
    trains_on = "trials"
    transductive = False

    def __init__(self, parts: Parts | Callable[[], Parts], settings: DecodeSettings) -> None:
        self._parts, self.settings = parts, settings
        self.blend = settings.blend
        self.device = "cpu"
        self.space: VoxelSpace | None = None
        self.network: MindEye2Network | None = None
        self.history: list[EpochLosses] = []
        self._built: dict[str, Any] = {}

    @cached_property
    def parts(self) -> Parts:
        """What the decoder is made of."""
        if isinstance(self._parts, Parts):
            return self._parts
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and read over
            return self._parts()

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Fine-tune the shared part and a new ridge layer on the trials of `subject`.

        Targets are kept by `features` as float16: at full size they are larger than memory, and a fit with
        another learning rate has the same.  Latents and the teacher's tokens are of stimuli of as many pixels
        as the low-level head's latents stand for, 224 a side at full size.
        """
        space, stimuli = subject.space, subject.train.stimuli
        if not space.n_valid:
            raise DataError(f"every voxel of {space.subject} is masked; there is nothing to decode")
        self._move(device)
        self._check_targets(_planes(stimuli.images(stimuli.ids[:1])).to(device))

        def target(name: str, compute: Callable[[torch.Tensor, int], torch.Tensor], more: str = "") -> Any:
            """float16 targets of all images; `compute` gets planes and the place of the first."""

            def values(images: np.ndarray, first: int) -> np.ndarray:
                with torch.no_grad():
                    return compute(_planes(images).to(device), first).cpu().numpy().astype(np.float16)

            identity = self._target_identity(more)
            return features.computed(name, values, stimuli, identity=identity, batch=BATCH)

        tokens = target("tokens", lambda x, first: self.parts.embedder(x))
        latents = views = None
        if self.parts.settings.backbone.low_level:
            latents = target("latents", lambda x, first: self._true_latents(x))
            if self.parts.teacher is not None:
                # Read when first asked: what is kept needs no gigabytes again, nor does the fit after it.
                start, teach = step_seed(seed, -2), lambda x: self._late("teacher")(x)
                other = target(
                    "views",
                    lambda x, first: teach(augmented(self._sized(x), seed=start + first // BATCH)),
                    more=str(seed),
                )
                views = (target("teacher", lambda x, first: teach(self._sized(x))), other)
                self._built.pop("teacher", None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(seed, -1))
            network = MindEye2Network([space.n_valid], self.parts.settings)
        shared = self.parts.pretrained(space.subject)
        if shared is not None:
            start_from_pretrained(network, shared, faithful=self.settings.fit.faithful)
        data = TrainingSet.of(subject.train, tokens, latents=latents, views=views)
        self.history = fit_network(
            network, [data], self.settings.fit, seed=seed, device=device, checkpoint_dir=checkpoint_dir
        )
        self.space, self.network = space, network

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Refuse any space but the one that it was fitted in."""
        if self.space is None or self.network is None:
            raise SpaceMismatch("the mindeye2 decoder is not fitted; call fit with a subject's training data")
        self.space.require(space, what="mindeye2 decoder")
        self._move(device)
        self.network.to(device).eval()

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Reconstructions; the embedding is the retrieval head's tokens (N, tokens, dim)."""
        self.open(responses.space, device=self.device)
        generators = image_generators(seeds)
        predicted = predict(
            self.network,
            torch.from_numpy(responses.trials()[:, self.space.valid]),
            torch.from_numpy(responses.image_index),
            generators=generators,
            steps=self.settings.prior_steps,
        )
        blurry = None if predicted.latents is None else self._blurry(predicted.latents)
        return self._drawn(predicted.tokens, generators, blurry, embedding=predicted.retrieval)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: the true tokens and the true low-level latents of `images`.

        Its captions are those of the true tokens.
        """
        planes = _planes(images).to(self.device)
        with torch.no_grad():
            tokens = self.parts.embedder(planes)
        head = self.parts.settings.backbone.low_level
        blurry = self._blurry(self._true_latents(planes)) if head else None
        return self._drawn(tokens, image_generators(seeds), blurry, embedding=tokens)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, tokens * dim) true tokens of `images` (n, H, W, 3), to compare with the embedding."""
        with torch.no_grad():
            parts = [self.parts.embedder(p.to(self.device)) for p in _planes(images).split(BATCH)]
        return torch.cat(parts).flatten(1).float().cpu().numpy()

    def save(self, folder: Path) -> None:
        """Voxel space, trained weights and curves; the frozen parts are not copied."""
        save_space(folder, self.space)
        write_curves(folder / "curves.json", [asdict(losses) for losses in self.history])
        save_network(self.network, folder / "mindeye2.safetensors")

    def restore(self, folder: Path, *, device: str) -> None:
        """Take up what :meth:`save` wrote."""
        self.space = load_space(folder)
        weights = read_weights(folder / "mindeye2.safetensors")
        self.network = load_network(weights, voxels=[self.space.n_valid], settings=self.parts.settings)
        self.open(self.space, device=device)

    def _move(self, device: str) -> None:
        self.device = device
        self.parts.generator.to(device)
        for part in (self.parts.embedder, self.parts.vae):
            if isinstance(part, torch.nn.Module):
                part.to(device).eval()

    def _late(self, name: str) -> Any:
        """``teacher``, ``captioner`` or ``refiner``, built once, on the device; None without one."""
        if name not in self._built and (build := getattr(self.parts, name)) is not None:
            with torch.random.fork_rng(devices=[]):
                self._built[name] = build()
        part = self._built.get(name)
        return part.to(self.device) if isinstance(part, torch.nn.Module) else part

    def _target_identity(self, more: str) -> str:
        """Hash of what targets depend on besides images; ``""`` where the weights are unknown."""
        if not self.parts.identity:
            return ""
        sizes = (self.parts.settings.backbone, self.parts.latent_scale)
        return hashlib.sha256(f"{self.parts.identity}|{sizes}|{more}".encode()).hexdigest()

    def _sized(self, planes: torch.Tensor) -> torch.Tensor:
        """Images of any size -> of the size that the low-level head's latents stand for."""
        side = self.parts.settings.backbone.latent_side * low_level.pixels_per_latent(self.parts.vae)
        return resized(planes, side)

    def _true_latents(self, planes: torch.Tensor) -> torch.Tensor:
        sized = self._sized(planes)
        return low_level.low_level_targets(self.parts.vae, sized, scale=self.parts.latent_scale)

    def _check_targets(self, planes: torch.Tensor) -> None:
        """Refuse parts that do not fit, by the targets of one image, before all are computed."""
        s = self.parts.settings.backbone
        with torch.no_grad():
            tokens = tuple(self.parts.embedder(planes).shape[1:])
            if tokens != (s.tokens, s.token_dim):
                raise ConfigError(
                    f"mindeye2 predicts tokens of shape {(s.tokens, s.token_dim)} and its embedder makes "
                    f"{tokens}; give parts of one size"
                )
            if not s.low_level:
                return
            latents, wanted = (
                tuple(self._true_latents(planes).shape[1:]),
                (s.latent_channels, *(s.latent_side,) * 2),
            )
        if latents != wanted:
            raise ConfigError(
                f"mindeye2's low-level head predicts latents of shape {wanted} and its VAE makes {latents}; "
                "give parts of one size, or --set decoder.low_level=false"
            )

    def _blurry(self, latents: torch.Tensor) -> torch.Tensor:
        return low_level.decode_low_level(self.parts.vae, latents, scale=self.parts.latent_scale)

    def _drawn(
        self,
        tokens: torch.Tensor,
        generators: list[torch.Generator],
        blurry: torch.Tensor | None,
        *,
        embedding: torch.Tensor,
    ) -> Decoded:
        captioner, refiner = self._late("captioner"), self._late("refiner")
        captions = None if captioner is None else captioner(tokens)
        pictures = []
        for _ in range(self.settings.candidates):
            picture = self.parts.generator.draw(tokens, generators=generators)
            if refiner is not None:
                picture = refiner(picture, captions, generators=generators)
            pictures.append(_last_channel(picture))
        return Decoded(
            np.stack(pictures, axis=1),
            embedding=embedding.float().cpu().numpy(),
            caption=captions,
            low_level=None if blurry is None else _last_channel(blurry),
        )


def _planes(images: np.ndarray) -> torch.Tensor:
    """Images (n, H, W, 3) uint8, or float in [0, 1] -> (n, 3, H, W) float32 in [0, 1]."""
    images = np.asarray(images)
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1), dtype=np.float32)) / scale


def _last_channel(images: torch.Tensor) -> np.ndarray:
    return np.moveaxis(images.float().clamp(0, 1).cpu().numpy(), 1, -1)

"""The decoder given its parts: fit a subject, decode its responses, measure the generator's ceiling.

Which parts (the token embedder, the generator, the low-level VAE, the part trained on other
subjects) is the choice of who builds it; everything else is here, the same at every size.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import (
    ConfigError,
    Decoded,
    Features,
    Responses,
    Stimuli,
    SubjectData,
    VoxelSpace,
)
from harness.backbones.images import planes, resized
from harness.decoders.drawing import BATCH, image_generators, image_targets, last_channel
from harness.decoders.fitted import FittedDecoder, require_voxels
from harness.training import write_curves

from .room import Later, Room
from .settings import DecodeSettings

if TYPE_CHECKING:
    import torch

    from .fitting import EpochLosses
    from .model import MindEye2Network
    from .parts import Parts

logger = logging.getLogger(__name__)


class MindEye2Core(FittedDecoder):
    """Every trial of an image -> pictures; outputs are averaged over trials before the prior.

    With a captioner the result has captions, of the prior's tokens; with a refiner its pictures are the
    refined ones.  The blurry image is returned beside the pictures and is not in them: whoever scores
    mixes it in, by the share `blend` unless a protocol says another.

    `parts` may be a function, which is called when they are first needed: at full size they are
    gigabytes.
    """

    label = "mindeye2"
    stochastic = True
    repeats = "outputs"
    trains_on = "trials"

    def __init__(self, parts: Parts | Callable[[], Parts], settings: DecodeSettings) -> None:
        self._parts, self.settings = parts, settings
        self.blend = settings.blend
        self.room = Room()
        self.network: MindEye2Network | None = None
        self.history: list[EpochLosses] = []
        self._built: dict[str, Any] = {}

    @cached_property
    def parts(self) -> Parts:
        """What the decoder is made of."""
        import torch

        from .parts import Parts

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
        import torch

        from harness.nn.halving import halve_products

        from .checkpoints import start_from_pretrained
        from .fitting import TrainingSet, fit_network, step_seed
        from .model import MindEye2Network

        space = subject.space
        require_voxels(subject)
        tokens, latents, views = self.targets(subject, features, seed=seed, device=device)
        self.room.clear()
        self._built.pop("teacher", None)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(step_seed(seed, -1))
            network = MindEye2Network([space.n_valid], self.parts.settings)
        shared = self.parts.pretrained(space)
        if shared is not None:
            start_from_pretrained(network, shared, faithful=self.settings.fit.faithful)
        data = TrainingSet.of(subject.train, tokens, latents=latents, views=views)
        self.history = fit_network(
            network, [data], self.settings.fit, seed=seed, device=device, checkpoint_dir=checkpoint_dir
        )
        self.space, self.network = space, halve_products(network.to("cpu"), self.parts.dtype)

    def targets(
        self, subject: SubjectData, features: Features, *, seed: int, device: str
    ) -> tuple[Any, Any | None, tuple[Any, Any] | None]:
        """True tokens of the training images, their latents, and the teacher's tokens of two views."""
        from .fitting import step_seed
        from .teacher import augmented

        stimuli = subject.train.stimuli
        self._move(device)
        self._check_targets(planes(stimuli.images(stimuli.ids[:1])).to(device))

        target = partial(self._targets, features, stimuli)
        tokens = target("tokens", lambda x, first: self._tokens(x))
        if not self.parts.settings.backbone.low_level:
            return tokens, None, None
        latents = target("latents", lambda x, first: self._true_latents(x))
        if self.parts.teacher is None:
            return tokens, latents, None
        # Read when first asked: what is kept needs no gigabytes again, nor does the fit after it.
        start, teach = step_seed(seed, -2), lambda x: self._used("teacher", x)
        other = target(
            "views",
            lambda x, first: teach(augmented(self._sized(x), seed=start + first // BATCH)),
            more=str(seed),
        )
        return tokens, latents, (target("teacher", lambda x, first: teach(self._sized(x))), other)

    def take_up(self, weights: Mapping[str, torch.Tensor], space: VoxelSpace, *, file: Path) -> None:
        """Decode as the published model in `file`, whose `weights` these are, without a fit."""
        from .checkpoints import load_network
        from .published import published_settings, subject_weights

        weights = subject_weights(weights, space, file=file)
        settings = published_settings(weights, self.parts.settings, file=file)
        self.network = load_network(weights, settings=settings, dtype=self.parts.dtype)
        self.space = space

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Refuse any space but the one that it was fitted in."""
        super().open(space, device=device)
        self.network.eval()

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Reconstructions; the embedding is the retrieval head's tokens (N, tokens, dim)."""
        import torch

        from .inference import predict

        self.open(responses.space, device=self.device)
        generators = image_generators(seeds)
        with self.room.use(self.network):
            predicted = predict(
                self.network,
                torch.from_numpy(self._voxels(responses)),
                torch.from_numpy(responses.image_index),
                generators=generators,
                steps=self.settings.prior_steps,
            )
        head = self.parts.settings.backbone.low_level and predicted.latents is not None
        blurry = self._blurry(predicted.latents) if head else None
        return self._drawn(predicted.tokens, generators, blurry, embedding=predicted.retrieval)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: the true tokens and the true low-level latents of `images`.

        Its captions are those of the true tokens.
        """
        true = planes(images).to(self.device)
        tokens = self._tokens(true)
        head = self.parts.settings.backbone.low_level
        blurry = self._blurry(self._true_latents(true)) if head else None
        return self._drawn(tokens, image_generators(seeds), blurry, embedding=tokens)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, tokens * dim) true tokens of `images` (n, H, W, 3), to compare with the embedding."""
        import torch

        parts = [self._tokens(p.to(self.device)) for p in planes(images).split(BATCH)]
        return torch.cat(parts).flatten(1).float().cpu().numpy()

    def _keep(self, folder: Path) -> None:
        from .checkpoints import save_network

        write_curves(folder / "curves.json", [asdict(losses) for losses in self.history])
        save_network(self.network, folder / "mindeye2.safetensors")

    def _take(self, folder: Path) -> None:
        from .checkpoints import load_network, read_weights

        weights = read_weights(folder / "mindeye2.safetensors")
        self.network = load_network(
            weights,
            voxels=[self.space.n_valid],
            settings=self.parts.settings,
            dtype=self.parts.dtype,
        )

    def _move(self, device: str) -> None:
        if self.device != device:
            self.room.clear()
            self.device, self.room = device, Room.on(device, memory=self.settings.memory)
        if self.parts.vae is not None:
            self.parts.vae.eval()

    def _voxels(self, responses: Responses) -> np.ndarray:
        """(T, voxels of the ridge layer): those not masked, or all with 0, their mean, for the masked."""
        trials, valid = responses.trials(), self.space.valid
        if self.network.ridge.linears[0].in_features == self.space.n_valid:
            return trials[:, valid]
        return np.where(valid, trials, np.float32(0))

    def _tokens(self, planes: torch.Tensor) -> torch.Tensor:
        """True tokens of images (B, 3, H, W) on the device."""
        return self._used("embedder", planes)

    def _used(self, name: str, *args: Any) -> Any:
        """What a part that is built late makes of `args`."""
        import torch

        part = self._late(name)
        with torch.no_grad(), self.room.use(part):
            return part(*args)

    def _late(self, name: str) -> Any:
        """``embedder``, ``teacher``, ``captioner`` or ``refiner``, built once; None without one."""
        import torch

        part = getattr(self.parts, name)
        if name == "embedder" and not isinstance(part, Later):
            return part
        if name not in self._built and part is not None:
            with torch.random.fork_rng(devices=[]):
                self._built[name] = part()
            if isinstance(self._built[name], torch.nn.Module):
                self._built[name].eval()
        return self._built.get(name)

    def _targets(
        self,
        features: Features,
        stimuli: Stimuli,
        name: str,
        compute: Callable[[torch.Tensor, int], torch.Tensor],
        more: str = "",
    ) -> Any:
        """float16 targets of all images; `compute` gets planes on the device and the place of the first."""
        how = {"device": self.device, "identity": self._target_identity(more)}
        return image_targets(features, name, stimuli, compute, **how)

    def _target_identity(self, more: str) -> str:
        """Hash of what targets depend on besides images; ``""`` where the weights are unknown."""
        if not self.parts.identity:
            return ""
        sizes = (self.parts.settings.backbone, self.parts.latent_scale)
        return hashlib.sha256(f"{self.parts.identity}|{sizes}|{more}".encode()).hexdigest()

    def _sized(self, planes: torch.Tensor) -> torch.Tensor:
        """Images of any size -> of the size that the low-level head's latents stand for."""
        from . import low_level

        side = self.parts.settings.backbone.latent_side * low_level.pixels_per_latent(self.parts.vae)
        return resized(planes, side)

    def _true_latents(self, planes: torch.Tensor) -> torch.Tensor:
        from . import low_level

        sized, vae = self._sized(planes), self.parts.vae
        with self.room.use(vae):
            return low_level.low_level_targets(vae, sized, scale=self.parts.latent_scale)

    def _check_targets(self, planes: torch.Tensor) -> None:
        """Refuse parts that do not fit, by the targets of one image, before all are computed."""
        import torch

        s = self.parts.settings.backbone
        with torch.no_grad():
            tokens = tuple(self._tokens(planes).shape[1:])
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
        from . import low_level

        with self.room.use(self.parts.vae):
            return low_level.decode_low_level(self.parts.vae, latents, scale=self.parts.latent_scale)

    def _drawn(
        self,
        tokens: torch.Tensor,
        generators: list[torch.Generator],
        blurry: torch.Tensor | None,
        *,
        embedding: torch.Tensor,
    ) -> Decoded:
        import torch

        captions = None if self.parts.captioner is None else self._used("captioner", tokens)
        refiner = self._late("refiner")
        pictures = []
        for _ in range(self.settings.candidates):
            picture = self.parts.generator.draw(tokens, generators=generators, room=self.room)
            if refiner is not None:
                picture = refiner(picture, captions, generators=generators, room=self.room)
            pictures.append(last_channel(picture))
        kept = np.float32 if self.parts.dtype == torch.float32 else np.float16
        return Decoded(
            np.stack(pictures, axis=1).astype(kept),
            embedding=embedding.float().cpu().numpy().astype(kept),
            caption=captions,
            low_level=None if blurry is None else last_channel(blurry).astype(kept),
        )

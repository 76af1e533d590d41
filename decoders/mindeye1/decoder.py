"""The decoder ``mindeye1`` (Scotti et al. 2023, arXiv:2305.18274): voxels -> CLIP tokens -> prior -> picture.

Both networks see the mean of an image's trials.  Predicted tokens, of unit norm again, are drawn by Versatile
Diffusion's image flow from the blurry image of the low-level network.  The public inference normalises that
image as CLIP's input is before it is encoded, and its training writes over some MixCo labels: `faithful`
keeps both.  Training images are not augmented here, so that targets are computed once, and the low-level
network is fitted without the term that compares its maps with a ConvNeXt's (a tenth of the published loss).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.api import (
    Decoded,
    Features,
    Responses,
    SubjectData,
    VoxelSpace,
    WeightsMissing,
    check_ranges,
)
from harness.backbones.images import planes
from harness.backbones.preprocessing import CLIP
from harness.decoders.drawing import draws, image_generators
from harness.decoders.latent_diffusion.conditions import Conditions
from harness.decoders.latent_diffusion.decoder import PaintedDecoder, PaintedParams
from harness.decoders.settings import part_of
from harness.training import purpose_seed, seeded, train, write_curves

from .settings import FitSettings, LowLevelSettings, NetworkSettings

if TYPE_CHECKING:
    import torch

    from .fitting import LowLevelTask, TokensTask
    from .low_level import LowLevelNetwork
    from .network import MindEye1Network

TINY = NetworkSettings(
    hidden=256, blocks=2, tokens=16, token_dim=64, projected=128, depth=3, heads=4, head_size=16
)
TINY_LOW = LowLevelSettings(
    hidden=256, blocks=2, side=2, channels=32, latent_channels=12, decoder_channels=(16, 16, 16),
    norm_groups=8, contrast_dim=0,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class MindEye1Params(PaintedParams, FitSettings):
    """What it is made of, how it is fitted, how it draws.

    checkpoint, low_checkpoint : published files of the scored subject (``last.pth`` of prior_257_final_*,
        ``epoch120.pth`` of autoencoder_*), which are then used as they are; nothing is trained for a part
        that has one.
    low_level : whether there is a low-level path; without, pictures are drawn from noise alone.
    epochs ... faithful : of the trainings (:class:`.settings.FitSettings`).
    prior_steps : of the prior's 100; all of them is ancestral sampling, as published.
    sampler, steps, guidance, strength : of the generator.
    candidates : pictures drawn per image; the paper's best is of 16, by their likeness to the prediction:
        --selection predicted-embedding.
    """

    checkpoint: str = ""
    low_checkpoint: str = ""
    low_level: bool = True
    prior_steps: int = 100
    sampler: Literal["ddim", "unipc"] = "unipc"
    steps: int = 20
    guidance: float = 3.5
    strength: float = 0.85

    def __post_init__(self) -> None:
        ranges = {
            **dict.fromkeys(("epochs", "low_epochs"), (3, 1e6)),
            **dict.fromkeys(("batch", "low_batch"), (2, 1e6)),
            **dict.fromkeys(("learning_rate", "low_learning_rate"), (1e-12, 1)),
            "mixco_share": (0, 1),
            "drop": (0, 0.99),
            "decay": (0, 100),
            "prior_steps": (2, 100),
        }
        super().__post_init__()
        check_ranges(self, ranges, section="decoder")

    def fitting(self) -> FitSettings:
        """How both networks are fitted."""
        return part_of(self, FitSettings)


class MindEye1Decoder(PaintedDecoder):
    """Mean response of an image -> picture; the embedding is the projector's tokens."""

    version = "1"
    repeats = "inputs"
    trains_on = "trials"
    Params = MindEye1Params
    label = "mindeye1"
    reads_words = False
    checkpoints = ("checkpoint", "low_checkpoint")

    def __init__(self, params: MindEye1Params) -> None:
        super().__init__(params)
        self.network: MindEye1Network | None = None
        self.low_network: LowLevelNetwork | None = None
        self.curves: dict[str, list] = {}

    @property
    def sizes(self) -> tuple[NetworkSettings, LowLevelSettings]:
        """Of both networks."""
        return (TINY, TINY_LOW) if self.params.weights == "tiny" else (NetworkSettings(), LowLevelSettings())

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Train both networks, or take the published ones where `params` name their files."""
        from harness.decoders.mindeye2.fitting import TrainingSet

        from .fitting import LowLevelTask, TokensTask
        from .low_level import LowLevelNetwork
        from .network import MindEye1Network

        self._begin(subject, device)
        p, space, train_split = self.params, subject.space, subject.train
        self._start(space)
        stimuli, how = train_split.stimuli, p.fitting()
        if self.network is None:
            tokens = self._computed(features, "tokens", stimuli, lambda x, _: self.painter.image_tokens(x))
            with seeded(seed, "mindeye1 start"):
                self.network = MindEye1Network(space.n_valid, self.sizes[0])
            data = TrainingSet.of(train_split, tokens)
            task = TokensTask(self.network, data, how, seed=seed, device=device)
            self._train(task, seed, device, checkpoint_dir / "tokens.safetensors")
        if p.low_level and self.low_network is None:
            latents = self._computed(features, "latents", stimuli, lambda x, _: self.painter.encode(x))
            with seeded(seed, "mindeye1 low-level start"):
                self.low_network = LowLevelNetwork(space.n_valid, self.sizes[1])
            data = TrainingSet.of(train_split, latents, latents=latents)
            scale = self.painter.latent_scale
            task = LowLevelTask(self.low_network, data, how, scale=scale, seed=seed, device=device)
            self._train(task, seed, device, checkpoint_dir / "low-level.safetensors")
        self.space = space

    @classmethod
    def from_pretrained(cls, params: MindEye1Params, space: VoxelSpace, *, device: str) -> MindEye1Decoder:
        """The published networks of this subject as they are; both files must be named."""
        needed = ("checkpoint", "low_checkpoint") if params.low_level else ("checkpoint",)
        for name in needed:
            if not getattr(params, name):
                raise WeightsMissing(
                    f"decoder.{name} is not given; name the published file of {space.subject}: "
                    f"--set decoder.{name}=FILE"
                )
        decoder = cls(params)
        decoder._start(space)
        decoder.space = space
        decoder.open(space, device=device)
        return decoder

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Pictures; `low_level` is the blurry image."""
        import torch

        self.open(responses.space, device=self.device)
        generators, p = image_generators(seeds), self.params
        voxels = torch.from_numpy(responses.mean()[:, self.space.valid]).to(self.device)
        shape = (self.network.settings.tokens, self.network.settings.token_dim)
        with torch.no_grad():
            output = self.network.voxel2clip(voxels)
            tokens = self.network.sample(
                output.tokens,
                noise=lambda: draws(generators, shape).to(self.device),
                steps=p.prior_steps,
            )
            blurry = None
            if self.low_network is not None:
                blurry = self.painter.decode(self.low_network(voxels)[0])
        embedding = output.projected.float().cpu().numpy()
        return self._from_tokens(self.painter.renormed(tokens), blurry, generators, embedding)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: true tokens and the true image through the VAE."""
        tokens, blurry = self._true_tokens(images), None
        if self.params.low_level:
            blurry = self.painter.decode(self.painter.encode(planes(images)))
        embedding = tokens.float().cpu().numpy()
        return self._from_tokens(tokens, blurry, image_generators(seeds), embedding)

    def _from_tokens(
        self,
        tokens: torch.Tensor,
        blurry: torch.Tensor | None,
        generators: Sequence[torch.Generator],
        embedding: np.ndarray,
    ) -> Decoded:
        painter, start = self.painter, None
        if blurry is not None:
            first = blurry
            if self.params.faithful:  # CLIP's normalisation; the VAE's own is undone before it is done
                first = (CLIP.normalised(blurry) + 1) / 2

            def start() -> torch.Tensor:
                return painter.encode(first, noise=draws(generators, painter.latent_shape))

        conditions = Conditions(image=tokens)
        return self._drawn(conditions, generators, start=start, embedding=embedding, low_level=blurry)

    def _start(self, space: VoxelSpace) -> None:
        """Read the published networks that are named."""
        from . import checkpoints

        p, (sizes, low) = self.params, self.sizes
        self.network = self.low_network = None
        if p.checkpoint:
            self.network = checkpoints.tokens_network(Path(p.checkpoint).expanduser(), space, sizes)
        if p.low_checkpoint and p.low_level:
            self.low_network = checkpoints.low_network(Path(p.low_checkpoint).expanduser(), space, low)

    def _train(self, task: TokensTask | LowLevelTask, seed: int, device: str, checkpoint: Path) -> None:
        from harness.decoders.latent_diffusion.fitting import settings_of

        identity = f"{purpose_seed(seed, task.how, asdict(task.module.settings), task.data.responses.shape)}"
        trained = train(task, settings_of(task), device=device, checkpoint=checkpoint, identity=identity)
        self.curves[task.name] = trained.history
        # Convolutions round otherwise where weights could take a gradient, which loaded ones cannot.
        task.module.requires_grad_(False)

    def _move(self, device: str) -> None:
        super()._move(device)
        for network in (self.network, self.low_network):
            if network is not None:
                network.to(device).eval()

    def _keep(self, folder: Path) -> None:
        from harness.decoders.files import save

        write_curves(
            folder / "curves.json", [{"training": k, **r} for k, v in self.curves.items() for r in v]
        )
        save(self.network, folder / "mindeye1.safetensors")
        if self.low_network is not None:
            save(self.low_network, folder / "low-level.safetensors")

    def _take(self, folder: Path) -> None:
        from harness.decoders.files import loaded
        from harness.decoders.mindeye2.checkpoints import read_weights

        from . import checkpoints
        from .low_level import LowLevelNetwork
        from .network import MindEye1Network

        voxels, (sizes, low) = self.space.n_valid, self.sizes
        weights = read_weights(folder / "mindeye1.safetensors")
        build = partial(MindEye1Network, voxels, sizes)
        self.network = loaded(build, weights, what="the fitted mindeye1").requires_grad_(False)
        if self.params.low_level:
            weights = read_weights(folder / "low-level.safetensors")
            build = partial(LowLevelNetwork, voxels, checkpoints.with_head(low, weights))
            self.low_network = loaded(build, weights, what="the fitted low-level mindeye1")
            self.low_network.requires_grad_(False)

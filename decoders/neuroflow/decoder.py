"""NeuroFlow's backward direction as a plugin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.api import Decoded, Features, Responses, SubjectData, check_ranges
from harness.backbones.images import planes
from harness.decoders.drawing import image_generators
from harness.decoders.fitted import require_voxels
from harness.decoders.mindeye2.core import MindEye2Core
from harness.decoders.mindeye2.decoder import MindEye2Decoder, source_of
from harness.decoders.mindeye2.params import MindEye2Params
from harness.nn.constancy import is_constant, spread
from harness.nn.latent_settings import FlowSettings
from harness.training import purpose_seed, seeded, train, write_curves

if TYPE_CHECKING:
    import torch

    from .fitting import FlowTask

TINY_HIDDEN = 224


@dataclass(frozen=True, kw_only=True)
class NeuroFlowParams(FlowSettings):
    """Sizes and training of both networks, as published, and how pictures are drawn.

    weights : folder of MindEye2's public files, or ``tiny`` for this project's small parts
    draw_steps, guidance, candidates : of the generator
    memory : GB of the device, 0 for what is free
    """

    weights: str = ""
    heads: int = 13
    draw_steps: int = 38
    guidance: float = 5.0
    candidates: int = 1
    memory: float = field(default=0.0, metadata={"identity": False})

    def __post_init__(self) -> None:
        counts = ("inner", "blocks", "vae_epochs", "depth", "heads", "epochs", "steps")
        ranges = {
            **dict.fromkeys(counts, (1, 1e6)),
            **dict.fromkeys(("batch", "vae_batch"), (2, 1e6)),
            **dict.fromkeys(("rate", "vae_rate"), (1e-12, 1)),
            **dict.fromkeys(("kl", "contrast", "cycle", "vae_decay"), (0, 1e9)),
            "ema": (0, 0.999999),
            "draw_steps": (1, 999),
            "guidance": (0, math.inf),
            "candidates": (1, 1000),
            "memory": (0, math.inf),
        }
        check_ranges(self, ranges, section="decoder")

    def drawing(self) -> MindEye2Params:
        """The parts of MindEye2 that embed and draw."""
        return MindEye2Params(
            weights=self.weights,
            pretrained="none",
            hidden=TINY_HIDDEN if self.weights == "tiny" else 4096,
            low_level=self.weights == "tiny",  # comes with the small parts, and is not used
            teacher=False,
            steps=self.draw_steps,
            guidance=self.guidance,
            candidates=self.candidates,
            blend=0.0,
            memory=self.memory,
        )


class NeuroFlowDecoder(MindEye2Core):
    """Mean response -> latent tokens -> the flow backward -> image tokens -> picture."""

    version = "1"
    Params = NeuroFlowParams
    label = "neuroflow"
    repeats = "inputs"
    trains_on = "means"

    def __init__(self, params: NeuroFlowParams) -> None:
        self.params = params
        drawing = params.drawing()
        super().__init__(lambda: source_of(drawing).parts(drawing), drawing.decoding())
        self.scale: tuple[np.ndarray, np.ndarray] | None = None

    def identity(self) -> str:
        """Of the parts that embed and draw; :class:`harness.errors.WeightsMissing` without them."""
        return MindEye2Decoder(self.params.drawing()).identity()

    @staticmethod
    def missing(params: NeuroFlowParams, *, subject: str) -> list[str]:
        """A line for each file of weights that is not there."""
        return MindEye2Decoder.missing(params.drawing(), subject=subject)

    def networks(self) -> tuple[str, ...]:
        """Backbones of the harness that it looks through."""
        return MindEye2Decoder(self.params.drawing()).networks()

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Train the autoencoder, then the flow to its latent."""
        from .fitting import AutoencoderTask, FlowSet, VelocityTask

        require_voxels(subject)
        self._move(device)
        p, space, train_split = self.params, subject.space, subject.train

        tokens = self._targets(features, train_split.stimuli, "tokens", lambda x, _: self._tokens(x))
        trials = train_split.responses.trials()[:, space.valid]
        mean, sd = spread(trials)
        self.scale = mean, np.where(is_constant(sd, mean), np.inf, sd)
        data = FlowSet(self._standardised(trials), train_split.responses.image_index, tokens)
        with seeded(seed, "neuroflow start"):
            network = self._builder(space.n_valid)()
        common = {"seed": seed, "device": device}
        first = AutoencoderTask(
            network.vae, data, p.loss_weights(), rate=p.vae_rate, decay=p.vae_decay, batch=p.vae_batch,
            epochs=p.vae_epochs, **common,
        )  # fmt: skip
        self.history = self._train(first, seed, checkpoint_dir / "vae.safetensors")
        network.vae.eval().requires_grad_(False)
        second = VelocityTask(
            network.flow, data, network.vae, rate=p.rate, decay=0.0, batch=p.batch, epochs=p.epochs, **common
        )
        self.history += self._train(second, seed, checkpoint_dir / "flow.safetensors", ema=p.ema)
        self.space, self.network = space, network.to("cpu").eval().requires_grad_(False)

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Pictures; the embedding is the image tokens that the flow ends at."""
        import torch

        from harness.nn.flow_vae import travel

        self.open(responses.space, device=self.device)
        voxels = torch.from_numpy(self._standardised(responses.mean()[:, self.space.valid]))
        with torch.no_grad(), self.room.use(self.network):
            latent, _, _ = self.network.vae.encode(voxels[:, None].to(self.device))
            tokens = travel(self.network.flow, latent, steps=self.params.steps, backward=True)
        return self._drawn(tokens, image_generators(seeds), None, embedding=tokens)

    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: pictures of the true tokens of `images`."""
        tokens = self._tokens(planes(images).to(self.device))
        return self._drawn(tokens, image_generators(seeds), None, embedding=tokens)

    def _train(self, task: FlowTask, seed: int, checkpoint: Path, *, ema: float = 0.0) -> list:
        from harness.decoders.latent_diffusion.fitting import settings_of

        settings = replace(settings_of(task, clip=1.0), ema=ema)
        identity = str(purpose_seed(seed, asdict(self.params), task.name, task.data.voxels.shape))
        done = train(task, settings, device=task.device, checkpoint=checkpoint, identity=identity)
        if ema:
            task.module.load_state_dict(done.averaged)
        return list(done.history)

    def _builder(self, voxels: int) -> Callable[[], torch.nn.Module]:
        """What builds both networks for so many voxels; the parts, which say the tokens, are there before."""
        s, given = self.parts.settings.backbone, {"source": "the embedder", "section": "decoder"}
        return partial(self.params.networks, voxels, s.tokens, s.token_dim, **given)

    def _standardised(self, values: np.ndarray) -> np.ndarray:
        mean, sd = self.scale
        return ((values - mean) / sd).astype(np.float32)

    def _keep(self, folder: Path) -> None:
        from harness.decoders.files import save

        write_curves(folder / "curves.json", self.history)
        np.save(folder / "scale.npy", np.stack(self.scale))
        save(self.network, folder / "neuroflow.safetensors")

    def _take(self, folder: Path) -> None:
        from harness.decoders.files import loaded
        from harness.decoders.mindeye2.checkpoints import read_weights

        self.scale = tuple(np.array(self._array(folder / "scale.npy")))
        weights = read_weights(folder / "neuroflow.safetensors")
        build = self._builder(self.space.n_valid)
        self.network = loaded(build, weights, what="the fitted neuroflow").requires_grad_(False)

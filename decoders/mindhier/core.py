"""The decoder given its parts: both stages of a fit, drawing, the generator's ceiling.

Which image network, VQ-VAE and starting transformer it has is the choice of who builds it; everything else is
here, the same at every size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.api import (
    Decoded,
    Features,
    Responses,
    Stimuli,
    SubjectData,
    VoxelSpace,
)
from harness.backbones.images import planes, resized
from harness.decoders.drawing import (
    BATCH,
    image_generators,
    image_targets,
    last_channel,
    without_gradients,
)
from harness.decoders.fitted import FittedDecoder, require_voxels
from harness.toolkit import seeded, write_curves

from .settings import FitSettings, SamplingSettings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .encoder import EncoderOutput, EncoderSettings, HierarchicalEncoder
    from .transformer import Guide, ScaleTransformer, TransformerSettings
    from .vqvae import VQVAE

ROWS = 64
"""Pictures drawn at a time."""
FILE = "mindhier.safetensors"


@dataclass(frozen=True)
class Parts:
    """What the decoder is made of.

    levels : the frozen image network, images (B, 3, H, W) in [0, 1] -> M x (B, tokens, width).
    vqvae : frozen.
    encoder, drawing : sizes of the fMRI encoder and of the transformer.
    transformer : builds the transformer that stage 2 starts from.
    words : captions -> (B, text tokens, width), or None for no text branch's loss.
    crop : pictures are trained on as random crops of ones that are so much larger; 1 for none.
    identity : hash of all weights; ``""``, unknown, keeps no targets.
    """

    levels: nn.Module
    vqvae: VQVAE
    encoder: EncoderSettings
    drawing: TransformerSettings
    transformer: Callable[[], ScaleTransformer]
    words: Callable[[Sequence[str]], torch.Tensor] | None = None
    crop: float = 1.0
    identity: str = ""


class MindHierCore(FittedDecoder):
    """Mean pattern of an image -> pictures."""

    label = "mindhier"
    stochastic = True
    repeats = "inputs"
    trains_on = "trials"

    def __init__(
        self,
        parts: Callable[[], Parts],
        fit: FitSettings,
        sampling: SamplingSettings,
        *,
        candidates: int = 1,
    ) -> None:
        self._parts, self.fitting, self.sampling, self.candidates = parts, fit, sampling, candidates
        self.encoder: HierarchicalEncoder | None = None
        self.transformer: ScaleTransformer | None = None
        self.history: dict[str, list[dict[str, float]]] = {}

    @cached_property
    def parts(self) -> Parts:
        """What the decoder is made of."""
        import torch

        with torch.random.fork_rng(devices=[]):  # initial weights are drawn, and read over
            return self._parts()

    def fit(
        self, subject: SubjectData, features: Features, *, seed: int, device: str, checkpoint_dir: Path
    ) -> None:
        """Stage 1, then stage 2, on the trials of `subject`."""
        from .encoder import HierarchicalEncoder
        from .fitting import TrainingSet, fit_encoder, fit_transformer

        space, split = subject.space, subject.train
        require_voxels(subject)
        targets = self.targets(subject, features, seed=seed, device=device)
        responses = split.responses
        data = TrainingSet(responses.trials()[:, space.valid], responses.image_index, *targets)
        with seeded(seed, "mindhier encoder"):
            encoder = HierarchicalEncoder(space.n_valid, self.parts.encoder)
        with seeded(seed, "mindhier transformer"):
            transformer = self.parts.transformer()
        more = {"seed": seed, "device": device, "checkpoint_dir": checkpoint_dir}
        first = fit_encoder(encoder, data, self.fitting, **more)
        quantizer = self.parts.vqvae.quantize
        second = fit_transformer(transformer, encoder, quantizer, data, self.fitting, **more)
        self.history = {"alignment": first, "drawing": second}
        self.space, self.encoder, self.transformer = space, encoder, transformer

    def targets(
        self, subject: SubjectData, features: Features, *, seed: int, device: str
    ) -> tuple[Any, Any | None, Any]:
        """Levels of the training images, tokens of their captions where they have some, and codes."""
        stimuli = subject.train.stimuli
        self._move(device)
        words = self._words_of(stimuli, features)
        return self._levels_of(stimuli, features), words, self._codes_of(stimuli, features)

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """Refuse any space but the one that it was fitted in."""
        super().open(space, device=device)
        for part in (self.encoder, self.transformer):
            part.to(device).eval().requires_grad_(False)

    @without_gradients
    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """Reconstructions; the embedding is the predicted image embedding (N, tokens, width)."""
        import torch

        self.open(responses.space, device=self.device)
        patterns = torch.from_numpy(np.ascontiguousarray(responses.mean()[:, self.space.valid]))
        output = self.encoder(patterns.float().to(self.device), text=False)
        images = self._drawn(output, seeds)
        return Decoded(images, embedding=output.image.float().cpu().numpy())

    @without_gradients
    def generate(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The generator ceiling: the true hierarchy of `images` in place of the predicted one.

        The true tokens are scaled as the encoder's own, since a normalised loss leaves the length of what it
        predicts open.
        """
        from .encoder import EncoderOutput

        true = self.parts.levels(planes(images).to(self.device))
        output = EncoderOutput(
            [_sized(v, e) for v, e in zip(true, self._null_output().levels)], true[-1], None
        )
        output = output._replace(image=_sized(true[-1], self._null_output().image))
        return Decoded(self._drawn(output, seeds), embedding=true[-1].float().cpu().numpy())

    @without_gradients
    def rebuild(self, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """The code ceiling: `images` by their true codes, which no decoder with this VQ-VAE exceeds."""
        import torch

        vqvae, pictures = self.parts.vqvae, self._pictures(planes(images)).to(self.device)
        total = [vqvae.quantize(vqvae.features(part)).running[-1] for part in pictures.split(BATCH)]
        return Decoded(_from_signed(torch.cat([vqvae.picture(part) for part in total]))[:, None])

    @without_gradients
    def embed(self, images: np.ndarray) -> np.ndarray:
        """(n, tokens * width) true last level of `images` (n, H, W, 3), to compare with the embedding."""
        import torch

        parts = [self.parts.levels(p.to(self.device))[-1] for p in planes(images).split(BATCH)]
        return torch.cat(parts).flatten(1).float().cpu().numpy()

    def _keep(self, folder: Path) -> None:
        from . import checkpoints

        records = [{"stage": stage, **row} for stage, rows in self.history.items() for row in rows]
        write_curves(folder / "curves.json", records)
        checkpoints.save_networks(self.encoder, self.transformer, folder / FILE)

    def _take(self, folder: Path) -> None:
        from . import checkpoints

        encoder, transformer = checkpoints.parts_of(checkpoints.read_weights(folder / FILE))
        self.take_up(encoder, transformer, self.space)

    def take_up(self, encoder: Any, transformer: Any, space: VoxelSpace) -> None:
        """Fitted weights of both networks, for the voxels of `space`, to be opened."""
        from . import checkpoints

        self.encoder = checkpoints.load_encoder(encoder, self.parts.encoder, voxels=space.n_valid)
        self.transformer = checkpoints.load_transformer(transformer, self.parts.drawing)
        self.space = space

    def guides(self, output: EncoderOutput) -> tuple[Guide, Guide | None]:
        """What all scales share for these outputs, and for zero voxels where guidance is on."""
        guide = self._guide(output)
        return guide, self._guide(self._null_output()) if self.sampling.guidance else None

    def _guide(self, output: EncoderOutput) -> Guide:
        from .fitting import context_of

        how = self.fitting
        context = context_of(output, order=how.order, single=how.single, training=False)
        return self.transformer.guide(output.start(), context)

    def _null_output(self) -> EncoderOutput:
        import torch

        zero = torch.zeros(1, self.encoder.voxels, device=self.device)
        return self.encoder(zero, text=False)

    def _drawn(self, output: EncoderOutput, seeds: np.ndarray) -> np.ndarray:
        """(N, candidates, H, W, 3) in [0, 1]."""
        import torch

        from .sampling import sample

        guide, null = self.guides(output)
        generators, vqvae = image_generators(seeds), self.parts.vqvae
        pictures = []
        step = max(1, ROWS // self.candidates)
        for start in range(0, len(seeds), step):
            rows = slice(start, start + step)
            latents = sample(
                self.transformer,
                vqvae.quantize,
                guide.changed(lambda x, rows=rows: x[rows]),
                null,
                generators=generators[rows],
                settings=self.sampling,
                candidates=self.candidates,
            )
            drawn = vqvae.picture(latents.flatten(0, 1))
            pictures.append(drawn.unflatten(0, latents.shape[:2]))
        return _from_signed(torch.cat(pictures))

    def _move(self, device: str) -> None:
        super()._move(device)
        self.parts.levels.to(device).eval()
        self.parts.vqvae.to(device).eval()

    def _identity(self, more: object) -> str:
        """Of targets; ``""`` where the weights are unknown."""
        if not self.parts.identity:
            return ""
        text = json.dumps([self.parts.identity, more], default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _levels_of(self, stimuli: Stimuli, features: Features) -> Any:
        """(N, M, tokens, width) float16."""
        import torch

        how = {"device": self.device, "identity": self._identity("levels")}
        levels = self.parts.levels
        return image_targets(
            features, "hierarchy", stimuli, lambda x, first: torch.stack(levels(x), dim=1), **how
        )

    def _words_of(self, stimuli: Stimuli, features: Features) -> Any | None:
        """(N, text tokens, width) float16, or None where there are no captions."""
        import torch

        if self.parts.words is None or stimuli.captions is None or not self.parts.encoder.text:
            return None

        def values(images: np.ndarray, first: int) -> np.ndarray:
            with torch.no_grad():
                words = self.parts.words(stimuli.captions[first : first + len(images)])
            return words.cpu().numpy().astype(np.float16)

        identity = self._identity(["words", stimuli.captions])
        return features.computed("words", values, stimuli, identity=identity, batch=BATCH)

    def _codes_of(self, stimuli: Stimuli, features: Features) -> Callable[[np.ndarray], torch.Tensor]:
        """True codes of images: computed once, or of a fresh random crop each time."""
        import torch

        vqvae, crop = self.parts.vqvae, self.parts.crop
        if crop == 1:

            def values(images: np.ndarray, first: int) -> np.ndarray:
                with torch.no_grad():
                    codes = vqvae.codes(self._pictures(planes(images)).to(self.device))
                return codes.cpu().numpy().astype(np.int32)

            identity = self._identity("codes")
            kept = features.computed("codes", values, stimuli, identity=identity, batch=BATCH)
            return lambda at: torch.from_numpy(np.ascontiguousarray(kept[at], dtype=np.int64))

        @torch.no_grad()
        def cropped(at: np.ndarray) -> torch.Tensor:
            images = stimuli.images([stimuli.ids[k] for k in at])
            large = self._pictures(planes(images), factor=crop)
            side, room = vqvae.settings.picture, large.shape[-1] - vqvae.settings.picture + 1
            corners = torch.randint(room, (len(large), 2)).tolist()
            parts = [x[:, y : y + side, z : z + side] for x, (y, z) in zip(large, corners)]
            return vqvae.codes(torch.stack(parts).to(self.device))

        return cropped

    def _pictures(self, images: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        """Images in [0, 1] -> pictures of the VQ-VAE's size, `factor` times as large, in [-1, 1]."""
        return 2 * resized(images, round(self.parts.vqvae.settings.picture * factor)) - 1


def _sized(tokens: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`tokens` with the root mean square of `like`."""
    return tokens * (like.square().mean().sqrt() / tokens.square().mean(dim=(1, 2), keepdim=True).sqrt())


def _from_signed(pictures: torch.Tensor) -> np.ndarray:
    """(..., 3, H, W) in [-1, 1] -> (..., H, W, 3) in [0, 1]."""
    return last_channel((pictures.float() + 1) / 2)

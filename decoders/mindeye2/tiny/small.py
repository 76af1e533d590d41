"""The small parts as the decoder takes them: token embedder, generator, shared part."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn.functional import adaptive_avg_pool2d

from harness.api import ConfigError, VoxelSpace
from harness.backbones.images import resized
from harness.backbones.tiny.backbone import MEAN, SD, SIDE, read_weights
from harness.backbones.tiny.bigg import BigG, BigGTiny
from harness.nn.diffusion_prior import PriorSettings
from harness.nn.halving import DTYPES

from ..backbone import BackboneSettings
from ..generator import Generator, read_record
from ..model import ModelSettings
from ..params import MindEye2Params
from ..parts import Parts
from ..published import missing_checkpoint
from ..unclip import washed_out

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent
GENERATOR = FOLDER / "generator"

HIDDEN = 224
SIZES = ModelSettings(
    BackboneSettings(
        hidden=HIDDEN, blocks=1, token_dim=64, tokens=16, side=2, map_channels=32, latent_channels=12,
        decoder_channels=(16, 16, 16), norm_groups=8, auxiliary_dim=64,
    ),
    PriorSettings(token_dim=64, tokens=16, depth=3, heads=4, head_size=16),
)  # fmt: skip


class BigGTokens(torch.nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> ``bigg@tiny``'s patch tokens (B, 16, 64) of the washed-out image.

    The public embedder takes images in [0, 1] for images in [-1, 1] (:mod:`..unclip`); so does this.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = BigG()
        self.network.load_state_dict(read_weights(BigGTiny.weights_file()))
        self.eval().requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = resized(washed_out(images.float()), SIDE)
        return self.network((x - MEAN) / SD)["tokens"]

    def teach(self, images: torch.Tensor) -> torch.Tensor:
        """Images -> (B, 4, 64) of the convolutional stem, averaged over quarters: the teacher's tokens."""
        maps = self.network.stem((resized(images.float(), SIDE) - MEAN) / SD)
        return adaptive_avg_pool2d(maps, SIZES.backbone.side).flatten(2).transpose(1, 2)

    def identity(self) -> str:
        """Hash of the weights."""
        return BigGTiny().identity()


class Stem(torch.nn.Module):
    """The teacher of the low-level head: the embedder's convolutional stem, :meth:`BigGTokens.teach`."""

    def __init__(self, embedder: BigGTokens) -> None:
        super().__init__()
        self.embedder = embedder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See :meth:`BigGTokens.teach`."""
        return self.embedder.teach(images)


def parts(params: MindEye2Params) -> Parts:
    """Everything from the files beside this one."""
    _require_sizes(params)
    generator = Generator.load(GENERATOR).to("cpu", dtype=DTYPES[params.half])
    drawing = replace(generator.settings, steps=params.steps, guidance=params.guidance)
    embedder = BigGTokens()
    return Parts(
        embedder=embedder,
        generator=replace(generator, settings=drawing),
        settings=SIZES,
        vae=generator.vae,
        latent_scale=generator.settings.latent_scale,
        teacher=(lambda: Stem(embedder)) if params.teacher else None,
        pretrained=lambda space: shared_weights(params, space),
        identity=fingerprint(params),
        dtype=DTYPES[params.half],
    )


def missing(params: MindEye2Params, subject: str) -> list[str]:
    """The part to start from, where `params` name a file that is not there; the others lie beside this one.

    Raises
    ------
    ConfigError
        Sizes that the small parts do not have.
    """
    _require_sizes(params)
    if params.checkpoint:
        return missing_checkpoint(checkpoint_file(params, subject))
    file = Path(params.pretrained).expanduser()
    if params.pretrained in ("auto", "none") or file.is_file():
        return []
    return [f"{file} is not there; give the path of a checkpoint, or --set decoder.pretrained=auto"]


def checkpoint_file(params: MindEye2Params, subject: str) -> Path:
    """The published model that decodes without a fit."""
    if params.checkpoint == "auto":
        raise ConfigError(
            "decoder.checkpoint is auto, and the small parts have no published models; give the path of one"
        )
    return Path(params.checkpoint).expanduser()


def _require_sizes(params: MindEye2Params) -> None:
    if params.vae_fix:
        raise ConfigError(
            "decoder.vae_fix replaces SDXL's VAE, which decoder.weights=tiny has not; leave it out"
        )
    if params.hidden != HIDDEN or not params.low_level:
        raise ConfigError(
            f"decoder.hidden is {params.hidden} and low_level {params.low_level}; the small parts have "
            f"{HIDDEN} and true: --set decoder.preset=tiny sets both"
        )


def shared_file(subject: str, version: str) -> Path:
    """What was trained on all simulated subjects but `subject`, as `version` of the benchmark has them."""
    return FOLDER / f"shared{'' if version == '1' else version}-{subject}.safetensors"


def shared_weights(params: MindEye2Params, space: VoxelSpace) -> dict[str, torch.Tensor] | None:
    """Weights to start from, or None."""
    if params.pretrained == "none":
        return None
    if params.pretrained != "auto":
        return read_weights(Path(params.pretrained).expanduser())
    subject, version = space.subject, space.dataset.partition("@")[2] or "1"
    file = shared_file(subject, version)
    if not file.is_file():
        logger.warning(
            "there is no small shared part for subject '%s' of %s, only for those of the simulated "
            "benchmark; mindeye2 starts from nothing for it",
            subject,
            space.dataset,
        )
        return None
    return read_weights(file)


def fingerprint(params: MindEye2Params) -> str:
    """Identity of all weights that `params` name."""
    total = hashlib.sha256(BigGTiny().identity().encode())
    total.update(repr(sorted(read_record(GENERATOR)["sha256"].items())).encode())
    if params.checkpoint:
        files = [checkpoint_file(params, "")]
    elif params.pretrained == "auto":
        files = sorted(FOLDER.glob("shared*-subj*.safetensors"))
    else:
        files = [] if params.pretrained == "none" else [Path(params.pretrained).expanduser()]
    for file in files:
        total.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()

"""The small parts as the decoder takes them: token embedder, generator, shared part."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api import ConfigError, VoxelSpace
from harness.backbones.tiny.backbone import read_weights
from harness.backbones.tiny.bigg import BigGTiny

from ..given_files import missing_checkpoint, read_record
from ..params import MindEye2Params

if TYPE_CHECKING:
    import torch

    from ..parts import Parts

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).resolve().parent
GENERATOR = FOLDER / "generator"

HIDDEN = 224
"""Width of the small shared part."""


def parts(params: MindEye2Params) -> Parts:
    """Everything from the files beside this one."""
    from harness.nn.halving import DTYPES

    from ..generator import Generator
    from ..parts import Parts
    from .networks import SIZES, BigGTokens, Stem

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

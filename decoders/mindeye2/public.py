"""The parts at full size, from the files that MindEye2's authors publish (Hugging Face, pscotti/mindeyev2).

=====================================================  =========================================
file in the folder                                     what it gives
=====================================================  =========================================
``unclip6_epoch0_step110000.ckpt``                     UNet, its VAE, the bigG image tower
``sd_image_var_autoenc.pth``                           VAE of the low-level path
``train_logs/final_multisubject_SUBJECT/last.pth``     what was trained on the seven other subjects
=====================================================  =========================================
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.api import WeightsMissing

from .checkpoints import read_weights
from .core import Parts
from .embedder import PatchTokens, TowerSettings
from .generator import Generator, VaeSettings, load_vae
from .inference import GeneratorSettings
from .model import ModelSettings
from .params import MindEye2Params
from .unclip import UNetSettings

GENERATOR = "unclip6_epoch0_step110000.ckpt"
LOW_LEVEL = "sd_image_var_autoenc.pth"
SAMPLED = 64
"""Blocks of a file that its fingerprint reads."""
BLOCK = 1 << 20


@dataclass(frozen=True)
class PublicSizes:
    """Sizes of what the files hold; the defaults are those of the released ones."""

    unet: UNetSettings = field(default_factory=UNetSettings)
    vae: VaeSettings = field(default_factory=VaeSettings)
    tower: TowerSettings = field(default_factory=TowerSettings)
    network: ModelSettings = field(default_factory=ModelSettings)
    drawing: GeneratorSettings = field(default_factory=GeneratorSettings)


def parts(params: MindEye2Params, sizes: PublicSizes | None = None) -> Parts:
    """Load everything; about 30 GB are read."""
    sizes = sizes or PublicSizes()
    folder = public_folder(params)
    generator = needed(folder / GENERATOR)
    vae = load_vae(read_weights(needed(folder / LOW_LEVEL)), sizes.vae) if params.low_level else None
    backbone = replace(sizes.network.backbone, hidden=params.hidden, low_level=params.low_level)
    return Parts(
        embedder=PatchTokens.from_public(generator, sizes.tower),
        generator=Generator.from_public(
            generator,
            unet_settings=sizes.unet,
            vae_settings=sizes.vae,
            settings=replace(sizes.drawing, steps=params.steps, guidance=params.guidance),
        ),
        settings=replace(sizes.network, backbone=backbone),
        vae=vae,
        pretrained=lambda subject: shared_weights(params, subject),
    )


def shared_weights(params: MindEye2Params, subject: str):
    """Weights to start from, or None; :class:`WeightsMissing` names the file that is not there."""
    if params.pretrained == "none":
        return None
    if params.pretrained == "auto":
        return read_weights(
            needed(public_folder(params) / "train_logs" / f"final_multisubject_{subject}" / "last.pth")
        )
    return read_weights(needed(Path(params.pretrained).expanduser()))


def public_folder(params: MindEye2Params) -> Path:
    """The folder of the public files."""
    folder = Path(params.weights).expanduser()
    if not params.weights or not folder.is_dir():
        given = f"decoder.weights is {params.weights!r}, which is no folder" if params.weights else (
            "decoder.weights is not given"
        )  # fmt: skip
        raise WeightsMissing(
            f"{given}; expected the folder with {GENERATOR} of pscotti/mindeyev2, "
            "--set decoder.weights=FOLDER, or --set decoder.preset=tiny for the small parts"
        )
    return folder


def needed(file: Path) -> Path:
    """`file`, or :class:`WeightsMissing`."""
    if not file.is_file():
        raise WeightsMissing(
            f"{file} is not there; download it from pscotti/mindeyev2 on Hugging Face, or choose "
            "--set decoder.pretrained=none or =FILE for the part trained on other subjects"
        )
    return file


def fingerprint(params: MindEye2Params) -> str:
    """Identity of the files that `params` name: names, sizes and 64 blocks spread over each."""
    folder = public_folder(params)
    files = [folder / GENERATOR, *([folder / LOW_LEVEL] if params.low_level else [])]
    if params.pretrained == "auto":
        files += sorted(folder.glob("train_logs/final_multisubject_*/last.pth"))
    elif params.pretrained != "none":
        files.append(Path(params.pretrained).expanduser())
    total = hashlib.sha256()
    for file in files:
        size = needed(file).stat().st_size
        total.update(f"{file.name}|{size}|".encode())
        with file.open("rb") as stream:
            for block in range(SAMPLED):
                stream.seek(block * max(size - BLOCK, 0) // (SAMPLED - 1))
                total.update(stream.read(BLOCK))
    return total.hexdigest()

"""The small parts as the decoder takes them: image network, VQ-VAE, pretrained transformer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.backbones.tiny.backbone import read_weights

from ...drawing import without_gradients
from ..core import Parts
from ..given_files import pretrained_files
from ..params import MindHierParams

if TYPE_CHECKING:
    import torch

    from ..transformer import ScaleTransformer
    from .sizes import BigGLevels

FOLDER = Path(__file__).resolve().parent
VQVAE_FILE, TRANSFORMER_FILE = FOLDER / "vqvae.safetensors", FOLDER / "transformer.safetensors"
GATE = 0.1
"""Initial size of gates where nothing is started from: a short training stands still with VAR's 1e-5."""


def parts(params: MindHierParams) -> Parts:
    """Everything from the files beside this one."""
    from ..checkpoints import load_vqvae
    from ..settings import layers_of
    from .sizes import ENCODER_SIZES, LAYERS, TRANSFORMER_SIZES, VQVAE_SIZES, BigGLevels

    levels = BigGLevels(layers_of(params.layer_map, levels=ENCODER_SIZES.levels, layers=LAYERS))
    return Parts(
        levels=levels,
        vqvae=load_vqvae(read_weights(VQVAE_FILE), VQVAE_SIZES),
        encoder=ENCODER_SIZES,
        drawing=TRANSFORMER_SIZES,
        transformer=partial(_transformer, params),
        words=partial(_words, levels),
        crop=params.crop,
        identity=fingerprint(params),
    )


def _transformer(params: MindHierParams) -> ScaleTransformer:
    from ..checkpoints import load_transformer
    from ..transformer import ScaleTransformer
    from .sizes import TRANSFORMER_SIZES

    if params.start == "none":
        network = ScaleTransformer(TRANSFORMER_SIZES)
        network.start(gate=GATE)
        return network
    return load_transformer(read_weights(TRANSFORMER_FILE), TRANSFORMER_SIZES)


@without_gradients
def _words(levels: BigGLevels, captions: Sequence[str]) -> torch.Tensor:
    """(n, 1, 64) of the image-text model's sentence."""
    import torch

    from harness.backbones.tiny.networks.clip import word_numbers

    where = levels.network.norm.weight.device
    return levels.network.text(torch.from_numpy(word_numbers(captions)).to(where))[:, None]


def missing(params: MindHierParams) -> list[str]:
    """The fitted weights, where `params` name some that are not there; the others lie beside this one."""
    from ...files import absent

    return absent([partial(pretrained_files, params.pretrained)] if params.pretrained else [])


def fingerprint(params: MindHierParams) -> str:
    """Identity of all weights and of the layers that are read."""
    from ..settings import layers_of
    from .sizes import ENCODER_SIZES, LAYERS, BigGLevels

    chosen = layers_of(params.layer_map, levels=ENCODER_SIZES.levels, layers=LAYERS)
    total = hashlib.sha256(f"{chosen}|{BigGLevels(chosen).identity()}".encode())
    files = [VQVAE_FILE, TRANSFORMER_FILE]
    files += pretrained_files(params.pretrained) if params.pretrained else []
    for file in files:
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()

"""The parts at full size, from public files laid out in one folder.

=============================================  ==============================================
file in the folder                             what it gives
=============================================  ==============================================
``clip-vit-large-patch14/config.json``         openai/clip-vit-large-patch14: the image network
``clip-vit-large-patch14/model.safetensors``   whose layers are predicted, and its texts
``VQVAE-Switti/model.safetensors``             yresearch/VQVAE-Switti
``Switti/model.safetensors``                   yresearch/Switti, where stage 2 starts (512 pixels)
=============================================  ==============================================

With ``low_level: mindeye2`` also ``sd_image_var_autoenc.pth`` and
``train_logs/final_SUBJECT_pretrained_40sess_24bs/last.pth`` of pscotti/mindeyev2, in the folder ``mindeye2``.

MindHier's own checkpoints are not published.  One's own, in the layout of the released code, decode without a
fit with ``pretrained``: a folder with ``encoder.safetensors`` (or ``last-hierarchy-vitl.pth``) of stage 1 and
``transformer.safetensors`` of stage 2.

The public files were never seen here: names and shapes are those of the public code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import nn

from harness.api import DataError, WeightsMissing
from harness.backbones import weights
from harness.backbones.texts import ClipL14Text, clip_tokenizer
from harness.backbones.transformers_models import loaded
from harness.decoders import files

from .checkpoints import load_vqvae, read_weights, start_from_switti
from .core import Parts
from .encoder import EncoderSettings
from .given_files import pretrained_files
from .hierarchy import ClipLevels, ClipWords
from .params import MindHierParams
from .settings import layers_of
from .transformer import ScaleTransformer, TransformerSettings
from .vqvae import VqVaeSettings

CLIP = "clip-vit-large-patch14"
VQVAE = "VQVAE-Switti/model.safetensors"
SWITTI = "Switti/model.safetensors"

_SOURCES = {
    f"{CLIP}/config.json": "openai/clip-vit-large-patch14",
    f"{CLIP}/model.safetensors": "openai/clip-vit-large-patch14",
    VQVAE: "yresearch/VQVAE-Switti",
    SWITTI: "yresearch/Switti",
}


@dataclass(frozen=True)
class PublicSizes:
    """Sizes of what the files hold; the defaults are those of the released ones."""

    encoder: EncoderSettings = field(default_factory=EncoderSettings)
    transformer: TransformerSettings = field(default_factory=TransformerSettings)
    vqvae: VqVaeSettings = field(default_factory=VqVaeSettings)


def parts(params: MindHierParams, sizes: PublicSizes | None = None) -> Parts:
    """Load everything but Switti's weights, 10 GB, which are read when stage 2 starts."""
    sizes = sizes or PublicSizes()
    folder = public_folder(params)
    clip = _clip(folder)
    chosen = layers_of(
        params.layer_map, levels=sizes.encoder.levels, layers=clip.config.vision_config.num_hidden_layers
    )
    return Parts(
        levels=ClipLevels(clip, chosen),
        vqvae=load_vqvae(read_weights(needed(folder, VQVAE)), sizes.vqvae),
        encoder=sizes.encoder,
        drawing=sizes.transformer,
        transformer=partial(_transformer, params, sizes.transformer),
        words=partial(_words, clip),
        crop=params.crop,
        identity=fingerprint(params),
    )


def _transformer(params: MindHierParams, settings: TransformerSettings) -> ScaleTransformer:
    network = ScaleTransformer(settings)
    network.start()
    if params.start == "auto":
        start_from_switti(network, read_weights(needed(public_folder(params), SWITTI)))
    return network


def _words(clip: nn.Module, captions: Sequence[str]) -> torch.Tensor:
    return ClipWords(clip, clip_tokenizer(weights.locate(ClipL14Text.words)))(captions)


def _clip(folder: Path) -> nn.Module:
    """``CLIPModel`` of config.json with exactly model.safetensors in it."""
    from transformers import CLIPConfig, CLIPModel

    file = needed(folder, f"{CLIP}/config.json")
    state = read_weights(needed(folder, f"{CLIP}/model.safetensors"))
    # Files of that age also hold the numbers 0, 1, 2 ..., which are no parameters.
    state = {name: value for name, value in state.items() if not name.endswith(".position_ids")}
    try:
        config = CLIPConfig.from_dict(json.loads(file.read_text()))
        return loaded(CLIPModel, config, state).eval().requires_grad_(False)
    except Exception as problem:  # transformers raises what its dataclasses do
        reason = " ".join(str(problem).split())[:200]
        raise DataError(f"{file.parent} holds no CLIP model ({reason}); fetch it again") from None


def public_folder(params: MindHierParams) -> Path:
    """The folder of the public files."""
    return files.public_folder(params.weights, holds=f"{SWITTI} of yresearch/Switti and more")


def needed(folder: Path, name: str) -> Path:
    """A file of the folder, or :class:`WeightsMissing`, saying from where."""
    other = "--set decoder.start=none, or " if name == SWITTI else ""
    return files.needed(
        folder / name, _SOURCES[name], f"{other}--set decoder.preset=tiny for the small parts"
    )


def _names(params: MindHierParams) -> list[str]:
    fitted = params.start == "none" or params.pretrained
    return [name for name in _SOURCES if not (fitted and name == SWITTI)]


def missing(params: MindHierParams) -> list[str]:
    """A line for each file that a run would read and that is not there."""
    try:
        folder = public_folder(params)
    except WeightsMissing as problem:
        return [str(problem)]
    checks = [partial(needed, folder, name) for name in _names(params)]
    if params.pretrained:
        checks.append(partial(pretrained_files, params.pretrained))
    else:
        checks.append(partial(weights.locate, ClipL14Text.words))
    return files.absent(checks)


def fingerprint(params: MindHierParams) -> str:
    """Identity of the files that `params` name: names, sizes and 64 blocks spread over each."""
    folder = public_folder(params)
    read = [needed(folder, name) for name in _names(params)]
    if params.pretrained:
        read += pretrained_files(params.pretrained)
    total = hashlib.sha256(f"{params.layer_map}|".encode())
    files.add_samples(total, read)
    return total.hexdigest()

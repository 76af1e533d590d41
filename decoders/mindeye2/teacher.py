"""The contrastive teacher of the low-level path: a convolutional network's tokens of two views.

At full size the teacher is VICRegL's ConvNeXt-XL on the 224-pixel stimulus, 7 x 7 tokens of 512; the
student are the low-level head's maps.  The public code augments anew in every step.  Here each image
has one augmented view, drawn from the seed and its place, so that both views can be kept with the other
targets instead of the network being run in every step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from harness.api import DataError

from ..files import load_exactly
from .checkpoints import read_weights

Teacher = Callable[[torch.Tensor], torch.Tensor]
"""Images (B, 3, H, W) in [0, 1] -> tokens (B, P, D)."""

MEAN = (0.485, 0.456, 0.406)
SD = (0.228, 0.224, 0.225)
"""Of the public training code, whose first number is not ImageNet's 0.229."""


@dataclass(frozen=True)
class TeacherSettings:
    """Sizes of the teacher; the defaults are those of VICRegL's ConvNeXt-XL.

    depths, widths : blocks and channels of each stage.
    projected : width of the projector's three layers, and of the tokens.
    """

    depths: tuple[int, ...] = (3, 3, 27, 3)
    widths: tuple[int, ...] = (256, 512, 1024, 2048)
    projected: int = 512


class ConvNeXtTokens(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> (B, H/32 * W/32, projected) tokens, row by row.

    The last stage's map, normalised over channels and projected, as VICRegL trains its local features
    (Bardes et al. 2022) and MindEye2's ``src/autoencoder/convnext.py`` reads them.
    """

    def __init__(self, settings: TeacherSettings) -> None:
        from transformers import ConvNextConfig, ConvNextModel

        super().__init__()
        s = settings
        self.backbone = ConvNextModel(
            ConvNextConfig(
                num_stages=len(s.depths),
                depths=list(s.depths),
                hidden_sizes=list(s.widths),
                layer_scale_init_value=0.0,  # VICRegL trains without
                layer_norm_eps=1e-6,
            )
        )
        wide = s.projected
        self.maps_projector = nn.Sequential(
            *(nn.Linear(s.widths[-1], wide), nn.LayerNorm(wide), nn.ReLU()),
            *(nn.Linear(wide, wide), nn.LayerNorm(wide), nn.ReLU()),
            nn.Linear(wide, wide, bias=False),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        mean, sd = (images.new_tensor(values).view(3, 1, 1) for values in (MEAN, SD))
        maps = self.backbone((images - mean) / sd).last_hidden_state
        return self.maps_projector(self.backbone.layernorm(maps.flatten(2).transpose(1, 2)))

    @classmethod
    def from_public(cls, path: Path, settings: TeacherSettings | None = None) -> ConvNeXtTokens:
        """Read ``convnext_xlarge_alpha0.75_fullckpt.pth``; other projectors in it are left out."""
        weights = teacher_state(read_weights(path))
        with torch.device("meta"):
            teacher = cls(settings or TeacherSettings())
        teacher = teacher.to_empty(device="cpu")
        load_exactly(teacher, weights, what=f"the teacher in {path.name}")
        return teacher.eval().requires_grad_(False)


_NAMES = (
    (r"downsample_layers\.0\.0\.", "embeddings.patch_embeddings."),
    (r"downsample_layers\.0\.1\.", "embeddings.layernorm."),
    (r"downsample_layers\.([1-9])\.", r"encoder.stages.\1.downsampling_layer."),
    (r"stages\.(\d+)\.(\d+)\.norm\.", r"encoder.stages.\1.layers.\2.layernorm."),
    (r"stages\.(\d+)\.(\d+)\.", r"encoder.stages.\1.layers.\2."),
    (r"norm\.", "layernorm."),
)
"""Beginnings of names in the file -> in transformers; the first that fits is taken."""


def teacher_state(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of VICRegL's training state -> state of :class:`ConvNeXtTokens`.

    Raises :class:`DataError` where there are none.
    """
    state = {}
    for name, value in weights.items():
        part, _, rest = name.removeprefix("module.").partition(".")
        if part == "backbone":
            for old, new in _NAMES:
                rest, changed = re.subn(f"^{old}", new, rest)
                if changed:
                    break
        if part in ("backbone", "maps_projector"):
            state[f"{part}.{rest}"] = value
    if not state:
        raise DataError(
            "no weight is named backbone.* or maps_projector.*; expected VICRegL's full training state, "
            "convnext_xlarge_alpha0.75_fullckpt.pth"
        )
    return state


def augmented(images: torch.Tensor, *, seed: int, area: tuple[float, float] = (0.9, 0.9)) -> torch.Tensor:
    """One augmented view of each image (B, 3, H, W) in [0, 1].

    Colour jitter (0.4, 0.4, 0.2, 0.1) with probability 0.8, grey 0.1, solarised 0.1, and a square
    crop of a share of the area within `area`: the augmentations of the public training code.
    """
    change = _pipeline(tuple(images.shape[-2:]), area)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([change(image) for image in images.cpu()]).to(images).clamp(0, 1)


@lru_cache(maxsize=4)
def _pipeline(size: tuple[int, int], area: tuple[float, float]):
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
            v2.RandomGrayscale(0.1),
            v2.RandomSolarize(0.5, p=0.1),
            v2.RandomResizedCrop(size, scale=area, ratio=(1.0, 1.0), antialias=True),
        ]
    )

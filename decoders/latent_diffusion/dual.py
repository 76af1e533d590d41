"""Two conditions in one network: Versatile Diffusion's mixing of words and image (Xu et al. 2022).

Its image flow and its text flow share resolution, layout and latents; where the network attends to a
condition it has one transformer for each.  Mixed are the changes that both make to the same input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .painter import Conditions


class DualTransformer(nn.Module):
    """Stands where a UNet has a ``Transformer2DModel``; words, then image, come in one tensor."""

    def __init__(self, image: nn.Module, words: nn.Module) -> None:
        super().__init__()
        self.image, self.words = image, words
        self.share = 0.5
        self.split = 0

    def forward(self, hidden_states: torch.Tensor, encoder_hidden_states: torch.Tensor, **more: Any) -> Any:
        """The input plus `share` of the words' change plus the rest of the image's."""
        more.pop("return_dict", None)
        words, image = encoder_hidden_states.tensor_split([self.split], dim=1)
        change = 0
        for module, condition, share in (
            (self.words, words, self.share),
            (self.image, image, 1 - self.share),
        ):
            if share:
                out = module(hidden_states, encoder_hidden_states=condition, return_dict=False, **more)[0]
                change = change + share * (out - hidden_states)
        return (hidden_states + change,)


def attends_to_both(unet: nn.Module, words: nn.Module | None = None) -> nn.Module:
    """Put a :class:`DualTransformer` wherever `unet` attends to its condition, and return it.

    words : a network of the same layout whose transformers read words; None where the same ones read both.
    """
    from diffusers.models import Transformer2DModel

    names = [name for name, module in unet.named_modules() if isinstance(module, Transformer2DModel)]
    for name in names:
        image = unet.get_submodule(name)
        other = image if words is None else words.get_submodule(name)
        parent, _, index = name.rpartition(".")
        unet.get_submodule(parent)[int(index)] = DualTransformer(image, other)
    return unet


class UNetNoise:
    """A diffusers UNet as :class:`.painter.NoiseModel`; with both conditions it must be one that
    :func:`attends_to_both`.  `more` gives further arguments for a batch of a size."""

    def __init__(self, unet: nn.Module, more: Any = None) -> None:
        self.unet, self.more = unet, more
        self.dual = [module for module in unet.modules() if isinstance(module, DualTransformer)]

    def __call__(
        self, latents: torch.Tensor, time: Any, conditions: Conditions, *, words: float
    ) -> torch.Tensor:
        """See :class:`.painter.NoiseModel`."""
        parts = [part for part in (conditions.words, conditions.image) if part is not None]
        share = {(True, True): words, (True, False): 1.0, (False, True): 0.0}[
            conditions.words is not None, conditions.image is not None
        ]
        for module in self.dual:
            module.share = share
            module.split = 0 if conditions.words is None else conditions.words.shape[1]
        more = {} if self.more is None else self.more(latents)
        return self.unet(latents, time, encoder_hidden_states=torch.cat(parts, 1), **more).sample

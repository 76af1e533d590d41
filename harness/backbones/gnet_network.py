"""The layers of GNet under their public names; formulas and sources in :mod:`.gnet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from .gnet_sizes import DROPOUT, FIELDS, MAPS, PASS, SIDE, TRUNK, VOXELS_AT_ONCE


class PreFilter(nn.Module):
    """The first two convolutions of AlexNet: (n, 3, 227, 227) -> (n, 192, 27, 27)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2))
        self.conv2 = nn.Sequential(nn.Conv2d(64, 192, 5, padding=2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.conv1(x))


MOMENTUM = 0.25
"""Of all batch norms."""


class TrunkBlock(nn.Module):
    """Normalise, convolve, rectify, at one resolution; whole maps are dropped in between in training."""

    def __init__(self, channels: int, out: int, *, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels, momentum=MOMENTUM)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.dropout = dropout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = functional.dropout2d(self.bn1(x), self.dropout, self.training)
        return functional.relu(self.conv1(normed))


class Trunk(nn.Module):
    """(n, 192, 27, 27) -> maps (n, 256, 25, 25) and (n, 256, 13, 13).

    Of each block the first `trunk` channels are read out and `passed` go on with them to the next; the third
    convolution gives 128, the last block has `trunk`.
    """

    def __init__(self, *, trunk: int = TRUNK, passed: int = PASS, dropout: float = DROPOUT) -> None:
        super().__init__()
        width, self.trunk, self.dropout = trunk + passed, trunk, dropout
        self.bn1 = nn.BatchNorm2d(192, momentum=MOMENTUM)
        self.conv3 = nn.Conv2d(192, 128, 3)
        self.conv4a = TrunkBlock(128, width, dropout=dropout)
        self.conv4b = TrunkBlock(width, width, dropout=dropout)
        self.pool1 = nn.MaxPool2d(3, 2, padding=1)
        self.conv5a = TrunkBlock(width, width, dropout=dropout)
        self.conv5b = TrunkBlock(width, width, dropout=dropout)
        self.conv6a = TrunkBlock(width, width, dropout=dropout)
        self.conv6b = TrunkBlock(width, trunk, dropout=dropout)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        normed = functional.dropout2d(self.bn1(x), self.dropout, self.training)
        third = functional.relu(self.conv3(normed))
        first = self.conv4a(third)
        second = self.conv4b(first)
        fine = [third, first[:, : self.trunk], second[:, : self.trunk]]
        coarse, x = [], self.pool1(second)
        for block in (self.conv5a, self.conv5b, self.conv6a, self.conv6b):
            x = block(x)
            coarse.append(x[:, : self.trunk])
        return [torch.cat(fine, dim=1), torch.cat(coarse, dim=1)]


class Shared(nn.Module):
    """What all subjects share; `mu` is the mean image, or its mean per channel."""

    def __init__(self, mu_shape: Sequence[int], **trunk: float) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(*mu_shape))
        self.pre = PreFilter()
        self.enc = Trunk(**trunk)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Images (n, 3, 227, 227) in [0, 1] -> two sets of maps."""
        return self.enc(self.pre(x - self.mu))


class Readout(nn.Module):
    """A subject's voxels: fields rf0 (V, 25, 25) and rf1 (V, 13, 13), w (V, 512), b (V,).

    fields : positions along one side of each set of maps; maps : of all sets together.
    """

    def __init__(self, voxels: int, fields: Sequence[int] = FIELDS, maps: int = MAPS * len(FIELDS)) -> None:
        super().__init__()
        self.rf0, self.rf1 = (nn.Parameter(torch.zeros(voxels, side, side)) for side in fields)
        self.w = nn.Parameter(torch.zeros(voxels, maps))
        self.b = nn.Parameter(torch.zeros(voxels))

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Two sets of maps (n, 256, side, side) -> (n, V)."""
        bent = [squashed(layer.flatten(2)) for layer in maps]  # (n, 256, positions)
        parts = []
        for start in range(0, len(self.b), VOXELS_AT_ONCE):
            part = slice(start, start + VOXELS_AT_ONCE)
            fields = [rf[part].flatten(1).softmax(dim=1) for rf in (self.rf0, self.rf1)]  # (v, positions)
            pooled = torch.cat([layer @ field.T for layer, field in zip(bent, fields, strict=True)], dim=1)
            parts.append(torch.einsum("nkv,vk->nv", squashed(pooled), self.w[part]) + self.b[part])
        return torch.cat(parts, dim=1)


def squashed(x: torch.Tensor) -> torch.Tensor:
    """log(1 + |x|) tanh(x), element by element."""
    return torch.log(1 + x.abs()) * torch.tanh(x)


def gnet_network(state: Mapping[str, torch.Tensor]) -> nn.Module:
    """A network of the subjects and voxels in `state`, on the CPU.

    RuntimeError, which names them, for parameters that are missing, too many or of another shape.
    """
    subjects = dict.fromkeys(name.split(".")[1] for name in state if name.startswith("readouts."))
    mu = tuple(state["shared.mu"].shape) if "shared.mu" in state else (3, 1, 1)
    try:
        fits = torch.broadcast_shapes(mu, (1, 3, SIDE, SIDE)) == (1, 3, SIDE, SIDE)
    except RuntimeError:
        fits = False
    if not fits:
        raise RuntimeError(f"shared.mu has shape {mu}; expected one that fits (3, {SIDE}, {SIDE})")
    with torch.device("meta"):
        network = nn.Module()
        network.shared = Shared(mu)
        voxels = {
            subject: state[b].numel() if (b := f"readouts.{subject}.b") in state else 0
            for subject in subjects
        }
        network.readouts = nn.ModuleDict({subject: Readout(count) for subject, count in voxels.items()})
    exact = {name: value.float() if value.is_floating_point() else value for name, value in state.items()}
    network.load_state_dict(exact, assign=True)
    return network

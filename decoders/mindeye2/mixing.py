"""MixCo: training on mixtures of two patterns, with targets mixed alike (Kim et al. 2020).

MindEye mixes the voxels of half of the samples of a batch with those of another sample, in
proportions from Beta(0.15, 0.15).  Two slips of the public code are mended here and come back with
``faithful=True``:

- With several subjects it draws partners within each subject's batch, 0 to b - 1, and joins them
  without an offset, so that the targets of all subjects but the first point into the first's rows.
- Where a sample is its own partner, the target's weight is written over: w becomes 1 - w, and a
  sample that was not mixed loses its target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from harness.api import DataError

BETA = 0.15
PROBABILITY = 0.5


@dataclass(frozen=True)
class Mixture:
    """Which samples of a batch are mixed, with which and by how much.

    partner : (B,) int64 position of the other sample.
    weight : (B,) share of the sample itself, 1 where it is not mixed.
    mixed : (B,) bool.
    """

    partner: torch.Tensor
    weight: torch.Tensor
    mixed: torch.Tensor

    def to(self, device: torch.device | str) -> Mixture:
        return Mixture(self.partner.to(device), self.weight.to(device), self.mixed.to(device))


def draw_mixture(batch: int, *, beta: float = BETA, probability: float = PROBABILITY) -> Mixture:
    """A mixture of `batch` samples, drawn from the global CPU generator."""
    partner = torch.randperm(batch)
    weight = torch.distributions.Beta(beta, beta).sample((batch,))
    mixed = torch.rand(batch) <= probability
    return Mixture(partner, torch.where(mixed, weight, 1.0), mixed)


def mix(values: torch.Tensor, mixture: Mixture) -> torch.Tensor:
    """(B, ...) -> w values + (1 - w) values of the partner, not in place."""
    if len(values) != len(mixture.weight):
        raise DataError(f"{len(values)} samples for a mixture of {len(mixture.weight)}; they must be equal")
    weight = mixture.weight.to(values).view(-1, *(1,) * (values.ndim - 1))
    blended = weight * values + (1 - weight) * values[mixture.partner]
    return torch.where(mixture.mixed.view(weight.shape), blended, values)


def join(mixtures: Sequence[Mixture], *, faithful: bool = False) -> Mixture:
    """One mixture for the batches of several subjects, one after another."""
    starts, start = [], 0
    for mixture in mixtures:
        starts.append(0 if faithful else start)
        start += len(mixture.partner)
    return Mixture(
        torch.cat([mixture.partner + offset for mixture, offset in zip(mixtures, starts)]),
        torch.cat([mixture.weight for mixture in mixtures]),
        torch.cat([mixture.mixed for mixture in mixtures]),
    )


def targets(mixture: Mixture, *, faithful: bool = False) -> torch.Tensor:
    """(B, B) share of each image in each sample; rows sum to one unless `faithful`."""
    weight, rows = mixture.weight, torch.arange(len(mixture.weight), device=mixture.weight.device)
    shares = torch.diag(weight)
    if faithful:
        shares[rows, mixture.partner] = 1 - weight
        return shares
    return shares.index_put((rows, mixture.partner), 1 - weight, accumulate=True)

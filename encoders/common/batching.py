"""Batches of several subjects' items, each of one subject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.training import Task

if TYPE_CHECKING:
    from torch import Tensor, nn


class SubjectTask(Task):
    """A module that is trained on items of some subjects.

    items : for each subject, the items (trials or images) of its training part.  size : of a batch.
    """

    def __init__(self, module: nn.Module, items: Sequence[np.ndarray], size: int) -> None:
        self.module, self.items, self.size = module, items, size
        self.steps_per_epoch = batch_count([len(own) for own in items], size)

    def batches(self, epoch: int) -> Sequence[tuple[int, Tensor]]:
        """(subject, items) of one epoch."""
        return list(batches(self.items, self.size))

    def part(self, batch: tuple[int, Tensor], *, rank: int, world: int) -> tuple[int, Tensor]:
        """Every `world`-th item; a contrast then is among the items of one process."""
        subject, items = batch
        return subject, items[rank::world] if len(items) >= world else items


def batches(items: Sequence[np.ndarray], size: int) -> Iterator[tuple[int, Tensor]]:
    """(subject, items) of one epoch, from torch's present random state.

    A batch holds one subject only; subjects come in random order.  A last batch of one item is left
    out, since a single item has nothing to be contrasted with.
    """
    import torch

    parts: list[tuple[int, Tensor]] = []
    for subject, own in enumerate(items):
        order = torch.from_numpy(own)[torch.randperm(len(own))]
        parts += [(subject, part) for part in order.split(size) if len(part) > 1 or len(own) == 1]
    return (parts[k] for k in torch.randperm(len(parts)).tolist())


def batch_count(counts: Sequence[int], size: int) -> int:
    """Number of :func:`batches` of subjects with so many items."""
    return sum(1 if count == 1 else (count // size) * (size > 1) + (count % size > 1) for count in counts)

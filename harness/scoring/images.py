"""Scores of pixels: images as they are, block by block.

``prepare(images (n, H, W, 3)) -> dict of arrays (n, ...)`` once per image of a block, whatever the number of
rows and targets; then ``score(prepared, prepared_target) -> (n,)``, pairwise.  A metric with ``on`` computes
on the device of a run; what it prepares may then be tensors there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import ImageSet
from ..rows.controls import renamed
from ..rows.row_images import RowImages
from ..seeds import cyclic_order
from ..storage.cached import Item, cached_map
from ..storage.content import digest
from ..storage.references import pictures
from .blocks import score_block
from .compare import controls, turns
from .context import Scorer
from .devices import torch_device
from .scores import MetricRef, Score, Scored

BLOCK = 32
"""Images per task; part of no result, since images are scored one by one."""


@dataclass(frozen=True)
class _Block:
    """Images that one task reads (name -> some of an image set) and the pairs of names that it compares.

    shifts : of the shuffled control; by how many images each of its scores moves the results, which are
        longer than the targets.
    """

    sources: Mapping[str, ImageSet]
    pairs: tuple[tuple[str, str], ...]
    shifts: Sequence[int] = ()

    @property
    def identity(self) -> dict[str, Any]:
        hashes = {name: digest(stimuli.image_hashes()) for name, stimuli in self.sources.items()}
        return {
            "pairs": [(hashes[first], hashes[second]) for first, second in self.pairs],
            "shifts": list(self.shifts),
        }


class ImagesScorer(Scorer):
    """Pixels of finished images against those of stimuli and of other finished images."""

    inputs = "images"

    def score(self, metric: MetricRef) -> Scored:
        row, run = metric.load(), self.run
        wanted = [(s, t) for s in run.sets for t in row.targets if s.target(t) is not None]
        scores: list[Score] = []
        for ids in dict.fromkeys(images.images.ids for images, _ in wanted):
            group = [(images, target) for images, target in wanted if images.images.ids == ids]
            values = self._values(metric, list(_blocks(group, ids)))  # (pairs, N)
            scores += [Score(metric, *what, values[k]) for k, what in enumerate(group)]
        for images, control in controls(run.sets, run.shuffled) if "stimulus" in row.targets else ():
            copies, n = images.stimuli.copies(), len(images.images)
            shifts = turns(n, run.derangements, copies)
            values = np.full(n, np.nan)
            if shifts:
                circle = cyclic_order(images.images.ids, copies)
                values[circle] = self._values(metric, list(_shuffled_blocks(images, circle, shifts)))[0]
            scores.append(Score(metric, control, "stimulus", values))
        return Scored(images=scores)

    def _values(self, metric: MetricRef, blocks: Sequence[_Block]) -> np.ndarray:
        """(pairs, N) values of all blocks."""
        device = torch_device(metric.load(), self.run.device)
        items = [Item(block.identity, lambda b=block: self._arguments(metric, b, device)) for block in blocks]
        artifacts = cached_map(
            "score",
            items,
            score_block,
            store=self.run.store,
            executor=self.run.executor,
            depends_on={**metric.identity, "device": (device or "cpu").partition(":")[0]},
        )
        return np.concatenate([artifact.array("values") for artifact in artifacts], axis=1)

    @staticmethod
    def _arguments(metric: MetricRef, block: _Block, device: str | None) -> tuple[Any, ...]:
        sources = {name: pictures(stimuli) for name, stimuli in block.sources.items()}
        return (metric, sources, block.pairs, block.shifts, device)


def _blocks(group: Sequence[tuple[RowImages, str]], ids: tuple[str, ...]) -> Iterator[_Block]:
    for start in range(0, len(ids), BLOCK):
        part = ids[start : start + BLOCK]
        sources: dict[str, ImageSet] = {}
        pairs = []
        for images, target in group:
            names = []
            for stimuli in (images.images, images.target(target)):
                some = stimuli.select(part)
                names.append(digest(some.image_hashes()))
                sources[names[-1]] = some  # equal content, equal name: prepared once
            pairs.append((names[0], names[1]))
        yield _Block(sources, tuple(pairs))


def _shuffled_blocks(images: RowImages, circle: np.ndarray, shifts: range) -> Iterator[_Block]:
    """Blocks of the re-pairings of :func:`.compare.derangements_of`, streamed with a window.

    circle : (N,) order of the images; shifts : by how many places it is turned.
    """
    names = [images.images.ids[k] for k in circle]
    for start in range(0, len(names), BLOCK):
        targets = tuple(names[start : start + BLOCK])
        # In a short circle an image may occur twice in the window, which an image set may not hold.
        results = [names[(start + k) % len(names)] for k in range(len(targets) + shifts[-1])]
        numbers = tuple(map(str, range(len(results))))
        result = renamed(images.images, images.images.positions(results), numbers)
        sources = {"result": result, "target": images.stimuli.select(targets)}
        yield _Block(sources, (("result", "target"),), shifts)

"""Image scores of several systems side by side: means over seeds, and how far the seeds lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.statistics import SeedSpread, mean_over_seeds, seed_spread

from .systems import System
from .values import image_values


@dataclass(frozen=True)
class ImageScores:
    """(subjects, images, systems, metrics) values and rivalry, means over seeds; NaN: absent or not scored.

    spreads : [system][metric] of the seeds, one for each subject that has several.
    """

    subjects: list[str]
    values: np.ndarray
    rivalry: np.ndarray
    spreads: list[list[tuple[SeedSpread, ...]]]

    @classmethod
    def of(
        cls, systems: Sequence[System], subjects: Sequence[str], names: Sequence[str], target: str
    ) -> ImageScores:
        cells = {
            (m, s): [
                [image_values(run, target, column=column)[system.row] for column in ("value", "rivalry")]
                for run in system.replicates[subject]
            ]
            for m, system in enumerate(systems)
            for s, subject in enumerate(subjects)
        }
        ids = sorted({name for tables in cells.values() for table, _ in tables for name in table.index})
        shape = (len(subjects), len(ids), len(systems), len(names))
        values, rivalry = np.empty(shape), np.empty(shape)
        spreads: list[list[list[SeedSpread]]] = [[[] for _ in names] for _ in systems]
        for (m, s), tables in cells.items():
            by_seed = [
                [table.reindex(index=ids, columns=list(names)).to_numpy(float) for table in pair]
                for pair in tables
            ]
            scores, others = (np.stack(side) for side in zip(*by_seed))  # (seeds, images, metrics)
            values[s, :, m], rivalry[s, :, m] = mean_over_seeds(scores), mean_over_seeds(others)
            for k in range(len(names)):
                spread = seed_spread(scores[:, :, k] + np.nan_to_num(others[:, :, k]))
                if spread is not None:
                    spreads[m][k].append(spread.of(len(subjects)))
        return cls(list(subjects), values, rivalry, [[tuple(own) for own in line] for line in spreads])

    def without(self, metric: int) -> ImageScores:
        """All but one metric, by position."""
        rest = (np.delete(array, metric, axis=3) for array in (self.values, self.rivalry))
        spreads = [[own for k, own in enumerate(line) if k != metric] for line in self.spreads]
        return ImageScores(self.subjects, *rest, spreads)

    def flat(self, values: np.ndarray) -> np.ndarray:
        """(S, N, systems or pairs, metrics) as (S, N, K)."""
        return values.reshape(*values.shape[:2], -1)

"""Scores of pixels of one block of images: what makes that artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..storage.content import save_array
from ..storage.references import Reference
from .calls import nanmean
from .metric_ref import MetricRef


def score_block(
    folder: Path,
    metric: MetricRef,
    sources: Mapping[str, Reference],
    pairs: Sequence[tuple[str, str]],
    shifts: Sequence[int],
    device: str | None,
) -> None:
    """Score one block: (pairs, n) float64."""
    row = metric.load()
    if device is None:
        prepare, score = row.function("prepare"), row.function()
    else:
        placed = row.function("on")(device=device)
        prepare, score = placed.prepare, placed.score
    images = {name: source.load() for name, source in sources.items()}
    prepared = {name: prepare(part) for name, part in images.items()}
    values = []
    for result, target in pairs:
        if not shifts:
            values.append(score(prepared[result], prepared[target]))
            continue
        n = len(images[target])
        turned = [
            score({name: part[k : k + n] for name, part in prepared[result].items()}, prepared[target])
            for k in shifts
        ]
        values.append(nanmean(np.stack(turned)))
    save_array(folder, "values", np.asarray(values, np.float64))

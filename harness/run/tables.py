"""The score tables of a finished run: rows in one fixed order, columns of :mod:`harness.results`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import VoxelSpace
from ..results import CONTRIBUTION_COLUMNS, REGION_COLUMNS, SCORE_COLUMNS, SET_COLUMNS, VOXEL_COLUMNS
from .outcome import Outcome

if TYPE_CHECKING:
    import pandas as pd


def table_files(outcome: Outcome) -> dict[str, bytes]:
    """Name -> content of the parquet files of a run."""
    tables = {
        "scores": score_frame(outcome),
        "voxel_scores": voxel_frame(outcome),
        "set_scores": set_frame(outcome),
        "region_scores": region_frame(outcome),
        "region_contributions": contribution_frame(outcome),
    }
    if (places := place_frame(outcome.data.space)) is not None:
        tables["voxel_places"] = places
    return {f"{name}.parquet": _parquet(table) for name, table in tables.items()}


def place_frame(space: VoxelSpace) -> pd.DataFrame | None:
    """Where the valid voxels are, columns :data:`harness.results.PLACE_COLUMNS`; None where nobody said."""
    import pandas as pd

    if space.coordinates is None and space.vertices is None:
        return None
    voxels = np.flatnonzero(space.valid)
    frame = pd.DataFrame({"voxel": voxels, "x": np.nan, "y": np.nan, "z": np.nan, "vertex": -1})
    if space.coordinates is not None:
        for name, column in zip("xyz", np.asarray(space.coordinates, np.float64)[voxels].T):
            frame[name] = column
    if space.vertices is not None:
        frame["vertex"] = np.asarray(space.vertices, np.int64)[voxels]
    return frame.assign(template=space.template)


def score_frame(outcome: Outcome) -> pd.DataFrame:
    """Image-level scores, columns :data:`harness.results.SCORE_COLUMNS`, in one fixed order."""
    ids = outcome.data.test.stimuli.ids
    parts = []
    for score in outcome.scored.images:
        plugin, images = score.metric.load(), score.images
        parts.append(
            {
                "row": images.row,
                "target": score.target,
                "image_id": images.images.ids,
                "trial": images.trial,
                "sample": images.sample,
                "metric": score.metric.label,
                "backbone": ":".join(plugin.backbone) if plugin.backbone else "",
                "n": len(images.images.ids),
                "pool": pool_hash(images.images.ids) if plugin.pool else "",
                "value": np.asarray(score.values, np.float64),
                "rivalry": 0.0 if score.rivalry is None else score.rivalry,
            }
        )
    parts += [
        {
            "row": score.row,
            "target": "responses",
            "image_id": ids,
            "trial": -1,
            "sample": 0,
            "metric": score.metric.label,
            "backbone": "",
            "n": len(ids),
            "pool": pool_hash(ids) if score.metric.load().pool else "",
            "value": score.values,
            "rivalry": 0.0 if score.rivalry is None else score.rivalry,
        }
        for score in outcome.scored.responses
        if score.unit == "image"
    ]
    return _ordered(outcome, _stacked(parts, by="image_id"), SCORE_COLUMNS)


def voxel_frame(outcome: Outcome) -> pd.DataFrame:
    """Voxel-level scores of valid voxels."""
    valid = np.flatnonzero(outcome.data.space.valid)
    parts = [
        {
            "row": score.row,
            "metric": score.metric.label,
            "voxel": valid,
            "n": len(outcome.data.test),
            "value": score.values[valid],
        }
        for score in outcome.scored.responses
        if score.unit == "voxel"
    ]
    return _ordered(outcome, _stacked(parts, by="voxel"), VOXEL_COLUMNS)


def _stacked(parts: Sequence[Mapping[str, Any]], *, by: str) -> pd.DataFrame:
    """Parts of the same columns, one below the other; column `by` has as many values as its part has rows.

    A table for each of hundreds of parts takes pandas longer than all their scores took to read.
    """
    import pandas as pd

    rows = [len(part[by]) for part in parts]
    names = parts[0] if parts else ()
    return pd.DataFrame(
        {name: np.concatenate([_column(p[name], n) for p, n in zip(parts, rows)]) for name in names}
    )


def _column(value: Any, rows: int) -> np.ndarray:
    """`rows` values, or one value for as many rows; text as objects, which all have their own length."""
    text = isinstance(value, (str, tuple))
    return np.broadcast_to(np.asarray(value, object if text else None), rows)


def set_frame(outcome: Outcome) -> pd.DataFrame:
    """Set-level scores; mean voxel r comes with its 95 % interval over images."""
    import pandas as pd

    ids = outcome.data.test.stimuli.ids
    rows = [(s.row, s.metric.label, s.values[0]) for s in outcome.scored.responses if s.unit == "set"]
    for row, values in outcome.voxel_r.items():
        names = ("voxel-r-mean@1", "voxel-r-low@1", "voxel-r-high@1")
        rows += [(row, name, value) for name, value in zip(names, values, strict=True)]
    frame = pd.DataFrame(rows, columns=["row", "metric", "value"])
    frame["n"], frame["pool"] = len(ids), pool_hash(ids)
    return _ordered(outcome, frame, SET_COLUMNS)


def region_frame(outcome: Outcome) -> pd.DataFrame:
    """Encoding scores by region, columns :data:`harness.results.REGION_COLUMNS`."""
    import pandas as pd

    columns = ("row", "metric", "region", "kind", "part", "n_voxels", "value")
    rows = [
        (s.row, s.metric.label, s.region, s.kind, s.part, s.n_voxels, s.value) for s in outcome.scored.regions
    ]
    frame = pd.DataFrame(rows, columns=list(columns))
    frame["n"] = len(outcome.data.test)
    return _ordered(outcome, frame, REGION_COLUMNS)


def contribution_frame(outcome: Outcome) -> pd.DataFrame:
    """What images contribute to voxel scores by region, :data:`harness.results.CONTRIBUTION_COLUMNS`."""
    import pandas as pd

    ids = list(outcome.data.test.stimuli.ids)
    names = ("metric", "row", "region", "kind", "n_voxels", "value", "contributions")
    frame = pd.DataFrame(
        [[getattr(part, name) for name in names] for part in outcome.region_contributions], columns=names
    )
    frame["n"], frame["pool"] = len(ids), pool_hash(ids)
    frame["image_ids"] = [ids] * len(frame)
    return _ordered(outcome, frame, CONTRIBUTION_COLUMNS)


def _ordered(outcome: Outcome, frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    plan = outcome.plan
    identity = {
        "run": plan.name,
        "benchmark": f"{plan.benchmark.unversioned}@{plan.benchmark.load().version}",
        "subject": plan.subject,
        "encoder": plan.encoder.name if plan.encoder else "",
        "adapter": plan.settings.adapter,
        "decoder": plan.decoder.name if plan.decoder else "",
        "selection": plan.settings.selection,
    }
    table = (frame if len(frame) else pd.DataFrame(columns=list(columns))).assign(**identity)
    values = ("value", "rivalry", "n", "n_voxels", "pool", "contributions", "image_ids")
    keys = [c for c in columns if c not in (*values, *identity)]
    return table.sort_values(keys, kind="stable", ignore_index=True)[list(columns)]


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def pool_hash(ids: Sequence[str]) -> str:
    """Hash of the ids of a pool, in whatever order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]

"""The result of a run: one folder, its tables, one document.  Everything shown derives from it.

================================  ==========================================================
``run.json``                      plan, parameters, seeds, versions, device, timings, data hashes, flags
``scores.parquet``                one value per row x target x image x trial x sample x metric
``voxel_scores.parquet``          one value per row x voxel x metric (encoding scores)
``set_scores.parquet``            one value per row x metric that exists only for the whole set
``region_scores.parquet``         one value per row x ROI or cortical group x metric (encoding scores)
``region_contributions.parquet``  what each image adds to voxel scores by region, to compare encoders
``voxel_places.parquet``          where the valid voxels are, where the benchmark says so
``gallery.npz``                   the images that the report shows, chosen by a printed rule
``patterns.npz``                  measured and predicted responses to those images
``gallery.json``, ``gallery/``    every image of the main rows as a file
``report.html``                   made from the files above by :mod:`harness.reports`
================================  ==========================================================

Values are NaN where an image could not be scored; such values stay in the table and every mean
counts how many it left out.  ``rivalry`` has mean 0 over a set: means are those of ``value``, and
intervals over images rest on ``value + rivalry`` (:mod:`harness.statistics.pairs`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .errors import DataError, quoted
from .places import expanded
from .reading.plain_files import npz_arrays
from .reading.room import require_room
from .run_record import SCHEMA, CeilingRecord, MetricRecord, PluginRecord, RowRecord, RunRecord
from .verified import Verified, read_verified

__all__ = ["SCHEMA", "CeilingRecord", "MetricRecord", "PluginRecord", "RowRecord", "RunRecord", "RunResult"]

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

IDENTITY = ("benchmark", "subject", "encoder", "adapter", "decoder", "selection")
"""Columns that say which experiment a value belongs to (``benchmark`` is ``name@version``)."""

SCORE_COLUMNS = (
    "run",
    *IDENTITY,
    "row",  # measured, predicted, zero, shuffled ...: harness.rows.table
    # "stimulus"; "measured": the reconstruction of the same image and seed; "responses"; or "training":
    # the nearest training image; "brain": responses that an encoder predicts for the image, against measured
    "target",
    "image_id",
    "trial",  # -1: all repeats of the image; else the trial's number among the image's repeats
    "sample",  # number of the encoder and decoder draw
    "metric",  # name@version
    "backbone",  # name:layer, or ""
    "n",  # images in the pool
    "pool",  # hash of the pool's ids for metrics that depend on it, else ""
    "value",
    # what the image does to the others' values as their rival, or what makes its kind of look-alikes the
    # unit (harness.metrics.lookalikes.kind_rivalry); 0 where there are no rivals
    "rivalry",
)
VOXEL_COLUMNS = ("run", *IDENTITY, "row", "metric", "voxel", "n", "value")
SET_COLUMNS = ("run", *IDENTITY, "row", "metric", "n", "pool", "value")
REGION_COLUMNS = (
    *("run", *IDENTITY, "row", "metric"),
    "region",  # name of the ROI or cortical group, or "all voxels"
    "kind",  # "all", "group" or "roi"
    "part",  # "" for the score; else what of it the value is, such as a category
    "n_voxels",  # that the value rests on
    "n",  # test images
    "value",  # means over voxels or images, or one value of the whole region
)
CONTRIBUTION_COLUMNS = (
    *("run", *IDENTITY, "row", "metric", "region", "kind"),  # as above; voxel metrics and rows of an encoder
    "n_voxels",
    "n",
    "pool",  # hash of the images' ids
    "value",  # mean over the region's voxels
    "contributions",  # list: what each image contributes to it, with itself as their mean
    "image_ids",  # list: the images, in the order of contributions
)


PLACE_COLUMNS = ("voxel", "x", "y", "z", "vertex", "template")
"""``x``, ``y``, ``z``: millimetres, of a sheet without ``z``, NaN where unknown; ``vertex``: of fsaverage, -1
where unknown (:class:`harness.data.VoxelSpace`)."""


@dataclass(frozen=True)
class RunResult:
    """A finished run, read from its folder; tables are pandas frames read when first used."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> RunResult:
        """Check the folder and its schema; raise :class:`DataError` with what is missing."""
        folder = expanded(folder)
        if not (folder / "run.json").is_file():
            runs = sorted(file.parent for file in folder.glob("*/run.json"))[:3]
            raise DataError(
                f"{folder} holds no run.json; give a folder that 'harness run' wrote"
                + (f", such as {' or '.join(map(str, runs))}" if runs else "")
            )
        run = cls(folder)
        try:
            readable = isinstance(run.info, dict)
        except ValueError:
            readable = False
        if not readable:
            raise DataError(f"{folder / 'run.json'} is damaged; type the command of that run again")
        if type(run.info.get("schema")) is not int or run.info["schema"] < 1:
            raise DataError(
                f"{folder / 'run.json'} states the result schema {quoted(run.info.get('schema'))}; expected "
                f"1 to {SCHEMA}. Type the command of that run again"
            )
        if run.info["schema"] > SCHEMA:
            raise DataError(
                f"{folder} was written with result schema {run.info['schema']}; this harness reads up to "
                f"{SCHEMA}. Type: pip install -U fmri-harness"
            )
        _ = run.record  # refused now, by name
        return run

    @cached_property
    def record(self) -> RunRecord:
        """The content of ``run.json``, typed.

        Raises
        ------
        DataError
            A value is of another kind than its field.
        """
        try:
            return RunRecord.model_validate(self.info)
        except ValueError as problem:
            first = problem.errors()[0] if hasattr(problem, "errors") else {"loc": (), "msg": str(problem)}
            place = ".".join(map(str, first["loc"]))
            raise DataError(
                f"{self.folder / 'run.json'} is damaged at {quoted(place)}: {first['msg']}; type the "
                "command of that run again"
            ) from None

    @cached_property
    def info(self) -> dict[str, Any]:
        """The content of ``run.json`` as it lies there; :attr:`record` is the same, typed."""
        return json.loads((self.folder / "run.json").read_text())

    @cached_property
    def scores(self) -> pd.DataFrame:
        """Image-level scores, columns :data:`SCORE_COLUMNS`."""
        table = self._table("scores", SCORE_COLUMNS)
        return table if "rivalry" in table else table.assign(rivalry=0.0)  # runs before it was recorded

    @cached_property
    def voxel_scores(self) -> pd.DataFrame:
        """Voxel-level scores, columns :data:`VOXEL_COLUMNS`."""
        return self._table("voxel_scores", VOXEL_COLUMNS)

    @cached_property
    def set_scores(self) -> pd.DataFrame:
        """Set-level scores, columns :data:`SET_COLUMNS`."""
        return self._table("set_scores", SET_COLUMNS)

    @cached_property
    def region_scores(self) -> pd.DataFrame:
        """Scores by region, columns :data:`REGION_COLUMNS`; empty for runs from before it was kept."""
        return self._later_table("region_scores", REGION_COLUMNS)

    @cached_property
    def region_contributions(self) -> pd.DataFrame:
        """What images contribute to voxel scores by region (:mod:`harness.scoring.contributions`),
        columns :data:`CONTRIBUTION_COLUMNS`; empty for runs from before they were kept."""
        return self._later_table("region_contributions", CONTRIBUTION_COLUMNS)

    @cached_property
    def voxel_places(self) -> pd.DataFrame:
        """Where valid voxels are, columns :data:`PLACE_COLUMNS`; empty where it was not recorded."""
        return self._later_table("voxel_places", PLACE_COLUMNS)

    @cached_property
    def gallery(self) -> dict[str, np.ndarray]:
        """``ids`` (n,) and, per row name, (n, H, W, 3) uint8; the rule is ``record.gallery_rule``.

        A missing or damaged file is a :class:`DataError`."""
        return npz_arrays(self.folder / "gallery.npz")

    @cached_property
    def patterns(self) -> dict[str, np.ndarray]:
        """``ids`` (n,), ``measured`` and ``predicted`` (n, V); empty for runs without an encoder, and for
        those from before they were kept."""
        file = self.folder / "patterns.npz"
        return npz_arrays(file) if file.is_file() else {}

    @cached_property
    def verified(self) -> Verified | None:
        """What ``harness verify`` found right in the submission that this folder is; None for any other
        folder, and once a file in it was edited since."""
        return read_verified(self.folder)

    def columns(self, name: str, columns: Sequence[str], **filters: str) -> pyarrow.Table:
        """Some `columns` of the table `name`, text as codes: for readers of hundreds of runs.

        filters : column -> the only value wanted.  ValueError where it lacks a column that any run has.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        with open(self.folder / f"{name}.parquet", "rb") as file:
            schema = pq.read_schema(file)
            there = [column for column in columns if column in schema.names]
            if lacking := [c for c in columns if c not in there and c != "rivalry"]:
                raise ValueError(f"it has no column {', '.join(lacking)}")
            kinds = (pa.types.is_string, pa.types.is_large_string)
            texts = [c for c in there if any(is_text(schema.field(c).type) for is_text in kinds)]
            wanted = [(column, "=", value) for column, value in filters.items()] or None
            return pq.read_table(file, columns=there, read_dictionary=texts, filters=wanted)

    def _later_table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        if (self.folder / f"{name}.parquet").is_file():
            return self._table(name, columns)
        import pandas as pd

        return pd.DataFrame(columns=list(columns))

    def _table(self, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
        """The table; ValueError where it lacks some of `columns` but those that came later."""
        import pandas as pd

        # Opened here: pyarrow encodes names as UTF-8, which those of another locale are not.
        with open(self.folder / f"{name}.parquet", "rb") as file:
            _require_room(file, what=f"{self.folder / name}.parquet")
            table = pd.read_parquet(file)
        if lacking := [column for column in columns if column not in table and column != "rivalry"]:
            raise ValueError(f"it has no column {', '.join(lacking)}")
        return table


def _require_room(file: BinaryIO, *, what: str) -> None:
    """Refuse a table that claims more rows than memory holds: one packed value may stand for billions."""
    from pyarrow.parquet import read_metadata

    head = read_metadata(file)
    require_room(8 * head.num_rows * head.num_columns, what=what)
    file.seek(0)

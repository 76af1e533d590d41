"""``run.json`` as a typed record: what a run writes and what reports read, by attribute.

Every field has a default, so that a record of before it was kept still reads; what this version does not know
is kept as it is.  A value of another kind is refused by the name of its field.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA = 1
"""Version of a run's tables and record; a reader refuses a newer one."""


class _Record(BaseModel):
    """Fields may be absent, or null where nobody knew better: both mean their default."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        optional = {name for name, field in cls.model_fields.items() if field.default is None}
        return {key: value for key, value in given.items() if value is not None or key in optional}

    def content(self) -> dict[str, Any]:
        """Keys and values as JSON holds them; of what nobody gave there is none."""
        return self.model_dump(by_alias=True, exclude_unset=True)


ELSEWHERE = ("file:", "folder:", "captions:")
"""Beginnings of names that stand for finished files."""


class PluginRecord(_Record):
    """An encoder or decoder: its distribution, its own version, the hash of its file, resolved parameters."""

    name: str = ""
    dist: str = ""
    dist_version: str = ""
    version: str = ""
    file_sha: str = ""
    params: dict[str, Any] = {}

    @property
    def made_elsewhere(self) -> bool:
        """Whether the name stands for finished files in place of a plugin."""
        return self.name.startswith(ELSEWHERE)


class BenchmarkRecord(PluginRecord):
    """A benchmark; `simulated` data are labelled so everywhere."""

    simulated: bool = False


class TrainSubject(_Record):
    """A subject that the encoder was fitted on, with hashes of its training split."""

    subject: str = ""
    n_train: int = 0
    stimuli_sha: str = ""
    responses_sha: str = ""


class SubsetRecord(_Record):
    """A named part of the test images; `missing` of them were left out for want of a reconstruction."""

    name: str = ""
    sha: str = ""
    missing: int = 0
    first_missing: tuple[str, ...] = ()


class SpaceRecord(_Record):
    """The voxel space; regions are positions of their voxels."""

    dataset: str = ""
    subject: str = ""
    mask: str = ""
    units: str = ""
    n_voxels: int | None = None
    n_valid: int | None = None
    sha: str = ""
    rois: dict[str, tuple[int, ...]] = {}
    groups: dict[str, tuple[int, ...]] = {}
    ncsnr: bool = False


class CeilingRecord(_Record):
    """Which trials the noise ceiling rests on, with degrees of freedom, 0 where nobody said."""

    trials: str = ""
    within: int = 0
    between: int = 0

    @model_validator(mode="before")
    @classmethod
    def _of_a_sentence(cls, given: Any) -> Any:
        return {"trials": given} if isinstance(given, str) else given


_EARLIER = {
    "compared": ("measured", "predicted", "reconstructions", "measured-trial"),
    "reference": (
        *("stimulus", "oracle", "remeasured", "half-1", "half-2", "predicted-half", "generator-ceiling"),
    ),
    "control": (
        *("shuffled", "shuffled-measured", "shuffled-reconstructions", "zero", "train-mean"),
        *("cheat-inverse", "cheat-pixels", "nearest-train", "nearest-train-measured"),
        *("mean-image", "flat-grey"),
    ),
}
"""Groups of the rows that there were when records did not say it yet; no later row belongs here."""


class RowRecord(_Record):
    """A row as people read it, and which others belong to it (:class:`harness.rows.table.Row`).

    group : that reports show it under; for runs of before it was recorded, the one that it had then.
    """

    name: str = ""
    label: str = ""
    note: str = ""
    group: str = ""
    shuffled: str = ""
    nearest: str = ""
    redrawn: str = ""
    reference: str = ""
    against_half: str = ""
    blind: bool = False
    intact: str = ""
    lesion: str = ""
    area: str = ""

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("group"):
            return given
        name = str(given.get("name") or "")
        if name.startswith("measured-rank-"):
            return {**given, "group": "bottleneck"}
        return {**given, "group": next((g for g, names in _EARLIER.items() if name in names), "other")}


class MetricRecord(_Record):
    """A metric as a report needs it; see :class:`harness.catalogue.Metric`."""

    name: str = ""
    label: str = ""
    inputs: str = ""
    unit: str = "image"
    targets: tuple[str, ...] = ()
    higher_is_better: bool = True
    chance: float | None = None
    gallery: int | None = None
    backbone: str = ""
    pool: bool = False
    meaning: str = ""
    dist: str = ""
    file_sha: str = ""


class ProtocolRecord(_Record):
    """The protocol that was asked for, and in what the run is not it."""

    name: str = ""
    title: str = ""
    source: str = ""
    differs: tuple[str, ...] = ()


class LeftOutMetric(_Record):
    """A metric that was not scored, and why."""

    metric: str = ""
    why: str = ""


class FailedMetric(_Record):
    """A metric that failed."""

    metric: str = ""
    error: str = ""
    how_to_rerun: str = ""


class FlagRecord(_Record):
    """What a reader must know before believing a number."""

    name: str = ""
    level: str = "warning"
    message: str = ""


class GitRecord(_Record):
    """The source tree that the harness ran from."""

    revision: str = ""
    dirty: bool = False


class DataHashes(_Record):
    """Content hashes of the scored subject's data."""

    train_stimuli: str = ""
    train_responses: str = ""
    test_stimuli: str = ""
    test_responses: str = ""


class RunRecord(_Record):
    """``run.json``.

    train_subjects : whom the encoder was fitted on; empty without one, and before it was recorded.
    noise_ceiling : (V,) explainable share of variance, None where unknown.  noise_floor_mse : voxel MSE that
        remains to a perfect prediction.
    n_test_pictures : test images that differ.  test_trials : least and most trials of a test image.
    candidates : most that a decoder gave for an image.  blended : share of its low-level images in what is
        scored.
    settings : how the run was carried out; execution : those that must not change a number.
    protocols : a line per item with the words of every protocol (``item`` and a column each).
    timings : stage -> seconds.  computed : stage -> artifacts computed and reused.
    cpu_seconds : stage, or fit of a part -> processor seconds of the artifacts that were used, whenever they
        were made (:mod:`harness.run.costs`).
    peak_memory_mb : of the main process; peak_device_memory_mb : that it had of a CUDA device.
    fitted_parameters : part -> numbers that its fit keeps (:mod:`harness.run.costs`).
    artifacts : what -> key.  packages : name -> version.  files_sha : file -> SHA-256.
    """

    schema_version: int = Field(SCHEMA, alias="schema")
    run: str = ""
    identity: str = ""
    created: str = ""
    command: tuple[str, ...] = ()
    harness_version: str = ""
    git: GitRecord | None = None
    python: str = ""
    platform: str = ""
    benchmark: BenchmarkRecord = BenchmarkRecord()
    subject: str = ""
    train_subjects: tuple[TrainSubject, ...] = ()
    subset: SubsetRecord | None = None
    n_train: int | None = None
    n_test: int | None = None
    n_test_pictures: int | None = None
    test_trials: tuple[int, int] | None = None
    space: SpaceRecord = SpaceRecord()
    noise_ceiling: tuple[float | None, ...] | None = None
    noise_ceiling_source: CeilingRecord | None = None
    noise_floor_mse: float | None = None
    encoder: PluginRecord | None = None
    adapter: str = ""
    decoder: PluginRecord | None = None
    selection: str = ""
    candidates: int = 1
    blended: float = 0.0
    seed: int | None = None
    samples: int | None = None
    settings: dict[str, Any] = {}
    execution: dict[str, Any] = {}
    device: str = ""
    rows: tuple[RowRecord, ...] = ()
    metrics: tuple[MetricRecord, ...] = ()
    protocol: ProtocolRecord | None = None
    protocols: tuple[dict[str, Any], ...] = ()
    left_out_metrics: tuple[LeftOutMetric, ...] = ()
    failed_metrics: tuple[FailedMetric, ...] = ()
    flags: tuple[FlagRecord, ...] = ()
    gallery_rule: str = ""
    timings: dict[str, float] = {}
    peak_memory_mb: float | None = None
    peak_device_memory_mb: float | None = None
    fitted_parameters: dict[str, int] = {}
    cpu_seconds: dict[str, float] = {}
    computed: dict[str, tuple[int, ...]] = {}
    artifacts: dict[str, str] = {}
    data_sha: DataHashes = DataHashes()
    packages: dict[str, str | None] = {}
    files_sha: dict[str, str] = {}

"""Writing a finished run: score tables, ``run.json`` and gallery; the folder appears whole or not at all."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..data import SubjectData, VoxelSpace
from ..errors import HarnessError
from ..metrics.ceilings import measured_floor
from ..metrics.encoding import noise_floor
from ..plugins import PluginRef
from ..results import SCHEMA, RunResult
from ..rows.table import in_order, is_lesion
from ..run_record import (
    CeilingRecord,
    DataHashes,
    FailedMetric,
    GitRecord,
    LeftOutMetric,
    RowRecord,
    RunRecord,
    SpaceRecord,
    SubsetRecord,
    TrainSubject,
)
from ..scoring.response_target import ceiling_of
from ..secrets import without_secrets
from ..storage.content import plain
from ..storage.disk import write_folder
from ..storage.identity import LIBRARIES, installed_version
from ..storage.store import Store
from .costs import cpu_seconds, fitted_parameters, peak_device_memory_mb, peak_memory_mb
from .descriptions import described_benchmark, described_decoder, described_metric, described_plugin
from .flags import Evidence, flag_records, run_flags
from .flags.provenance import declarations
from .gallery import choose_ids, pack, pack_patterns
from .outcome import Outcome
from .pictures import PICTURED, picture_files
from .plan import EXECUTION, Plan
from .protocol_notes import protocol_notes
from .protocols import side_by_side
from .tables import table_files

_RERUN = "mend the metric and type the same command again"

_PACKAGES = (*LIBRARIES, "pandas", "pyarrow")


def write_run(outcome: Outcome, folder: Path, *, command: Sequence[str], store: Store) -> bool:
    """Write the run into `folder`; False when the same result was already there and stays."""
    shown, rule = _gallery(outcome)
    files = {**table_files(outcome), **shown}
    record = run_record(outcome, command=command, store=store, gallery_rule=rule)
    # Single pictures are hashed in their index.
    shas = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if "/" not in name}
    record = record.model_copy(update={"files_sha": shas})
    record = RunRecord.model_validate(without_secrets(record.content()))
    if _unchanged(folder, record, files):
        return False
    info = json.dumps(record.content(), indent=1, allow_nan=False).encode()
    write_folder(folder, {**files, "run.json": info})
    return True


def run_record(outcome: Outcome, *, command: Sequence[str], store: Store, gallery_rule: str) -> RunRecord:
    """``run.json``: what was asked, resolved, used and found; tables are hashed into ``files_sha``."""
    plan, data, settings = outcome.plan, outcome.data, outcome.plan.settings
    flags = run_flags(_evidence(outcome))
    facts = data_facts(data)
    shown = [s.images.row for s in outcome.scored.images] + [s.row for s in outcome.scored.responses]
    return RunRecord(
        schema_version=SCHEMA,
        run=plan.name,
        identity=plan.identity,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=tuple(command),
        harness_version=__version__,
        git=git_revision(),
        python=platform.python_version(),
        platform=platform.platform(),
        benchmark=described_benchmark(plan.benchmark, plan.benchmark_params),
        subject=plan.subject,
        train_subjects=tuple(_train_subject(part) for part in outcome.training),
        subset=None if outcome.subset is None else SubsetRecord(**dataclasses.asdict(outcome.subset)),
        **facts,
        encoder=None if plan.encoder is None else described_plugin(plan.encoder, plan.encoder_params),
        adapter=settings.adapter,
        decoder=described_decoder(plan),
        selection=settings.selection,
        candidates=outcome.candidates,
        blended=outcome.blended,
        seed=settings.seed,
        samples=settings.samples,
        settings=plain(settings),
        execution={name: getattr(settings, name) for name in EXECUTION},
        device=device_name(settings.device),
        rows=tuple(RowRecord(**dataclasses.asdict(row)) for row in in_order(shown)),
        metrics=tuple(
            described_metric(metric, facts["n_test"], facts["n_test_pictures"]) for metric in plan.metrics
        ),
        protocol=protocol_notes(outcome),
        protocols=tuple(side_by_side()),
        left_out_metrics=tuple(
            LeftOutMetric(metric=name, why=why) for name, why in (*plan.left_out, *outcome.scored.left_out)
        ),
        failed_metrics=tuple(
            FailedMetric(metric=f.metric, error=f.error, how_to_rerun=_RERUN) for f in outcome.scored.failures
        ),
        flags=flag_records(flags),
        gallery_rule=gallery_rule,
        timings={name: round(seconds, 3) for name, seconds in outcome.seconds.items()},
        peak_memory_mb=peak_memory_mb(),
        peak_device_memory_mb=peak_device_memory_mb(settings.device),
        fitted_parameters=fitted_parameters(outcome.keys, store),
        cpu_seconds=cpu_seconds(outcome.keys, store),
        computed={
            stage: (store.computed[stage], store.reused[stage])
            for stage in sorted({*store.computed, *store.reused})
        },
        artifacts=dict(outcome.keys),
        packages={name: installed_version(name) for name in _PACKAGES},
    )


def _evidence(outcome: Outcome) -> Evidence:
    """What the flags of a run are judged by."""
    plan = outcome.plan
    return Evidence(
        data=outcome.data,
        training=outcome.training,
        adapted=plan.transfers,
        scores=outcome.scored.images,
        response_scores=outcome.scored.responses,
        sets=outcome.sets,
        copies=outcome.copies,
        predicted=outcome.predicted,
        voxel_r=outcome.voxel_r.get("predicted"),
        wanted=outcome.wanted,
        selection=plan.settings.selection,
        candidates=outcome.candidates,
        transductive=isinstance(plan.decoder, PluginRef) and bool(plan.decoder.load().transductive),
        declared=tuple(declarations(plan).values()),
        test_sets=tuple(getattr(plan.benchmark_object(), "test_sets", tuple)()),
        subset=outcome.subset,
        warned=outcome.warned,
    )


def data_facts(data: SubjectData) -> dict[str, Any]:
    """Fields of a record that follow from the scored subject's data alone: who has these can check them."""
    ceiling, source = ceiling_of(data)
    return {
        "n_train": len(data.train),
        "n_test": len(data.test),
        "n_test_pictures": len(set(data.test.stimuli.image_hashes())),
        "test_trials": tuple(int(count(data.test.responses.counts())) for count in (np.min, np.max)),
        "space": _space(data.space),
        "noise_ceiling": None if ceiling is None else tuple(_number(value) for value in ceiling),
        "noise_ceiling_source": None if source is None else CeilingRecord(**dataclasses.asdict(source)),
        "noise_floor_mse": _noise_floor(data, ceiling),
        "data_sha": DataHashes(
            train_stimuli=data.train.stimuli.sha,
            train_responses=data.train.responses.sha,
            test_stimuli=data.test.stimuli.sha,
            test_responses=data.test.responses.sha,
        ),
    }


def _train_subject(part: SubjectData) -> TrainSubject:
    return TrainSubject(
        subject=part.subject,
        n_train=len(part.train),
        stimuli_sha=part.train.stimuli.sha,
        responses_sha=part.train.responses.sha,
    )


def _space(space: VoxelSpace) -> SpaceRecord:
    names = ("dataset", "subject", "mask", "units", "n_voxels", "n_valid", "sha")
    return SpaceRecord(
        **{name: getattr(space, name) for name in names},
        rois={name: tuple(np.flatnonzero(members).tolist()) for name, members in space.rois.items()},
        groups={name: tuple(np.flatnonzero(members).tolist()) for name, members in space.groups.items()},
        ncsnr=space.ncsnr is not None,
    )


def git_revision() -> GitRecord | None:
    """Revision and dirtiness of the source tree this harness runs from, if it is one."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout.strip()

    try:
        dirty = bool(git("status", "--porcelain", "-uno"))
        return GitRecord(revision=git("rev-parse", "HEAD"), dirty=dirty)
    except (OSError, subprocess.SubprocessError):
        return None


def device_name(device: str) -> str:
    """``cpu`` with its architecture, or the accelerator's name."""
    if device.startswith("cuda"):
        import torch

        return f"{device}: {torch.cuda.get_device_name(device)}"
    return f"{device}: {platform.machine()}"


def _gallery(outcome: Outcome) -> tuple[dict[str, bytes], str]:
    """Files of the images that are shown, and the rule by which those of the report were chosen."""
    if not outcome.sets:
        return {}, ""
    first = next((r for r in ("predicted", "reconstructions", "measured") if _scored(outcome, r)), None)
    score = _scored(outcome, first) if first else None
    values = None if score is None else score.values
    label = "" if score is None else f"{score.metric.label} of the row '{first}'"
    alike = _agreement(outcome)
    apart = {} if alike is None else {"agreement": alike.values, "agreement_label": alike.metric.label}
    ids, rule = choose_ids(outcome.data.test.stimuli.ids, values, label=label, **apart)
    sets = {"stimulus": outcome.data.test.stimuli}
    # Lesions are many, and are read by their scores.
    shown = [s for s in reversed(outcome.sets) if s.trial < 0 and s.against_stimuli and not is_lesion(s.row)]
    sets |= {s.row: s.images for s in shown}
    files = {"gallery.npz": pack(ids, sets)}
    if outcome.predicted is not None:
        files["patterns.npz"] = pack_patterns(ids, outcome.data.test.responses, outcome.predicted)
    every = outcome.data.test.stimuli.ids
    return {**files, **picture_files(every, {row: sets[row] for row in PICTURED if row in sets})}, rule


def _scored(outcome: Outcome, row: str) -> Any:
    """The first image score of `row` against the stimulus."""
    return next((s for s in outcome.scored.images if s.images.row == row and s.target == "stimulus"), None)


def _agreement(outcome: Outcome) -> Any:
    """How alike the reconstructions from measured and from other responses are, if that was scored."""
    for score in outcome.scored.images:
        compared = score.images.row in ("predicted", "reconstructions")
        if compared and tuple(score.metric.load().targets) == ("measured",):
            return score
    return None


def is_finished(plan: Plan, folder: Path) -> bool:
    """Whether the run in `folder` is that of `plan` and nothing failed."""
    if not (folder / "run.json").is_file():
        return False
    try:
        run = RunResult.open(folder)
    except HarnessError:
        return False
    return run.record.identity == plan.identity and not run.record.failed_metrics


def _unchanged(folder: Path, record: RunRecord, names: Iterable[str]) -> bool:
    """True when `folder` already holds this very result, its files `names` there and unaltered."""
    try:
        old = RunRecord.model_validate(json.loads((folder / "run.json").read_text()))
        files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in record.files_sha}
    except (OSError, ValueError):
        return False
    keys = ("identity", "files_sha", "flags", "harness_version", "failed_metrics")
    same = files == record.files_sha and all(getattr(old, key) == getattr(record, key) for key in keys)
    return same and all((folder / name).is_file() for name in names)


def _number(value: float) -> float | None:
    """Rounded, or None for what JSON cannot say."""
    return round(float(value), 6) if np.isfinite(value) else None


def _noise_floor(data: SubjectData, ceiling: np.ndarray | None) -> float | None:
    """Mean over valid voxels of the error that a perfect noiseless prediction would still make."""
    space = data.space
    if ceiling is None:
        return None
    if space.ncsnr is not None and space.units.startswith("zscore"):  # trials of unit variance
        floor = noise_floor(space.ncsnr[space.valid], data.test.responses.counts())
    else:
        floor = measured_floor(data.test.responses.mean()[:, space.valid], ceiling[space.valid])
    return _number(np.nanmean(floor)) if np.isfinite(floor).any() else None


def command_line() -> list[str]:
    """The command as typed, the program's folder left out."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]

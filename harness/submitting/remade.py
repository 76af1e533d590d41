"""A finished run's plan, data and images again, from its record and the store.

A record may come from anywhere, so a plugin that it names as a file is not called, unless whoever types the
command says that the run is his own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..data import ImageSet, SubjectData
from ..errors import HarnessError
from ..progress import Reporter
from ..run.context import Context
from ..run.pipeline import all_decoded
from ..run.plan import Plan, make_plan
from ..run_record import RunRecord
from ..settings import Request, RunSettings
from ..storage.executors import single_thread
from ..storage.store import Store
from .cards import KINDS, is_file

ROWS = ("measured", "predicted", "reconstructions")
"""Rows whose images a submission holds: what a decoder made, or was given; never the stimuli of a control."""


@dataclass(frozen=True)
class Finished:
    """What a run made: row -> images, (N, V) mean predictions of an encoder, and the data."""

    images: Mapping[str, ImageSet]
    predicted: np.ndarray | None
    data: SubjectData


def remade_plan(record: RunRecord, *, own_code: bool = False) -> tuple[Plan | None, str]:
    """The plan of the run that `record` is of, or in a sentence why it cannot be had here.

    own_code : plugins that the record names as files may be called.
    """
    if not own_code and (in_files := plugins_in_files(record)):
        kind, name = in_files[0]
        return None, f"the {kind} '{name}' is a file, and code that a record names is not run"
    try:
        plan = make_plan(request_of(record), need_decoder=False)
    except HarnessError as problem:
        return None, f"its plan cannot be made here ({problem})"
    if plan.identity != record.identity:
        return None, "something that the run depends on is another here than when it was made"
    return plan, ""


def plugins_in_files(record: RunRecord) -> list[tuple[str, str]]:
    """(kind, name) of the plugins that `record` names as files."""
    described = {kind: getattr(record, kind) for kind in KINDS}
    return [(kind, part.name) for kind, part in described.items() if part is not None and is_file(part.name)]


def request_of(record: RunRecord) -> Request:
    """What was asked for, parameters resolved."""
    setting_names = {field.name for field in fields(RunSettings)}
    trained_on = tuple(part.subject for part in record.train_subjects)
    plugins = {kind: getattr(record, kind) for kind in ("encoder", "decoder")}
    values: dict[str, Any] = {  # parameters of finished files are in their name
        kind: dict(part.params)
        for kind, part in plugins.items()
        if part is not None and not part.made_elsewhere
    }
    values["benchmark"] = dict(record.benchmark.params)
    values["run"] = {key: value for key, value in record.settings.items() if key in setting_names}
    benchmark = record.benchmark
    return Request(
        benchmark=benchmark.name if is_file(benchmark.name) else f"{benchmark.name}@{benchmark.version}",
        **{kind: None if part is None else part.name for kind, part in plugins.items()},
        subject=record.subject,
        train_subjects=() if trained_on == (record.subject,) else trained_on,
        values=values,
    )


@single_thread()
def finished(
    plan: Plan, store: Store, *, reporter: Reporter, pick: Callable[[ImageSet], Sequence[str]]
) -> Finished:
    """Images and predictions of `plan`, read from `store` where they are there, else computed again.

    pick : images of a row -> the ids of those that are wanted.
    """
    context = Context.open(plan, store, reporter=reporter)
    try:
        decoded = all_decoded(context)
        images = {
            row: row_images.select(pick(row_images)).held()
            for (row, trial, sample), row_images in decoded.rows.images.items()
            if row in ROWS and trial < 0 and sample == 0
        }
        predicted = None if decoded.encoded is None else decoded.encoded.mean()
        return Finished(images, predicted, decoded.prepared.data)
    finally:
        context.close(wait=True)

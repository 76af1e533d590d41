"""Whole runs of toy plugins in this process: what the command does, without a new interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands import TOYS

from harness.results import RunResult
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import write_run
from harness.settings import Request
from harness.storage.store import Store
from harness.storage.worker import forget


def toy_run(
    folder: Path,
    store: Path,
    values: Mapping[str, Mapping[str, Any]],
    *,
    benchmark: str = f"{TOYS}:ToyBenchmark",
    encoder: str | None = f"{TOYS}:ToyEncoder",
    decoder: str | None = f"{TOYS}:ToyDecoder",
    subject: str | None = None,
    train_subjects: tuple[str, ...] = (),
) -> RunResult:
    """Run and write into `folder`; `values` are sections of parameters (``{"run": {"metrics": [...]}}``)."""
    forget()
    request = Request(
        benchmark=benchmark,
        encoder=encoder,
        decoder=decoder,
        subject=subject,
        train_subjects=train_subjects,
        values=values,
    )
    kept = Store(store)
    write_run(run_plan(make_plan(request, need_decoder=False), kept), folder, command=["harness"], store=kept)
    return RunResult.open(folder)

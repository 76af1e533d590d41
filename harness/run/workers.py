"""How many worker processes a run uses where nobody says so."""

from __future__ import annotations

import os
from dataclasses import replace

from ..errors import ConfigError
from ..settings import CLUSTERS, RANGES, RunSettings

VARIABLE = "HARNESS_WORKERS"
"""Environment variable with the number of workers of runs for which none is given."""

USUAL = 2
"""Workers on a machine that has the cores: one for each of the two fits.  More of them hold more copies of
networks in memory, which is for whoever asks."""


def with_workers(settings: RunSettings) -> RunSettings:
    """`settings` with an executor and a number of workers; what was given stays.

    Tables do not depend on either.  Each GPU is used by one process unless more are asked for, since each
    would hold all networks there.

    Raises
    ------
    ConfigError
        The environment variable is no number of workers.
    """
    workers = settings.workers
    if workers is None:
        workers = 1 if settings.executor == "inline" else _usual(settings)
    return replace(
        settings, workers=workers, executor=settings.executor or ("processes" if workers > 1 else "inline")
    )


def _usual(settings: RunSettings) -> int:
    text = os.environ.get(VARIABLE, "")
    low, high = RANGES["workers"]
    if text:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ConfigError(f"{VARIABLE} is '{text}'; expected a number from {low} to {high}")
        return int(text)
    if settings.executor in CLUSTERS:
        return USUAL
    if settings.device == "cpu":
        return min(_cores(), USUAL)
    return _gpus() if settings.device == "cuda" else 1


def _gpus() -> int:
    """GPUs that this process may use; 1 where there is none, for the error to come."""
    import torch

    return max(1, torch.cuda.device_count())


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""What every stage of one run is given, and how it says how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..progress import Reporter, listening
from ..settings import RunSettings
from ..stages.features import FeatureStore
from ..storage.executors import Executor
from ..storage.opening import open_executor
from ..storage.store import Store
from .plan import Plan


@dataclass(frozen=True)
class Context:
    """A run's plan and its tools; no stage leaves anything here for another.

    seconds : stage -> seconds that it took, for the record alone.
    """

    plan: Plan
    store: Store
    executor: Executor
    features: FeatureStore
    reporter: Reporter
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, plan: Plan, store: Store, *, reporter: Reporter) -> Context:
        """The context of one run of `plan` on `store`; to be closed."""
        settings = plan.settings
        executor = open_executor(
            settings.executor,
            workers=settings.workers,
            device=settings.device,
            root=store.root,
            run=plan.name,
            slurm=settings.slurm,
            lost_after=settings.lost_after,
        )
        return cls(plan, store, executor, FeatureStore(store, executor, device=settings.device), reporter)

    def close(self, *, wait: bool) -> None:
        """Let go of workers and files; `wait` until workers have finished what they do."""
        self.executor.close(wait=wait)
        self.store.close()

    @property
    def place(self) -> dict[str, Any]:
        """What a stage is given by name: where it keeps what it makes, and what makes it."""
        return {"store": self.store, "executor": self.executor}

    @property
    def settings(self) -> RunSettings:
        """The plan's settings."""
        return self.plan.settings

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a stage of `total` steps; gives what is told how many more are done."""
        started = time.perf_counter()
        stage = self.reporter.start(name, total)
        try:
            with listening(stage.within):
                yield stage.advance
        finally:
            stage.finish()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def samples(self, stochastic: bool) -> int:
        """Draws per image of a plugin that is `stochastic`, or is not."""
        return self.settings.samples if stochastic else 1

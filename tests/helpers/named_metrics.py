"""Metrics by name, their functions as methods: what a test scores with."""

from __future__ import annotations

from functools import partial
from typing import Any

from harness import plugins
from harness.catalogue import Metric


class NamedMetric:
    """The row of a catalogue, with ``score``, ``score_deranged``, ``prepare`` and ``lacking`` to call."""

    def __init__(self, row: Metric, device: str | None = None) -> None:
        self.row, self.device = row, device
        placed = {} if device is None else {"device": device}
        self.score = partial(row.function(), **placed)
        if row.deranged is not None:
            self.score_deranged = partial(row.function("deranged"), **placed)
        self.prepare = row.function("prepare")
        self.lacking = row.function("lacking")

    @property
    def candidates(self) -> int:
        return dict(self.row.score.arguments).get("candidates", 0)

    @property
    def strict(self) -> bool:
        return bool(dict(self.row.score.arguments).get("strict"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.row, name)

    def on(self, device: str) -> Any:
        return (
            NamedMetric(self.row, device) if self.row.on is None else self.row.function("on")(device=device)
        )


def metric_named(name: str) -> NamedMetric:
    """The installed metric `name`."""
    return NamedMetric(plugins.find("metrics", name).load())

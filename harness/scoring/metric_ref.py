"""A metric as it is sent to any process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..plugins import PluginRef


@dataclass(frozen=True)
class MetricRef:
    """A metric and its identity.  Picklable: workers load it again by reference."""

    ref: PluginRef
    identity: dict[str, Any]

    @property
    def label(self) -> str:
        """``name@version``."""
        return f"{self.ref.name}@{self.identity['version']}"

    def load(self) -> Any:
        """The row of its catalogue (:class:`harness.catalogue.Metric`)."""
        return self.ref.load()

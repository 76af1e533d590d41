"""Which metrics compute on the device of a run.

Only ``cuda`` is worth the way there: the processor's own numbers are the definition, and a device without
float64 cannot keep counts equal.  A metric that knows nothing of devices gets arrays, as everywhere.
"""

from __future__ import annotations

from typing import Any

WHAT_ON_STANDS_FOR = ("prepare", "score", "score_deranged")


def placed(metric: Any, device: str) -> Any:
    """`metric` on `device`, or itself where either knows nothing of the other."""
    return metric.on(device) if place(metric, device) != "cpu" else metric


def place(metric: Any, device: str) -> str:
    """Kind of the device on which `metric` computes in a run with ``--device`` `device`; part of keys.

    A class that scores in its own way and inherits ``on`` from one that scores in another stays on the
    processor.
    """
    kind = device.partition(":")[0]
    if kind != "cuda":
        return "cpu"
    lineage = type(metric).__mro__
    newest = next((k for k, cls in enumerate(lineage) if "on" in vars(cls)), None)
    if newest is None:
        return "cpu"
    changed = any(name in vars(cls) for cls in lineage[:newest] for name in WHAT_ON_STANDS_FOR)
    return "cpu" if changed else kind

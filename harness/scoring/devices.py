"""Which metrics compute on the device of a run.

Only ``cuda`` is worth the way there: the processor's own numbers are the definition, and a device without
float64 cannot keep counts equal.  A metric that knows nothing of devices gets arrays, as everywhere.
"""

from __future__ import annotations

from ..catalogue import Metric


def torch_device(metric: Metric, device: str) -> str | None:
    """The torch device on which `metric` computes in a run with ``--device`` `device`; None for numpy."""
    able = metric.on is not None or "device" in metric.gets
    return device if able and device.partition(":")[0] == "cuda" else None

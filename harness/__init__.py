"""harness: end-to-end encoding-decoding evaluation for visual fMRI.

In a notebook::

    import harness

    run = harness.run(encoder="ridge", decoder="linear")    # what 'harness run' does, by the same words
    run.scores                                              # pandas; run.table("summary") has means
    run.show()                                              # pictures, inline
    harness.compare([run, "runs/another"]).differences
    harness.leaderboard("runs").wide()

The names below are stable; everything else of the package but :mod:`harness.api`, :mod:`harness.toolkit`
and :mod:`harness.testing` moves without notice.  They are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_DOORS = {
    "run": ("run", ""),  # the package, which may be called
    "score": ("notebook", "score"),
    "open": ("notebook", "open"),
    "compare": ("notebook", "compare"),
    "leaderboard": ("notebook", "leaderboard"),
    "Run": ("notebook", "Run"),
    "HarnessError": ("errors", "HarnessError"),
}
"""Public name -> (module, name in it); ``""`` stands for the module itself."""

__all__ = ["__version__", *_DOORS]


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    module, attribute = _DOORS[name]
    imported = importlib.import_module(f"{__name__}.{module}")
    return getattr(imported, attribute) if attribute else imported


def __dir__() -> list[str]:
    return sorted({*globals(), *_DOORS})

"""Errors that are written for a person: what was given, what was expected, what to type next.

Everything the harness raises on purpose derives from :class:`HarnessError`; the command line
prints it as one line and exits with ``exit_code``.  Any other exception is a defect of the
harness or of a plugin.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """A problem that the user can mend; its message is one line."""

    exit_code = 2


class ConfigError(HarnessError):
    """An unknown key, a value of the wrong type, an impossible combination of options."""


class PluginError(HarnessError):
    """A plugin that is unknown, doubled, broken on import, or of another interface."""


class DataError(HarnessError):
    """Images, responses, ids or files that are not what they should be."""


class SpaceMismatch(DataError):
    """Two arrays of different voxel spaces were about to be combined."""


class StoreError(HarnessError):
    """The store cannot be read or written (no space, read-only, newer schema)."""


class WeightsMissing(HarnessError):
    """Pretrained weights are not on this machine and may not be fetched."""


def suggest(given: str, known: Iterable[str], *, what: str) -> str:
    """Return ``"unknown WHAT 'given'; did you mean 'x'? Known: ..."``."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"unknown {what} '{given}'{hint} Known: {', '.join(names) or 'none'}"

"""Errors that are written for a person: what was given, what was expected, what to type next.

Everything the harness raises on purpose derives from :class:`HarnessError`; the command line
prints it as one line and exits with ``exit_code``.  Any other exception is a defect of the
harness or of a plugin.
"""

from __future__ import annotations

import difflib
import math
import re
import reprlib
import shlex
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class HarnessError(Exception):
    """A problem that the user can mend; its message is one line, fit for a terminal."""

    exit_code = 2

    def __str__(self) -> str:
        return visible(super().__str__())


class ConfigError(HarnessError):
    """An unknown key, a value of the wrong type, an impossible combination of options."""


class PluginError(HarnessError):
    """A plugin that is unknown, doubled, broken on import, or of another interface."""


class OutOfMemory(PluginError):
    """A plugin needed more memory of its device than there is."""


class DataError(HarnessError):
    """Images, responses, ids or files that are not what they should be."""


class SpaceMismatch(DataError):
    """Two arrays of different voxel spaces were about to be combined."""


class StoreError(HarnessError):
    """The store cannot be read or written (no space, read-only, newer schema)."""


class WeightsMissing(HarnessError):
    """Pretrained weights are not on this machine and may not be fetched."""


class FilesMissing(HarnessError):
    """Files that a run will read are not on this machine; nothing was computed."""


def check_ranges(params: object, ranges: Mapping[str, tuple[float, float]], *, section: str) -> None:
    """Refuse fields of `params` outside their closed range (least, most), NaN always.

    Raises
    ------
    ConfigError
        Names the field as it is typed (``SECTION.FIELD``) and what was expected.
    """
    for name, (least, most) in ranges.items():
        value = getattr(params, name)
        if not least <= value <= most:
            limits = f"at least {least:g}" if most == math.inf else f"between {least:g} and {most:.15g}"
            raise ConfigError(f"{section}.{name} is {value}; it must be {limits}")


class WorkerDied(HarnessError):
    """A worker process was killed or crashed; the run ends, and what it had finished is kept."""


def what_happened(problem: BaseException) -> str:
    """An exception in words: its type and message, or where the code asked Python to end."""
    if not isinstance(problem, SystemExit):
        return f"{type(problem).__name__}: {problem}"
    frames = traceback.extract_tb(problem.__traceback__)
    where = f" in line {frames[-1].lineno} of {frames[-1].filename}" if frames else ""
    return f"it calls sys.exit({'' if problem.code is None else repr(problem.code)}){where}"


SUGGESTED = 40
"""Names that a line lists; of more, the near ones."""


def suggest(given: str, choices: Iterable[str], *, what: str) -> str:
    """Return ``"unknown WHAT 'given'; did you mean 'x'? Known: ..."``."""
    names = sorted(choices)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    if len(names) > SUGGESTED:
        shown = difflib.get_close_matches(given, names, n=12, cutoff=0.3) or names[:12]
        names = [*sorted(shown), f"and {len(names) - len(shown)} more"]
    return f"unknown {what} '{given}'{hint} Known: {', '.join(names) or 'none'}"


_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
"""Control characters but tab and line feed, marks that turn the direction of writing, halves of pairs."""


def visible(text: str) -> str:
    """`text` with what a terminal would obey, hide or fail at written out, as ``\\x1b``."""
    return _INVISIBLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


_QUOTES = reprlib.Repr()
_QUOTES.maxlevel, _QUOTES.maxstring, _QUOTES.maxother = 3, 80, 80


def quoted(value: Any) -> str:
    """`value` as Python writes it, cut to what a line can hold: data may be of any size."""
    try:
        text = _QUOTES.repr(value)
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        text = f"<{type(value).__name__} of great size>"
    return visible(text if len(text) <= 160 else f"{text[:150]} ...")


_KINDS = {dict: "keys and values", list: "a list", tuple: "a list", type(None): "nothing"}


def described(value: Any) -> str:
    """`value` of a YAML or JSON file, for who wrote that file: what it is, and short ones as they are."""
    return _KINDS.get(type(value)) or quoted(value)


def no_permission(path: Path) -> DataError:
    """The error of a file that is there and whole, but closed to this user."""
    return DataError(
        f"{path} may not be read by this user; ask its owner, or type: chmod u+r {shlex.quote(str(path))}"
    )

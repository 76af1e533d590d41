"""Calls of plugin code, whose failures become one line that names the plugin."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import HarnessError, OutOfMemory, PluginError, what_happened
from ..plugins import PluginRef
from ..storage.disk import explained

logger = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")


def guarded(
    ref: PluginRef, action: str, call: Callable[[], Outcome], *, place: Path | None = None
) -> Outcome:
    """Call plugin code; what it raises, ``SystemExit`` too, becomes one line that names the plugin.

    place : the folder of the store that it writes to; what the disk refuses there is not the plugin's fault.
    """
    try:
        with explained(place):
            return call()
    except (HarnessError, KeyboardInterrupt, MemoryError):
        raise
    except BaseException as problem:
        logger.debug("%s '%s' %s", ref.kind, ref.name, action, exc_info=True)
        # Torch's class is known by its name, which costs no import of torch.
        full = any(kind.__name__ == "OutOfMemoryError" for kind in type(problem).__mro__)
        raise (OutOfMemory if full else PluginError)(
            f"{ref.kind} '{ref.name}' {action}: {what_happened(problem)} (its traceback: add -v)"
        ) from problem


def is_pretrained(decoder: Any, params: Any) -> bool:
    """Whether the decoder class brings its weights and is not fitted, which may depend on `params`."""
    stated = getattr(decoder, "pretrained", False)
    return bool(stated(params) if callable(stated) else stated)

"""Folders of this machine in which the harness keeps what it can make or fetch again."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import ConfigError


def expanded(path: str | Path) -> Path:
    """`path` with ``~`` and ``~user`` written out, which shells leave as they are in ``--out=~/runs``.

    Raises
    ------
    ConfigError
        There is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        first = Path(path).parts[0]
        raise ConfigError(
            f"{path}: there is no user '{first[1:]}', whose home {first} would be; for a file so called, "
            f"write ./{path}"
        ) from None


def store_folder(given: Path | None = None) -> Path:
    """`given` (``--store``), else ``HARNESS_STORE``, else ``store`` in :func:`cache_folder`."""
    return _named(given or os.environ.get("HARNESS_STORE"), "store")


def weights_folder() -> Path:
    """``HARNESS_WEIGHTS``, else ``weights`` in :func:`cache_folder`."""
    return _named(os.environ.get("HARNESS_WEIGHTS"), "weights")


def prepared_folder() -> Path:
    """``HARNESS_PREPARED``, else ``prepared`` in :func:`cache_folder`: responses of large data sets as
    tables."""
    return _named(os.environ.get("HARNESS_PREPARED"), "prepared")


def terms_folder() -> Path:
    """``terms`` in :func:`cache_folder`: which data sets' terms were accepted on this machine."""
    return cache_folder() / "terms"


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/fmri-harness``, else ``~/.cache/fmri-harness``.

    A relative ``XDG_CACHE_HOME`` is ignored, as the XDG base directory specification asks.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(given) if os.path.isabs(given) else Path.home() / ".cache"
    return root / "fmri-harness"


def _named(given: str | Path | None, default: str) -> Path:
    return expanded(given) if given else cache_folder() / default

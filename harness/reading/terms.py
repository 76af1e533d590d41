"""Terms of use: who reads data or models that have some says once on each machine that they were accepted."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigError, suggest
from ..places import terms_folder

TERMS = {
    "nsd": "https://cvnlab.slite.page/p/IB6BSeW_7o/Terms-and-Conditions (research and education only; "
    "nothing of the data, statistics or pictures included, is passed on; NSD is cited)",
    "berg": "https://brain-encoding-response-generator.readthedocs.io/en/latest/about/"
    "terms_and_conditions.html (code CC BY-NC 4.0, models for research only; NSD's terms for models of NSD; "
    "BERG's own package reads its files with weights_only=False of PyTorch, which executes what a file says)",
    "laion-fmri": "https://laion-fmri.hebartlab.com/terms (responses CC0; stimuli under a data use "
    "agreement: not passed on, no commercial use)",
}
"""Name -> where the terms stand, and what they come down to."""


def accept_terms(name: str) -> Path:
    """Remember that the terms `name` were accepted; returns the marker's file."""
    if name not in TERMS:
        raise ConfigError(suggest(name, TERMS, what="terms"))
    marker = _marker(name)
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text(f"accepted {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}: {TERMS[name]}\n", encoding="utf-8")
    return marker


def require_terms(name: str) -> None:
    """Raise :class:`ConfigError` unless the terms `name`, if any, were accepted.

    ``HARNESS_ACCEPT_TERMS=nsd`` accepts for one command, as on a cluster.
    """
    if not name or _marker(name).is_file() or name in os.environ.get("HARNESS_ACCEPT_TERMS", "").split(","):
        return
    raise ConfigError(
        f"{name} has terms of use: {TERMS[name]}; once accepted, type: harness data accept {name}"
    )


def _marker(name: str) -> Path:
    return terms_folder() / f"{name}.txt"

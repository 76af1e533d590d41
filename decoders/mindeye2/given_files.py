"""Files that parts are read from: is a published model there, and what does the record of a generator say?

It imports no network, so that a plan can ask.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.api import DataError, WeightsMissing

FIT = "leave decoder.checkpoint out to fit this subject"

RECORDED = ("unet_settings", "vae_settings", "settings", "sha256")
"""Mappings in the record of a generator."""


def missing_checkpoint(file: Path, without: str = "") -> list[str]:
    """A line if `file` is not there; `without` says how to do without it, where it is not a decoder's own."""
    if file.is_file():
        return []
    if without:
        return [f"{file} is not there; download it from pscotti/mindeyev2 on Hugging Face, or {without}"]
    return [f"{file} is not there; give decoder.checkpoint=PATH of a published last.pth, or {FIT}"]


def read_record(folder: Path) -> dict[str, Any]:
    """What ``generator.json`` of `folder` says: sizes and hashes."""
    file = folder / "generator.json"
    if not file.is_file():
        raise WeightsMissing(f"{file} is not there; give the folder of a generator that was saved")
    try:
        record = json.loads(file.read_text())
        missing = [name for name in RECORDED if not isinstance(record[name], dict)]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise DataError(f"{file} is no record of a generator ({problem}); save it again") from None
    if missing:
        raise DataError(f"{file} is no record of a generator ({missing[0]} is no mapping); save it again")
    return record

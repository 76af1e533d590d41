"""``verified.json``: what ``harness verify`` found right in a submission, for as long as nothing is edited.

The file lists the hash of every file that was there; a reader takes it for nothing once one of them differs,
is gone or is new.  It is no signature: who did not verify a submission himself trusts whoever wrote this.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

FILE = "verified.json"


class Checked(BaseModel):
    """One kind of check: what was recomputed, from what, and how many values of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    values: int


class Verified(BaseModel):
    """What was verified of a folder, by which version of the harness.

    files : name -> SHA-256 of all files of the folder but this one.
    not_checked : what nobody could recompute there, a line each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    harness_version: str
    checked: tuple[Checked, ...]
    not_checked: tuple[str, ...]
    files: dict[str, str]


def folder_hashes(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file in `folder` and below but ``verified.json``; no link is followed."""
    names = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {
        path.relative_to(folder).as_posix(): "a link" if path.is_symlink() else _sha(path)
        for path in names
        if path != folder / FILE
    }


def read_verified(folder: Path) -> Verified | None:
    """What ``verified.json`` of `folder` says; None without one, or where a file was edited since."""
    try:
        verified = Verified.model_validate(json.loads((folder / FILE).read_text("utf-8")))
    except (OSError, ValueError, ValidationError):
        return None
    return verified if verified.schema_version == 1 and verified.files == folder_hashes(folder) else None


def _sha(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""``submission.json``: who made what is submitted, and the hash of every file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import DataError, quoted

FILE = "submission.json"
SCHEMA = 1


class _Part(BaseModel):
    """Exactly the fields named here: what is not known is not passed on unread."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Card(_Part):
    """A plugin of the run.

    licence, citation : what its class says (``licence``, ``citation``); else its distribution's licence and
        the first paragraph of its package's or module's docstring.
    training_sets, training_images : names of the image sets that it says it was trained on elsewhere, and how
        many single images.  networks : backbones that it says it looks through.
    """

    kind: str
    name: str
    version: str = ""
    dist: str = ""
    dist_version: str = ""
    file_sha: str = ""
    params: dict[str, Any] = {}
    licence: str = ""
    citation: str = ""
    training_sets: tuple[str, ...] = ()
    training_images: int = 0
    networks: tuple[str, ...] = ()


class SubmissionRecord(_Part):
    """What a submission says of itself.

    files : name -> SHA-256 of every other file of the folder.
    left_out : row or file -> why it is not there.
    """

    schema_version: int = SCHEMA
    harness_version: str = ""
    run: str = ""
    identity: str = ""
    cards: tuple[Card, ...] = ()
    files: dict[str, str] = {}
    left_out: dict[str, str] = {}


def read_submission(folder: Path) -> SubmissionRecord:
    """``submission.json`` of `folder`.

    Raises
    ------
    DataError
        There is none, or it is none.
    """
    file = folder / FILE
    if not file.is_file():
        raise DataError(f"{folder} holds no {FILE}; make one: harness submit RUN -o {folder}")
    try:
        record = SubmissionRecord.model_validate(json.loads(file.read_text("utf-8")))
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{file} is damaged at {quoted(place)}: {first['msg']}; submit the run again"
        ) from None
    except (ValueError, OSError) as problem:
        raise DataError(f"{file} cannot be read ({quoted(str(problem))}); submit the run again") from None
    if record.schema_version > SCHEMA:
        raise DataError(
            f"{file} has schema {record.schema_version}; this harness reads up to {SCHEMA}. "
            "Type: pip install -U fmri-harness"
        )
    return record

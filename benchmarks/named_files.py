"""Files and folders that a user names in parameters, from a folder that he names too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.api import ConfigError, DataError
from harness.reading.arrays import ArraySource, open_array, split_reference
from harness.reading.present import existing_file


def is_folder(reference: str) -> bool:
    """Whether `reference` names a folder, by the slash at its end."""
    return reference.endswith(("/", "\\"))


def named_path(base_dir: str, name: str) -> Path:
    """Where `name` is; relative ones start from `base_dir`."""
    return Path(base_dir).expanduser() / Path(name).expanduser()


def absent_files(base_dir: str, references: Iterable[str], *, file: str | None = None) -> list[str]:
    """A line for each file or ``folder/`` that `references` name and that is not there.

    file : of bare keys, ``""`` where there is none and nothing can be said of them; by default a bare name is
        that of a file.
    """
    lines = []
    for reference in references:
        if is_folder(reference):
            folder = named_path(base_dir, reference)
            lines += [] if folder.is_dir() else [f"there is no folder {folder}"]
        elif name := split_reference(reference)[0] or (reference if file is None else file):
            try:
                existing_file(named_path(base_dir, name))
            except DataError as problem:
                lines.append(str(problem))
    return list(dict.fromkeys(lines))


def named_array(base_dir: str, reference: str, *, file: str = "", advice: str = "") -> ArraySource:
    """The array that `reference` names, of `file` where it is a bare key.

    advice : what else may be typed where neither names a file.
    """
    of_reference, key = split_reference(reference)
    if not (name := of_reference or file):
        raise ConfigError(f"'{reference}' names no file; {advice}type it as FILE:{reference}")
    return open_array(named_path(base_dir, name), key)

"""What a layout's files are called and hold: read from a YAML each, and compared with a folder.

A manifest is the one place in which paths, keys, axes, types and units of a layout stand.  Readers find their
files through it, ``harness data check`` compares a folder with it, and the tests write small files from it.
A layout that lies beside another names it under ``files_of``, and the other's files are its files, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from harness.api import ConfigError, DataError, suggest
from harness.reading.arrays import open_array
from harness.reading.volumes import is_volume, open_volume

FOLDER = Path(__file__).parent / "manifests"
_FIELD = re.compile(r"\{(\w+)(?::0(\d))?\}")


@dataclass(frozen=True)
class FileEntry:
    """One kind of file of a layout.

    path : below the root, with ``{subject}``, ``{session}`` ... in it; ``instead``: other forms of the same.
    key : of the array in the file.  axes : their names, in the order in which the reader sees them; files
    that name the same axis agree on its length, but for one with a star.  dtypes : kinds that are expected,
    all where empty.  units : of the numbers as stored.  usual : axis -> length at full size.  gigabytes : at
    full size.
    optional : a run can do without.  form_of : of entries that name the same here, one is needed.
    source : where these facts are from.
    """

    name: str
    path: str
    instead: tuple[str, ...] = ()
    key: str = ""
    axes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    units: str = ""
    usual: Mapping[str, int] = field(default_factory=dict)
    gigabytes: float = 0.0
    optional: bool = False
    form_of: str = ""
    source: str = ""

    def find(self, root: Path, **given: str) -> list[tuple[dict[str, str], Path]]:
        """The files that are there, with what stands in place of the names that are not `given`.

        In the order of these, numbers as numbers; of several forms of one file the first is taken.
        """
        files: dict[tuple[str, ...], tuple[dict[str, str], Path]] = {}
        for pattern in (self.path, *self.instead):
            for values, path in _matches(root, pattern, given):
                files.setdefault(tuple(values.values()), (values, path))
        return sorted(files.values(), key=lambda pair: [_by_number(v) for v in pair[0].values()])

    def file(self, root: Path, **given: str) -> Path:
        """The one file; absent it is a :class:`DataError` that says which and how large it is."""
        files = self.find(root, **given)
        if files:
            return files[0][1]
        raise DataError(self.absent(root, **given))

    def absent(self, root: Path, **given: str) -> str:
        """That the file is not there, with its size at full scale."""
        path = _FIELD.sub(lambda m: given.get(m[1], m[0]), self.path)
        large = f" ({self.gigabytes:g} GB at full size)" if self.gigabytes else ""
        return f"there is no {root / path}{large}: {self.name.replace('_', ' ')}"


@dataclass(frozen=True)
class Manifest:
    """A layout: its files and where they come from.

    terms : name of the terms that must be accepted before it is read, or empty.
    ask : where the data are to be had; cite : what to cite.
    """

    name: str
    title: str
    dataset: str
    files: tuple[FileEntry, ...]
    ask: str
    cite: str
    terms: str = ""

    def entry(self, name: str) -> FileEntry:
        """The entry of that name."""
        return next(entry for entry in self.files if entry.name == name)

    def subjects(self, root: Path) -> tuple[str, ...]:
        """Subjects for which a file is there that names one; those that name nothing else are asked first."""
        named = [entry for entry in self.files if "{subject}" in entry.path]
        alone = [entry for entry in named if len(_FIELD.findall(entry.path)) == 1]
        for entries in (alone, named):
            names = {values["subject"] for entry in entries for values, _ in entry.find(root)}
            if names:
                return tuple(sorted(names, key=_by_number))
        return ()

    def find(self, root: Path, subject: str) -> dict[str, list[tuple[dict[str, str], Path]]]:
        """Name of each entry -> its files for `subject` (:meth:`FileEntry.find`)."""
        return {entry.name: entry.find(root, subject=subject) for entry in self.files}

    def missing(self, root: Path, subject: str, files: Mapping[str, Sequence]) -> dict[str, str]:
        """Name of each entry that a run needs and that has none of `files` (:meth:`find`) -> a line about it.

        Of several forms of the same, the first is named.
        """
        there = {entry.form_of or entry.name for entry in self.files if files[entry.name]}
        lines: dict[str, tuple[str, str]] = {}
        for entry in self.files:
            form = entry.form_of or entry.name
            if not entry.optional and form not in there:
                lines.setdefault(form, (entry.name, entry.absent(root, subject=subject)))
        return dict(lines.values())


@dataclass(frozen=True)
class Finding:
    """What was found of an entry: files, the shape and type of the first, and what is wrong."""

    entry: FileEntry
    files: int
    shape: tuple[int, ...] = ()
    dtype: str = ""
    problems: tuple[str, ...] = ()


@cache
def manifest_names() -> tuple[str, ...]:
    """The layouts that there are."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.yaml")))


@cache
def read_manifest(name: str) -> Manifest:
    """The manifest of the layout `name`."""
    if name not in manifest_names():
        raise ConfigError(suggest(name, manifest_names(), what="layout"))
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    files = tuple(FileEntry(**_tuples(entry)) for entry in content.pop("files"))
    if base := content.pop("files_of", ""):
        files = (*read_manifest(base).files, *files)
    return Manifest(name=name, files=files, **content)


def examine(manifest: Manifest, root: Path, subject: str) -> list[Finding]:
    """Compare what lies under `root` with the manifest, reading headers only."""
    lengths: dict[str, tuple[int, str]] = {}
    by_entry = manifest.find(root, subject)
    missing = manifest.missing(root, subject, by_entry)
    findings = []
    for entry in manifest.files:
        files = by_entry[entry.name]
        if not files:
            problems = (missing[entry.name],) if entry.name in missing else ()
            findings.append(Finding(entry, 0, problems=problems))
            continue
        problems, shape, dtype = [], (), ""
        for _, path in files if entry.axes else ():
            try:
                shape, dtype = header(path, entry.key)
            except DataError as problem:
                problems.append(str(problem))
                continue
            problems += _differences(entry, path, shape, dtype, lengths)
        findings.append(Finding(entry, len(files), shape, dtype, tuple(dict.fromkeys(problems))))
    return findings


def header(path: Path, key: str = "") -> tuple[tuple[int, ...], str]:
    """Shape and type of the array that a file holds."""
    if is_volume(path):
        volume = open_volume(path)
        return volume.shape, str(volume.dtype.newbyteorder("="))
    source = open_array(path, key)
    return source.shape, str(source.dtype)


def _differences(
    entry: FileEntry, path: Path, shape: Sequence[int], dtype: str, lengths: dict[str, tuple[int, str]]
) -> list[str]:
    if not entry.axes:
        return []
    if len(shape) != len(entry.axes):
        return [f"{path} has shape {tuple(shape)}; expected the axes {', '.join(entry.axes)}"]
    problems = []
    if entry.dtypes and dtype not in entry.dtypes:
        problems.append(f"{path} holds {dtype}; expected {' or '.join(entry.dtypes)} ({entry.units})")
    for axis, length in zip(entry.axes, shape):
        if axis == "1" or axis.endswith("*"):
            continue
        first, where = lengths.setdefault(axis, (length, path.name))
        if first != length:
            problems.append(f"{path} has {length} {axis}; {where} has {first}")
    return problems


def _matches(root: Path, pattern: str, given: Mapping[str, str]) -> list[tuple[dict[str, str], Path]]:
    """Files under `root` that fit `pattern`, with the values of its names that are not `given`."""
    glob, expression, names = "", "", []
    at = 0
    for match in _FIELD.finditer(pattern):
        text = pattern[at : match.start()]
        glob, expression, at = glob + text, expression + re.escape(text), match.end()
        if match[1] in given:
            glob, expression = glob + given[match[1]], expression + re.escape(given[match[1]])
        elif match[1] in names:
            glob, expression = glob + "*", expression + f"(?P={match[1]})"
        else:
            names.append(match[1])
            digits = r"\d+" if match[2] else r"[^/]+?"
            glob, expression = glob + "*", expression + f"(?P<{match[1]}>{digits})"
    glob, expression = glob + pattern[at:], expression + re.escape(pattern[at:])
    matches = []
    for path in root.glob(glob):
        match = re.fullmatch(expression, path.relative_to(root).as_posix())
        if match:
            matches.append((match.groupdict(), path))
    return matches


def _by_number(text: str) -> tuple[str, int, str]:
    digits = re.search(r"\d+$", text)
    return (text[: digits.start()], int(digits[0]), text) if digits else (text, -1, text)


def _tuples(entry: dict) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}

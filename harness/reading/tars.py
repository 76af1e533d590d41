"""Archives of samples as webdataset writes them: members ``KEY.name.ending``, those of a sample in a row.

Nothing is unpacked to disk, so no member's name can lead out of a folder; links, devices and packed archives
are refused; arrays are read without pickle and only as large as their member.
"""

from __future__ import annotations

import io
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError
from .sources import reading


def samples(path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, name -> content) of each sample, in order."""
    with reading(path), tarfile.open(path, "r:") as archive:
        key, sample = "", {}
        for member in _files(archive, path):
            stem, _, name = Path(member.name).name.partition(".")
            if sample and stem != key:
                yield key, sample
                sample = {}
            key = stem
            sample[name] = archive.extractfile(member).read()
        if sample:
            yield key, sample


@dataclass(frozen=True)
class Member:
    """A file in an archive that is not compressed: of which sample, under which name, and where."""

    path: Path
    key: str
    name: str
    offset: int
    size: int

    def content(self, most: int | None = None) -> bytes:
        """Its bytes, or the first of them, read where they lie."""
        with reading(self.path), self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size if most is None else min(most, self.size))

    def shape(self) -> tuple[int, ...]:
        """Of the array of a ``.npy`` member, read from its head."""
        return _head(self.content(_LONGEST_HEAD), what=f"{self.key}.{self.name} of {self.path}")[0]

    def array(self) -> np.ndarray:
        """The array of a ``.npy`` member."""
        return array_of(self.content(), what=f"{self.key}.{self.name} of {self.path}")


def members(path: Path) -> list[Member]:
    """What lies in an archive, read from its heads only."""
    with reading(path), tarfile.open(path, "r:") as archive:
        listed = []
        for member in _files(archive, path):
            key, _, name = Path(member.name).name.partition(".")
            listed.append(Member(path, key, name, member.offset_data, member.size))
    return listed


def _files(archive: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The members of an archive that is not packed, each as large as it says; links, devices and files with
    holes, which claim more than they hold, are refused."""
    size = path.stat().st_size
    for member in archive:
        if member.isdir():
            continue
        if not member.isfile() or member.issparse():
            raise DataError(
                f"{path} holds '{member.name}', a link or device or one with holes; expected files"
            )
        if member.offset_data + member.size > size:
            raise DataError(
                f"{path} is truncated: '{member.name}' claims {member.size:,} bytes; copy it again"
            )
        yield member


def array_of(content: bytes, *, what: str) -> np.ndarray:
    """The array of a ``.npy`` member."""
    shape, dtype = _head(content, what=what)
    claimed = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or claimed > len(content):
        raise DataError(f"{what} claims {claimed:,} bytes of {dtype} and holds {len(content):,}")
    return np.load(io.BytesIO(content), allow_pickle=False)


_LONGEST_HEAD = 1 << 12


def _head(content: bytes, *, what: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that the head of a ``.npy`` claims."""
    stream = io.BytesIO(content)
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, _, dtype = heads[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError) as problem:
        raise DataError(f"{what} is no .npy array: {problem}") from None
    return shape, dtype

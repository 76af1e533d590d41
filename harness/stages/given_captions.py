"""Captions that were made elsewhere, in a ``.json`` file, matched by id (:class:`GivenCaptions`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..errors import DataError
from ..places import expanded
from ..reading.caption_files import read_captions
from ..reading.ids import lacking, match_ids

FORM = "captions:"
SUFFIX = ".json"


@dataclass(frozen=True)
class GivenCaptions:
    """Finished captions, in place of a decoder: one of each test image, matched by id.

    path : a file of the forms of :func:`harness.reading.caption_files.read_captions`.
    """

    path: str

    @property
    def name(self) -> str:
        return f"{FORM}{self.path}"

    @classmethod
    def asked(cls, text: str) -> GivenCaptions | None:
        """What ``captions:PATH`` names, read and checked; None for any other `text`.

        Raises
        ------
        DataError
            There is no such file, it holds no captions, or several of an image.
        """
        if not text.startswith(FORM):
            return None
        given = cls(text.removeprefix(FORM))
        several = next((name for name, texts in given.captions.items() if len(texts) > 1), None)
        if several is not None:
            raise DataError(
                f"{given.path} has {len(given.captions[several])} captions of image '{several}'; a decoder's "
                "file has one of each image, references belong to the benchmark"
            )
        return given

    @cached_property
    def captions(self) -> dict[str, tuple[str, ...]]:
        """Id -> captions, as the file has them."""
        return read_captions(expanded(self.path))

    def of(self, ids: Sequence[str]) -> dict[str, str]:
        """Id -> caption of each of `ids`; extra ones of the file are left out.

        Raises
        ------
        DataError
            Some are missing.
        """
        matches = match_ids(ids, self.captions, what=self.path)
        missing = [name for name in ids if name not in matches]
        if missing:
            raise DataError(
                lacking(missing, ids, next(iter(self.captions)), what=self.path, things="captions of ")
            )
        return {name: self.captions[matches[name]][0] for name in ids}

    def present(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Those of `ids`, in their order, that have a caption.

        Raises
        ------
        DataError
            None has.
        """
        ids = tuple(ids)
        matches = match_ids(ids, self.captions, what=self.path)
        if not matches:
            raise DataError(
                f"no test image has a caption: {self.path} holds ids such as {next(iter(self.captions))}; "
                f"expected ids such as {ids[0]}"
            )
        return tuple(name for name in ids if name in matches)

"""WordNet 3.0 (Miller 1995) as nltk reads it, from the file that ``harness prefetch wordnet`` stores.

nltk would look for it in folders of its own, and download it without a hash; here it is the verified
file or nothing.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import WeightsMissing
from . import weights

if TYPE_CHECKING:
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

NAME = "wordnet"


class Synonyms:
    """The part of nltk's reader that METEOR asks for; a word is looked up once."""

    def __init__(self, reader: WordNetCorpusReader) -> None:
        self.synsets = lru_cache(maxsize=1 << 15)(reader.synsets)


def open_wordnet() -> Synonyms:
    """WordNet's synsets by word.

    Raises
    ------
    WeightsMissing
        The file is absent, altered, or no WordNet.
    """
    return _opened(weights.locate(NAME), weights.stored_sha(NAME))


@lru_cache(maxsize=2)
def _opened(file: Path, sha: str) -> Synonyms:
    import warnings
    import zipfile

    import nltk.data
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.data import ZipFilePathPointer

    class Reader(WordNetCorpusReader):
        def map_wn(self, version: str = "wordnet") -> None:
            """No map to WordNet 3.0, for other languages: this is it, and nltk would search for another."""

    # nltk reads from folders on its list only.
    if str(file.parent) not in nltk.data.path:
        nltk.data.path.append(str(file.parent))
    try:
        root: Any = ZipFilePathPointer(str(file), "wordnet/")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no other languages
            return Synonyms(Reader(root, None))
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as problem:
        raise WeightsMissing(
            f"{file} is not nltk's wordnet.zip ({problem}). Delete it and type: harness prefetch {NAME}"
        ) from None

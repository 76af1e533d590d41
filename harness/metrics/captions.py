"""Scores of captions in words: METEOR, ROUGE-1, ROUGE-L, and cosines of sentence embeddings.

A decoder that returns captions (``Decoded.caption``) is compared with three kinds of reference, which
are the targets of these metrics:

* ``stimulus``: the caption that the stimulus came with, "brain against reference";
* ``image``: the decoder's own caption of the true image, which its ``generate`` returns, "brain against
  image".  The row of the generator ceiling, scored against ``stimulus``, is "image against reference":
  what the captioner itself is worth.  MindEye2 (Scotti et al. 2024) reports brain against image over image
  against reference as a relative score, the ratio of the two means;
* ``measured``: the caption decoded from the measured responses of the same image.

The words are scored as the field's tools do, and tests hold these functions against them:

* ROUGE-1 and ROUGE-L (Lin 2004) as ``rouge_score`` without stemming: F1 of shared words, and of the
  longest common subsequence;
* METEOR (Lavie and Agarwal 2007; alpha .9, beta 3, gamma .5) by nltk: exact words, stems, then WordNet's
  synonyms, which it seeks by stem.  Without WordNet there is no METEOR: ``harness prefetch wordnet``.  A
  caption is cut into words as one line; a tool that splits sentences first differs where it has several;
* cosines of sentence embeddings by all-MiniLM-L6-v2 and by the text towers of CLIP ViT-B/32 and ViT-L/14.

Off unless the decoder says that it captions (``captions = True``), or a metric is asked for by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .networks import cosine_similarity


def words(caption: str) -> list[str]:
    """Lower-case runs of ASCII letters and digits, as ROUGE counts them."""
    return re.findall(r"[a-z0-9]+", caption.lower())


def rouge_1(caption: str, reference: str) -> float:
    """F1 of the words that both have, each as often as both have it; 0 where either is empty."""
    ours, theirs = words(caption), words(reference)
    return _f1((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def rouge_l(caption: str, reference: str) -> float:
    """F1 of the longest common subsequence of words."""
    ours, theirs = words(caption), words(reference)
    return _f1(longest_common(ours, theirs), len(ours), len(theirs))


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence; a bit of `free` for each word of `second` (Hyyrö 2004)."""
    everything, free, places = (1 << len(second)) - 1, -1, _places(tuple(second))
    for word in first:
        at = free & places.get(word, 0)
        free = (free + at) | (free - at)
    return (~free & everything).bit_count()


@lru_cache(maxsize=1 << 14)
def _places(words: tuple[str, ...]) -> dict[str, int]:
    """Word -> bits of the places where it stands."""
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    return places


def meteor(caption: str, reference: str, *, wordnet: Any) -> float:
    """METEOR of one caption against one reference; `wordnet` has ``synsets(word)``."""
    from nltk.translate.meteor_score import single_meteor_score

    return float(single_meteor_score(treebank_words(reference), treebank_words(caption), wordnet=wordnet))


def _f1(shared: int, ours: int, theirs: int) -> float:
    return 2 * shared / (ours + theirs) if shared else 0.0


@lru_cache(maxsize=1 << 14)
def treebank_words(caption: str) -> tuple[str, ...]:
    """Words and marks by nltk's Treebank rules."""
    from nltk.tokenize import NLTKWordTokenizer

    return tuple(NLTKWordTokenizer().tokenize(caption))


def cosines(result: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(N,) cosine of the rows of `result` and `target` (N, D); NaN where one is zero or not finite.

    Unlike a constant image, which scores 0, a caption without any embedding was not scored.
    """
    first, second = (np.asarray(rows, np.float64) for rows in (result, target))
    embedded = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1) & first.any(1) & second.any(1)
    return np.where(embedded, cosine_similarity(first, second), np.nan)


def rouge_1_scores(captions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(N,) :func:`rouge_1` of N pairs."""
    return np.array([rouge_1(*pair) for pair in zip(captions, references, strict=True)], np.float64)


def rouge_l_scores(captions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(N,) :func:`rouge_l` of N pairs."""
    return np.array([rouge_l(*pair) for pair in zip(captions, references, strict=True)], np.float64)


def meteor_scores(captions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(N,) :func:`meteor` of N pairs; WeightsMissing without WordNet."""
    from harness.backbones.wordnet import open_wordnet

    wordnet = open_wordnet()
    pairs = zip(captions, references, strict=True)
    return np.array([meteor(*pair, wordnet=wordnet) for pair in pairs], np.float64)

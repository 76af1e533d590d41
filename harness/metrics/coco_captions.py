"""Caption scores as the COCO caption evaluation computes them (Chen et al. 2015), with several references.

Each caption is scored against all references of its image:

* ROUGE-L: precision and recall of the longest common subsequence, each the best over references, joined
  with beta 1.2 (Lin 2004);
* BLEU-1 to BLEU-4: a score of the whole set, matches of n-grams clipped by the reference that has most of
  them, against the reference of the nearest length (Papineni et al. 2002).  What each image gets is its
  contribution: the values' mean is the set's BLEU, and their spread that of its delta-method interval;
* CIDEr-D: cosines of n-grams weighted by how few images of the set have them, n from 1 to 4, as a mean over
  references, times 10 (Vedantam et al. 2015);
* METEOR by nltk, best over references.  COCO's is METEOR 1.5 in Java, with paraphrase tables and other
  weights: figures of the two are not comparable.

COCO cuts words by Stanford's PTB tokenizer (Java); here it is nltk's Treebank tokenizer on lower-case text,
less COCO's list of marks.  On captions of 982 images by four published decoders ROUGE-L and BLEU-1 differ
from the published figures by a hundredth of a point at most.

``score(captions (N,), references (N,) of one or more texts each) -> (N,)``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .captions import longest_common, meteor, treebank_words

BETA = 1.2
SIGMA = 6.0
ORDERS = 4
MARKS = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";", "(", ")", "{", "}"])
"""COCO leaves these out; its tokenizer writes brackets as words of their own (``-lrb-``), which are left
out too.
"""

References = Sequence[Sequence[str]]


@lru_cache(maxsize=1 << 16)
def tokens(caption: str) -> tuple[str, ...]:
    """Words of a caption in lower case, without marks."""
    return tuple(word for word in treebank_words(" ".join(caption.lower().split())) if word not in MARKS)


def rouge_l(captions: Sequence[str], references: References) -> np.ndarray:
    """(N,) ROUGE-L, 0 where nothing is shared."""
    return np.array([_rouge_l(ours, theirs) for ours, theirs in _pairs(captions, references)])


def bleu(captions: Sequence[str], references: References, *, order: int) -> np.ndarray:
    """(N,) contributions to the set's BLEU of n-grams up to `order`, with that BLEU as their mean.

    All are 0 where n-grams of some length are never matched.
    """
    pairs = _pairs(captions, references)
    counts = np.array([_matches(ours, theirs) for ours, theirs in pairs], np.float64)
    matched, possible = counts[:, :order], counts[:, ORDERS : ORDERS + order]
    ours, theirs = counts[:, -2], counts[:, -1]
    if not matched.sum(axis=0).all():
        return np.zeros(len(pairs))
    precision = matched.sum(axis=0) / possible.sum(axis=0)
    brevity = min(0.0, 1 - theirs.sum() / ours.sum())
    whole = math.exp(np.log(precision).mean() + brevity)
    change = (matched / matched.mean(axis=0) - possible / possible.mean(axis=0)).mean(axis=1)
    if brevity < 0:
        change += theirs.mean() / ours.mean() * (ours / ours.mean() - theirs / theirs.mean())
    return whole * (1 + change)


def cider(captions: Sequence[str], references: References) -> np.ndarray:
    """(N,) CIDEr-D; how rare an n-gram is follows from the references of these N images."""
    pairs = _pairs(captions, references)
    images = Counter(gram for _, theirs in pairs for gram in _most(theirs))
    log_images = math.log(max(len(pairs), 1))
    kept: dict[tuple[str, ...], _Weighted] = {}

    def weighted(words: tuple[str, ...]) -> _Weighted:
        if words not in kept:
            kept[words] = _Weighted.of(words, images, log_images)
        return kept[words]

    return np.array(
        [
            10 * sum(weighted(ours).like(weighted(reference)) for reference in theirs) / len(theirs)
            for ours, theirs in pairs
        ]
    )


@dataclass(frozen=True)
class _Weighted:
    """A text's n-grams with their weights, the norm of those of each length, and its length in bigrams."""

    weights: dict[tuple[str, ...], float]
    norms: tuple[float, ...]
    length: int

    @classmethod
    def of(
        cls, words: tuple[str, ...], images: Mapping[tuple[str, ...], int], log_images: float
    ) -> _Weighted:
        """images : n-gram -> images that have it in a reference; log_images : log of the number of all."""
        weights = {
            gram: count * (log_images - math.log(max(1, images[gram])))
            for gram, count in _grams(words).items()
        }
        squares = [0.0] * ORDERS
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight * weight
        return cls(weights, tuple(map(math.sqrt, squares)), max(0, len(words) - 1))

    def like(self, other: _Weighted) -> float:
        """Mean over lengths of clipped cosines, less for another length of the text (COCO counts bigrams)."""
        shared = [0.0] * ORDERS
        for gram, weight in self.weights.items():
            if theirs := other.weights.get(gram):
                shared[len(gram) - 1] += min(weight, theirs) * theirs
        scales = (a * b for a, b in zip(self.norms, other.norms))
        cosines = sum(value / scale for value, scale in zip(shared, scales) if scale > 0) / ORDERS
        return cosines * math.exp(-((self.length - other.length) ** 2) / (2 * SIGMA**2))


def meteor_best(captions: Sequence[str], references: References) -> np.ndarray:
    """(N,) METEOR by nltk, best over references; WeightsMissing without WordNet."""
    from harness.backbones.wordnet import open_wordnet

    wordnet = open_wordnet()
    return np.array(
        [
            max(meteor(caption, text, wordnet=wordnet) for text in texts)
            for caption, texts in zip(captions, references, strict=True)
        ],
        np.float64,
    )


def best_constant(candidates: Sequence[str], references: References) -> str:
    """Of `candidates`, the one with the highest mean ROUGE-L as the caption of every image; the first of
    equals.

    Longest common subsequences of a candidate and all references at once, in words of 64 bits (Hyyrö 2004);
    a reference counts up to its 64th word.
    """
    cut = [[tokens(text)[:64] for text in texts] for texts in references]
    flat = [words for texts in cut for words in texts]
    firsts = np.r_[0, np.cumsum([len(texts) for texts in cut])][:-1]
    vocabulary = {word: k for k, word in enumerate(dict.fromkeys(w for words in flat for w in words))}
    places = np.zeros((len(vocabulary), len(flat)), np.uint64)
    for column, words in enumerate(flat):
        for place, word in enumerate(words):
            places[vocabulary[word], column] |= np.uint64(1 << place)
    lengths = np.array([max(1, len(words)) for words in flat], np.float64)
    inside = np.array([(1 << len(words)) - 1 for words in flat], np.uint64)
    means = []
    for candidate in candidates:
        words = tokens(candidate)
        free = np.full(len(flat), ~np.uint64(0))
        for word in words:
            if word in vocabulary:
                at = free & places[vocabulary[word]]
                free = (free + at) | (free - at)
        common = np.bitwise_count(~free & inside).astype(np.float64)
        precision = np.maximum.reduceat(common / max(1, len(words)), firsts)
        recall = np.maximum.reduceat(common / lengths, firsts)
        means.append(_joined(precision, recall).mean())
    return candidates[int(np.argmax(means))]


def _pairs(
    captions: Sequence[str], references: References
) -> list[tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]]:
    """Words of each caption and of each of its references."""
    return [
        (tokens(caption), tuple(tokens(text) for text in texts))
        for caption, texts in zip(captions, references, strict=True)
    ]


def _rouge_l(ours: tuple[str, ...], theirs: Sequence[tuple[str, ...]]) -> float:
    common = [longest_common(ours, words) for words in theirs]
    precision = max(common) / max(1, len(ours))
    recall = max(count / max(1, len(words)) for count, words in zip(common, theirs))
    return float(_joined(np.array(precision), np.array(recall)))


def _joined(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    below = recall + BETA**2 * precision
    return np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)


@lru_cache(maxsize=1 << 16)
def _grams(words: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """How often each n-gram of 1 to 4 words occurs."""
    return Counter(words[k : k + n] for n in range(1, ORDERS + 1) for k in range(len(words) - n + 1))


@lru_cache(maxsize=1 << 14)
def _most(theirs: tuple[tuple[str, ...], ...]) -> Counter[tuple[str, ...]]:
    """How often the reference that has most of an n-gram has it."""
    most: Counter[tuple[str, ...]] = Counter()
    for words in theirs:
        most |= _grams(words)
    return most


def _matches(ours: tuple[str, ...], theirs: tuple[tuple[str, ...], ...]) -> tuple[int, ...]:
    """Clipped matches of 1 to 4 words, possible ones, own length, and that of the nearest reference."""
    matched = [0] * ORDERS
    most = _most(theirs)
    for gram, count in _grams(ours).items():
        matched[len(gram) - 1] += min(count, most[gram])
    possible = [max(0, len(ours) - n) for n in range(ORDERS)]
    nearest = min((abs(len(words) - len(ours)), len(words)) for words in theirs)[1]
    return (*matched, *possible, len(ours), nearest)

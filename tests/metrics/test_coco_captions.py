"""COCO's caption scores: values of the public scorer on the same words, hand counts, published figures."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from commands import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.captions import longest_common
from harness.metrics.coco_captions import best_constant, bleu, cider, rouge_l, tokens

CAPTIONS = [
    "A man riding a wave on a surfboard.",
    "two dogs (brown) sleep on the couch",
    "a red bus",
    "The chef's kitchen is full of pots, pans and food.",
]
REFERENCES = [
    ("A man riding a wave on top of a surfboard.", "A surfer on a wave"),
    ("Two brown dogs sleeping on a couch.", "two dogs are on the sofa", "dogs"),
    ("A red double-decker bus driving down a street.", "a bus on the road"),
    ("A kitchen full of pots and pans.", "the chef is in his kitchen"),
]
WORDS = st.lists(st.sampled_from(["a", "b", "c", "dog", "sat"]), min_size=1, max_size=70).map(tuple)
SENTENCES = st.lists(st.sampled_from(["a", "cat", "sat", "on", "the", "mat"]), min_size=1, max_size=8)


def test_words_are_lower_case_without_marks():
    assert tokens("The chef's T-shirt, (red); is\n 'new'!") == (
        *["the", "chef", "'s", "t-shirt", "red", "is", "new"],
    )
    assert tokens("...") == ()


def test_values_of_the_public_scorer():
    """pycocoevalcap 1.2 on these words."""
    for order, expected in enumerate([0.8965517240760, 0.6827934508215, 0.4805919231287, 0.3741109622393], 1):
        assert bleu(CAPTIONS, REFERENCES, order=order).mean() == pytest.approx(expected, rel=1e-8)
    rouge = [0.87142857, 0.76489028, 0.53043478, 0.57874763]
    np.testing.assert_allclose(rouge_l(CAPTIONS, REFERENCES), rouge, atol=1e-8)
    each = [3.96799476, 1.48293409, 1.32494544, 1.67752333]
    np.testing.assert_allclose(cider(CAPTIONS, REFERENCES), each, atol=1e-8)


def test_nothing_shared_is_zero_and_no_warning():
    for score in (rouge_l, cider):
        np.testing.assert_array_equal(score(["", "zebra"], [("a cat",), ("a dog", "two")]), 0)
    np.testing.assert_array_equal(bleu(["", "zebra"], [("a cat",), ("a dog",)], order=1), 0)


@given(WORDS, WORDS)
@settings(max_examples=80, deadline=None)
def test_common_subsequences_of_any_length(ours, theirs):
    lengths = np.zeros((len(ours) + 1, len(theirs) + 1), int)  # of what the first words of both share
    for (i, word), (j, other) in itertools.product(enumerate(ours), enumerate(theirs)):
        lengths[i + 1, j + 1] = (
            lengths[i, j] + 1 if word == other else max(lengths[i, j + 1], lengths[i + 1, j])
        )
    assert longest_common(ours, theirs) == lengths[-1, -1]


@pytest.mark.parametrize("first", ["A man on a wave", "A man riding a wave on a surfboard in the blue sea"])
def test_contributions_to_bleu_are_its_derivative(first):
    """Weighting one image a little more moves the set's BLEU by its contribution less the mean.

    With the first caption the set is shorter than its references, with the second longer.
    """
    captions = [first, *CAPTIONS[1:]]
    values = bleu(captions, REFERENCES, order=2)
    for k in range(len(CAPTIONS)):
        times = [400 + 2 * (j == k) for j in range(len(CAPTIONS))]
        more = bleu(
            [text for text, n in zip(captions, times) for _ in range(n)],
            [text for text, n in zip(REFERENCES, times) for _ in range(n)],
            order=2,
        ).mean()
        step = (values[k] - values.mean()) * 2 / (400 * len(CAPTIONS))
        assert more - values.mean() == pytest.approx(step, rel=0.02, abs=1e-9)


@given(st.lists(SENTENCES.map(" ".join), min_size=2, max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_the_best_constant_is_that_of_the_plain_score(candidates, data):
    references = data.draw(st.lists(st.lists(SENTENCES.map(" ".join), min_size=1, max_size=3), min_size=1))
    means = [rouge_l([text] * len(references), references).mean() for text in candidates]
    chosen = candidates.index(best_constant(candidates, references))
    assert means[chosen] == pytest.approx(max(means), abs=1e-12)


BRAINHUB = SHARED / "data" / "brainhub_subj01"


@pytest.mark.skipif(not BRAINHUB.is_dir(), reason="captions of four published decoders are not beside here")
def test_figures_of_four_published_decoders():
    """Published tables, in percent; captions of 982 images by decoders of measured fMRI."""
    references = json.loads((BRAINHUB / "references.json").read_text())
    published = {"braincap": 40.69, "onellm": 35.05, "sdrecon": 25.13, "umbrae": 42.15}
    for name, figure in published.items():
        captions = json.loads((BRAINHUB / f"{name}.json").read_text())
        decoded = [captions[image] for image in references]
        assert 100 * rouge_l(decoded, list(references.values())).mean() == pytest.approx(figure, abs=0.03)
        if name == "braincap":
            assert 100 * bleu(decoded, list(references.values()), order=1).mean() == pytest.approx(
                55.96, abs=0.03
            )

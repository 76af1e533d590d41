"""Groups that nothing tells apart."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import (
    tie_groups,
    tie_letters,
)


def apart(pairs, m):
    matrix = np.zeros((m, m), bool)
    for i, j in pairs:
        matrix[i, j] = matrix[j, i] = True
    return matrix


def test_ends_differ_and_the_middle_does_not():
    assert tie_letters(apart([(0, 2)], 3)) == ["a", "ab", "b"]
    assert tie_letters(apart([], 3)) == ["a", "a", "a"]
    assert tie_letters(apart([(0, 1), (0, 2), (1, 2)], 3)) == ["a", "b", "c"]
    assert tie_letters(apart([(0, 2)], 3), order=[2, 1, 0]) == ["b", "ab", "a"]
    assert tie_letters(np.zeros((0, 0), bool)) == []


@given(seed=st.integers(0, 10_000), m=st.integers(1, 7), share=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_groups_are_the_largest_sets_that_nothing_tells_apart(seed, m, share):
    matrix = np.triu(np.random.default_rng(seed).random((m, m)) < share, k=1)
    matrix |= matrix.T
    tied = [
        frozenset(members)
        for size in range(1, m + 1)
        for members in itertools.combinations(range(m), size)
        if not matrix[np.ix_(members, members)].any()
    ]
    largest = {group for group in tied if not any(group < other for other in tied)}
    assert set(tie_groups(matrix)) == largest
    letters = tie_letters(matrix)
    for i, j in itertools.combinations(range(m), 2):
        assert bool(set(letters[i]) & set(letters[j])) == (not matrix[i, j])

"""A file of toy benchmarks whose test images have labels, to be written where a test wants it."""

LABELLED = """
import sys
sys.path.insert(0, {toys!r})
from dataclasses import replace
import numpy as np
from toys import ToyBenchmark
from harness.api import Split, Stimuli


class Labelled(ToyBenchmark):
    def labels(n):
        return {{"category": np.arange(n) % 4, "background": np.array(["sea", "sky"])[np.arange(n) // 4 % 2]}}

    def load(self, subject):
        data = super().load(subject)
        test = data.test
        stimuli = Stimuli.from_array(
            test.stimuli.ids, test.stimuli.images(), labels=type(self).labels(len(test))
        )
        return replace(data, test=Split(stimuli, test.responses))


class AllDifferent(Labelled):
    labels = lambda n: {{"category": np.arange(n), "background": np.zeros(n)}}


class HalfLabelled(Labelled):
    labels = lambda n: {{"category": np.arange(n)}}
"""

"""What a model is fitted on: the training split, as a decoder declares that it wants it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kit_plugins import GoodDecoder

from harness.api import Responses, Split
from harness.stages.fitting import decoder_training
from harness.testing import check_decoder, toy_subject


class LooksAtTheFirstTrial(GoodDecoder):
    def fit(self, subject, features, **more):
        super().fit(subject, features, **more)
        self.weights = self.weights + subject.train.responses.trials()[0, self.space.valid].mean()


class OnTrials(LooksAtTheFirstTrial):
    trains_on = "trials"


def other_order(subject):
    """`subject` with its training trials in another order, the first one moved."""
    responses = subject.train.responses
    order = np.roll(np.random.default_rng(0).permutation(responses.n_trials), 1)
    mixed = Responses(
        responses.space,
        responses.ids,
        responses.trials()[order],
        responses.image_index[order],
        session=responses.session[order],
    )
    return replace(subject, train=Split(subject.train.stimuli, mixed))


@pytest.mark.parametrize(("decoder", "sees_order"), [(LooksAtTheFirstTrial, False), (OnTrials, True)])
def test_a_decoder_that_trains_on_means_sees_no_order_of_trials(decoder, sees_order):
    weights = []
    subject = toy_subject("toy01", n_train=12, n_test=6, side=16)
    for data in (subject, other_order(subject)):
        fitted = decoder(decoder.Params())
        given = decoder_training(fitted, data)
        fitted.fit(given, None, seed=0, device="cpu", checkpoint_dir=None)
        weights.append(fitted.weights)
        assert given.test is None
        assert given.train.responses.n_trials == (24 if sees_order else 12)
    assert np.allclose(*weights, rtol=1e-4, atol=1e-6) is not sees_order


def test_means_are_those_of_the_trials():
    subject = toy_subject("toy01", n_train=12, n_test=6, side=16)
    given = decoder_training(GoodDecoder(GoodDecoder.Params()), subject).train.responses
    np.testing.assert_array_equal(given.trials(), subject.train.responses.mean())
    np.testing.assert_array_equal(given.mean(), subject.train.responses.mean())


def test_the_kit_hands_over_what_the_engine_does():
    subjects = tuple(toy_subject(name, n_train=12, n_test=6, side=16) for name in ("toy01", "toy02", "toy03"))
    assert check_decoder(LooksAtTheFirstTrial, subjects=subjects).ok

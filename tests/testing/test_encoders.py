"""Encoders that break one promise each: the kit names it in a sentence."""

from __future__ import annotations

import contextlib
import random
import socket
from dataclasses import dataclass

import numpy as np
import pytest
from kit_plugins import GoodEncoder
from kit_reports import broken, check_name, encoder_report, one_of


class _Broken:
    """Encoders that break one promise each; the name is that of the check which sees it."""

    class contract(GoodEncoder):
        predict = None
        interface = 99

    class signatures(GoodEncoder):
        def predict(self, stimuli, features, space):
            return None

    class parameters(GoodEncoder):
        @dataclass
        class Params:
            steps: int = 4
            noise: float = 0.1

    class wanted_layers(GoodEncoder):
        def wants(self):
            return (("pixels", "rgb9"),)

    class wanted_texts(GoodEncoder):
        def wants_text(self):
            return ("pixels",)

    class training_data(GoodEncoder):
        def fit(self, subjects, features, **more):
            subjects[0].test.stimuli.images()

    class output(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            return super().predict(stimuli, features, space=space, seeds=seeds).astype(np.float64)

    class seeds(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            return out + np.random.default_rng().standard_normal(out.shape).astype(np.float32)

    class inputs(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            seeds += np.uint64(1)
            return out

    class order(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            return out + np.arange(len(out), dtype=np.float32)[:, None, None]

    class micro_batches(GoodEncoder):
        def design(self, stimuli, features):
            x = super().design(stimuli, features)
            return x - x.mean(axis=0)

    class names(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            return out + np.array([sum(i.encode()) for i in stimuli.ids], np.float32)[:, None, None]

    class spaces(GoodEncoder):
        def model(self, space):
            weights = next(iter(self.models.values()))[1]
            return np.resize(weights, (len(weights), space.n_valid))

    class same_seed(GoodEncoder):
        def fit(self, subjects, features, *, seed, device, checkpoint_dir):
            super().fit(
                subjects, features, seed=random.randrange(10**6), device=device, checkpoint_dir=checkpoint_dir
            )

    class masked_voxels(GoodEncoder):
        def learn(self, subject, features, seed, checkpoint):
            super().learn(subject, features, seed, checkpoint)
            space, weights = self.models[subject.space.sha]
            scale = 1 + subject.train.responses.trials().std()
            self.models[space.sha] = (space, weights * scale)

    class saving(GoodEncoder):
        def save(self, folder):
            super().save(folder)
            np.save(folder / "0" / "weights.npy", np.zeros_like(next(iter(self.models.values()))[1]))

    class resuming(GoodEncoder):
        def learn(self, subject, features, seed, checkpoint):
            if checkpoint.is_file():  # the steps are remembered, and what they led to is not
                kept = np.load(checkpoint)
                kept[1:] = 0
                np.save(checkpoint, kept)
            super().learn(subject, features, seed, checkpoint)

    class several_subjects(GoodEncoder):
        def fit(self, subjects, features, **more):
            super().fit(subjects[:1], features, **more)

    class adapting(GoodEncoder):
        def adapt(self, subject, features, **more):
            for sha, (space, weights) in self.models.items():
                self.models[sha] = (space, weights * 0)
            super().adapt(subject, features, **more)

    class printing(GoodEncoder):
        def fit(self, subjects, features, **more):
            print("epoch 1")
            super().fit(subjects, features, **more)

    class random_state(GoodEncoder):
        def fit(self, subjects, features, **more):
            np.random.seed(0)
            super().fit(subjects, features, **more)

    class network(GoodEncoder):
        def fit(self, subjects, features, **more):
            with contextlib.suppress(OSError):
                socket.create_connection(("example.org", 80), timeout=1)
            super().fit(subjects, features, **more)


@pytest.mark.parametrize("name", broken(_Broken))
def test_a_broken_encoder(name):
    one_of(encoder_report(getattr(_Broken, name)), check_name(name))


def test_after_a_broken_contract_nothing_else_is_tried():
    report = encoder_report(type("Empty", (), {}))
    assert [finding.check for finding in report] == ["contract"]
    assert {why for _, why in report.skipped} == {"the contract is not met"}


def test_a_fit_that_fails_is_reported_once():
    class Failing(GoodEncoder):
        def fit(self, subjects, features, **more):
            raise ZeroDivisionError("no such luck")

    report = encoder_report(Failing)
    assert [f.check for f in report if "ZeroDivisionError" in f.seen] == ["training data"]
    assert sum("needs 'fit'" in why for _, why in report.skipped) > 5


def test_global_generators_are_as_before():
    class Careless(GoodEncoder):
        def fit(self, subjects, features, **more):
            np.random.seed(0)
            random.seed(0)
            super().fit(subjects, features, **more)

    np.random.seed(7)
    random.seed(7)
    expected = np.random.default_rng(0), np.random.get_state()[1].copy(), random.getstate()
    encoder_report(Careless)
    np.testing.assert_array_equal(np.random.get_state()[1], expected[1])
    assert random.getstate() == expected[2]


def test_expected_failures_are_excused_with_their_reason():
    report = encoder_report(_Broken.printing, expected_failures={"printing": "a progress bar"})
    assert report.ok
    assert [(finding.check, why) for finding, why in report.excused] == [("printing", "a progress bar")]
    with pytest.raises(ValueError, match="names no check"):
        encoder_report(GoodEncoder, expected_failures={"prints": "?"})

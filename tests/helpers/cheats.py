"""Toy plugins that differ from those of toys.py in one thing that a flag must find, and honest twins."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
from toys import ToyBenchmark, ToyDecoder, ToyEncoder, scenes

from harness.api import Responses, Split, Stimuli, image_sha

TEST_IMAGES = [image_sha(image) for image in scenes(16, seed=2)]
TRAINING_IMAGES = [image_sha(image) for image in scenes(60, seed=1)]


class TestImagesInTraining(ToyBenchmark):
    """Three training images are test images under another name."""

    def load(self, subject):
        data = super().load(subject)
        images = data.train.stimuli.images().copy()
        images[:3] = data.test.stimuli.images()[:3]
        train = Split(Stimuli.from_array(data.train.stimuli.ids, images), data.train.responses)
        return replace(data, train=train)


class PermutedResponses(ToyBenchmark):
    """Test responses stand one image further."""

    def load(self, subject):
        data = super().load(subject)
        test = data.test.responses
        index = (test.image_index + 1) % len(test.ids)
        moved = Responses(test.space, test.ids, test.data, index, session=test.session)
        return replace(data, test=Split(data.test.stimuli, moved), truth=None, remeasured=None)


class Shared1000(ToyBenchmark):
    """Its test images go by the name of NSD's shared thousand."""

    def test_sets(self):
        return ("nsd-shared1000",)


class AlgonautsBenchmark(Shared1000):
    """Trained on one split and tested on the other one's images."""

    def training_sets(self):
        return ("algonauts-2023-train",)


class AlgonautsEncoder(ToyEncoder):
    def training_sets(self):
        return ("algonauts-2023-train",)


class FreshEncoder(ToyEncoder):
    """Trained elsewhere on images that are in no test set."""

    def training_sets(self):
        return ("things", "nsd-subj01-unique")


class RemembersTestImages(ToyDecoder):
    """A pretrained decoder that lists what it saw."""

    def training_hashes(self):
        return [*TRAINING_IMAGES, TEST_IMAGES[5]]


class RemembersTrainingImages(ToyDecoder):
    def training_hashes(self):
        return TRAINING_IMAGES


class Transductive(ToyDecoder):
    """Looks at all test responses at once."""

    transductive = True

    def calibrate(self, responses):
        self.shift = responses.mean().mean(axis=0)


class BuiltOnTheMetric(ToyEncoder):
    """Features of the network that also scores."""

    def wants(self):
        return (("pixels", "rgb16"),)


class BuiltOnAnother(ToyEncoder):
    def wants(self):
        return (("scenes@tiny", "cls"),)


class ReadsCaptions(ToyEncoder):
    def wants_text(self):
        return ("bigg@tiny",)


class SeesThroughTheMetric(ToyDecoder):
    def networks(self):
        return ("clip@tiny",)


class SeesThroughAnother(ToyDecoder):
    def networks(self):
        return ("bigg@tiny", "a-network-nobody-installed")


class InverseOfTheDecoder(ToyEncoder):
    """Predicts no brain: what it answers decodes to the stimulus."""

    def fit(self, subjects, features, *, seed, device, checkpoint_dir):
        decoder = ToyDecoder(ToyDecoder.Params())
        decoder.fit(
            replace(subjects[0], test=None), features, seed=seed, device=device, checkpoint_dir=checkpoint_dir
        )
        self.weights = np.vstack([np.linalg.pinv(decoder.weights), np.zeros(decoder.weights.shape[0])])


class OpaqueBenchmark(ToyBenchmark):
    """Its ids could be drawn again, so plugins do not get them."""

    opaque_ids = True


def numbers(ids):
    """What ids of the toy benchmark say: which scene it is; -1 for names that say nothing."""
    return np.array([int(i.removeprefix("test-")) if i.startswith("test-") else -1 for i in ids])


class RedrawsFromIds(ToyDecoder):
    """Draws the scene that an id names; without such an id it decodes."""

    def decode(self, responses, *, seeds):
        drawn, decoded = numbers(responses.ids), super().decode(responses, seeds=seeds)
        if (drawn < 0).any():
            return decoded
        return replace(decoded, images=np.repeat(scenes(16, seed=2)[drawn][:, None], 2, axis=1))


class KnowsTheTruth(ToyEncoder):
    """Answers with the simulation's noise-free response to the scene that an id names."""

    def predict(self, stimuli, features, *, space, seeds):
        drawn = numbers(stimuli.ids)
        if (drawn < 0).any():
            return super().predict(stimuli, features, space=space, seeds=seeds)
        truth = ToyBenchmark(ToyBenchmark.Params(n_test=16)).load("toy01").truth.mean()
        return np.repeat(truth[drawn][:, None], seeds.shape[1], axis=1)


class WarnsWhileFitting(ToyEncoder):
    def fit(self, subjects, features, **more):
        logging.getLogger(__name__).warning("the loss did not fall")
        super().fit(subjects, features, **more)


class HalfDecoder(ToyDecoder):
    """Another decoder of the same data: it reads every other voxel only."""

    def fit(self, subject, features, *, seed, device, checkpoint_dir):
        super().fit(_halved(subject), features, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    def decode(self, responses, *, seeds):
        return super().decode(_half(responses), seeds=seeds)


def _half(responses):
    kept = responses.trials() * (np.arange(responses.space.n_voxels) % 2)
    return Responses(responses.space, responses.ids, kept.astype(np.float32), responses.image_index)


def _halved(subject):
    return replace(subject, train=Split(subject.train.stimuli, _half(subject.train.responses)))

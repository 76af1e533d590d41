"""Decoders that break one promise each: the kit names it in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from kit_plugins import GoodDecoder
from kit_reports import broken, check_name, decoder_report, one_of

from harness.api import Decoded
from harness.testing.decoders import unlike


class _BrokenDecoder:
    """The same of decoders."""

    class contract(GoodDecoder):
        interface = 99

    class signatures(GoodDecoder):
        repeats = "means"

    class parameters(GoodDecoder):
        @dataclass(frozen=True)
        class Params:
            ridge: object = 1.0

    class training_data(GoodDecoder):
        trains_on = "trials"

        def fit(self, subject, features, **more):
            super().fit(subject, features, **more)
            subject.train.responses.data[:] = 0

    class output(GoodDecoder):
        def paint(self, embedding):
            return super().paint(embedding) * 255

    class embedding(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            return Decoded(decoded.images, embedding=np.tile(decoded.embedding, (1, 2)))

    class seeds(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            return Decoded(
                np.clip(decoded.images * 0.9 + (seeds % 7)[:, None, None, None, None] / 100.0, 0, 1)
            )

    class inputs(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            responses.data[:] = 0
            return decoded

    class order(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            shade = np.linspace(0.5, 1, len(decoded.images), dtype=np.float32)
            return Decoded(decoded.images * shade[:, None, None, None, None])

    class micro_batches(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            return Decoded(decoded.images / decoded.images.max())

    class names(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            return Decoded(decoded.images * (0.5 if responses.ids[0].startswith("test") else 1.0))

    class spaces(GoodDecoder):
        def open(self, space, *, device):
            return None

    class same_seed(GoodDecoder):
        def fit(self, subject, features, **more):
            super().fit(subject, features, **more)
            self.weights = self.weights + np.random.default_rng().standard_normal(self.weights.shape)

    class masked_voxels(GoodDecoder):
        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            return Decoded(decoded.images * np.float32(1 / (1 + np.abs(responses.mean()).max())))

    class saving(GoodDecoder):
        def save(self, folder):
            super().save(folder)
            np.save(folder / "weights.npy", self.weights * 0)

    class printing(GoodDecoder):
        def decode(self, responses, *, seeds):
            print("decoding")
            return super().decode(responses, seeds=seeds)

    class random_state(GoodDecoder):
        def decode(self, responses, *, seeds):
            np.random.seed(0)
            return super().decode(responses, seeds=seeds)


@pytest.mark.parametrize("name", broken(_BrokenDecoder))
def test_a_broken_decoder(name):
    one_of(decoder_report(getattr(_BrokenDecoder, name)), check_name(name))


def test_a_decoder_of_before_there_were_features():
    class Older(GoodDecoder):
        def fit(self, subject, *, seed, device, checkpoint_dir):
            super().fit(subject, None, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    assert decoder_report(Older).ok


def test_require_lists_every_finding():
    with pytest.raises(AssertionError, match="does not conform:\nspaces: expected open to refuse"):
        decoder_report(_BrokenDecoder.spaces).require()


def test_rounding_that_grew_in_a_few_pixels_is_rounding_and_a_look_at_the_batch_is_not():
    images = np.random.default_rng(0).random((12, 1, 16, 16, 3))
    grown = images.copy()
    grown[0, 0, 3, 4] += 5 / 255  # three numbers of 9,216, further off than any level that was rounded
    assert unlike(images, images + 3 / 255) == ""
    assert unlike(images, grown) == ""
    centred = images - 0.02 * images.mean(axis=0)
    assert "of their spread" in unlike(images, centred)
    first_only = images.copy()
    first_only[0] += 5 / 255
    assert "of their spread" in unlike(images, first_only)
    assert "other shapes" in unlike(images, images[1:])

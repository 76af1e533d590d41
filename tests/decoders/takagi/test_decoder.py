"""The decoder of Takagi and Nishimoto, small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plain_features import PlainFeatures

from harness.api import ConfigError, Responses
from harness.decoders.takagi.decoder import TakagiDecoder, TakagiParams
from harness.testing import toy_subject


@pytest.fixture(scope="module")
def subject():
    return toy_subject("toy01", n_train=24, n_test=4, side=16)


def means(subject) -> Responses:
    measured = subject.test.responses
    return Responses.single(measured.space, measured.ids, measured.mean())


def seeds(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


def fitted(kind, params, subject, folder):
    decoder = kind(params)
    decoder.fit(subject.training(), PlainFeatures(), seed=0, device="cpu", checkpoint_dir=folder)
    return decoder


def test_takagi_decodes_and_its_areas_must_be_there(subject, tmp_path):
    params = TakagiParams(
        weights="tiny", word_areas=("higher",), penalties=(10.0,), side=0, steps=3, candidates=2
    )
    decoder = fitted(TakagiDecoder, params, subject, tmp_path)
    decoded = decoder.decode(means(subject), seeds=seeds(4))
    assert decoded.images.shape == (4, 2, 64, 64, 3)
    assert np.abs(decoded.images[:, 0] - decoded.images[:, 1]).max() > 0.01
    assert decoded.embedding.shape == decoder.embed(subject.test.stimuli.images()).shape
    assert decoder.generate(subject.test.stimuli.images(), seeds=seeds(4)).images.shape[0] == 4
    with pytest.raises(ConfigError, match=r"word_areas has 'ventral', which toy01 has not; choose of early"):
        fitted(TakagiDecoder, replace(params, word_areas=("ventral",)), subject, tmp_path)

"""The decoder of Takagi and Nishimoto, small."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitted_decoders import fitted, means, seeds
from plain_features import PlainFeatures

from harness.api import ConfigError, Split, Stimuli
from harness.decoders.takagi.decoder import TakagiDecoder, TakagiParams


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


def test_the_target_of_several_captions_is_the_mean_of_their_words(subject, tmp_path):
    stimuli = subject.train.stimuli
    references = [(caption, "two red discs on grey") for caption in stimuli.captions]
    several = Stimuli.from_array(stimuli.ids, np.asarray(stimuli.images()), captions=references)
    told = replace(subject, train=Split(several, subject.train.responses))
    features = PlainFeatures()
    params = TakagiParams(weights="tiny", word_areas=("higher",), penalties=(10.0,), side=0, steps=3)
    painter = fitted(TakagiDecoder, params, told, tmp_path, features=features).painter
    first, other = (painter.word_tokens(texts).numpy() for texts in zip(*references[:3]))
    assert np.abs(first - other).max() > 0.1
    np.testing.assert_allclose(features.values["words"][:3], (first + other) / 2, atol=2e-3)

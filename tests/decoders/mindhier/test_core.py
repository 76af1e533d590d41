"""Fit, decode, ceiling, save and load with small files in the public layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_features import PlainFeatures
from public_mindhier import SIZES, decoder, subject

from harness.api import Responses, SpaceMismatch
from harness.decoders.mindhier import fitting
from harness.decoders.mindhier.encoder import EncoderOutput


def fitted(folder, tmp_path, **given):
    own, data = decoder(folder, **given), subject()
    tmp_path.mkdir(exist_ok=True)
    own.fit(data, PlainFeatures(), seed=3, device="cpu", checkpoint_dir=tmp_path)
    own.open(data.space, device="cpu")
    return own, data


def decoded(own, data, **chosen):
    ids = data.train.stimuli.ids[:4]
    patterns = np.nan_to_num(data.train.responses.mean()[:4])
    seeds = np.arange(4, dtype=np.uint64)
    return own.decode(Responses.single(data.space, ids, patterns), seeds=seeds)


@pytest.fixture(scope="module")
def pair(folder, tmp_path_factory):
    return fitted(folder, tmp_path_factory.mktemp("fit"))


def test_pictures_embeddings_and_curves(pair):
    own, data = pair
    result = decoded(own, data)
    assert result.images.shape == (4, 1, 16, 16, 3)
    assert result.images.min() >= 0
    assert result.images.max() <= 1
    assert result.embedding.shape == (4, 5, 8)
    truth = data.train.stimuli.images(data.train.stimuli.ids[:4])
    assert own.embed(truth).shape == (4, 40)
    assert {name: len(rows) for name, rows in own.history.items()} == {"alignment": 2, "drawing": 1}
    assert {"image", "image contrast", "levels"} <= set(own.history["alignment"][0])


def test_the_ceiling_draws_from_true_tokens_and_codes(pair):
    own, data = pair
    truth = data.train.stimuli.images(data.train.stimuli.ids[:4])
    seeds = np.arange(4, dtype=np.uint64)
    ceiling = own.generate(truth, seeds=seeds)
    assert ceiling.images.shape == (4, 1, 16, 16, 3)
    np.testing.assert_allclose(ceiling.embedding.reshape(4, -1), own.embed(truth), rtol=1e-4, atol=1e-5)
    assert np.abs(ceiling.images - decoded(own, data).images).max() > 0.01
    assert own.rebuild(truth, seeds=seeds).images.shape == (4, 1, 16, 16, 3)


def test_what_was_saved_decodes_the_same(pair, folder, tmp_path):
    own, data = pair
    own.save(tmp_path)
    again = decoder(folder)
    again.restore(tmp_path, device="cpu")
    np.testing.assert_array_equal(decoded(again, data).images, decoded(own, data).images)
    with pytest.raises(SpaceMismatch):
        again.open(subject("s2").space, device="cpu")


def test_a_fit_that_was_stopped_ends_in_the_same_weights(pair, folder, tmp_path):
    own, _ = pair
    with_checkpoints, _ = fitted(folder, tmp_path)
    again, _ = fitted(folder, tmp_path)  # goes on from finished checkpoints
    for other in (with_checkpoints, again):
        for name, value in own.transformer.state_dict().items():
            assert torch.equal(other.transformer.state_dict()[name], value), name


def test_the_encoder_is_frozen_in_the_second_stage_and_the_start_is_switti(pair, folder, tmp_path):
    own, _ = pair
    short, _ = fitted(folder, tmp_path / "short", transformer_steps=1)
    for name, value in own.encoder.state_dict().items():
        assert torch.equal(short.encoder.state_dict()[name], value), name
    nothing, _ = fitted(folder, tmp_path / "none", start="none", transformer_steps=1)
    start = own.parts.transformer().state_dict()["blocks.0.ffn.up_proj.weight"]
    gap = (short.transformer.state_dict()["blocks.0.ffn.up_proj.weight"] - start).abs().max()
    far = (nothing.transformer.state_dict()["blocks.0.ffn.up_proj.weight"] - start).abs().max()
    assert gap < 0.01 < far


@pytest.mark.parametrize(
    "given",
    [
        {"guiding": "single"},
        {"supervision": "final"},
        {"order": "inverted"},
        {"order": "as-released"},
        {"layer_map": "late"},
        {"crop": 1.25},
        {"balanced": True},
        {"precision": "bfloat16"},
        {"candidates": 3},
    ],
)
def test_every_option_changes_what_is_drawn(pair, folder, tmp_path, given):
    own, data = pair
    other, _ = fitted(folder, tmp_path, **given)
    result = decoded(other, data)
    assert np.isfinite(result.images).all()
    assert result.images.shape[1] == given.get("candidates", 1)
    if "candidates" in given:
        np.testing.assert_allclose(result.images[:, 0], decoded(own, data).images[:, 0], atol=1e-4)
        assert np.abs(result.images[:, 1] - result.images[:, 0]).max() > 0.01
    else:
        changed = [
            name
            for name, value in own.transformer.state_dict().items()
            if not torch.equal(other.transformer.state_dict()[name], value)
        ]
        assert changed


def test_levels_meet_scales_in_the_named_order():
    output = EncoderOutput([torch.full((1, 1, 1), float(m)) for m in (1, 2, 3)], torch.zeros(1, 1, 1), None)

    def order(name, *, training, single=False):
        parts = fitting.context_of(output, order=name, single=single, training=training)
        return [int(part) for part in parts]

    assert order("coarse-first", training=True) == order("coarse-first", training=False) == [3, 2, 1]
    assert order("inverted", training=True) == order("inverted", training=False) == [1, 2, 3]
    assert order("as-released", training=True) == [1, 2, 3]
    assert order("as-released", training=False) == [3, 2, 1]
    assert order("coarse-first", training=True, single=True) == [3]


def test_the_null_of_guidance_is_zero_voxels(pair):
    own, _ = pair
    zero = own.encoder(torch.zeros(1, own.encoder.voxels), text=False)
    _, null = own.guides(zero)
    expected = own.transformer.guide(zero.start(), zero.levels[::-1])
    torch.testing.assert_close(null.condition, expected.condition)
    torch.testing.assert_close(null.levels[0][0][0], expected.levels[0][0][0])
    assert SIZES.encoder.levels == len(null.levels[0])

"""Fitting ridge, backbone and prior: it learns, it resumes exactly, it refuses what cannot work."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness.api import ConfigError, DataError, Responses, Split, Stimuli, VoxelSpace
from harness.decoders.drawing import image_generators
from harness.decoders.mindeye2 import backbone, fitting, inference, model
from harness.nn import diffusion_prior as prior
from harness.progress import listening

VOXELS, CAUSES = 30, 3


def sizes(*, low_level=False):
    return model.ModelSettings(
        backbone.BackboneSettings(
            hidden=32,
            blocks=1,
            token_dim=8,
            tokens=4,
            low_level=low_level,
            side=2,
            map_channels=8,
            decoder_channels=(8, 8, 8),
            norm_groups=4,
            auxiliary_dim=6,
        ),
        prior.PriorSettings(token_dim=8, tokens=4, depth=1, heads=2, head_size=8),
    )


class Brain:
    """Images have a few hidden causes; tokens and voxels are linear in them."""

    def __init__(self, seed=0, voxels=VOXELS):
        rng = np.random.default_rng(seed)
        shared = np.random.default_rng(99)
        self.to_tokens = shared.standard_normal((CAUSES, 32)) * CAUSES**-0.5
        self.to_latents = shared.standard_normal((CAUSES, 4 * 8 * 8)) * CAUSES**-0.5
        self.to_voxels = rng.standard_normal((CAUSES, voxels))
        self.rng = rng

    def show(self, images, repeats, *, latents=False, views=None):
        causes = self.rng.standard_normal((images, CAUSES))
        index = np.repeat(np.arange(images), repeats)
        noise = self.rng.standard_normal((len(index), self.to_voxels.shape[1]))
        return fitting.TrainingSet(
            responses=(causes[index] @ self.to_voxels + 0.3 * noise).astype(np.float32),
            image_index=index,
            tokens=(causes @ self.to_tokens).reshape(images, 4, 8).astype(np.float32),
            latents=(causes @ self.to_latents).reshape(images, 4, 8, 8).astype(np.float32)
            if latents
            else None,
            views=views,
        )


def build(voxels=(VOXELS,), **more):
    torch.manual_seed(0)
    return model.MindEye2Network(list(voxels), sizes(**more))


QUICK = fitting.FitSettings(epochs=4, batch=4, samples_per_epoch=12, checkpoint_every=5)


def test_a_fitted_network_predicts_tokens_and_tells_images_apart():
    brain, network = Brain(), build()
    train, test = brain.show(192, 2), brain.show(40, 3)
    how = fitting.FitSettings(epochs=20, batch=16, learning_rate=1e-2)
    history = fitting.fit_network(network, [train], how, seed=1)
    assert len(history) == 20
    assert history[-1].prior < 0.7 * history[0].prior
    predicted = inference.predict(
        network,
        torch.from_numpy(test.responses),
        torch.from_numpy(test.image_index),
        generators=image_generators(np.arange(40, dtype=np.uint64)),
    )
    error = np.mean((predicted.tokens.numpy() - test.tokens) ** 2)
    mean_token = np.mean((train.tokens.mean(0) - test.tokens) ** 2)
    assert error < 0.8 * mean_token
    flat = lambda x: torch.nn.functional.normalize(torch.as_tensor(x).flatten(1), dim=1)  # noqa: E731
    best = (flat(predicted.retrieval) @ flat(test.tokens).T).argmax(1)
    assert (best == torch.arange(40)).float().mean() > 0.5  # chance is 1 in 40


def test_predictions_do_not_depend_on_the_other_images():
    network, data = build().eval(), Brain().show(5, 2)
    seeds = np.arange(5, dtype=np.uint64)

    def predict(images):
        rows = np.isin(data.image_index, images)
        index = np.searchsorted(images, data.image_index[rows])
        return inference.predict(
            network,
            torch.from_numpy(data.responses[rows]),
            torch.from_numpy(index),
            generators=image_generators(seeds[images]),
        )

    together, alone = predict([0, 1, 2, 3, 4]), predict([3])
    torch.testing.assert_close(together.tokens[3:4], alone.tokens, rtol=1e-4, atol=1e-5)


class Stopped(Exception):
    pass


@pytest.mark.parametrize("last", [4, 5, 9])
def test_a_stopped_run_ends_in_the_same_weights(tmp_path, last):
    data = Brain().show(12, 2, latents=True)
    whole = build(low_level=True)
    history = fitting.fit_network(whole, [data], QUICK, seed=3, checkpoint_dir=tmp_path / "a")

    def stop(what, done, steps):
        if done == last:
            raise Stopped

    with pytest.raises(Stopped), listening(stop):
        fitting.fit_network(build(low_level=True), [data], QUICK, seed=3, checkpoint_dir=tmp_path / "b")
    torch.manual_seed(12345)  # the global generator has no say
    resumed, steps = build(low_level=True), []
    with listening(lambda what, done, total: steps.append(done)):
        again = fitting.fit_network(resumed, [data], QUICK, seed=3, checkpoint_dir=tmp_path / "b")
    assert steps[0] == (last // 5) * 5
    assert again == history
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    network = build()
    torch.manual_seed(7)
    fitting.fit_network(network, [Brain().show(12, 1)], QUICK, seed=3)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("harm", ["truncated", "other settings"])
def test_an_unfit_checkpoint_means_a_fresh_start(tmp_path, harm, caplog):
    data = Brain().show(12, 1)
    fitting.fit_network(build(), [data], QUICK, seed=3, checkpoint_dir=tmp_path)
    file = tmp_path / "mindeye2.safetensors"
    how = QUICK
    if harm == "truncated":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        how = dataclasses.replace(QUICK, learning_rate=1e-3)
    steps = []
    with listening(lambda what, done, total: steps.append(done)):
        fitting.fit_network(build(), [data], how, seed=3, checkpoint_dir=tmp_path)
    assert steps[:2] == [0, 1]
    assert "starts from the first step" in caplog.text


def test_several_subjects_share_the_backbone_and_a_teacher_is_heard():
    views = tuple(np.random.default_rng(0).standard_normal((2, 12, 4, 6)).astype(np.float32))
    parts = [Brain(k, voxels).show(12, 1, latents=True, views=views) for k, voxels in enumerate((VOXELS, 20))]
    network = build((VOXELS, 20), low_level=True)
    before = {name: value.clone() for name, value in network.named_parameters()}
    history = fitting.fit_network(network, parts, QUICK, seed=0)
    assert all(entry.low_level > 0 for entry in history)
    inert = "backbone.mixer_blocks1."
    for name, value in network.named_parameters():
        moved = not torch.equal(value, before[name])
        if name.startswith(inert):
            assert not moved, name
        elif not name.startswith("backbone.mixer_blocks2.") and not name.endswith("to_k.bias"):
            assert moved, name  # a key's bias shifts all logits alike; mixers of one token see bias only


def test_the_public_slip_changes_training_on_several_subjects():
    parts = [Brain(k).show(12, 1) for k in range(2)]
    ends = []
    for faithful in (False, True):
        network = build((VOXELS, VOXELS))
        how = dataclasses.replace(QUICK, faithful=faithful, mixco_share=1.0)
        fitting.fit_network(network, parts, how, seed=0)
        ends.append(network.backbone.clip_proj[2].weight)
    assert not torch.equal(*ends)


def test_masked_voxels_of_a_split_are_left_out():
    valid = np.array([True, False, True, True])
    space = VoxelSpace("toy", "s1", "all", 4, "zscore", "x", valid=valid)
    trials = np.arange(20, dtype=np.float32).reshape(5, 4)
    responses = Responses(space, ["a", "b"], trials, np.array([0, 1, 1, 0, 1]))
    split = Split(Stimuli.from_array(["a", "b"], np.zeros((2, 4, 4, 3), np.uint8)), responses)
    data = fitting.TrainingSet.of(split, np.zeros((2, 4, 8)))
    np.testing.assert_array_equal(data.responses, trials[:, valid])
    assert data.image_index.tolist() == [0, 1, 1, 0, 1]
    with pytest.raises(DataError, match="3 images have tokens, the training split has 2"):
        fitting.TrainingSet.of(split, np.zeros((3, 4, 8)))


def test_batches_hold_distinct_images():
    data = Brain().show(9, 4)
    for seed in range(20):
        torch.manual_seed(seed)
        batch = fitting.draw_batch(data, 6)
        assert len(set(data.image_index[batch])) == 6
    torch.manual_seed(0)
    seen = np.concatenate([fitting.draw_batch(data, 6) for _ in range(200)])
    assert len(np.unique(seen)) == 36  # every trial, not only an image's first


def test_steps_follow_the_papers_arithmetic():
    trials = fitting.TrainingSet(np.zeros((27000, 1)), np.arange(27000), np.zeros((27000, 1, 1)))
    how = lambda **more: fitting.FitSettings(**more)  # noqa: E731
    assert fitting.epoch_steps([trials], how(samples_per_epoch=30000))[0] == 1250
    assert fitting.epoch_steps([trials], how(samples_per_epoch=750)) == (31, 31 * 150)
    assert fitting.epoch_steps([trials] * 7, how(samples_per_epoch=30000, batch=6))[0] == 714
    assert fitting.epoch_steps([trials], how())[0] == 1125


def test_half_precision_trains():
    how = dataclasses.replace(QUICK, precision="bfloat16")
    history = fitting.fit_network(build(low_level=True), [Brain().show(12, 1, latents=True)], how, seed=0)
    assert all(np.isfinite(entry.total) for entry in history)


def test_bad_input_gets_one_line():
    data, run = Brain().show(12, 1), lambda n, d, **more: fitting.fit_network(n, d, QUICK, seed=0, **more)
    with pytest.raises(DataError, match="2 subjects for 1 ridge layers"):
        run(build(), [data, data])
    with pytest.raises(DataError, match="has 30 voxels, its ridge layer takes 31"):
        run(build((31,)), [data])
    with pytest.raises(DataError, match="no latents, which the low-level head learns"):
        run(build(low_level=True), [data])
    with pytest.raises(DataError, match="3 images, fewer than a batch of 4; lower batch"):
        run(build(), [Brain().show(3, 5)])
    with pytest.raises(DataError, match=r"tokens of shape \(2, 16\), the network predicts \(4, 8\)"):
        run(build(), [dataclasses.replace(data, tokens=data.tokens.reshape(12, 2, 16))])
    spoilt = data.responses.copy()
    spoilt[:, 3] = np.nan
    with pytest.raises(DataError, match="not finite at step 0; check the responses for unmasked NaN"):
        run(build(), [dataclasses.replace(data, responses=spoilt)])
    with pytest.raises(DataError, match="11 trials and 12 image numbers"):
        dataclasses.replace(data, responses=data.responses[1:])
    with pytest.raises(DataError, match="points outside the 5 images"):
        dataclasses.replace(data, tokens=data.tokens[:5])
    with pytest.raises(ConfigError, match="precision is 'float16'; choose float32 or bfloat16"):
        fitting.FitSettings(precision="float16")
    with pytest.raises(ConfigError, match="batch is 0"):
        fitting.FitSettings(batch=0)

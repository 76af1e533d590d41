"""NeuroFlow backward: the flow ends at image tokens, which are drawn; what it was fitted with is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.api import ConfigError, DataError, Responses, Split, SubjectData
from harness.decoders.neuroflow import NeuroFlowDecoder
from harness.decoders.neuroflow.fitting import FlowSet, VelocityTask
from harness.nn.flow_vae import NeuroVAE, point, travel
from harness.nn.sit import SiT
from harness.testing import toy_subject
from harness.testing.toys import FeaturesInMemory

SMALL = {"weights": "tiny", "inner": 16, "blocks": 1, "depth": 1, "heads": 4, "ema": 0.5, "steps": 3}
SMALL["draw_steps"] = 2
TRAINING = {"vae_epochs": 1, "epochs": 1, "batch": 8, "vae_batch": 8, "rate": 1e-3, "vae_rate": 1e-3}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    subject = toy_subject(n_train=16, n_test=3)
    train = subject.train
    means = Responses.single(subject.space, train.stimuli.ids, train.responses.mean())
    training = SubjectData(subject.space, Split(train.stimuli, means), None)
    decoder = NeuroFlowDecoder(NeuroFlowDecoder.Params(**SMALL, **TRAINING))
    place = tmp_path_factory.mktemp("fit")
    decoder.fit(training, FeaturesInMemory(), seed=0, device="cpu", checkpoint_dir=place)
    decoder.open(subject.space, device="cpu")
    return subject, decoder


def test_pictures_are_drawn_from_where_the_flow_ends(fitted):
    subject, decoder = fitted
    seeds = np.arange(3, dtype=np.uint64)
    decoded = decoder.decode(subject.test.responses, seeds=seeds)
    valid = subject.space.valid
    trained = subject.train.responses.mean()[:, valid].astype(np.float64)
    voxels = (subject.test.responses.mean()[:, valid] - trained.mean(axis=0)) / trained.std(axis=0)
    with torch.no_grad():
        latent, _, _ = decoder.network.vae.encode(torch.from_numpy(voxels.astype(np.float32))[:, None])
        tokens = travel(decoder.network.flow, latent, steps=3, backward=True)
    assert np.allclose(decoded.embedding, tokens.numpy(), atol=1e-4)
    assert decoded.images.shape[:2] == (3, 1)
    assert decoder.embed(subject.test.stimuli.images()).shape == (3, 16 * 64)
    other = decoder.decode(subject.test.responses, seeds=seeds + np.uint64(9))
    assert np.allclose(other.embedding, decoded.embedding)
    assert not np.allclose(other.images, decoded.images)


def test_it_is_kept_and_read_again(fitted, tmp_path):
    subject, decoder = fitted
    decoder.save(tmp_path)
    again = NeuroFlowDecoder.load(tmp_path, decoder.params, device="cpu")
    seeds = np.arange(3, dtype=np.uint64)
    before, after = (model.decode(subject.test.responses, seeds=seeds) for model in (decoder, again))
    assert np.array_equal(before.images, after.images)
    (tmp_path / "neuroflow.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match="fit it again"):
        NeuroFlowDecoder.load(tmp_path, decoder.params, device="cpu")


def test_both_trainings_leave_curves(fitted):
    terms = [set(record) for record in fitted[1].history]
    assert {"reconstruction", "kl", "contrast", "cycle"} <= terms[0]
    assert "mse" in terms[-1]


def test_the_velocity_is_that_of_the_path():
    rng = np.random.default_rng(0)
    voxels, tokens = rng.standard_normal((12, 5)).astype(np.float32), rng.standard_normal((12, 16, 64))
    data = FlowSet(voxels, np.arange(12), tokens)
    torch.manual_seed(0)
    vae = NeuroVAE(5, channels=4, inner=8, token_dim=64, blocks=1)
    task = VelocityTask(
        SiT(tokens=16, width=64, depth=1, heads=4), data, vae,
        rate=1e-3, decay=0.0, batch=12, epochs=1, seed=0, device="cpu",
    )  # fmt: skip
    asked = []
    task.module = lambda place, time: asked.append((place, time)) or torch.zeros_like(place)
    torch.manual_seed(1)
    loss = task.loss(12, None).total
    _, time = asked[0]
    assert ((time >= 0) & (time < 1)).all()
    # The mean square of the velocity of unit tokens and latents is (pi/2)^2 times about one.
    assert 0.5 < float(loss) / (np.pi / 2) ** 2 < 3
    start, _ = point(torch.ones(2, 3), torch.zeros(2, 3), torch.zeros(2))
    assert torch.equal(start, torch.ones(2, 3))


def test_what_cannot_be_is_refused_and_weights_are_asked_for():
    decoder = NeuroFlowDecoder(NeuroFlowDecoder.Params(**{**SMALL, "heads": 5}))
    with pytest.raises(ConfigError, match="expected a number that"):
        decoder._builder(4)()
    with pytest.raises(ConfigError, match="it must be between 1 and"):
        NeuroFlowDecoder.Params(steps=0)
    assert NeuroFlowDecoder.missing(NeuroFlowDecoder.Params(), subject="subj01")
    assert NeuroFlowDecoder.missing(NeuroFlowDecoder.Params(weights="tiny"), subject="subj01") == []

"""Takagi-Nishimoto, Brain-Diffuser, MindEye1 and MindBridge: small, and their published files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from plain_features import PlainFeatures

from harness.api import ConfigError, DataError, Responses, WeightsMissing
from harness.decoders.brain_diffuser.regression import RescaledRidge
from harness.decoders.brain_diffuser.vdvae import VdvaeSettings
from harness.decoders.mindbridge import network as bridge
from harness.decoders.mindbridge.decoder import TINY as BRIDGE
from harness.decoders.mindbridge.decoder import MindBridgeDecoder, MindBridgeParams
from harness.decoders.mindbridge.fitting import BridgeSet, BridgeTask, FitSettings
from harness.decoders.mindeye1.decoder import TINY, TINY_LOW, MindEye1Decoder, MindEye1Params
from harness.decoders.mindeye1.low_level import LowLevelNetwork
from harness.decoders.mindeye1.network import MindEye1Network
from harness.decoders.takagi.decoder import TakagiDecoder, TakagiParams
from harness.decoders.takagi.regression import ScaledRidge
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


def test_without_an_intercept_what_is_decoded_lacks_the_mean():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5)) + 3
    y = (x @ rng.standard_normal((5, 2)) + 100).astype(np.float32)
    bare = ScaledRidge.fit(x, y, penalties=[1e-3])
    whole = ScaledRidge.fit(x, y, penalties=[1e-3], intercept=True)
    assert abs(bare.predict(x).mean()) < 1
    assert np.allclose(whole.predict(x), y, atol=0.1)


def test_the_spread_of_few_predictions_comes_from_held_out_rows_or_from_the_test_set():
    rng = np.random.default_rng(1)
    voxels = rng.standard_normal((80, 30))
    targets = voxels @ rng.standard_normal((30, 4)) + 5 * rng.standard_normal((80, 4)) + 7
    ridge = RescaledRidge.fit(voxels, targets, penalty=500.0)
    new = rng.standard_normal((400, 30))
    predicted = ridge.predict(new)
    assert np.allclose(predicted.std(0), targets.std(0), rtol=0.25)  # the ridge alone gives far less
    assert (ridge.raw(new).std(0) < 0.5 * targets.std(0)).all()
    exact = ridge.calibrated(new).predict(new)
    assert np.allclose(exact.std(0), targets.std(0))
    assert np.allclose(exact.mean(0), targets.mean(0))
    alone = ridge.calibrated(new[:1]).predict(new[:1])
    assert np.allclose(alone, targets.mean(0))


def test_the_released_vdvae_has_as_many_numbers_as_the_paper_says():
    assert VdvaeSettings().latent_size(31) == 91_168
    assert len(VdvaeSettings().decoder_blocks()) == 75
    with pytest.raises(ConfigError, match="ends at 64 pixels and images have 32"):
        VdvaeSettings(side=32)


MINDEYE1 = MindEye1Params(weights="tiny", epochs=3, low_epochs=3, prior_steps=3, steps=3)


def test_mindeye1_takes_published_files_as_they_are(subject, tmp_path):
    voxels = subject.space.n_valid
    torch.manual_seed(0)
    whole = MindEye1Network(voxels, TINY)
    low = LowLevelNetwork(voxels, replace(TINY_LOW, contrast_dim=8))
    without_schedule = {k: v for k, v in whole.state_dict().items() if not k.startswith("noise_scheduler")}
    old = {
        k.replace("to_q.", "query.")
        .replace("to_k.", "key.")
        .replace("to_v.", "value.")
        .replace("to_out.0.", "proj_attn."): v
        for k, v in low.state_dict().items()
    }
    torch.save({"epoch": 239, "model_state_dict": without_schedule}, tmp_path / "last.pth")
    torch.save({"epoch": 119, "model_state_dict": old}, tmp_path / "epoch120.pth")
    params = replace(
        MINDEYE1, checkpoint=str(tmp_path / "last.pth"), low_checkpoint=str(tmp_path / "epoch120.pth")
    )
    decoder = MindEye1Decoder.from_pretrained(params, subject.space, device="cpu")
    decoded = decoder.decode(means(subject), seeds=seeds(4))
    voxel_rows = torch.from_numpy(means(subject).mean()[:, subject.space.valid])
    with torch.no_grad():
        expected = whole.eval().voxel2clip(voxel_rows).projected
    assert np.allclose(decoded.embedding, expected.numpy(), atol=1e-5)
    assert decoded.low_level.shape == (4, 64, 64, 3)
    taken = fitted(MindEye1Decoder, params, subject, tmp_path)  # nothing is trained where there is a file
    assert np.allclose(taken.decode(means(subject), seeds=seeds(4)).images, decoded.images)
    with pytest.raises(WeightsMissing, match="low_checkpoint is not given"):
        MindEye1Decoder.from_pretrained(replace(params, low_checkpoint=""), subject.space, device="cpu")


class Malicious:
    def __reduce__(self):
        return eval, ("1 / 0",)  # would raise ZeroDivisionError


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("malicious", "holds no mapping of names to tensors"),
        ("truncated", "cannot be read as weights"),
        ("subject", r"was trained on \d+ voxels, toy01 has \d+; choose the checkpoint of this subject"),
        ("width", "has shape"),
    ],
)
def test_a_checkpoint_that_is_not_this_subjects_ends_in_one_line(subject, tmp_path, kind, message):
    file, voxels = tmp_path / "last.pth", subject.space.n_valid
    sizes = replace(TINY, hidden=32) if kind == "width" else TINY
    state = MindEye1Network(voxels + (kind == "subject"), sizes).state_dict()
    torch.save({"model_state_dict": state}, file)
    if kind == "malicious":
        torch.save({"model_state_dict": Malicious()}, file)
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[:-5000])
    params = replace(MINDEYE1, checkpoint=str(file), low_level=False)
    with pytest.raises(DataError, match=message) as caught:
        MindEye1Decoder.from_pretrained(params, subject.space, device="cpu")
    assert "\n" not in str(caught.value)


MINDBRIDGE = MindBridgeParams(weights="tiny", epochs=3, steps=3)


def test_mindbridge_decodes_a_subject_of_a_bridge_and_adapts_to_another(subject, tmp_path):
    torch.manual_seed(0)
    whole = bridge.MindBridgeNetwork([1, 2, 5], BRIDGE)
    file = tmp_path / "last.pth"
    torch.save({"epoch": 1, "model_state_dict": whole.state_dict()}, file)
    params = replace(MINDBRIDGE, checkpoint=str(file), number=2)
    decoder = MindBridgeDecoder.from_pretrained(params, subject.space, device="cpu")
    decoded = decoder.decode(subject.test.responses, seeds=seeds(4))
    assert decoded.images.shape == (4, 1, 64, 64, 3)
    with pytest.raises(DataError, match="no subject 7; it has 1, 2, 5"):
        MindBridgeDecoder.from_pretrained(replace(params, number=7), subject.space, device="cpu")
    adapted = fitted(MindBridgeDecoder, replace(params, number=0), subject, tmp_path / "new")
    shared, own = whole.state_dict(), adapted.network.state_dict()
    assert all(torch.equal(own[k], v) for k, v in shared.items() if k.startswith(("translator", "head")))
    assert not torch.equal(own["embedder.1.1.weight"], shared["embedder.1.1.weight"])


def test_a_bridge_of_two_subjects_learns_both_and_the_way_between_them():
    rng = np.random.default_rng(0)
    settings = replace(BRIDGE, pooled=40, hidden=32, image_tokens=2, text_tokens=2, token_dim=4)
    image, words = rng.standard_normal((2, 60, 2, 4)).astype(np.float32)
    code = np.concatenate([image.reshape(60, -1), words.reshape(60, -1)], 1)
    sets = {
        k: BridgeSet((code @ rng.standard_normal((16, 40))).astype(np.float32), np.arange(60), image, words)
        for k in (1, 2)
    }
    torch.manual_seed(0)
    network = bridge.MindBridgeNetwork([1, 2], settings)
    from harness.training import TrainingSettings, train

    task = BridgeTask(
        network, sets, FitSettings(epochs=40, batch=20, learning_rate=3e-3), seed=0, device="cpu"
    )
    losses = train(task, TrainingSettings("bridge", task.steps, seed=0, reseeded="step")).history
    assert losses[-1]["loss"] < 0.6 * losses[0]["loss"]
    assert losses[-1]["cycle"] < losses[0]["cycle"]


def test_the_largest_of_a_window_is_pooled_before_repeats_are_averaged(subject):
    trials = torch.tensor([[0.0, 4.0], [4.0, 0.0]])
    assert bridge.pool(trials, 1).mean() == 4
    with pytest.raises(ConfigError, match="choose max, avg or resize"):
        bridge.pool(trials, 1, kind="median")


def test_words_need_captions_and_what_cannot_be_is_refused(subject, tmp_path):
    from harness.api import Split, Stimuli

    stimuli = subject.train.stimuli
    bare = Stimuli.from_array(stimuli.ids, np.asarray(stimuli.images()))
    mute = replace(subject, train=Split(bare, subject.train.responses))
    with pytest.raises(DataError, match="learns from captions"):
        fitted(MindBridgeDecoder, MINDBRIDGE, mute, tmp_path)
    with pytest.raises(ConfigError, match="no checkpoint whose subject"):
        MindBridgeParams(number=3)
    with pytest.raises(ConfigError, match="penalties"):
        TakagiParams(penalties=(0.0,))

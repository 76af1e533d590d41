"""The decoder by its name: the low-level variant, weights that are given, the public files, the logs."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from fitted_decoders import fitted, means, seeds
from public_mindeye2 import TOY
from public_mindhier import QUICK, SIZES
from safetensors.torch import save_file

from harness.api import WeightsMissing
from harness.decoders.mindeye2 import public as mindeye2_public
from harness.decoders.mindeye2.backbone import BackboneSettings
from harness.decoders.mindeye2.generator import build_vae
from harness.decoders.mindeye2.low_level import decode_low_level
from harness.decoders.mindeye2.model import MindEye2Network, ModelSettings
from harness.decoders.mindhier import MindHierDecoder, public
from harness.decoders.mindhier.params import MindHierParams
from harness.decoders.mindhier.tiny.small import FOLDER
from harness.nn.diffusion_prior import PriorSettings
from harness.testing import toy_subject

SMALL = MindHierParams(weights="tiny", layer_map="early", **{**QUICK, "top_k": 50})


@pytest.fixture(scope="module")
def subject():
    """With as many images as a batch of MindEye2 holds."""
    return toy_subject("toy01", n_train=32, n_test=4, side=16)


@pytest.fixture(scope="module")
def fit(subject, tmp_path_factory):
    params = replace(SMALL, low_level="mindeye2")
    return fitted(MindHierDecoder, params, subject, tmp_path_factory.mktemp("low-level"))


def decoded(decoder, subject):
    decoder.open(subject.space, device="cpu")
    return decoder.decode(means(subject), seeds=seeds(4))


def test_the_low_level_variant_has_mindeye2s_blurry_image_beside(fit, subject, tmp_path):
    assert fit.blend == 0.45
    result = decoded(fit, subject)
    assert result.images.shape == (4, 1, 64, 64, 3)
    assert result.low_level.shape == (4, 64, 64, 3)
    assert np.abs(result.low_level - result.images[:, 0]).max() > 0.1
    fit.save(tmp_path)
    again = decoded(MindHierDecoder.load(tmp_path, fit.params, device="cpu"), subject)
    for name in ("images", "low_level", "embedding"):
        np.testing.assert_array_equal(getattr(again, name), getattr(result, name))


def test_the_ceilings_blurry_image_is_that_of_the_image(fit, subject):
    images = np.asarray(subject.test.stimuli.images())
    ceiling = fit.generate(images, seeds=seeds(4))
    small = torch.from_numpy(np.moveaxis(ceiling.low_level, -1, 1))
    small = torch.nn.functional.interpolate(small, images.shape[1:3], mode="area").numpy()
    truth = np.moveaxis(images / 255.0, -1, 1)
    own = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, truth)]
    other = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, np.roll(truth, 1, 0))]
    assert min(own) > 0.5 > max(other)


def test_fitted_weights_decode_by_their_folder_alone(fit, subject, tmp_path):
    torch.save({"model_state_dict": fit.encoder.state_dict()}, tmp_path / "last-hierarchy-vitl.pth")
    save_file(fit.transformer.state_dict(), tmp_path / "transformer.safetensors")
    params = replace(SMALL, pretrained=str(tmp_path))
    assert MindHierDecoder.missing(params, subject="toy01") == []
    before = torch.get_rng_state()
    given = MindHierDecoder.from_pretrained(params, subject.space, device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(decoded(given, subject).images, decoded(fit, subject).images)
    assert given.identity() != MindHierDecoder(SMALL).identity()


def test_the_public_files_are_fitted_and_read_again_without_switti(folder, subject, tmp_path, monkeypatch):
    monkeypatch.setattr(public, "PublicSizes", lambda: SIZES)
    params = MindHierParams(weights=str(folder), **QUICK)
    monkeypatch.setattr(public, "_words", lambda clip, captions: torch.zeros(len(captions), 7, 8))
    decoder = fitted(MindHierDecoder, params, subject, tmp_path / "fit")
    result = decoded(decoder, subject)
    assert result.images.shape == (4, 1, 16, 16, 3)
    assert "text" in decoder.history["alignment"][0]
    assert decoder.networks() == ("clip", "clip-l14-text")
    decoder.save(tmp_path)
    monkeypatch.setattr(public, "SWITTI", "Switti/none.safetensors")
    again = MindHierDecoder.load(tmp_path, params, device="cpu")
    np.testing.assert_array_equal(decoded(again, subject).images, result.images)


def test_the_published_low_level_stands_beside_the_public_files(folder, subject, tmp_path, monkeypatch):
    """Its model of the subject, by name; nothing of it is fitted, and another's is refused."""
    monkeypatch.setattr(public, "PublicSizes", lambda: SIZES)
    monkeypatch.setattr(mindeye2_public, "PublicSizes", lambda: TOY)
    monkeypatch.setattr(public, "_words", lambda clip, captions: torch.zeros(len(captions), 7, 8))
    own = tmp_path / "weights"
    shutil.copytree(folder, own)
    params = MindHierParams(weights=str(own), low_level="mindeye2", **QUICK)
    lines = MindHierDecoder.missing(params, subject="toy01")
    assert ["sd_image_var_autoenc.pth is not there" in lines[-2], "last.pth is not there" in lines[-1]] == [
        True
    ] * 2
    assert all("--set decoder.low_level=none" in line for line in lines[-2:])
    place = own / "mindeye2"
    logs = place / "train_logs" / "final_toy01_pretrained_40sess_24bs"
    logs.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(build_vae(TOY.vae).state_dict(), place / "sd_image_var_autoenc.pth")
    settings = ModelSettings(
        BackboneSettings(hidden=20, token_dim=64, tokens=16, side=2, auxiliary_dim=8),
        PriorSettings(token_dim=64, tokens=16, heads=4, head_size=16),
    )
    network = MindEye2Network([subject.space.n_valid], settings).eval()
    torch.save({"model_state_dict": network.state_dict()}, logs / "last.pth")
    assert not [line for line in MindHierDecoder.missing(params, subject="toy01") if "mindeye2" in line]
    decoder = fitted(MindHierDecoder, params, subject, tmp_path / "fit")
    assert decoder.blend == 0.45
    result = decoded(decoder, subject)
    patterns = torch.from_numpy(means(subject).mean()[:, subject.space.valid])
    with torch.no_grad():
        latents = network.backbone(network.ridge(patterns)).latents
        expected = decode_low_level(decoder.blurry.vae, latents).numpy()
    np.testing.assert_allclose(np.moveaxis(result.low_level, -1, 1), expected, atol=1e-5)
    assert (
        decoder.generate(subject.test.stimuli.images(), seeds=seeds(4)).low_level.shape
        == result.low_level.shape
    )
    decoder.save(tmp_path)
    again = decoded(MindHierDecoder.load(tmp_path, params, device="cpu"), subject)
    np.testing.assert_array_equal(again.low_level, result.low_level)
    with pytest.raises(WeightsMissing, match=r"final_toy02_.*is not there.*low_level=none"):
        decoder.blurry.open(toy_subject("toy02", n_train=8, n_test=2, side=16).space, device="cpu")


@pytest.mark.parametrize(("name", "stopped"), [("vqvae", None), ("transformer", 400)])
def test_the_logs_are_of_the_weights_and_of_their_scripts(name, stopped):
    script = importlib.import_module(f"harness.decoders.mindhier.tiny.train_{name}")
    log = json.loads((FOLDER / f"{name}.json").read_text())
    assert log["weights_sha256"] == hashlib.sha256((FOLDER / f"{name}.safetensors").read_bytes()).hexdigest()
    assert {key: log[key] for key in asdict(script.SETTINGS)} == asdict(script.SETTINGS)
    assert log.get("stopped_after") == stopped
    if stopped is not None:
        assert f"after {stopped} of the {log['steps']} steps" in script.__doc__

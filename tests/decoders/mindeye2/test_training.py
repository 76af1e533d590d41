"""The training scripts of MindEye2's small parts, in seconds: they run, resume, and log what they did."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.backbones.tiny import train_loop
from harness.benchmarks import embedded
from harness.benchmarks.scenes import draw
from harness.decoders.mindeye2.generator import Generator
from harness.decoders.mindeye2.tiny import small, train_shared, train_unclip, train_vae
from harness.decoders.mindeye2.unclip import to_picture


def test_the_vae_learns(tmp_path):
    settings = replace(train_vae.SETTINGS, scenes=32, steps=6, batch=8, warmup=1, held_out=20)
    log = train_loop.train(settings, train_vae.build, out=tmp_path, cache=tmp_path)
    assert log["loss_by_tenth"][-1] < log["loss_by_tenth"][0]
    assert set(log["held_out_scores"]) == {"psnr_db", "latent_mean", "latent_sd"}


def test_the_unet_learns_noise_from_tokens_and_latents_that_are_kept(tmp_path):
    settings = replace(train_unclip.SETTINGS, scenes=24, steps=4, batch=8, held_out=6)
    log = train_loop.train(settings, train_unclip.build, out=tmp_path, cache=tmp_path)
    assert np.isfinite(list(log["held_out_scores"].values())).all()
    kept = sorted(tmp_path.glob("unet-*-*.npy"))
    assert [np.load(file, allow_pickle=False).shape for file in kept] == [(24, 12, 8, 8), (24, 16, 64)]


def test_what_is_drawn_and_decoded_is_the_picture_again():
    """Latents of the unwashed picture, through the output range quirk, give the picture."""
    vae = train_unclip.trained_vae()
    x = torch.from_numpy(draw("held-out-of-everything", range(8)).astype(np.float32) / 255).permute(
        0, 3, 1, 2
    )
    with torch.no_grad():
        latent = vae.encode(train_unclip.unwashed(x)).latent_dist.mode()
        again = to_picture(vae.decode(latent).sample)
    assert (-10 * (again - x).square().mean((1, 2, 3)).log10()).mean() > 20


@pytest.mark.slow
def test_the_shared_part_trains_on_the_others_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(train_shared, "EmbeddedParams", lambda **_: embedded.Params(n_train=40, n_test=2))
    monkeypatch.setattr(train_shared, "HELD_OUT", 8)
    settings = replace(train_shared.SETTINGS, epochs=3, batch=8)
    log = train_shared.train("subj02", settings, out=tmp_path, cache=tmp_path)
    assert log["trained_on"] == ["subj01", "subj03", "subj04"]
    assert log["losses"][-1]["total"] < log["losses"][0]["total"]
    assert json.loads((tmp_path / "shared-subj02.json").read_text())["seed"] == train_shared.SEED
    first = (tmp_path / "shared-subj02.safetensors").read_bytes()
    (tmp_path / "shared-subj02.safetensors").unlink()
    train_shared.train("subj02", settings, out=tmp_path, cache=tmp_path)  # from its checkpoint
    assert (tmp_path / "shared-subj02.safetensors").read_bytes() == first


def test_logs_are_of_the_shipped_files():
    record = json.loads((small.GENERATOR / "generator.json").read_text())
    for name in ("vae", "unet"):
        log = json.loads((small.GENERATOR / f"{name}.json").read_text())
        assert log["weights_sha256"] == record["sha256"][name]
    assert log["held_out_scores"]["two_way_alexnet@tiny_conv5"] >= 0.95
    for file in small.FOLDER.glob("shared*.safetensors"):
        assert json.loads(file.with_suffix(".json").read_text())["weights_sha256"] == train_unclip.file_sha(
            file
        )
    generator = Generator.load(small.GENERATOR)
    assert (generator.unet_settings, generator.vae_settings) == (train_unclip.UNET, train_vae.VAE)


def test_all_small_weights_together_are_below_26_mb():
    from harness.backbones.tiny.backbone import FOLDER

    files = [*FOLDER.rglob("*.safetensors"), *small.FOLDER.rglob("*.safetensors")]
    assert sum(file.stat().st_size for file in files) < 26e6


def test_no_training_scene_of_the_generator_is_of_the_benchmark():
    leakage = json.loads((small.GENERATOR / "leakage.json").read_text())
    for name in ("vae", "unet"):
        log = json.loads((small.GENERATOR / f"{name}.json").read_text())
        entry = leakage["networks"][name]
        assert entry["training_images_sha256"] == log["training_images_sha256"]
        assert entry["shared_with_benchmark"] == 0


@pytest.mark.slow
def test_no_scene_of_the_benchmark_at_all(tmp_path):
    from harness.backbones.tiny.train_leakage import check

    networks = check(small.GENERATOR, cache=tmp_path)["networks"]
    assert set(networks) == {"vae", "unet"}
    assert all(network["shared_with_benchmark"] == 0 for network in networks.values())

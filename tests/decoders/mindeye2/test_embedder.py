"""The bigG image tower: equal to transformers' vision model, read from the public layout, washed out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from random_towers import random_tower

from harness.api import DataError
from harness.backbones import openclip
from harness.backbones.preprocessing import CLIP
from harness.decoders.mindeye2 import embedder, teacher

SIZES = dataclasses.replace(openclip.BIGG_IMAGE, side=28, width=16, depth=2, heads=2, projected=8)


@pytest.fixture(scope="module")
def tower():
    return embedder.PatchTokens(random_tower(openclip.image_tower(SIZES)))


def test_the_full_tower_has_the_parameters_of_the_public_checkpoint():
    # 1,909,889,025 in its conditioner, less what is left of the text side: token and position
    # embeddings, last norm, projection, temperature (spec of open_clip ViT-bigG-14: width 1280).
    text = 49408 * 1280 + 77 * 1280 + 2 * 1280 + 1280 * 1280 + 1
    full = openclip.image_tower(openclip.BIGG_IMAGE)
    assert sum(p.numel() for p in full.parameters()) == 1_909_889_025 - text


def test_tokens_equal_those_of_transformers(tower):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=int(16 * 4.9231), num_hidden_layers=2, num_attention_heads=2,
        image_size=28, patch_size=14, hidden_act="gelu", projection_dim=8,
    )  # fmt: skip
    other = CLIPVisionModel(config).eval()
    own = tower.visual.state_dict()
    renamed = {
        "embeddings.class_embedding": own["class_embedding"],
        "embeddings.patch_embedding.weight": own["conv1.weight"],
        "embeddings.position_embedding.weight": own["positional_embedding"],
    }
    for kind in ("weight", "bias"):
        renamed[f"pre_layrnorm.{kind}"] = own[f"ln_pre.{kind}"]
        renamed[f"post_layernorm.{kind}"] = own[f"ln_post.{kind}"]
        for layer in range(2):
            ours, theirs = f"transformer.resblocks.{layer}.", f"encoder.layers.{layer}."
            parts = own[f"{ours}attn.in_proj_{kind}"].chunk(3)
            for name, value in zip(("q_proj", "k_proj", "v_proj"), parts):
                renamed[f"{theirs}self_attn.{name}.{kind}"] = value
            for here, there in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                renamed[f"{theirs}{there}.{kind}"] = own[f"{ours}{here}.{kind}"]
    wanted = set(other.state_dict()) - {"embeddings.position_ids"}
    prefix = "vision_model." if any(name.startswith("vision_model.") for name in wanted) else ""
    state = {f"{prefix}{name}": value for name, value in renamed.items()}
    assert set(state) == {name for name in wanted if not name.endswith("position_ids")}
    other.load_state_dict(state, strict=False)
    images = torch.rand(3, 3, 28, 28)
    mean, sd = (torch.tensor(v).view(3, 1, 1) for v in (CLIP.mean, CLIP.sd))
    with torch.no_grad():
        hidden = other(pixel_values=((images + 1) / 2 - mean) / sd).last_hidden_state
        post = torch.nn.functional.layer_norm(hidden, (16,), own["ln_post.weight"], own["ln_post.bias"])
        torch.testing.assert_close(tower(images), post[:, 1:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("prefix", embedder.PREFIXES)
def test_it_is_read_from_both_public_layouts(tower, tmp_path, prefix):
    weights = {f"{prefix}{name}": value for name, value in tower.visual.state_dict().items()}
    file = tmp_path / "file.ckpt"
    torch.save({"state_dict": {**weights, "conditioner.embedders.0.model.logit_scale": torch.ones(())}}, file)
    again = embedder.PatchTokens.from_public(file, SIZES)
    images = torch.rand(1, 3, 28, 28)
    torch.testing.assert_close(again(images), tower(images))
    assert not any(p.requires_grad for p in again.parameters())
    with pytest.raises(DataError, match=r"the image tower in file\.ckpt"):
        embedder.PatchTokens.from_public(file, dataclasses.replace(SIZES, depth=3))


def test_reducing_blurs_first_and_enlarging_does_not():
    stripes = torch.zeros(1, 3, 56, 56)
    stripes[..., ::2] = 1.0
    assert embedder.resized(stripes, 14)[..., 3:-3].std() < 0.02  # unblurred: 0.5
    image = torch.rand(1, 3, 14, 14)
    assert torch.equal(embedder.resized(image, 14), image)
    corners = embedder.resized(image, 28)[..., [0, -1]][..., [0, -1], :]
    torch.testing.assert_close(corners, image[..., [0, -1]][..., [0, -1], :])  # aligned corners


def test_views_differ_from_the_image_and_follow_the_seed():
    images = torch.rand(4, 3, 16, 16)
    state = torch.random.get_rng_state()
    view, again, other = (teacher.augmented(images, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(view, again)
    assert not torch.equal(view, other)
    assert view.shape == images.shape
    assert 0 <= view.min() <= view.max() <= 1
    close = np.corrcoef(view.flatten(), images.flatten())[0, 1]
    assert 0.2 < close < 1

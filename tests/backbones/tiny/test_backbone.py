"""The small networks: what they promise as backbones, and what they know."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
from tiny_logs import NAMES, log_of

from harness import plugins
from harness.api import Backbone, ConfigError, DataError, PluginError, WeightsMissing, image_sha
from harness.backbones.tiny import backbone as module
from harness.backbones.tiny.backbone import FOLDER, TinyBackbone
from harness.backbones.tiny.blocks import Attention, Block, Residual
from harness.backbones.tiny.clip import ClipTiny
from harness.backbones.tiny.networks.clip import LENGTH, WORDS, word_numbers
from harness.backbones.tiny.scenes import Scenes
from harness.benchmarks.embedded import MAX_TEST, MAX_TRAIN
from harness.benchmarks.scenes import describe, draw

SHAPES = {
    "scenes": {"stem": (64, 96), "block1": (65, 96), "block4": (65, 96), "cls": (96,), "patches": (64, 96)},
    "bigg": {"block1": (17, 64), "block4": (17, 64), "tokens": (16, 64), "image": (64,)},
    "alexnet": {"conv2": (64, 16, 16), "conv5": (96, 8, 8), "fc6": (128,)},
    "inception": {"mixed1": (96, 16, 16), "avgpool": (160,)},
    "efficientnet": {"stage2": (48, 8, 8), "avgpool": (192,)},
    "clip": {"stage2": (64, 16, 16), "image": (64,)},
    "dinov2": {"patches": (16, 128), "cls": (128,)},
    "swav": {"stage3": (80, 8, 8), "avgpool": (128,)},
}
GLOBAL = {
    "scenes": "cls",
    "bigg": "image",
    "alexnet": "fc6",
    "clip": "image",
    "dinov2": "cls",
}  # the others: avgpool


def kind(name: str) -> type[TinyBackbone]:
    return plugins.find("backbones", f"{name}@tiny").load()


def opened(name: str) -> TinyBackbone:
    backbone = kind(name)()
    backbone.open(device="cpu")
    return backbone


# As backbones


@pytest.mark.parametrize("name", NAMES)
def test_layers_have_the_shapes_they_promise(name, fresh):
    backbone = opened(name)
    assert isinstance(backbone, Backbone)
    images = fresh.images[:5]
    features = backbone.extract(images, backbone.layers)
    assert set(features) == set(backbone.layers)
    for layer, shape in SHAPES[name].items():
        assert features[layer].shape == (5, *shape)
    for values in features.values():
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert values.std(axis=0).max() > 1e-3  # images differ
    assert {k: v.shape[0] for k, v in backbone.extract(images[:0], backbone.layers).items()} == dict.fromkeys(
        backbone.layers, 0
    )
    alone = backbone.extract(images, backbone.layers[-1:])
    np.testing.assert_array_equal(alone[backbone.layers[-1]], features[backbone.layers[-1]])
    assert len(backbone.identity()) == 64


@pytest.mark.parametrize("name", NAMES)
def test_features_depend_on_neither_batch_nor_type_nor_later_use(name, fresh, monkeypatch):
    backbone, layer = opened(name), GLOBAL.get(name, "avgpool")
    images = fresh.images[:10]
    whole = backbone.extract(images, [layer])[layer]
    np.testing.assert_array_equal(backbone.extract(images, [layer])[layer], whole)
    floats = backbone.extract(images / np.float32(255), [layer])[layer]
    np.testing.assert_allclose(floats, whole, atol=1e-5)
    monkeypatch.setattr(module, "CHUNK", 3)
    np.testing.assert_allclose(backbone.extract(images, [layer])[layer], whole, atol=1e-4)


def test_images_of_another_size_are_resized(fresh):
    backbone = opened("scenes")
    large = fresh.images[:4].repeat(3, axis=1).repeat(3, axis=2)
    resized, own = (backbone.extract(images, ["cls"])["cls"] for images in (large, fresh.images[:4]))
    for resized_token, own_token in zip(resized, own):
        assert np.corrcoef(resized_token, own_token)[0, 1] > 0.9


def test_a_class_token_leads_every_block(fresh):
    """The final tokens are the last block's, normalised; a patch is not the class."""
    backbone = opened("scenes")
    features = backbone.extract(fresh.images[:3], ["block4", "cls", "patches"])
    norm = backbone._network.norm
    with torch.no_grad():
        final = norm(torch.from_numpy(features["block4"])).numpy()
    np.testing.assert_allclose(final[:, 0], features["cls"], atol=1e-5)
    np.testing.assert_allclose(final[:, 1:], features["patches"], atol=1e-5)


def test_patches_keep_the_place(fresh):
    """Painting over the right half changes patches there more than those at the left edge."""
    backbone = opened("scenes")
    images = fresh.images[:20].copy()
    before = backbone.extract(images, ["patches"])["patches"]
    images[:, :, 40:] = 128
    change = np.abs(backbone.extract(images, ["patches"])["patches"] - before).mean(axis=(0, 2))
    change = change.reshape(8, 8).mean(axis=0)
    assert change[6:].min() > 1.5 * change[:3].max()


def test_bad_use_is_one_line(fresh):
    with pytest.raises(
        ConfigError, match=r"unknown layer of backbone 'scenes@tiny' 'clss'; did you mean 'cls'\?"
    ):
        opened("scenes").extract(fresh.images[:1], ["clss"])
    with pytest.raises(PluginError, match="backbone 'swav@tiny' is not open"):
        kind("swav")().extract(fresh.images[:1], ["avgpool"])
    with pytest.raises(PluginError, match="backbone 'clip@tiny' is not open"):
        ClipTiny().extract_text(["a cup"])
    with pytest.raises(DataError, match=r"expected \(n, height, width, 3\)"):
        opened("scenes").extract(fresh.images[0], ["cls"])


# Weights


def test_weights_are_small_half_precision_and_those_of_their_logs():
    files = [FOLDER / f"{name}.safetensors" for name in NAMES]
    assert sum(file.stat().st_size for file in files) <= 7_000_000
    for name, file in zip(NAMES, files):
        log = log_of(name)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == log["weights_sha256"]
        network = kind(name).network()
        assert sum(p.numel() for p in network.parameters()) == log["parameters"]
        from safetensors.torch import load_file

        kinds = {v.dtype for v in load_file(file).values() if v.is_floating_point()}
        assert kinds == {torch.float16}


def test_no_two_networks_share_a_seed_or_scenes_and_none_those_of_a_benchmark():
    logs = [log_of(name) for name in NAMES]
    for key in ("seed", "namespace", "training_images_sha256", "weights_sha256"):
        assert len({log[key] for log in logs}) == len(logs)
    assert not {log["namespace"] for log in logs} & {"train", "test", "reference"}
    leakage = json.loads((FOLDER / "leakage.json").read_text())
    assert leakage["benchmark_images"] == 4 * MAX_TRAIN + MAX_TEST
    for log in logs:
        entry = leakage["networks"][log["name"]]
        assert entry["training_images_sha256"] == log["training_images_sha256"]
        assert (entry["images"], entry["shared_with_benchmark"]) == (log["scenes"], 0)


def test_first_training_scenes_are_none_of_the_benchmark():
    benchmark_shas = {image_sha(image) for name in ("train", "test") for image in draw(name, range(100))}
    assert len(benchmark_shas) == 200
    for name in NAMES:
        assert not benchmark_shas & {image_sha(image) for image in draw(log_of(name)["namespace"], range(20))}


@pytest.mark.slow
def test_no_scene_of_any_split_was_trained_on(tmp_path):
    from harness.backbones.tiny.train_leakage import check

    assert all(
        network["shared_with_benchmark"] == 0
        for network in check(FOLDER, cache=tmp_path)["networks"].values()
    )


def test_absent_torn_and_foreign_weights_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    file = tmp_path / "scenes.safetensors"
    for use in (Scenes().identity, lambda: Scenes().open(device="cpu")):
        with pytest.raises(WeightsMissing, match=r"scenes.safetensors are not there; reinstall fmri-harness"):
            use()
    whole = (FOLDER / "scenes.safetensors").read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsMissing, match="cannot be read") as caught:
        Scenes().open(device="cpu")
    assert "\n" not in str(caught.value)
    file.write_bytes((FOLDER / "swav.safetensors").read_bytes())
    with pytest.raises(WeightsMissing, match="are those of another network") as caught:
        Scenes().open(device="cpu")
    assert "\n" not in str(caught.value)


def test_other_weights_are_another_identity(tmp_path, monkeypatch):
    before = Scenes().identity()
    content = bytearray((FOLDER / "scenes.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "scenes.safetensors").write_bytes(content)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    assert Scenes().identity() != before


# What they know


def probe(name: str, fresh) -> dict[str, float]:
    from harness.backbones.tiny.train_attributes import linear_probe

    layer = GLOBAL.get(name, "avgpool")
    features = opened(name).extract(fresh.images, [layer])[layer]
    return linear_probe(features.astype(np.float64), fresh)


LEAST = {
    "scenes": (0.9, 0.4),
    "bigg": (0.9, 0.6),
    "alexnet": (0.8, 0.25),
    "inception": (0.8, 0.25),
    "efficientnet": (0.8, 0.25),
    "clip": (0.75, 0.25),
    "dinov2": (0.57, 0.1),  # learned without labels, in few steps: places and colours first
    "swav": (0.57, 0.1),
}
"""Area under the curve of presence, accuracy of the main category (chance 0.5 and 0.1)."""


@pytest.mark.parametrize("name", NAMES)
def test_contents_can_be_read_linearly(name, fresh):
    probe_scores = probe(name, fresh)
    area, accuracy = LEAST[name]
    assert probe_scores["probe_presence_auc"] > area
    assert probe_scores["probe_category_accuracy"] > accuracy


@pytest.mark.parametrize("name", ["dinov2", "swav"])
def test_without_labels_backgrounds_and_colours_are_learned(name, fresh):
    """Nearest neighbour by correlation, as identification compares: chance 0.2 and 0.11."""
    layer = GLOBAL.get(name, "avgpool")
    features = opened(name).extract(fresh.images, [layer])[layer]
    similar = np.corrcoef(features)
    np.fill_diagonal(similar, -1)
    nearest = similar.argmax(axis=1)
    assert (fresh.background[nearest] == fresh.background).mean() > 0.8
    assert (fresh.color[nearest] == fresh.color).mean() > 0.17


def test_training_is_what_makes_the_difference(fresh):
    """The same probe of the same network before any training."""
    from harness.backbones.tiny.train_attributes import linear_probe

    torch.manual_seed(0)
    network = Scenes.network().eval()
    with torch.inference_mode():
        features = network(module.normalised(fresh.images))["cls"].numpy()
    untrained = linear_probe(features.astype(np.float64), fresh)
    assert probe("scenes", fresh)["probe_presence_auc"] > untrained["probe_presence_auc"] + 0.2


@pytest.mark.parametrize(("name", "least"), [("clip", 0.3), ("bigg", 0.8)])
def test_captions_and_images_find_each_other(fresh, name, least):
    clip = opened(name)
    images = clip.extract(fresh.images[:100], ["image"])["image"]
    text = clip.extract_text(fresh.captions[:100])
    assert text.shape == images.shape == (100, 64)
    for side in (images, text):
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1, atol=1e-5)
    similar = images @ text.T
    assert (similar.argmax(axis=1) == np.arange(100)).mean() > least
    assert (similar.argmax(axis=0) == np.arange(100)).mean() > least


def test_every_caption_word_is_known_and_every_caption_fits():
    captions = [scene.caption for scene in describe("tiny-unseen", range(3000))]
    numbers = word_numbers(captions)
    assert 1 not in numbers
    assert (numbers[:, -1] == 0).all()
    assert set(np.unique(numbers)) == {0, *range(2, len(WORDS) + 2)}
    assert word_numbers(["a zebra, a CUP"])[0].tolist()[:5] == [
        *(2 + WORDS.index("a"), 1, 2 + WORDS.index("a"), 2 + WORDS.index("cup")),
        0,
    ]
    assert word_numbers(["cup " * 100]).shape == (1, LENGTH)


def test_text_does_not_depend_on_padding_or_on_its_neighbours():
    clip = opened("clip")
    captions = ["a red cup", "a large blue house on the left and a small tree in a sea scene", ""]
    together = clip.extract_text(captions)
    assert np.isfinite(together).all()
    np.testing.assert_allclose(clip.extract_text(captions[:1]), together[:1], atol=1e-5)
    numbers = torch.from_numpy(word_numbers(captions[:1]))
    with torch.inference_mode():
        short = clip._network.text(numbers[:, :3]).numpy()
    np.testing.assert_allclose(short, together[:1], atol=1e-5)
    assert not np.allclose(clip.extract_text(["cup red a"]), together[:1], atol=1e-3)


# Blocks, against torch's own


def test_block_equals_torchs_encoder_layer():
    torch.manual_seed(0)
    block = Block(32, 4).eval()
    other = torch.nn.TransformerEncoderLayer(
        32, 4, 128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    pairs = {
        "self_attn.in_proj_weight": block.attention.qkv.weight,
        "self_attn.in_proj_bias": block.attention.qkv.bias,
        "self_attn.out_proj.weight": block.attention.out.weight,
        "self_attn.out_proj.bias": block.attention.out.bias,
        **{
            f"norm{k}.{part}": getattr(getattr(block, f"norm{k}"), part)
            for k in (1, 2)
            for part in ("weight", "bias")
        },
        **{f"linear{k}.{p}": getattr(block.mlp[2 * k - 2], p) for k in (1, 2) for p in ("weight", "bias")},
    }
    other.load_state_dict(pairs)
    x = torch.randn(3, 7, 32)
    torch.testing.assert_close(block(x), other(x), atol=1e-5, rtol=1e-5)
    here = torch.arange(7)[None] < torch.tensor([7, 4, 2])[:, None]
    mine, reference = block(x, here[:, None, None]), other(x, src_key_padding_mask=~here)
    torch.testing.assert_close(mine[here], reference[here], atol=1e-5, rtol=1e-5)


def test_attention_gradients_equal_the_fused_kernel():
    torch.manual_seed(0)
    attention = Attention(16, 2)
    x = torch.randn(2, 5, 16, requires_grad=True)
    attention(x).square().sum().backward()
    mine, x.grad = x.grad, None
    q, k, v = attention.qkv(x).view(2, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    attention.out(fused.transpose(1, 2).reshape(2, 5, 16)).square().sum().backward()
    torch.testing.assert_close(mine, x.grad, atol=1e-5, rtol=1e-5)


def test_residual_without_its_body_is_its_shortcut():
    block = Residual(6, 6).eval()
    with torch.no_grad():
        block.body[1][1].weight.zero_()
        x = torch.randn(2, 6, 5, 5)
        torch.testing.assert_close(block(x), torch.relu(x))
        assert Residual(6, 9, stride=2).eval()(x).shape == (2, 9, 3, 3)

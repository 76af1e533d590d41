"""Pixels against Pillow and scikit-image, AlexNet against torchvision's own feature extractor."""

from __future__ import annotations

import numpy as np
import pytest
from named_backbones import backbone_named

from harness.api import Backbone, ConfigError, DataError, PluginError, WeightsMissing
from harness.backbones import weights
from harness.backbones.alexnet import AlexNet
from harness.backbones.images import planes, resized
from harness.backbones.pixels import Pixels
from harness.backbones.preprocessing import IMAGENET


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(5, 60, 84, 3) uint8 smooth pictures."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 10, 14, 3))
    return coarse.repeat(6, axis=1).repeat(6, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def random_alexnet() -> AlexNet:
    backbone = backbone_named("alexnet@random")
    backbone.open(device="cpu")
    return backbone


def test_pixels_have_the_shapes_they_promise(images):
    pixels = Pixels()
    assert isinstance(pixels, Backbone)
    pixels.open(device="cpu")
    layers = pixels.extract(images, Pixels.layers)
    for layer, values in layers.items():
        size = int(layer.lstrip("rgbey"))
        assert values.shape == ((5, size, size, 3) if layer.startswith("rgb") else (5, size, size))
        assert values.dtype == np.float32
        assert 0 <= values.min() <= values.max() <= 1
    assert pixels.extract(images[:0], ["rgb8"])["rgb8"].shape == (0, 8, 8, 3)
    assert Pixels().identity() == pixels.identity()


def test_pixels_equal_pillow_when_reducing_and_enlarging(images):
    """Pillow's triangle filter, one channel at a time in floats."""
    from PIL import Image

    features = Pixels().extract(images, ["rgb16", "rgb64"])
    for size in (16, 64):
        for image, mine in zip(images, features[f"rgb{size}"], strict=True):
            for channel in range(3):
                picture = Image.fromarray(image[..., channel].astype(np.float32))
                reference = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)) / 255
                np.testing.assert_allclose(mine[..., channel], reference, atol=1e-5)


def test_grey_is_luminance_of_the_small_image(images):
    from skimage.color import rgb2gray

    features = Pixels().extract(images, ["rgb16", "grey16"])
    np.testing.assert_allclose(features["grey16"], rgb2gray(features["rgb16"]), atol=1e-6)


def test_own_size_and_dtype_make_no_difference(images):
    small = images[:, :8, :8]
    np.testing.assert_array_equal(Pixels().extract(small, ["rgb8"])["rgb8"], small / np.float32(255))
    floats = images / np.float32(255)
    from_bytes, from_floats = (Pixels().extract(i, ["rgb16"])["rgb16"] for i in (images, floats))
    np.testing.assert_array_equal(from_bytes, from_floats)
    parts = [Pixels().extract(images[part], ["rgb16"])["rgb16"] for part in (slice(0, 2), slice(2, 5))]
    np.testing.assert_allclose(np.concatenate(parts), from_bytes, atol=1e-6)
    many = np.concatenate([images] * 30)
    np.testing.assert_allclose(
        Pixels().extract(many, ["rgb8"])["rgb8"][75:80], Pixels().extract(images, ["rgb8"])["rgb8"]
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, 8, 8), np.uint8), r"shape \(2, 8, 8\); expected \(n, height, width, 3\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"shape \(2, 3, 8, 8\)"),
        (np.zeros((2, 8, 8, 3), np.int64), "type int64; expected uint8, or float in"),
        (np.full((2, 8, 8, 3), 200.0), r"hold 200 to 200; expected \[0, 1\]"),
        (np.full((2, 8, 8, 3), np.nan), r"expected \[0, 1\]"),
    ],
)
def test_bad_images_are_one_line(bad, message):
    with pytest.raises(DataError, match=message):
        Pixels().extract(bad, ["rgb8"])


def test_unknown_layers_suggest_the_near_one(images, random_alexnet):
    with pytest.raises(
        ConfigError, match=r"unknown layer of backbone 'pixels' 'rbg16'; did you mean 'rgb16'\?"
    ):
        Pixels().extract(images, ["rbg16"])
    with pytest.raises(ConfigError, match=r"'feature.4'; did you mean 'features.4'\?"):
        random_alexnet.extract(images, ["feature.4"])
    with pytest.raises(PluginError, match="backbone 'alexnet@random' is not open"):
        backbone_named("alexnet@random").extract(images, ["features.4"])


def test_alexnet_equals_torchvisions_feature_extractor(images, random_alexnet):
    """Every layer, from a network that torchvision built and cut by itself."""
    import torch
    from torchvision.models import alexnet
    from torchvision.models.feature_extraction import create_feature_extractor
    from torchvision.transforms import Normalize

    network = alexnet(weights=None)
    network.load_state_dict(random_alexnet.state())
    extractor = create_feature_extractor(network.eval(), list(AlexNet.layers))
    with torch.no_grad():
        reference = extractor(Normalize(IMAGENET.mean, IMAGENET.sd)(resized(planes(images), 224)))
    features = random_alexnet.extract(images, AlexNet.layers)
    in_place = {f"features.{k}" for k in (0, 3, 6, 8, 10)} | {"classifier.1", "classifier.4"}
    for layer in AlexNet.layers:
        # torchvision's in-place ReLU changes what it returns for the node before; ours is the node.
        mine = np.maximum(features[layer], 0) if layer in in_place else features[layer]
        np.testing.assert_allclose(mine, reference[layer].numpy(), rtol=1e-4, atol=1e-6)
        assert features[layer].dtype == np.float32
    assert (features["features.0"] < 0).any()
    assert features["features.4"].shape == (5, 192, 27, 27)
    assert features["features.11"].shape == (5, 256, 13, 13)
    assert features["classifier.6"].shape == (5, 1000)


def test_alexnet_does_not_depend_on_batches_or_on_the_layers_asked_for(images, random_alexnet, monkeypatch):
    whole = random_alexnet.extract(images, ["features.4", "classifier.4"])
    alone = random_alexnet.extract(images, ["features.4"])["features.4"]
    np.testing.assert_array_equal(alone, whole["features.4"])
    monkeypatch.setattr(AlexNet, "chunk", 2)
    for layer, values in random_alexnet.extract(images, ["classifier.4", "features.4"]).items():
        np.testing.assert_allclose(values, whole[layer], rtol=1e-4, atol=1e-6)


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone(random_alexnet):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    again = backbone_named("alexnet@random")
    state = again.state()
    assert torch.equal(torch.rand(3), expected)
    assert all(
        torch.equal(value, state[name]) for name, value in random_alexnet._network.state_dict().items()
    )
    assert again.identity() == random_alexnet.identity()
    assert len(again.identity()) == 64


@pytest.fixture
def stored_alexnet(tmp_path, monkeypatch) -> dict:
    """A small stand-in for the ImageNet file: every parameter one number, repeated by its strides."""
    import hashlib
    from dataclasses import replace

    import torch
    from torchvision.models import AlexNet as Network

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Network().state_dict().items()}
    state = {
        name: torch.full((1,), 0.01 * (k + 1)).expand(shape) for k, (name, shape) in enumerate(shapes.items())
    }
    torch.save(state, tmp_path / "made.pth")
    sha = hashlib.sha256((tmp_path / "made.pth").read_bytes()).hexdigest()
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setitem(
        weights.WEIGHTS, "alexnet", replace(weights.WEIGHTS["alexnet"], sha256_prefix=sha[:8])
    )
    weights.fetch("alexnet", source=tmp_path / "made.pth")
    return state


def test_alexnet_reads_the_weights_that_prefetch_stored(stored_alexnet, images):
    import torch
    from torchvision.models import alexnet

    backbone = backbone_named("alexnet")
    backbone.open(device="cpu")
    network = alexnet(weights=None)
    network.load_state_dict(stored_alexnet)
    mean, sd = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET.mean, IMAGENET.sd))
    with torch.no_grad():
        reference = network.eval()((resized(planes(images), 224) - mean) / sd).numpy()
    np.testing.assert_allclose(
        backbone.extract(images, ["classifier.6"])["classifier.6"], reference, rtol=1e-4
    )
    assert backbone.identity() != backbone_named("alexnet@random").identity()


def test_missing_weights_offline_are_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    for use in (backbone_named("alexnet").identity, lambda: backbone_named("alexnet").open(device="cpu")):
        with pytest.raises(WeightsMissing) as caught:
            use()
        line = str(caught.value)
        assert "\n" not in line
        assert str(tmp_path / "alexnet-owt-7be5be79.pth") in line
        assert "harness prefetch alexnet" in line
        assert "--from alexnet-owt-7be5be79.pth" in line

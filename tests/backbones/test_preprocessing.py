"""What pretrained networks are given, against torchvision, Pillow and transformers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from resize_reference import NOTEBOOK, coordinate_rounding, normal, reference, tensor, torch_threads
from torchvision import transforms
from torchvision.transforms import InterpolationMode, Resize

from harness import plugins
from harness.api import Backbone
from harness.backbones.catalogue import PREPROCESSING
from harness.backbones.preprocessing import CLIP, IMAGENET, eight_bit

# size after 256 and statistics, as MindEye2's notebook has them
OWN = {"alexnet": 224, "inception": 299, "efficientnet": 240, "swav": 224, "clip": 224, "dinov2": 224}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("network", NOTEBOOK)
@pytest.mark.parametrize(("family", "antialias"), [("v1", False), ("v2", True)])
def test_families_follow_torchvisions_resize_and_normalize(images, network, family, antialias, threads):
    """The same path to what torchvision's own kernels differ by, and to rounding the same in float64."""
    size = NOTEBOOK[network]
    how = {"interpolation": InterpolationMode.BILINEAR, "antialias": antialias}
    path = transforms.Compose([Resize((256, 256), **how), Resize((size, size), **how), normal(network)])
    mine = PREPROCESSING[f"{network}-{family}"].apply(images)
    smallest_sd = min(normal(network).std)
    atol = coordinate_rounding(300, 330, 256, 256) / smallest_sd
    with torch_threads(threads):
        torch.testing.assert_close(mine, path(tensor(images)), rtol=0, atol=atol)
    exact = images / np.float32(255)
    for side in (256, size) if size != 256 else (256,):
        exact = reference(exact, (side, side), antialias=antialias).astype(np.float32)
    exact = (exact - np.asarray(normal(network).mean)) / np.asarray(normal(network).std)
    np.testing.assert_allclose(mine.movedim(1, -1), exact, rtol=0, atol=2e-6 / smallest_sd)
    floats = PREPROCESSING[f"{network}-{family}"].apply(images / np.float32(255))
    torch.testing.assert_close(floats, mine, rtol=0, atol=0)


@pytest.mark.parametrize("network", NOTEBOOK)
def test_brain_diffusers_pictures_equal_torchvision_on_pillow(images, network):
    from PIL import Image

    path = transforms.Compose([Resize((224, 224)), transforms.ToTensor(), normal(network)])
    expected = torch.stack([path(Image.fromarray(image)) for image in images])
    mine = PREPROCESSING[f"{network}-brain-diffuser"].apply(images)
    torch.testing.assert_close(mine, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("network", OWN)
def test_encoders_get_the_whole_image_antialiased(images, network):
    bicubic = network in ("clip", "dinov2")
    mode = InterpolationMode.BICUBIC if bicubic else InterpolationMode.BILINEAR
    path = Resize((OWN[network],) * 2, interpolation=mode, antialias=True)
    expected = normal(network)(path(tensor(images)).clamp(0, 1))
    atol = (2e-6 if bicubic else coordinate_rounding(300, 330)) / min(normal(network).std)
    torch.testing.assert_close(PREPROCESSING[network].apply(images), expected, rtol=0, atol=atol)


def test_clip_and_dinov2_equal_the_processors_of_transformers_to_grey_levels(images):
    """Their processors resize 8-bit pictures and round after each axis; a level is 1 / 255 / SD."""
    from transformers import BitImageProcessor, CLIPImageProcessor

    square = images[:, :, :300]
    side = {"height": 224, "width": 224}
    clip = CLIPImageProcessor(image_mean=CLIP.mean, image_std=CLIP.sd)
    dino = BitImageProcessor(
        size=side, resample=3, do_center_crop=False, image_mean=IMAGENET.mean, image_std=IMAGENET.sd
    )
    for processor, name, pictures in ((clip, "clip", square), (dino, "dinov2", images)):
        expected = processor(list(pictures), return_tensors="pt")["pixel_values"]
        mine = PREPROCESSING[name].apply(pictures)
        level = 1 / 255 / min(PREPROCESSING[name].statistics.sd)
        assert expected.shape == mine.shape
        assert (mine - expected).abs().max() < 3 * level
        assert (mine - expected).abs().mean() < 0.4 * level


def test_antialiasing_is_visible_and_every_row_says_where_it_is_from(images):
    plain, antialiased = (PREPROCESSING[f"inception-{family}"].apply(images) for family in ("v1", "v2"))
    assert (plain - antialiased).abs().mean() > 0.02
    for name, row in PREPROCESSING.items():
        assert row.source, name
        assert row.statistics.source, name
        backbone = plugins.find("backbones", name).load()()
        assert isinstance(backbone, Backbone)
        assert (backbone.name, backbone.preprocessing) == (name, row)


def test_floats_become_the_nearest_of_256_levels():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.testing.assert_array_equal(eight_bit(levels / np.float32(255)), levels)
    np.testing.assert_array_equal(eight_bit(np.full((1, 2, 2, 3), 0.5)), 128)

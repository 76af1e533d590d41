"""CLIP and DINOv2 with generated weights equal the networks written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from named_backbones import backbone_named, opened
from torch.nn import functional

from harness import plugins
from harness.api import WeightsMissing
from harness.backbones.catalogue import PREPROCESSING
from harness.backbones.openclip import Clip, ImageSizes
from harness.backbones.transformers_models import DINOv2


class TinyClip(Clip):
    sizes = ImageSizes(patch=56, width=32, depth=2, heads=4, expand=1.5, projected=12)


class TinyDINOv2(DINOv2):
    config = DINOv2.config | {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 112,
        "patch_size": 56,
    }


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {key: 0.3 * torch.randn(shape, generator=generator) for key, shape in shapes.items()}


def clip_checkpoint() -> dict[str, torch.Tensor]:
    """The hub's names for a small CLIP, text tower and position numbers included."""
    tower = {
        "embeddings.class_embedding": (32,),
        "embeddings.patch_embedding.weight": (32, 3, 56, 56),
        "embeddings.position_embedding.weight": (17, 32),
        "pre_layrnorm.weight": (32,),
        "pre_layrnorm.bias": (32,),
        "post_layernorm.weight": (32,),
        "post_layernorm.bias": (32,),
    }
    for k in range(2):
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tower |= {f"encoder.layers.{k}.self_attn.{part}.weight": (32, 32)}
            tower |= {f"encoder.layers.{k}.self_attn.{part}.bias": (32,)}
        for part, shape in (("fc1", (48, 32)), ("fc2", (32, 48))):
            tower |= {f"encoder.layers.{k}.mlp.{part}.weight": shape}
            tower |= {f"encoder.layers.{k}.mlp.{part}.bias": shape[:1]}
        for part in ("layer_norm1", "layer_norm2"):
            tower |= {f"encoder.layers.{k}.{part}.{kind}": (32,) for kind in ("weight", "bias")}
    state = drawn({f"vision_model.{key}": shape for key, shape in tower.items()})
    state |= drawn({"visual_projection.weight": (12, 32), "text_projection.weight": (12, 8)})
    state |= {"logit_scale": torch.tensor(4.6), "text_model.final_layer_norm.bias": torch.ones(8)}
    return state | {"vision_model.embeddings.position_ids": torch.arange(17)[None]}


def attend(x: torch.Tensor, part, heads: int) -> torch.Tensor:
    """Self-attention written out; part(name) gives the (weight, bias) of q, k, v and out."""
    n, length, width = x.shape
    q, k, v = (functional.linear(x, *part(name)).view(n, length, heads, -1).transpose(1, 2) for name in "qkv")
    shares = (q @ k.transpose(2, 3) / math.sqrt(width / heads)).softmax(-1)
    return functional.linear((shares @ v).transpose(1, 2).reshape(n, length, width), *part("out"))


def clip_by_hand(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Radford et al. 2021: class token first, normalised before and after, quick GELU, projected."""
    s = {key.removeprefix("vision_model."): value for key, value in state.items()}

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (32,), s[f"{name}.weight"], s[f"{name}.bias"], 1e-5)

    patches = functional.conv2d(x, s["embeddings.patch_embedding.weight"], stride=56).flatten(2).mT
    cls = s["embeddings.class_embedding"].expand(len(x), 1, 32)
    x = torch.cat([cls, patches], dim=1) + s["embeddings.position_embedding.weight"]
    x = norm("pre_layrnorm", x)
    for k in range(2):
        at = f"encoder.layers.{k}"

        def part(name: str, at: str = at) -> tuple[torch.Tensor, torch.Tensor]:
            return tuple(s[f"{at}.self_attn.{name}_proj.{kind}"] for kind in ("weight", "bias"))

        x = x + attend(norm(f"{at}.layer_norm1", x), part, 4)
        h = norm(f"{at}.layer_norm2", x)
        h = functional.linear(h, s[f"{at}.mlp.fc1.weight"], s[f"{at}.mlp.fc1.bias"])
        h = h * torch.sigmoid(1.702 * h)
        x = x + functional.linear(h, s[f"{at}.mlp.fc2.weight"], s[f"{at}.mlp.fc2.bias"])
    return norm("post_layernorm", x[:, 0]) @ s["visual_projection.weight"].T


def test_clip_equals_the_network_written_out(store, images):
    state = clip_checkpoint()
    store("clip", state)
    embeddings = opened(backbone_named("clip-v1", TinyClip)).extract(images, ["image"])["image"]
    assert (embeddings.shape, embeddings.dtype) == ((2, 12), np.float32)
    expected = clip_by_hand(state, PREPROCESSING["clip-v1"].apply(images)).numpy()
    np.testing.assert_allclose(embeddings, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vision_model.encoder.layers.1.self_attn.k_proj.weight", None),
        ("vision_model.encoder.layers.1.self_attn.k_proj.weight", torch.zeros(32, 31)),
        ("vision_model.post_layernorm.bias", torch.zeros(7)),
        ("vision_model.encoder.layers.2.layer_norm1.bias", torch.zeros(32)),
        ("visual_projection.weight", None),
        ("vision_model.head.bias", torch.zeros(3)),
    ],
)
def test_clip_takes_neither_more_nor_less_than_its_parameters(store, key, value):
    state = {k: v for k, v in clip_checkpoint().items() if k != key} | ({} if value is None else {key: value})
    store("clip", state)
    with pytest.raises(WeightsMissing, match=r"of another network .*harness prefetch clip") as caught:
        backbone_named("clip-v1", TinyClip).open(device="cpu")
    assert "\n" not in str(caught.value)


def dinov2_checkpoint() -> dict[str, torch.Tensor]:
    """The hub's names for a small DINOv2, position embeddings for 2 x 2 patches of 56 pixels."""
    shapes = {
        "embeddings.cls_token": (1, 1, 32),
        "embeddings.mask_token": (1, 32),
        "embeddings.position_embeddings": (1, 5, 32),
        "embeddings.patch_embeddings.projection.weight": (32, 3, 56, 56),
        "embeddings.patch_embeddings.projection.bias": (32,),
        "layernorm.weight": (32,),
        "layernorm.bias": (32,),
    }
    for k in range(2):
        at = f"encoder.layer.{k}"
        for part in ("attention.query", "attention.key", "attention.value", "output.dense"):
            shapes |= {f"{at}.attention.{part}.weight": (32, 32), f"{at}.attention.{part}.bias": (32,)}
        for part, shape in (("fc1", (128, 32)), ("fc2", (32, 128))):
            shapes |= {f"{at}.mlp.{part}.weight": shape, f"{at}.mlp.{part}.bias": shape[:1]}
        for part in ("norm1", "norm2"):
            shapes |= {f"{at}.{part}.{kind}": (32,) for kind in ("weight", "bias")}
        shapes |= {f"{at}.layer_scale{part}.lambda1": (32,) for part in (1, 2)}
    return drawn(shapes)


def dinov2_by_hand(s: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Oquab et al. 2023: pre-norm blocks with layer scale, positions interpolated to 4 x 4 patches."""

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.layer_norm(x, (32,), s[f"{name}.weight"], s[f"{name}.bias"], 1e-6)

    at = "embeddings.patch_embeddings.projection"
    patches = functional.conv2d(x, s[f"{at}.weight"], s[f"{at}.bias"], stride=56).flatten(2).mT
    positions = s["embeddings.position_embeddings"]
    grid = positions[:, 1:].mT.reshape(1, 32, 2, 2)
    grid = functional.interpolate(grid, size=(4, 4), mode="bicubic", align_corners=False)
    positions = torch.cat([positions[:, :1], grid.flatten(2).mT], dim=1)
    x = torch.cat([s["embeddings.cls_token"].expand(len(x), 1, 32), patches], dim=1) + positions
    where = {"q": "attention.query", "k": "attention.key", "v": "attention.value", "out": "output.dense"}
    for k in range(2):
        at = f"encoder.layer.{k}"

        def part(name: str, at: str = at) -> tuple[torch.Tensor, torch.Tensor]:
            return tuple(s[f"{at}.attention.{where[name]}.{kind}"] for kind in ("weight", "bias"))

        x = x + s[f"{at}.layer_scale1.lambda1"] * attend(norm(f"{at}.norm1", x), part, 4)
        h = norm(f"{at}.norm2", x)
        h = functional.gelu(functional.linear(h, s[f"{at}.mlp.fc1.weight"], s[f"{at}.mlp.fc1.bias"]))
        h = functional.linear(h, s[f"{at}.mlp.fc2.weight"], s[f"{at}.mlp.fc2.bias"])
        x = x + s[f"{at}.layer_scale2.lambda1"] * h
    return norm("layernorm", x)


def test_dinov2_equals_the_network_written_out(store, images):
    state = dinov2_checkpoint()
    store("dinov2", state)
    backbone = opened(backbone_named("dinov2", TinyDINOv2))
    features = backbone.extract(images, ["patches", "cls"])
    expected = dinov2_by_hand(state, PREPROCESSING["dinov2"].apply(images)).numpy()
    assert (features["cls"].shape, features["patches"].shape) == ((2, 32), (2, 16, 32))
    np.testing.assert_allclose(features["cls"], expected[:, 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(features["patches"], expected[:, 1:], rtol=1e-3, atol=1e-3)
    assert backbone.extract(images, ["cls"]).keys() == {"cls"}
    np.testing.assert_array_equal(backbone.extract(images, ["cls"])["cls"], features["cls"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layernorm.bias", None),
        ("layernorm.bias", torch.zeros(7)),
        ("embeddings.register_tokens", torch.zeros(1, 4, 32)),
    ],
)
def test_dinov2_takes_neither_more_nor_less_than_its_parameters(store, key, value, capfd):
    state = dinov2_checkpoint()
    state = state | {key: value} if value is not None else {k: v for k, v in state.items() if k != key}
    store("dinov2", state)
    with pytest.raises(WeightsMissing, match=r"of another network .*harness prefetch dinov2") as caught:
        backbone_named("dinov2", TinyDINOv2).open(device="cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_full_sizes_are_the_published_ones():
    """Parameters of ViT-B/14 with its mask token."""
    from transformers import Dinov2Config, Dinov2Model

    with torch.device("meta"):
        dino = Dinov2Model(Dinov2Config(**DINOv2.config))
    assert sum(p.numel() for p in dino.parameters()) == 86_580_480


def test_chasms_published_preset_finds_its_layers_in_dinov2():
    encoder = plugins.find("encoders", "chasm").load()
    wanted = encoder(encoder.Params()).wants()
    assert set(wanted) == {("dinov2", "cls"), ("dinov2", "patches")}
    assert {layer for _, layer in wanted} <= set(DINOv2.layers)

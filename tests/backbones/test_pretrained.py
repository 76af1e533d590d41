"""Pretrained backbones, weights generated here: networks against independent builds."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import TESTS
from named_backbones import backbone_named
from resize_reference import NOTEBOOK, normal, tensor
from torch.nn import functional
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import Resize

from harness import plugins
from harness.api import PluginError, WeightsMissing
from harness.backbones import weights
from harness.backbones.catalogue import PREPROCESSING
from harness.backbones.openclip import Clip, ImageSizes
from harness.backbones.pooled import swav_trunk
from harness.backbones.transformers_models import DINOv2

pytestmark = pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")

# Weights


@pytest.fixture
def store(tmp_path, monkeypatch):
    """``store(name, state)`` puts generated weights where ``harness prefetch NAME`` would."""
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))

    def put(name: str, state: dict[str, torch.Tensor]) -> Path:
        file = tmp_path / weights.WEIGHTS[name].file_name
        if file.suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file({key: value.contiguous() for key, value in state.items()}, file)
        else:
            torch.save(state, file)
        sha = hashlib.sha256(file.read_bytes()).hexdigest()
        pin = replace(weights.WEIGHTS[name], sha256_prefix=sha)
        monkeypatch.setitem(weights.WEIGHTS, name, pin)
        return weights.fetch(name, source=file)

    return put


def random_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Random parameters as views of a few thousand numbers, so that files of any network are small."""
    generator = torch.Generator().manual_seed(0)
    pools: dict[float, torch.Tensor] = {}

    def view(shape: torch.Size, scale: float) -> torch.Tensor:
        scale = 2.0 ** round(math.log2(scale))
        if scale not in pools:
            pools[scale] = scale * torch.randn(8192, generator=generator)
        offset = int(torch.randint(0, 64, (), generator=generator))
        return pools[scale].as_strided(shape, [3, *[1] * (len(shape) - 1)][: len(shape)], offset)

    state = {}
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
            state[key] = 1 + view(value.shape, 0.1).abs()
        elif value.ndim == 1:
            state[key] = view(value.shape, 0.1)
        else:
            state[key] = view(value.shape, math.sqrt(2 / value[0].numel()))
    return state


def settled(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Random parameters, loaded into `network` too, with running statistics that fit them: deep networks
    with others amplify rounding, or forget their input."""
    state = random_state(network)
    network.load_state_dict(state)
    norms = [m for m in network.eval().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        network(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(3)))
    network.eval()
    statistics = ("running_mean", "running_var")
    return state | {k: v.clone() for k, v in network.state_dict().items() if k.endswith(statistics)}


def meta(builder, **more) -> torch.nn.Module:
    with torch.device("meta"):
        return builder(weights=None, **more)


def inception(**more) -> torch.nn.Module:
    return models.inception_v3(weights=None, init_weights=False, transform_input=True, **more)


def reference(network: torch.nn.Module, name: str, images: np.ndarray) -> np.ndarray:
    """Layer ``avgpool`` of a network that torchvision built and cut, MindEye2's path by torchvision."""
    size = NOTEBOOK[name]
    x = Resize((256, 256), antialias=False)(tensor(images))
    x = normal(name)(Resize((size, size), antialias=False)(x))
    with torch.no_grad():
        return create_feature_extractor(network.eval(), ["avgpool"])(x)["avgpool"].flatten(1).numpy()


def opened(backbone):
    backbone.open(device="cpu")
    return backbone


def close(found: np.ndarray, expected: np.ndarray) -> None:
    scale = np.abs(expected).max()
    assert scale > 0
    assert expected.std(axis=0).max() > 1e-4 * scale  # images are told apart
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * scale)


def test_inception_equals_torchvisions(store, images):
    network = inception()
    state = settled(network)
    store("inception", state)
    found = opened(backbone_named("inception-v1")).extract(images, ["avgpool"])["avgpool"]
    assert (found.shape, found.dtype) == ((2, 2048), np.float32)
    close(found, reference(network, "inception", images))


def test_files_from_before_batch_counts_are_read(store):
    """inception_v3_google is of 2017, when batch normalisation kept no count of batches."""
    state = random_state(meta(models.inception_v3, init_weights=False))
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    store("inception", old)
    network = opened(backbone_named("inception-v1"))._network
    left = [k for k, v in [*network.named_parameters(), *network.named_buffers()] if v.is_meta]
    assert left == []


def test_efficientnet_equals_torchvisions_and_each_family_has_its_weights(store, images):
    network = models.efficientnet_b1(weights=None)
    state = settled(network)
    store("efficientnet", state)
    found = opened(backbone_named("efficientnet-v1")).extract(images, ["avgpool"])["avgpool"]
    assert found.shape == (2, 1280)
    close(found, reference(network, "efficientnet", images))
    kinds = models.EfficientNet_B1_Weights
    used = {
        name: weights.WEIGHTS[backbone_named(name).weights].url
        for name in ("efficientnet-v1", "efficientnet-brain-diffuser")
    }
    assert used == {
        "efficientnet-v1": kinds.DEFAULT.url,
        "efficientnet-brain-diffuser": kinds.IMAGENET1K_V1.url,
    }


def test_swavs_checkpoint_goes_into_torchvisions_resnet(store, images):
    """The published checkpoint: ``module.`` before every name, a projection head, prototypes, no fc."""
    network = models.resnet50(weights=None)
    trunk = {key: value for key, value in settled(network).items() if not key.startswith("fc.")}
    checkpoint = {f"module.{key}": value for key, value in trunk.items()}
    checkpoint |= {
        "module.projection_head.0.weight": torch.zeros(8, 4),
        "module.projection_head.1.running_mean": torch.zeros(8),
        "module.prototypes.weight": torch.zeros(5, 4),
    }
    store("swav", checkpoint)
    found = opened(backbone_named("swav-v1")).extract(images, ["avgpool"])["avgpool"]
    assert found.shape == (2, 2048)
    network.load_state_dict({k.replace("module.", ""): v for k, v in checkpoint.items()}, strict=False)
    close(found, reference(network, "swav", images))
    assert swav_trunk(checkpoint).keys() == trunk.keys()


@pytest.mark.parametrize(("key", "change"), [("conv1.weight", "gone"), ("extra.weight", "more")])
def test_weights_of_another_network_are_one_line(store, key, change):
    state = {k: v for k, v in random_state(meta(models.resnet50)).items() if not k.startswith("fc.")}
    state = {k: v for k, v in state.items() if k != key} if change == "gone" else state | {key: torch.ones(1)}
    file = store("swav", state)
    with pytest.raises(WeightsMissing, match="are those of another network") as caught:
        backbone_named("swav-v1").open(device="cpu")
    line = str(caught.value)
    assert "\n" not in line
    assert str(file) in line
    assert key in line
    assert "harness prefetch swav" in line


# Transformers of images


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
    found = opened(backbone_named("clip-v1", TinyClip)).extract(images, ["image"])["image"]
    assert (found.shape, found.dtype) == ((2, 12), np.float32)
    expected = clip_by_hand(state, PREPROCESSING["clip-v1"].apply(images)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


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
    found = backbone.extract(images, ["patches", "cls"])
    expected = dinov2_by_hand(state, PREPROCESSING["dinov2"].apply(images)).numpy()
    assert (found["cls"].shape, found["patches"].shape) == ((2, 32), (2, 16, 32))
    np.testing.assert_allclose(found["cls"], expected[:, 0], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found["patches"], expected[:, 1:], rtol=1e-3, atol=1e-3)
    assert backbone.extract(images, ["cls"]).keys() == {"cls"}
    np.testing.assert_array_equal(backbone.extract(images, ["cls"])["cls"], found["cls"])


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


# Use


def test_chasms_published_preset_finds_its_layers_in_dinov2():
    encoder = plugins.find("encoders", "chasm").load()
    wanted = encoder(encoder.Params()).wants()
    assert set(wanted) == {("dinov2", "cls"), ("dinov2", "patches")}
    assert {layer for _, layer in wanted} <= set(DINOv2.layers)


@pytest.mark.slow
def test_prefetched_weights_score_a_run_by_both_families(harness, tmp_path, toy_words):
    """SwAV is pinned by the copy that arrives first, so that a generated file can stand for it."""
    state = settled(models.resnet50(weights=None))
    state = {f"module.{key}": value for key, value in state.items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "made.pth.tar")
    here = {"HARNESS_WEIGHTS": str(tmp_path / "weights"), "HARNESS_OFFLINE": "1"}
    words = [*toy_words, "--set", "benchmark.n_test=2", "--set", "run.derangements=1"]
    words[words.index("--metrics") + 1] = "swav,swav-v2"
    refused = harness("run", *words, check=False, **here)
    assert refused.returncode == 2
    assert "swav_800ep_pretrain.pth.tar" in refused.stderr
    assert "harness prefetch swav" in refused.stderr
    harness("prefetch", "swav", "--from", "made.pth.tar", **here)
    harness("run", *words, "--no-report", **here)
    (file,) = tmp_path.glob("runs/*/scores.parquet")
    scores = pd.read_parquet(file)
    assert set(scores.backbone) == {"swav-v1:avgpool", "swav-v2:avgpool"}
    measured = scores[(scores.row == "measured") & (scores.target == "stimulus")]
    assert measured.value.between(0, 2).all()
    assert measured.value.min() > 0


# Identity


def test_backbones_of_one_network_share_weights_and_differ_in_identity(store):
    store("swav", {"module.x": torch.zeros(1)})
    found = [plugins.find("backbones", f"swav{end}").load()() for end in ("", "-v1", "-v2")]
    assert len({one.weights_sha() for one in found}) == 1
    assert len({one.identity() for one in found}) == 3


def test_another_filter_is_another_identity_where_it_resizes(store, monkeypatch):
    """Features of one filter are never taken for those of another."""
    from harness.backbones import preprocessing

    store("clip", {"x": torch.zeros(1)})
    ends = ("", "-v1", "-v2", "-brain-diffuser")

    def identities():
        return [plugins.find("backbones", f"clip{end}").load()().identity() for end in ends]

    before = identities()
    monkeypatch.setattr(preprocessing, "OWN_FILTER", "another")
    same = [one == other for one, other in zip(before, identities())]
    assert same == [True, False, False, True]  # bicubic, bilinear twice, Pillow


def test_a_backbone_says_what_is_wrong(images, tmp_path, monkeypatch):
    with pytest.raises(PluginError, match="backbone 'clip-v1' is not open"):
        backbone_named("clip-v1").extract(images, ["image"])
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    for name in PREPROCESSING:
        backbone = plugins.find("backbones", name).load()()
        with pytest.raises(WeightsMissing) as caught:
            backbone.identity()
        line = str(caught.value)
        assert "\n" not in line
        assert f"harness prefetch {backbone.weights}" in line


def test_importing_backbones_and_metrics_needs_no_library_of_networks():
    code = (
        "import sys\n"
        "import harness.backbones.pooled, harness.backbones.transformers_models, harness.backbones.texts\n"
        "import harness.metrics.catalogue, harness.metrics.brain_diffuser\n"
        "networks = {'torch', 'torchvision', 'transformers', 'open_clip', 'timm', 'PIL'}\n"
        "assert not networks & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS)

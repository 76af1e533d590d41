"""Convolutional backbones with generated weights equal torchvision's networks."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from named_backbones import backbone_named, opened
from resize_reference import NOTEBOOK, normal, tensor
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import Resize

from harness.api import WeightsMissing
from harness.backbones import weights
from harness.backbones.pooled import swav_trunk

pytestmark = pytest.mark.filterwarnings("ignore:NOTE. The nodes obtained by tracing")


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


def close(features: np.ndarray, expected: np.ndarray) -> None:
    scale = np.abs(expected).max()
    assert scale > 0
    assert expected.std(axis=0).max() > 1e-4 * scale  # images are told apart
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * scale)


def test_inception_equals_torchvisions(store, images):
    network = inception()
    state = settled(network)
    store("inception", state)
    features = opened(backbone_named("inception-v1")).extract(images, ["avgpool"])["avgpool"]
    assert (features.shape, features.dtype) == ((2, 2048), np.float32)
    close(features, reference(network, "inception", images))


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
    features = opened(backbone_named("efficientnet-v1")).extract(images, ["avgpool"])["avgpool"]
    assert features.shape == (2, 1280)
    close(features, reference(network, "efficientnet", images))
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
    features = opened(backbone_named("swav-v1")).extract(images, ["avgpool"])["avgpool"]
    assert features.shape == (2, 2048)
    network.load_state_dict({k.replace("module.", ""): v for k, v in checkpoint.items()}, strict=False)
    close(features, reference(network, "swav", images))
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

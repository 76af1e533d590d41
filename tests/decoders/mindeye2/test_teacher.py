"""The teacher of the low-level head: VICRegL's ConvNeXt under its own names, followed by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from public_mindeye2 import names_and_shapes, small_weights, write_teacher

from harness.api import DataError
from harness.decoders.mindeye2 import public, teacher

SIZES = teacher.TeacherSettings(depths=(1, 2, 1, 1), widths=(4, 6, 8, 10), projected=5)


def by_hand(images: torch.Tensor, weights: dict[str, torch.Tensor], sizes=SIZES) -> torch.Tensor:
    """The network with nothing of ours and nothing of transformers."""
    w = {name.removeprefix("module."): value for name, value in weights.items()}

    def normed(x, name, eps=1e-6):
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    mean, sd = torch.tensor([[0.485, 0.456, 0.406], [0.228, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    x = (images - mean) / sd
    for stage, depth in enumerate(sizes.depths):
        at = f"backbone.downsample_layers.{stage}"
        if stage == 0:
            x = F.conv2d(x, w[f"{at}.0.weight"], w[f"{at}.0.bias"], stride=4)
            x = normed(x.movedim(1, -1), f"{at}.1").movedim(-1, 1)
        else:
            x = normed(x.movedim(1, -1), f"{at}.0").movedim(-1, 1)
            x = F.conv2d(x, w[f"{at}.1.weight"], w[f"{at}.1.bias"], stride=2)
        for block in range(depth):
            at, width = f"backbone.stages.{stage}.{block}", x.shape[1]
            y = F.conv2d(x, w[f"{at}.dwconv.weight"], w[f"{at}.dwconv.bias"], padding=3, groups=width)
            y = F.gelu(linear(normed(y.movedim(1, -1), f"{at}.norm"), f"{at}.pwconv1"))
            x = x + linear(y, f"{at}.pwconv2").movedim(-1, 1)
    x = normed(x.flatten(2).transpose(1, 2), "backbone.norm")
    for layer in (0, 3):
        name = f"maps_projector.{layer}"
        x = F.relu(normed(linear(x, name), f"maps_projector.{layer + 1}", eps=1e-5))
    return linear(x, "maps_projector.6")


def test_tokens_are_those_of_the_original_network_followed_by_hand(tmp_path):
    network = teacher.ConvNeXtTokens.from_public(write_teacher(tmp_path / public.TEACHER, SIZES), SIZES)
    images = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        tokens = network(images)
    assert tokens.shape == (3, 6, 5)
    expected = by_hand(images, small_weights(SIZES))
    assert expected.std() > 0.1
    torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_every_name_of_the_full_size_file_has_its_place():
    sizes = teacher.TeacherSettings()
    with torch.device("meta"):
        network = teacher.ConvNeXtTokens(sizes)
        file = {name: torch.empty(shape) for name, shape in names_and_shapes(sizes).items()}
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert {name: tuple(v.shape) for name, v in teacher.teacher_state(file).items()} == wanted
    # ConvNeXt-XL has 350,196,968 numbers, of which 2,049,000 classify and 36,096 are layer scales.
    assert sum(p.numel() for p in network.backbone.parameters()) == 350_196_968 - 2_049_000 - 36_096


def test_files_that_do_not_fit_are_named(tmp_path):
    torch.save({"model": {"module.projector.0.weight": torch.zeros(2)}}, tmp_path / "a.pth")
    with pytest.raises(DataError, match=r"expected VICRegL's full training state, convnext_xlarge"):
        teacher.ConvNeXtTokens.from_public(tmp_path / "a.pth", SIZES)
    weights = small_weights(SIZES)
    del weights["module.backbone.stages.1.1.norm.bias"]
    torch.save({"model": weights}, tmp_path / "b.pth")
    with pytest.raises(
        DataError, match=r"teacher in b.pth: lacks '.*stages.1.layers.1.layernorm.bias' and 0"
    ):
        teacher.ConvNeXtTokens.from_public(tmp_path / "b.pth", SIZES)

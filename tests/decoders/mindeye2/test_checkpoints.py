"""Reading public MindEye2 files safely, with the right sizes, and refusing the wrong ones."""

from __future__ import annotations

import os
import pickle
import shutil
import types
import zipfile

import pytest
import torch
from commands import TESTS

from harness.api import DataError, WeightsMissing
from harness.decoders.mindeye2 import backbone, checkpoints, model
from harness.nn import diffusion_prior as prior

SIZES = model.ModelSettings(
    backbone.BackboneSettings(
        hidden=12,
        blocks=3,
        token_dim=8,
        tokens=4,
        side=2,
        map_channels=32,
        decoder_channels=(32, 64),
        auxiliary_dim=6,
    ),
    prior.PriorSettings(token_dim=8, tokens=4, depth=2, heads=2, head_size=6, timesteps=50),
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return model.MindEye2Network([9, 7], SIZES)


def public_file(path, network):
    """A file with the keys of last.pth and an object of a class that is not there on reading."""
    module = types.ModuleType("deepspeed_absent.loss_scaler")
    scaler_class = type("LossScaler", (), {"__module__": module.__name__})
    module.LossScaler = scaler_class
    import sys

    sys.modules["deepspeed_absent"] = types.ModuleType("deepspeed_absent")
    sys.modules[module.__name__] = module
    scaler = scaler_class()
    scaler.cur_scale = 65536.0
    try:
        torch.save(
            {
                "epoch": 149,
                "model_state_dict": network.state_dict(),
                "optimizer_state_dict": {"loss_scaler": scaler, "step": 3},
                "train_losses": [1.0],
            },
            path,
        )
    finally:
        del sys.modules[module.__name__], sys.modules["deepspeed_absent"]
    return path


def test_a_file_with_unknown_classes_is_read(tmp_path, network):
    weights = checkpoints.read_weights(public_file(tmp_path / "last.pth", network))
    assert weights.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(weights[name], value), name


class Call:
    """Pickled, this calls a function of the standard library."""

    def __init__(self, function, *words):
        self.call = function, words

    def __reduce__(self):
        return self.call


def test_nothing_in_a_file_runs(tmp_path, network):
    victim, file = tmp_path / "made-by-the-file", tmp_path / "bad.pth"
    (tmp_path / "source").write_text("x")
    harm = Call(shutil.copyfile, str(tmp_path / "source"), str(victim))
    torch.save({"model_state_dict": network.state_dict(), "extra": harm}, file)
    assert len(checkpoints.read_weights(file)) == len(network.state_dict())
    assert not victim.exists()
    with pytest.raises(pickle.UnpicklingError):  # the stand-ins are gone again
        torch.load(file, weights_only=True)
    shutil.copyfile(*harm.call[1])  # what it would have done
    assert victim.exists()

    torch.save({"a": torch.ones(1), "extra": Call(os.mkdir, str(tmp_path / "new"))}, file)
    with pytest.raises(DataError, match="damaged, or wants to run code; fetch it again"):
        checkpoints.read_weights(file)
    assert not (tmp_path / "new").exists()


def test_plain_and_lightning_layouts_are_read(tmp_path):
    for name, content in (
        ("plain.pth", {"a": torch.ones(2)}),
        ("lightning.ckpt", {"state_dict": {"a": torch.ones(2)}, "epoch": 1}),
        ("vicreg.pth", {"model": {"a": torch.ones(2)}}),
    ):
        torch.save(content, tmp_path / name)
        assert checkpoints.read_weights(tmp_path / name).keys() == {"a"}


def test_damaged_and_strange_files_get_one_line(tmp_path, network):
    whole = public_file(tmp_path / "last.pth", network).read_bytes()
    (tmp_path / "torn.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "torn.safetensors").write_bytes(whole[:100])
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as file:
        file.writestr("x", "y")
    for name in ("torn.pth", "empty.pth", "zip.pth", "torn.safetensors"):
        with pytest.raises(DataError, match=f"{name} cannot be read.*fetch it again") as problem:
            checkpoints.read_weights(tmp_path / name)
        assert "\n" not in str(problem.value)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(DataError, match="holds no mapping of names to tensors"):
        checkpoints.read_weights(tmp_path / "list.pth")
    with pytest.raises(WeightsMissing, match="download the checkpoint"):
        checkpoints.read_weights(tmp_path / "absent.pth")


def test_sizes_are_read_from_the_shapes(network):
    assert checkpoints.settings_of(network.state_dict()) == ([9, 7], SIZES)
    plain = model.ModelSettings(backbone.BackboneSettings(**small(low_level=False)), SIZES.prior)
    assert checkpoints.settings_of(model.MindEye2Network([5], plain).state_dict()) == ([5], plain)
    state = network.state_dict()
    state.pop("backbone.clip_proj.0.weight")
    with pytest.raises(DataError, match=r"'backbone.clip_proj.0.weight' is missing"):
        checkpoints.settings_of(state)


def small(**changes):
    return {"hidden": 12, "blocks": 3, "token_dim": 8, "tokens": 4, **changes}


def test_the_released_sizes_follow_from_their_key_list():
    import gzip
    import json

    file = TESTS / "golden" / "full_mindeye2_keys.json.gz"
    keys = json.loads(gzip.decompress(file.read_bytes()))
    weights = {name: torch.empty(entry[0], device="meta") for name, entry in keys.items()}
    assert checkpoints.settings_of(weights) == ([15724], model.ModelSettings())
    counts = {"ridge": 0, "backbone": 0, "diffusion_prior": 0}
    with torch.device("meta"):
        full = model.MindEye2Network([15724], model.ModelSettings())
    for name, parameter in full.named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    assert counts["ridge"] == 64_409_600
    assert counts["backbone"] == 1_903_020_028
    assert counts["diffusion_prior"] == 259_865_216 - 16  # the rotary frequencies are not trained


@pytest.mark.parametrize("half", [False, True])
def test_a_saved_network_predicts_the_same(tmp_path, network, half):
    checkpoints.save_network(network, tmp_path / "net.safetensors", half=half)
    weights = checkpoints.read_weights(tmp_path / "net.safetensors")
    again = checkpoints.load_network(weights, voxels=[9, 7])
    network.eval()
    x = [torch.randn(2, 9), torch.randn(3, 7)]
    with torch.no_grad():
        before, after = network(x), again(x)
    tolerance = 2e-2 if half else 0
    for a, b in zip(before, after):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)
    schedule = "diffusion_prior.noise_scheduler.alphas_cumprod"
    assert torch.equal(again.state_dict()[schedule], network.state_dict()[schedule])


def test_the_wrong_subject_or_size_is_refused(network):
    state = network.state_dict()
    with pytest.raises(DataError, match=r"ridge layers take \[9, 7\] voxels, the data have \[9\]"):
        checkpoints.load_network(state, voxels=[9])
    with pytest.raises(DataError, match="'extra' and 0 more that it should not"):
        checkpoints.load_exactly(network, {**state, "extra": torch.ones(1)}, what="MindEye2")
    with pytest.raises(DataError, match=r"has shape \(1,\), expected \(9,\)|has shape \(1,\)"):
        checkpoints.load_exactly(network, {**state, "ridge.linears.0.bias": torch.ones(1)}, what="MindEye2")


def test_a_new_subject_starts_from_the_shared_part(network):
    state = network.state_dict()
    torch.manual_seed(5)
    fresh = model.MindEye2Network([6], SIZES)
    before = {name: value.clone() for name, value in fresh.ridge.state_dict().items()}
    checkpoints.start_from_pretrained(fresh, state)
    assert torch.equal(fresh.backbone.backbone_linear.weight, network.backbone.backbone_linear.weight)
    assert torch.equal(fresh.diffusion_prior.net.learned_query, network.diffusion_prior.net.learned_query)
    for name, value in fresh.ridge.state_dict().items():
        assert torch.equal(value, before[name]), name
    checkpoints.start_from_pretrained(fresh, state, faithful=True)
    assert torch.equal(fresh.ridge.linears[0].weight, before["linears.0.weight"])
    assert torch.equal(fresh.ridge.linears[0].bias, network.ridge.linears[0].bias)

"""Public files: what is taken, what is refused in one line, and nothing that runs."""

from __future__ import annotations

import dataclasses
import os
import pickle

import pytest
import torch
from public_mindhier import SIZES, SWITTI, decoder, subject
from safetensors.torch import load_file, save_file

from harness.api import ConfigError, DataError, WeightsMissing
from harness.decoders.mindhier import MindHierDecoder, checkpoints, given_files, hierarchy, public, settings
from harness.decoders.mindhier.encoder import HierarchicalEncoder
from harness.decoders.mindhier.params import MindHierParams
from harness.decoders.mindhier.transformer import ScaleTransformer, TransformerSettings


def test_the_transformer_starts_from_what_fits_of_switti(folder):
    network = ScaleTransformer(SIZES.transformer)
    network.start()
    weights = load_file(folder / public.SWITTI)
    start = checkpoints.start_from_switti(network, weights)
    assert "blocks.1.attn.to_qkv.weight" in start.taken
    assert "blocks.0.cross_attn.to_kv.bias" in start.taken  # its shape is the same
    assert set(start.new) - {"lvl_1L", "attn_bias_for_masking"} == {
        "fmri_pooler.weight",
        "fmri_pooler.bias",
        *(f"blocks.{k}.{n}.weight" for k in (0, 1) for n in ("cross_attn.to_kv", "attention_y_norm")),
    }
    assert {"text_pooler.weight", "crop_proj.bias", "blocks.0.crop_cond_scales"} <= set(start.left)
    assert torch.equal(network.state_dict()["head.weight"], weights["head.weight"])


def test_full_size_switti_starts_the_full_size_transformer():
    with torch.device("meta"):
        switti = ScaleTransformer(
            TransformerSettings(
                context_width=2048, pooled_width=1280, pooler="text_pooler", crop_condition=True
            )
        )
        network = ScaleTransformer(TransformerSettings())
    assert sum(p.numel() for p in network.parameters()) == 2_318_294_656
    start = checkpoints.start_from_switti(network, switti.state_dict())
    new = [name for name in start.new if name not in dict(network.named_buffers())]
    assert len(new) == 62
    assert sum(network.state_dict()[n].numel() for n in new if n.endswith("to_kv.weight")) == 88_473_600


@pytest.mark.parametrize("changed", [{"depth": 3}, {"width": 24}, {"sides": (1, 2, 3, 4)}])
def test_weights_of_another_model_are_refused_in_one_line(changed):
    other = ScaleTransformer(dataclasses.replace(SWITTI, **changed))
    with pytest.raises(DataError, match=r"Switti.*yresearch/Switti") as refused:
        checkpoints.start_from_switti(ScaleTransformer(SIZES.transformer), other.state_dict())
    assert "\n" not in str(refused.value)


def written(folder, *, voxels, transformer=None):
    folder.mkdir(exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        encoder = HierarchicalEncoder(voxels, SIZES.encoder)
        network = ScaleTransformer(transformer or SIZES.transformer)
        network.start(gate=0.3)
    torch.save({"model_state_dict": encoder.state_dict(), "epoch": 300}, folder / "last-hierarchy-vitl.pth")
    save_file(
        {n: v.contiguous() for n, v in network.state_dict().items()}, folder / "transformer.safetensors"
    )
    return folder


def taken_up(folder, fitted):
    own = decoder(folder, pretrained=str(fitted))
    files = given_files.pretrained_files(str(fitted))
    own.take_up(*(checkpoints.read_weights(f) for f in files), subject().space)
    return own


def test_fitted_weights_in_the_released_layout_decode_without_a_fit(folder, tmp_path):
    own = taken_up(folder, written(tmp_path / "fitted", voxels=9))
    assert own.encoder.voxels == subject().space.n_valid == 9
    assert MindHierDecoder.pretrained(MindHierParams(pretrained="x"))
    assert not MindHierDecoder.pretrained(MindHierParams())


def test_a_checkpoint_of_another_subject_or_width_is_refused_in_one_line(folder, tmp_path):
    with pytest.raises(DataError, match="takes 11 voxels, the data have 9; choose the checkpoint"):
        taken_up(folder, written(tmp_path / "subject", voxels=11))
    wide = dataclasses.replace(SIZES.transformer, width=24)
    with pytest.raises(DataError, match=r"transformer.*has shape.*expected"):
        taken_up(folder, written(tmp_path / "width", voxels=9, transformer=wide))


class Malicious:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def test_a_pickle_that_wants_to_run_is_refused_and_does_not(folder, tmp_path):
    fitted, traces = written(tmp_path / "fitted", voxels=9), tmp_path / "ran"
    file = fitted / "last-hierarchy-vitl.pth"
    torch.save({"model_state_dict": Malicious(traces)}, file)
    with pytest.raises(DataError, match="cannot be read as weights"):
        taken_up(folder, fitted)
    file.write_bytes(pickle.dumps(Malicious(traces)))
    with pytest.raises(DataError, match="cannot be read as weights"):
        taken_up(folder, fitted)
    assert not traces.exists()


def test_a_truncated_file_is_refused_in_one_line(folder, tmp_path):
    fitted = written(tmp_path / "fitted", voxels=9)
    for name in ("transformer.safetensors", "last-hierarchy-vitl.pth"):
        file = fitted / name
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match="cannot be read") as refused:
            taken_up(folder, fitted)
        assert "\n" not in str(refused.value)
        file.write_bytes(whole)


def test_files_that_are_not_there_are_named(folder, tmp_path):
    own = MindHierParams(weights=str(tmp_path))
    lines = public.missing(own)
    assert sum("from yresearch/Switti on" in line for line in lines) == 1
    assert all("download it from" in line for line in lines if str(tmp_path) in line)
    with pytest.raises(WeightsMissing, match=r"decoder\.weights is not given.*preset=tiny"):
        public.parts(MindHierParams())
    with pytest.raises(WeightsMissing, match=r"decoder\.pretrained is a folder"):
        given_files.pretrained_files(str(tmp_path))


def test_a_statistic_of_other_scales_is_left_out(folder):
    weights = load_file(folder / public.VQVAE)
    weights["quantize.ema_vocab_hit_SV"] = torch.ones(7, 20)
    network = checkpoints.load_vqvae(weights, SIZES.vqvae)
    assert network.quantize.ema_vocab_hit_SV.shape == (3, 20)
    with pytest.raises(DataError, match="VQ-VAE"):
        checkpoints.load_vqvae({n: v for n, v in weights.items() if "decoder" not in n}, SIZES.vqvae)


@pytest.mark.parametrize(
    ("name", "published", "of_four"),
    [
        ("middle", (12, 16, 20, 24), (2, 3, 3, 4)),
        ("late", (18, 20, 22, 24), (3, 3, 4, 4)),
        ("early", (6, 12, 18, 24), (1, 2, 3, 4)),
    ],
)
def test_layer_maps_are_those_of_the_paper(name, published, of_four):
    assert settings.layers_of(name, levels=4, layers=24) == published
    assert settings.layers_of(name, levels=4, layers=4) == of_four


@torch.no_grad()
def test_words_are_the_text_towers_tokens(folder):
    class Tokenizer:
        def encode_batch(self, captions):
            return [type("Encoded", (), {"ids": [1, *map(len, caption.split()), 29]}) for caption in captions]

    clip = public._clip(folder)
    words = hierarchy.ClipWords(clip, Tokenizer())(["a red fish", "two"])
    ids = torch.tensor([[1, 1, 3, 4, 29, 29, 29], [1, 3, 29, 29, 29, 29, 29]])
    torch.testing.assert_close(words, clip.text_model(input_ids=ids).last_hidden_state)


def test_settings_that_exclude_each_other_are_refused():
    assert MindHierParams(low_level="mindeye2").low_level == "mindeye2"  # at full size from public files
    with pytest.raises(ConfigError, match="low_level"):
        MindHierParams(weights="tiny", pretrained="x", low_level="mindeye2")

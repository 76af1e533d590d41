"""MindEye1, small, and its published files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fitted_decoders import fitted, means, seeds

from harness.api import DataError, WeightsMissing
from harness.decoders.mindeye1.decoder import TINY, TINY_LOW, MindEye1Decoder, MindEye1Params
from harness.decoders.mindeye1.low_level import LowLevelNetwork
from harness.decoders.mindeye1.network import MindEye1Network

MINDEYE1 = MindEye1Params(weights="tiny", epochs=3, low_epochs=3, prior_steps=3, steps=3)


def test_both_networks_learn_and_are_kept(subject, tmp_path):
    decoder = fitted(MindEye1Decoder, MINDEYE1, subject, tmp_path)
    for name in ("mindeye1", "mindeye1 low level"):
        losses = [epoch["loss"] for epoch in decoder.curves[name]]
        assert len(losses) == 3
        assert losses[-1] < losses[0]
    decoder.space = subject.space
    decoded = decoder.decode(means(subject), seeds=seeds(4))
    (tmp_path / "kept").mkdir()
    decoder.save(tmp_path / "kept")
    again = MindEye1Decoder.load(tmp_path / "kept", MINDEYE1, device="cpu")
    assert np.array_equal(again.decode(means(subject), seeds=seeds(4)).images, decoded.images)


def test_mindeye1_takes_published_files_as_they_are(subject, tmp_path):
    voxels = subject.space.n_valid
    torch.manual_seed(0)
    whole = MindEye1Network(voxels, TINY)
    low = LowLevelNetwork(voxels, replace(TINY_LOW, contrast_dim=8))
    without_schedule = {k: v for k, v in whole.state_dict().items() if not k.startswith("noise_scheduler")}
    old = {
        k.replace("to_q.", "query.")
        .replace("to_k.", "key.")
        .replace("to_v.", "value.")
        .replace("to_out.0.", "proj_attn."): v
        for k, v in low.state_dict().items()
    }
    torch.save({"epoch": 239, "model_state_dict": without_schedule}, tmp_path / "last.pth")
    torch.save({"epoch": 119, "model_state_dict": old}, tmp_path / "epoch120.pth")
    params = replace(
        MINDEYE1, checkpoint=str(tmp_path / "last.pth"), low_checkpoint=str(tmp_path / "epoch120.pth")
    )
    decoder = MindEye1Decoder.from_pretrained(params, subject.space, device="cpu")
    decoded = decoder.decode(means(subject), seeds=seeds(4))
    voxel_rows = torch.from_numpy(means(subject).mean()[:, subject.space.valid])
    with torch.no_grad():
        expected = whole.eval().voxel2clip(voxel_rows).projected
    assert np.allclose(decoded.embedding, expected.numpy(), atol=1e-5)
    assert decoded.low_level.shape == (4, 64, 64, 3)
    taken = fitted(MindEye1Decoder, params, subject, tmp_path)  # nothing is trained where there is a file
    assert np.allclose(taken.decode(means(subject), seeds=seeds(4)).images, decoded.images)
    with pytest.raises(WeightsMissing, match="low_checkpoint is not given"):
        MindEye1Decoder.from_pretrained(replace(params, low_checkpoint=""), subject.space, device="cpu")


class Malicious:
    def __reduce__(self):
        return eval, ("1 / 0",)  # would raise ZeroDivisionError


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("malicious", "holds no mapping of names to tensors"),
        ("truncated", "cannot be read as weights"),
        ("subject", r"was trained on \d+ voxels, toy01 has \d+; choose the checkpoint of this subject"),
        ("width", "has shape"),
    ],
)
def test_a_checkpoint_that_is_not_this_subjects_ends_in_one_line(subject, tmp_path, kind, message):
    file, voxels = tmp_path / "last.pth", subject.space.n_valid
    sizes = replace(TINY, hidden=32) if kind == "width" else TINY
    state = MindEye1Network(voxels + (kind == "subject"), sizes).state_dict()
    torch.save({"model_state_dict": state}, file)
    if kind == "malicious":
        torch.save({"model_state_dict": Malicious()}, file)
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[:-5000])
    params = replace(MINDEYE1, checkpoint=str(file), low_level=False)
    with pytest.raises(DataError, match=message) as caught:
        MindEye1Decoder.from_pretrained(params, subject.space, device="cpu")
    assert "\n" not in str(caught.value)

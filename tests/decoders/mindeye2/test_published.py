"""Published models decode as they are: the subject's ridge layer by name and voxels, and nothing but it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os

import numpy as np
import pytest
import torch
from commands import TESTS, call_harness

from harness.api import DataError, Responses, SpaceMismatch, VoxelSpace, WeightsMissing
from harness.benchmarks.embedded import Embedded, Params
from harness.decoders.mindeye2 import MindEye2Decoder, backbone, model, public, published
from harness.decoders.mindeye2.params import MindEye2Params
from harness.nn import diffusion_prior as prior

VOXELS = {"subj01": 15724, "subj02": 14278, "subj03": 15226, "subj04": 13153, "subj05": 13039}
REDUCED = model.ModelSettings(
    backbone.BackboneSettings(
        hidden=20, token_dim=64, tokens=16, side=2, latent_channels=12, auxiliary_dim=8
    ),
    prior.PriorSettings(token_dim=64, tokens=16, heads=4, head_size=16),
)  # fmt: skip
"""All layers of the released network, at the widths of this project's small parts."""


def space(subject: str, count: int, valid=None) -> VoxelSpace:
    return VoxelSpace("toy", subject, "all", count, "zscore", f"{subject}{count}", valid=valid)


def write_published(folder, voxels, *, settings=REDUCED, name="final_subj01_pretrained_40sess_24bs", **more):
    """A ``last.pth`` in the published layout, its weights at random."""
    torch.manual_seed(0)
    network = model.MindEye2Network(voxels, settings)
    file = folder / name / "last.pth"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {"epoch": 149, "model_state_dict": network.state_dict(), "train_losses": [1.0], "lrs": [0.1]}
    torch.save({**content, **more}, file)
    return file, network


def tiny(file) -> MindEye2Params:
    return MindEye2Params(weights="tiny", hidden=224, steps=2, prior_steps=3, checkpoint=str(file))


def test_the_reduced_network_has_every_key_of_the_released_one():
    keys = json.loads(gzip.decompress((TESTS / "golden" / "full_mindeye2_keys.json.gz").read_bytes()))
    with torch.device("meta"):
        assert model.MindEye2Network([5], REDUCED).state_dict().keys() == keys.keys()


def test_a_published_model_decodes_without_a_fit_as_its_own_network(tmp_path):
    file, network = write_published(tmp_path, [9])
    decoder = MindEye2Decoder.from_pretrained(tiny(file), space("subj01", 9), device="cpu")
    trials = np.random.default_rng(0).standard_normal((4, 9)).astype(np.float32)
    responses = Responses(space("subj01", 9), ["a", "b"], trials, np.array([0, 0, 1, 1]))
    decoded = decoder.decode(responses, seeds=np.arange(2, dtype=np.uint64))
    network.eval()
    with torch.no_grad():
        tokens = network([torch.from_numpy(trials)]).retrieval
    expected = tokens.reshape(2, 2, 16, 64).mean(1).numpy()
    np.testing.assert_allclose(decoded.embedding, expected, atol=1e-5)
    assert decoded.images.shape[:2] == (2, 1)
    with pytest.raises(SpaceMismatch, match="subject is 'subj02'"):
        decoder.open(space("subj02", 9), device="cpu")


def test_masked_voxels_stand_at_their_mean(tmp_path):
    """The released files have every voxel of the mask; 0 is read where one is not valid."""
    file, _ = write_published(tmp_path, [9])
    valid = np.arange(9) != 4
    trials = np.random.default_rng(0).standard_normal((2, 9)).astype(np.float32)
    filled = np.where(valid, trials, 0).astype(np.float32)
    trials[:, 4] = np.nan
    embeddings = []
    for own, data in ((space("subj01", 9, valid), trials), (space("subj01", 9), filled)):
        decoder = MindEye2Decoder.from_pretrained(tiny(file), own, device="cpu")
        responses = Responses(own, ["a", "b"], data, np.arange(2))
        embeddings.append(decoder.decode(responses, seeds=np.arange(2, dtype=np.uint64)).embedding)
    np.testing.assert_allclose(*embeddings, atol=1e-5)


def test_each_subject_gets_its_own_layer_of_a_multisubject_file(tmp_path):
    file, network = write_published(tmp_path, [5, 7, 9, 7], name="final_multisubject_subj02")
    weights = network.state_dict()
    for subject, count, layer in (("subj01", 5, 0), ("subj03", 7, 1), ("subj04", 9, 2), ("subj05", 7, 3)):
        chosen = published.subject_weights(weights, space(subject, count), file=file)
        assert torch.equal(chosen["ridge.linears.0.weight"], weights[f"ridge.linears.{layer}.weight"])
        assert sum(name.startswith("ridge.") for name in chosen) == 2
    nameless = tmp_path / "mine" / "last.pth"
    assert published.ridge_layer([5, 7, 9, 7], space("subj04", 9), file=nameless) == 2
    assert published.ridge_layer([5, 7], space("CSI1", 5), file=file) == 0


@pytest.mark.parametrize(
    ("folder", "sizes", "subject", "count", "words"),
    [
        (
            "final_subj01_pretrained_1sess_24bs",
            [9],
            "subj02",
            9,
            "is of subject 1; the data have 9 voxels of",
        ),
        ("final_subj01_pretrained_40sess_24bs", [9], "subj01", 8, "has 9 voxels in the ridge layer of subj"),
        ("final_multisubject_subj01", [5, 7], "subj01", 5, "trained on all subjects but 1 and has no ridge"),
        ("final_multisubject_subj01", [5, 7], "subj02", 7, "has 5 voxels in the ridge layer of subject 2"),
        ("final_multisubject_subj01", [5, 7], "subj08", 7, "has no voxels in the ridge layer of subject 8"),
        ("mine", [7, 7], "subj01", 7, "no subject in its folder's name; .* which fits 2 of them"),
        ("mine", [], "subj01", 7, "has no ridge layer"),
    ],
)
def test_a_file_of_another_subject_is_refused_in_one_line(tmp_path, folder, sizes, subject, count, words):
    with pytest.raises(DataError, match=words) as problem:
        published.ridge_layer(sizes, space(subject, count), file=tmp_path / folder / "last.pth")
    assert "\n" not in str(problem.value)


def test_a_file_of_another_width_is_refused(tmp_path):
    wide = (
        dataclasses.replace(REDUCED.backbone, token_dim=32),
        dataclasses.replace(REDUCED.prior, token_dim=32),
    )
    file, _ = write_published(tmp_path, [9], settings=model.ModelSettings(*wide))
    with pytest.raises(
        DataError, match=r"predicts tokens of shape \(16, 32\) and the other parts have \(16, 64"
    ):
        MindEye2Decoder.from_pretrained(tiny(file), space("subj01", 9), device="cpu")
    other = dataclasses.replace(REDUCED.backbone, latent_channels=4)
    file, _ = write_published(tmp_path, [9], settings=model.ModelSettings(other, REDUCED.prior))
    with pytest.raises(
        DataError, match=r"low-level latents of shape \(4, 8, 8\) and the other parts have \(12,"
    ):
        MindEye2Decoder.from_pretrained(tiny(file), space("subj01", 9), device="cpu")


def test_the_identity_follows_the_checkpoint_and_not_what_a_fit_would_read(tmp_path, folder):
    file, _ = write_published(tmp_path, [9])
    params = MindEye2Params(weights=str(folder), checkpoint=str(file))
    first = MindEye2Decoder(params).identity()
    assert first != MindEye2Decoder(MindEye2Params(weights=str(folder))).identity()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert MindEye2Decoder(params).identity() != first
    assert public.missing(params, "subj01") == []
    auto = dataclasses.replace(params, checkpoint="auto")
    (line,) = public.missing(auto, "subj01")
    assert "final_subj01_pretrained_40sess_24bs/last.pth is not there" in line
    assert public.checkpoint_file(auto, "subj07").parent.name == "final_subj07_pretrained_40sess_24bs"
    file.unlink()
    with pytest.raises(WeightsMissing, match=r"last\.pth is not there"):
        MindEye2Decoder(params).identity()


class Call:
    """Pickled, this makes a folder."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_the_command_line_decodes_with_a_published_file_and_refuses_a_bad_one(tmp_path):
    words = ["run", "--decoder", "mindeye2", "--no-report", "--metrics", "pixcorr"]
    for setting in ("run.derangements=2", "benchmark.n_train=24", "run.limit=4", "decoder.steps=2"):
        words += ["--set", setting]
    words += ["--set", "decoder.prior_steps=3", "--set", "decoder.half=bfloat16"]
    count = Embedded(Params(n_train=24)).load("subj01").space.n_voxels
    file, network = write_published(tmp_path, [count])
    words += ["--set", f"decoder.checkpoint={file}"]
    done = call_harness(tmp_path, *words)
    assert "measured fMRI" in done.stdout
    computed = done.stdout.partition("computed:")[2]
    assert "decode" in computed
    assert "fit" not in computed
    kept = [f for f in (tmp_path / "store").rglob("*.npy") if f.stem in ("images", "embedding", "low_level")]
    kinds = {np.load(file, mmap_mode="r").dtype.name for file in kept if "decode" in file.parts}
    assert kinds == {"float16"}
    torch.save({"model_state_dict": network.state_dict(), "extra": Call(tmp_path / "made")}, file)
    done = call_harness(tmp_path, *words, check=False)
    last = " ".join(done.stderr.partition("harness: error:")[2].split())
    assert done.returncode
    assert "last.pth cannot be read as weights: it is damaged, or wants to run code" in last
    assert not (tmp_path / "made").exists()


def test_a_damaged_or_foreign_file_ends_in_one_line(tmp_path):
    file, _ = write_published(tmp_path, [9])
    content = file.read_bytes()
    for own, kept, words in (
        (space("subj01", 9), content[: len(content) // 2], "cannot be read as weights"),
        (space("subj02", 9), content, "is of subject 1; the data have 9 voxels of subj02"),
    ):
        file.write_bytes(kept)
        with pytest.raises(DataError, match=words) as problem:
            MindEye2Decoder.from_pretrained(tiny(file), own, device="cpu")
        assert "\n" not in str(problem.value)

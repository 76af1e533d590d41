"""GNet from a file of the public layout, and the correlation with measured responses that rests on it.

The public file (1.3 GB) is not here: files of its layout are made, with 20 voxels in place of 15,724.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import TOYS, call_harness
from hostile_pickles import Runs
from named_metrics import metric_named
from PIL import Image
from scipy.stats import pearsonr
from torch.nn import functional
from torchvision.transforms.functional import to_pil_image
from toys import ToyBenchmark

from harness.api import ConfigError, Responses, Stimuli, VoxelSpace, WeightsMissing
from harness.backbones import gnet, weights
from harness.backbones.gnet import GNet, read_gnet
from harness.reports.functional import brain_region_table, region_table
from harness.reports.html import write_report
from harness.results import RunResult
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import write_run
from harness.scoring.compare import derangements_of
from harness.settings import Request
from harness.stages.features import backbone_identity
from harness.storage.store import Store
from harness.storage.worker import forget

V = 20


def public_content(seed: int = 0, *, subjects=(1, 2), voxels: int = V, mu=(3, 1, 1)) -> dict:
    """A mapping of the keys and shapes that MindEye2's models.py reads from gnet_multisubject.pt."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=1.0):
        return scale * torch.randn(*shape, generator=generator)

    enc = {"mu": 0.45 + draw(*mu, scale=0.02)}

    def convolution(name, out, channels, side):
        enc[f"{name}.weight"] = draw(out, channels, side, side, scale=(2 / (channels * side**2)) ** 0.5)
        enc[f"{name}.bias"] = draw(out, scale=0.1)

    def norm(name, channels):
        enc[f"{name}.weight"] = 1 + draw(channels, scale=0.1)
        enc[f"{name}.bias"] = draw(channels, scale=0.1)
        enc[f"{name}.running_mean"] = 0.3 + draw(channels, scale=0.1)
        enc[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        enc[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("pre.conv1.0", 64, 3, 11)
    convolution("pre.conv2.0", 192, 64, 5)
    norm("enc.bn1", 192)
    convolution("enc.conv3", 128, 192, 3)
    widths = {"4a": (128, 256), "6b": (256, 64)}
    for block in ("4a", "4b", "5a", "5b", "6a", "6b"):
        channels, out = widths.get(block, (256, 256))
        norm(f"enc.conv{block}.bn1", channels)
        convolution(f"enc.conv{block}.conv1", out, channels, 3)
    fwrfs = {
        number: {
            "rf0": draw(voxels, 25, 25, scale=2.0),
            "rf1": draw(voxels, 13, 13, scale=2.0),
            "w": draw(voxels, 512, scale=0.1),
            "b": draw(voxels, scale=0.2),
        }
        for number in subjects
    }
    return {
        "voxel_mask": {s: np.ones(30, bool) for s in subjects},
        "voxel_roi": {s: np.arange(voxels) for s in subjects},
        "voxel_index": {s: np.arange(voxels) for s in subjects},
        "brain_nii_shape": {s: np.array([81, 104, 83]) for s in subjects},
        "val_cc": {s: np.zeros(voxels, np.float32) for s in subjects},
        "input_mean": enc["mu"].numpy(),
        "best_params": {"enc": enc, "fwrfs": fwrfs},
    }


def by_hand(content: dict, images: np.ndarray, subject: int) -> np.ndarray:
    """(n, V) responses by torch's functions for the maps, and numpy voxel by voxel for the readout."""
    p = content["best_params"]["enc"]
    small = [
        np.asarray(to_pil_image(torch.from_numpy(image).permute(2, 0, 1)).resize((227, 227), Image.LANCZOS))
        for image in images
    ]
    x = torch.from_numpy(np.stack(small).astype(np.float32) / 255).permute(0, 3, 1, 2) - p["mu"]

    def convolve(name, x, **more):
        return functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **more)

    def normalise(name, x):
        names = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(p[f"{name}.{parameter}"] for parameter in names), eps=1e-5)

    x = functional.max_pool2d(functional.relu(convolve("pre.conv1.0", x, stride=4, padding=2)), 3, 2)
    x = functional.relu(convolve("pre.conv2.0", x, padding=2))
    c = {"3": functional.relu(convolve("enc.conv3", normalise("enc.bn1", x)))}
    before = {"4a": "3", "4b": "4a", "5a": "4b", "5b": "5a", "6a": "5b", "6b": "6a"}
    for name, last in before.items():
        x = functional.max_pool2d(c[last], 3, 2, padding=1) if name == "5a" else c[last]
        block = f"enc.conv{name}"
        c[name] = functional.relu(convolve(f"{block}.conv1", normalise(f"{block}.bn1", x), padding=1))
    sets = [("3", "4a", "4b"), ("5a", "5b", "6a", "6b")]
    cut = [[c[k] if k == "3" else c[k][:, :64] for k in names] for names in sets]
    maps = [torch.cat(parts, dim=1).numpy().astype(np.float64) for parts in cut]
    assert [m.shape[1:] for m in maps] == [(256, 25, 25), (256, 13, 13)]

    def bend(x):
        return np.log(1 + np.abs(x)) * np.tanh(x)

    own = {k: v.numpy().astype(np.float64) for k, v in content["best_params"]["fwrfs"][subject].items()}
    out = np.empty((len(images), len(own["b"])))
    for n in range(len(images)):
        for v in range(len(own["b"])):
            pooled = []
            for k in range(2):
                field = np.exp(own[f"rf{k}"][v] - own[f"rf{k}"][v].max())
                field /= field.sum()
                pooled.append((bend(maps[k][n]) * field).sum(axis=(1, 2)))
            out[n, v] = own["b"][v] + own["w"][v] @ bend(np.concatenate(pooled))
    return out


@pytest.fixture(scope="module")
def content():
    return public_content()


@pytest.fixture
def stored(tmp_path):
    """``stored(content)`` keeps a file of weights, for as long as the test runs."""
    with storing(tmp_path) as keep:
        yield keep


@contextlib.contextmanager
def storing(folder):
    """A function that keeps a file of weights as ``harness prefetch gnet --from FILE`` does."""
    forget()
    backbone_identity.cache_clear()

    def keep(content):
        file = folder / "made.pt"
        torch.save(content, file)
        return weights.fetch("gnet", source=file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_WEIGHTS", str(folder / "weights"))
        yield keep
    forget()
    backbone_identity.cache_clear()


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_responses_are_those_of_the_formula(content, stored, kind, monkeypatch):
    monkeypatch.setattr("harness.backbones.gnet_network.VOXELS_AT_ONCE", 7)  # 20 voxels in three parts
    stored(content)
    images = np.random.default_rng(0).integers(0, 256, (2, 90, 120, 3)).astype(np.uint8)
    if kind == "float":
        images = np.random.default_rng(1).random((2, 90, 120, 3)).astype(np.float32)
    backbone = GNet()
    backbone.open(device="cpu")
    responses = backbone.extract(images, ["subj01", "subj02"])
    for number in (1, 2):
        expected = by_hand(content, images, number)
        assert expected.std(axis=0).min() > 0
        np.testing.assert_allclose(responses[f"subj{number:02d}"], expected, rtol=1e-4, atol=1e-4)
    assert responses["subj01"].dtype == np.float32
    assert np.abs(responses["subj01"] - responses["subj02"]).max() > 0.1
    with pytest.raises(ConfigError, match="no voxels of subj05; they hold subj01, subj02"):
        backbone.extract(images, ["subj05"])


def test_a_whole_mean_image_is_taken(stored):
    content = public_content(3, subjects=(7,), voxels=2, mu=(3, 227, 227))
    stored(content)
    images = np.random.default_rng(0).integers(0, 256, (1, 227, 227, 3)).astype(np.uint8)
    backbone = GNet()
    backbone.open(device="cpu")
    np.testing.assert_allclose(
        backbone.extract(images, ["subj07"])["subj07"], by_hand(content, images, 7), rtol=1e-4, atol=1e-4
    )


def test_another_layout_is_refused_by_name(content, stored, tmp_path):
    file = tmp_path / "other.pt"
    torch.save({"state_dict": {}, "epoch": 3}, file)
    with pytest.raises(WeightsMissing, match=r"'best_params', found state_dict, epoch"):
        read_gnet(file)
    torch.save({"best_params": {"enc": content["best_params"]["enc"]}}, file)
    with pytest.raises(WeightsMissing, match=r"'fwrfs', found enc"):
        read_gnet(file)
    torch.save({"best_params": {"enc": {}, "fwrfs": {9: {}}}}, file)
    with pytest.raises(WeightsMissing, match="holds 9; expected the numbers 1 to 8"):
        read_gnet(file)
    torch.save({"best_params": {"enc": {"mu": np.zeros(3)}, "fwrfs": {}}}, file)
    with pytest.raises(WeightsMissing, match=r"shared\.mu is no tensor"):
        read_gnet(file)
    file.write_bytes(b"not weights at all")
    with pytest.raises(WeightsMissing, match="cannot be read"):
        read_gnet(file)


@pytest.mark.parametrize(
    ("where", "name", "value", "message"),
    [
        ("fwrfs", "rf1", torch.zeros(V, 12, 12), "rf1"),
        ("fwrfs", "w", torch.zeros(V, 511), "readouts.subj01.w"),
        ("fwrfs", "b", None, "readouts.subj01.b"),
        ("fwrfs", "rf2", torch.zeros(V, 27, 27), "rf2"),
        ("enc", "enc.conv3.bias", None, "shared.enc.conv3.bias"),
        ("enc", "mu", torch.zeros(4, 1, 1), "shared.mu"),
    ],
)
def test_other_parameters_are_refused_by_name(content, stored, where, name, value, message):
    best = content["best_params"]
    part = dict(best[where] if where == "enc" else best[where][1])
    part.pop(name, None)
    if value is not None:
        part[name] = value
    stored({"best_params": {**best, where: part if where == "enc" else {1: part}}})
    with pytest.raises(WeightsMissing, match="another network") as refusal:
        GNet().open(device="cpu")
    assert message in str(refusal.value)


def test_nothing_in_the_file_is_run(content, stored, tmp_path):
    stored({**content, "alarm": Runs(tmp_path / "ran")})
    with pytest.raises(WeightsMissing, match="without running"):
        GNet().open(device="cpu")
    assert not (tmp_path / "ran").exists()


def test_scores_are_correlations_over_voxels():
    rng = np.random.default_rng(0)
    predicted, measured = rng.standard_normal((2, 6, 50))
    metric = metric_named("gnet-brain-correlation")
    expected = [pearsonr(p, m).statistic for p, m in zip(predicted, measured)]
    np.testing.assert_allclose(metric.score(predicted, measured), expected, atol=1e-12)
    orders = np.stack([np.roll(np.arange(6), k) for k in (1, 2, 3)])
    expected = np.mean([metric.score(predicted[order], measured) for order in orders], axis=0)
    np.testing.assert_allclose(metric.score_deranged(predicted, measured, orders), expected, atol=1e-12)
    assert metric.score(np.ones((6, 50)), measured).tolist() == [0.0] * 6


def space(**other) -> VoxelSpace:
    given = {"dataset": "nsd", "subject": "subj01", "mask": "nsdgeneral", "n_voxels": 15724}
    return VoxelSpace(**{**given, "units": "zscore_session", "voxels_sha": "x", **other})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, ""),
        ({"units": "zscore"}, ""),
        ({"units": "percent"}, "in units 'percent'"),
        ({"n_voxels": 15723}, "15724 nsdgeneral voxels of subj01; these are 15723"),
        ({"subject": "subj02"}, "14278 nsdgeneral voxels of subj02; these are 15724"),
        ({"subject": "subj09"}, "these are nsdgeneral of subj09 of nsd"),
        ({"mask": "all"}, "these are all of subj01 of nsd"),
        ({"dataset": "digits69"}, "of digits69"),
    ],
)
def test_other_voxels_are_left_out_with_a_reason(other, message):
    reason = metric_named("gnet-brain-correlation").lacking(space(**other))
    assert message in reason
    assert bool(reason) == bool(message)


def run(folder, patch, *, as_nsd: bool):
    """A toy run whose voxels are called NSD's, written into ``folder / "run"``."""

    def load(benchmark, subject, **more):
        data = ToyBenchmark(benchmark.params).load(subject)
        regions = {"V1": np.arange(V) < 8, "hV4": np.arange(V) >= 12, "two": np.arange(V) < 2}
        named = replace(
            data.space,
            dataset="nsd" if as_nsd else "toy",
            subject="subj01",
            mask="nsdgeneral",
            rois=regions,
            valid=np.arange(V) != 5,
        )
        pieces = {}
        for name in ("train", "test", "truth", "remeasured"):
            piece = getattr(data, name)
            old = getattr(piece, "responses", piece)
            new = Responses(named, old.ids, old.trials(), old.image_index, session=old.session)
            pieces[name] = new if old is piece else replace(piece, responses=new)
        return replace(data, space=named, **pieces), None, []

    patch.setitem(gnet.NSDGENERAL, "subj01", V)
    patch.setattr("harness.run.preparation.load_subject", load)
    request = Request(
        benchmark=f"{TOYS}:ToyBenchmark",
        encoder=f"{TOYS}:ToyEncoder",
        decoder=f"{TOYS}:ToyDecoder",
        values={
            "run": {"metrics": ["gnet-brain-correlation", "pixcorr", "pattern-r-raw"], "derangements": 3},
            "benchmark": {"n_test": 4, "n_train": 40, "voxels": V},
        },
    )
    store = Store(folder / "store")
    outcome = run_plan(make_plan(request), store)
    assert not outcome.scored.failures
    write_run(outcome, folder / "run", command=["harness"], store=store)
    return outcome


@pytest.fixture(scope="module")
def finished(content, tmp_path_factory):
    """A run on data called NSD's, its folder, and GNet as it was there."""
    folder = tmp_path_factory.mktemp("gnet")
    with storing(folder) as keep, pytest.MonkeyPatch.context() as patch:
        keep(content)
        outcome = run(folder, patch, as_nsd=True)
        backbone = GNet()
        backbone.open(device="cpu")
    return outcome, folder / "run", backbone


def test_a_run_scores_rows_stimuli_and_regions(finished):
    outcome, _, backbone = finished
    data = outcome.data
    valid, truth = data.space.valid, data.test.responses.mean()
    scored_rows = {
        s.images.row: s for s in outcome.scored.images if s.target == "brain" and s.images.trial < 0
    }
    assert {"measured", "predicted", "stimulus", "shuffled", "shuffled-measured", "flat-grey"} <= set(
        scored_rows
    )
    regions = {
        (r.row, r.region): r for r in outcome.scored.regions if r.metric.ref.name == "gnet-brain-correlation"
    }
    for row in ("measured", "stimulus"):
        images: Stimuli = scored_rows[row].images.images
        ours = backbone.extract(np.asarray(images.images()), ["subj01"])["subj01"]
        for region, inside in {"all voxels": valid, **data.space.rois}.items():
            at = inside & valid
            if region == "two":
                assert (row, region) not in regions  # two voxels make no pattern
                continue
            values = [pearsonr(p[at], m[at]).statistic for p, m in zip(ours, truth)]
            assert regions[row, region].value == pytest.approx(np.mean(values), abs=1e-5)
            assert regions[row, region].n_voxels == at.sum()
            if region == "all voxels":
                np.testing.assert_allclose(scored_rows[row].values, values, atol=1e-5)
    # The shuffled control: the mean over re-pairings of all images, each with another's responses.
    ours = backbone.extract(np.asarray(scored_rows["measured"].images.images.images()), ["subj01"])["subj01"]
    every = np.corrcoef(ours[:, valid], truth[:, valid])[:4, 4:]
    orders = derangements_of(data.test.stimuli.ids, 3)
    assert (orders != np.arange(4)).all()
    expected = np.mean([every[order, np.arange(4)] for order in orders], axis=0)
    np.testing.assert_allclose(scored_rows["shuffled-measured"].values, expected, atol=1e-5)


def test_tables_and_report_show_it_apart_from_encoding_scores(finished):
    outcome, folder, _ = finished
    result = RunResult.open(folder)
    ours = result.scores[result.scores.target == "brain"]
    assert set(ours.backbone) == {"gnet:subject"}
    assert len(ours[ours.row == "stimulus"]) == len(outcome.data.test)
    regions = result.region_scores[result.region_scores.metric == "gnet-brain-correlation@1"]
    assert {"all voxels", "V1", "hV4"} == set(regions[regions.row == "flat-grey"].region)
    assert "gnet-brain-correlation@1" not in set(region_table(result).metric)
    assert set(brain_region_table(result).metric) == {"gnet-brain-correlation@1"}
    text = write_report(folder).read_text()
    assert "Back to the brain" in text
    assert "brain-regions" in text


def test_other_data_are_left_out_of_a_run(content, stored, tmp_path, monkeypatch):
    stored(content)
    outcome = run(tmp_path, monkeypatch, as_nsd=False)
    assert not [s for s in outcome.scored.images if s.target == "brain"]
    ((name, why),) = outcome.scored.left_out
    assert name == "gnet-brain-correlation"
    assert why.endswith("these are nsdgeneral of subj01 of toy")


def test_without_the_weights_one_line_says_what_to_type(toy_words, tmp_path):
    here = {"HARNESS_WEIGHTS": str(tmp_path / "none")}
    words = [*toy_words[:-2], "--metrics", "gnet-brain-correlation"]
    done = call_harness(tmp_path, "run", *words, check=False, **here)
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert "gnet_multisubject.pt" in line
    assert "harness prefetch gnet (1288 MB)" in line

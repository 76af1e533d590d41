"""Protocols: what they ask for exists, blending equals the notebook's, differences are found and shown."""

from __future__ import annotations

import functools
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import report_fixtures
import torch
from commands import HELPERS, TOYS
from named_backbones import backbone_named
from named_metrics import metric_named
from public_mindeye2 import QUICK, TOY
from rich.console import Console
from torchvision.transforms import Resize

from harness import plugins
from harness.api import ConfigError, DataError, PluginError, Stimuli
from harness.backbones import weights
from harness.decoders.mindeye2 import public
from harness.errors import WeightsMissing
from harness.progress import Silent
from harness.reports.html import _protocols, render_html
from harness.reports.terminal import render
from harness.results import RunResult
from harness.run.context import Context
from harness.run.decoding import decoded_rows, decoder_branch
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.preparation import prepare
from harness.run.protocols import (
    PROTOCOLS,
    RunFacts,
    blended,
    declared_blend,
    differences,
    protocol_named,
    side_by_side,
)
from harness.scoring.context import Circumstances
from harness.settings import Request
from harness.storage.store import Store


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_every_metric_of_a_protocol_is_installed_and_its_weights_are_in_its_group(protocol):
    needed = set()
    for name in protocol.metrics:
        metric = metric_named(name)
        assert "stimulus" in metric.targets
        if metric.backbone is not None:
            needed.add(backbone_named(metric.backbone[0]).weights)
    assert needed == set(weights.members(protocol.weights)) - ({"dinov2"} - needed)
    assert protocol.source


def test_protocols_differ_where_the_papers_do():
    backbones = {
        name: {
            metric_named(metric).backbone
            for metric in protocol.metrics
            if metric.rpartition("-")[2] not in ("cos", "dinov2")
        }
        for name, protocol in PROTOCOLS.items()
    }
    ends = {"mindeye2": "-v1", "synbrain": "-v1", "brain-diffuser": "-brain-diffuser", "strict": "-v2"}
    for name, slots in backbones.items():
        assert all(slot[0].endswith(ends[name]) for slot in slots - {None} if slot[0] != "dinov2")
    assert [p.blend for p in PROTOCOLS.values()] == [0.25, 0, 0, 0]
    assert [p.test_images for p in PROTOCOLS.values()] == [1000, 982, 1000, 0]
    lines = side_by_side()
    assert [list(line) for line in lines] == [["item", *PROTOCOLS]] * len(lines)
    assert {line["item"]: line["brain-diffuser"] for line in lines}["test images"] == "982"


def test_unknown_protocols_suggest_the_near_one():
    assert protocol_named("") is None
    with pytest.raises(ConfigError, match=r"unknown protocol 'strikt'; did you mean 'strict'\?"):
        protocol_named("strikt")


# Differences

AS_PUBLISHED = RunFacts(1000, (224, 224), "zscore_session", "outputs", 0.25, PROTOCOLS["mindeye2"].metrics)


def test_a_run_as_published_differs_only_in_what_is_never_reproduced():
    protocol = PROTOCOLS["mindeye2"]
    assert differences(protocol, AS_PUBLISHED) == list(protocol.not_reproduced)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"test_images": 100}, "100 test images here, 1000 there"),
        ({"stimulus_size": (200, 300)}, "stimuli of 300 x 200 px here, 224 x 224 there"),
        ({"units": "percent"}, "units 'percent' here; there: z-scored"),
        ({"average": "inputs"}, "the decoder's inputs are averaged"),
        ({"blended": 0.0}, "nothing is blended here"),
        (
            {"scored": ("pixcorr", "ssim")},
            "not scored here: alexnet2-strict, alexnet5-strict, inception",
        ),
    ],
)
def test_every_difference_is_one_line_and_nothing_else_changes(change, words):
    protocol = PROTOCOLS["mindeye2"]
    lines = differences(protocol, replace(AS_PUBLISHED, **change))
    assert len(lines) == len(protocol.not_reproduced) + 1
    assert words in lines[0]


def test_the_strict_protocol_takes_any_data():
    facts = RunFacts(37, (64, 64), "percent", "inputs", 0.0, PROTOCOLS["strict"].metrics)
    assert differences(PROTOCOLS["strict"], facts) == []


# Blending


def test_blending_is_three_to_one_at_256_without_antialiasing():
    generator = np.random.default_rng(0)
    sharp = generator.integers(0, 256, (5, 400, 400, 3)).astype(np.uint8)
    blurry = generator.random((5, 40, 40, 3)).astype(np.float32)
    ids = [f"i{k}" for k in range(5)]
    mixed = blended(Stimuli.from_array(ids, sharp), [blurry[:2], blurry[2:]], share=0.25)
    small = Resize((256, 256), antialias=False)
    planes = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in (sharp / np.float32(255), blurry)]
    expected = 0.75 * small(planes[0]) + 0.25 * small(planes[1])
    np.testing.assert_allclose(mixed.images(), expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)
    assert mixed.images().dtype == np.float32
    np.testing.assert_array_equal(mixed.images(["i3", "i1"]), mixed.images()[[3, 1]])
    assert mixed.sha != Stimuli.from_array(ids, sharp).sha
    with pytest.raises(DataError, match="4 low-level images for 5 reconstructions"):
        blended(Stimuli.from_array(ids, sharp), [blurry[:4]], share=0.25)


@pytest.mark.parametrize(
    ("sides", "side"), [((8, 16), 16), ((40, 16), 40), ((16, 300), 256), ((400, 300), 256)]
)
def test_without_a_protocol_small_pictures_are_not_enlarged_beyond_the_larger_of_the_two(sides, side):
    generator = np.random.default_rng(3)
    sharp, blurry = (generator.random((3, edge, edge, 3)).astype(np.float32) for edge in sides)
    mixed = blended(Stimuli.from_array("abc", sharp), [blurry], share=0.4, enlarge=False).images()
    small = Resize((side, side), antialias=False)
    planes = [small(torch.from_numpy(x).permute(0, 3, 1, 2)) for x in (sharp, blurry)]
    expected = (0.6 * planes[0] + 0.4 * planes[1]).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan"), "0.25", True, None])
def test_a_share_that_is_none_is_refused_in_one_line(share):
    ref = SimpleNamespace(name="mine", load=lambda: lambda params: SimpleNamespace(blend=share))
    with pytest.raises(PluginError, match=r"decoder 'mine' has blend = .*; expected a number from 0 to 1"):
        declared_blend(ref, None)
    ref.load = lambda: lambda params: SimpleNamespace(blend=params)
    assert [declared_blend(ref, given) for given in (0, 0.5, 1)] == [0.0, 0.5, 1.0]
    ref.load = lambda: lambda params: object()
    assert declared_blend(ref, None) == 0.0


@pytest.fixture
def scored(folder, tmp_path, monkeypatch):
    """One run of `mindeye2` at toy size: what it decoded, and what is scored, of measured and true images."""
    monkeypatch.setattr(public, "parts", functools.partial(public.parts, sizes=TOY))

    def call(protocol: str, **params):
        values = {
            "benchmark": {"n_train": 8, "n_test": 4},
            "decoder": {"weights": str(folder), "pretrained": "none", **QUICK, **params},
            "run": {"metrics": ["pixcorr"], "derangements": 2, "protocol": protocol, "micro_batch": 3},
        }
        request = Request(benchmark=f"{TOYS}:ToyBenchmark", decoder="mindeye2", values=values)
        plan, store = make_plan(request), Store(tmp_path / "store")
        outcome = run_plan(plan, store)
        context = Context.open(plan, Store(tmp_path / "store"), reporter=Silent())
        prepared = prepare(context)
        decoded = decoded_rows(context, prepared, None, decoder_branch(context, prepared))
        rows = {}
        for image_set in outcome.sets:
            if image_set.row in ("measured", "generator-ceiling"):
                reconstructions = decoded.reconstructions[image_set.row, -1, 0]
                own = reconstructions.chosen(np.zeros(4, np.int64)).images()
                rows[image_set.row] = (own, reconstructions.optional("low_level"), image_set.images)
        assert set(rows) == {"measured", "generator-ceiling"}
        return outcome, store, rows

    return call


def notebook(own: np.ndarray, low_level: np.ndarray, *, side: int, share: float) -> np.ndarray:
    """Both to `side`, antialias off, then mixed: the order of MindEye2's notebook, by torchvision."""
    small = Resize((side, side), antialias=False)
    planes = [small(torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)) for x in (own, low_level)]
    return ((1 - share) * planes[0] + share * planes[1]).permute(0, 2, 3, 1).numpy()


def test_what_mindeye2_decodes_is_blended_once_by_the_protocols_share_or_its_own(scored):
    shas = {}
    for protocol, params, share, side in (
        ("mindeye2", {}, 0.25, 256),
        ("mindeye2", {"blend": 0.6}, 0.25, 256),
        ("", {}, 0.25, 16),
        ("", {"blend": 0.6}, 0.6, 16),
        ("", {"blend": 0.0}, 0.0, 16),
        ("strict", {}, 0.0, 16),
        ("synbrain", {}, 0.0, 16),
        ("brain-diffuser", {}, 0.0, 16),
    ):
        outcome, store, rows = scored(protocol, **params)
        assert outcome.blended == share
        for own, low_level, images in rows.values():
            assert own.shape == low_level.shape == (4, 16, 16, 3)
            assert np.abs(own - low_level).mean() > 0.05
            expected = notebook(own, low_level, side=side, share=share)
            np.testing.assert_allclose(images.images(), expected, atol=1e-6 if share else 0)
        if shas:  # another share scores other images, and neither fits nor decodes again
            assert not store.computed["fit"] + store.computed["decode"]
        shas.setdefault((share, side), set()).add(rows["measured"][2].sha)
    assert {len(image_shas) for image_shas in shas.values()} == {1}
    assert len(set.union(*shas.values())) == len(shas) == 4


# Runs

FIELD = {"alexnet2", "alexnet5", "inception", "clip", "efficientnet", "swav", "dinov2", "dinov2-cos"}
available = plugins.available


BLURRED = """
import sys
from dataclasses import replace
import numpy as np
sys.path.insert(0, {tests!r})
from toys import ToyDecoder

class Blurred(ToyDecoder):
    def decode(self, responses, *, seeds):
        decoded = super().decode(responses, seeds=seeds)
        return replace(decoded, low_level=np.full((len(decoded.images), 4, 4, 3), 0.5, np.float32))
"""


def run_words(toy_words: list[str], *more: str) -> list[str]:
    words = list(toy_words)
    words[words.index("--metrics") + 1] = "pixcorr,voxel-r"
    return ["run", *words, "--set", "benchmark.n_test=6", "--set", "run.derangements=2", *more]


def test_a_run_blends_says_what_differs_and_scores_what_was_blended(harness, tmp_path, toy_words):
    words = run_words(toy_words)
    (tmp_path / "blurred.py").write_text(BLURRED.format(tests=str(HELPERS)))
    words[words.index("--decoder") + 1] = "blurred.py:Blurred"
    done = harness(*words, "--protocol", "mindeye2", "--out", "one")
    plain = harness(*words, "--out", "other")
    runs = [RunResult.open(next((tmp_path / out).iterdir())) for out in ("one", "other")]
    recorded = runs[0].info["protocol"]
    assert (recorded["name"], runs[1].info["protocol"]) == ("mindeye2", None)
    assert "6 test images here, 1000 there" in recorded["differs"]
    assert not [line for line in recorded["differs"] if "nothing is blended" in line]
    assert "protocol mindeye2: 6 test images here, 1000 there" in done.stdout
    assert "protocol" not in plain.stdout
    scores = [pd.read_parquet(run.folder / "scores.parquet") for run in runs]
    first, second = (
        s[(s.metric == "pixcorr@1") & (s.target == "stimulus")].set_index(["row", "image_id"]).value
        for s in scores
    )
    changed = (first - second).abs().groupby("row").max()
    unblended = ("mean-image", "flat-grey", "nearest-train", "nearest-train-measured", "generator-ceiling")
    assert (changed[list(unblended)] == 0).all()
    assert [run.info["blended"] for run in runs] == [0.25, 0.0]
    line = "scored with a share of 0.25 of the decoder's low-level images blended in"
    assert line in done.stdout
    assert "blended in" not in plain.stdout
    pages = [(run.folder / "report.html").read_text() for run in runs]
    assert ["share of the low-level images" in page for page in pages] == [True, False]
    # Correlation is blind to mixing with grey, but for the resizing before it.
    assert 0 < changed["measured"] < 0.05
    assert (runs[0].folder / "report.html").read_text().count("Scored as <b>MindEye2") == 1


def test_a_protocol_without_its_weights_is_one_line_offline(harness, tmp_path, toy_words):
    words = run_words(toy_words)
    del words[words.index("--metrics") : words.index("--metrics") + 2]
    empty = {"HARNESS_WEIGHTS": str(tmp_path), "HARNESS_OFFLINE": "1"}
    done = harness(*words, "--protocol", "brain-diffuser", check=False, **empty)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "alexnet-owt-7be5be79.pth") in done.stderr
    assert "harness prefetch brain-diffuser" in done.stderr


def test_a_protocol_takes_the_place_of_scores_against_stimuli_only(monkeypatch):
    import harness.run.plan

    monkeypatch.setattr(harness.run.plan, "backbone_identity", lambda name: {})
    request = Request(
        encoder="ridge", decoder="linear", values={"run": {"protocol": "strict"}, "encoder": {"folds": 3}}
    )
    names = [metric.ref.name for metric in make_plan(request).metrics]
    assert tuple(names[: len(PROTOCOLS["strict"].metrics)]) == PROTOCOLS["strict"].metrics
    rest = names[len(PROTOCOLS["strict"].metrics) :]
    assert {"voxel-r", "decoded-agreement", "decoded-agreement-controlled"} <= set(rest)
    assert not {"pixcorr", "ssim", "clip@tiny", "pixel-2way"} & set(rest)
    assert len(set(names)) == len(names)
    given = replace(request, values={"run": {"protocol": "strict", "metrics": ["ssim"]}})
    assert [metric.ref.name for metric in make_plan(given).metrics] == ["ssim"]


def test_default_metrics_without_weights_are_left_out_of_real_data_with_one_reason(tmp_path, monkeypatch):
    import harness.run.plan

    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    harness.run.plan.backbone_identity.cache_clear()
    some = [ref for ref in plugins.available("metrics") if ref.name in (*FIELD, "pixcorr", "clip@tiny")]
    monkeypatch.setattr(plugins, "available", lambda group: some if group == "metrics" else available(group))
    circumstances = {"circumstances": Circumstances(True, None, False, 1)}
    metrics, left_out = harness.run.plan._metrics((), simulated=False, **circumstances)
    assert {name for name, _ in left_out} == FIELD
    (reason,) = {why for _, why in left_out}
    assert "harness prefetch metrics" in reason
    assert [metric.ref.name for metric in metrics] == ["pixcorr"]
    metrics, left_out = harness.run.plan._metrics((), simulated=True, **circumstances)
    assert left_out == ()
    assert {metric.ref.name for metric in metrics} == {"pixcorr", "clip@tiny"}
    with pytest.raises(WeightsMissing, match="harness prefetch clip"):
        harness.run.plan._metrics(("clip",), simulated=True, **circumstances)


def test_the_plan_names_the_metrics_left_out_in_one_line():
    from harness.cli import summary

    plan = make_plan(Request(encoder="ridge", decoder="linear", values={"run": {"metrics": ["ssim"]}}))
    plan = replace(plan, left_out=(("clip", "no weights"), ("lpips", "broken"), ("swav", "no weights")))
    console = Console(width=200, record=True, force_terminal=False, file=io.StringIO())
    summary.print_plan(plan, SimpleNamespace(root="here", folder=lambda *_: Path("nowhere")), console)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert [line for line in lines if line.startswith("left out")] == [
        "left out clip, swav: no weights",
        "left out lpips: broken",
    ]


# Reports


def test_reports_show_protocols_side_by_side_and_what_differs(tmp_path):
    recorded = {"name": "mindeye2", "title": "A <paper>", "source": "file", "differs": ["less <b>blur</b>"]}
    run = RunResult.open(
        report_fixtures.write_run(tmp_path / "a", protocol=recorded, protocols=side_by_side())
    )
    page = render_html(run)
    assert "A &lt;paper&gt;" in page
    assert "less &lt;b&gt;blur&lt;/b&gt;" in page
    for protocol in PROTOCOLS.values():
        assert f'<th scope="col">{protocol.name}</th>' in page
    console = Console(width=120, record=True, force_terminal=False)
    render(run, console)
    assert "protocol mindeye2: less <b>blur</b>" in console.export_text()
    assert _protocols(RunResult.open(report_fixtures.write_run(tmp_path / "older"))) == []


def test_run_json_of_any_run_holds_the_table(undisturbed):
    info = json.loads(next(undisturbed.glob("runs/*/run.json")).read_text())
    assert info["protocols"] == side_by_side()
    assert info["settings"]["protocol"] == ""


def test_pixcorr_of_a_blend_rises_with_a_blurred_truth():
    """The reason for naming the blend: a quarter of a perfect blur raises the score of any image."""
    generator = np.random.default_rng(1)
    coarse = generator.random((6, 8, 8, 3)).astype(np.float32)
    truth = np.clip(coarse.repeat(32, 1).repeat(32, 2) + 0.2 * generator.random((6, 256, 256, 3)), 0, 1)
    reconstructions = generator.random((6, 256, 256, 3)).astype(np.float32)
    mixed = blended(Stimuli.from_array([f"i{k}" for k in range(6)], reconstructions), [coarse], share=0.25)
    metric = metric_named("pixcorr")
    target = metric.prepare(truth.astype(np.float32))
    plain, better = (
        metric.score(metric.prepare(x), target).mean() for x in (reconstructions, mixed.images())
    )
    assert better > plain + 0.1

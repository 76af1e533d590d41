"""Protocols: what they ask for exists, blending equals the notebook's, differences are found and shown."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_fixtures
import torch
from rich.console import Console
from torchvision.transforms import Resize

from harness import plugins
from harness.api import ConfigError, DataError, Stimuli
from harness.backbones import weights
from harness.errors import WeightsMissing
from harness.metrics.pixel import PixCorr
from harness.plan import make_plan
from harness.protocols import PROTOCOLS, RunFacts, blended, differences, protocol_named, side_by_side
from harness.reports.html import _protocols, render_html
from harness.reports.terminal import render
from harness.results import RunResult
from harness.settings import Request


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda p: p.name)
def test_every_metric_of_a_protocol_is_installed_and_its_weights_are_in_its_group(protocol):
    needed = set()
    for name in protocol.metrics:
        metric = plugins.find("metrics", name).load()()
        assert "stimulus" in metric.targets
        if metric.backbone is not None:
            needed.add(plugins.find("backbones", metric.backbone[0]).load().weights)
    assert needed == set(weights.members(protocol.weights)) - ({"dinov2"} - needed)
    assert protocol.source


def test_protocols_differ_where_the_papers_do():
    backbones = {
        name: {
            plugins.find("metrics", metric).load()().backbone
            for metric in protocol.metrics
            if metric.rpartition("-")[2] not in ("cos", "dinov2")
        }
        for name, protocol in PROTOCOLS.items()
    }
    ends = {"mindeye2": "-v1", "synbrain": "-v1", "brain-diffuser": "-brain-diffuser", "strict": "-v2"}
    for name, found in backbones.items():
        assert all(one[0].endswith(ends[name]) for one in found - {None} if one[0] != "dinov2")
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

AS_PUBLISHED = RunFacts(1000, (224, 224), "zscore_session", "outputs", True, PROTOCOLS["mindeye2"].metrics)


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
        ({"blended": False}, "nothing is blended here"),
        ({"scored": ("pixcorr", "ssim")}, "not scored here: alexnet2, alexnet5, inception, clip"),
    ],
)
def test_every_difference_is_one_line_and_nothing_else_changes(change, words):
    protocol = PROTOCOLS["mindeye2"]
    found = differences(protocol, replace(AS_PUBLISHED, **change))
    assert len(found) == len(protocol.not_reproduced) + 1
    assert words in found[0]


def test_the_strict_protocol_takes_any_data():
    facts = RunFacts(37, (64, 64), "percent", "inputs", False, PROTOCOLS["strict"].metrics)
    assert differences(PROTOCOLS["strict"], facts) == []


# Blending


def test_blending_is_three_to_one_at_256_without_antialiasing():
    generator = np.random.default_rng(0)
    sharp = generator.integers(0, 256, (5, 400, 400, 3)).astype(np.uint8)
    blurry = generator.random((5, 40, 40, 3)).astype(np.float32)
    ids = [f"i{k}" for k in range(5)]
    made = blended(Stimuli.from_array(ids, sharp), [blurry[:2], blurry[2:]], share=0.25)
    small = Resize((256, 256), antialias=False)
    planes = [torch.from_numpy(x).permute(0, 3, 1, 2) for x in (sharp / np.float32(255), blurry)]
    expected = 0.75 * small(planes[0]) + 0.25 * small(planes[1])
    np.testing.assert_allclose(made.images(), expected.permute(0, 2, 3, 1).numpy(), atol=1e-5)
    assert made.images().dtype == np.float32
    np.testing.assert_array_equal(made.images(["i3", "i1"]), made.images()[[3, 1]])
    assert made.sha != Stimuli.from_array(ids, sharp).sha
    with pytest.raises(DataError, match="4 low-level images for 5 reconstructions"):
        blended(Stimuli.from_array(ids, sharp), [blurry[:4]], share=0.25)


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
    (tmp_path / "blurred.py").write_text(BLURRED.format(tests=str(Path(__file__).parent)))
    words[words.index("--decoder") + 1] = "blurred.py:Blurred"
    done = harness(*words, "--protocol", "mindeye2", "--out", "one")
    plain = harness(*words, "--out", "other")
    runs = [RunResult.open(next((tmp_path / out).iterdir())) for out in ("one", "other")]
    said = runs[0].info["protocol"]
    assert (said["name"], runs[1].info["protocol"]) == ("mindeye2", None)
    assert "6 test images here, 1000 there" in said["differs"]
    assert not [line for line in said["differs"] if "nothing is blended" in line]
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
    import harness.plan

    monkeypatch.setattr(harness.plan, "backbone_identity", lambda name: {})
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
    import harness.plan

    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    harness.plan.backbone_identity.cache_clear()
    some = [ref for ref in plugins.available("metrics") if ref.name in (*FIELD, "pixcorr", "clip@tiny")]
    monkeypatch.setattr(plugins, "available", lambda group: some if group == "metrics" else available(group))
    circumstances = {"has_encoder": True, "decoder": None, "samples": 1}
    found, left_out = harness.plan._metrics((), simulated=False, **circumstances)
    assert {name for name, _ in left_out} == FIELD
    (reason,) = {why for _, why in left_out}
    assert "harness prefetch metrics" in reason
    assert [metric.ref.name for metric in found] == ["pixcorr"]
    found, left_out = harness.plan._metrics((), simulated=True, **circumstances)
    assert left_out == ()
    assert {metric.ref.name for metric in found} == {"pixcorr", "clip@tiny"}
    with pytest.raises(WeightsMissing, match="harness prefetch clip"):
        harness.plan._metrics(("clip",), simulated=True, **circumstances)


def test_the_plan_names_the_metrics_left_out_in_one_line():
    from types import SimpleNamespace

    from harness.cli import summary

    made = make_plan(Request(encoder="ridge", decoder="linear", values={"run": {"metrics": ["ssim"]}}))
    made = replace(made, left_out=(("clip", "no weights"), ("lpips", "broken"), ("swav", "no weights")))
    console = Console(width=200, record=True, force_terminal=False, file=io.StringIO())
    summary.print_plan(made, SimpleNamespace(root="here", folder=lambda *_: Path("nowhere")), console)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert [line for line in lines if line.startswith("left out")] == [
        "left out clip, swav: no weights",
        "left out lpips: broken",
    ]


# Reports


def test_reports_show_protocols_side_by_side_and_what_differs(tmp_path):
    said = {"name": "mindeye2", "title": "A <paper>", "source": "file", "differs": ["less <b>blur</b>"]}
    made = RunResult.open(report_fixtures.write_run(tmp_path / "a", protocol=said, protocols=side_by_side()))
    page = render_html(made)
    assert "A &lt;paper&gt;" in page
    assert "less &lt;b&gt;blur&lt;/b&gt;" in page
    for protocol in PROTOCOLS.values():
        assert f'<th scope="col">{protocol.name}</th>' in page
    console = Console(width=120, record=True, force_terminal=False)
    render(made, console)
    assert "protocol mindeye2: less <b>blur</b>" in console.export_text()
    assert _protocols(RunResult.open(report_fixtures.write_run(tmp_path / "older"))) == []


def test_run_json_of_any_run_holds_the_table(harness, tmp_path, toy_words):
    harness(*run_words(toy_words), "--no-report")
    info = json.loads(next(tmp_path.glob("runs/*/run.json")).read_text())
    assert info["protocols"] == side_by_side()
    assert info["settings"]["protocol"] == ""


def test_pixcorr_of_a_blend_rises_with_a_blurred_truth():
    """The reason for naming the blend: a quarter of a perfect blur raises the score of any image."""
    generator = np.random.default_rng(1)
    coarse = generator.random((6, 8, 8, 3)).astype(np.float32)
    truth = np.clip(coarse.repeat(32, 1).repeat(32, 2) + 0.2 * generator.random((6, 256, 256, 3)), 0, 1)
    made = generator.random((6, 256, 256, 3)).astype(np.float32)
    mixed = blended(Stimuli.from_array([f"i{k}" for k in range(6)], made), [coarse], share=0.25)
    metric = PixCorr()
    target = metric.prepare(truth.astype(np.float32))
    plain, better = (metric.score(metric.prepare(x), target).mean() for x in (made, mixed.images()))
    assert better > plain + 0.1

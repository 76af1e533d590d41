"""The conformance kit: every kind of plugin finds its checks, and all built-ins pass them."""

from __future__ import annotations

import pytest
from commands import HELPERS, TOYS
from kit_plugins import GOOD_METRIC, GoodBackbone, GoodBenchmark, GoodDecoder, GoodEncoder
from kit_reports import decoder_report, encoder_report, one_of, small

from harness import plugins
from harness.presets import plugin_defaults
from harness.scoring.context import Scorer
from harness.settings import resolve_params
from harness.testing import (
    check_backbone,
    check_benchmark,
    check_metric,
    check_plugin,
    check_scorer,
    conformance,
)


def test_good_plugins_pass_all_that_applies():
    encoder = encoder_report(GoodEncoder)
    assert encoder.ok
    assert [name for name, _ in encoder.skipped] == ["wanted texts"]  # it reads none
    decoder = decoder_report(GoodDecoder)
    assert decoder.ok
    assert [name for name, _ in decoder.skipped] == ["resuming"]
    assert check_metric(GOOD_METRIC).ok
    assert not check_metric(GOOD_METRIC).skipped
    assert check_benchmark(GoodBenchmark).ok
    assert check_backbone(GoodBackbone).ok


def test_a_scorer_without_a_score():
    class Lacking(Scorer):
        inputs = "nothing"

    one_of(check_scorer(Lacking), "contract")
    assert check_scorer(plugins.find("scorers", "images").load()).ok


QUICK = {
    "encoders": ("ridge",),
    "decoders": ("identification", "linear", "miyawaki", "nearest-train"),
    "backbones": ("pixels", "clip@tiny", "scenes@tiny", "clip", "minilm-text"),
    "scorers": tuple(ref.name for ref in plugins.available("scorers")),
    "metrics": (
        "pixel-2way",
        "image-retrieval",
        "caption-rougel",
        "voxel-r",
        "truth-r",
        "rsa",
        "energy-distance",
    ),
}


BUILT_IN = [
    pytest.param(ref, id=f"{ref.kind}-{ref.name}", marks=() if quick else pytest.mark.slow)
    for group in plugins.GROUPS
    for ref in plugins.available(group)
    if ref.dist == "fmri-harness" and group != "benchmarks"
    for quick in [ref.name in QUICK.get(group, ())]
]


@pytest.mark.parametrize("ref", BUILT_IN)
def test_a_built_in_conforms(ref):
    params = None
    if ref.group in ("encoders", "decoders"):
        defaults = plugin_defaults(ref, benchmark=plugins.find("benchmarks", "embedded"), preset=None)
        params = resolve_params(ref.load().Params, {}, section=ref.kind, defaults=defaults)
    report = check_plugin(ref, params)
    report.require()
    assert "contract" in report.passed


def test_a_plugin_that_cannot_be_imported(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("import no_such_dependency\nclass Mine: pass\n")
    report = check_plugin(plugins.find("encoders", f"{file}:Mine"))
    assert "no_such_dependency" in one_of(report, "contract")


test_as_a_test = conformance("encoders", GoodEncoder, subjects=small())


test_metric_as_a_test = conformance("metrics", GOOD_METRIC)


def test_the_command_says_ok_or_why(harness):
    file = HELPERS / "kit_plugins.py"
    good = harness("check", f"{file}:GoodDecoder", "voxel-r", "--kind", "decoder", check=False)
    assert good.returncode == 2  # voxel-r is no decoder
    assert "voxel-r" in good.stderr
    done = harness("check", f"{file}:GoodDecoder", "nearest-train")
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("ok")] == [
        f"ok     decoder {file}",
        "ok     decoder nearest-train",
    ]
    failed = harness("check", f"{TOYS}:ToyDecoder", check=False)
    assert failed.returncode == 1
    assert "  spaces: expected open to refuse another subject's space" in failed.stdout
    assert harness("check", check=False).returncode == 2

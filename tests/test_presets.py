"""Presets lie beside their plugin, and no name leads to another's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import TOYS

from harness import plugins
from harness.errors import ConfigError
from harness.plugins import PluginRef, find
from harness.presets import plugin_defaults, presets_of
from harness.run.plan import make_plan
from harness.settings import Request, resolve_params

EMBEDDED = find("benchmarks", "embedded")
GIVEN = "presets:\n  strong: {ridge: 9.0}\n  weak: {ridge: 0.5}\n"


def toy(folder: Path, name: str = "mindeye2", text: str = GIVEN, beside: str = "") -> PluginRef:
    """A plugin file called `name` with the presets `text` beside it."""
    file = folder / f"{name}.py"
    shutil.copy(TOYS, file)
    if text:
        (folder / (beside or f"{name}.presets.yaml")).write_text(text)
    return find("decoders", f"{file}:ToyDecoder")


def test_every_preset_of_the_built_in_plugins_is_valid():
    count = 0
    for group in ("encoders", "decoders", "benchmarks"):
        for ref in plugins.available(group):
            for name in presets_of(ref).values:
                defaults = plugin_defaults(ref, benchmark=EMBEDDED, preset=name)
                needs = {"weights": "somewhere"} if ref.name == "mindeye2" else {}
                resolve_params(ref.load().Params, needs | defaults, section=ref.kind)
                count += 1
    assert count >= 11


def test_an_unknown_preset_suggests():
    with pytest.raises(ConfigError, match=r"preset of encoder 'ridge' 'pobes'; did you mean 'probes'"):
        plugin_defaults(find("encoders", "ridge"), benchmark=EMBEDDED, preset="pobes")


def test_a_plugin_file_has_the_presets_beside_it(tmp_path):
    ref = toy(tmp_path)
    assert plugin_defaults(ref, benchmark=EMBEDDED, preset=None) == {}
    assert plugin_defaults(ref, benchmark=EMBEDDED, preset="strong") == {"ridge": 9.0}
    request = Request(decoder=ref.name, values={"decoder": {"preset": "weak"}, "run": {"metrics": ["ssim"]}})
    assert make_plan(request).decoder_params.ridge == 0.5


@pytest.mark.parametrize("name", ["mindeye2", "linear"])
def test_a_file_called_as_one_of_ours_inherits_nothing(tmp_path, name):
    ref = toy(tmp_path, name, text="")
    assert presets_of(ref).values == {}
    with pytest.raises(ConfigError, match="unknown preset of decoder"):
        plugin_defaults(ref, benchmark=EMBEDDED, preset="tiny")


def test_a_package_of_another_distribution_inherits_nothing_and_may_have_its_own(tmp_path, monkeypatch):
    package = tmp_path / "lab_decoders"
    package.mkdir()
    shutil.copy(TOYS, package / "__init__.py")
    shutil.copy(TOYS, package / "plain.py")
    monkeypatch.syspath_prepend(tmp_path)
    ours = find("decoders", "mindeye2")
    theirs = PluginRef("decoders", "mindeye2", "lab_decoders:ToyDecoder", "lab", "1")
    plain = PluginRef("decoders", "mindeye2", "lab_decoders.plain:ToyDecoder", "lab", "1")
    assert "tiny" in presets_of(ours).values
    assert plugin_defaults(theirs, benchmark=EMBEDDED, preset=None) == {}
    assert presets_of(theirs).values == presets_of(plain).values == {}
    (package / "presets.yaml").write_text(GIVEN + "on: {embedded: strong}\n")
    assert plugin_defaults(theirs, benchmark=EMBEDDED, preset=None) == {"ridge": 9.0}
    assert presets_of(plain).values == {}
    (package / "plain.presets.yaml").write_text("default: {ridge: 3}\n")
    assert plugin_defaults(plain, benchmark=EMBEDDED, preset=None) == {"ridge": 3}


def test_somebodys_benchmark_of_a_known_name_calls_for_none_of_our_presets():
    ours = find("decoders", "mindeye2")
    theirs = PluginRef("benchmarks", "embedded", "lab:Embedded", "lab", "1")
    assert plugin_defaults(ours, benchmark=EMBEDDED, preset=None)["weights"] == "tiny"
    assert plugin_defaults(ours, benchmark=theirs, preset=None) == {}


def test_on_may_name_a_distribution_and_prefers_it(tmp_path):
    theirs = PluginRef("benchmarks", "embedded", "lab:Embedded", "lab", "1")
    ref = toy(tmp_path, text=GIVEN + "on: {embedded: strong, lab:embedded: weak}\n")
    assert plugin_defaults(ref, benchmark=EMBEDDED, preset=None) == {"ridge": 9.0}
    assert plugin_defaults(ref, benchmark=theirs, preset=None) == {"ridge": 0.5}


def test_the_full_name_of_the_benchmark_calls_for_the_same_preset():
    request = Request(benchmark="fmri-harness:embedded", decoder="mindeye2")
    assert make_plan(request).decoder_params.weights == "tiny"


def test_a_class_may_name_a_file_of_its_own(tmp_path):
    ref = toy(tmp_path, text="presets: {own: {ridge: 4.0}}\n", beside="other.yaml")
    file = tmp_path / "mindeye2.py"
    file.write_text(
        file.read_text().replace("    trains_on =", '    presets = "other.yaml"\n    trains_on =', 1)
    )
    assert presets_of(ref).values == {"own": {"ridge": 4.0}}
    (tmp_path / "other.yaml").unlink()
    with pytest.raises(ConfigError, match=r"names its presets 'other.yaml'; there is no file"):
        presets_of(ref)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("presets: {a: {rigde: 1}}", r"presets\.a: unknown decoder parameter 'rigde'; did you mean 'ridge'"),
        ("default: {rigde: 1}", r"default: unknown decoder parameter 'rigde'; did you mean 'ridge'"),
        ("preset: {a: {ridge: 1}}", r"unknown key 'preset'; did you mean 'presets'"),
        ("presets: {a: {ridge: 1}}\non: {embedded: b}", r"on\.embedded: unknown preset 'b'\. Known: a"),
        ("presets: [a]", r"presets: expected keys and values, found a list"),
        ("presets: {a: 3}", r"presets\.a: expected keys and values, found 3"),
        ("presets: {a: [}", r"not valid YAML"),
    ],
)
def test_a_spoilt_file_gets_one_line_that_names_it(tmp_path, text, match):
    ref = toy(tmp_path, text=text)
    with pytest.raises(ConfigError, match=match) as caught:
        presets_of(ref)
    assert str(caught.value).startswith(str(tmp_path / "mindeye2.presets.yaml"))
    assert "\n" not in str(caught.value)


def test_a_listing_shows_the_presets_of_a_plugin_file(tmp_path, harness):
    ref = toy(tmp_path)
    text = harness("list", ref.name).stdout
    assert "preset (--set decoder.preset=strong):\n      ridge=9.0\n" in text

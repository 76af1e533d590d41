"""``harness list``: a line for each plugin without importing any, and one plugin with its parameters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from commands import TOYS

from harness import plugins
from harness.cli.descriptions import documented, parameters, summary
from harness.encoders.ridge import RidgeEncoder
from harness.encoders.synbrain import SynBrainEncoder

EVERY = [ref for group in plugins.GROUPS for ref in plugins.available(group)]


def test_every_plugin_is_described_in_a_line(harness):
    lines = harness("list").stdout.splitlines()
    shown = {line.split()[0]: line for line in lines if line.startswith("  ")}
    for ref in EVERY:
        if ref.target.startswith("harness."):
            assert len(shown[ref.name].split()) > 1, shown[ref.name]
            assert "`" not in shown[ref.name]
    assert "Images -> mean responses, linear in backbone features" in shown["ridge"]
    assert shown["voxel-r"].split(maxsplit=1)[1].startswith("voxel r: for each voxel, correlation")
    assert lines[-1] == "harness list NAME shows one with its parameters"


def test_a_kind_lists_its_own_only(harness):
    lines = harness("list", "decoders").stdout.splitlines()
    assert lines[0] == "decoders:"
    assert "ridge" not in {line.split()[0] for line in lines}


def test_descriptions_import_nothing(tmp_path):
    package = tmp_path / "my_lab"
    (package / "systems").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "systems" / "__init__.py").write_text("from .deep import Deep as Mine\nraise RuntimeError\n")
    (package / "systems" / "deep.py").write_text(
        'class Base:\n    """What it is.\n\n    And more.\n    """\nclass Deep(Base):\n    pass\n'
    )
    sys.path.insert(0, str(tmp_path))
    try:
        for target in ("my_lab.systems:Mine", "my_lab.systems.deep:Deep"):
            assert summary(plugins.PluginRef("encoders", "mine", target, "lab", "1")) == "What it is."
        for target in ("my_lab.systems:Absent", "my_lab.absent:X", "no_such_package:X", "my_lab:X"):
            assert summary(plugins.PluginRef("encoders", "mine", target, "lab", "1")) == ""
    finally:
        sys.path.remove(str(tmp_path))


def test_one_plugin_shows_types_defaults_texts_and_presets(harness):
    text = harness("list", "ridge").stdout
    assert text.startswith("encoder ridge@1 (fmri-harness ")
    assert "  folds: int = 5\n" in text
    assert "  layers: tuple[str, ...] = ['rgb16']\n" in text
    assert "      scale features to unit variance over the training images.\n" in text
    assert "preset (--set encoder.preset=cls):\n      backbone=scenes@tiny, layers=['cls']\n" in text
    assert "by itself on embedded" in harness("list", "chasm").stdout


def test_presets_as_printed_work(harness):
    printed = harness("list", "ridge").stdout.split("preset (")[1:]
    words = next(text for text in printed if "=probes)" in text).partition(")")[0].split()
    assert words == ["--set", "encoder.preset=probes"]
    assert "layers=['stem', 'block1'" in harness("plan", "--encoder", "ridge", *words).stdout


def test_a_name_of_two_kinds_shows_both(harness):
    text = harness("list", "clip").stdout
    assert "metric clip@" in text
    assert "backbone clip@" in text
    assert "  backbone: clip-v1, image\n" in text


def test_a_class_in_a_file_is_shown_as_what_it_is(harness):
    for name, kind in (("ToyEncoder", "encoder"), ("ToyDecoder", "decoder"), ("ToyBenchmark", "benchmark")):
        text = harness("list", f"{TOYS}:{name}").stdout
        assert text.startswith(f"{kind} {TOYS}:{name}@1 (file)")
    assert "  n_train: int = 60\n" in text


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("encoder", "did you mean 'encoders'"),
        ("rigde", "no kind and no plugin is called 'rigde'; did you mean 'ridge'? Type: harness list"),
        (f"{TOYS}:ToyEncodr", "ToyEncoder"),
    ],
)
def test_unknown_names_suggest(harness, word, message):
    done = harness("list", word, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_parameters_of_dataclasses_in_parameters_and_of_bases():
    from harness.benchmarks.paired_params import Params

    listed = {parameter.name: parameter for parameter in parameters(Params)}
    assert listed["train.session"].text.startswith("(T,) session number")
    assert listed["units"].default == "''"
    assert [p.name for p in parameters(RidgeEncoder.Params)][:2] == ["backbone", "layers"]
    inherited = {parameter.name: parameter.text for parameter in parameters(SynBrainEncoder.Params)}
    assert inherited["vae_rate"] == "of the autoencoder's training"


def test_entries_of_docstrings():
    text = "Title.\n\na, b : first\n    and more.\nc : of two\n\nAfterwards a : is prose"
    assert documented(text) == {"a": "first and more.", "b": "first and more.", "c": "of two"}


def test_a_closed_pipe_is_no_error(tmp_path):
    command = f"{Path(sys.executable).with_name('harness')} list | head -n 1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("encoders:\n", "")

"""What a run would read and has not is said with the plan, before any work."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from commands import TOYS

from harness.cli.main import cli
from harness.decoders.mindeye2.params import MindEye2Params
from harness.decoders.mindeye2.public import GENERATOR, LOW_LEVEL, missing
from harness.errors import ConfigError, DataError, FilesMissing, PluginError
from harness.run.plan import make_plan
from harness.settings import Request

PIXELS = {"run": {"metrics": ["pixcorr"]}}


def planned(encoder="ridge", decoder="linear", benchmark="embedded", *, sections=None):
    return make_plan(
        Request(benchmark=benchmark, encoder=encoder, decoder=decoder, values=PIXELS | (sections or {}))
    )


def test_nothing_is_missing_by_default():
    for decoder in ("linear", "mindeye2"):
        plan = planned(decoder=decoder)
        assert plan.missing == ()
        plan.require_files()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"decoder": {"preset": "paper"}}, "--set decoder.weights=FOLDER"),
        ({"decoder": {"preset": "paper", "weights": "absent"}}, "'absent', which is no folder"),
        ({"decoder": {"pretrained": "absent.pth"}}, "absent.pth is not there"),
        ({"encoder": {"backbone": "alexnet", "layers": ["features.5"]}}, "harness prefetch alexnet"),
    ],
)
def test_weights(sections, message, tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    plan = planned(decoder="mindeye2", sections=sections)
    (line,) = plan.missing
    assert message in line
    with pytest.raises(FilesMissing) as problem:
        plan.require_files()
    assert str(problem.value) == line


def test_every_public_file_is_looked_for(tmp_path):
    params = MindEye2Params(weights=str(tmp_path), captions=True, refine=True)
    lines = missing(params, "subj05")
    for name in (GENERATOR, LOW_LEVEL, "final_multisubject_subj05/last.pth", "git-large-coco/model", "zavy"):
        assert sum(name in line for line in lines) == 1, name
    (tmp_path / GENERATOR).write_bytes(b"x")
    fewer = missing(params, "subj05")
    assert len(fewer) == len(lines) - 1
    bare = MindEye2Params(weights=str(tmp_path), low_level=False, pretrained="none")
    assert missing(bare, "subj05") == []


def test_the_small_parts_refuse_other_sizes_at_once():
    with pytest.raises(ConfigError, match=r"--set decoder\.preset=tiny"):
        planned(decoder="mindeye2", sections={"decoder": {"hidden": 128}})


def test_layers_and_backbones_that_do_not_exist():
    with pytest.raises(ConfigError, match="did you mean 'rgb64'"):
        planned(encoder="ridge", sections={"encoder": {"layers": ["rgb61"]}})
    with pytest.raises(PluginError, match="did you mean 'pixels'"):
        planned(encoder="ridge", sections={"encoder": {"backbone": "pixel"}})


def test_files_of_predictions_are_opened(tmp_path):
    file = tmp_path / "p.npz"
    file.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"p\.npz"):
        planned(encoder=f"file:{file}")
    np.savez(file, other=np.zeros((2, 3)), ids=np.array(["a", "b"]), more=np.zeros(2))
    with pytest.raises(DataError, match="expected 'predictions'"):
        planned(encoder=f"file:{file}")


def test_a_subject_that_does_not_exist():
    with pytest.raises(ConfigError, match="did you mean 'toy01'"):
        make_plan(
            Request(benchmark=f"{TOYS}:ToyBenchmark", encoder="ridge", subject="toy1", values=PIXELS),
            need_decoder=False,
        )


PAIRED = """
benchmark:
  file: betas_{subject}.npz
  subjects: [subj01, subj02]
  train: {images: stimuli/, responses: train, ids: ids.txt, image_ids: shown}
  test: {images: other.npz:images, responses: test}
  units: raw
"""


def test_data_files_are_named_and_the_plan_is_shown(tmp_path, monkeypatch):
    """The plan of somebody who has the YAML and not the data: all of it, and what is missing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(PAIRED)
    words = ["--benchmark", "paired", "--config", "mine.yaml", "--encoder", "ridge", "--decoder", "linear"]
    words += ["--metrics", "pixcorr", "--store", str(tmp_path / "store"), "--subject", "subj02"]
    shown = CliRunner().invoke(cli, ["plan", *words])
    assert isinstance(shown.exception, FilesMissing)
    assert "(and 3 more: harness plan lists them)" in str(shown.exception)
    for name in ("betas_subj02.npz", "stimuli", "ids.txt", "other.npz", "ridge@", "pixcorr"):
        assert name in shown.output
    assert "subj01" not in shown.output.replace("subjects=['subj01'", "")
    carried_out = CliRunner().invoke(cli, ["run", *words])
    assert str(carried_out.exception) == str(shown.exception)
    assert not (tmp_path / "runs").exists()
    np.savez(tmp_path / "betas_subj02.npz", train=np.zeros(2))
    (tmp_path / "stimuli").mkdir()
    (tmp_path / "ids.txt").write_text("a\n")
    (tmp_path / "other.npz").write_bytes(b"")
    last = CliRunner().invoke(cli, ["plan", *words])
    assert "is empty (0 bytes)" in str(last.exception)


def test_a_plugin_says_what_it_lacks(tmp_path):
    (tmp_path / "mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(TOYS.parent)!r})\n"
        "from toys import ToyEncoder\n"
        "class Mine(ToyEncoder):\n"
        "    @staticmethod\n"
        "    def missing(params, *, subject):\n"
        "        return [f'no weights of {subject}'] if params.noise else 1 / 0\n"
    )
    plan = planned(encoder=f"{tmp_path / 'mine.py'}:Mine", benchmark=f"{TOYS}:ToyBenchmark")
    assert plan.missing == ("no weights of toy01",)
    with pytest.raises(PluginError, match="cannot say what is missing: ZeroDivisionError"):
        planned(
            encoder=f"{tmp_path / 'mine.py'}:Mine",
            benchmark=f"{TOYS}:ToyBenchmark",
            sections={"encoder": {"noise": 0}},
        )

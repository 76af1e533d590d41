"""``harness prefetch --for RUN.yaml``: afterwards the run needs no network, and opens no socket."""

from __future__ import annotations

import functools
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import HELPERS, TOYS, only_run

from harness.backbones import weights
from harness.cli.main import cli
from harness.errors import ConfigError, FilesMissing, WeightsMissing
from harness.run.prefetching import plan_with_weights
from harness.settings import Request

ENCODER = f"""
import sys
sys.path.insert(0, {str(HELPERS)!r})
from toys import ToyEncoder
from harness.backbones import weights
from harness.errors import WeightsMissing

class Weighted(ToyEncoder):
    @staticmethod
    def missing(params, *, subject):
        for name in ("vdvae", "gnet"):  # the second is asked for once the first is here
            try:
                weights.locate(name)
            except WeightsMissing as problem:
                return [str(problem)]
        return []

    def fit(self, *given, **named):
        super().fit(*given, **named)
        self.weights = self.weights + weights.locate("gnet").stat().st_size
"""

RUN = """
plugins: {{benchmark: '{toys}:ToyBenchmark', encoder: 'lab.py:Weighted', decoder: '{toys}:ToyDecoder'}}
run: {{metrics: [pixcorr, voxel-r, pixel-2way]}}
"""


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Path:
    """A folder with a run of an encoder that has two files of weights, and a folder with both."""
    (tmp_path / "lab.py").write_text(textwrap.dedent(ENCODER))
    (tmp_path / "mine.yaml").write_text(RUN.format(toys=TOYS))
    (tmp_path / "usb").mkdir()
    for name in ("vdvae", "gnet"):
        (tmp_path / "usb" / weights.WEIGHTS[name].file_name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setenv("HARNESS_STORE", str(tmp_path / "store"))
    return tmp_path


@pytest.fixture
def cut_off(harness, tmp_path):
    """``harness`` in a process, and in processes of it, that may open no socket; and what they opened."""
    log = tmp_path / "sockets.txt"
    guard = {"PYTHONPATH": str(HELPERS / "no_sockets"), "SOCKETS_OPENED": str(log)}
    return functools.partial(harness, **guard), lambda: log.read_text() if log.exists() else ""


def test_the_guard_sees_sockets(cut_off):
    """Without this the next test could not fail."""
    command, opened = cut_off
    done = command("prefetch", "clip-words", HARNESS_OFFLINE="", HARNESS_WEIGHTS="weights", check=False)
    assert done.returncode == 2
    assert "socket.getaddrinfo" in opened()


def test_a_run_opens_no_socket_once_all_was_fetched(lab, cut_off):
    command, opened = cut_off
    before = command("run", "--config", "mine.yaml", check=False)
    assert "harness prefetch vdvae" in before.stderr
    fetched = command("prefetch", "--for", "mine.yaml", "--from", "usb")
    for line in ("vdvae: ", "gnet: ", "60 training and 8 test images, 40 voxels", "nothing is left to fetch"):
        assert line in fetched.stdout
    typed = fetched.stdout.strip().splitlines()[-1].rpartition("harness ")[2].split()
    command(*typed, "--workers", "2")
    assert not (only_run(lab).scores.value.isna()).any()
    assert opened() == ""


def test_every_weight_that_is_missing_is_named(lab):
    with pytest.raises(WeightsMissing, match=r"cannot be fetched.*harness prefetch vdvae"):
        CliRunner().invoke(cli, ["prefetch", "--for", "mine.yaml"], catch_exceptions=False)
    (lab / "usb" / weights.WEIGHTS["gnet"].file_name).unlink()
    with pytest.raises(WeightsMissing, match=r"--from usb.*gnet.* cannot be read"):
        CliRunner().invoke(cli, ["prefetch", "--for", "mine.yaml", "--from", "usb"], catch_exceptions=False)


def test_files_that_no_prefetch_brings_are_named(lab):
    (lab / "mine.yaml").write_text(
        "plugins: {decoder: mindeye2, encoder: ridge}\ndecoder: {preset: paper}\nrun: {metrics: [pixcorr]}\n"
    )
    with pytest.raises(FilesMissing, match=r"--set decoder\.weights=FOLDER"):
        CliRunner().invoke(cli, ["prefetch", "--for", "mine.yaml"], catch_exceptions=False)


def test_default_metrics_are_fetched_for(monkeypatch, tmp_path):
    """The field's metrics, on by default with measured data; without their weights they are left out."""
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    asked: list[str] = []
    request = Request(benchmark="stimuli", decoder="folder:recons", values={"benchmark": {"images": "x"}})
    (tmp_path / "recons").mkdir()
    monkeypatch.chdir(tmp_path)
    plan = plan_with_weights(request, asked.extend)
    assert set(asked) == set(weights.GROUPS["metrics"]), plan.left_out


@pytest.mark.parametrize(
    "words", [["alexnet", "--for", "mine.yaml"], ["--for", "mine.yaml", "--from", "lab.py"]]
)
def test_words_that_do_not_go_together(lab, words):
    with pytest.raises(ConfigError):
        CliRunner().invoke(cli, ["prefetch", *words], catch_exceptions=False)

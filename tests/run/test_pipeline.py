"""Whole runs through the installed command: resume, determinism, isolation."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from commands import EMBEDDED_METRICS, TESTS, call_harness, kill_words, only_run

from harness.results import RunResult

OWN_FOLDERS = ("tmp", "checkpoints")
TABLES = (
    "scores.parquet",
    "voxel_scores.parquet",
    "set_scores.parquet",
    "region_contributions.parquet",
    "gallery.npz",
)


def digests(folder: Path) -> dict[str, str]:
    run = only_run(folder)
    return {name: hashlib.sha256((run.folder / name).read_bytes()).hexdigest() for name in TABLES}


@pytest.fixture
def reference(undisturbed) -> dict[str, str]:
    return digests(undisturbed)


def test_a_run_has_every_row_and_a_second_one_computes_nothing(harness, tmp_path, toy_words):
    words = ["run", *toy_words, "--metrics", EMBEDDED_METRICS]
    harness(*words)
    run = only_run(tmp_path)
    rows = set(run.scores.row)
    assert rows >= {
        *("measured", "predicted", "zero", "train-mean", "shuffled", "shuffled-measured", "oracle"),
        *(
            "nearest-train",
            "nearest-train-measured",
            "mean-image",
            "flat-grey",
            "generator-ceiling",
            "remeasured",
        ),
    }
    assert set(run.scores.target) >= {"stimulus", "measured"}
    assert run.info["benchmark"]["simulated"] is True
    assert (run.folder / "report.html").stat().st_size > 10_000
    before = {file: file.stat().st_mtime_ns for file in run.folder.iterdir()}
    again = harness(*words)
    assert "nothing was computed" in again.stdout
    assert {file: file.stat().st_mtime_ns for file in run.folder.iterdir()} == before


def artifacts(store: Path) -> int:
    stages = [child for child in store.glob("[a-z]*") if child.is_dir() and child.name not in OWN_FOLDERS]
    return sum(1 for stage in stages for _ in stage.glob("*/*/manifest.json"))


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_kills_change_nothing(harness, tmp_path, toy_words, undisturbed, reference, kills):
    """SIGKILL at random moments of the work, the same command again each time."""
    draw = random.Random(1)
    store = tmp_path / "store"
    moments = sorted(draw.sample(range(1, artifacts(undisturbed / "store")), kills))
    program = str(Path(sys.executable).with_name("harness"))
    for moment in moments:
        process = subprocess.Popen(
            [program, *kill_words(toy_words)],
            cwd=tmp_path,
            env={"HARNESS_STORE": str(store), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while artifacts(store) < moment and process.poll() is None:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
    done = harness(*kill_words(toy_words))
    assert "reused: 0" not in done.stdout
    assert digests(tmp_path) == reference


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--workers", "2"], marks=pytest.mark.slow),
        pytest.param(["--shard-size", "3"], marks=pytest.mark.slow),
        ["--shard-size", "7", "--workers", "2"],
        pytest.param(["--executor", "processes", "--workers", "1"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_workers_and_shards_change_nothing(harness, tmp_path, toy_words, reference, words):
    harness(*kill_words(toy_words), *words)
    assert digests(tmp_path) == reference


def test_interrupting_is_one_line_and_resumes(harness, tmp_path, toy_words, reference):
    program = str(Path(sys.executable).with_name("harness"))
    process = subprocess.Popen(
        [program, *kill_words(toy_words), "--workers", "2"],
        cwd=tmp_path,
        env={"HARNESS_STORE": str(tmp_path / "store"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A loop that was started in the background may ignore the signal, and so would its commands.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "store" / "decode").glob("*/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the command and its workers
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Type the same command again" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert "leaked" not in errors  # semaphores
    assert not list((tmp_path / "runs").glob("*")) if (tmp_path / "runs").exists() else True
    harness(*kill_words(toy_words))
    assert digests(tmp_path) == reference


def test_an_altered_artifact_is_computed_again(harness, tmp_path, toy_words, undisturbed, reference):
    shutil.copytree(undisturbed / "store", tmp_path / "store")
    file = sorted((tmp_path / "store" / "decode").rglob("images.npy"))[3]
    content = bytearray(file.read_bytes())
    content[-1] ^= 255
    file.write_bytes(content)
    again = harness(*kill_words(toy_words))
    assert "was altered" in again.stderr
    assert "computed: decode 1;" in again.stdout
    assert digests(tmp_path) == reference


def test_a_failing_metric_costs_nothing_else(harness, tmp_path, toy_words):
    (tmp_path / "lab_metric.py").write_text(
        "from harness.api import Metric\n"
        "def score(result, target):\n    raise ValueError('no such luck')\n"
        "BOOM = Metric(name='boom', inputs='embedding', score=score, backbone=('pixels', 'rgb8'))\n"
    )
    info = tmp_path / "lab_metric-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-metric\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[harness.metrics]\nboom = lab_metric:BOOM\n")
    words = ["run", *toy_words, "--metrics", "pixcorr,boom", "--no-report"]
    done = harness(*words, PYTHONPATH=str(tmp_path), check=False)
    assert done.returncode == 2
    assert "boom@1" in done.stderr
    assert "only they are scored" in done.stderr
    run = only_run(tmp_path)
    assert "pixcorr@1" in set(run.scores.metric)
    assert run.info["failed_metrics"][0]["error"] == "ValueError: no such luck"


@pytest.fixture(scope="session")
def third_party(tmp_path_factory) -> Path:
    """tests/third_party, built and installed by pip into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "lab"
    shutil.copytree(TESTS / "third_party", source)
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True)
    return target


def test_a_third_party_encoder_joins_through_its_entry_point(harness, tmp_path, toy_words, third_party):
    words = [*toy_words[:2], *toy_words[4:]]
    harness(
        "run",
        *words,
        "--encoder",
        "colour-mean",
        "--set",
        "encoder.preset=plain",
        "--no-report",
        PYTHONPATH=str(third_party),
    )
    run = only_run(tmp_path)
    assert run.info["encoder"]["dist"] == "lab-encoders"
    assert run.info["encoder"]["params"] == {"square": False}
    assert "predicted" in set(run.scores.row)


def test_a_broken_third_party_encoder_is_reported_and_hinders_nothing(harness, third_party):
    done = harness("doctor", PYTHONPATH=str(third_party), check=False)
    lines = {line.split()[2]: line for line in done.stdout.splitlines() if " encoder " in line}
    assert done.returncode == 1
    assert lines["unfinished"].startswith("broken")
    assert "a_package_that_nobody_has" in lines["unfinished"]
    assert lines["colour-mean"].startswith("ok")
    assert lines["ridge"].startswith("ok")
    asked = harness(
        "run", "--encoder", "unfinished", "--decoder", "linear", PYTHONPATH=str(third_party), check=False
    )
    assert asked.returncode == 2
    assert asked.stderr.count("\n") == 1
    assert "fails on import" in asked.stderr


@pytest.fixture(scope="module")
def limited(tmp_path_factory, toy_words) -> RunResult:
    """A run of five images with a seed of its own."""
    folder = tmp_path_factory.mktemp("limited")
    call_harness(folder, "run", *toy_words, "--limit", "5", "--seed", "5", "--no-report")
    return only_run(folder)


def test_limit_is_a_named_hashed_subset(limited):
    run = limited
    assert run.info["subset"]["name"] == "limit-5"
    assert run.info["n_test"] == 5
    assert run.scores.image_id.nunique() == 5


def test_samples_selection_and_trials(harness, tmp_path, toy_words):
    words = ["--samples", "2", "--set", "run.trial_rows=true", "--selection", "gt-selected"]
    harness("run", *toy_words, *words, "--no-report")
    run = only_run(tmp_path)
    predicted = run.scores[(run.scores.row == "predicted") & (run.scores.metric == "pixcorr@1")]
    assert set(predicted["sample"]) == {0, 1}
    assert predicted[predicted.target == "stimulus"].groupby("sample").value.mean().nunique() == 2
    assert set(run.scores[run.scores.row == "measured-trial"].trial) == {0, 1, 2}
    assert "ground-truth-selection" in {flag["name"] for flag in run.info["flags"]}


@pytest.mark.parametrize("adapter", ["match-std", pytest.param("add-trial-noise", marks=pytest.mark.slow)])
def test_adapters_are_part_of_the_identity(harness, tmp_path, toy_words, undisturbed, adapter):
    plain = only_run(undisturbed).scores
    shutil.copytree(undisturbed / "store", tmp_path / "store")
    harness(*kill_words(toy_words), "--adapter", adapter)
    adapted = only_run(tmp_path).scores
    assert set(adapted.adapter) == {adapter}
    keys = ["row", "target", "image_id", "trial", "sample", "metric"]
    both = plain.merge(adapted, on=keys, suffixes=("", "_adapted"))
    same = both.value.eq(both.value_adapted) | both.value.isna()
    assert same[(both.row == "measured") & (both.target == "stimulus")].all()
    assert not same[(both.row == "predicted") & (both.target == "stimulus")].all()


def test_run_json_says_where_numbers_come_from(limited):
    info = json.loads((limited.folder / "run.json").read_text())
    assert info["seed"] == 5
    assert info["command"][:2] == ["harness", "run"]
    assert len(info["encoder"]["file_sha"]) == 64
    assert set(info["data_sha"]) == {"train_stimuli", "train_responses", "test_stimuli", "test_responses"}
    assert info["computed"]["decode"][0] > 0
    assert isinstance(pd.Timestamp(info["created"]), pd.Timestamp)

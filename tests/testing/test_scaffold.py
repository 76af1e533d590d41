"""``harness new``: packages that install, pass their checks and their own tests."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from commands import call_harness

from harness.errors import ConfigError
from harness.results import RunResult
from harness.testing.scaffold import KINDS, write_package

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def packages(tmp_path_factory) -> tuple[Path, Path]:
    """(folder of four new packages, folder into which all are installed)."""
    folder = tmp_path_factory.mktemp("new")
    target = folder / "installed"
    for kind in KINDS:
        told = call_harness(folder, "new", kind, f"lab-{kind}").stdout
        assert f"harness check lab-{kind}" in told.splitlines()[-1]
        # What pip does with a package of pure Python, without asking an index for setuptools.
        built = subprocess.run(
            [sys.executable, "-c", BUILD, str(folder)],
            cwd=folder / f"lab-{kind}",
            capture_output=True,
            text=True,
            check=True,
        )
        with zipfile.ZipFile(folder / built.stdout.splitlines()[-1]) as wheel:
            wheel.extractall(target)
    return folder, target


def test_new_packages_pass_their_checks(packages):
    folder, target = packages
    done = call_harness(folder, "check", *(f"lab-{kind}" for kind in KINDS), PYTHONPATH=str(target))
    verdicts = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line.partition(":")[0] for line in verdicts] == [f"ok     {kind} lab-{kind}" for kind in KINDS]


def test_their_own_tests_pass(packages):
    folder, target = packages
    tests = [str(folder / f"lab-{kind}" / "tests") for kind in KINDS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_they_run_together(packages):
    folder, target = packages
    words = [
        *("--benchmark", "lab-benchmark", "--encoder", "lab-encoder", "--decoder", "lab-decoder"),
        *("--metrics", "lab-metric,voxel-r", "--no-report", "--out", "run"),
    ]
    call_harness(folder, "run", *words, PYTHONPATH=str(target))
    (run,) = (folder / "run").iterdir()
    scores = RunResult.open(run).scores.query("target == 'stimulus'")
    means = scores.groupby("row")["value"].mean()
    assert means["measured"] < means["shuffled"]  # distances: a linear cortex is read


def test_a_readme_of_ten_lines_and_no_mark_of_the_template_left(packages):
    folder, _ = packages
    for kind in KINDS:
        for file in (folder / f"lab-{kind}").rglob("*.*"):
            if file.suffix in (".py", ".toml", ".md"):
                assert "$" not in file.read_text(), file
        assert len((folder / f"lab-{kind}" / "README.md").read_text().splitlines()) <= 10


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("encodr", "mine", "did you mean 'encoder'"),
        ("encoder", "My Encoder", "as in 'my-encoder'"),
        ("encoder", "../mine", "cannot be used"),
        ("encoder", "there", "is there already"),
    ],
)
def test_what_cannot_be_written(tmp_path, kind, name, message):
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigError, match=message):
        write_package(kind, name, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["there"]

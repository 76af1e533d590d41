"""setup.cfg requires what the packages import, and nothing that they do not."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import sources
from commands import ROOT

FOLDERS = ("harness", "encoders", "decoders", "benchmarks", "reports", "configs")

IMPORTED_AS = {
    "open-clip-torch": {"open_clip"},
    "scikit-image": {"skimage"},
    "scikit-learn": {"sklearn"},
    "pillow": {"PIL"},
    "PyYAML": {"yaml"},
    "vl-convert-python": {"vl_convert"},
    "jinja2": {"jinja2", "markupsafe"},  # the second comes with it
}
THROUGH_OTHERS = {
    "pyarrow": "pandas' parquet files",
    "tabulate": "pandas' to_markdown",
    "vl-convert-python": "altair's pictures of charts",
}
"""What another library imports when this project calls it."""


def requirements(section: str, key: str) -> dict[str, str]:
    """Distribution -> how it is bounded."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return dict(
        re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in config[section][key].split("\n") if line
    )


def names(distributions) -> set[str]:
    """What the distributions are imported as."""
    plain = (IMPORTED_AS.get(d, {d.lower().replace("-", "_")}) for d in distributions)
    return set().union(*plain)


@cache
def imported(*folders: str) -> dict[str, str]:
    """Third-party packages that modules import, lazily or not -> one such module."""
    own = {"harness", *(file.stem for file in (ROOT / "tests").rglob("*.py")), "golden"}
    packages = {}
    for file in (file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        for root in {e.module.partition(".")[0] for e in sources.imports(file) if not e.level}:
            if root not in own and root not in sys.stdlib_module_names:
                packages[root] = str(file.relative_to(ROOT))
    return packages


INSTALLED = requirements("options", "install_requires")
EXTRAS = ("mamba", "nifti", "surface", "slurm", "ray")
"""Extras of the product, whose imports may fail."""


def test_what_is_imported_is_required():
    extras = [d for extra in EXTRAS for d in requirements("options.extras_require", extra)]
    # Whoever parametrises a test of pytest by the conformance kit has it.
    extras.append("pytest")
    missing = {n: file for n, file in imported(*FOLDERS).items() if n not in names([*INSTALLED, *extras])}
    assert not missing


def test_what_is_required_is_imported():
    used = imported(*FOLDERS).keys()
    extras = [d for extra in EXTRAS for d in requirements("options.extras_require", extra)]
    unused = [d for d in [*INSTALLED, *extras] if not names([d]) & used and d not in THROUGH_OTHERS]
    assert not unused


def test_what_tests_import_is_required():
    test = requirements("options.extras_require", "test")
    used = imported("tests").keys() & packages_distributions().keys()  # others are made by a test
    assert "skimage" in used
    clusters = [d for extra in ("slurm", "ray") for d in requirements("options.extras_require", extra)]
    assert not used - names([*INSTALLED, *test, *clusters])
    assert not names(test) - used - {"ipykernel", "pytest_xdist", "ruff", "setuptools"}


@pytest.mark.parametrize("distribution", [*INSTALLED, *requirements("options.extras_require", "test")])
def test_versions_are_lower_bounds(distribution):
    bounds = INSTALLED | requirements("options.extras_require", "test")
    assert re.fullmatch(r">=\d+(\.\d+)*", bounds[distribution])


def test_setup_cfg_stays_short():
    assert len((ROOT / "setup.cfg").read_text().splitlines()) < 120


def test_a_wheel_holds_every_file_of_the_five_folders(tmp_path):
    copy = tmp_path / "copy"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", "--build-lib", str(tmp_path / "built")],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    built = {str(file.relative_to(tmp_path / "built")) for file in (tmp_path / "built").rglob("*.*")}
    inside = {
        str(file.relative_to(copy) if folder == "harness" else Path("harness") / file.relative_to(copy))
        for folder in FOLDERS
        for file in (copy / folder).rglob("*.*")
        if file.is_file() and file.suffix not in (".md", ".log")
    }
    assert inside - built == set()

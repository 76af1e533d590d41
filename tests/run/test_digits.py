"""The chain on real measured fMRI: handwritten sixes and nines (van Gerven, de Lange, Heskes 2010).

The measurements are not in this repository; where they lie beside it, these tests use them.
"""

from __future__ import annotations

import pytest
from commands import ROOT, SHARED, call_harness, only_run, values

from harness.statistics import paired_difference

FILE = SHARED / "data" / "vangerven2010_digits69.mat"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason=f"the measurements are not here ({FILE.name})")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    example = (ROOT / "configs" / "benchmarks" / "digits69.yaml").read_text()
    assert len(example.strip().splitlines()) <= 10
    (folder / "digits69.yaml").write_text(example.replace(FILE.name, str(FILE)))
    words = [
        "--benchmark",
        "paired",
        "--config",
        "digits69.yaml",
        "--encoder",
        "ridge",
        "--decoder",
        "linear",
    ]
    call_harness(folder, "run", *words, "--decoder", "linear", "--metrics", "pixcorr,pixel-2way,voxel-r")
    return only_run(folder)


def test_identification_from_measured_fmri(run):
    assert values(run, "pixel-2way", "measured").mean() >= 0.85
    assert values(run, "pixel-2way", "zero").mean() == pytest.approx(0.5)


def test_reconstructions_beat_the_mean_image(run):
    difference = paired_difference(values(run, "pixcorr", "measured"), values(run, "pixcorr", "mean-image"))
    assert difference.low > 0
    assert values(run, "pixcorr", "mean-image").mean() == pytest.approx(0.66, abs=0.05)


def test_nothing_is_called_simulated_and_no_truth_is_invented(run):
    assert run.info["benchmark"]["simulated"] is False
    assert "oracle" not in set(run.scores.row)
    page = (run.folder / "report.html").read_text()
    assert "simulated, not brain data" not in page
    assert "misaligned-ids" not in {flag["name"] for flag in run.info["flags"]}

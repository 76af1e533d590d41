"""What the columns of a report mean is said of every score."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_pages import Page, words

from harness.reports.html import render_html
from harness.results import RunResult


@pytest.mark.usefixtures("no_charts")
def test_what_a_column_means_is_said_of_every_score(fresh: Path) -> None:
    from harness.metrics.meanings import MEANINGS as OF_METRICS
    from harness.reports.glossary import OWN

    MEANINGS = OF_METRICS | OWN
    text = words(Page(render_html(RunResult.open(fresh))))
    assert text.count("What the columns mean") == 2
    for name in ("pixcorr", "ssim", "pixel-2way", "voxel-r", "pattern-r", "rsa", "ceiling-fraction"):
        assert MEANINGS[name] in text
    assert MEANINGS["voxel-mse"] not in text  # not in this run


def test_the_glossary_names_metrics_that_exist() -> None:
    from harness import plugins
    from harness.metrics.meanings import MEANINGS

    names = {ref.name.split("@")[0] for ref in plugins.available("metrics")}
    assert set(MEANINGS) <= names

"""The conformance kit: whether a plugin keeps its contract, and toys to try it on.

    from harness.testing import check_encoder, conformance

    check_encoder(MyEncoder).require()               # raises with a sentence for each finding
    test_mine = conformance("encoders", MyEncoder)   # in a test module: a test for each check

``harness check NAME`` does it on the command line, for installed plugins and for ``path/file.py:Class``.
"""

from __future__ import annotations

from .backbones import check_backbone, check_scorer
from .benchmarks import check_benchmark
from .decoders import check_decoder
from .encoders import check_encoder
from .kinds import check_plugin, conformance
from .metric_inputs import Sample
from .metrics import check_metric
from .report import Finding, NotChecked, Report
from .toys import (
    FeaturesInMemory,
    ToyBenchmark,
    toy_images,
    toy_responses,
    toy_space,
    toy_stimuli,
    toy_subject,
)

__all__ = [
    "FeaturesInMemory",
    "Finding",
    "NotChecked",
    "Report",
    "Sample",
    "ToyBenchmark",
    "check_backbone",
    "check_benchmark",
    "check_decoder",
    "check_encoder",
    "check_metric",
    "check_plugin",
    "check_scorer",
    "conformance",
    "toy_images",
    "toy_responses",
    "toy_space",
    "toy_stimuli",
    "toy_subject",
]

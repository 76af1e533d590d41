"""The benchmarks of this project, by name."""

from __future__ import annotations

from harness.catalogue import plugin

ROWS = (
    plugin("benchmarks", "embedded", "harness.benchmarks.embedded:Embedded"),
    plugin("benchmarks", "embedded@2", "harness.benchmarks.embedded:Embedded2"),
    plugin("benchmarks", "paired", "harness.benchmarks.paired:Paired"),
    plugin("benchmarks", "stimuli", "harness.benchmarks.stimuli_only:StimuliOnly"),
)

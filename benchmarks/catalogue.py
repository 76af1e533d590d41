"""The benchmarks of this project, by name."""

from __future__ import annotations

from harness.catalogue import plugin

ROWS = (
    plugin("benchmarks", "algonauts2023", "harness.benchmarks.layouts.algonauts:Algonauts2023"),
    plugin("benchmarks", "bold5000", "harness.benchmarks.layouts.bold5000:Bold5000"),
    plugin("benchmarks", "embedded", "harness.benchmarks.embedded:Embedded"),
    plugin("benchmarks", "embedded@2", "harness.benchmarks.embedded:Embedded2"),
    plugin("benchmarks", "god", "harness.benchmarks.layouts.god:GenericObjectDecoding"),
    plugin("benchmarks", "kriegeskorte2008", "harness.benchmarks.kriegeskorte:Kriegeskorte2008"),
    plugin("benchmarks", "lab", "harness.benchmarks.lab:Lab"),
    plugin("benchmarks", "laion-fmri", "harness.benchmarks.layouts.laion:LaionFmri"),
    plugin("benchmarks", "mosaic", "harness.benchmarks.layouts.mosaic:Mosaic"),
    plugin("benchmarks", "nsd", "harness.benchmarks.layouts.nsd:Nsd"),
    plugin("benchmarks", "nsd-brain-diffuser", "harness.benchmarks.layouts.numpy_files:NsdBrainDiffuser"),
    plugin("benchmarks", "nsd-fsaverage", "harness.benchmarks.layouts.nsd_surface:NsdFsaverage"),
    plugin("benchmarks", "nsd-mindeye1", "harness.benchmarks.layouts.mindeye1_files:NsdMindEye1"),
    plugin("benchmarks", "nsd-imagery", "harness.benchmarks.layouts.nsd_imagery:NsdImagery"),
    plugin("benchmarks", "nsd-mindeye2", "harness.benchmarks.layouts.mindeye2_files:NsdMindEye2"),
    plugin("benchmarks", "nsd-synbrain", "harness.benchmarks.layouts.numpy_files:NsdSynBrain"),
    plugin("benchmarks", "nsd-synthetic", "harness.benchmarks.layouts.nsd_synthetic:NsdSynthetic"),
    plugin("benchmarks", "paired", "harness.benchmarks.paired:Paired"),
    plugin("benchmarks", "stimuli", "harness.benchmarks.stimuli_only:StimuliOnly"),
    plugin("benchmarks", "things-fmri", "harness.benchmarks.layouts.things:ThingsFmri"),
)

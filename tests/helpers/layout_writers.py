"""Name of each layout -> what writes a small folder in it."""

from __future__ import annotations

from nsd_writers import (
    write_algonauts,
    write_nsd,
    write_nsd_fsaverage,
    write_nsd_imagery,
    write_nsd_mindeye1,
    write_nsd_mindeye2,
    write_nsd_synthetic,
    write_numpy,
)
from other_writers import write_bold5000, write_god, write_laion, write_mosaic, write_things

WRITERS = {
    "nsd": write_nsd,
    "nsd-fsaverage": write_nsd_fsaverage,
    "nsd-mindeye2": write_nsd_mindeye2,
    "nsd-mindeye1": write_nsd_mindeye1,
    "nsd-brain-diffuser": lambda root: write_numpy(root, "nsd-brain-diffuser"),
    "nsd-synbrain": lambda root: write_numpy(root, "nsd-synbrain"),
    "algonauts2023": write_algonauts,
    "things-fmri": write_things,
    "god": write_god,
    "nsd-synthetic": write_nsd_synthetic,
    "nsd-imagery": write_nsd_imagery,
    "bold5000": write_bold5000,
    "mosaic": write_mosaic,
    "laion-fmri": write_laion,
}

"""Benchmark ``nsd``: NSD's volumes as its own bucket holds them.

Betas are percent signal change x 300 in int16 and become percent; voxels are those of ``nsdgeneral > 0`` in
the order in which numpy walks through the volume; the z-score of each session is set by trials of images
that are not of the test set.  Each session's file is read once, into a table on disk
(:mod:`harness.reading.prepared`).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from harness.api import CeilingSource, DataError
from harness.reading.arrays import open_array
from harness.reading.pixels import Scale
from harness.reading.prepared import Block
from harness.reading.sources import reading
from harness.reading.volumes import is_volume, open_volume

from ..assembly import VoxelFacts
from ..paired_images import ArrayImages, ImageLayout
from .benchmark import LayoutBenchmark
from .manifest import Manifest, header
from .nsd_design import Design, image_name
from .recording import (
    Recording,
    masked_facts,
    prepared,
    read_mask,
    read_masked,
    trials_of,
    with_voxels,
    without_gaps,
)

PERCENT = 300
"""Betas are stored as percent signal change times this (NSD data manual)."""

STREAMS = {"early": (1,), "middle": (2, 3, 4), "higher": (5, 6, 7)}
"""Cortical group -> numbers of the atlas ``streams``: early; midventral, midlateral, midparietal; ventral,
lateral, parietal."""


class Nsd(LayoutBenchmark):
    """The Natural Scenes Dataset, volumes of 1.8 mm; Allen et al. 2022."""

    layout: ClassVar[str] = "nsd"
    images_of: ClassVar[str] = "nsd"
    default_test: ClassVar[str] = "shared1000"

    def read(self, root: Path, subject: str) -> Recording:
        """Trials of all sessions that are there."""
        return read_trials(self, root, subject)


def read_trials(benchmark: LayoutBenchmark, root: Path, subject: str) -> Recording:
    """NSD's own trials for a `benchmark` whose manifest holds the files of ``nsd``."""
    manifest = benchmark.manifest()
    design = Design.read(manifest, root)
    volume, mask = read_mask(manifest.entry("mask").file(root, subject=subject))
    files = session_files(manifest, root, subject)
    per_session = count_trials(files[0])
    blocks = [Block(per_session, partial(read_session, path, mask)) for path in files]
    source = prepared(
        blocks,
        [*files, volume.path],
        n_voxels=int(mask.sum()),
        what=f"NSD betas of {subject}",
        depends_on=("nsd", PERCENT, np.flatnonzero(mask).tobytes()),
    )
    trials = np.arange(source.shape[0])
    images = stimuli(manifest, root, benchmark)
    test_sets = design.test_sets(per_session)
    return Recording(
        trials_of(
            source,
            images,
            [image_name(k) for k in range(len(images))],
            design.shown(subject, trials),
            session=trials // per_session + 1,
        ),
        volume_facts(manifest, root, subject, mask),
        "percent",
        test_sets,
        mask="nsdgeneral",
        training_sets=design.training_sets(subject, test_sets),
    )


def stimuli(manifest: Manifest, root: Path, benchmark: LayoutBenchmark) -> ArrayImages:
    """The 73,000 pictures, read on demand."""
    entry = manifest.entry("stimuli")
    source = open_array(entry.file(root), entry.key)
    return ArrayImages(source, ImageLayout("nhwc"), scale=Scale(), resize=benchmark.params.resize())


def session_files(manifest: Manifest, root: Path, subject: str) -> list[Path]:
    """The betas of sessions 1, 2, ..., in either form; a gap is an error, since trials are told by their
    place."""
    forms = [manifest.entry(name).find(root, subject=subject) for name in ("betas", "betas_hdf5")]
    if not any(forms):
        raise DataError(manifest.entry("betas").absent(root, subject=subject))
    return without_gaps([pair for pairs in forms for pair in pairs], subject)


def count_trials(path: Path) -> int:
    """Of one session, in either form."""
    return header(path)[0][-1] if is_volume(path) else header(path, "betas")[0][0]


def read_session(path: Path, mask: np.ndarray) -> np.ndarray:
    """(trials, V) float32 percent signal change of one session."""
    if is_volume(path):
        return _percent(read_masked(path, mask), path)
    source = open_array(path, "betas")
    if source.shape[1:] != mask.shape[::-1]:
        raise DataError(
            f"{path} has shape {source.shape}; expected trials and the mask's {mask.shape} in reverse, as "
            f"HDF5 shows "
            "what MATLAB wrote"
        )
    import h5py

    # One voxel is one chunk of the file, so rows of voxels are read and never a whole trial.
    values = np.empty((source.shape[0], int(mask.sum())), source.dtype)
    column = np.full(mask.shape, -1)
    column[mask] = np.arange(int(mask.sum()))
    with reading(path), h5py.File(path, "r") as file:
        for y, z in np.argwhere(mask.any(axis=0)):
            inside = np.flatnonzero(mask[:, y, z])
            row = file["betas"][:, z, y, inside[0] : inside[-1] + 1]
            values[:, column[inside, y, z]] = row[:, inside - inside[0]]
    return _percent(values, path)


def volume_facts(manifest: Manifest, root: Path, subject: str, mask: np.ndarray) -> VoxelFacts:
    """Regions by the names of their tables, groups of the atlas streams, ncsnr and millimetres of the
    mask's voxels."""
    rois, groups, affine = {}, {}, np.eye(4)
    names = {
        values["atlas"]: path for values, path in manifest.entry("region_names").find(root, subject=subject)
    }
    for values, path in manifest.entry("regions").find(root, subject=subject):
        atlas = values["atlas"]
        volume = open_volume(path)
        affine = volume.affine
        if atlas == "nsdgeneral" or atlas.startswith(("lh.", "rh.")):
            continue
        labels = volume.read()[mask]
        if atlas == "streams":
            groups = stream_groups(labels)
        rois |= regions(labels, atlas, names.get(atlas))
    ncsnr, source = None, None
    for _, path in manifest.entry("ncsnr").find(root, subject=subject):
        values = open_volume(path).read()
        ncsnr, source = values[mask].astype(np.float64), CeilingSource(f"ncsnr of the data set ({path.name})")
    return masked_facts(mask, affine, rois, groups, ncsnr=ncsnr, ncsnr_source=source)


def stream_groups(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Cortical group -> (V,) bool, of the numbers of the atlas ``streams``."""
    return with_voxels({name: np.isin(labels, numbers) for name, numbers in STREAMS.items()})


def regions(labels: np.ndarray, atlas: str, table: Path | None) -> dict[str, np.ndarray]:
    """Region -> (V,) bool for every number above 0; the two halves of an area, V1v and V1d, also as one."""
    names = read_color_table(table) if table else {}
    members = {}
    for number in np.unique(labels[labels > 0]).astype(int):
        members[names.get(number, f"{atlas}-{number}")] = labels == number
    halves: dict[str, list[str]] = {}
    for name in members:
        if match := re.fullmatch(r"(V\d)[vd]", name):
            halves.setdefault(match[1], []).append(name)
    for area, parts in halves.items():
        members.setdefault(area, np.any([members[part] for part in parts], axis=0))
    return members


def read_color_table(path: Path) -> dict[int, str]:
    """Number -> name of a FreeSurfer colour table, or of NSD's shorter form of one."""
    names = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].lstrip("-").isdigit():
            names[int(words[0])] = words[1]
    return names


def _percent(values: np.ndarray, path: Path) -> np.ndarray:
    if values.dtype != np.int16:
        raise DataError(
            f"{path} holds {values.dtype}; NSD's own betas are int16, percent signal change x {PERCENT}; "
            f"a file of "
            "another type was converted by somebody, and its units are not known"
        )
    return values.astype(np.float32) / np.float32(PERCENT)

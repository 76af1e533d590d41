"""Read the small folders of :mod:`layout_writers` as a run would."""

from __future__ import annotations

from pathlib import Path

from harness.api import SubjectData
from harness.benchmarks.layouts.manifest import read_manifest
from harness.plugins import find


def load(name: str, root: Path | str, **params: object) -> SubjectData:
    """The first subject of the layout `name` under `root`."""
    layout = find("benchmarks", name).load()
    benchmark = layout(layout.Params(root=str(root), **params))
    return benchmark.load(benchmark.subjects()[0])


def file_of(name: str, entry: str, root: Path, **values: str) -> Path:
    """The one file of an entry of the layout's manifest."""
    return read_manifest(name).entry(entry).file(root, **values)

"""``harness branches``: what each part of a fitted encoder predicts alone, by voxel and by region."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError, DataError
from .paths import UserPath
from .run import STORE_OPTION

if TYPE_CHECKING:
    from ..results import RunResult
    from ..run.branches import Branches


@click.command()
@click.argument("folder", metavar="RUN", type=UserPath())
@click.option("-o", "--out", type=UserPath(), help="folder  [default: RUN/branches]")
@click.option(
    "--less",
    nargs=2,
    multiple=True,
    metavar="A B",
    help="also draw what branch A correlates more than B, such as: --less what where",
)
@click.option("--device", help="cpu, cuda, cuda:N or mps [that of the run]")
@click.option(
    "--own-code",
    is_flag=True,
    help="the run is yours: an encoder that it names as a file (path/file.py:Class) may be called",
)
@STORE_OPTION
@click.option("-v", "--verbose", count=True, help="say what happens, with tracebacks")
def branches(folder: Path, out: Path | None, less: tuple[tuple[str, str], ...], **given: Any) -> None:
    """Correlate what each branch of RUN's encoder predicts with the held-out responses, and map it.

    RUN is a finished run of an encoder whose parts can be asked for alone, as those of chasm: both streams,
    where or what alone, swapped.  Nothing is fitted: all branches have the weights of the run.  Prints mean
    voxel r by cortical group and ROI, and writes it (regions.csv), every voxel's (voxels.csv), and a map of
    each branch and of what it differs in from the whole.
    """
    from harness.reports.exports import csv_content
    from harness.reports.layout import SIMULATED, number

    from ..places import store_folder
    from ..results import RunResult
    from ..run.branches import branch_correlations, branch_values
    from ..run.context import Context
    from ..stages.features import FeatureStore
    from ..storage.disk import explained
    from ..storage.executors import Inline
    from ..storage.store import Store
    from .output import write_output
    from .predict import ready_encoder
    from .progress import Bars, set_up_logging
    from .summary import console
    from .tables import print_table, say

    errors = console(errors=True)
    set_up_logging(given["verbose"], errors)
    run, out = RunResult.open(folder), out or folder / "branches"
    store = Store(store_folder(given["store"]))
    with explained(store.root):
        typed = {"seed": None, "samples": None, "assignments": (), **given}
        ready, settings = ready_encoder(str(folder), store, Bars(errors), typed)
        parameter, values = branch_values(ready.model.ref)
        unknown = sorted({name for pair in less for name in pair} - {*values})
        if unknown:
            raise ConfigError(f"--less {unknown[0]}: its branches are {', '.join(values)}")
        executor = Inline()
        features = FeatureStore(store, executor, device=settings.device)
        context = Context(None, store, executor, features, Bars(errors))
        with context.stage("branches", len(values) * len(ready.test)) as advance:
            computed = branch_correlations(
                ready, settings=settings, features=features, place=context.place, progress=advance
            )
    store.close()
    shown = console()
    regions, voxels = _frames(computed)
    say(shown, f"voxel r of the branches of {ready.model.ref.name}, {computed.images} test images", "bold")
    if ready.simulated:
        say(shown, f"*** {SIMULATED} ***", "bold magenta")
    lines = [
        (line["kind"], line["region"], f"{line['voxels']:,}", *(number(line[name]) for name in computed.r))
        for line in computed.table()
    ]
    print_table(shown, ("", "region", "voxels", *computed.r), lines)
    say(shown, f"{parameter}={', '.join(computed.r)}; one fit, predictions alone differ", "dim")
    for value, why in computed.left_out.items():
        say(shown, f"left out: {parameter}={value}: {why}")
    contents = {"regions.csv": csv_content(regions), "voxels.csv": csv_content(voxels)}
    try:
        contents |= _maps(run, computed, less)
    except (ConfigError, DataError) as problem:  # tables need no places
        say(shown, f"no maps: {problem}")
    for name, content in contents.items():
        write_output(out / name, content)
        say(shown, str(out / name), "dim")


def _frames(computed: Branches) -> tuple[Any, Any]:
    """Regions, and valid voxels, as tables."""
    import numpy as np
    import pandas as pd

    at = np.flatnonzero(computed.space.valid)
    voxels = pd.DataFrame({"voxel": at, **{name: values[at] for name, values in computed.r.items()}})
    return pd.DataFrame(computed.table()), voxels


def _maps(run: RunResult, computed: Branches, less: tuple[tuple[str, str], ...]) -> dict[str, bytes]:
    """Name -> PNG of each branch, of its difference from the whole, and of the differences asked for."""
    from harness.reports.cortex import Map, draw

    r = computed.r
    whole, *others = r
    maps = [Map(f"voxel-r-{name}", f"voxel r, {name}", values) for name, values in r.items()]
    pairs = dict.fromkeys([*((name, whole) for name in others), *less])
    maps += [
        Map(f"{a}-less-{b}", f"voxel r, {a} less {b}", r[a] - r[b], signed=True)
        for a, b in pairs
        if a in r and b in r
    ]
    return {f"{each.name}.png": draw(run, each) for each in maps}

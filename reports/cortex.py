"""Maps of a run on the cortex: scores, ceilings, what two encoders or two branches of one differ in.

What can be drawn follows from what is known of the voxels' places (``voxel_places.parquet``): vertices of
fsaverage and millimetres of MNI152 on the inflated surface of fsaverage5, which nilearn brings along (10,242
vertices of each half, the first of fsaverage's, so that of a finer map every sixteenth value is seen); a
subject's own millimetres as dots from three sides; a sheet from above.  Regions are bars beside the maps.

The branches of an encoder with two streams are two runs, of the one alone and of the other
(``--set encoder.intervention=where`` and ``what``), and the map of their difference.
"""

from __future__ import annotations

import base64
import html
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import ConfigError, DataError
from harness.results import RunResult

from .cortex_drawing import Scale, Surface, draw_dots, draw_surfaces
from .drawing import alone
from .figures import region_chart
from .layout import SIMULATED, is_simulated, ordered_rows
from .values import ENCODING_ROWS, noise_ceiling, stored, voxel_values

if TYPE_CHECKING:
    import pandas as pd

HALVES = ("left", "right")
FSAVERAGE, FSAVERAGE5 = 163_842, 10_242
"""Vertices of one half."""


@dataclass(frozen=True)
class Map:
    """Values (V,) over the voxels of the run, NaN where there is none, and how they are called."""

    name: str
    title: str
    values: np.ndarray
    signed: bool = False


def maps_of(run: RunResult) -> Iterator[Map]:
    """Voxel r of the encoding rows, the noise ceiling, and what share of it predictions reach."""
    r, ceiling = voxel_values(run, "voxel-r"), noise_ceiling(run)
    n_voxels, about = run.record.space.n_voxels or 0, _about(run)
    for row in ordered_rows(run, [name for name in ENCODING_ROWS if name in r]):
        yield Map(f"voxel-r-{row.name}", f"voxel r, {row.label}{about}", _spread(r[row.name], n_voxels))
    if ceiling is None:
        return
    yield Map("noise-ceiling", f"noise ceiling, share of variance{about}", ceiling)
    if "predicted" in r:
        with np.errstate(invalid="ignore", divide="ignore"):
            share = np.clip(_spread(r["predicted"], n_voxels), 0, None) ** 2 / ceiling
        share[~(ceiling > 0.05)] = np.nan
        yield Map("ceiling-share", f"voxel r² / noise ceiling, predicted (ceilings above 5 %){about}", share)


def difference_map(run: RunResult, other: RunResult, *, row: str = "predicted") -> Map:
    """Voxel r of `run` less that of `other`, two encoders or two branches of one, on the same voxels.

    Raises
    ------
    ConfigError
        The runs are not of the same voxels and test images, or one has no voxel r of the row.
    """
    for name in ("sha", "n_voxels", "subject"):
        if getattr(run.record.space, name) != getattr(other.record.space, name):
            raise ConfigError(
                f"{run.folder} and {other.folder} are not of the same voxels; give two runs of one subject"
            )
    if run.record.data_sha.test_stimuli != other.record.data_sha.test_stimuli:
        raise ConfigError(f"{run.folder} and {other.folder} are not of the same test images")
    both = [voxel_values(each, "voxel-r") for each in (run, other)]
    for each, values in zip((run, other), both):
        if row not in values:
            raise ConfigError(
                f"{each.folder} has no voxel r of the row '{row}'; run it with --metrics voxel-r"
            )
    n_voxels = run.record.space.n_voxels or 0
    ours, theirs = (_spread(values[row], n_voxels) for values in both)
    title = f"voxel r, {' less '.join(_names(run, other))}{_about(run)}"
    return Map("difference", title, ours - theirs, signed=True)


def draw(run: RunResult, chosen: Map) -> bytes:
    """The map as PNG, by what is known of the places of the run's voxels.

    Raises
    ------
    DataError
        Nothing is known of them.
    ConfigError
        nilearn is not installed, and the map is of a surface.
    """
    places = stored(run, "voxel_places")
    if places.empty:
        raise DataError(
            f"{run.folder} does not say where its voxels are; its benchmark has no coordinates or vertices, "
            "or the run is older: type its command again"
        )
    values = chosen.values[places["voxel"].to_numpy()]
    scale = Scale.of(values, signed=chosen.signed)
    if (places["vertex"] >= 0).any():
        return draw_surfaces(
            fsaverage5(), _by_vertex(places["vertex"].to_numpy(), values), scale, title=chosen.title
        )
    if (places["template"] == "mni152").all():
        where = places[["x", "y", "z"]].to_numpy()
        return draw_surfaces(fsaverage5(), sampled(where, values), scale, title=chosen.title)
    axes = ["x", "y"] if places["z"].isna().any() else ["x", "y", "z"]
    where = places[axes].to_numpy()
    return draw_dots(where, values, scale, title=chosen.title, size=spacing(where))


def write_cortex(run: RunResult, folder: Path, *, other: RunResult | None = None) -> list[Path]:
    """Write into `folder` a PNG of each map of `run` and of its difference from `other`, and ``regions.svg``.

    Raises :class:`DataError` or :class:`ConfigError` as :func:`draw` and :func:`difference_map` do.
    """
    chosen = [*maps_of(run), *([] if other is None else [difference_map(run, other)])]
    if not chosen:
        raise DataError(
            f"{run.folder} has neither voxel scores nor a noise ceiling; maps come with an encoder"
        )
    contents = {f"{each.name}.png": draw(run, each) for each in chosen}
    if svg := region_chart(run):
        contents["regions.svg"] = alone(svg).encode()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


SHOWN = ("voxel-r-predicted", "noise-ceiling")
"""Maps that a report shows; ``harness cortex`` writes all."""


def cortex_figures(run: RunResult) -> str:
    """The maps of :data:`SHOWN` as one SVG for a page, or "" where the places of the voxels are not known."""
    if stored(run, "voxel_places").empty:
        return ""
    chosen = [each for each in maps_of(run) if each.name in SHOWN]
    pictures, top, width = [], 0, 0
    for each in chosen:
        png = draw(run, each)
        wide, high = (int.from_bytes(png[k : k + 4], "big") for k in (16, 20))  # of the head of a PNG
        data = base64.b64encode(png).decode()
        pictures.append(
            f'<image y="{top}" width="{wide}" height="{high}" href="data:image/png;base64,{data}"/>'
        )
        top, width = top + high, max(width, wide)
    if not pictures:
        return ""
    label = html.escape("; ".join(each.title for each in chosen))
    style = f"width:100%;max-width:{width}px"
    head = f'<svg role="img" aria-label="{label}" style="{style}" viewBox="0 0 {width} {top}">'
    return f"{head}{''.join(pictures)}</svg>"


def cortex_table(run: RunResult) -> pd.DataFrame:
    """Places of the voxels and the values of the maps of :data:`SHOWN`, a line each."""
    places = stored(run, "voxel_places")
    at = places["voxel"].to_numpy()
    shown = {each.name: each.values[at] for each in maps_of(run) if each.name in SHOWN}
    return places.assign(**shown)


def fsaverage5() -> dict[str, Surface]:
    """Both halves of the inflated surface, set apart from each other by nothing: each is drawn alone."""
    paths = _nilearn().datasets.fetch_surf_fsaverage("fsaverage5")
    surfaces = {}
    for half in HALVES:
        mesh = _nilearn().surface.load_surf_mesh(paths[f"infl_{half}"])
        sulci = _nilearn().surface.load_surf_data(paths[f"sulc_{half}"])
        surfaces[half] = Surface(np.asarray(mesh.coordinates), np.asarray(mesh.faces), np.asarray(sulci))
    return surfaces


def sampled(where: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """Values of voxels at MNI millimetres `where` (n, 3) on the vertices of both halves, NaN where none is.

    As nilearn samples between the white and the pial surface, by voxels that have a value only.
    """
    import nibabel

    step = spacing(where)
    low = where.min(axis=0) - step
    shape = np.round((where.max(axis=0) - low) / step).astype(int) + 2
    index = tuple(np.round((where - low) / step).astype(int).T)
    affine = np.diag([step, step, step, 1.0])
    affine[:3, 3] = low
    finite = np.isfinite(values)
    grids = {"values": np.zeros(shape), "weights": np.zeros(shape)}
    grids["values"][index], grids["weights"][index] = np.where(finite, values, 0), finite
    paths = _nilearn().datasets.fetch_surf_fsaverage("fsaverage5")
    halves = {}
    for half in HALVES:
        mesh = {"surf_mesh": paths[f"pial_{half}"], "inner_mesh": paths[f"white_{half}"]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of vertices outside the grid, which are NaN
            sums = {
                name: np.nan_to_num(_nilearn().surface.vol_to_surf(nibabel.Nifti1Image(grid, affine), **mesh))
                for name, grid in grids.items()
            }
        with np.errstate(invalid="ignore", divide="ignore"):
            halves[half] = np.where(sums["weights"] > 0.1, sums["values"] / sums["weights"], np.nan)
    return halves


def spacing(where: np.ndarray) -> float:
    """Least distance between two different places along an axis, such as the edge of a voxel."""
    steps = [np.diff(np.unique(np.round(column, 3))) for column in where.T]
    steps = np.concatenate([step[step > 1e-2] for step in steps]) if len(where) > 1 else np.array([])
    return float(np.median(steps)) if len(steps) else 1.0


def _by_vertex(vertices: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """(10242,) of each half: the values of fsaverage's first vertices, which are those of fsaverage5."""
    halves = {}
    for k, half in enumerate(HALVES):
        ours = vertices - k * FSAVERAGE
        shown = (ours >= 0) & (ours < FSAVERAGE5)
        halves[half] = np.full(FSAVERAGE5, np.nan)
        halves[half][ours[shown]] = values[shown]
    return halves


def _spread(values: pd.Series, n_voxels: int) -> np.ndarray:
    """(V,) of values by voxel."""
    out = np.full(n_voxels, np.nan)
    out[values.index.to_numpy(dtype=int)] = values.to_numpy(dtype=float)
    return out


def _about(run: RunResult) -> str:
    """What a title says of where the data are from."""
    return f" ({SIMULATED})" if is_simulated(run) else ""


def _names(run: RunResult, other: RunResult) -> list[str]:
    """What the encoders of both runs are called, with the parameters in which they differ."""
    encoders = [each.record.encoder for each in (run, other)]
    if None in encoders:
        return [each.folder.name for each in (run, other)]
    params = [encoder.params for encoder in encoders]
    differing = [name for name in params[0] if name in params[1] and params[0][name] != params[1][name]]
    if encoders[0].name != encoders[1].name or not differing:
        return [encoder.name for encoder in encoders]
    return [" ".join([e.name, *(f"{name}={e.params[name]}" for name in differing)]) for e in encoders]


def _nilearn() -> Any:
    try:
        import nilearn.datasets
        import nilearn.surface
    except ImportError:
        raise ConfigError(
            "maps on a surface need nilearn; type: pip install 'fmri-harness[surface]', or pip install "
            "nilearn"
        ) from None
    return nilearn

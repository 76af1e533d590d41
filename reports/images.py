"""The gallery of a run as inline images: small, deterministic, and without stimuli on request."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

from harness.errors import DataError
from harness.results import RunResult

from .layout import RowInfo, ordered_rows

LOSSLESS_SIDE = 96
"""Images up to this side are kept exactly (PNG) and enlarged without smoothing; bigger ones are WebP."""

BUDGET = 3_000_000
"""Bytes of encoded images in a report; larger galleries are reduced until they fit."""

_STEPS = ((256, 82), (192, 80), (128, 78), (96, 75), (64, 70), (48, 60))  # (side, WebP quality), best first

STIMULUS_ROWS = ("stimulus", "nearest-train", "nearest-train-measured", "mean-image", "generator-ceiling")
"""Columns that are stimuli, or made from them without any brain response in between."""

_STIMULUS = RowInfo("stimulus", "stimulus", "what was shown", "compared")
SHOWN_FIRST = ("stimulus", "measured", "predicted", "reconstructions")
"""Columns that are in sight before a reader asks for others."""


@dataclass(frozen=True)
class Tile:
    """One image: a data address, or its average colour alone where it may not be shown."""

    source: str
    colour: str
    alt: str


@dataclass(frozen=True)
class Column:
    """One row of the score table as a column of the gallery; ``shown`` at first or on request."""

    name: str
    label: str
    note: str
    shown: bool
    withheld: bool
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """``constant`` columns hold one tile: rows that give every image the same picture."""

    ids: tuple[str, ...]
    columns: tuple[Column, ...]
    constant: tuple[Column, ...]
    pixelated: bool
    side: int
    reduced: bool


def read_gallery(run: RunResult, *, show_stimuli: bool = True) -> Gallery | None:
    """The gallery of `run`, or None when it has none.

    Without stimuli every column of :data:`STIMULUS_ROWS` is reduced to average colours, and so are
    all decoded columns when the decoder hands out training images (an image in one of them equals
    a stimulus or a nearest training image).
    """
    if not (run.folder / "gallery.npz").is_file():
        return None
    arrays = _arrays(run)
    ids = tuple(str(name) for name in arrays.pop("ids"))
    if not ids or not arrays:
        return None
    withheld = set() if show_stimuli else _withheld(run, arrays)
    shown = [name for name in arrays if name not in withheld]
    constant = {name for name in arrays if name != "stimulus" and len(ids) > 1 and _same(arrays[name])}
    side = max(max(images.shape[1:3]) for images in arrays.values())
    limit, quality = _fitting(arrays, shown, constant)
    rows = [_STIMULUS] if "stimulus" in arrays else []
    rows += ordered_rows(run, [name for name in arrays if name != "stimulus"])
    columns, single = [], []
    for row in rows:
        images = arrays[row.name]
        hide = row.name in withheld
        names = ids[:1] if row.name in constant else ids
        tiles = tuple(
            Tile(
                "" if hide else encode(image, side=limit, quality=quality),
                _average(image),
                f"{row.label}{' (withheld)' if hide else ''}, image {name}",
            )
            for name, image in zip(names, images)
        )
        column = Column(row.name, row.label, row.note, row.name in SHOWN_FIRST, hide, tiles)
        (single if row.name in constant else columns).append(column)
    pixelated = min(side, limit) <= LOSSLESS_SIDE
    return Gallery(ids, tuple(columns), tuple(single), pixelated, min(side, limit), limit < side)


def encode(image: np.ndarray, *, side: int, quality: int) -> str:
    """Data address of an image (H, W, 3) uint8, no side longer than `side` pixels."""
    kind, content = _content(image, side, quality)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _content(image: np.ndarray, side: int, quality: int) -> tuple[str, bytes]:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    lossless = max(picture.size) <= LOSSLESS_SIDE
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if lossless:
        picture.save(buffer, format="PNG", optimize=True)
        return "png", buffer.getvalue()
    picture.save(buffer, format="WEBP", quality=quality, method=4)
    return "webp", buffer.getvalue()


def _fitting(arrays: dict[str, np.ndarray], shown: list[str], constant: set[str]) -> tuple[int, int]:
    """Largest (side, quality) whose images, estimated from a sample, stay within the budget."""
    count = sum(1 if name in constant else len(arrays[name]) for name in shown)
    sample = [arrays[name][k] for name in shown for k in range(0, len(arrays[name]), 5)]
    for side, quality in _STEPS:
        sizes = [len(_content(image, side, quality)[1]) for image in sample]
        if not sizes or np.mean(sizes) * count * 4 / 3 <= BUDGET:
            return side, quality
    return _STEPS[-1]


def _arrays(run: RunResult) -> dict[str, np.ndarray]:
    path = run.folder / "gallery.npz"
    try:
        arrays = dict(run.gallery)
    except DataError as problem:
        reason = getattr(problem.__cause__, "strerror", None) or "it is damaged"
        raise DataError(f"{path} cannot be read ({reason}); type the run's command again") from None
    n = len(arrays.get("ids", ()))
    for name, images in arrays.items():
        if name != "ids" and (images.dtype != np.uint8 or images.ndim != 4 or images.shape[::3] != (n, 3)):
            raise DataError(
                f"{path}: '{name}' is {images.dtype} {images.shape}; expected uint8 ({n}, H, W, 3). "
                "Type the run's command again"
            )
    return {"ids": arrays.pop("ids", np.array([])), **arrays}


def hides_stimuli(run: RunResult) -> bool:
    """Whether reconstructions are withheld where stimuli are: of a decoder that hands out training images."""
    if _retrieves(run):
        return True
    return (run.folder / "gallery.npz").is_file() and _copies(_arrays(run))


def _copies(arrays: dict[str, np.ndarray]) -> bool:
    """Whether a reconstruction is a stimulus or a training image."""
    hidden = {name for name in STIMULUS_ROWS if name in arrays}
    hidden_pixels = {image.tobytes() for name in hidden - {"mean-image"} for image in arrays[name]}
    free = [name for name in arrays if name not in hidden and name != "ids"]
    return any(image.tobytes() in hidden_pixels for name in free for image in arrays[name])


def _withheld(run: RunResult, arrays: dict[str, np.ndarray]) -> set[str]:
    hidden = {name for name in STIMULUS_ROWS if name in arrays}
    return set(arrays) if _copies(arrays) or _retrieves(run) else hidden


def _retrieves(run: RunResult) -> bool:
    return run.record.decoder is not None and "nearest-train" in run.record.decoder.name


def _same(images: np.ndarray) -> bool:
    return bool((images == images[:1]).all())


def _average(image: np.ndarray) -> str:
    red, green, blue = np.round(image.reshape(-1, 3).mean(axis=0)).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"

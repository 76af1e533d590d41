"""The images that a report shows, chosen by a rule that is printed above them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np

from ..data import ImageSet, Responses
from ..seeds import subset

SHOWN = 16
SIZE = 256
"""Largest side in pixels; bigger images are reduced, smaller ones kept."""


def choose_ids(
    ids: tuple[str, ...],
    values: np.ndarray | None,
    *,
    label: str,
    agreement: np.ndarray | None = None,
    agreement_label: str = "",
) -> tuple[tuple[str, ...], str]:
    """Ids to show and the rule in words.

    values : (N,) the score that orders them, if any.  agreement : (N,) how alike measured and predicted
    reconstructions are, if that is known; those that are least alike are shown besides.
    """
    if len(ids) <= SHOWN:
        return ids, f"all {len(ids)} test images"
    quarter = SHOWN // 4
    if values is None or not np.isfinite(values).any():
        chosen, rule = list(subset(ids, SHOWN)), f"{SHOWN} of {len(ids)} test images by the hash of their id"
    else:
        order = _falling(ids, values)
        middle = len(order) // 2 - quarter // 2
        chosen = [*order[:quarter], *order[middle : middle + quarter], *order[-quarter:]]
        rest = [name for name in ids if name not in set(chosen)]
        chosen += subset(rest, SHOWN - len(chosen))
        rule = (
            f"{quarter} best, {quarter} middle and {quarter} worst of {len(ids)} test images by {label}, in "
            f"that order, then {quarter} others by the hash of their id"
        )
    if agreement is None or not np.isfinite(agreement).any():
        return tuple(chosen), rule
    least = [name for name in _falling(ids, -agreement)[:quarter] if name not in set(chosen)]
    return (*chosen, *least), f"{rule}, and the {quarter} of least {agreement_label}"


def _falling(ids: tuple[str, ...], values: np.ndarray) -> list[str]:
    """Ids by falling value, those without one last."""
    comparable = np.where(np.isfinite(values), values, -np.inf)
    return [ids[k] for k in np.argsort(-comparable, kind="stable")]


def pack(ids: tuple[str, ...], sets: Mapping[str, ImageSet]) -> bytes:
    """``gallery.npz``: ids and (n, H, W, 3) uint8 per row, without any time stamp."""
    arrays = {"ids": np.array(ids)}
    for row, images in sets.items():
        if set(ids) <= set(images.ids):
            arrays[row] = np.stack([thumbnail(image) for image in images.images(ids)])
    return npz_content(arrays)


def pack_patterns(ids: tuple[str, ...], measured: Responses, predicted: np.ndarray) -> bytes:
    """``patterns.npz``: ids, and (n, V) float32 mean measured and predicted responses to them.

    predicted : (N, V) in the order of the ids of `measured`.
    """
    place = {name: k for k, name in enumerate(measured.ids)}
    at = [place[name] for name in ids]
    arrays = {"measured": measured.mean()[at], "predicted": predicted[at]}
    kept = {row: of.astype(np.float32) for row, of in arrays.items()}
    return npz_content({"ids": np.array(ids), **kept})


def thumbnail(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8, no side longer than :data:`SIZE`."""
    from PIL import Image

    if image.dtype != np.uint8:
        image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if max(image.shape[:2]) <= SIZE:
        return image
    small = Image.fromarray(image)
    small.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
    return np.asarray(small)


def npz_content(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A ``.npz`` file of `arrays`, the same bytes whenever it is made."""
    # np.savez stamps the present time into the archive; the same run must give the same bytes.
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), entry.getvalue())
    return buffer.getvalue()

"""One micro-batch through a fitted decoder: what makes an artifact of the stage decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data import Decoded, Responses, VoxelSpace, image_sha
from ..errors import PluginError
from ..plugins import PluginRef
from ..storage.content import save_array, save_json
from ..storage.references import Reference
from ..storage.worker import kept_open
from .guard import guarded
from .model import Model


def decode_batch(
    folder: Path,
    model: Model,
    responses: Responses,
    seeds: np.ndarray,
    calibration: Reference | None,
    in_8_bit: bool,
) -> None:
    """Write what `model` makes of `responses`.

    calibration : all inputs of the row, for transductive decoders only.
    in_8_bit : keep pictures as uint8.
    """
    decoder = _opened(model, responses.space, calibration)
    decoded = guarded(model.ref, "fails while decoding", lambda: decoder.decode(responses, seeds=seeds))
    _write(folder, decoder, checked(decoded, model.ref, responses.ids), in_8_bit)


def generate_batch(
    folder: Path,
    model: Model,
    space: VoxelSpace,
    ids: tuple[str, ...],
    images: Reference,
    seeds: np.ndarray,
    in_8_bit: bool,
    method: str = "generate",
) -> None:
    """Write what `method` of `model`, ``generate`` or ``rebuild``, makes of true `images`, called `ids`."""
    decoder, given = _opened(model, space, None), images.load()
    ceiling = getattr(decoder, method)
    decoded = guarded(model.ref, "fails while decoding", lambda: ceiling(given, seeds=seeds))
    _write(folder, decoder, checked(decoded, model.ref, ids), in_8_bit)


def _opened(model: Model, space: VoxelSpace, calibration: Reference | None) -> Any:
    """The decoder, opened for `space` and calibrated, which stays open in this process."""
    inputs = None if calibration is None else calibration.load()

    def opened() -> Any:
        decoder = guarded(model.ref, "cannot be loaded", lambda: model.load(space))
        if inputs is not None and hasattr(decoder, "calibrate"):
            guarded(model.ref, "fails while calibrating", lambda: decoder.calibrate(inputs))
        return decoder

    calibrated = "" if inputs is None else inputs.sha
    if not (model.key or model.folder):  # known by nothing that another could not be, too
        return opened()
    return kept_open(("decoder", model.key, model.folder, space.sha, calibrated), opened)


def _write(folder: Path, decoder: Any, decoded: Decoded, in_8_bit: bool) -> None:
    images = decoded.images
    if in_8_bit:
        images = eight_bit(images)
    save_array(folder, "images", images)
    save_json(folder, "hashes", [[image_sha(c) for c in candidates] for candidates in images])
    for field in ("embedding", "low_level"):
        if getattr(decoded, field) is not None:
            save_array(folder, field, stored(getattr(decoded, field)))
    if decoded.caption is not None:
        save_json(folder, "caption", list(decoded.caption))
    scores = _candidate_scores(decoder, decoded)
    if scores is not None:
        save_array(folder, "candidate_scores", scores)


def checked(decoded: Any, ref: PluginRef, ids: tuple[str, ...]) -> Decoded:
    """A :class:`Decoded` of the right shapes, uint8 or float in [0, 1], or a PluginError."""
    if not isinstance(decoded, Decoded):
        raise PluginError(f"decoder '{ref.name}' returned {type(decoded).__name__}; expected Decoded")
    images = np.asarray(decoded.images)
    if images.ndim != 5 or len(images) != len(ids) or images.shape[1] < 1 or images.shape[-1] != 3:
        raise PluginError(
            f"decoder '{ref.name}' returned images of shape {images.shape}; expected "
            f"({len(ids)}, candidates, height, width, 3)"
        )
    if images.dtype != np.uint8:
        if not np.issubdtype(images.dtype, np.floating) or not np.isfinite(images).all():
            raise PluginError(f"decoder '{ref.name}' returned {images.dtype} images that are not all finite")
        if images.min() < 0 or images.max() > 1:
            low, high = images.min(), images.max()
            raise PluginError(
                f"decoder '{ref.name}' returned values from {low:.3g} to {high:.3g}; expected [0, 1]"
            )
        images = stored(images)
    for name in ("embedding", "low_level", "caption"):
        value = getattr(decoded, name)
        if value is not None and len(value) != len(ids):
            raise PluginError(
                f"decoder '{ref.name}' returned {len(value)} {name} entries for {len(ids)} images"
            )
    return Decoded(images, decoded.embedding, decoded.caption, decoded.low_level)


def eight_bit(images: np.ndarray) -> np.ndarray:
    """uint8 or float in [0, 1] -> uint8, the nearest level, as metrics of 8-bit pictures round them."""
    if images.dtype == np.uint8:
        return images
    return np.round(images.astype(np.float32) * np.float32(255)).astype(np.uint8)


def stored(values: Any) -> np.ndarray:
    """Numbers as they are kept: float16 where the decoder gives it, for it is half as large, else float32."""
    values = np.asarray(values)
    return values if values.dtype == np.float16 else values.astype(np.float32)


def _candidate_scores(decoder: Any, decoded: Decoded) -> np.ndarray | None:
    """(N, C) cosine of each candidate's embedding with the predicted one, where a decoder gives both."""
    n, candidates = decoded.images.shape[:2]
    if candidates == 1 or decoded.embedding is None or not hasattr(decoder, "embed"):
        return None
    embeddings = np.asarray(decoder.embed(decoded.images.reshape(-1, *decoded.images.shape[2:])), np.float64)
    embeddings = embeddings.reshape(n, candidates, -1)
    wanted = np.asarray(decoded.embedding, np.float64).reshape(n, 1, -1)
    norm = np.linalg.norm(embeddings, axis=2) * np.linalg.norm(wanted, axis=2)
    return np.divide((embeddings * wanted).sum(axis=2), norm, out=np.zeros((n, candidates)), where=norm > 0)

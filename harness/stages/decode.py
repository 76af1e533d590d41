"""Stage decode: reconstructions from responses, one artifact per micro-batch.

Images in id order are cut into micro-batches; a shard is whole micro-batches; so neither the shard
size nor the number of workers can change what a plugin is given, and a kill loses one shard.
The key of a micro-batch holds its responses' content, not the row they belong to: measured
responses are decoded once for all encoders.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..data import Decoded, ImageSet, Responses, Stimuli, VoxelSpace, image_sha
from ..errors import DataError, PluginError
from ..notices import hearing_warnings
from ..plugins import PluginRef
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..rows.table import Stream
from ..seeds import image_seeds
from ..storage.executors import Executor
from ..storage.identity import module_sha
from ..storage.store import Artifact, Store, save_array, save_json, save_warnings
from ..storage.worker import kept_open, store_at
from .fit import Model
from .guard import guarded

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """One micro-batch: responses to decode, or images to put through the generator alone."""

    key: str
    ingredients: dict[str, Any]
    ids: tuple[str, ...]
    seeds: np.ndarray
    responses: Responses | None = None
    images: np.ndarray | None = None


@dataclass(frozen=True)
class Shard:
    """Micro-batches that one worker does with one opened decoder."""

    root: str
    model: Model
    space: VoxelSpace
    calibration: Responses | None  # all inputs of the row, for transductive decoders only
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class CandidateReader:
    """Reads image k from row ``where[k]`` = (file, image, candidate) of files (n, C, H, W, 3)."""

    files: tuple[str, ...]
    where: np.ndarray
    portable = True

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        opened = {
            b: np.load(self.files[b], mmap_mode="r", allow_pickle=False)
            for b in set(self.where[positions, 0])
        }
        return np.stack([opened[b][k, c] for b, k, c in self.where[positions]])


@dataclass(frozen=True)
class Reconstructions:
    """All of a stream's candidates: lazily read, in id order."""

    ids: tuple[str, ...]
    batches: tuple[Artifact, ...]

    def candidates(self) -> int:
        """C."""
        return self.batches[0].array("images").shape[1]

    def chosen(self, choice: np.ndarray) -> ImageSet:
        """The image of candidate `choice` (N,) of each id, as an image set."""
        hashes = [batch.json("hashes") for batch in self.batches]
        where = [(b, k) for b, of_batch in enumerate(hashes) for k in range(len(of_batch))]
        reader = CandidateReader(
            tuple(str(batch.folder / "images.npy") for batch in self.batches),
            np.array([(b, k, c) for (b, k), c in zip(where, choice, strict=True)], np.int64),
        )
        return ImageSet(self.ids, reader, hashes=[hashes[b][k][c] for b, k, c in reader.where])

    @cached_property
    def captions(self) -> dict[str, str]:
        """Id -> caption; empty where the decoder gave none.  Not to be changed."""
        if not all(batch.has("caption.json") for batch in self.batches):
            return {}
        found = [str(caption) for batch in self.batches for caption in batch.json("caption")]
        return dict(zip(self.ids, found, strict=True))

    def optional(self, name: str) -> np.ndarray | None:
        """(N, ...) array ``embedding``, ``low_level`` or ``candidate_scores``, if the decoder gave it."""
        parts = self.optional_parts(name)
        return None if parts is None else np.concatenate(parts)

    def optional_parts(self, name: str) -> list[np.ndarray] | None:
        """The same batch by batch, as memory maps: low-level images are large."""
        if not all(batch.has(f"{name}.npy") for batch in self.batches):
            return None
        return [batch.array(name) for batch in self.batches]


def decode(
    model: Model,
    streams: Sequence[Stream],
    *,
    space: VoxelSpace,
    store: Store,
    executor: Executor,
    micro_batch: int,
    shard_size: int,
    names: OpaqueNames = TRUE_IDS,
    progress: Callable[[int], None] = lambda images: None,
) -> list[Reconstructions]:
    """Reconstruct every stream; the result is in the order of `streams`.

    names : under which the plugin gets the images; the result has their ids.
    """
    transductive = bool(model.ref.load().transductive)
    plans: list[tuple[Responses | None, list[Piece]]] = []
    for stream in streams:
        calibration = names.responses(stream.responses) if transductive else None
        common = _common(model, micro_batch, calibration)
        pieces = []
        for at, ids in _batches(stream.responses.ids, micro_batch):
            responses = names.responses(stream.responses.select(ids))
            seeds = stream.seeds[at]
            ingredients = {**common, "responses": responses.sha, "seeds": seeds}
            key = store.key("decode", ingredients)
            pieces.append(Piece(key, ingredients, ids, seeds, responses=responses))
        plans.append((calibration, pieces))
    return _carry_out(model, plans, space, store, executor, micro_batch, shard_size, progress)


def generate(
    model: Model,
    stimuli: Stimuli,
    *,
    seed: int,
    space: VoxelSpace,
    store: Store,
    executor: Executor,
    micro_batch: int,
    shard_size: int,
    progress: Callable[[int], None] = lambda images: None,
) -> Reconstructions:
    """The generator ceiling: the decoder's ``generate`` given the true images' embedding."""
    common = _common(model, micro_batch, None)
    pieces = []
    for _, ids in _batches(stimuli.ids, micro_batch):
        part = stimuli.select(ids)
        seeds = image_seeds(seed, ids, 0)
        ingredients = {**common, "images": part.sha, "seeds": seeds}
        key = store.key("decode", ingredients)
        pieces.append(Piece(key, ingredients, ids, seeds, images=np.asarray(part.images())))
    return _carry_out(model, [(None, pieces)], space, store, executor, micro_batch, shard_size, progress)[0]


def decode_shard(shard: Shard) -> list[tuple[str, int]]:
    """Do what is missing of a shard; (key, images) of every piece written."""
    store = store_at(shard.root)
    written = []
    calibrated = shard.calibration.sha if shard.calibration is not None else ""
    for piece in shard.pieces:
        if store.open("decode", piece.key) is not None:
            continue
        model, ref = shard.model, shard.model.ref
        name = ("decoder", model.key or piece.key, model.folder, shard.space.sha, calibrated)
        with hearing_warnings("decode-warning", plugin=ref.load().__module__) as flags:
            decoder = kept_open(name, lambda: _opened(shard))
            if piece.responses is not None:
                call = lambda: decoder.decode(piece.responses, seeds=piece.seeds)  # noqa: E731, B023
            else:
                call = lambda: decoder.generate(piece.images, seeds=piece.seeds)  # noqa: E731, B023
            decoded = checked(guarded(ref, "fails while decoding", call), ref, piece.ids)
        with store.writing("decode", piece.key, piece.ingredients) as folder:
            save_array(folder, "images", decoded.images)
            save_json(folder, "hashes", [[image_sha(c) for c in candidates] for candidates in decoded.images])
            for field in ("embedding", "low_level"):
                if getattr(decoded, field) is not None:
                    save_array(folder, field, np.asarray(getattr(decoded, field), np.float32))
            if decoded.caption is not None:
                save_json(folder, "caption", list(decoded.caption))
            scores = _candidate_scores(decoder, decoded)
            if scores is not None:
                save_array(folder, "candidate_scores", scores)
            save_warnings(folder, flags)
        written.append((piece.key, len(piece.ids)))
    return written


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
        images = images.astype(np.float32)
    for name in ("embedding", "low_level", "caption"):
        value = getattr(decoded, name)
        if value is not None and len(value) != len(ids):
            raise PluginError(
                f"decoder '{ref.name}' returned {len(value)} {name} entries for {len(ids)} images"
            )
    return Decoded(images, decoded.embedding, decoded.caption, decoded.low_level)


def _carry_out(
    model: Model,
    plans: Sequence[tuple[Responses | None, list[Piece]]],
    space: VoxelSpace,
    store: Store,
    executor: Executor,
    micro_batch: int,
    shard_size: int,
    progress: Callable[[int], None],
) -> list[Reconstructions]:
    per_shard = max(1, -(-shard_size // micro_batch))

    def shards() -> Iterator[Shard]:
        planned: set[str] = set()
        for calibration, pieces in plans:
            missing = []
            for piece in pieces:
                if piece.key in planned:
                    progress(len(piece.ids))
                elif store.open("decode", piece.key) is not None:
                    store.reused["decode"] += 1
                    progress(len(piece.ids))
                else:
                    missing.append(piece)
                planned.add(piece.key)
            for start in range(0, len(missing), per_shard):
                part = tuple(missing[start : start + per_shard])
                yield Shard(str(store.root), model, space, calibration, part)

    for written in executor.map(decode_shard, shards()):
        store.computed["decode"] += len(written)
        progress(sum(images for _, images in written))
    results = []
    for _, pieces in plans:
        artifacts = [store.open("decode", piece.key) for piece in pieces]
        if any(artifact is None for artifact in artifacts):
            raise DataError("a reconstruction was altered while the run went on; run the same command again")
        for artifact in artifacts:
            store.note_warnings(artifact)
        results.append(Reconstructions(tuple(i for piece in pieces for i in piece.ids), tuple(artifacts)))
    return results


def _common(model: Model, micro_batch: int, calibration: Responses | None) -> dict[str, Any]:
    return {
        "model": model.key,
        "micro_batch": micro_batch,
        "device": model.device.partition(":")[0],
        "calibration": "none" if calibration is None else calibration.sha,
        "stage": module_sha(__name__),
    }


def _batches(ids: Sequence[str], size: int) -> Iterator[tuple[slice, tuple[str, ...]]]:
    for start in range(0, len(ids), size):
        at = slice(start, min(start + size, len(ids)))
        yield at, tuple(ids[at])


def _opened(shard: Shard) -> Any:
    decoder = guarded(shard.model.ref, "cannot be loaded", lambda: shard.model.load(shard.space))
    if shard.calibration is not None and hasattr(decoder, "calibrate"):
        guarded(shard.model.ref, "fails while calibrating", lambda: decoder.calibrate(shard.calibration))
    return decoder


def _candidate_scores(decoder: Any, decoded: Decoded) -> np.ndarray | None:
    """(N, C) cosine of each candidate's embedding with the predicted one, where a decoder gives both."""
    n, candidates = decoded.images.shape[:2]
    if candidates == 1 or decoded.embedding is None or not hasattr(decoder, "embed"):
        return None
    made = np.asarray(decoder.embed(decoded.images.reshape(-1, *decoded.images.shape[2:])), np.float64)
    made = made.reshape(n, candidates, -1)
    wanted = np.asarray(decoded.embedding, np.float64).reshape(n, 1, -1)
    norm = np.linalg.norm(made, axis=2) * np.linalg.norm(wanted, axis=2)
    return np.divide((made * wanted).sum(axis=2), norm, out=np.zeros((n, candidates)), where=norm > 0)

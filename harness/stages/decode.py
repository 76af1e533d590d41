"""Stage decode: reconstructions from responses, one artifact per micro-batch.

Images in id order are cut into micro-batches; a shard is whole micro-batches; so neither the shard
size nor the number of workers can change what a plugin is given, and a kill loses one shard.
The key of a micro-batch holds its responses' content, not the row they belong to: measured
responses are decoded once for all encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..data import ImageSet, Responses, Stimuli, VoxelSpace
from ..rows.opaque import TRUE_IDS, OpaqueNames
from ..rows.table import Stream
from ..seeds import image_seeds
from ..storage.cached import Item, cached_map
from ..storage.executors import Executor
from ..storage.references import Held, Reference, pictures
from ..storage.store import Artifact, Store
from .decoding import decode_batch, generate_batch
from .model import Model


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
        captions = [str(caption) for batch in self.batches for caption in batch.json("caption")]
        return dict(zip(self.ids, captions, strict=True))

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
    eight_bit: bool = False,
    names: OpaqueNames = TRUE_IDS,
    progress: Callable[[int], None] = lambda images: None,
) -> list[Reconstructions]:
    """Reconstruct every stream; the result is in the order of `streams`.

    eight_bit : pictures are kept as uint8, a quarter of float32.
    names : under which the plugin gets the images; the result has their ids.
    """
    plugin = model.ref.load()
    transductive, module = bool(plugin.transductive), plugin.__module__
    items: list[Item] = []
    for stream in streams:
        calibration, sha = None, "none"
        if transductive:
            inputs = names.responses(stream.responses)
            calibration, sha = SharedResponses.of(inputs, executor), inputs.sha
        for at, ids in _batches(stream.responses.ids, micro_batch):
            responses, seeds = names.responses(stream.responses.select(ids)), stream.seeds[at]
            identity = {"responses": responses.sha, "seeds": seeds, "calibration": sha}
            items.append(
                Item(
                    identity, (model, responses, seeds, calibration, eight_bit), count=len(ids), plugin=module
                )
            )
    artifacts = iter(
        cached_map(
            "decode",
            items,
            decode_batch,
            store=store,
            executor=executor,
            depends_on=_common(model, micro_batch, space, eight_bit),
            progress=progress,
            together=_together(micro_batch, shard_size),
        )
    )
    results = []
    for stream in streams:
        ids = tuple(stream.responses.ids)
        results.append(Reconstructions(ids, tuple(next(artifacts) for _ in _batches(ids, micro_batch))))
    return results


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
    method: str = "generate",
    eight_bit: bool = False,
    progress: Callable[[int], None] = lambda images: None,
) -> Reconstructions:
    """What the decoder makes of the true images: by ``generate`` from their embedding, the generator ceiling,
    or by ``rebuild`` from their codes."""

    module = model.ref.load().__module__
    named = {} if method == "generate" else {"method": method}

    def item(ids: tuple[str, ...]) -> Item:
        part, seeds = stimuli.select(ids), image_seeds(seed, ids, 0)
        arguments = lambda: (model, space, ids, pictures(part), seeds, eight_bit, method)  # noqa: E731
        return Item({"images": part.sha, "seeds": seeds, **named}, arguments, count=len(ids), plugin=module)

    artifacts = cached_map(
        "decode",
        [item(ids) for _, ids in _batches(stimuli.ids, micro_batch)],
        generate_batch,
        store=store,
        executor=executor,
        depends_on=_common(model, micro_batch, space, eight_bit),
        progress=progress,
        together=_together(micro_batch, shard_size),
    )
    return Reconstructions(stimuli.ids, tuple(artifacts))


@dataclass(frozen=True)
class SharedResponses:
    """All inputs of a row, for every task that decodes some of it."""

    space: VoxelSpace
    ids: tuple[str, ...]
    trials: Reference
    image_index: np.ndarray
    session: np.ndarray
    trial_number: np.ndarray
    sha: str

    @classmethod
    def of(cls, responses: Responses, executor: Executor) -> SharedResponses | Held:
        """`responses` where tasks of `executor` find them."""
        if not executor.elsewhere:
            return Held(responses)
        trials = executor.share(np.asarray(responses.data[:], np.float32))
        order = (responses.image_index, responses.session, responses.trial_number)
        return cls(responses.space, responses.ids, trials, *order, responses.data_sha())

    def load(self) -> Responses:
        """The responses."""
        more = {"session": self.session, "sha": self.sha, "trial_number": self.trial_number}
        return Responses(self.space, self.ids, self.trials.load(), self.image_index, **more)


def _common(model: Model, micro_batch: int, space: VoxelSpace, eight_bit: bool) -> dict[str, Any]:
    kept = {"pictures": "uint8"} if eight_bit else {}
    return kept | {
        "model": model.key,
        "space": space.sha,
        "micro_batch": micro_batch,
        "device": model.device.partition(":")[0],
    }


def _together(micro_batch: int, shard_size: int) -> int:
    """Micro-batches in a shard."""
    return max(1, -(-shard_size // micro_batch))


def _batches(ids: Sequence[str], size: int) -> Iterator[tuple[slice, tuple[str, ...]]]:
    for start in range(0, len(ids), size):
        at = slice(start, min(start + size, len(ids)))
        yield at, tuple(ids[at])

"""Stage data: a subject's images and responses, checked, in id order, perhaps a named subset.

What a benchmark generates is kept in the store and read back memory-mapped; what a benchmark reads
from a user's files stays there.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data import CeilingSource, Responses, Split, Stimuli, SubjectData, VoxelSpace
from ..errors import ConfigError, DataError, suggest
from ..notices import Flag, hearing_warnings
from ..plugins import PluginRef
from ..seeds import subset
from ..storage.cached import Item, cached_map, key_for, store_at
from ..storage.executors import Executor
from ..storage.identity import code_sha, named_files
from ..storage.references import FileReader, Held, Reference
from ..storage.store import Artifact, Store
from .checks import check_subject
from .generating import generate_subject, loaded_subject
from .guard import guarded
from .model import Configured

logger = logging.getLogger(__name__)


FIRST = 5
"""Missing images that are named."""


@dataclass(frozen=True)
class Subset:
    """A named part of the test images.

    missing : how many were left out because they have no reconstruction; first_missing : ids of some.
    """

    name: str
    sha: str
    missing: int = 0
    first_missing: tuple[str, ...] = ()


def load_subject(
    benchmark: Configured,
    subject: str | None,
    *,
    store: Store,
    executor: Executor,
    limit: int | None = None,
    present: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> tuple[SubjectData, Subset | None, list[Flag]]:
    """Load, check and order one subject; test images sorted by id, at most `limit` of them; and what
    was warned of, whether now or when a generated subject was made.

    present : ids of test images -> those of them that have a reconstruction; only these are kept.
    """
    ref, built = benchmark.ref, benchmark.build()
    subjects = guarded(ref, "cannot name its subjects", lambda: tuple(built.subjects()))
    subject = subject or subjects[0]
    if subject not in subjects:
        raise ConfigError(suggest(subject, subjects, what=f"subject of benchmark '{ref.name}'"))

    def heard() -> AbstractContextManager[list[Flag]]:
        return hearing_warnings("data-warning", plugin=type(built).__module__)

    if built.generated:
        identity = data_identity(ref, benchmark.params, subject)
        item = Item(identity, (benchmark, subject), plugin=type(built).__module__)
        (artifact,) = cached_map("data", [item], generate_subject, store=store, executor=executor)
        data = replace(read_subject(artifact), source=StoredSubject(str(store.root), artifact.key))
        flags = list(artifact.warned())
    else:
        with heard() as flags:
            data = replace(loaded_subject(benchmark, subject), source=ReadSubject(benchmark, subject))
    with heard() as more:
        check_subject(data)
    ids = tuple(sorted(data.test.stimuli.ids))
    names, missing = [], []
    if limit is not None and limit < len(ids):
        ids = subset(ids, limit)
        names.append(f"limit-{limit}")
    if present is not None:
        there = set(present(ids))
        missing = [name for name in ids if name not in there]
        ids = tuple(name for name in ids if name in there)
    if missing:
        names.append(f"present-{len(ids)}")
    sha = hashlib.sha256("\n".join(ids).encode()).hexdigest()
    named = Subset("-".join(names), sha, len(missing), tuple(missing[:FIRST])) if names else None
    return _select_test(data, ids), named, [*flags, *more]


def data_identity(ref: PluginRef, params: Any, subject: str) -> dict[str, Any]:
    """Ingredients of a generated subject; one file may define several benchmarks."""
    base = getattr(params, "base_dir", "")
    files = named_files(params, base=Path(base) if base else None)
    files.pop(".base_dir", None)
    return {
        "benchmark": ref.target,
        "code": code_sha(ref),
        "params": params,
        "files": files,
        "subject": subject,
    }


def data_key(ref: PluginRef, params: Any, subject: str) -> str:
    """The key under which a generated subject is kept."""
    return key_for("data", generate_subject, data_identity(ref, params, subject))


@dataclass(frozen=True)
class StoredSubject:
    """A generated subject, where it lies in the store `root`."""

    root: str
    key: str

    def load(self) -> SubjectData:
        """All of it, memory-mapped."""
        return read_subject(store_at(self.root).open("data", self.key))


@dataclass(frozen=True)
class ReadSubject:
    """A subject that `benchmark` reads from a user's files, in any process.

    hashes, responses_sha : of its training images and responses, as they were first read.
    """

    benchmark: Configured
    subject: str
    hashes: tuple[str, ...] = ()
    responses_sha: str = ""

    def load(self) -> SubjectData:
        """All of it.

        Raises
        ------
        DataError
            It is not what it was.
        """
        data = loaded_subject(self.benchmark, self.subject)
        if data.train.responses.sha != self.responses_sha or len(data.train.stimuli) != len(self.hashes):
            raise DataError(
                f"benchmark '{self.benchmark.ref.name}' gives other training data for {self.subject} each "
                "time; expected the same, whatever process asks"
            )
        return replace(data, train=replace(data.train, stimuli=data.train.stimuli.hashed(self.hashes)))


def reference_to(data: SubjectData, executor: Executor) -> Reference:
    """`data` for tasks of `executor`: where other processes find them, or themselves."""
    if not executor.elsewhere or data.source is None:
        return Held(data)
    if isinstance(data.source, ReadSubject):
        train = data.train
        return replace(data.source, hashes=train.stimuli.image_hashes(), responses_sha=train.responses.sha)
    return data.source


def _select_test(data: SubjectData, ids: tuple[str, ...]) -> SubjectData:
    def chosen(responses: Responses | None) -> Responses | None:
        return None if responses is None else responses.select(ids)

    return replace(
        data, test=data.test.select(ids), truth=chosen(data.truth), remeasured=chosen(data.remeasured)
    )


def read_subject(artifact: Artifact) -> SubjectData:
    """The inverse of :func:`.generating.write_subject`, memory-mapped."""
    meta = artifact.json("subject")

    def optional(name: str) -> np.ndarray | None:
        return np.array(artifact.array(name)) if artifact.has(f"{name}.npy") else None

    tables = {
        table: {name: np.array(artifact.array(f"space_{table}_{k}")) for k, name in enumerate(meta[table])}
        for table in ("rois", "groups")
    }
    space = VoxelSpace(
        **meta["space"],
        **tables,
        ncsnr=optional("space_ncsnr"),
        coordinates=optional("space_coordinates"),
        valid=optional("space_valid"),
        vertices=optional("space_vertices"),
        ncsnr_source=None if (given := meta["ncsnr_source"]) is None else CeilingSource(**given),
    )
    splits = {}
    for name in ("train", "test"):
        stimuli = _read_stimuli(artifact, name, meta["sets"][name])
        splits[name] = Split(stimuli, _read_responses(artifact, name, space, stimuli.ids))
    extra = {
        name: _read_responses(artifact, name, space, splits["test"].stimuli.ids)
        for name in ("truth", "remeasured")
        if artifact.has(f"{name}_responses.npy")
    }
    return SubjectData(space, splits["train"], splits["test"], **extra)


def _read_stimuli(artifact: Artifact, name: str, description: dict[str, Any]) -> Stimuli:
    labels = {
        label: np.array(artifact.array(f"{name}_label_{k}")) for k, label in enumerate(description["labels"])
    }
    return Stimuli(
        description["ids"],
        FileReader(str(artifact.folder / f"{name}_images.npy")),
        captions=description["captions"],
        hashes=description["hashes"],
        labels=labels,
    )


def _read_responses(artifact: Artifact, name: str, space: VoxelSpace, ids: tuple[str, ...]) -> Responses:
    return Responses(
        space,
        ids,
        artifact.array(f"{name}_responses"),
        artifact.array(f"{name}_image_index", mmap=False),
        session=artifact.array(f"{name}_session", mmap=False),
        sha=artifact.json(f"{name}_sha"),
    )

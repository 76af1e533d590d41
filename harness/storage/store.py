"""The store: content-addressed artifacts, each a folder that exists whole or not at all.

``root/STAGE/ab/abcdef.../`` holds files and a ``manifest.json`` with their sizes and SHA-256, and the seconds
of processor time that they took, which are part of no result.
An artifact is written under ``root/tmp`` and renamed; on reading, sizes and hashes are compared,
and one that was torn or altered is dropped, said so, and computed again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StoreError
from ..notices import Flag
from ..places import expanded
from .content import digest, file_sha, plain, save_json
from .disk import ANOTHER_FOLDER, explained
from .executors import single_thread
from .identity import library_versions
from .pruning import in_use, mark_used
from .resumable import kept_until_done

logger = logging.getLogger(__name__)

WARNED = "harness-warned"
"""Name of what was warned of while an artifact was made, where there was anything."""

SCHEMA = 1
"""Version of the layout and of every key; a store of a newer schema is refused."""


@dataclass(frozen=True)
class Artifact:
    """A verified folder of the store."""

    folder: Path
    key: str

    def array(self, name: str, *, mmap: bool = True) -> np.ndarray:
        """The array ``name.npy``, memory-mapped."""
        with self._readable(f"{name}.npy") as file:
            return np.load(file, mmap_mode="r" if mmap else None, allow_pickle=False)

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def cpu_seconds(self) -> float | None:
        """Processor seconds of the process that made it, None where that was not kept.

        Of work that was killed and resumed, those of the last process alone.
        """
        seconds = self.json("manifest").get("cpu_seconds")
        return float(seconds) if isinstance(seconds, int | float) else None

    def json(self, name: str) -> Any:
        with self._readable(f"{name}.json") as file:
            return json.loads(file.read_text())

    def warned(self) -> tuple[Flag, ...]:
        """What was warned of while it was made."""
        return tuple(Flag(**flag) for flag in self.json(WARNED)) if self.has(f"{WARNED}.json") else ()

    @contextlib.contextmanager
    def _readable(self, name: str) -> Iterator[Path]:
        """The file `name`; what no writer of this artifact can have written is removed, and said so.

        Its files are as its manifest has them and arrays are arrays (:meth:`Store.open`); but a manifest can
        have been planted that lacks one.
        """
        try:
            yield self.folder / name
        except (FileNotFoundError, EOFError, ValueError) as problem:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise StoreError(
                f"the artifact {self.folder} has no {name} that can be read ({type(problem).__name__}). It "
                "was removed; type the same command again, and it is computed again"
            ) from problem


class Store:
    """Artifacts under `root`; safe for several processes on one disk.

    ``computed`` and ``reused`` count artifacts by stage, for the closing line of a run; ``warned`` holds, in
    order, what was warned of while artifacts were made that are used now, ``used`` what artifacts these are.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = expanded(root).resolve()
        self.computed: Counter[str] = Counter()
        self.warned: dict[Flag, None] = {}
        self.reused: Counter[str] = Counter()
        self.used: dict[str, dict[str, None]] = {}
        self._counting = threading.Lock()
        self._verified: set[str] = set()
        self._transient: list[Path] = []
        with explained(self.root):
            (self.root / "tmp").mkdir(parents=True, exist_ok=True)
            self._check_schema()
            self._lock = in_use(self.root)
            self._sweep()

    def _check_schema(self) -> None:
        file = self.root / "store.json"
        if file.is_file():
            try:
                schema = int(json.loads(file.read_text())["schema"])
            except (ValueError, KeyError, TypeError):
                raise StoreError(f"{file} is damaged; move the store away or give another --store") from None
            if schema > SCHEMA:
                raise StoreError(
                    f"the store {self.root} has schema {schema}, this harness knows up to {SCHEMA}. "
                    "Type: pip install -U fmri-harness, or give another --store"
                )
            return
        write_atomic(file, json.dumps({"schema": SCHEMA}).encode())

    def _sweep(self) -> None:
        """Remove what killed processes of this machine left half-written."""
        host = socket.gethostname()
        for folder in (self.root / "tmp").iterdir():
            owner, _, rest = folder.name.rpartition("@")
            pid = rest.partition("-")[0]
            if (
                owner == host
                and pid.isdigit()
                and not Path(f"/proc/{pid}").exists()
                and Path("/proc/self").exists()
            ):
                shutil.rmtree(folder, ignore_errors=True)

    def folder(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:2] / key

    @contextlib.contextmanager
    def checkpoints(self, key: str) -> Iterator[Path]:
        """A folder for resumable work on `key`, which outlives a kill and goes at a clean end."""
        with explained(self.root), kept_until_done(self.root / "checkpoints" / key) as folder:
            yield folder

    def open(self, stage: str, key: str) -> Artifact | None:
        """The artifact, if it is there and unaltered; a damaged one is removed with a warning."""
        folder = self.folder(stage, key)
        if str(folder) in self._verified:
            return Artifact(folder, key)
        if not folder.is_dir():
            return None
        problem = _damage(folder)
        if problem:
            logger.warning(
                "the %s artifact %s was altered (%s); computing it again", stage, key[:12], problem
            )
            with explained(self.root):
                trash = self._temporary()
                os.replace(folder, trash)
                shutil.rmtree(trash, ignore_errors=True)
            return None
        self._verified.add(str(folder))
        mark_used(folder)
        return Artifact(folder, key)

    def get(
        self,
        stage: str,
        ingredients: Mapping[str, Any],
        make: Callable[[Path], None],
    ) -> Artifact:
        """Return the artifact of `ingredients`, calling ``make(folder)`` when it is absent.

        An ingredient equal to ``""`` has no identity: the artifact is made anew each time.  `make` computes
        with one thread, since the number of threads is no ingredient and must change nothing.
        """
        key = self.key(stage, ingredients)
        stored = self.open(stage, key)
        if stored is not None:
            self.count(stage, reused=1)
            return stored
        with self.writing(stage, key, ingredients) as folder, single_thread():
            make(folder)
        self.count(stage, computed=1)
        return Artifact(self.folder(stage, key), key)

    def key(self, stage: str, ingredients: Mapping[str, Any]) -> str:
        """The key of `ingredients`, or a fresh one, forgotten at :meth:`close`, when one is unknown."""
        key = key_of(stage, ingredients)
        if not is_known(ingredients):
            key = f"{key[:32]}{uuid.uuid4().hex}"
            self._transient += [self.folder(stage, key), self.root / "checkpoints" / key]
        return key

    def note_use(self, stage: str, artifact: Artifact) -> None:
        """Add `artifact` to ``used``, and what was warned of while it was made to ``warned``."""
        self.used.setdefault(stage, {})[artifact.key] = None
        self.warned |= dict.fromkeys(artifact.warned())

    def cpu_seconds(self, stage: str, keys: Iterable[str]) -> float | None:
        """Processor seconds that artifacts took when they were made; None where one does not say."""
        opened = [self.open(stage, key) for key in keys]
        seconds = [None if artifact is None else artifact.cpu_seconds() for artifact in opened]
        return None if not seconds or None in seconds else round(sum(seconds), 3)

    def count(self, stage: str, *, computed: int = 0, reused: int = 0) -> None:
        """Add to what the closing line says; several threads may do so."""
        with self._counting:
            for counts, more in ((self.computed, computed), (self.reused, reused)):
                if more:
                    counts[stage] += more

    def counted(self) -> dict[str, dict[str, int]]:
        """Stage -> artifacts computed and reused so far."""
        stages = sorted({*self.computed, *self.reused})
        return {s: {"computed": self.computed[s], "reused": self.reused[s]} for s in stages}

    def hand_over(self) -> list[Path]:
        """What is to be removed at the end; another store of the same root takes it on (:meth:`take_on`)."""
        transient, self._transient = self._transient, []
        return transient

    def take_on(self, transient: Sequence[Path]) -> None:
        """Remove these too at :meth:`close`."""
        self._transient += transient

    def close(self) -> None:
        """Remove what had no identity and so can never be found again."""
        for folder in self._transient:
            shutil.rmtree(folder, ignore_errors=True)
        self._transient.clear()

    @contextlib.contextmanager
    def writing(
        self, stage: str, key: str, ingredients: Mapping[str, Any], *, together: int = 1
    ) -> Iterator[Path]:
        """Yield an empty folder; on a clean exit it becomes the artifact, else it vanishes.

        together : artifacts that are written at once, which share the processor time.
        """
        final, began = self.folder(stage, key), time.process_time()
        with explained(self.root):
            folder = self._temporary()
            folder.mkdir()
            try:
                yield folder
                manifest = {
                    "schema": SCHEMA,
                    "stage": stage,
                    "key": key,
                    "ingredients": plain(ingredients),
                    "cpu_seconds": round((time.process_time() - began) / together, 3),
                    "files": {
                        str(file.relative_to(folder)): {
                            "bytes": file.stat().st_size,
                            "sha256": file_sha(file),
                        }
                        for file in sorted(folder.rglob("*"))
                        if file.is_file()
                    },
                }
                write_atomic(
                    folder / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode()
                )
                final.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.rename(folder, final)
                except OSError as problem:
                    # Another process finished the same artifact first; theirs is as good.
                    if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        self._verified.add(str(final))

    @contextlib.contextmanager
    def writing_all(
        self, stage: str, artifacts: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[list[Path]]:
        """As :meth:`writing`, of several (key, ingredients) that one call makes: all of them or none."""
        with contextlib.ExitStack() as stack:
            count = len(artifacts)
            yield [
                stack.enter_context(self.writing(stage, *artifact, together=count)) for artifact in artifacts
            ]

    def _temporary(self) -> Path:
        return self.root / "tmp" / f"{socket.gethostname()}@{os.getpid()}-{uuid.uuid4().hex}"


def key_of(stage: str, ingredients: Mapping[str, Any]) -> str:
    """Content address: stage, store schema, versions of the libraries that compute, and every ingredient."""
    common = {"stage": stage, "schema": SCHEMA, "libraries": library_versions()}
    return digest({**common, "ingredients": ingredients})


def is_known(ingredients: Mapping[str, Any]) -> bool:
    """False when any ingredient has no identity."""
    return not any(isinstance(value, str) and not value for value in ingredients.values())


def save_warnings(folder: Path, flags: Sequence[Flag]) -> None:
    """Keep what was warned of while the artifact in `folder` was made, if anything."""
    if flags:
        save_json(folder, WARNED, [asdict(flag) for flag in flags])


def write_atomic(file: Path, content: bytes, *, advice: str = ANOTHER_FOLDER) -> None:
    """Write under a temporary name in the same folder, flush, rename; `advice` as in :func:`explained`."""
    with explained(file.parent, advice=advice):
        temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
        try:
            with open(temporary, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)


def _damage(folder: Path) -> str:
    """What is wrong with an artifact's files, or ``""``."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        files = manifest["files"]
        for name, listed in files.items():
            file = folder / name
            if not file.is_file():
                return f"{name} is missing"
            if file.stat().st_size != listed["bytes"]:
                return f"{name} has {file.stat().st_size} bytes instead of {listed['bytes']}"
            if file_sha(file) != listed["sha256"]:
                return f"the content of {name} changed"
            if problem := _unreadable(file, of_plugin=manifest["stage"] == "fit"):
                return f"{name} {problem}"
    except (OSError, ValueError, KeyError, TypeError) as problem:
        return f"manifest unreadable: {type(problem).__name__}"
    return ""


def _unreadable(file: Path, *, of_plugin: bool) -> str:
    """Why a file that is as its manifest has it can still not be read, or ``""``.

    of_plugin : a plugin wrote it, and may have its own idea of JSON and of arrays of objects.
    """
    try:
        if file.suffix == ".npy" and of_plugin:
            with open(file, "rb") as stream:
                np.lib.format.read_magic(stream)
        elif file.suffix == ".npy":
            np.lib.format.open_memmap(file, mode="r")
        elif file.suffix == ".json" and not of_plugin:
            json.loads(file.read_text())
    except (ValueError, EOFError, OverflowError, TypeError) as problem:
        return f"cannot be read ({type(problem).__name__})"
    return ""

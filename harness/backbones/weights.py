"""Pretrained weights: fetched once on purpose, checked against a pin, verified at every use.

``harness prefetch NAME`` puts a file into :func:`harness.places.weights_folder`; nothing is ever
downloaded in the middle of a run.  What is pinned is what the publisher says
(:data:`harness.backbones.pins.WEIGHTS`): the whole SHA-256, its first eight digits, or nothing.  The
whole hash is recorded beside the file when it first arrives, and a file that no longer matches is
refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import ConfigError, StoreError, WeightsMissing, suggest
from ..places import weights_folder
from .pins import GROUPS, WEIGHTS, PinnedWeights

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

CHUNK = 1 << 20


class WeightsAbsent(WeightsMissing):
    """The file was never fetched, which is no fault; altered or torn files are plain WeightsMissing."""


_ASKED: ContextVar[dict[str, None] | None] = ContextVar("harness_weights_asked", default=None)


@contextmanager
def noting_names() -> Iterator[dict[str, None]]:
    """The names of all weights that are asked for inside, in order, whether they are here or not."""
    names: dict[str, None] = {}
    before = _ASKED.set(names)
    try:
        yield names
    finally:
        _ASKED.reset(before)


def offline() -> bool:
    """True when ``HARNESS_OFFLINE`` is set to anything but 0 or nothing."""
    return os.environ.get("HARNESS_OFFLINE", "0") not in ("", "0")


def locate(name: str) -> Path:
    """The verified file of weights `name`; anything else is a one-line :class:`WeightsMissing`."""
    file = weights_folder() / _pin(name).file_name
    stored_sha(name)
    return file


def stored_sha(name: str) -> str:
    """Full SHA-256 of the stored weights `name`, after comparing the file with its record.

    Raises
    ------
    WeightsAbsent
        No file.
    WeightsMissing
        No record, or a file that was torn or altered.
    """
    pin = _pin(name)
    asked = _ASKED.get()
    if asked is not None:
        asked[name] = None
    file = weights_folder() / pin.file_name
    again = f"Type: harness prefetch {name}"
    if not file.is_file():
        raise WeightsAbsent(f"the weights {file} ({pin.source}) are not on this machine. {_how_to_get(name)}")
    try:
        recorded, size = _recorded(file)
    except (OSError, ValueError, KeyError, TypeError):
        raise WeightsMissing(f"the weights {file} have no readable record of their hash. {again}") from None
    stat = file.stat()
    if stat.st_size != size:
        raise WeightsMissing(f"the weights {file} have {stat.st_size} bytes instead of {size}. {again}")
    sha = _sha_of(str(file), stat.st_size, stat.st_mtime_ns)
    if sha != recorded or not sha.startswith(pin.sha256_prefix):
        raise WeightsMissing(
            f"the weights {file} were altered: SHA-256 {sha[:16]}..., recorded {recorded[:16]}... {again}"
        )
    return sha


def fetch(
    name: str,
    *,
    source: Path | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Make sure that weights `name` are stored, and return their file.

    Parameters
    ----------
    source : a local copy to take in place of a download, for machines without internet.
    progress : called with the bytes so far and the total, None when the server does not say.

    A file that is there and intact is left alone.  The new one is written under a temporary name,
    checked and renamed; a kill or a failure leaves nothing under the final name.
    """
    pin = _pin(name)
    folder = weights_folder()
    file = folder / pin.file_name
    try:
        return locate(name)
    except WeightsMissing as missing:
        if source is None and offline():
            raise WeightsMissing(
                f"HARNESS_OFFLINE is set, so {file} cannot be fetched. {_how_to_get(name)}"
            ) from None
        logger.debug("fetching: %s", missing)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{pin.file_name}.{uuid.uuid4().hex}.part"
        try:
            size, sha = _receive(pin, temporary, source, progress, expected=_expected(pin, file))
            _keep(temporary, file, {"name": name, "sha256": sha, "bytes": size, "url": pin.url})
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        raise StoreError(
            f"cannot write the weights to {folder} ({problem.strerror or problem}); make room, or name "
            "another folder with HARNESS_WEIGHTS, and run the same command again"
        ) from problem
    return locate(name)


def status() -> dict[str, str]:
    """For every known name: ``"present: FILE"``, or what is wrong and what to type."""
    states = {}
    for name in WEIGHTS:
        try:
            states[name] = f"present: {locate(name)}"
        except WeightsMissing as missing:
            states[name] = str(missing)
    return states


def load_state(name: str) -> dict[str, torch.Tensor]:
    """The verified weights as tensors on the CPU; nothing in the file can execute."""
    file = locate(name)
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, pickle.UnpicklingError) as problem:
        reason = str(problem).partition("\n")[0]
        raise WeightsMissing(
            f"the weights {file} are not plain weights and were not read: {reason}"
        ) from None


def members(name: str) -> tuple[str, ...]:
    """The weights that `name` stands for: those of a group, or itself."""
    if name in GROUPS:
        return GROUPS[name]
    if name not in WEIGHTS:
        raise ConfigError(suggest(name, (*GROUPS, *WEIGHTS), what="weights"))
    return (name,)


def megabytes(names: Iterable[str]) -> int:
    """Size of the weights called `names`."""
    return sum(_pin(name).megabytes for name in names)


def _pin(name: str) -> PinnedWeights:
    try:
        return WEIGHTS[name]
    except KeyError:
        raise ConfigError(suggest(name, WEIGHTS, what="weights")) from None


def _record(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _recorded(file: Path) -> tuple[str, int]:
    """(SHA-256, bytes) noted when `file` first arrived."""
    record = json.loads(_record(file).read_text())
    return str(record["sha256"]), int(record["bytes"])


def _expected(pin: PinnedWeights, file: Path) -> str:
    """How the hash must begin: as published or, where nothing is, as the first copy here had it."""
    if pin.sha256_prefix:
        return pin.sha256_prefix
    try:
        return _recorded(file)[0]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _how_to_get(name: str) -> str:
    pin = _pin(name)
    if offline():
        return (
            f"Type, where there is internet: harness prefetch {name}; or copy {pin.url} to this machine and "
            f"type: harness prefetch {name} --from {pin.file_name}"
        )
    return f"Type: harness prefetch {name} ({pin.megabytes} MB)"


@lru_cache(maxsize=64)
def _sha_of(file: str, size: int, modified: int) -> str:
    """Hash of a file; size and time of change are there to hash a changed file anew."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _receive(
    pin: PinnedWeights,
    temporary: Path,
    source: Path | None,
    progress: Callable[[int, int | None], None],
    *,
    expected: str,
) -> tuple[int, str]:
    """Write the file to `temporary`; (bytes, SHA-256) after checking both."""
    stream, total, origin = _opened(pin, source)
    with stream, open(temporary, "wb") as out:
        sha, done = hashlib.sha256(), 0
        while block := _read(stream, origin):
            out.write(block)
            sha.update(block)
            done += len(block)
            progress(done, total)
        out.flush()
        os.fsync(out.fileno())
    if total is not None and done != total:
        raise WeightsMissing(
            f"{origin} broke off after {done} of {total} bytes; nothing was kept. Run the same command again"
        )
    received_sha = sha.hexdigest()
    if not received_sha.startswith(expected):
        raise WeightsMissing(
            f"{origin} is not {pin.source}: SHA-256 {received_sha[:16]}... of {done} bytes, expected "
            f"{expected[:16]}...; nothing was kept. Run the same command again, or give a good copy with "
            "--from FILE"
        )
    return done, received_sha


def _opened(pin: PinnedWeights, source: Path | None) -> tuple[BinaryIO, int | None, str]:
    """(stream, bytes to expect or None, where it comes from in words)."""
    if source is not None:
        try:
            return open(source, "rb"), os.path.getsize(source), str(source)
        except OSError as problem:
            raise WeightsMissing(f"--from {source} cannot be read ({problem.strerror})") from None
    import urllib.error
    import urllib.request

    try:
        answer = urllib.request.urlopen(pin.url, timeout=60)
    except (urllib.error.URLError, OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        raise WeightsMissing(
            f"{pin.url} cannot be reached ({reason}). Check the network, or copy the file here and give it "
            "with --from FILE"
        ) from None
    length = answer.headers.get("Content-Length")
    return answer, int(length) if length else None, pin.url


def _read(stream: BinaryIO, origin: str) -> bytes:
    import http.client

    try:
        return stream.read(CHUNK)
    except (OSError, http.client.HTTPException) as problem:
        raise WeightsMissing(
            f"{origin} broke off ({problem or type(problem).__name__}); nothing was kept. "
            "Run the same command again"
        ) from None


def _keep(temporary: Path, file: Path, record: dict[str, object]) -> None:
    """Put file and record in place; between the two renames the file counts as missing, not as good."""
    noted = temporary.with_suffix(".json")
    try:
        noted.write_text(json.dumps(record, indent=1))
        _record(file).unlink(missing_ok=True)
        os.replace(temporary, file)
        os.replace(noted, _record(file))
    finally:
        noted.unlink(missing_ok=True)

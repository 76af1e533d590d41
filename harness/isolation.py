"""A decoder in another Python environment: a subprocess that exchanges files of plain arrays.

Where two decoders want packages that cannot be installed together, one is a file that names its own Python,
in a line of the module that is read and not run::

    PYTHON = ".venv/bin/python"  # from the file's folder

Then ``--decoder path/file.py:Class`` runs the class there.  That environment needs numpy and what the decoder
needs; it is given the harness's contracts, and nothing else of this one.  Its Python and packages are part of
the decoder's identity.  Such a decoder is fitted on the subject alone, without features of the harness.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from . import errors
from .data import Decoded, Responses, SubjectData, VoxelSpace
from .errors import PluginError
from .exchange import (
    read_array,
    read_decoded,
    write_array,
    write_responses,
    write_space,
    write_subject,
)
from .isolated import CONSTANTS, KINDS

DECLARED = "PYTHON"

_START = (
    "import importlib.util as u, sys; s = u.spec_from_file_location('harness', sys.argv[1] + '/__init__.py', "
    "submodule_search_locations=[sys.argv[1]]); m = u.module_from_spec(s); sys.modules['harness'] = m; "
    "s.loader.exec_module(m); from harness.isolated import main; main(*sys.argv[2:])"
)
"""Makes the harness's source importable in the other environment without anything that lies beside it."""


def declared_python(file: Path) -> Path | None:
    """The Python that the plugin `file` names for itself, read without running it; None without one.

    Raises
    ------
    PluginError
        It is not there.
    """
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return None  # it says so itself when it is imported
    for node in body:
        names = (
            [t.id for t in node.targets if isinstance(t, ast.Name)] if isinstance(node, ast.Assign) else []
        )
        if DECLARED in names and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            python = file.parent / Path(node.value.value).expanduser()
            if not python.is_file():
                raise PluginError(
                    f"{file} names the Python {python}, which is not there; make the environment "
                    f"(python -m venv {python.parent.parent}) or change {DECLARED}"
                )
            return python
    return None


@lru_cache(maxsize=32)
def isolated_class(file: Path, name: str, python: Path) -> type:
    """A class that stands for the decoder `name` of `file`, which runs under `python`."""
    child = Child(file, name, python)
    try:
        about = child.ask("describe")
    finally:
        child.close()
    fields = [(n, KINDS[kind], dataclasses.field(default=value)) for n, kind, value in about["fields"]]
    body = {attribute: about[attribute] for attribute in CONSTANTS}
    body |= {"_place": (file, name, python), "_environment": about["environment"]}
    body["Params"] = dataclasses.make_dataclass("Params", fields, frozen=True)
    body |= {ability: _ABILITIES[ability] for ability in about["abilities"]}
    return type(name, (IsolatedDecoder,), body)


class Child:
    """The process of one decoder."""

    def __init__(self, file: Path, name: str, python: Path) -> None:
        self._label = f"{file.name}:{name} under {python}"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        words = [str(python), "-c", _START, str(Path(__file__).parent), str(file), name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._errors}
        try:
            self._process = subprocess.Popen(words, text=True, **pipes)
        except OSError as problem:
            raise PluginError(f"{python} cannot be started ({problem}); is it a Python?") from None

    def ask(self, call: str, **words: Any) -> Any:
        """The answer to one request; a problem there is raised here, in one line."""
        try:
            self._process.stdin.write(json.dumps({"call": call, **words}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise PluginError(self._ended()) from None
        line = self._process.stdout.readline()
        if not line:
            raise PluginError(self._ended())
        reply = json.loads(line)
        if "problem" not in reply:
            return reply["answer"]
        kind = getattr(errors, reply["problem"], None)
        if isinstance(kind, type) and issubclass(kind, errors.HarnessError):
            raise kind(reply["message"])
        if reply["problem"] == "OutOfMemoryError":  # torch's, by its name: smaller micro-batches may do
            raise errors.OutOfMemory(f"{self._label}: {reply['message']}")
        raise PluginError(f"{self._label}: {reply['problem']}: {reply['message']}")

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._errors.close()

    def _ended(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"{self._label} ended ({self._process.returncode}): {lines[-1] if lines else 'no word why'}"


class IsolatedDecoder:
    """Stands here for a decoder there; see the module."""

    _place: tuple[Path, str, Path]
    _environment: str

    def __init__(self, params: Any) -> None:
        self.params = params
        self._child: Child | None = None

    def identity(self) -> str:
        """Hash of the other environment: its Python and packages."""
        return self._environment

    def fit(self, subject: SubjectData, *, seed: int, device: str, checkpoint_dir: Path) -> None:
        """See :class:`harness.api.Decoder`."""
        with _exchanged() as folder:
            write_subject(folder, subject)
            words = {"seed": seed, "device": device, "checkpoints": str(checkpoint_dir)}
            self._asked("fit", folder=str(folder), **words)

    def open(self, space: VoxelSpace, *, device: str) -> None:
        """See :class:`harness.api.Decoder`."""
        with _exchanged() as folder:
            write_space(folder, space)
            self._asked("open", folder=str(folder), device=device)

    def decode(self, responses: Responses, *, seeds: np.ndarray) -> Decoded:
        """See :class:`harness.api.Decoder`."""
        with _exchanged() as folder:
            write_responses(folder, responses)
            write_array(folder, "seeds", seeds)
            self._asked("decode", folder=str(folder))
            return read_decoded(folder)

    def save(self, folder: Path) -> None:
        """See :class:`harness.api.Decoder`."""
        self._asked("save", folder=str(folder))

    @classmethod
    def load(cls, folder: Path, params: Any, *, device: str) -> IsolatedDecoder:
        """See :class:`harness.api.Decoder`."""
        decoder = cls(params)
        decoder._started("load", folder=str(folder), device=device)
        return decoder

    def _asked(self, call: str, **words: Any) -> Any:
        if self._child is None:
            self._started("build")
        return self._child.ask(call, **words)

    def _started(self, call: str, **words: Any) -> None:
        self._child = Child(*self._place)
        weakref.finalize(self, self._child.close)
        self._child.ask(call, params=dataclasses.asdict(self.params), **words)


def _calibrate(self: IsolatedDecoder, responses: Responses) -> None:
    """See :class:`harness.api.Decoder`."""
    with _exchanged() as folder:
        write_responses(folder, responses)
        self._asked("calibrate", folder=str(folder))


def _of_true_images(method: str) -> Callable[..., Decoded]:
    """``generate`` or ``rebuild``."""

    def ask(self: IsolatedDecoder, images: np.ndarray, *, seeds: np.ndarray) -> Decoded:
        """See :class:`harness.api.Decoder`."""
        with _exchanged() as folder:
            write_array(folder, "given", images)
            write_array(folder, "seeds", seeds)
            self._asked(method, folder=str(folder))
            return read_decoded(folder)

    return ask


def _embed(self: IsolatedDecoder, images: np.ndarray) -> np.ndarray:
    """See :class:`harness.api.Decoder`."""
    with _exchanged() as folder:
        write_array(folder, "given", images)
        self._asked("embed", folder=str(folder))
        return np.array(read_array(folder, "embedded"))


_ABILITIES = {"calibrate": _calibrate, "embed": _embed}
_ABILITIES |= {method: _of_true_images(method) for method in ("generate", "rebuild")}


@contextlib.contextmanager
def _exchanged() -> Iterator[Path]:
    """A folder for one call."""
    folder = Path(tempfile.mkdtemp(prefix="harness-exchange-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

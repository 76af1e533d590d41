"""A process that has imported what commands import, and forks for each that is typed to it.

Much of the time of a small command goes into imports.  ``python warm_command.py`` reads requests, a line of
JSON each (words, folder, environment, and the files for what is printed), and answers with two lines: the
number of the process that carries the request out, and its exit status.  What is forked has run nothing of
harness but imports, and may know the scale of ``embedded``'s default subject, which takes seconds and is the
same in every process.  Hashes of text begin alike in all that one such process forks; they do not in commands
that are started as programs, as those that tests kill or pipe from are, or under another worker of pytest.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

IMPORTED = (
    *(
        "numpy",
        "scipy.stats",
        "scipy.linalg",
        "scipy.optimize",
        "pandas",
        "pyarrow.parquet",
        "torch",
        "PIL.Image",
    ),
    *("yaml", "pydantic", "click", "rich.progress", "rich.table", "jinja2", "altair", "threadpoolctl"),
    *("harness.cli.run", "harness.cli.progress", "harness.cli.summary", "harness.run.pipeline"),
    *("harness.reports.page", "harness.reports.comparison", "harness.scoring.driver"),
    *(
        "harness.reports.exports",
        "harness.reports.html",
        "harness.reports.terminal",
        "harness.reports.answer",
    ),
    *("harness.scoring.images", "harness.scoring.embedding", "harness.scoring.responses"),
    *("harness.storage.processes", "harness.run.record", "harness.cli.compare", "harness.cli.report"),
    *(f"harness.{kind}.catalogue" for kind in ("backbones", "benchmarks", "decoders", "encoders", "metrics")),
    *("harness.scoring.catalogue", "harness.cli.listing", "PIL.PngImagePlugin", "PIL.JpegImagePlugin"),
    *(f"harness.metrics.{name}" for name in ("agreement", "captions", "ceilings", "networks", "pixel")),
    *("harness.backbones.pixels", "harness.backbones.tiny.backbone", "harness.plugin_files"),
)
"""What most commands import."""

DIFFUSION = ("diffusers", "transformers", "harness.decoders.mindeye2.unclip")
"""What a decoder with a diffusion model imports."""


def read_imports() -> None:
    """Parse what is imported here, for keys of artifacts: :mod:`harness.plugin_files` keeps it by content."""
    from harness.plugin_files import imported_names

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "harness" and module.__file__:
            imported_names(name, Path(module.__file__))


def prepare(words: list[str]) -> None:
    """Do once in this process what each fork for such `words` would take seconds for."""
    if any("mindeye" in word for word in words):
        for name in DIFFUSION:
            importlib.import_module(name)
    if {"run", "data"} & {*words[1:2]} and not {"--benchmark", "--config"} & {*words}:
        see_default_subject()


@functools.cache
def see_default_subject() -> None:
    """Simulate a trial: :mod:`harness.benchmarks.cortex` keeps what the reference scenes say of its scale."""
    from harness.benchmarks.embedded import Embedded, Params

    Embedded(Params(n_train=1, n_test=1)).load("subj01")


def answer_requests() -> dict[str, Any] | None:
    """Fork for every request; None where no more come, the request in the process that is to carry it out."""
    for line in sys.stdin:
        request = json.loads(line)
        prepare(request["words"])
        gc.freeze()  # pages that no collection touches stay shared
        process = os.fork()
        if not process:
            return request
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
    return None


def carry_out(request: dict[str, Any]) -> None:
    """Be the command `request`."""
    gc.enable()
    for number, place in enumerate((os.devnull, request["out"], request["err"])):
        file = os.open(place, os.O_RDWR | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0)  # noqa: SIM115
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    program = request["words"][0]
    sys.argv[:] = request["words"]
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [os.path.dirname(program), *filter(None, path)]
    sys.modules["__main__"].__file__ = program  # which spawned workers import
    from harness.cli.main import main

    end(main)


def end(command: Callable[[], object]) -> NoReturn:
    """Call `command` and leave as an interpreter does, but for taking itself apart.

    That writes to every page that the forks share, and took longer than most commands.
    """
    try:
        status = command()
    except SystemExit as problem:
        status = problem.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if not (status is None or isinstance(status, int)):
        print(status, file=sys.stderr)
        status = 1
    threading._shutdown()  # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit((status or 0) & 255)


if __name__ == "__main__":
    gc.disable()  # among imports there is no garbage to look for
    for name in IMPORTED:
        importlib.import_module(name)
    read_imports()
    if (request := answer_requests()) is not None:
        carry_out(request)

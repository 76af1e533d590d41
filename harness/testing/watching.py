"""What a plugin does besides what it is asked for: prints, touches global random state, asks the network."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import socket
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np


class Watch:
    """Calls of plugin code, watched.  Each attribute maps what was called to what it did there.

    printed : its text.  random : the generators whose state it changed the last time, since the first
    time may import a library that draws.  network : the addresses it asked for.
    """

    def __init__(self) -> None:
        self.printed: dict[str, str] = {}
        self.random: dict[str, str] = {}
        self.network: dict[str, str] = {}
        self._calls = 0

    @contextlib.contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Watch one call.

        Every call meets another state of the global generators, so that whoever draws from them gives other
        numbers the second time; afterwards they are as they were.
        """
        self._calls += 1
        kept = _states()
        _seed_all(self._calls)
        before, printed = _states(), io.StringIO()
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            with contextlib.redirect_stdout(printed), self._offline(what):
                yield
        finally:
            logging.disable(level)
            after = _states()
            changed = [name for name in before if not _equal(before[name], after[name])]
            self.random.pop(what, None)
            if changed:
                self.random[what] = " and ".join(changed)
            if printed.getvalue().strip():
                self.printed.setdefault(what, printed.getvalue().strip()[:80])
            _restore(kept)

    @contextlib.contextmanager
    def _offline(self, what: str) -> Iterator[None]:
        """Neither a name nor an address outside this machine can be reached."""

        def refused(*given: Any, **named: Any) -> None:
            address = next((str(g) for g in given if not isinstance(g, socket.socket)), "?")
            self.network.setdefault(what, address)
            raise OSError("a check allows no network")

        real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex")}
        look_up, offline = socket.getaddrinfo, os.environ.get("HARNESS_OFFLINE")

        def local_only(name: str) -> Any:
            def connect(self: socket.socket, address: Any) -> Any:
                local = self.family == getattr(socket, "AF_UNIX", None)
                return real[name](self, address) if local else refused(address)

            return connect

        for name in real:
            setattr(socket.socket, name, local_only(name))
        socket.getaddrinfo = refused
        os.environ["HARNESS_OFFLINE"] = "1"
        try:
            yield
        finally:
            for name, method in real.items():
                setattr(socket.socket, name, method)
            socket.getaddrinfo = look_up
            if offline is None:
                del os.environ["HARNESS_OFFLINE"]
            else:
                os.environ["HARNESS_OFFLINE"] = offline


def _states() -> dict[str, Any]:
    """Generator -> its state; torch's only once something has imported it."""
    states: dict[str, Any] = {"numpy.random": np.random.get_state(), "random": random.getstate()}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state()
    return states


def _seed_all(number: int) -> None:
    np.random.seed(number)
    random.seed(number)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "default_generator"):
        torch.default_generator.manual_seed(number)


def _restore(states: dict[str, Any]) -> None:
    np.random.set_state(states["numpy.random"])
    random.setstate(states["random"])
    if "torch" in states:
        sys.modules["torch"].set_rng_state(states["torch"])


def _equal(first: Any, second: Any) -> bool:
    """Whether two states, of arrays, tensors and tuples of them, are equal."""
    if isinstance(first, tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(np.array_equal(np.asarray(first), np.asarray(second)))

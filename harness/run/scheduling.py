"""Tasks side by side, where several need one thing that the first of them makes.

Two processes that fit the same thing at once would do the work twice, so of the tasks that need a missing
thing one goes first.  The others follow as soon as it is there, whatever else is still going on: one long fit
holds up nobody who does not need it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from ..storage.executors import Executor

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


class Needs:
    """Which tasks can start.

    needs : task by task, hashes of the things that it needs, and makes where they are missing.
    """

    def __init__(self, needs: Sequence[frozenset[str]]) -> None:
        self._needs = needs
        self._waiting = list(range(len(needs)))
        self._there: set[str] = set()
        self._coming: set[str] = set()

    def ready(self) -> list[int]:
        """Places of the tasks to start now, in order; each is given once."""
        places, others = [], []
        for place in self._waiting:
            missing = self._needs[place] - self._there
            if missing & self._coming:
                others.append(place)
                continue
            places.append(place)
            self._coming |= missing
        self._waiting = others
        return places

    def finished(self, place: int) -> None:
        """The task at `place` has come to an end, and what it needs is there."""
        self._there |= self._needs[place]
        self._coming -= self._needs[place]


def map_by_need(
    executor: Executor,
    function: Callable[[Task], Outcome],
    tasks: Sequence[Task],
    needs: Sequence[frozenset[str]],
) -> Iterator[tuple[int, Outcome]]:
    """Place and ``function(task)`` of every task as they come, of an executor that computes elsewhere.

    When one fails, or whoever reads this stops, those that are being computed are stopped and the executor is
    closed.
    """
    outcomes: SimpleQueue[tuple[int, Outcome] | BaseException] = SimpleQueue()

    def hand_out(places: Sequence[int]) -> None:
        try:
            for come in executor.map(_placed, [(function, place, tasks[place]) for place in places]):
                outcomes.put(come)
        except BaseException as problem:  # whoever reads the queue raises it
            outcomes.put(problem)

    order, left = Needs(needs), len(tasks)
    # Threads of a pool wait for its workers: at most one for each task is handing out.
    with ThreadPoolExecutor(max(left, 1)) as threads:
        try:
            while left:
                if places := order.ready():
                    threads.submit(contextvars.copy_context().run, hand_out, places)
                come = outcomes.get()
                if isinstance(come, BaseException):
                    raise come
                order.finished(come[0])
                left -= 1
                yield come
        except BaseException:
            executor.close(wait=False)
            raise


def _placed(task: tuple[Callable[[Task], Outcome], int, Task]) -> tuple[int, Outcome]:
    function, place, given = task
    return place, function(given)

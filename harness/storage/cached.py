"""One cached map for every stage: what is in the store is not computed again, the rest runs on any executor.

A key is complete by construction.  It holds the source of the function and of all that its module imports
(:func:`.identity.function_identity`), the versions of libraries (:func:`.store.key_of`), what all items
depend on and what each item depends on: a change of any of them is another artifact.  So a function lives
in a module that imports no more than its numbers need, and never how they are kept.
Items are sent to workers as they are, so they hold references (:mod:`.references`) rather than pixels.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..notices import hearing_warnings
from .executors import Executor
from .identity import function_identity
from .store import Artifact, Store, key_of, save_warnings
from .worker import kept_for_good


@dataclass(frozen=True)
class Item:
    """One thing to compute.

    depends_on : what its numbers depend on besides the function, by content.
    arguments : of the function, picklable; or a call that gives them when the item's turn comes, for what is
        too large to be held for all items at once.
    count : by how much progress moves when it is done, for example its images.
    parts : for a function that writes several artifacts at once: name -> what that one depends on besides.
    resumable : the function is given ``checkpoints=``, a folder of this item that outlives a kill and is
        removed when the artifact is complete.
    plugin : module of a plugin whose warnings are heard too.
    """

    depends_on: Mapping[str, Any]
    arguments: tuple[Any, ...] | Callable[[], tuple[Any, ...]] = ()
    count: int = 1
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    resumable: bool = False
    plugin: str = ""


@dataclass(frozen=True)
class Failed:
    """Takes the place of an artifact that could not be made; `error` says why."""

    error: Exception


@dataclass(frozen=True)
class _Unit:
    """What is missing of one item."""

    arguments: tuple[Any, ...]
    places: tuple[tuple[str, str, Mapping[str, Any]], ...]  # (part, key, ingredients)
    named: bool  # the function is given folders by the name of their part
    resumable: bool
    plugin: str


@dataclass(frozen=True)
class _Task:
    """What one worker does at a time."""

    root: str
    stage: str
    function: Callable[..., None]
    units: tuple[_Unit, ...]
    tolerant: bool


_Outcome = tuple[tuple[str, ...], int, Exception | None]
"""Keys of one unit, how many of them were made now, what went wrong if that is tolerated."""


@dataclass(frozen=True)
class _Result:
    """What came of a task.

    counts : stage -> what the function itself computed and reused there.  transient : what of it is to be
    removed at the end of the run.
    """

    outcomes: list[_Outcome]
    counts: dict[str, dict[str, int]]
    transient: list[Path]


def cached_map(
    stage: str,
    items: Sequence[Item],
    function: Callable[..., None],
    *,
    store: Store,
    executor: Executor,
    depends_on: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda count: None,
    tolerant: bool = False,
    together: int = 1,
) -> list[Any]:
    """The artifact of every item, in order; those that are not in `store` are made by `function`.

    function : a module-level function; ``function(folder, *item.arguments)`` writes into an empty folder.
        For an item with parts it is ``function({part: folder}, *item.arguments)`` with the parts that are
        missing, and the result is {part: artifact}.
    depends_on : what all items depend on.
    tolerant : an item whose function raises gives a :class:`Failed` in place of ending the map.
    together : items that one worker does at a time, fewer towards the end; part of no result.

    What is warned of while an artifact is made is kept with it and stands in ``store.warned`` whenever the
    artifact is used.

    Raises
    ------
    DataError
        An artifact was altered while the map went on.
    """
    common = {"function": function_identity(function), **(depends_on or {})}
    places = [_places(store, stage, common, item) for item in items]
    errors: dict[str, Exception] = {}

    def units() -> Iterator[tuple[int, _Unit]]:
        planned: set[str] = set()
        for left, item, of_item in zip(range(len(items), 0, -1), items, places, strict=True):
            missing = [
                place for place in of_item if place[1] not in planned and not _kept(store, stage, place)
            ]
            planned |= {key for _, key, _ in of_item}
            if missing:
                arguments = item.arguments() if callable(item.arguments) else item.arguments
                yield left, _Unit(arguments, tuple(missing), bool(item.parts), item.resumable, item.plugin)
            else:
                progress(item.count)

    shards = _shards(units(), together, executor.workers)
    tasks = (_Task(str(store.root), stage, function, shard, tolerant) for shard in shards)
    counts = {place[1]: item.count for item, of_item in zip(items, places) for place in of_item}
    for result in executor.map(_carry_out, tasks):
        _take_over(store, result)
        for keys, computed, error in result.outcomes:
            errors |= dict.fromkeys(keys, error) if error is not None else {}
            store.count(stage, computed=computed)
            progress(counts[keys[0]])
    return [_artifacts(store, stage, item, of_item, errors) for item, of_item in zip(items, places)]


def cached(
    stage: str,
    function: Callable[..., None],
    *arguments: Any,
    depends_on: Mapping[str, Any],
    store: Store,
    executor: Executor,
) -> Artifact:
    """The artifact of one item; see :func:`cached_map`."""
    return cached_map(stage, [Item(depends_on, arguments)], function, store=store, executor=executor)[0]


def key_for(stage: str, function: Callable[..., None], depends_on: Mapping[str, Any]) -> str:
    """The key that :func:`cached` gives the artifact of these arguments, were all its ingredients known."""
    return key_of(stage, {"function": function_identity(function), **depends_on})


def store_at(root: str) -> Store:
    """This process's view of the store at `root`."""
    return kept_for_good(("store", root), lambda: Store(root))


def _places(
    store: Store, stage: str, common: Mapping[str, Any], item: Item
) -> list[tuple[str, str, dict[str, Any]]]:
    """(part, key, ingredients) of each artifact of `item`."""
    parts = item.parts or {"": {}}
    everything = [(name, {**common, **item.depends_on, **more}) for name, more in parts.items()]
    return [(name, store.key(stage, ingredients), ingredients) for name, ingredients in everything]


def _kept(store: Store, stage: str, place: tuple[str, str, Any]) -> bool:
    there = store.open(stage, place[1]) is not None
    store.count(stage, reused=int(there))
    return there


def _shards(units: Iterator[tuple[int, _Unit]], size: int, workers: int) -> Iterator[tuple[_Unit, ...]]:
    """Units for one task at a time: `size` of them, or one of ``2 * workers`` equal parts of what is left.

    So the last tasks are short: with tasks of one size all workers but one wait, at the end of each map, for
    as long as a whole task takes.

    units : each with the number of items from it to the end, of which some may be in the store.
    """
    for left, first in units:
        count = min(size, max(1, left // (2 * workers)))
        yield first, *(unit for _, unit in itertools.islice(units, count - 1))


def _carry_out(task: _Task) -> _Result:
    """Make what is missing of one task, each unit's artifacts as soon as they are computed."""
    store = store_at(task.root)
    before = store.counted()
    return _result([_outcome(store, task, unit) for unit in task.units], store, before)


@dataclass(frozen=True)
class _Call:
    """A call elsewhere whose result is what it leaves in the store."""

    root: str
    function: Callable[..., None]
    arguments: tuple[Any, ...]


def call_elsewhere(
    function: Callable[..., None],
    calls: Sequence[tuple[Any, ...]],
    *,
    store: Store,
    executor: Executor,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """``function(*arguments)`` for each of `calls`; what they leave in the store counts as made here."""
    tasks = (_Call(str(store.root), function, arguments) for arguments in calls)
    for result in executor.map(_carry_call, tasks):
        _take_over(store, result)
        progress(1)


def _carry_call(call: _Call) -> _Result:
    store = store_at(call.root)
    before = store.counted()
    call.function(*call.arguments)
    return _result([], store, before)


def _result(outcomes: list[_Outcome], store: Store, before: dict[str, dict[str, int]]) -> _Result:
    """What came of a task in this process, whose store had counted `before`."""
    inner = {
        stage: {what: n - before.get(stage, {}).get(what, 0) for what, n in of_stage.items()}
        for stage, of_stage in store.counted().items()
        if of_stage != before.get(stage)
    }
    return _Result(outcomes, inner, store.hand_over())


def _take_over(store: Store, result: _Result) -> None:
    """Count here what a task made in another process, and take on what it will no longer need."""
    for stage, more in result.counts.items():
        store.count(stage, **more)
    store.take_on(result.transient)


def _outcome(store: Store, task: _Task, unit: _Unit) -> _Outcome:
    missing = [place for place in unit.places if store.open(task.stage, place[1]) is None]
    keys = tuple(key for _, key, _ in unit.places)
    if not missing:
        return keys, 0, None
    try:
        with contextlib.ExitStack() as stack:
            more = {"checkpoints": stack.enter_context(store.checkpoints(keys[0]))} if unit.resumable else {}
            _make(store, task, unit, missing, more)
    except Exception as problem:
        if not task.tolerant:
            raise
        return keys, 0, problem
    return keys, len(missing), None


def _make(
    store: Store,
    task: _Task,
    unit: _Unit,
    missing: Sequence[tuple[str, str, Mapping[str, Any]]],
    more: Mapping[str, Any],
) -> None:
    """Have the function write what is `missing` of a unit."""
    with store.writing_all(task.stage, [(key, ingredients) for _, key, ingredients in missing]) as folders:
        named = {part: folder for (part, _, _), folder in zip(missing, folders, strict=True)}
        with hearing_warnings(f"{task.stage}-warning", plugin=unit.plugin) as flags:
            task.function(named if unit.named else folders[0], *unit.arguments, **more)
        save_warnings(folders[0], flags)


def _artifacts(
    store: Store,
    stage: str,
    item: Item,
    places: Iterable[tuple[str, str, Any]],
    errors: Mapping[str, Exception],
) -> Any:
    opened: dict[str, Any] = {}
    for part, key, _ in places:
        if key in errors:
            return Failed(errors[key])
        opened[part] = store.open(stage, key)
        if opened[part] is None:
            raise DataError(
                f"an artifact of the stage {stage} was altered while the run went on; "
                "run the same command again"
            )
        store.note_use(stage, opened[part])
    return opened if item.parts else opened[""]

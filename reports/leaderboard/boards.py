"""Which runs may stand in one table, what its lines are, and which rows stand beside them.

A board is a benchmark@version on one test set: runs whose test images or responses differ, by their hashes,
are on another board, whatever they are called.  Where systems were run on different subjects there is a board
for each set of subjects that some system has in full, and on it every system that has them all, so that no
mean over subjects stands beside one over others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from harness.errors import DataError
from harness.results import PluginRecord, RunResult

from ..comparable import benchmark
from ..layout import RowInfo, is_simulated, ordered_rows
from ..systems import System, plugin_labels, unlabelled_systems

ENTRIES = ("predicted", "reconstructions", "captions")
"""Rows that are somebody's system."""

BESIDE = ("compared", "reference", "control")
"""Groups of rows that stand beside the systems of a decoder and cannot be left out."""

ENTRY = "system"


@dataclass(frozen=True, eq=False)
class Entry:
    """A line of a board: a system, or a row beside those of its decoder.

    kind : :data:`ENTRY`, or one of :data:`BESIDE`.  row : as the run describes it.
    replicates : runs of each subject, one for each seed.
    """

    encoder: str
    adapter: str
    decoder: str
    kind: str
    row: RowInfo
    replicates: dict[str, tuple[RunResult, ...]]

    @property
    def runs(self) -> tuple[RunResult, ...]:
        """All of them."""
        return tuple(run for own in self.replicates.values() for run in own)

    @property
    def label(self) -> str:
        """All that tells it from the others."""
        adapter = f" × {self.adapter}" if self.adapter not in ("", "none") else ""
        return f"{self.encoder}{adapter} → {self.decoder}"


@dataclass(frozen=True)
class Board:
    """Lines that may be compared: the systems, then what stands beside them, decoder by decoder."""

    benchmark: str
    subset: str
    subjects: tuple[str, ...]
    variant: int
    simulated: bool
    entries: tuple[Entry, ...]

    @property
    def systems(self) -> tuple[Entry, ...]:
        """The lines that are systems."""
        return tuple(entry for entry in self.entries if entry.kind == ENTRY)

    @property
    def title(self) -> str:
        """``embedded@1, limit-24, subj01``, and which test set where there are several of that name."""
        several = f"test set {self.variant + 1}" if self.variant else ""
        return ", ".join(filter(None, (self.benchmark, self.subset, several, ", ".join(self.subjects))))


@dataclass
class _Track:
    """Runs of one benchmark@version on one test set; `tests` holds each subject's data by hash."""

    name: str
    subset: str
    tests: dict[str, tuple[str, str]] = field(default_factory=dict)
    runs: list[RunResult] = field(default_factory=list)

    def takes(self, run: RunResult) -> bool:
        name, subset = benchmark(run), _subset(run)
        if (name, subset) != (self.name, self.subset):
            return False
        subject, test = run.record.subject, _test_data(run)
        if subject in self.tests:
            return self.tests[subject] == test
        params = _params(run)
        return any(_params(other) == params for other in self.runs)

    def add(self, run: RunResult) -> None:
        self.tests[run.record.subject] = _test_data(run)
        self.runs.append(run)


def find_boards(runs: Sequence[RunResult]) -> list[Board]:
    """Boards of `runs`, in the order in which their benchmarks are given.

    Raises
    ------
    DataError
        There is no run.
    """
    if not runs:
        raise DataError("a leaderboard needs runs; give folders that 'harness run' wrote")
    tracks: list[_Track] = []
    for run in runs:
        track = next((track for track in tracks if track.takes(run)), None)
        if track is None:
            tracks.append(track := _Track(benchmark(run), _subset(run)))
        track.add(run)
    boards = []
    for track in tracks:
        earlier = [other for other in tracks[: tracks.index(track)] if other.name == track.name]
        variant = sum(other.subset == track.subset for other in earlier)
        systems = [
            system
            for row in ENTRIES
            for system in unlabelled_systems([run for run in track.runs if row in _rows(run)], [row])
        ]
        covers = [frozenset(system.replicates) for system in systems] or [frozenset(track.tests)]
        for cover in sorted(set(covers), key=lambda names: (-len(names), sorted(names))):
            subjects = tuple(name for name in track.tests if name in cover)
            own = [_restricted(system, subjects) for system, of in zip(systems, covers) if cover <= of]
            lines = _entries(own, track.runs, subjects)
            if lines:
                simulated = any(is_simulated(run) for run in track.runs)
                boards.append(Board(track.name, track.subset, subjects, variant, simulated, tuple(lines)))
    if not boards:
        raise DataError(
            "the runs hold no system and no measured row; give runs of an encoder or a decoder, or scored "
            "reconstructions"
        )
    return boards


def _entries(systems: Sequence[System], runs: Sequence[RunResult], subjects: Sequence[str]) -> list[Entry]:
    encoders = plugin_labels(systems, "encoder", ("samples", "n_train")) if systems else []
    decoders = plugin_labels(systems, "decoder", ("selection",)) if systems else []
    entries = []
    for system, encoder, decoder in zip(systems, encoders, decoders):
        run = next(iter(system.runs.values()))
        fitted_on = [part.subject for part in run.record.train_subjects]
        own = fitted_on in ([], [run.record.subject]) or set(fitted_on) <= set(subjects) <= set(fitted_on)
        encoder = encoder if system.row == "predicted" else f"{system.row} made elsewhere"
        encoder = encoder if own else f"{encoder}, fitted on {', '.join(fitted_on)}"
        (row,) = ordered_rows(run, [system.row])
        entries.append(Entry(encoder, run.record.adapter, decoder, ENTRY, row, system.replicates))
    entries = _told_apart(entries)
    return [*entries, *_beside(entries, runs, subjects)]


def _told_apart(entries: Sequence[Entry]) -> list[Entry]:
    """`entries` with the name of their first run where labels would be equal."""
    labels = [entry.label for entry in entries]
    times = Counter(labels)
    return [
        replace(entry, encoder=f"{entry.encoder} ({PurePath(entry.runs[0].folder).name})")
        if times[label] > 1
        else entry
        for entry, label in zip(entries, labels)
    ]


def _beside(systems: Sequence[Entry], runs: Sequence[RunResult], subjects: Sequence[str]) -> list[Entry]:
    """Measured, reference and control rows of each decoder, from its first runs that have them."""
    of_decoder: dict[str, list[RunResult]] = {}
    for entry in systems:
        of_decoder.setdefault(entry.decoder, []).extend(entry.runs)
    held = {id(run) for own in of_decoder.values() for run in own}
    for run in runs:
        if run.record.subject in subjects and id(run) not in held:
            name = (run.record.decoder or PluginRecord()).name or "no decoder"
            of_decoder.setdefault(name.rpartition("/")[2], []).append(run)
    lines = []
    for decoder, own in of_decoder.items():
        rows = {}
        for run in own:
            for row in ordered_rows(run, _rows(run)):
                rows.setdefault(row.name, row)
        for row in _of_the_decoder(rows, own):
            by_seed: dict[str, dict[int | None, RunResult]] = {}
            for run in own:
                if row.name in _rows(run):
                    by_seed.setdefault(run.record.subject, {}).setdefault(run.record.seed, run)
            if all(subject in by_seed for subject in subjects):
                replicates = {subject: tuple(by_seed[subject].values()) for subject in subjects}
                lines.append(Entry(row.label, "", decoder, row.group, row, replicates))
    groups = {kind: k for k, kind in enumerate(BESIDE)}
    return sorted(lines, key=lambda line: groups[line.kind])


def _of_the_decoder(rows: dict[str, RowInfo], runs: Sequence[RunResult]) -> list[RowInfo]:
    """Of `rows` those of :data:`BESIDE`, without the shuffled images of one system among several."""
    records = {record.name: record for run in runs for record in run.record.rows}
    of_systems = {
        name
        for row in ENTRIES
        if row in records and "measured" in records
        for name in (records[row].shuffled, records[row].nearest, records[row].against_half)
    }
    kept = [row for row in rows.values() if row.group in BESIDE and row.name not in (*ENTRIES, "stimulus")]
    return [row for row in kept if row.name not in of_systems]


def _restricted(system: System, subjects: Sequence[str]) -> System:
    return replace(system, replicates={subject: system.replicates[subject] for subject in subjects})


def _rows(run: RunResult) -> list[str]:
    return [row.name for row in run.record.rows]


def _subset(run: RunResult) -> str:
    return run.record.subset.name if run.record.subset else ""


def _params(run: RunResult) -> dict[str, object]:
    return run.record.benchmark.params


def _test_data(run: RunResult) -> tuple[str, str]:
    data = run.record.data_sha
    return data.test_stimuli, data.test_responses

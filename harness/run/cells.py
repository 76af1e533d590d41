"""Cells of a suite: the plan of its runs, carried out where they are not there yet, side by side on request.

Cells share fits and scores by their hashes in the store; a finished one is not computed again, and one that
fails costs no other.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import plugins
from ..errors import ConfigError, HarnessError, what_happened
from ..progress import Reporter, Silent
from ..results import RunResult
from ..settings import Request
from ..stages.data import load_subject
from ..stages.fit import fit_reads
from ..stages.model import Configured
from ..storage.content import digest
from ..storage.executors import Executor, Inline
from ..storage.store import Store
from .graded import write_graded
from .pipeline import run_plan
from .plan import Plan, make_plan
from .record import command_line, is_finished, write_run
from .scheduling import map_by_need
from .suites import Suite, Variant

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One run of a suite.

    fits : hashes of the fits that it needs, by what they are asked for; cells of one fit share it.
    """

    encoder: Variant
    decoder: Variant
    seed: int
    subject: str
    request: Request
    fits: frozenset[str]

    @property
    def name(self) -> str:
        where = f", {self.subject}" if self.subject else ""
        return f"{self.encoder.label} × {self.decoder.label}{where}, seed {self.seed}"


@dataclass(frozen=True)
class CellResult:
    """A cell and its finished run, or in a sentence why there is none."""

    cell: Cell
    run: RunResult | None = None
    problem: str = ""


def cells(suite: Suite, folder: Path) -> list[Cell]:
    """The plan of `suite`, decoder by decoder; graded encoders are files in `folder`.

    A variant that says whom it is scored on is there once, whatever the suite's subjects.
    """
    planned = []
    for seed in suite.seeds:
        for subject in suite.subjects:
            for decoder in suite.decoders:
                for place, encoder in enumerate(suite.encoders):
                    if (encoder.subject or decoder.subject) and subject != suite.subjects[0]:
                        continue
                    cheats = suite.cheats and not place
                    planned.append(_cell(suite, encoder, decoder, subject, seed, folder, cheats=cheats))
    return planned


def carry_out(
    suites: Sequence[Suite],
    out: Path,
    *,
    store: Store,
    reporter: Callable[[], Reporter],
    executor: Executor | None = None,
    told: Callable[[Suite, CellResult, bool], None] = lambda suite, result, computed: None,
    finished: Callable[[Suite, list[CellResult]], None] = lambda suite, results: None,
) -> list[CellResult]:
    """Every cell of `suites`, each in a folder of its own in ``out/SUITE``; what is finished there stays.

    executor : that computes cells side by side, of all suites together, those of one fit only once it is
        there; without any they are computed one after the other, each shown by a `reporter`.
    told : called after each cell, and whether it was computed now.
    finished : called when all cells of a suite are there, suites in their order.

    Raises
    ------
    ConfigError
        A graded encoder cannot be made.
    """
    planned: list[tuple[Suite, Cell]] = []
    unfinished: list[tuple[Suite, range]] = []  # and the places of its cells
    for suite in suites:
        _write_graded(suite, out / suite.name, store)
        planned += [(suite, cell) for cell in cells(suite, out / suite.name)]
        start = unfinished[-1][1].stop if unfinished else 0
        unfinished.append((suite, range(start, len(planned))))
    results: dict[int, CellResult] = {}
    for place, problem, where, computed in _computed(planned, out, store, reporter, executor):
        suite, cell = planned[place]
        run = None if problem else RunResult.open(out / suite.name / where)
        results[place] = CellResult(cell, run, problem)
        told(suite, results[place], computed)
        while unfinished and results.keys() >= set(unfinished[0][1]):
            whole, places = unfinished.pop(0)
            finished(whole, [results[number] for number in places])
    return [results[place] for place in range(len(planned))]


def _computed(
    planned: Sequence[tuple[Suite, Cell]],
    out: Path,
    store: Store,
    reporter: Callable[[], Reporter],
    executor: Executor | None,
) -> Iterator[tuple[int, str, str, bool]]:
    """Place of each cell as it comes, and what :func:`_carried_out` says of it."""
    if executor is None or not executor.elsewhere:
        for place, (suite, cell) in enumerate(planned):
            # A store of its own: what one run counted, used and was warned of is not another's.
            yield place, *_carried_out(cell.request, out / suite.name, Store(store.root), reporter())
        return
    tasks = [(cell.request, out / suite.name, store.root) for suite, cell in planned]
    for place, came in map_by_need(executor, _in_worker, tasks, [cell.fits for _, cell in planned]):
        yield place, *came


def _cell(
    suite: Suite,
    encoder: Variant,
    decoder: Variant,
    subject: str | None,
    seed: int,
    folder: Path,
    *,
    cheats: bool,
) -> Cell:
    run = {**suite.run, **decoder.run, **encoder.run, "seed": seed} | ({"cheat_rows": True} if cheats else {})
    plugin: str | None = encoder.plugin or None
    if encoder.graded is not None:
        plugin = f"file:{folder / 'graded' / encoder.label}.npz"
    scored = encoder.subject or decoder.subject or subject
    values = {
        "benchmark": suite.benchmark_params,
        "encoder": encoder.params,
        "decoder": decoder.params,
        "run": run,
    }
    request = Request(
        benchmark=suite.benchmark,
        encoder=plugin,
        decoder=decoder.plugin or None,
        subject=scored,
        train_subjects=encoder.train_subjects,
        values=values,
    )
    trained = encoder.train_subjects or (scored,)
    asked = [
        ("encoders", encoder.plugin, _fitted_by("encoders", encoder), trained, seed),
        ("decoders", decoder.plugin, _fitted_by("decoders", decoder), scored, seed),
    ]
    data = (suite.benchmark, suite.benchmark_params)
    fits = frozenset(digest((data, part)) for part in asked if part[1])
    return Cell(encoder, decoder, seed, scored or "", request, fits)


def _fitted_by(group: str, variant: Variant) -> dict[str, Any]:
    """Parameters of a variant but those that no fit reads."""
    try:
        fields = {f.name: f for f in dataclasses.fields(plugins.find(group, variant.plugin).load().Params)}
    except HarnessError:
        return dict(variant.params)  # the cell will say what is wrong with it
    return {
        name: value for name, value in variant.params.items() if name not in fields or fit_reads(fields[name])
    }


def _in_worker(task: tuple[Request, Path, Path]) -> tuple[str, str, bool]:
    request, folder, root = task
    alone = {**request.values["run"], "executor": "inline", "workers": 1}
    request = replace(request, values={**request.values, "run": alone})
    return _carried_out(request, folder, Store(root), Silent())


def _carried_out(request: Request, folder: Path, store: Store, reporter: Reporter) -> tuple[str, str, bool]:
    """In a sentence what went wrong, ``""`` for nothing; the name of the run's folder; whether it is new."""
    try:
        plan = make_plan(request, need_decoder=False)
        if is_finished(plan, folder / plan.name):
            return "", plan.name, False
        _compute(plan, folder / plan.name, store, reporter)
        return "", plan.name, True
    except Exception as problem:  # whatever it is, other cells go on; -v shows where it came from
        logger.debug("a cell of a suite", exc_info=problem)
        return what_happened(problem), "", True


def _compute(plan: Plan, folder: Path, store: Store, reporter: Reporter) -> None:
    plan.require_files()
    outcome = run_plan(plan, store, reporter=reporter)
    write_run(outcome, folder, command=command_line(), store=store)
    if outcome.scored.failures:
        names = ", ".join(failure.metric for failure in outcome.scored.failures)
        raise ConfigError(f"{len(outcome.scored.failures)} metrics failed ({names}); type the command again")


def _write_graded(suite: Suite, folder: Path, store: Store) -> None:
    """Predictions of the suite's graded encoders, in files."""
    wanted = [encoder for encoder in suite.encoders if encoder.graded is not None]
    if not wanted:
        return
    plan = make_plan(replace(cells(suite, folder)[0].request, encoder=None))
    benchmark = Configured(plan.benchmark, plan.benchmark_params)
    data, _, _ = load_subject(benchmark, plan.subject, store=store, executor=Inline())
    for encoder in wanted:
        write_graded(data, encoder.graded, folder / "graded" / f"{encoder.label}.npz")


def benchmark_is_measured(name: str) -> bool:
    """Whether a benchmark holds measured data rather than simulated ones."""
    return not plugins.find("benchmarks", name).load().simulated

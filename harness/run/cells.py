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
    """The plan of `suite`, decoder by decoder; graded encoders are files in `folder`."""
    planned = []
    for seed in suite.seeds:
        for subject in suite.subjects:
            for decoder in suite.decoders:
                for place, encoder in enumerate(suite.encoders):
                    cheats = suite.cheats and not place
                    planned.append(_cell(suite, encoder, decoder, subject, seed, folder, cheats=cheats))
    return planned


def carry_out(
    suite: Suite,
    folder: Path,
    *,
    store: Store,
    reporter: Callable[[], Reporter],
    executor: Executor | None = None,
    told: Callable[[CellResult, bool], None] = lambda result, computed: None,
) -> list[CellResult]:
    """Every cell of `suite`, each in a folder of its own in `folder`; what is finished there stays.

    executor : that computes cells side by side, those of one fit only once it is there; without any they are
        computed one after the other, each shown by a `reporter`.
    told : called after each cell, and whether it was computed now.

    Raises
    ------
    ConfigError
        A graded encoder cannot be made.
    """
    _write_graded(suite, folder, store)
    planned = cells(suite, folder)
    results: dict[int, CellResult] = {}

    def keep(place: int, problem: str, where: str, computed: bool) -> None:
        cell = planned[place]
        run = None if problem else RunResult.open(folder / where)
        results[place] = CellResult(cell, run, problem)
        told(results[place], computed)

    if executor is None or not executor.elsewhere:
        for place, cell in enumerate(planned):
            # A store of its own: what one run counted, used and was warned of is not another's.
            keep(place, *_carried_out(cell.request, folder, Store(store.root), reporter()))
        return [results[place] for place in range(len(planned))]
    for wave in waves(planned):
        tasks = [(place, planned[place].request, folder, store.root) for place in wave]
        for place, *came in executor.map(_in_worker, tasks):
            keep(place, *came)
    return [results[place] for place in range(len(planned))]


def waves(planned: Sequence[Cell]) -> Iterator[list[int]]:
    """Places of the cells that can be computed at the same time: of those that need one missing fit, one.

    Two processes that fit the same thing at once would do the work twice.
    """
    there: set[str] = set()
    left = list(range(len(planned)))
    while left:
        wave, coming = [], set()
        for place in left:
            missing = planned[place].fits - there
            if not missing & coming:
                wave.append(place)
                coming |= missing
        there |= coming
        left = [place for place in left if place not in wave]
        yield wave


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
    fits = frozenset(digest(part) for part in asked if part[1])
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


def _in_worker(task: tuple[int, Request, Path, Path]) -> tuple[int, str, str, bool]:
    place, request, folder, root = task
    alone = {**request.values["run"], "executor": "inline", "workers": 1}
    request = replace(request, values={**request.values, "run": alone})
    return place, *_carried_out(request, folder, Store(root), Silent())


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

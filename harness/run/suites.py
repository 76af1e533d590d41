"""Experiment suites: a YAML file says which encoders meet which decoders, and a run is one cell of it.

``harness/configs/experiments/NAME.yaml``, or any file of the same form::

    title: Which encoder is better, and does the decoder matter?
    table: matrix                  # what is printed of it (harness.reports.suites)
    benchmark: {name: embedded, n_train: 1500}
    encoders:
      ridge: {encoder: ridge, preset: cls}         # a plugin and its parameters
      noisy: {graded: {noise: 1}}                  # made of the truth (harness.run.graded)
    decoders:
      linear: {decoder: linear}
    seeds: [0]
    run: {samples: 1}              # settings of every cell
    metrics: [pixcorr, voxel-r]
    cheats: true                   # rows of encoders that cheat, once for every decoder
    published: [...]               # figures to read beside the table, each with its source and what differs
    smoke: {...}                   # the same keys, in place of the above, for a trial within minutes

Cells share fits and scores by their hashes in the store; a finished one is not computed again, and one that
fails costs no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ConfigError, HarnessError, suggest, what_happened
from ..progress import Reporter
from ..results import RunResult
from ..settings import Request, mapping, read_yaml
from ..stages.data import load_subject
from ..stages.model import Configured
from ..storage.executors import Inline
from ..storage.store import Store
from .graded import write_graded
from .pipeline import run_plan
from .plan import Plan, make_plan
from .record import command_line, write_run

logger = logging.getLogger(__name__)

KEYS = ("title", "table", "benchmark", "subject", "encoders", "decoders", "seeds", "run", "metrics", "cheats")
KEYS += ("published", "smoke")
PUBLISHED = ("what", "value", "source", "differs")


@dataclass(frozen=True)
class Variant:
    """An encoder or decoder of a suite: its name in tables, and a plugin with parameters, or a graded one."""

    label: str
    plugin: str
    params: Mapping[str, Any] = field(default_factory=dict)
    graded: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Suite:
    """A suite as it was read; see the module's first lines."""

    name: str
    title: str
    table: str
    benchmark: str
    benchmark_params: Mapping[str, Any]
    subject: str | None
    encoders: tuple[Variant, ...]
    decoders: tuple[Variant, ...]
    seeds: tuple[int, ...]
    run: Mapping[str, Any]
    cheats: bool
    published: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Cell:
    """One run of a suite."""

    encoder: Variant
    decoder: Variant
    seed: int
    request: Request

    @property
    def name(self) -> str:
        return f"{self.encoder.label} × {self.decoder.label}, seed {self.seed}"


@dataclass(frozen=True)
class CellResult:
    """A cell and its finished run, or in a sentence why there is none."""

    cell: Cell
    run: RunResult | None = None
    problem: str = ""


def suite_names() -> list[str]:
    """Suites that come with the harness."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def read_suite(name: str, *, smoke: bool = False) -> Suite:
    """The suite called `name`, or in the ``.yaml`` file of that name; its `smoke` setting where asked for.

    Raises
    ------
    ConfigError
        There is none, or it is no suite; with what to type.
    """
    file = Path(name).expanduser() if name.endswith((".yaml", ".yml")) else _folder() / f"{name}.yaml"
    if not file.is_file() and not name.endswith((".yaml", ".yml")):
        raise ConfigError(suggest(name, suite_names(), what="experiment"))
    content = mapping(read_yaml(file), keys=KEYS, where=str(file))
    trial = mapping(content.pop("smoke", None) or {}, keys=KEYS[:-1], where=f"{file}: smoke")
    if smoke and not trial:
        raise ConfigError(f"{file} has no smoke setting; leave --smoke out")
    content |= trial if smoke else {}
    for key in ("encoders", "decoders", "benchmark", "table"):
        if not content.get(key):
            raise ConfigError(f"{file}: '{key}' is missing or empty")
    where = f"{file}: benchmark"
    benchmark = mapping(content["benchmark"], where=where)
    run = mapping(content.get("run") or {}, where=f"{file}: run")
    if metrics := content.get("metrics"):
        run["metrics"] = tuple(_listed(metrics, where=f"{file}: metrics"))
    return Suite(
        file.stem + ("-smoke" if smoke else ""),
        str(content.get("title") or file.stem),
        str(content["table"]),
        str(benchmark.pop("name", "embedded")),
        benchmark,
        None if content.get("subject") is None else str(content["subject"]),
        tuple(_variants(content["encoders"], "encoder", where=f"{file}: encoders")),
        tuple(_variants(content["decoders"], "decoder", where=f"{file}: decoders")),
        tuple(_listed(content.get("seeds", [0]), where=f"{file}: seeds")),
        run,
        bool(content.get("cheats", False)),
        tuple(_published(content.get("published") or [], where=f"{file}: published")),
    )


def cells(suite: Suite, folder: Path) -> list[Cell]:
    """The plan of `suite`, decoder by decoder; graded encoders are files in `folder`."""
    planned = []
    for seed in suite.seeds:
        for decoder in suite.decoders:
            for place, encoder in enumerate(suite.encoders):
                file = f"file:{folder / 'graded' / encoder.label}.npz"
                run = {**suite.run, "seed": seed}
                run |= {"cheat_rows": True} if suite.cheats and not place else {}
                values = {
                    "benchmark": suite.benchmark_params,
                    "encoder": encoder.params,
                    "decoder": decoder.params,
                    "run": run,
                }
                request = Request(
                    benchmark=suite.benchmark,
                    encoder=encoder.plugin if encoder.graded is None else file,
                    decoder=decoder.plugin,
                    subject=suite.subject,
                    values=values,
                )
                planned.append(Cell(encoder, decoder, seed, request))
    return planned


def carry_out(
    suite: Suite,
    folder: Path,
    *,
    store: Store,
    reporter: Callable[[], Reporter],
    told: Callable[[CellResult, bool], None] = lambda result, computed: None,
) -> list[CellResult]:
    """Every cell of `suite`, each in a folder of its own in `folder`; what is finished there stays.

    told : called after each cell, and whether it was computed now.

    Raises
    ------
    ConfigError
        A graded encoder cannot be made.
    """
    _write_graded(suite, folder, store)
    results = []
    for cell in cells(suite, folder):
        try:
            plan = make_plan(cell.request)
            done = _finished(plan, folder / plan.name)
            result = CellResult(cell, done or _computed(plan, folder / plan.name, store, reporter()))
            computed = done is None
        except (HarnessError, OSError, MemoryError, ArithmeticError, ValueError, RuntimeError) as problem:
            logger.debug("cell %s", cell.name, exc_info=problem)
            result, computed = CellResult(cell, problem=what_happened(problem)), True
        results.append(result)
        told(result, computed)
    return results


def _computed(plan: Plan, folder: Path, store: Store, reporter: Reporter) -> RunResult:
    plan.require_files()
    outcome = run_plan(plan, store, reporter=reporter)
    write_run(outcome, folder, command=command_line(), store=store)
    if outcome.scored.failures:
        names = ", ".join(failure.metric for failure in outcome.scored.failures)
        raise ConfigError(f"{len(outcome.scored.failures)} metrics failed ({names}); type the command again")
    return RunResult.open(folder)


def _finished(plan: Plan, folder: Path) -> RunResult | None:
    """The run in `folder`, where it is that of `plan` and nothing failed."""
    if not (folder / "run.json").is_file():
        return None
    try:
        run = RunResult.open(folder)
    except HarnessError:
        return None
    same = run.record.identity == plan.identity and not run.record.failed_metrics
    return run if same else None


def _write_graded(suite: Suite, folder: Path, store: Store) -> None:
    """Predictions of the suite's graded encoders, in files."""
    wanted = [encoder for encoder in suite.encoders if encoder.graded is not None]
    if not wanted:
        return
    decoder = suite.decoders[0]
    request = Request(
        benchmark=suite.benchmark,
        decoder=decoder.plugin,
        subject=suite.subject,
        values={"benchmark": suite.benchmark_params, "decoder": decoder.params, "run": suite.run},
    )
    plan = make_plan(request)
    benchmark = Configured(plan.benchmark, plan.benchmark_params)
    data, _, _ = load_subject(benchmark, plan.subject, store=store, executor=Inline())
    for encoder in wanted:
        write_graded(data, encoder.graded, folder / "graded" / f"{encoder.label}.npz")


def _variants(given: Any, kind: str, *, where: str) -> Iterator[Variant]:
    for label, value in mapping(given, where=where).items():
        params = mapping(value or {}, where=f"{where}.{label}")
        if kind == "encoder" and "graded" in params:
            graded = mapping(params.pop("graded") or {}, where=f"{where}.{label}.graded")
            if params:
                raise ConfigError(
                    f"{where}.{label}: a graded encoder has no other keys, found {', '.join(params)}"
                )
            yield Variant(label, "", graded=graded)
            continue
        yield Variant(label, str(params.pop(kind, label)), params)


def _published(given: Any, *, where: str) -> Iterator[Mapping[str, Any]]:
    for place, entry in enumerate(_listed(given, where=where)):
        line = mapping(entry, keys=PUBLISHED, where=f"{where}[{place}]")
        if lacking := [key for key in PUBLISHED if key not in line]:
            raise ConfigError(
                f"{where}[{place}] lacks {', '.join(lacking)}: a figure has a source and its limits"
            )
        yield line


def _listed(given: Any, *, where: str) -> Sequence[Any]:
    if not isinstance(given, list):
        raise ConfigError(f"{where}: expected a list, found {type(given).__name__}")
    return given


def _folder() -> Path:
    return Path(str(resources.files("harness.configs"))) / "experiments"

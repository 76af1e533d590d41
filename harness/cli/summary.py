"""What a person reads before and after a run."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment
from rich.table import Table

from ..errors import visible
from ..results import RunResult
from ..rows.table import BOTTLENECK, CHEATS
from ..run.costs_ahead import cost_lines
from ..run.plan import Given, Plan
from ..run.protocols import PROTOCOLS
from ..stages.given_captions import GivenCaptions
from ..storage.content import plain
from ..storage.disk import explained
from ..storage.store import Store

NEEDS_NO_DECODER = ("mean-image", "flat-grey", "nearest-train")
"""Controls made of images alone."""

_UNDECODED = ("shuffled", "code-ceiling", *NEEDS_NO_DECODER)
"""Rows of :func:`_rows` that cost no decoding, or next to none."""

_FEW = 3
"""Metrics that the short form of a plan names."""


def console(*, errors: bool = False, file: TextIO | None = None, width: int = 160) -> Console:
    """A console as wide as the terminal; where there is none, `width`, enough for a table.

    file : where to print in place of the terminal.

    It prints what it is given: paths and ids with brackets or colons are neither styles nor emoji, and
    what a terminal would obey is written out (:func:`harness.errors.visible`).
    """
    plainly = {"stderr": errors, "file": file, "markup": False, "emoji": False, "highlight": False}
    plainly["force_jupyter"] = False  # text in a notebook, too
    terminal = Console(**plainly)
    if file is not None or not (terminal.is_terminal or os.environ.get("COLUMNS")):
        terminal = Console(**plainly, width=width)
    terminal.push_render_hook(_WrittenOut())
    return terminal


class _WrittenOut(RenderHook):
    """Writes out control characters of all that is printed, log records and bars included."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Harmless(renderable) for renderable in renderables]


@dataclasses.dataclass(frozen=True)
class _Harmless:
    """Something to print whose text cannot command the terminal; rich's own commands can."""

    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def print_plan(
    plan: Plan, store: Store, console: Console, *, every_parameter: bool = False, costs: bool = True
) -> None:
    """The resolved plan: plugins, parameters, what the store already has.

    every_parameter : those at their defaults too, and all metrics by name; else a short form for the top
        of a run.
    costs : say what decoding will take, of decoders that count it.
    """
    show = plain if every_parameter else _changed
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    benchmark = plan.benchmark.load()
    simulated = " (simulated, not brain data)" if benchmark.simulated else ""
    table.add_row("benchmark", f"{plan.benchmark.unversioned}@{benchmark.version}, {plan.subject}{simulated}")
    if listed := _listed(show(plan.benchmark_params)):
        table.add_row("", listed)
    for kind in ("encoder", "decoder"):
        plugin = getattr(plan, kind)
        if plugin is not None:
            version = "" if isinstance(plugin, Given) else f"@{plugin.load().version}"
            table.add_row(
                kind, f"{plugin.name}{version}  {_listed(show(getattr(plan, f'{kind}_params')))}".rstrip()
            )
        if kind == "encoder" and plan.trained_on:
            how = f", adapted to {plan.subject}" if plan.transfers else ""
            table.add_row("", f"fitted on {', '.join(plan.trained_on)}{how}")
    settings = plan.settings
    table.add_row(
        "run",
        f"seed {settings.seed}, samples {settings.samples}, adapter {settings.adapter}, "
        f"selection {settings.selection}, limit {settings.limit or 'none'}, "
        f"{'missing images left out, ' if settings.allow_missing else ''}device {settings.device}, "
        f"{settings.executor} x {settings.workers}",
    )
    if settings.protocol:
        table.add_row("protocol", PROTOCOLS[settings.protocol].title)
    rows = _rows(plan)
    table.add_row("rows", ", ".join(rows))
    decoded = [row for row in rows if row not in _UNDECODED]
    for line in cost_lines(plan, decoded) if costs else ():
        table.add_row("cost", line)
    few = _FEW if not every_parameter else None
    table.add_row("metrics", _listed_up_to(few, [metric.ref.name for metric in plan.metrics]))
    for why in dict.fromkeys(why for _, why in plan.left_out):
        names = _listed_up_to(few, [name for name, reason in plan.left_out if reason == why])
        table.add_row("left out", f"{names}: {why}")
    for line in plan.missing:
        table.add_row("missing", line)
    table.add_row("store", f"{store.root} ({_what_is_stored(plan, store)})")
    console.print(table, highlight=False)


def print_closing(
    run: RunResult, store: Store, console: Console, *, changed: bool, tables: Collection[str] = ()
) -> None:
    """The answer, the tables that were asked for, and a line that says what was computed."""
    from harness.reports.terminal import render

    render(run, console, tables=tables)
    computed, reused = sum(store.computed.values()), sum(store.reused.values())
    parts = ", ".join(f"{stage} {count}" for stage, count in sorted(store.computed.items())) or "nothing"
    state = "written" if changed else "unchanged"
    console.print(f"computed: {parts}; reused: {reused} artifacts", highlight=False, soft_wrap=True)
    console.print(f"results {state}: {run.folder}", highlight=False, soft_wrap=True)
    if not computed and not changed:
        console.print("nothing was computed: this run was complete", highlight=False)


def refresh_report(folder: Path, *, changed: bool, shareable: bool) -> None:
    """Write ``report.html`` unless it is there and belongs to these very tables; and what is `shareable`."""
    from harness.reports.html import write_report

    with explained(folder):
        if changed or not (folder / "report.html").is_file():
            write_report(folder)
        if shareable:
            write_report(folder, shareable=True)


def _rows(plan: Plan) -> list[str]:
    """Rows to come; those of truth and of fresh or split repeats depend on the data."""
    if plan.decoder is None:
        return ["encoding scores only"]
    controls = list(NEEDS_NO_DECODER)
    if isinstance(plan.decoder, GivenCaptions):
        return ["captions", "shuffled-captions", "constant-caption", "human-caption where there are several"]
    if isinstance(plan.decoder, Given):
        return ["the given images'", "shuffled-reconstructions", *controls]
    rows = ["measured", *(["predicted"] if plan.encoder else []), "zero", "train-mean"]
    rows += ["measured-trial"] if plan.settings.trial_rows else []
    rows += CHEATS if plan.settings.cheat_rows else []
    rows += [f"{BOTTLENECK}{rank}" for rank in sorted(set(plan.settings.bottleneck))]
    rows += [f"lesions of {', '.join(plan.settings.lesions)}"] if plan.settings.lesions else []
    rows += ["oracle"] if plan.benchmark.load().simulated else []
    rows += [
        row
        for row, method in (("generator-ceiling", "generate"), ("code-ceiling", "rebuild"))
        if hasattr(plan.decoder.load(), method)
    ]
    rows += ["re-measurement where there are repeats"]
    if plan.settings.rows:
        rows = ["measured", *(["predicted"] if plan.encoder else []), *plan.settings.rows]
        rows += [f"lesions of {', '.join(plan.settings.lesions)}"] if plan.settings.lesions else []
    return [*rows, "shuffled", *controls]


def _changed(params: Any) -> dict[str, Any]:
    """Parameters that differ from their defaults."""
    values = plain(params) or {}
    if not dataclasses.is_dataclass(params):
        return values
    defaults = {
        f.name: plain(f.default_factory() if f.default is dataclasses.MISSING else f.default)
        for f in dataclasses.fields(params)
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    }
    return {key: value for key, value in values.items() if key not in defaults or value != defaults[key]}


def _listed(values: dict[str, Any] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (values or {}).items())


def _listed_up_to(few: int | None, names: Sequence[str]) -> str:
    """`names`, or the first `few` of them and how many more there are."""
    if few is None or len(names) <= few + 1:
        return ", ".join(names)
    return f"{', '.join(names[:few])} and {len(names) - few} more"


def _what_is_stored(plan: Plan, store: Store) -> str:
    """Whether the data are generated yet; the later keys hang on them."""
    if not plan.benchmark.load().generated:
        return "data are read from the user's files"
    from ..stages.data import data_key

    key = data_key(plan.benchmark, plan.benchmark_params, plan.subject)
    there = store.folder("data", key).is_dir()
    return "data are there" if there else "data are generated first"

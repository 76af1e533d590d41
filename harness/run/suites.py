"""Experiment suites as YAML files: which encoders meet which decoders, on what, and what is printed of it.

``harness/configs/experiments/NAME.yaml``, or any file of the same form::

    title: Which encoder is better, and does the decoder matter?
    table: matrix                  # what is printed of it (TABLES of harness.cli.suite_tables)
    benchmark: {name: embedded, n_train: 1500}
    subjects: [subj01]             # every cell once for each; without it the benchmark's first
    encoders:                      # without any, decoders read measured fMRI alone
      ridge: {encoder: ridge, preset: cls}         # a plugin and its parameters
      noisy: {graded: {noise: 1}}                  # made of the truth (harness.run.graded)
      other: {encoder: chasm, cell: {subject: subj04, train_subjects: [subj01]}}
    decoders:                      # without any, responses alone are scored
      linear: {decoder: linear}
    seeds: [0]
    run: {samples: 1}              # settings of every cell
    metrics: [pixcorr, voxel-r]
    columns: [voxel-r, voxel-r/early]              # of the table, where they are not the metrics
    row: measured                  # that the table reads, where it is not the encoder's
    cheats: true                   # rows of encoders that cheat, once for every decoder
    published: [...]               # figures to read beside the table, each with its source and what differs
    absent: [...]                  # what the published table has and this one has not, and why
    differs: [...]                 # what else is done otherwise than in the paper
    measured: {...}                # the same keys, in place of the above, for a benchmark of measured data
    smoke: {...}                   # the same keys, in place of the above, for a trial within minutes

A variant's ``cell`` says what concerns its runs rather than its plugin: ``subject``, ``train_subjects``,
``run`` (settings), ``published`` (the line of configs/published.yaml, or of published-variants.yaml, that it
stands beside).  :mod:`.cells` carries a suite out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import ConfigError, suggest
from ..places import expanded
from ..published import published_rows
from ..settings import listed, mapping, read_yaml

KEYS = ("title", "table", "benchmark", "subjects", "encoders", "decoders", "seeds", "run", "metrics")
KEYS += ("columns", "row", "cheats", "published", "absent", "differs", "measured", "smoke")
PUBLISHED = ("what", "value", "source", "differs")
ABSENT = ("what", "why")
CELL = ("subject", "train_subjects", "run", "published")

ALONE = {"encoder": "measured fMRI", "decoder": "no decoder"}
"""Name of what stands for the encoders, or the decoders, of a suite that has none."""

VARIANTS = "published-variants.yaml"
"""Published numbers of ablations, which no leaderboard shows."""


@dataclass(frozen=True)
class Variant:
    """An encoder or decoder of a suite: its name in tables, and a plugin with parameters, or a graded one.

    plugin : ``""`` where there is none.  run : settings of its cells.  published : name of the published line
    that it stands beside.
    """

    label: str
    plugin: str
    params: Mapping[str, Any] = field(default_factory=dict)
    graded: Mapping[str, Any] | None = None
    subject: str | None = None
    train_subjects: tuple[str, ...] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    published: str = ""


@dataclass(frozen=True)
class Suite:
    """A suite as it was read; see the module's first lines."""

    name: str
    title: str
    table: str
    benchmark: str
    benchmark_params: Mapping[str, Any]
    subjects: tuple[str | None, ...]
    encoders: tuple[Variant, ...]
    decoders: tuple[Variant, ...]
    seeds: tuple[int, ...]
    run: Mapping[str, Any]
    columns: tuple[str, ...]
    row: str
    cheats: bool
    published: tuple[Mapping[str, Any], ...]
    absent: tuple[Mapping[str, Any], ...]
    differs: tuple[str, ...]

    def on(self, benchmark: str, params: Mapping[str, Any]) -> Suite:
        """The same suite on another benchmark."""
        return replace(
            self,
            name=f"{self.name}-{benchmark.replace('@', '-')}",
            benchmark=benchmark,
            benchmark_params=dict(params),
        )


def suite_names() -> list[str]:
    """Suites that come with the harness."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def read_suite(name: str, *, smoke: bool = False, measured: bool = False) -> Suite:
    """The suite called `name`, or in the ``.yaml`` file of that name; its `smoke` setting, or that for
    `measured` data, where asked for.

    Raises
    ------
    ConfigError
        There is none, or it is no suite; with what to type.
    """
    file = expanded(name) if name.endswith((".yaml", ".yml")) else _folder() / f"{name}.yaml"
    if not file.is_file() and not name.endswith((".yaml", ".yml")):
        raise ConfigError(suggest(name, suite_names(), what="experiment"))
    content = mapping(read_yaml(file), keys=KEYS, where=str(file))
    for key, wanted in (("measured", measured), ("smoke", smoke)):
        other = mapping(content.pop(key, None) or {}, keys=KEYS[:-2], where=f"{file}: {key}")
        if wanted and not other and key == "smoke":
            raise ConfigError(f"{file} has no smoke setting; leave --smoke out")
        content |= other if wanted else {}
    for key in ("benchmark", "table"):
        if not content.get(key):
            raise ConfigError(f"{file}: '{key}' is missing or empty")
    if not content.get("encoders") and not content.get("decoders"):
        raise ConfigError(
            f"{file}: 'encoders' and 'decoders' are missing or empty; give at least one of them"
        )
    where = f"{file}: benchmark"
    benchmark = mapping(content["benchmark"], where=where)
    run = mapping(content.get("run") or {}, where=f"{file}: run")
    metrics = tuple(listed(content.get("metrics") or [], where=f"{file}: metrics"))
    if metrics:
        run["metrics"] = metrics
    return Suite(
        file.stem + ("-smoke" if smoke else ""),
        str(content.get("title") or file.stem),
        str(content["table"]),
        str(benchmark.pop("name", "embedded")),
        benchmark,
        tuple(map(str, listed(content.get("subjects") or [], where=f"{file}: subjects"))) or (None,),
        tuple(_variants(content.get("encoders"), "encoder", where=f"{file}: encoders")),
        tuple(_variants(content.get("decoders"), "decoder", where=f"{file}: decoders")),
        tuple(listed(content.get("seeds", [0]), where=f"{file}: seeds")),
        run,
        tuple(map(str, listed(content.get("columns") or list(metrics), where=f"{file}: columns"))),
        str(content.get("row") or ""),
        bool(content.get("cheats", False)),
        tuple(_entries(content.get("published") or [], PUBLISHED, where=f"{file}: published")),
        tuple(_entries(content.get("absent") or [], ABSENT, where=f"{file}: absent")),
        tuple(map(str, listed(content.get("differs") or [], where=f"{file}: differs"))),
    )


@cache
def published_lines() -> dict[str, Any]:
    """Name -> published line that a variant may stand beside."""
    others = published_rows(Path(str(resources.files("harness.configs"))) / VARIANTS)
    return {row.name: row for row in (*published_rows(), *others)}


def _variants(given: Any, kind: str, *, where: str) -> Iterator[Variant]:
    if not given:
        yield Variant(ALONE[kind], "")
        return
    for label, value in mapping(given, where=where).items():
        params = mapping(value or {}, where=f"{where}.{label}")
        cell = _cell(params.pop("cell", None) or {}, where=f"{where}.{label}.cell")
        if kind == "encoder" and "graded" in params:
            graded = mapping(params.pop("graded") or {}, where=f"{where}.{label}.graded")
            if params:
                raise ConfigError(
                    f"{where}.{label}: a graded encoder has no other keys, found {', '.join(params)}"
                )
            yield Variant(label, "", graded=graded, **cell)
            continue
        plugin = params.pop(kind, label)
        yield Variant(label, "" if plugin is None else str(plugin), params, **cell)


def _cell(given: Any, *, where: str) -> dict[str, Any]:
    cell = mapping(given, keys=CELL, where=where)
    if "train_subjects" in cell:
        cell["train_subjects"] = tuple(
            map(str, listed(cell["train_subjects"], where=f"{where}.train_subjects"))
        )
    if "run" in cell:
        cell["run"] = mapping(cell["run"] or {}, where=f"{where}.run")
    for key in ("subject", "published"):
        if key in cell:
            cell[key] = str(cell[key])
    if (name := cell.get("published")) and name not in (lines := published_lines()):
        raise ConfigError(f"{where}.published: " + suggest(name, lines, what="published line"))
    return cell


def _entries(given: Any, keys: Sequence[str], *, where: str) -> Iterator[Mapping[str, Any]]:
    for place, entry in enumerate(listed(given, where=where)):
        line = mapping(entry, keys=keys, where=f"{where}[{place}]")
        if lacking := [key for key in keys if key not in line]:
            why = ": a figure has a source and its limits" if keys is PUBLISHED else ""
            raise ConfigError(f"{where}[{place}] lacks {', '.join(lacking)}{why}")
        yield line


def _folder() -> Path:
    return Path(str(resources.files("harness.configs"))) / "experiments"

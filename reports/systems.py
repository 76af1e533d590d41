"""What is compared: rows of runs as systems, what two of them differ in, and what they are called.

Runs that differ in the subject alone are one system, and so are runs that differ in the seed: seeds are
replicates, whose spread a difference between systems is judged against.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.results import PluginRecord, RunResult

from .layout import ordered_rows

AFTER = ("decoder", "decoder settings", "adapter", "selection")
"""Traits that say what comes after the encoder; its own scores do not depend on them."""


@dataclass(frozen=True)
class System:
    """A row of the runs of each subject, one per seed; `label` tells it from the others compared."""

    label: str
    row: str
    replicates: dict[str, tuple[RunResult, ...]]

    @property
    def runs(self) -> dict[str, RunResult]:
        """The first seed's run of each subject."""
        return {subject: of_subject[0] for subject, of_subject in self.replicates.items()}

    @property
    def seeds(self) -> tuple[str, ...]:
        """Seeds of its runs, each once."""
        every = [seed_of(run) for of_subject in self.replicates.values() for run in of_subject]
        return tuple(dict.fromkeys(every))


def seed_of(run: RunResult) -> str:
    return str(run.record.seed)


def find_systems(runs: Sequence[RunResult], rows: Sequence[str]) -> list[System]:
    """Rows of `runs` as systems, in the order given; a run of one more subject or seed joins its system."""
    grouped = _grouped(runs, rows)
    labels = _labels([traits for traits, _ in grouped], [system.replicates for _, system in grouped])
    return [replace(system, label=label) for label, (_, system) in zip(labels, grouped)]


def unlabelled_systems(runs: Sequence[RunResult], rows: Sequence[str]) -> list[System]:
    """The same with no labels, for those who name their parts (:func:`plugin_labels`)."""
    return [system for _, system in _grouped(runs, rows)]


def _grouped(runs: Sequence[RunResult], rows: Sequence[str]) -> list[tuple[dict[str, str], System]]:
    grouped: list[tuple[dict[str, str], str, dict[str, list[RunResult]]]] = []
    for row in rows:
        for run in runs:
            traits = _row_traits(run, row)
            subject = run.record.subject
            for other, name, members in grouped:
                own = members.get(subject, ())
                if other == traits and name == row and seed_of(run) not in map(seed_of, own):
                    members.setdefault(subject, []).append(run)
                    break
            else:
                grouped.append((traits, row, {subject: [run]}))
    return [
        (traits, System("", row, {subject: tuple(own) for subject, own in members.items()}))
        for traits, row, members in grouped
    ]


def find_encoders(systems: Sequence[System]) -> list[System]:
    """`systems` as encoders: of those that differ only in what comes after it, the first decoder's stay."""
    first: dict[tuple[str, ...], list[str]] = {}
    kept = []
    for system in systems:
        traits = _row_traits(next(iter(system.runs.values())), system.row)
        after = [traits.pop(key) for key in AFTER]
        if first.setdefault((system.row, *traits.values()), after) == after:
            kept.append((traits, system))
    labels = _labels([traits for traits, _ in kept], [system.replicates for _, system in kept])
    return [System(label, system.row, system.replicates) for label, (_, system) in zip(labels, kept)]


def _traits(run: RunResult) -> dict[str, str]:
    """What makes two runs the same system, as text; keys in the order in which labels use them.

    The seed is none of it.
    """
    record = run.record
    traits = {}
    for kind in ("encoder", "decoder"):
        plugin = getattr(record, kind) or PluginRecord()
        traits[kind] = (plugin.name or f"no {kind}").rpartition("/")[2]
        traits[f"{kind} settings"] = json.dumps([plugin.version, plugin.params], sort_keys=True)
    traits["n_train"] = f"{record.n_train} training images"
    fitted_on = [part.subject for part in record.train_subjects]
    own = fitted_on in ([], [record.subject])
    traits["train_subjects"] = "" if own else f"fitted on {', '.join(fitted_on)}"
    return traits | {name: f"{name} {getattr(record, name)}" for name in ("adapter", "selection", "samples")}


def _row_traits(run: RunResult, row: str) -> dict[str, str]:
    return {**_traits(run), "row": ordered_rows(run, [row])[0].label}


def _labels(
    traits: Sequence[dict[str, str]], members: Sequence[dict[str, tuple[RunResult, ...]]]
) -> list[str]:
    """Short names: the encoder, whatever else differs, and the run's name where that does not suffice."""
    differing = [key for key in traits[0] if len({system[key] for system in traits}) > 1]
    shown = [key for key in differing if not key.endswith("settings")]
    shown = shown if "encoder" in shown or "row" in shown else ["encoder", *shown]
    if any(key.endswith("settings") for key in differing):
        shown = [*shown, "changed"]
    texts = []
    for system in traits:
        texts.append(
            " · ".join(
                filter(None, (_changed(system, traits) if k == "changed" else system[k] for k in shown))
            )
        )
    return [
        text if texts.count(text) == 1 else f"{text} ({next(iter(runs.values()))[0].folder.name})"
        for text, runs in zip(texts, members)
    ]


def _changed(system: dict[str, str], traits: Sequence[dict[str, str]]) -> str:
    """``key=value`` of the plugin parameters in which systems of the same plugins differ."""
    texts = []
    for kind in (kind for kind in ("encoder", "decoder") if kind in system):
        same = [
            json.loads(other[f"{kind} settings"])[1] or {} for other in traits if other[kind] == system[kind]
        ]
        own = json.loads(system[f"{kind} settings"])[1] or {}
        texts += [
            f"{key}={value}" for key, value in own.items() if any(other.get(key) != value for other in same)
        ]
    return ", ".join(texts)


def plugin_labels(systems: Sequence[System], kind: str, also: Sequence[str]) -> list[str]:
    """The plugin of each system in words, with the settings in which those of one name differ."""
    records = [next(iter(system.runs.values())).record for system in systems]
    plugins = [getattr(record, kind) or PluginRecord() for record in records]
    names = [(plugin.name or f"no {kind}").rpartition("/")[2] for plugin in plugins]
    texts = []
    for name, plugin, record in zip(names, plugins, records):
        same = [k for k, other in enumerate(names) if other == name]
        changed = [
            f"{key}={value}"
            for key, value in plugin.params.items()
            if any(plugins[k].params.get(key) != value for k in same)
        ]
        changed += [
            f"{key} {getattr(record, key)}"
            for key in also
            if any(getattr(records[k], key) != getattr(record, key) for k in same)
        ]
        texts.append(f"{name} ({', '.join(changed)})" if changed else name)
    return texts

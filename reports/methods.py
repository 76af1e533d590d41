"""A run in the words of a methods section, and as a file that runs it again; both ready to paste.

Everything is taken from ``run.json``: what it does not hold is not said.
"""

from __future__ import annotations

import shlex
from typing import Any

import yaml

from harness.results import PluginRecord, RunResult

from .layout import SIMULATED, is_simulated, number, ordered_metrics
from .tables import FLIPS
from .values import run_metrics

METHODS, REPRODUCE = "methods.txt", "reproduce.yaml"
"""Files beside the report."""

_SECTIONS = ("benchmark", "encoder", "decoder")


def methods_text(run: RunResult) -> str:
    """Paragraphs of plain text: data, systems, rows, scores, statistics, software, and what to know."""
    parts = [_data(run), _systems(run), _scored(run), _statistics(run), _software(run), _flagged(run)]
    return "\n\n".join(part for part in parts if part)


def reproduce_text(run: RunResult) -> str:
    """A configuration for ``harness run --config``: plugins and every parameter, with versions and hashes.

    Run by the same version of the harness on the same data it plans the same run, by identity.
    """
    record = run.record
    head = [
        f"Runs '{record.run}' again:",
        f"  harness {_command(run)} --config {REPRODUCE}",
        f"which was typed as: {shlex.join(record.command)}",
        f"identity of the run: {record.identity}",
        f"harness {record.harness_version}" + (f", git {record.git.revision}" if record.git else ""),
        f"python {record.python}, {record.platform}, {record.device}",
        f"packages: {', '.join(f'{name} {version}' for name, version in record.packages.items() if version)}",
    ]
    head += [f"{name}: {sha}" for name, sha in record.data_sha.content().items() if sha]
    for kind in _SECTIONS:
        plugin = getattr(record, kind)
        if plugin is not None and plugin.file_sha:
            head.append(f"{kind} {plugin.name}@{plugin.version}: {plugin.file_sha}")
    comment = "".join(f"# {' '.join(line.split()) if line[:1] != ' ' else line}\n" for line in head)
    return comment + yaml.safe_dump(_content(run), sort_keys=False, allow_unicode=True, width=100)


def _content(run: RunResult) -> dict[str, Any]:
    record = run.record
    plugins = {kind: _spec(kind, getattr(record, kind)) for kind in _SECTIONS}
    trained_on = [subject.subject for subject in record.train_subjects]
    plugins["subject"] = record.subject
    if trained_on and trained_on != [record.subject]:
        plugins["train_subjects"] = trained_on
    if _command(run).startswith("score"):
        del plugins["decoder"]
    settings = {key: value for key, value in record.settings.items() if key not in record.execution}
    # What is empty is its default, and a later version may have another name for it.
    settings = {key: value for key, value in settings.items() if value not in (None, "", [], {})}
    sections = {kind: getattr(record, kind) for kind in _SECTIONS}
    params = {kind: dict(plugin.params) for kind, plugin in sections.items() if plugin and plugin.params}
    chosen = {kind: name for kind, name in plugins.items() if name}
    return {"plugins": chosen, **{kind: dict(given) for kind, given in params.items()}, "run": settings}


def _command(run: RunResult) -> str:
    """``run``, or ``score PATH`` for what was made elsewhere without an encoder."""
    record = run.record
    if record.encoder is None and record.decoder and record.decoder.made_elsewhere:
        return f"score {shlex.quote(record.decoder.name.partition(':')[2])}"
    return "run"


def _spec(kind: str, plugin: PluginRecord | None) -> str:
    """What a user types for a plugin; a benchmark with its version."""
    if plugin is None or not plugin.name:
        return ""
    from_file = ".py:" in plugin.name
    return f"{plugin.name}@{plugin.version}" if kind == "benchmark" and not from_file else plugin.name


def _data(run: RunResult) -> str:
    record = run.record
    space, (least, most) = record.space, record.test_trials or (None, None)
    name = f"{record.benchmark.name or 'unknown'}@{record.benchmark.version or '?'}"
    words = [f"Data are those of subject {record.subject or '?'} of {name}"]
    if is_simulated(run):
        words[0] += f" ({SIMULATED})"
    voxels = space.n_valid or space.n_voxels
    if voxels:
        words.append(f"{voxels:,} voxels ({', '.join(filter(None, (space.mask, space.units)))})")
    if record.n_train is not None and record.n_test is not None:
        subset = f", the subset {record.subset.name}" if record.subset else ""
        words.append(f"{record.n_train:,} training and {record.n_test:,} test images{subset}")
    if least is not None:
        counts = f"{least}" if least == most else f"{least} to {most}"
        words.append(f"{counts} {'trial' if (least, most) == (1, 1) else 'trials'} of each test image")
    source = record.noise_ceiling_source
    ceiling = f" Noise ceilings rest on {source.trials}." if source and source.trials else ""
    return f"{words[0]}: {'; '.join(words[1:])}.{ceiling}" if words[1:] else f"{words[0]}."


def _systems(run: RunResult) -> str:
    record, lines = run.record, []
    if record.encoder:
        who = [subject.subject for subject in record.train_subjects] or [record.subject]
        lines.append(
            f"The encoder {_named(record.encoder)} was fitted on the training images of {', '.join(who)} and "
            "predicted the responses to each test image."
        )
        if record.adapter not in ("", "none"):
            lines.append(
                f"Predictions passed through the adapter '{record.adapter}', fitted on training data alone."
            )
    if record.decoder and record.decoder.made_elsewhere:
        lines.append("Reconstructions were made elsewhere and matched to the test images by id.")
    elif record.decoder:
        rows = {row.name for row in record.rows}
        of_what = "measured and predicted responses" if "predicted" in rows else "measured responses"
        seed = "" if record.seed is None else f"seed {record.seed}, "
        lines.append(
            f"The decoder {_named(record.decoder)} reconstructed images from {of_what}, all repeats of a "
            "test image together; what noise it draws was drawn per image and shared by all rows "
            f"({seed}{record.samples or 1} {'sample' if record.samples == 1 else 'samples'})."
        )
        if record.candidates > 1:
            lines.append(f"Of {record.candidates} candidates one was kept by the rule '{record.selection}'.")
        if record.blended:
            lines.append(f"The decoder's low-level image was mixed in with a share of {record.blended:g}.")
    controls = [row.label or row.name for row in record.rows if row.group == "control"]
    if controls:
        lines.append(f"Controls: {', '.join(controls)}.")
    if lesions := list(dict.fromkeys(row.area for row in record.rows if row.lesion)):
        lines.append(
            f"Lesions of {', '.join(lesions)}: the same decoder with the area's voxels kept alone, set to "
            "their mean training response, or taken from another test image."
        )
    return " ".join(lines)


def _scored(run: RunResult) -> str:
    record = run.record
    names = [metric.name for target in ("stimulus", "measured") for metric in run_metrics(run, target)]
    shown = [f"{metric.label} ({metric.name})" for metric in ordered_metrics(run, names)]
    text = f"Reconstructions were scored by {', '.join(shown)}." if shown else ""
    if record.protocol:
        differs = "; ".join(record.protocol.differs) or "nothing that is known"
        text += f" Scores follow {record.protocol.title} ({record.protocol.source}); what differs: {differs}."
    floor = record.noise_floor_mse
    encoding = [m for m in record.metrics if m.inputs == "responses"]
    if encoding:
        text += f" Predicted responses were scored by {', '.join(m.label or m.name for m in encoding)}"
        text += f"; the noise floor of the voxel MSE is {number(floor)}." if floor is not None else "."
    return text.strip()


def _statistics(run: RunResult) -> str:
    if not run.record.rows:
        return ""
    return (
        "Intervals are 95 % intervals over test images with the subject and the fitted models held fixed "
        "(Student's t with the skewness taken out, Hall 1992; the exact interval of a proportion for hits; "
        "Fieller's for ratios); where an image is identified among others it counts as their rival too. "
        f"Differences are paired on the same images and tested by {FLIPS:,} sign flips, with Holm's "
        "correction over all comparisons of a row."
    )


def _software(run: RunResult) -> str:
    record = run.record
    revision = f" (git {record.git.revision[:12]})" if record.git and record.git.revision else ""
    packages = ", ".join(f"{name} {version}" for name, version in record.packages.items() if version)
    where = f" on {record.device}" if record.device else ""
    with_packages = f", with {packages}" if packages else ""
    return f"Computed with harness {record.harness_version or '?'}{revision}{where}{with_packages}."


def _flagged(run: RunResult) -> str:
    texts = [f"{flag.level}: {flag.message}" for flag in run.record.flags]
    return f"The harness flagged: {'; '.join(texts)}." if texts else ""


def _named(plugin: PluginRecord) -> str:
    return f"{plugin.name}@{plugin.version}" if plugin.version else plugin.name

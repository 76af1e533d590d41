"""What a run was made of, as sections of names and values."""

from __future__ import annotations

import json
from typing import Any

from harness.results import CeilingRecord, PluginRecord, RunResult


def provenance(run: RunResult) -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of (name, value) pairs; a section without any is left out."""
    record = run.record
    git = record.git
    dirty = " with uncommitted changes" if git and git.dirty else ""
    sections = [
        (
            "run",
            {
                "name": record.run,
                "created": record.created,
                "seed": record.seed,
                "samples": record.samples,
                "device": record.device,
                "platform": record.platform,
                "peak memory": f"{record.peak_memory_mb} MB" if record.peak_memory_mb else None,
                "harness": record.harness_version,
                "git revision": f"{git.revision}{dirty}" if git and git.revision else None,
                "result schema": record.schema_version,
            },
        ),
        *((kind, _plugin(getattr(record, kind))) for kind in ("benchmark", "encoder", "decoder")),
        ("voxel space", {k: v for k, v in record.space.content().items() if k not in ("rois", "groups")}),
        ("noise ceilings", _ceiling_source(record.noise_ceiling_source)),
        ("metrics (hash of the file)", {metric.name: metric.file_sha for metric in record.metrics}),
        ("data hashes", record.data_sha.content()),
        ("training data of the encoder", {s.subject: s.responses_sha for s in record.train_subjects}),
        ("artifacts", record.artifacts),
        ("seconds", record.timings),
        ("computed, taken from the store", record.computed),
        ("packages", record.packages),
    ]
    shown = [
        (heading, [(str(k), _plain(v)) for k, v in pairs.items() if v not in (None, "")])
        for heading, pairs in sections
    ]
    return [(heading, pairs) for heading, pairs in shown if pairs]


def _ceiling_source(given: CeilingRecord | None) -> dict[str, Any]:
    """Which trials the noise ceilings rest on."""
    if given is None:
        return {}
    counts = {"within images": given.within, "between images": given.between}
    freedom = {f"degrees of freedom {where}": count for where, count in counts.items() if count}
    return {"from": given.trials, **freedom}


def _plugin(given: PluginRecord | None) -> dict[str, Any]:
    if given is None:
        return {}
    params = {f"{name} (parameter)": value for name, value in given.params.items()}
    return {**{k: v for k, v in given.content().items() if k != "params"}, **params}


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(item, int) for item in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def shortened(value: Any) -> Any:
    """`value` with long lists told by their length; run.json itself holds them."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list) and len(value) > 24 and all(isinstance(v, (int, float)) for v in value):
        return f"{len(value)} numbers, in run.json"
    return [shortened(item) for item in value] if isinstance(value, list) else value

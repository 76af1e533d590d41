"""Plugins and metrics as ``run.json`` describes them."""

from __future__ import annotations

from typing import Any

from ..plugins import PluginRef
from ..run_record import BenchmarkRecord, MetricRecord, PluginRecord
from ..scoring.scores import MetricRef
from ..stages.given_captions import GivenCaptions
from ..stages.reconstructions import GivenImages
from ..storage.content import plain
from .plan import Plan


def described_plugin(ref: PluginRef, params: Any) -> PluginRecord:
    """An encoder or decoder: what it is, from whom, and with which parameters."""
    return PluginRecord(**_facts(ref, params))


def described_benchmark(ref: PluginRef, params: Any) -> BenchmarkRecord:
    """A benchmark in the same words, and whether it is simulated."""
    return BenchmarkRecord(**_facts(ref, params), simulated=bool(ref.load().simulated))


def _facts(ref: PluginRef, params: Any) -> dict[str, Any]:
    return {
        "name": ref.unversioned,
        "dist": ref.dist,
        "dist_version": ref.dist_version,
        "version": ref.load().version,
        "file_sha": ref.file_sha(),
        "params": plain(params),
    }


def described_decoder(plan: Plan) -> PluginRecord | None:
    """The decoder of `plan`, images or captions that were made elsewhere, or nothing."""
    if plan.decoder is None:
        return None
    if isinstance(plan.decoder, GivenImages | GivenCaptions):
        return PluginRecord(name=plan.decoder.name, version="", params={}, file_sha="")
    return described_plugin(plan.decoder, plan.decoder_params)


def described_metric(metric: MetricRef, images: int, pictures: int) -> MetricRecord:
    """A metric as a report needs it; what hangs on the size of a gallery is that of so many test `images`.

    pictures : of them that differ, which alone count where copies are no rivals of each other.
    """
    plugin = metric.load()
    label, chance, gallery = plugin.label or metric.ref.name, plugin.chance, None
    if plugin.gallery:
        gallery = min(plugin.gallery, pictures if "copies" in plugin.gets else images)
        label, chance = f"{label}, {gallery}-way", 1 / gallery
    return MetricRecord(
        name=metric.label,
        label=label,
        inputs=plugin.inputs,
        unit=plugin.unit,
        targets=tuple(plugin.targets),
        higher_is_better=plugin.higher_is_better,
        chance=chance,
        gallery=gallery,
        backbone=":".join(plugin.backbone) if plugin.backbone else "",
        pool=plugin.pool,
        meaning=plugin.meaning,
        dist=metric.ref.dist,
        file_sha=metric.ref.file_sha(),
    )

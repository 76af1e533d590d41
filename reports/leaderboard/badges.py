"""What is known of a line besides its scores: verified or not, trained on the test, scored by its own
network, of an older version; and what it costs.

A badge says what the run's record or the folder holds, and "unknown" where that says nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.results import PluginRecord, RunRecord

from .boards import Entry

CONTAMINATION = ("test-images-in-training", "near-duplicates-in-training", "trained-on-test-images")
"""Flags of images that a system was trained on and is tested with."""

CIRCULAR = "shared-backbone"
"""Flag of scores by a network that the encoder or the decoder looks through; its message names them."""


@dataclass(frozen=True)
class Badges:
    """What is known of a line.

    verified : ``yes``, ``no``.  contamination : ``yes``, ``none seen``, or ``unknown`` of what was made
    elsewhere.  circular : metrics that are self-metrics.  stale : what of it is of a version that is no
    longer there, in words.  alarms : names of all flags that say the numbers do not mean what they seem to.
    """

    verified: str
    contamination: str
    circular: tuple[str, ...]
    stale: tuple[str, ...]
    alarms: tuple[str, ...]

    def grave(self) -> list[str]:
        """Words for what no reader may miss: the numbers do not mean what they seem to."""
        words = ["trained on test images"] if self.contamination == "yes" else []
        return words + [f"alarm: {name}" for name in self.alarms if name not in CONTAMINATION]

    def texts(self) -> list[str]:
        """Words for a reader, the gravest first."""
        words = [*self.grave(), *(["stale"] if self.stale else [])]
        words += [f"{len(self.circular)} self-metrics"] if self.circular else []
        words += ["training unknown"] if self.contamination == "unknown" else []
        return [*words, "verified" if self.verified == "yes" else "not verified"]


@dataclass(frozen=True)
class Costs:
    """Means over the runs of a line of what they recorded; NaN where no run did.

    decode_seconds, encode_seconds : for one image, of what was computed and not taken from the store.
    memory_mb : largest peak of the main process.  device_memory_mb : of an accelerator.
    encoder_parameters, decoder_parameters : numbers that the fit keeps.  device : of the first run.
    """

    decode_seconds: float
    encode_seconds: float
    memory_mb: float
    device_memory_mb: float
    encoder_parameters: float
    decoder_parameters: float
    device: str


def badges(entry: Entry, versions: Mapping[str, Collection[str]]) -> Badges:
    """Badges of a line.

    versions : benchmark or metric (without version) -> versions that are installed, where that is known.
    """
    records = [run.record for run in entry.runs]
    flags = [flag for record in records for flag in record.flags]
    names = [metric.name for metric in records[0].metrics]
    words = {word for flag in flags if flag.name == CIRCULAR for word in re.split(r"[\s,:']+", flag.message)}
    contaminated = any(flag.name in CONTAMINATION for flag in flags)
    elsewhere = any(_elsewhere(record) for record in records)
    return Badges(
        verified="yes" if all(run.verified is not None for run in entry.runs) else "no",
        contamination="yes" if contaminated else "unknown" if elsewhere else "none seen",
        circular=tuple(name for name in names if name in words),
        stale=tuple(dict.fromkeys(text for record in records for text in _stale(record, versions))),
        alarms=tuple(dict.fromkeys(flag.name for flag in flags if flag.level == "alarm")),
    )


def costs(entry: Entry) -> Costs:
    """What the runs of a line took."""
    records = [run.record for run in entry.runs]
    return Costs(
        decode_seconds=_mean([_seconds(record, "decode") for record in records]),
        encode_seconds=_mean([_seconds(record, "encode") for record in records]),
        memory_mb=_largest([record.peak_memory_mb for record in records]),
        device_memory_mb=_largest([record.peak_device_memory_mb for record in records]),
        encoder_parameters=_mean([record.fitted_parameters.get("encoder") for record in records]),
        decoder_parameters=_mean([record.fitted_parameters.get("decoder") for record in records]),
        device=records[0].device,
    )


def _seconds(record: RunRecord, stage: str) -> float | None:
    """Seconds of a stage for one image that it computed; None where all came from the store.

    An artifact of these stages is a micro-batch, and micro-batches share the images of a row evenly but for
    the last one.
    """
    computed = (record.computed.get(stage) or (0,))[0]
    size = record.settings.get("micro_batch")
    if not computed or stage not in record.timings or not record.n_test or not isinstance(size, int):
        return None
    images = computed * record.n_test / math.ceil(record.n_test / size)
    return record.timings[stage] / images


def _elsewhere(record: RunRecord) -> bool:
    plugins = [plugin or PluginRecord() for plugin in (record.encoder, record.decoder)]
    return any(plugin.made_elsewhere or plugin.params.get("checkpoint") for plugin in plugins)


def _stale(record: RunRecord, versions: Mapping[str, Collection[str]]) -> list[str]:
    named = [(record.benchmark.name, record.benchmark.version)]
    named += [metric.name.rpartition("@")[::2] for metric in record.metrics]
    return [
        f"{name}@{version}; installed is {' or '.join(f'{name}@{other}' for other in sorted(versions[name]))}"
        for name, version in named
        if name in versions and version not in versions[name]
    ]


def _mean(values: Sequence[float | None]) -> float:
    recorded = [value for value in values if value is not None]
    return sum(recorded) / len(recorded) if recorded else math.nan


def _largest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=math.nan)

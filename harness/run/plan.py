"""The plan of a run: every plugin found, every parameter resolved, before any work.

A plan says what would be computed and from what; two plans with the same :attr:`Plan.identity` give
the same tables.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from .. import plugins
from ..backbones.weights import WeightsAbsent, stored_sha
from ..catalogue import Metric
from ..errors import ConfigError, FilesMissing, WeightsMissing, suggest
from ..plugins import PluginRef
from ..presets import plugin_defaults
from ..rows.table import BOTTLENECK, CHEATS, ROWS
from ..scoring.context import Circumstances
from ..scoring.driver import scorer_of
from ..scoring.scores import MetricRef, metric_ref
from ..settings import CLUSTERS, Request, RunSettings, resolve_params
from ..stages.features import backbone_identity
from ..stages.given_captions import GivenCaptions
from ..stages.precomputed import FilePredictions, predictions_ref
from ..stages.reconstructions import GivenImages
from ..storage.content import digest, plain
from ..storage.identity import code_sha, library_versions, named_files
from .protocols import protocol_named
from .requirements import missing_files
from .shorthand import with_argument
from .subjects import subject_named, training_subjects
from .workers import with_workers

logger = logging.getLogger(__name__)

Given = GivenImages | GivenCaptions
"""What was made elsewhere, in place of a decoder."""

DECODED_CONTROLS = ("zero", "train-mean", *CHEATS)
"""Controls that a decoder makes; the others need none."""

_FETCH = "its weights are not on this machine. Type, where there is internet: harness prefetch {}"

EXECUTION = ("device", "executor", "workers", "shard_size", "lost_after", "slurm")
"""Settings that must not change a number; they are no part of a plan's identity."""

FIRST = ("seed", "samples", "micro_batch", "adapter", "selection", "trial_rows", "cheat_rows", "bottleneck")
FIRST += ("derangements", "limit", "allow_missing", "protocol", "metrics")
"""Settings that runs always had.  Of one that came later, names and identities know where it is given."""


@dataclass(frozen=True)
class Plan:
    """A resolved run.  `encoder` or `decoder` may be absent; then their rows are."""

    benchmark: PluginRef
    benchmark_params: Any
    subject: str
    encoder: PluginRef | None
    encoder_params: Any
    decoder: PluginRef | Given | None
    decoder_params: Any
    settings: RunSettings
    metrics: tuple[MetricRef, ...]
    left_out: tuple[tuple[str, str], ...] = ()  # (metric, why), for those not asked for by name
    missing: tuple[str, ...] = ()  # files that will be read and are not there, a line each
    trained_on: tuple[str, ...] = ()  # subjects that the encoder is fitted on, where not `subject` alone

    @property
    def train_subjects(self) -> tuple[str, ...]:
        """Subjects on whose training splits the encoder is fitted."""
        return self.trained_on or (self.subject,)

    @property
    def transfers(self) -> bool:
        """Whether the encoder, fitted on others, is adapted to the scored subject."""
        return (
            self.encoder is not None
            and self.subject not in self.train_subjects
            and hasattr(self.encoder.load(), "adapt")
        )

    @cached_property
    def identity(self) -> str:
        """Hash of everything that can change the tables, sources of plugins included."""
        settings = self._counted_settings()
        settings.pop("metrics")  # the metrics themselves count
        return digest(
            {
                "plugins": [_described(p) for p in (self.benchmark, self.encoder, self.decoder)],
                "params": [self.benchmark_params, self.encoder_params, self.decoder_params],
                "files": [named_files(self.encoder_params), named_files(self.decoder_params)],
                "subject": self.subject,
                **({"trained_on": self.trained_on} if self.trained_on else {}),
                "settings": settings,
                "metrics": [metric.identity for metric in self.metrics],
                "libraries": library_versions(),
            }
        )

    @cached_property
    def name(self) -> str:
        """Folder name of the run: short, legal anywhere, different for other parameters."""
        plugins = [plugin.name for plugin in (self.encoder, self.decoder) if plugin]
        parts = (self.benchmark.name, self.subject, *self._others(), *plugins)
        given = [self.benchmark_params, self.encoder_params, self.decoder_params, parts]
        given.append(self._counted_settings())
        given += [self.trained_on] if self.trained_on else []
        given.append(self.benchmark.load().version)  # another version is another run
        readable = "-".join("".join(c if c.isalnum() else "_" for c in part)[-24:] for part in parts)
        return f"{readable}-{digest(given)[:8]}"

    def _counted_settings(self) -> dict[str, Any]:
        """Settings that change numbers, by which runs differ."""
        values = {f.name: (getattr(self.settings, f.name), f.default) for f in fields(self.settings)}
        return {
            name: value
            for name, (value, default) in values.items()
            if name not in EXECUTION and (name in FIRST or value != default)
        }

    def _others(self) -> tuple[str, ...]:
        """Words of the name that say on whom the encoder was fitted, where that is not the subject alone."""
        several = len(self.trained_on)
        return () if not several else (f"from_{'_'.join(self.trained_on) if several < 4 else several}",)

    def require_files(self) -> None:
        """Raise :class:`FilesMissing` with the first of :attr:`missing`, if any, and how many there are."""
        if self.missing:
            more = f" (and {len(self.missing) - 1} more: harness plan lists them)" if self.missing[1:] else ""
            raise FilesMissing(f"{self.missing[0]}{more}")

    def benchmark_object(self) -> Any:
        return self.benchmark.load()(self.benchmark_params)


def requested_benchmark(request: Request) -> tuple[PluginRef, Any]:
    """The benchmark that is asked for, and its parameters."""
    benchmark = plugins.find("benchmarks", request.benchmark)
    return benchmark, _params(benchmark, request, benchmark)


def make_plan(request: Request, *, need_decoder: bool = True) -> Plan:
    """Find plugins, resolve parameters and check that what is asked for can be done."""
    request = with_argument(request)
    if request.encoder is None and request.decoder is None:
        raise ConfigError("give at least one of --encoder and --decoder; 'harness list' names them")
    if need_decoder and request.decoder is None:
        raise ConfigError("--decoder is missing; 'harness list decoders' names them")
    benchmark, benchmark_params = requested_benchmark(request)
    subjects = tuple(benchmark.load()(benchmark_params).subjects())
    given = request.subject
    subject = subjects[0] if given is None else subject_named(given, subjects, option="--subject")
    encoder, encoder_params = _encoder(request, benchmark)
    trained_on = training_subjects(request.train_subjects, subject, subjects, encoder=encoder)
    decoder, decoder_params = _decoder(request, benchmark)
    settings = with_workers(
        resolve_params(RunSettings, request.values.get("run", {}), section="run", sources=request.sources)
    )
    _check_device(settings.device, here=settings.executor not in CLUSTERS)
    _check_parts(benchmark, encoder, decoder, settings)
    _check_rows(settings)
    captions = _captions(decoder, decoder_params)
    metrics, left_out = _chosen_metrics(
        settings,
        simulated=bool(benchmark.load().simulated),
        circumstances=Circumstances(encoder is not None, decoder, captions, settings.samples),
    )
    parts = ((benchmark, benchmark_params), (encoder, encoder_params), (decoder, decoder_params))
    return Plan(
        benchmark=benchmark,
        benchmark_params=benchmark_params,
        subject=subject,
        encoder=encoder,
        encoder_params=encoder_params,
        decoder=decoder,
        decoder_params=decoder_params,
        settings=replace(settings, metrics=tuple(metric.ref.name for metric in metrics)),
        metrics=metrics,
        left_out=left_out,
        missing=missing_files(
            [(ref, params) for ref, params in parts if isinstance(ref, PluginRef)],
            subjects=tuple(dict.fromkeys((subject, *trained_on))),
        ),
        trained_on=trained_on if trained_on != (subject,) else (),
    )


def _encoder(request: Request, benchmark: PluginRef) -> tuple[PluginRef | None, Any]:
    if request.encoder is None:
        return None, None
    if request.encoder.startswith("file:"):
        file = request.encoder.removeprefix("file:")
        params = FilePredictions.Params(file)
        FilePredictions(params)  # fails now, not after an hour
        return predictions_ref(file), params
    ref = plugins.find("encoders", request.encoder)
    return ref, _params(ref, request, benchmark)


def _decoder(request: Request, benchmark: PluginRef) -> tuple[PluginRef | Given | None, Any]:
    if request.decoder is None:
        return None, None
    if given := GivenImages.asked(request.decoder) or GivenCaptions.asked(request.decoder):
        return given, None
    ref = plugins.find("decoders", request.decoder)
    return ref, _params(ref, request, benchmark)


def _check_parts(
    benchmark: PluginRef, encoder: PluginRef | None, decoder: PluginRef | Given | None, settings: RunSettings
) -> None:
    """Refuse settings and a benchmark that are for other parts than these."""
    given = isinstance(decoder, Given)
    if settings.allow_missing and not given:
        raise ConfigError(
            "--allow-missing is for images or captions made elsewhere (harness score PATH, --decoder "
            "folder:PATH, file:PATH or captions:PATH); leave it out for a decoder that runs here"
        )
    if not getattr(benchmark.load(), "measured", True) and not (encoder is None and given):
        raise ConfigError(
            f"benchmark '{benchmark.name}' has stimuli and no responses: nothing can be fitted or "
            f"decoded; type harness score PATH --benchmark {benchmark.name} for images or captions that "
            f"were made elsewhere"
        )
    if settings.lesions and not isinstance(decoder, PluginRef):
        raise ConfigError("--lesions is for a decoder that runs here; leave it out, or name one: --decoder")


def _params(ref: PluginRef, request: Request, benchmark: PluginRef) -> Any:
    section = ref.kind
    given = dict(request.values.get(section, {}))
    preset = given.pop("preset", None)
    _check_whose(ref, given, request, section)
    defaults = plugin_defaults(ref, benchmark=benchmark, preset=preset)
    return resolve_params(
        ref.load().Params, given, section=section, sources=request.sources, defaults=defaults
    )


def _check_whose(ref: PluginRef, given: Mapping[str, Any], request: Request, section: str) -> None:
    """Say whose parameters `given` are, where most that `ref` does not have are another plugin's."""
    own, sources = _parameters(ref), request.sources
    unknown = [key for key in given if key not in own and sources.get(f"{section}.{key}")]
    if not unknown:
        return
    for other in plugins.available(ref.group):
        try:
            theirs = [key for key in unknown if key in _parameters(other)]
        except plugins.PluginError:
            continue  # a broken plugin is no advice
        if 2 * len(theirs) > len(unknown):
            keys = ", ".join(f"'{key}'" for key in theirs[:3]) + (" …" if len(theirs) > 3 else "")
            raise ConfigError(
                f"{sources[f'{section}.{theirs[0]}']}: {ref.kind} '{ref.name}' has no parameter {keys}; "
                f"{ref.kind} '{other.name}' has: for that one add --{ref.kind} {other.name}"
            )


def _parameters(ref: PluginRef) -> set[str]:
    return {field.name for field in fields(ref.load().Params)}


def _chosen_metrics(
    settings: RunSettings, **circumstances: Any
) -> tuple[tuple[MetricRef, ...], tuple[tuple[str, str], ...]]:
    """Metrics asked for by name; a protocol's and the default ones on which it is silent; or the default."""
    protocol = protocol_named(settings.protocol)
    if protocol is None or settings.metrics:
        return _metrics(settings.metrics, **circumstances)
    try:
        chosen, _ = _metrics(protocol.metrics, **circumstances)
    except WeightsAbsent as problem:
        raise WeightsMissing(
            f"protocol '{protocol.name}': {problem}; all that it needs: harness prefetch "
            f"{protocol.weights}; without networks: --metrics pixcorr,ssim"
        ) from None
    others, left_out = _metrics((), **circumstances)
    silent = [metric for metric in others if "stimulus" not in metric.load().targets]
    fetched = _FETCH.format("metrics")
    return (*chosen, *silent), tuple((name, why) for name, why in left_out if why != fetched)


def _metrics(
    asked: Sequence[str], *, simulated: bool, circumstances: Circumstances
) -> tuple[tuple[MetricRef, ...], tuple[tuple[str, str], ...]]:
    """Metrics that were asked for, or all that are on by default and whose weights are at hand."""
    chosen, left_out = [], []
    refs = sorted(plugins.available("metrics"), key=_as_published)
    for name in dict.fromkeys(asked) or [ref.name for ref in refs]:
        fetch = "metrics"
        try:
            metric = metric_ref(name)
            row = metric.load()
            scorer = scorer_of(row)
            fetch = scorer.fetch
            if isinstance(circumstances.decoder, GivenCaptions) and scorer.needs_images:
                if row.inputs != "captions" and asked:
                    raise ConfigError(
                        f"metric '{name}' scores images, and captions were given; name metrics that "
                        "begin with 'caption-', or leave --metrics out"
                    )
                if row.inputs != "captions":
                    continue
            if not asked:
                why = scorer.expected(row, circumstances) if _on_by_default(row, simulated) else None
                if why is None:
                    continue
                if why:
                    left_out.append((name, why))
                    continue
            if row.backbone is not None:
                backbone_identity(row.backbone[0])
            for weights in row.weights:
                stored_sha(weights)
        except (WeightsMissing, plugins.PluginError) as problem:
            if asked:
                raise
            absent = isinstance(problem, WeightsAbsent)
            left_out.append((name, _FETCH.format(fetch) if absent else str(problem)))
            logger.info("metric '%s' is left out: %s", name, problem)
            continue
        chosen.append(metric)
    return tuple(chosen), tuple(left_out)


def _captions(decoder: PluginRef | Given | None, params: Any) -> bool:
    """Whether there will be captions: they are given, or the decoder says that with `params` it makes
    them.
    """
    if isinstance(decoder, GivenCaptions):
        return True
    if not isinstance(decoder, PluginRef):
        return False
    declared = getattr(decoder.load(), "captions", False)
    return bool(declared(params) if callable(declared) else declared)


def _as_published(ref: PluginRef) -> tuple[int, str]:
    """Key that puts metrics in the order of the field's tables, others behind by name."""
    return ref.row.column if ref.row is not None else Metric.column, ref.name


def _on_by_default(metric: Metric, simulated: bool) -> bool:
    return {"simulated": simulated, "real": not simulated}.get(metric.default, bool(metric.default))


def _check_rows(settings: RunSettings) -> None:
    """Refuse names in ``--rows`` that no decoded row has."""
    decoded = [row.name for row in ROWS.values() if row.group != "control" or row.name in DECODED_CONTROLS]
    for name in settings.rows:
        if name not in decoded and not name.startswith(BOTTLENECK):
            raise ConfigError(f"--rows {name}: " + suggest(name, decoded, what="decoded row"))


def _check_device(device: str, *, here: bool) -> None:
    """Refuse a device that is none or, where workers run `here`, is not on this machine."""
    kind, colon, number = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (colon and not (kind == "cuda" and number.isdecimal())):
        raise ConfigError(f"--device {device}: expected cpu, cuda, cuda:N or mps")
    if kind == "cpu" or not here:
        return
    import torch

    ready = torch.cuda.is_available() if kind == "cuda" else torch.backends.mps.is_available()
    if not ready or (number and int(number) >= torch.cuda.device_count()):
        raise ConfigError(
            f"--device {device}: torch {torch.__version__} finds no such device here; type --device cpu"
        )


def _described(plugin: PluginRef | Given | None) -> Any:
    if plugin is None:
        return None
    if isinstance(plugin, Given):
        return plain(plugin)
    return [plugin.name, plugin.target, code_sha(plugin)]

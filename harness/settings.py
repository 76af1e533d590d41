"""Parameters: dataclass defaults < presets beside the plugin < the user's YAML < ``--set``.

A parameter lives in one place, the frozen dataclass ``Params`` of its plugin (or
:class:`RunSettings`); documentation, validation, hashing and the command line come from it.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .errors import ConfigError, DataError, check_ranges, described, quoted, suggest
from .reading.present import existing_file
from .reading.texts import read_text
from .reading.yaml_text import load_yaml
from .validation import check_numbers, dataclass_of, refusal

SECTIONS = ("benchmark", "encoder", "decoder", "run")
"""Sections of a YAML file and first parts of ``--set`` keys; ``plugins`` names the three plugins."""


RANGES = {
    "seed": (0, math.inf),
    "limit": (1, math.inf),
    "samples": (1, 10_000),
    "micro_batch": (1, 65_536),
    "derangements": (1, 100_000),
    "adapt_images": (1, math.inf),
    "decoder_images": (1, math.inf),
    "synthetic_images": (0, math.inf),
    "workers": (1, 1024),
    "shard_size": (1, math.inf),
    "lost_after": (1.0, 1e6),
}
"""Least and most of numbers in :class:`RunSettings`; what is above is a slip and would fill the machine."""


EXECUTORS = ("inline", "processes", "slurm", "ray")
"""Names of executors: in this process, in worker processes of this machine, on a cluster."""

CLUSTERS = EXECUTORS[2:]
"""Those whose workers may be on other machines."""


@dataclass(frozen=True)
class SlurmSettings:
    """What ``sbatch`` is asked for, for each worker; a worker on CUDA gets one GPU."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    exclude: str = ""  # nodes
    minutes: int = 240  # walltime of a worker; it is queued again when this is over
    warn_seconds: int = 90  # before that, it is told to give its task back
    cpus: int = 1
    memory_gb: int | None = None  # None: what the cluster gives
    setup: tuple[str, ...] = ()  # shell lines before a worker starts, such as: module load cuda

    def __post_init__(self) -> None:
        given = {name: of for name, of in SLURM_RANGES.items() if getattr(self, name) is not None}
        check_ranges(self, given, section="run.slurm")


SLURM_RANGES = {
    "minutes": (1, 100_000),
    "warn_seconds": (1, 3600),
    "cpus": (1, 1024),
    "memory_gb": (1, 100_000),
}


@dataclass(frozen=True)
class RunSettings:
    """How a run is carried out.

    Those under "identity" change numbers and are part of every key they touch; the others only
    change how fast the same numbers come.
    """

    # identity
    seed: int = 0
    samples: int = 1  # encoder and decoder draws per image, for those that are stochastic
    micro_batch: int = 16  # images handed to a plugin at a time; fixed, so that shards cannot matter
    adapter: Literal["none", "match-std", "add-trial-noise"] = "none"
    selection: Literal["first", "predicted-embedding", "gt-selected"] = "first"
    trial_rows: bool = False  # decode every single trial as well (row measured-trial)
    cheat_rows: bool = False  # beside the score, encoders that cheat (harness.stages.cheats)
    bottleneck: tuple[int, ...] = ()  # ranks K of the rows measured-rank-K (harness.rows.bottleneck)
    lesions: tuple[str, ...] = ()  # areas, or groups or rois, kept, dropped, shuffled (harness.rows.lesions)
    rows: tuple[str, ...] = ()  # decoded beside measured and predicted; empty: all that apply
    pictures: Literal["", "uint8"] = ""  # how they are kept; "": in the precision that the decoder gives
    derangements: int = 50  # re-pairings that the shuffled control averages
    limit: int | None = None  # test images, as a named subset; None means all
    allow_missing: bool = False  # score the test images that have a given reconstruction, and flag the others
    protocol: str = ""  # a paper's metrics and blending (harness.run.protocols), in place of the default ones
    adapt_images: int | None = None  # of the scored subject, that an encoder is adapted on; None: all
    decoder_images: int | None = None  # training images that the decoder is fitted on; None: all
    synthetic_images: int = 0  # others, with the encoder's responses, that the decoder is fitted on too
    metrics: tuple[str, ...] = ()  # empty: every installed metric whose backbone is at hand
    # execution
    device: str = "cpu"
    executor: Literal[EXECUTORS] | None = None  # None: processes where there are several workers
    workers: int | None = None  # None: harness.run.workers says how many
    shard_size: int = 64  # images per task; rounded up to whole micro-batches
    lost_after: float = 60.0  # seconds of silence after which another worker of a cluster gets the task
    slurm: SlurmSettings = SlurmSettings()

    def __post_init__(self) -> None:
        given = {name: of for name, of in RANGES.items() if getattr(self, name) is not None}
        check_ranges(self, given, section="run")
        if any(rank < 0 for rank in self.bottleneck):
            raise ConfigError(f"run.bottleneck is {list(self.bottleneck)}; ranks must not be negative")


@dataclass(frozen=True)
class Request:
    """What a user asked for, before any plugin is loaded."""

    benchmark: str = "embedded"
    encoder: str | None = None
    decoder: str | None = None
    subject: str | None = None
    train_subjects: tuple[str, ...] = ()  # that the encoder is fitted on; empty: `subject` alone
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # section -> key -> value
    sources: Mapping[str, str] = field(default_factory=dict)  # "section.key" -> where it was given


def read_request(
    file: Path | None,
    assignments: Sequence[str],
    *,
    plugins: Mapping[str, Any],
) -> Request:
    """Merge a YAML file, ``section.key=value`` assignments and the names on the command line.

    plugins : names of benchmark, encoder, decoder and subject, and train_subjects, several or one; None for
        what was not given.
    """
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    sources: dict[str, str] = {}
    chosen: dict[str, Any] = {"benchmark": "embedded"}
    if file is not None:
        content = read_yaml(file)
        for section, given in content.items():
            if given is None:  # a heading whose lines are comments
                continue
            if section == "plugins":
                kinds = ("benchmark", "encoder", "decoder", "subject", "train_subjects")
                chosen |= _names(mapping(given, keys=kinds, where=f"{file}: plugins"), file)
            elif section in SECTIONS:
                values[section] |= _section(given, section, file)
                sources |= {f"{section}.{key}": str(file) for key in values[section]}
            else:
                raise ConfigError(f"{file}: " + suggest(section, (*SECTIONS, "plugins"), what="section"))
        if "benchmark" in content:
            values["benchmark"].setdefault("base_dir", str(file.resolve().parent))
            sources.setdefault("benchmark.base_dir", "")
    for text in assignments:
        key, equals, value = text.partition("=")
        section, dot, name = key.strip().partition(".")
        if not (equals and dot and name):
            raise ConfigError(f"--set {text}: expected SECTION.KEY=VALUE, for example encoder.folds=5")
        if section not in SECTIONS:
            raise ConfigError(f"--set {text}: " + suggest(section, SECTIONS, what="section"))
        try:
            parsed = load_yaml(value, where="the value")
        except ConfigError as problem:
            raise ConfigError(f"--set {text[:100]}: {problem}; quote it") from None
        _assign(values[section], name.split("."), parsed)
        sources[f"{section}.{name}"] = f"--set {text}"
    chosen |= {key: value for key, value in plugins.items() if value is not None}
    if isinstance(several := chosen.get("train_subjects"), str):
        chosen["train_subjects"] = tuple(name.strip() for name in several.split(",") if name.strip())
    return Request(**chosen, values=values, sources=sources)


def resolve_params(
    params: type,
    given: Mapping[str, Any],
    *,
    section: str,
    sources: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """An instance of the dataclass `params`, validated; unknown keys suggest the near name."""
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    field_names = {f.name for f in dataclasses.fields(params) if f.init}
    given = dict(given)
    if "base_dir" not in field_names and (sources or {}).get(f"{section}.base_dir") == "":
        given.pop("base_dir", None)  # set by us for benchmarks that read files, not by the user
    _check_keys(params, given, section, sources or {})
    check_numbers(params, given, section)
    merged = {**(defaults or {}), **given}
    try:
        adapter = TypeAdapter(params)
    except PydanticUserError as problem:
        raise _unreadable(params, section, problem) from problem
    try:
        return adapter.validate_python(merged)
    except ValidationError as problem:
        raise refusal(problem, merged, section=section, sources=sources or {}) from None


def _unreadable(params: type, section: str, problem: Exception) -> ConfigError:
    first = str(problem).partition("\n")[0]
    return ConfigError(
        f"{section}: the types of {params.__qualname__} cannot be read ({first}); expected numbers, strings, "
        "sequences and dataclasses of them, with what they name imported at the top of the file"
    )


def _check_keys(params: type, given: Mapping[str, Any], path: str, sources: Mapping[str, str]) -> None:
    """Refuse unknown keys, those of nested dataclasses too; pydantic would drop them in silence."""
    try:
        hints = typing.get_type_hints(params)
    except Exception as problem:  # annotations are evaluated: anything can be in them
        raise _unreadable(params, path, problem) from problem
    field_names = {f.name for f in dataclasses.fields(params) if f.init}
    for key, value in given.items():
        if key not in field_names:
            where = sources.get(f"{path}.{key}", "")
            prefix = f"{where}: " if where else ""
            raise ConfigError(prefix + suggest(str(key), field_names, what=f"{path} parameter"))
        inner = dataclass_of(hints[key])
        if inner is not None and isinstance(value, Mapping):
            _check_keys(inner, value, f"{path}.{key}", sources)


def read_yaml(file: Path) -> dict[str, Any]:
    """A YAML file's top-level mapping; every problem is one line."""
    try:
        text = read_text(existing_file(file, expected="YAML", may_be_empty=True))
        content = load_yaml(text, where=str(file))
    except DataError as problem:
        raise ConfigError(str(problem)) from None
    return mapping(content if content is not None else {}, where=str(file))


def _section(given: Any, section: str, file: Path) -> dict[str, Any]:
    if isinstance(given, str) and section != "run":
        raise ConfigError(
            f"{file}: {section}: expected parameters, found {quoted(given)}; to name the {section} write "
            f"plugins: {{{section}: {given}}}"
        )
    return mapping(given, where=f"{file}: {section}")


def _names(given: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """What the section ``plugins`` of `file` names; a key without a value is as good as absent.

    A subject may be a number, and ``train_subjects`` a list.
    """
    names: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        several = value if key == "train_subjects" and isinstance(value, list) else [value]
        if key in ("subject", "train_subjects"):
            several = [str(name) if type(name) is int else name for name in several]
        wrong = [name for name in several if not isinstance(name, str) or not name]
        if wrong or not several:
            raise ConfigError(
                f"{file}: plugins.{key} is {quoted(wrong[0] if wrong else value)}; expected a name, as "
                "'harness list' shows"
            )
        names[key] = tuple(several) if isinstance(value, list) else several[0]
    return names


def mapping(value: Any, *, where: str, keys: Sequence[str] = ()) -> dict[str, Any]:
    """`value` with its keys as text; anything but keys and values, or a key not among `keys`, is refused."""
    if not isinstance(value, Mapping):
        missing = "; write KEY: VALUE, with a space" if isinstance(value, str) and ":" in value else ""
        raise ConfigError(f"{where}: expected keys and values, found {described(value)}{missing}")
    for key in value:
        if keys and key not in keys:
            raise ConfigError(f"{where}: " + suggest(str(key), keys, what="key"))
    return {str(key): item for key, item in value.items()}


def listed(value: Any, *, where: str) -> list[Any]:
    """`value`, a list; anything else is refused."""
    if not isinstance(value, list):
        raise ConfigError(f"{where}: expected a list, found {described(value)}")
    return value


def _assign(target: dict[str, Any], path: Sequence[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        inner = target.get(name)
        target[name] = dict(inner) if isinstance(inner, Mapping) else {}
        target = target[name]
    target[last] = value

"""Parameters: precedence, validation, helpful errors."""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass

import pytest

from harness import plugins
from harness.errors import ConfigError
from harness.presets import plugin_defaults
from harness.settings import RunSettings, read_request, resolve_params

NAMES = {"benchmark": None, "subject": None, "encoder": None, "decoder": None}


@dataclass(frozen=True)
class Depth:
    depth: int = 2
    layers: tuple[str, ...] = ("a",)
    alpha: float | None = None


def test_set_wins_over_yaml_and_yaml_over_defaults(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("encoder: {depth: 3, alpha: 0.5}\nplugins: {encoder: ridge, benchmark: paired}\n")
    request = read_request(file, ["encoder.depth=4"], plugins={**NAMES, "benchmark": "embedded"})
    params = resolve_params(Depth, request.values["encoder"], section="encoder", sources=request.sources)
    assert params == Depth(4, ("a",), 0.5)
    assert (request.encoder, request.benchmark) == ("ridge", "embedded")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("encoder.dept=4", "did you mean 'depth'"),
        ("encoder.depth=many", "encoder.depth"),
        ("encoder.layers=3", "encoder.layers"),
    ],
)
def test_bad_parameters_name_the_key(assignment, message):
    request = read_request(None, [assignment], plugins=NAMES)
    with pytest.raises(ConfigError, match=message):
        resolve_params(Depth, request.values["encoder"], section="encoder", sources=request.sources)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("depth=4", "expected SECTION.KEY=VALUE"),
        ("encodr.depth=4", "did you mean 'encoder'"),
        ("encoder.depth={", "not valid YAML"),
    ],
)
def test_bad_assignments(assignment, message):
    with pytest.raises(ConfigError, match=message):
        read_request(None, [assignment], plugins=NAMES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("encodr: {}\n", "did you mean 'encoder'"),
        ("- 1\n", "expected keys and values"),
        ("encoder: [\n", "not valid YAML"),
        ("plugins: {encodr: ridge}\n", "did you mean 'encoder'"),
        ("encoder: ridge\n", r"to name the encoder write plugins: \{encoder: ridge\}"),
        ("run: 3\n", "run: expected keys and values, found 3"),
    ],
)
def test_bad_files(tmp_path, content, message):
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_request(file, [], plugins=NAMES)


def test_a_heading_whose_lines_are_comments_is_as_good_as_absent(tmp_path):
    (tmp_path / "run.yaml").write_text("encoder:\n  # folds: 3\nplugins:\nrun: {seed: 3}\n")
    request = read_request(tmp_path / "run.yaml", [], plugins=NAMES)
    assert (request.values["encoder"], request.values["run"]) == ({}, {"seed": 3})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no file .*absent\.yaml"):
        read_request(tmp_path / "absent.yaml", [], plugins=NAMES)


@pytest.mark.parametrize("value", ["samples=0", "seed=-1", "adapter=none2", "workers=0"])
def test_run_settings_are_checked(value):
    key, _, text = value.partition("=")
    with pytest.raises(ConfigError, match=key):
        resolve_params(RunSettings, {key: int(text) if text.lstrip("-").isdigit() else text}, section="run")


def test_lists_become_tuples():
    assert resolve_params(Depth, {"layers": ["x", "y"]}, section="encoder").layers == ("x", "y")


@dataclass(frozen=True)
class Nested:
    train: Depth | None = None


def test_unknown_keys_of_nested_parameters_are_refused_too():
    assert resolve_params(Nested, {"train": {"depth": 5}}, section="benchmark") == Nested(Depth(5))
    with pytest.raises(ConfigError, match="did you mean 'depth'"):
        resolve_params(Nested, {"train": {"dept": 5}}, section="benchmark")


def sections():
    """(section, Params, defaults) of the run's settings and of every plugin that needs no files."""
    yield "run", RunSettings, {}
    for group in ("encoders", "decoders", "benchmarks"):
        for ref in plugins.available(group):
            if ref.name in ("paired", "lab", "stimuli"):
                continue
            embedded = plugins.find("benchmarks", "embedded")
            defaults = plugin_defaults(ref, benchmark=embedded, preset=None)
            yield ref.kind, ref.load().Params, defaults


def numeric_fields():
    for section, params, defaults in sections():
        hints = typing.get_type_hints(params)
        for field in dataclasses.fields(params):
            kinds = {hints[field.name], *typing.get_args(hints[field.name])}
            if kinds & {int, float}:
                several = typing.get_origin(hints[field.name]) is tuple
                yield pytest.param(
                    section, params, defaults, field.name, several, id=f"{params.__qualname__}.{field.name}"
                )


@pytest.mark.parametrize(("section", "params", "defaults", "name", "several"), [*numeric_fields()])
def test_every_number_has_a_range(section, params, defaults, name, several):
    for number in (-1, math.nan, math.inf, 10**30, True):
        given = {name: [number] if several else number}
        with pytest.raises(ConfigError) as problem:
            resolve_params(params, given, section=section, defaults=defaults)
        assert f"{section}.{name}" in str(problem.value), number
        assert "\n" not in str(problem.value)


@pytest.mark.parametrize("name", ["limit", "samples", "workers", "micro_batch", "shard_size", "derangements"])
def test_nought_is_no_way_to_say_all(name):
    with pytest.raises(ConfigError, match=f"run.{name} is 0; it must be"):
        resolve_params(RunSettings, {name: 0}, section="run")

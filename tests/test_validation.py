"""Values of parameters: what is refused, however deep it lies, and in words that say what to type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from harness.errors import ConfigError
from harness.settings import read_request, resolve_params


@dataclass(frozen=True)
class Inner:
    minutes: int = 1


@dataclass(frozen=True)
class Everything:
    count: int = 1
    size: float = 1.0
    name: str = "a"
    on: bool = False
    kind: Literal["none", "match-std"] = "none"
    layers: tuple[str, ...] = ()
    penalties: tuple[float, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    inner: Inner = field(default_factory=Inner)
    either: Inner | None = None


def refused(**given) -> str:
    with pytest.raises(ConfigError) as problem:
        resolve_params(Everything, given, section="encoder")
    assert "Input should" not in str(problem.value)
    assert "\n" not in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"count": "1e3"}, "encoder.count is '1e3'; expected a whole number, for example 1000"),
        ({"count": "0x10"}, "encoder.count is '0x10'; expected a whole number, for example 16"),
        ({"count": 1.5}, "encoder.count is 1.5; expected a whole number"),
        ({"count": None}, "encoder.count is empty; expected a whole number, or leave it out"),
        ({"size": "big"}, "encoder.size is 'big'; expected a number"),
        ({"name": 3}, 'encoder.name is 3; expected text, in quotes: "3"'),
        ({"on": "nein"}, "encoder.on is 'nein'; expected true or false"),
        ({"kind": "None"}, "encoder.kind is 'None'; expected 'none' or 'match-std'; did you mean 'none'?"),
        ({"layers": "a"}, "encoder.layers is 'a'; expected a list, for example [a]"),
        ({"layers": ["b", 3]}, 'encoder.layers[1] is 3; expected text, in quotes: "3"'),
        ({"inner": 3}, "encoder.inner is 3; expected keys and values"),
        ({"either": "x"}, "encoder.either is 'x'; expected keys and values"),
    ],
)
def test_a_wrong_type_is_named_with_what_was_expected(given, line):
    assert refused(**given) == line


@pytest.mark.parametrize(
    "given",
    [
        {"size": "1e400"},
        {"size": "nan"},
        {"penalties": [1.0, "inf"]},
        {"penalties": ["-1e999"]},
        {"shapes": [[1, 2], [10**30]]},
        {"shapes": [[True]]},
        {"inner": {"minutes": True}},
        {"either": {"minutes": 10**30}},
    ],
)
def test_no_infinite_number_and_no_logical_passes_however_deep(given):
    assert "expected a" in refused(**given)


def test_numbers_as_text_are_numbers():
    params = resolve_params(Everything, {"count": "3", "penalties": ["1e3"]}, section="encoder")
    assert (params.count, params.penalties) == (3, (1000.0,))


@pytest.mark.parametrize("typed", ["encoder.name=3", "encoder.layers=a"])
def test_what_the_command_line_is_told_to_type_works(typed):
    names = {"encoder": "any"}
    request = read_request(None, [typed], plugins=names)
    with pytest.raises(ConfigError) as problem:
        resolve_params(Everything, request.values["encoder"], section="encoder", sources=request.sources)
    advised = str(problem.value).partition("for example --set '")[2].removesuffix("'")
    again = read_request(None, [advised], plugins=names)
    params = resolve_params(Everything, again.values["encoder"], section="encoder")
    assert params in (Everything(name="3"), Everything(layers=("a",)))

"""Values of parameters, judged by the types of their fields and refused in words that say what to type.

pydantic turns what was typed into what a field holds; here is what it lets pass (NaN, infinity, ``true``
for a number, however deep they lie) and what its refusals mean to who typed the value.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, quoted

if TYPE_CHECKING:
    from pydantic import ValidationError

LARGEST = 2**63 - 1
"""Whole numbers above cannot be held by arrays."""

_WHOLE, _NUMBER, _LOGICAL, _TEXT = "a whole number", "a number", "true or false", "text"
_LIST, _KEYS = "a list", "keys and values"
_EXPECTED = {  # words for what pydantic calls a kind of error
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _WHOLE),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _LOGICAL),
    **dict.fromkeys(("string_type", "path_type"), _TEXT),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "frozen_set_type"), _LIST),
    **dict.fromkeys(("dict_type", "mapping_type", "dataclass_type"), _KEYS),
}


def check_numbers(params: type, given: Mapping[str, Any], path: str) -> None:
    """Refuse NaN, infinity and numbers beyond 64 bits, however deep they lie; true and false for a number.

    Raises
    ------
    ConfigError
        Names the parameter as it is typed.
    """
    hints = typing.get_type_hints(params)
    for key, value in given.items():
        inner = dataclass_of(hints[key])
        if inner is not None and isinstance(value, Mapping):
            check_numbers(inner, value, f"{path}.{key}")
            continue
        kinds = set(_kinds(hints[key]))
        for number in _scalars(value):
            if isinstance(number, bool) and bool not in kinds and kinds & {int, float}:
                raise ConfigError(f"{path}.{key} is {str(number).lower()}; expected a number")
            if isinstance(number, str) and float in kinds and str not in kinds:
                number = _as_float(number)
            if isinstance(number, float) and not math.isfinite(number):
                raise ConfigError(f"{path}.{key} is {number}; expected a finite number")
            if isinstance(number, int) and abs(number) > LARGEST:
                raise ConfigError(f"{path}.{key} is {number:.3g}; expected at most {LARGEST}")


def dataclass_of(hint: Any) -> type | None:
    """The dataclass that `hint` is, or may be."""
    return next((kind for kind in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(kind)), None)


def refusal(
    problem: ValidationError, given: Mapping[str, Any], *, section: str, sources: Mapping[str, str]
) -> ConfigError:
    """What pydantic has against `given`, in a line: the parameter, its value, what was expected.

    sources : "section.key" -> where it was given.
    """
    errors = problem.errors()
    first = errors[0]
    own = first.get("ctx", {}).get("error")
    if isinstance(own, ConfigError):
        return own
    place = _place(first["loc"], given)
    key = section + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    if first["type"] == "missing":
        return ConfigError(f"{key}.{first['loc'][-1]} is missing; expected a value for it")
    same = [error for error in errors if _place(error["loc"], given) == place]
    value, words = first["input"], list(dict.fromkeys(_expectation(error) for error in same))
    expected = " or ".join(words)
    if value is None:
        return ConfigError(f"{key} is empty; expected {expected}, or leave it out")
    typed = sources.get(key, "").startswith("--set")
    return ConfigError(f"{key} is {quoted(value)}; expected {expected}{_example(key, value, words, typed)}")


def _expectation(error: Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    return _EXPECTED.get(error["type"], error["msg"].removeprefix("Input should be "))


def _example(key: str, value: Any, words: Sequence[str], typed: bool) -> str:
    """What to write in place of `value`, where that can be told.

    typed : it was given on the command line.
    """
    if _LIST in words and isinstance(value, str | int | float):
        return f", for example --set '{key}=[{value}]'" if typed else f", for example [{value}]"
    if _TEXT in words and isinstance(value, int | float):
        return f", for example --set '{key}=\"{value}\"'" if typed else f', in quotes: "{value}"'
    if _WHOLE in words and isinstance(value, str) and (number := _as_whole(value)) is not None:
        return f", for example {number}"
    choices = [choice for each in words for choice in re.findall("'([^']+)'", each)]
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


def _place(location: tuple[int | str, ...], given: Any) -> list[int | str]:
    """The keys and places of `location` that lead somewhere in `given`; pydantic adds names of types."""
    place: list[int | str] = []
    for part in location:
        if isinstance(given, Mapping):
            inside = part in given
        else:
            inside = isinstance(given, list | tuple) and isinstance(part, int) and part < len(given)
        if inside:
            given = given[part]
            place.append(part)
    return place


def _kinds(hint: Any) -> Iterator[Any]:
    """`hint` and all that it is made of."""
    yield hint
    for inner in typing.get_args(hint):
        yield from _kinds(inner)


def _scalars(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _scalars(inner)
    else:
        yield value


def _as_float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _as_whole(text: str) -> int | None:
    """The whole number that `text` writes in another way: ``1e3``, ``0x10``."""
    try:
        return int(text, 0)
    except ValueError:
        number = _as_float(text)
        return int(number) if number is not None and number.is_integer() else None

"""Ids of images: what counts as one, and when two of them name the same image.

An id is a text without blanks around it, its accents composed (Unicode NFC; macOS writes file names
decomposed), without a byte order mark or the NULs that pad texts of fixed length.  A whole number is an
id without a decimal point.  A number with a fraction has six decimals, as the image files of the
Kamitani laboratory do (``1518878.010040`` is ``n01518878_10040.JPEG``).

Two ids that differ name the same image where one of the forms of :func:`match_ids` joins them and
nothing else has that form.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError, quoted

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Endings of image files; no other ending is taken off an id, since ``.010040`` is part of its name."""

_ENDING = re.compile(f"({'|'.join(map(re.escape, IMAGE_ENDINGS))})$", re.I)
_AROUND = " \t\r\n\0\ufeff\u00a0"
_LARGEST = {2: 2**11, 4: 2**24, 8: 2**53}  # bytes of a float -> whole numbers that it tells apart
_AS_TEXT = "save the ids as text, in Python: numpy.array(ids, str)"


def as_id(value: Any) -> str:
    """The id that `value` (text, bytes or a number) is.

    Raises
    ------
    DataError
        Anything else, bytes that are not UTF-8, or a number that six decimals do not hold.
    """
    if isinstance(value, (bytes, np.bytes_)):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise DataError(f"{quoted(value)} is not UTF-8; {_AS_TEXT}") from None
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip(_AROUND)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise DataError(f"{quoted(value)} is neither text nor a number; {_AS_TEXT}")
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    number = float(value)
    if not np.isfinite(number):
        raise DataError(f"{number} is no id; {_AS_TEXT}")
    largest = _LARGEST.get(np.asarray(value).dtype.itemsize, 2**53)
    if abs(number) > largest:
        kind = np.asarray(value).dtype
        raise DataError(f"{number:.0f} is too large for {kind} to tell it from its neighbours; {_AS_TEXT}")
    if number.is_integer():
        return str(int(number))
    text = f"{number:.6f}"
    if np.asarray(value).dtype.type(text) != value:
        raise DataError(f"{number!r} has more than the six decimals of an id; {_AS_TEXT}")
    return text


def typed_ids(values: Iterable[Any], *, what: str) -> tuple[str, ...]:
    """Ids that were typed into YAML under the key `what`, as they were typed.

    Raises
    ------
    ConfigError
        A value that is no text any more (true, null) and cannot be told from one that was.
    """
    ids = []
    for value in values:
        if value is None or isinstance(value, bool):
            text = "null" if value is None else str(value).lower()
            raise ConfigError(f"{what} holds {text}; if it is an id put it in quotes, '{text}'")
        ids.append(as_id(repr(value) if isinstance(value, float) else value))
    return tuple(ids)


def as_ids(values: np.ndarray | Iterable[Any], *, what: str) -> list[str]:
    """Every entry of `values`, which is called `what` in messages, as an id (:func:`as_id`)."""
    flat = values.reshape(-1) if isinstance(values, np.ndarray) else values
    ids: list[str] = []
    for place, value in enumerate(flat):
        try:
            ids.append(as_id(value))
        except DataError as problem:
            raise DataError(f"{what}, entry {place} (from 0): {problem}") from None
    return ids


def require_ids(ids: Sequence[str], *, what: str, unique: bool = True) -> None:
    """Raise :class:`DataError` for an id that is empty or, where they must be `unique`, doubled."""
    empty = [place for place, name in enumerate(ids) if not name]
    if empty:
        raise DataError(f"{what} has no id in {len(empty)} places, the first at entry {empty[0]} (from 0)")
    twice = [name for name, count in Counter(ids).items() if count > 1] if unique else []
    if twice:
        raise DataError(
            f"{what}: the id '{twice[0]}' occurs more than once ({len(twice)} such); ids are unique"
        )


def stem(name: str) -> str:
    """`name` without the last ending of an image file: ``a.JPEG.png`` -> ``a.JPEG``, ``a.v2`` stays."""
    return _ENDING.sub("", name)


def comparable(name: str) -> str:
    """`name` in the form in which ids are compared: accents composed, slashes for folders."""
    return unicodedata.normalize("NFC", name).replace("\\", "/")


def match_ids(wanted: Iterable[str], held: Iterable[str], *, what: str) -> dict[str, str]:
    """Wanted id -> the one of `held` (ids or names of files) that names the same image.

    The first of these forms that joins them decides, and only where neither side has another of that form;
    what no form joins is absent:

    1. equal, but for the composition of accents;
    2. the held one is a file called by the id (``cat.7`` and ``cat.7.png``);
    3. equal without the endings of image files (``cat.JPEG`` and ``cat.png``);
    4. the same digits after leading zeros (``0010`` and ``10``);
    5. the same number, where one has the six decimals of :func:`as_id`;
    6. equal after the last slash, without endings, where one has no slash (``im/cat.png`` and ``cat``).

    Raises
    ------
    DataError
        An ending alone, or a composition, tells two held or two wanted ids apart; `what` says where they
        are held.
    """
    wanted, held = list(dict.fromkeys(wanted)), list(dict.fromkeys(held))
    there = set(held)
    matched = {name: name for name in wanted if name in there}
    taken = set(matched)
    for of_wanted, of_held, strict in _FORMS:
        if len(matched) == len(wanted):
            break
        left, right = _by_form(wanted, of_wanted), _by_form(held, of_held)
        for form, names in left.items():
            others = right.get(form, ())
            if not others or not matched.keys().isdisjoint(names) or not taken.isdisjoint(others):
                continue
            if len(names) == len(others) == 1:
                matched[names[0]] = others[0]
                taken.add(others[0])
            elif strict and len(others) > 1:
                raise DataError(
                    f"{what} holds '{others[0]}' and '{others[1]}' for the id '{names[0]}'; keep one of them"
                )
            elif strict:
                raise DataError(
                    f"{what} holds only '{others[0]}' for the ids '{names[0]}' and '{names[1]}'; give each "
                    "its own name"
                )
    return matched


def lacking(
    missing: Sequence[str], ids: Sequence[str], held: str, *, what: str, things: str = "", expected: str = ""
) -> str:
    """That `what` lacks `things` of the test images `missing` of `ids`, and what can be typed.

    held : an id that it holds.  expected : what would be right, after that.
    """
    few = f"{', '.join(missing[:5])}{' ...' if missing[5:] else ''}"
    there = len(ids) - len(missing)
    hint = f". To score the other {there} alone, add --allow-missing" if there else ""
    return (
        f"{what} lacks {things}{len(missing)} of {len(ids)} test images ({few}); it holds ids such as {held}"
        f"{expected}{hint}"
    )


def nearest_id(name: str, held: Iterable[str]) -> str:
    """The one of `held` that looks most like `name`; "" where none does."""
    near = difflib.get_close_matches(name, list(held), n=1, cutoff=0.5)
    return near[0] if near else ""


def _by_form(names: Sequence[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[form(name)].append(name)
    return groups


def _file_stem(name: str) -> str:
    return stem(comparable(name))


def _bare(name: str) -> str:
    name = comparable(name)
    while (shorter := stem(name)) != name:
        name = shorter
    return name


def _number(name: str) -> str:
    bare = _bare(name)
    return bare.lstrip("0") or "0" if bare.isascii() and bare.isdigit() else bare


def _six_decimals(name: str) -> str:
    bare = _bare(name)
    if not re.fullmatch(r"\d+\.\d{1,6}", bare, re.ASCII):
        return bare
    whole, _, fraction = bare.partition(".")
    return f"{whole}.{fraction:0<6}"


def _last_part(name: str) -> str:
    return _bare(comparable(name).rpartition("/")[2])


_FORMS = (  # of the wanted, of the held, whether two of a form are an error
    (comparable, comparable, True),
    (comparable, _file_stem, True),
    (_bare, _bare, True),
    (_number, _number, False),
    (_six_decimals, _bare, False),
    (_bare, _six_decimals, False),
    (_bare, _last_part, False),
    (_last_part, _bare, False),
)

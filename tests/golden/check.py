"""Compare this project's modules with what the original authors' computed.

    python tests/golden/check.py DIR

For every NAME.json with NAME.npz in DIR it builds what ``kind`` and ``config`` name, at any size,
fills the weights by the rule of :mod:`golden.pairs`, compares every output and prints the largest
error of each.  Key lists (``full_*_keys.json``, or the same as ``.json.gz``) are compared with the
full-size modules, names and shapes.  The exit status is 1 if anything is unknown, missing, left
over, uncompared or wrong.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from golden.pairs import CheckFailed, Pair

#: Every ``kinds_*.py`` beside this file says which pairs and key lists it checks.
KINDS = [
    importlib.import_module(f"golden.{file.stem}")
    for file in sorted(Path(__file__).parent.glob("kinds_*.py"))
]
CHECKS: dict[str, Callable[[Pair], None]] = {
    kind: check for module in KINDS for kind, check in getattr(module, "CHECKS", {}).items()
}
KEY_LISTS = {name: check for module in KINDS for name, check in getattr(module, "KEY_LISTS", {}).items()}


@dataclass
class Result:
    """What became of one pair or key list."""

    name: str
    lines: list[str] = field(default_factory=list)
    problem: str = ""
    unknown: bool = False


def check_pair(pair: Pair) -> None:
    """Reproduce one pair; raises :class:`CheckFailed`."""
    if pair.kind not in CHECKS:
        raise CheckFailed(f"no check for the kind {pair.kind!r}; known: {', '.join(sorted(CHECKS))}")
    CHECKS[pair.kind](pair)
    pair.finish()


def entries(folder: Path) -> list[tuple[str, Path]]:
    """(name, file) of all pairs and key lists, and of arrays without a record."""
    files = {}
    for file in sorted(folder.iterdir()):
        if file.suffix in (".json", ".npz") or file.name.endswith(".json.gz"):
            files.setdefault(file.name.partition(".")[0], file)
    return sorted(files.items())


def check_entry(name: str, file: Path) -> Result:
    """Reproduce what `file` records; never raises for what is wrong with it."""
    result, pair = Result(name), None
    try:
        if name.startswith("full_") and name.endswith("_keys"):
            result.unknown = name not in KEY_LISTS
            if result.unknown:
                raise CheckFailed(f"no check for the key list '{name}'; known: {', '.join(KEY_LISTS)}")
            recorded = read_keys(file)
            KEY_LISTS[name](name, recorded)
            result.lines.append(f"{len(recorded)} names and shapes: ok")
        else:
            pair = Pair.open(file.parent, name)
            result.unknown = pair.kind not in CHECKS
            check_pair(pair)
    except CheckFailed as problem:
        result.problem = str(problem)
    except Exception as problem:  # a check that breaks on a record is a failure of that record only
        result.problem = f"{type(problem).__name__}: {problem}"
    if pair is not None:
        result.lines += [str(comparison) for comparison in pair.comparisons]
    return result


def read_keys(file: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape from a key list."""
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return {name: tuple(entry[0]) for name, entry in json.loads(text).items()}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, IndexError) as problem:
        raise CheckFailed(f"{file.name} cannot be read as a key list: {problem}") from None


def check_folder(folder: Path) -> list[Result]:
    """Reproduce everything in `folder`."""
    return [check_entry(name, file) for name, file in entries(folder)]


def main(words: list[str]) -> int:
    """Print every comparison; 0 only if all of at least one pair passed."""
    if len(words) != 1 or not Path(words[0]).is_dir():
        sys.stderr.write(f"usage: check.py DIR; got {' '.join(words) or 'nothing'}, expected one folder\n")
        return 2
    failed = total = 0
    for name, file in entries(Path(words[0])):
        result = check_entry(name, file)
        total += 1
        failed += bool(result.problem)
        sys.stdout.write(f"{name}\n" + "".join(f"  {line}\n" for line in result.lines))
        if result.problem:
            sys.stdout.write(f"  FAILED: {result.problem}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{total - failed} of {total} passed\n")
    return int(failed > 0 or total == 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

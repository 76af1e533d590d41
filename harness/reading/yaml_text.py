"""YAML as people mean it: a value that YAML 1.1 would turn into another one stays the text that was typed.

YAML 1.1, which PyYAML follows, reads ``0010`` as 8, ``1:30`` as 90, ``1_000`` as 1000, ``no`` as false and
``2020-01-01`` as a day, and takes the last of two equal keys.  Here a plain value is a number only if
Python writes that number the same way (``10``, ``0.5``; also ``1.0e-3``), true and false are the only
logicals, and everything else is text: typed parameters turn text into the number that they need.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from ..errors import ConfigError, quoted, visible

MOST_EXPANDED = 1_000_000
"""Values, and characters of text, that aliases may stand for: ten lines of them can name a billion."""

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,400}")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_PLAIN = "tag:yaml.org,2002:"


def load_yaml(text: str, *, where: str) -> Any:
    """The content of a YAML text, which `where` names in messages.

    Raises
    ------
    ConfigError
        It is no YAML, a key is given twice, or its aliases stand for more than a line can say.
    """
    loader = _Loader(text)
    loader.where = where
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _require_small(node, where)
        return loader.construct_document(node)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise ConfigError(f"{where} is not valid YAML{line}{_reason(problem)}") from None
    except (ValueError, TypeError, LookupError) as problem:  # a tag such as !!int before what is none
        raise ConfigError(f"{where} is not valid YAML ({quoted(str(problem))})") from None
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply to be read") from None
    finally:
        loader.dispose()


def _reason(problem: yaml.YAMLError) -> str:
    reason = getattr(problem, "problem", None) or ""
    if r"'\t'" in reason:
        return ": a tab; indent by spaces"
    return f": {visible(reason)}" if reason else ""


class _Loader(yaml.SafeLoader):
    """Plain values as the module says; no key twice."""

    where = ""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_PLAIN}merge":
                continue
            if (key.tag, key.value) in keys:
                again = f"{quoted(key.value)} is given a second time in line {key.start_mark.line + 1}"
                raise ConfigError(f"{self.where}: the key {again}; keep one")
            keys.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float | str:
    """The number, if the text is how Python writes it; else the text."""
    text = loader.construct_scalar(node)
    if _INTEGER.fullmatch(text):
        return int(text)
    if text.lower().lstrip("+-") in (".inf", ".nan"):
        return float(text.lower().replace(".", ""))
    value = float(text)
    return value if "e" in text.lower() or repr(value) == text else text


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in (f"{_PLAIN}null", f"{_PLAIN}merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    f"{_PLAIN}bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
for _kind, _pattern in (("int", _INTEGER), ("float", _FLOAT)):
    _Loader.add_implicit_resolver(
        _PLAIN + _kind, re.compile(f"^(?:{_pattern.pattern})$"), list("-+.0123456789")
    )
    _Loader.add_constructor(_PLAIN + _kind, _number)


def _require_small(root: yaml.Node, where: str) -> None:
    """Refuse aliases that stand for themselves, or together for more than :data:`MOST_EXPANDED`."""
    sizes: dict[int, int] = {}
    written = 0
    pending: list[tuple[yaml.Node, bool]] = [(root, False)]
    within: set[int] = set()
    while pending:
        node, finished = pending.pop()
        inner = [part for entry in node.value for part in (entry if isinstance(entry, tuple) else (entry,))]
        if isinstance(node, yaml.ScalarNode):
            inner = []
        if finished:
            within.discard(id(node))
            own = 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
            written += own
            sizes[id(node)] = own + sum(sizes[id(part)] for part in inner)
        elif id(node) in within:
            raise ConfigError(f"{where}: an alias in line {node.start_mark.line + 1} stands for itself")
        elif id(node) not in sizes:
            within.add(id(node))
            pending.append((node, True))
            pending += [(part, False) for part in inner]
    if sizes[id(root)] - written > MOST_EXPANDED:
        raise ConfigError(
            f"{where}: its aliases (*name) stand for {sizes[id(root)]:,} values and characters; write out "
            "what is needed"
        )

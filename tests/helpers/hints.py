"""Hints of errors, applied to the parameters of the paired benchmark exactly as they are printed."""

from __future__ import annotations

import ast
import copy
import dataclasses
import re
from pathlib import Path

from harness.benchmarks.paired_params import Params, SplitKeys
from harness.errors import HarnessError
from harness.reading.yaml_text import load_yaml

SPLITS = ("train", "test", "data")
OF_SPLIT = {field.name for field in dataclasses.fields(SplitKeys)}
LOADER_KEYS = {field.name for field in dataclasses.fields(Params)} | OF_SPLIT
_PAIR = re.compile(r"\b([a-z_]+): (?:and one of )?(\[[^\]]*\]|\{[^}]*\}|[\w.-]+)")
_VERB = re.compile(r"\b(add|type|give|name|needs|example) ")
_BLANK = re.compile(r"KEY|FILE|\[height, width\]|\bN\b")


def apply_hint(message, given, fill):
    """`given` as the hint in `message` says, or None where it says nothing to type.

    fill : key -> what stands for KEY, FILE, N or [height, width] under it; an alternative that needs another
        is passed over.
    """
    given = copy.deepcopy(given)
    if near := re.search(r"'([^']*)'(?: in [^;]*)?; did you mean '([^']*)'", message):
        return _replaced(given, *near.groups())
    if near := re.search(r"no file (\S+); did you mean '([^']*)'", message):
        return _replaced(given, Path(near[1]).name, near[2])
    if re.search(r"(?<!to )leave (them )?out", message):
        clause = message if "leave out" in message else message.partition(";")[0]
        return _without(given, re.findall(r"\b[a-z]+_[a-z]+\b", clause.partition("leave out")[2] or clause))
    if "keep one of them" in message:
        return _without(given, re.findall(r"\b[a-z]+_[a-z]+\b", message)[1:2])
    verb = _VERB.search(message)
    for alternative in re.split(r"\bor\b|; ", message[verb.end() :]) if verb else ():
        pairs = [(key, value) for key, value in _PAIR.findall(alternative) if key in LOADER_KEYS]
        if pairs and all(not _BLANK.search(value) or key in fill for key, value in pairs):
            for key, value in pairs:
                typed = (
                    fill[key] if _BLANK.search(value) else load_yaml(value.replace(", ...", ""), where=key)
                )
                _put(given, key, typed, message)
            replaced = re.search(r"in place of (\w+)$", message)
            return _without(given, [replaced[1]]) if replaced else given
    return None


def follow_hints(load, given, fill, *, steps=5):
    """What `load(given)` gives in the end, or the last message that holds nothing to type; all messages.

    Every step must lead to another message: advice that changes nothing cannot work.
    """
    messages = []
    for _ in range(steps):
        try:
            return load(given), messages
        except HarnessError as problem:
            message = str(problem)
        assert message not in messages, f"the advice changes nothing: {message}"
        messages.append(message)
        changed = apply_hint(message, given, fill)
        if changed is None:
            return message, messages
        assert changed != given, f"nothing to change as advised: {message}"
        given = changed
    raise AssertionError(f"the advice does not end: {messages}")


def hints_in(file):
    """A pattern for each message of a source file that says which key to add or type."""
    templates = []
    for node in ast.walk(ast.parse(Path(file).read_text())):
        if isinstance(node, ast.JoinedStr):
            parts = [re.escape(v.value) if isinstance(v, ast.Constant) else ".*" for v in node.values]
            templates.append("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            templates.append(re.escape(node.value))
    # What a template leaves open (``{white}``) is anything.
    spaced = (re.sub(r"\\\{\w+\\\}", ".*", template.replace("\\ ", " ")) for template in templates)
    return sorted({text for text in spaced if re.search(r"\b(add|type|give) ([a-z_]+|\.\*): ", text)})


def _replaced(value, old, new):
    if isinstance(value, dict):
        return {_replaced(key, old, new): _replaced(inner, old, new) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(inner, old, new) for inner in value]
    return new if value == old else value


def _without(given, keys):
    inner = {name: _without(given[name], keys) for name in SPLITS if isinstance(given.get(name), dict)}
    return {key: value for key, value in (given | inner).items() if key not in keys}


def _put(given, key, value, message):
    if key not in OF_SPLIT:
        given[key] = value
        return
    named = re.findall(r"\b(train|test|data)\b", message.partition(";")[0])
    for split in named[:1] or [name for name in SPLITS if name in given]:
        given[split] = {**given[split], key: value[split] if isinstance(value, dict) else value}

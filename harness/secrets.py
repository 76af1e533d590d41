"""What must not be written down: passwords, tokens and keys, wherever they stand in a record.

A run's record holds the command as it was typed and every parameter, and goes to others.  Left out are values
of environment variables that are called secrets, values of settings that are, credentials within addresses,
and texts of the form of well-known tokens.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

LEFT_OUT = "[left out]"

_NAME = (
    r"(?:password|passwd|secret|credentials?|api[_-]?key|access[_-]?key|private[_-]?key|(?:\w+[_-])?token)"
)
_KEY = re.compile(rf"(?:^|.*[._-]){_NAME}(?:[._-].*)?", re.I)
_VARIABLE = re.compile(rf".*{_NAME}.*", re.I)
_ASSIGNED = re.compile(rf"((?:^|[\s,{{;&?\"'.-]){_NAME}[\"']?\s*[=:]\s*[\"']?)([^\s\"',;}}&]+)", re.I)
_ADDRESS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@:]*(?::[^\s/@]*)?@", re.I)
_FORMS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}\b|\bgh[pousr]_[A-Za-z0-9]{20,}\b|\bgithub_pat_\w{20,}\b|\bA[KS]IA[0-9A-Z]{16}\b"
    r"|\bsk-[A-Za-z0-9_-]{20,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
)
"""Tokens of Hugging Face, GitHub, AWS, OpenAI and Slack, and JSON Web Tokens."""

_SHORTEST = 6
"""Characters of an environment variable's value below which it may be any word."""


def without_secrets(content: Any) -> Any:
    """`content` (JSON: dictionaries, lists, texts, numbers) with :data:`LEFT_OUT` in place of secrets."""
    return _cleaned(content, tuple(secret_values(os.environ.items())))


def secret_values(variables: Iterable[tuple[str, str]]) -> list[str]:
    """Values of the environment `variables` whose names say that they are secret, the longest first."""
    values = {value for name, value in variables if _VARIABLE.fullmatch(name) and len(value) >= _SHORTEST}
    return sorted(values, key=len, reverse=True)


def _cleaned(content: Any, values: tuple[str, ...]) -> Any:
    if isinstance(content, dict):
        return {
            key: LEFT_OUT if _is_secret(key, value) else _cleaned(value, values)
            for key, value in content.items()
        }
    if isinstance(content, (list, tuple)):
        return [_cleaned(value, values) for value in content]
    if not isinstance(content, str):
        return content
    for value in values:
        content = content.replace(value, LEFT_OUT)
    content = _ADDRESS.sub(rf"\1{LEFT_OUT}@", content)
    return _FORMS.sub(LEFT_OUT, _ASSIGNED.sub(rf"\1{LEFT_OUT}", content))


def _is_secret(key: Any, value: Any) -> bool:
    """Numbers are none: `n_token: 257` is a size."""
    return isinstance(key, str) and isinstance(value, str) and bool(value) and bool(_KEY.fullmatch(key))

"""Every flag that the code raises has its explanation, and no other has."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from commands import ROOT
from report_pages import Page, change_info, words

from harness.reports.flag_meanings import FLAG_MEANINGS, flag_meaning
from harness.reports.html import render_html
from harness.results import RunResult


def raised() -> set[str]:
    """Names given to ``Flag(...)``, to ``hearing_warnings(...)`` and in ``extra={"flag": ...}``."""
    names = set()
    for folder in ("harness", "benchmarks", "encoders", "decoders"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if called in ("Flag", "hearing_warnings") and node.args:
                    names.add(node.args[0])
                for word in node.keywords:
                    if word.arg == "extra" and isinstance(word.value, ast.Dict):
                        keys = zip(word.value.keys, word.value.values)
                        names |= {value for key, value in keys if getattr(key, "value", "") == "flag"}
    return {node.value for node in names if isinstance(node, ast.Constant)}


def test_every_flag_is_explained() -> None:
    assert len(raised()) > 20
    assert raised() == set(FLAG_MEANINGS)
    assert flag_meaning("decode-warning").startswith("Warned of during")
    assert flag_meaning("of-a-later-version") == ""


@pytest.mark.usefixtures("no_charts")
def test_the_report_explains_each_flag(fresh: Path) -> None:
    flags = [{"name": name, "level": "warning", "message": "seen"} for name in FLAG_MEANINGS]
    text = words(Page(render_html(RunResult.open(change_info(fresh, flags=flags)))))
    assert all(meaning in text for meaning in FLAG_MEANINGS.values())

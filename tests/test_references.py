"""What docstrings, comments, pages and settings refer to is there (tests/helpers/references.py)."""

from __future__ import annotations

import ast

import pytest
from commands import ROOT
from references import resolves, texts, unresolved
from sources import FOLDERS, module_name, modules

PAGES = [
    file
    for pattern in ("*.md", "*.cfg", "*.toml", "docs/**/*.md", "tests/**/*.md", "*/**/*.yaml")
    for file in ROOT.glob(pattern)
    if ".venv" not in file.parts
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_and_comments_refer_to_what_is_there(folder):
    lines = [
        f"{file.relative_to(ROOT)}, line {line}: {name}"
        for file in sorted((ROOT / folder).rglob("*.py"))
        for line, text in texts(file)
        for name in unresolved(text, module_name(file))
    ]
    assert not lines, "\n".join(lines)


def test_pages_and_settings_refer_to_what_is_there():
    lines = [f"{file.relative_to(ROOT)}: {name}" for file in PAGES for name in unresolved(file.read_text())]
    assert not lines, "\n".join(lines)
    assert ROOT / "README.md" in PAGES


def test_all_references_are_read():
    """Hundreds: a reader that finds none would pass."""
    named = [text for folder in FOLDERS[:-1] for f in (ROOT / folder).rglob("*.py") for _, text in texts(f)]
    assert sum(text.count(":mod:`") for text in named) > 80
    assert sum(text.count(":func:`") for text in named) > 100


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (":func:`image_sha` and :class:`VoxelSpace`", []),
        (":func:`no_such`", ["no_such"]),
        (":mod:`.errors` and :mod:`.nothing`", [".nothing"]),
        (":attr:`Responses.space`, :meth:`Responses.mean`, :meth:`Responses.median`", ["Responses.median"]),
        (":meth:`harness.data.Stimuli.select`, which it inherits", []),
        (":data:`harness.results.SCHEMA` comes from elsewhere", []),
        ("python -m harness.backbones.tiny.train_bigg", []),
        ("python -m harness.backbones.tiny.train_biggest", ["harness.backbones.tiny.train_biggest"]),
        ("see tests/freeze.py, tests/frozen.py and harness/nn.", ["tests/frozen.py"]),
        ("harness.results.RunResult.open reads, harness.results.RunResult.shut does not", None),
        (":func:`numpy.cov`", []),
    ],
)
def test_each_kind_of_reference_is_followed(text, missing):
    missing = ["harness.results.RunResult.shut"] if missing is None else missing
    assert list(unresolved(text, "harness.data")) == missing


def test_names_are_followed_through_imports():
    """What the toolkit and the contracts offer is read in the module that defines it."""
    for module in ("harness.toolkit", "harness.api", "harness.results"):
        (offered,) = (
            ast.literal_eval(node.value)
            for node in ast.parse(modules()[module].read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        assert [name for name in offered if not resolves(f"{module}.{name}")] == []

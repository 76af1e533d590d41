"""The pages: generated ones are current, links lead somewhere, every command works as it stands there."""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
import yaml
from commands import ROOT

from harness import plugins
from harness.cli.main import cli

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]

FENCE = re.compile(r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
LINK = re.compile(r"(?<!\!)\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
TYPED = ("bash", "console", "sh", "shell")


@dataclass(frozen=True)
class Block:
    """A block of code: `mark` is ``slow``, ``not run: WHY``, ``file: NAME`` or nothing."""

    language: str
    text: str
    mark: str = ""


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page that name a language."""
    return [Block(m["language"], m["text"], m["mark"] or "") for m in FENCE.finditer(page.read_text())]


def commands(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in TYPED]


TUTORIAL = DOCS / "tutorial.md"
WITH_COMMANDS = [page for page in PAGES if commands(page)]


def type_line(line: str) -> None:
    """What a shell does with a line; ``harness`` is called in this process, where torch is imported once."""
    if line.startswith("harness ") and not set("|&;<>$`") & set(line):
        typed = [
            part
            for word in shlex.split(line, comments=True)[1:]
            for part in sorted(glob.glob(word)) or [word]
        ]
        cli.main(typed, standalone_mode=False)
        return
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["bash", "-euo", "pipefail", "-c", line], env={**os.environ, "PATH": path}, check=True)


@dataclass
class Desk:
    """A folder in which pages are read, with one store; what a page said to save lies there."""

    folder: Path
    typed: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        before = os.getcwd()
        os.chdir(self.folder)
        try:
            yield
        finally:
            os.chdir(before)

    def follow(self, page: Path, *, slow: bool) -> None:
        """Save the files of a page and type its commands, in their order."""
        with self.open():
            for block in blocks(page):
                if block.mark.startswith("file: "):
                    Path(block.mark.removeprefix("file: ")).write_text(block.text)
                if block.language not in TYPED or block.mark.startswith("not run: "):
                    continue
                if block.mark != "slow" or slow:
                    for line in block.text.replace("\\\n", " ").splitlines():
                        type_line(line)
                        self.typed.append(line)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def desk(tmp_path, store, monkeypatch) -> Desk:
    monkeypatch.setenv("HARNESS_STORE", str(store))
    monkeypatch.setenv("COLUMNS", "200")
    return Desk(tmp_path)


def has_slow(page: Path) -> bool:
    return any(block.mark == "slow" for block in commands(page))


@pytest.mark.parametrize(
    "page", [page for page in WITH_COMMANDS if page != TUTORIAL], ids=lambda page: page.stem
)
def test_the_commands_of_a_page_work(desk, page):
    desk.follow(page, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in WITH_COMMANDS if has_slow(page)], ids=lambda page: page.stem
)
def test_the_commands_that_take_long_work_too(desk, page):
    desk.follow(page, slow=True)
    assert desk.typed


def test_the_tutorial_works_and_shows_what_is_printed(desk, capfd):
    """Lines that it shows stand in what is printed; of wide tables, some columns."""
    desk.follow(TUTORIAL, slow=False)
    printed = [line.split() for line in capfd.readouterr().out.splitlines()]
    shown = [block.text for block in blocks(TUTORIAL) if block.language == "text"]
    for line in "".join(shown).replace("…", "").splitlines():
        words = line.split()
        assert not words or any(in_order(words, other) for other in printed), line


def in_order(words: list[str], line: list[str]) -> bool:
    """Whether `words` stand in `line` one after another, perhaps with others between."""
    rest = iter(line)
    return all(word in rest for word in words)


BLOCK = re.compile(r"^```.*?^```$|^ {4}[^\n]*$", re.M | re.S)
INLINE, LINE = re.compile(r"`(harness [^`]+)`"), re.compile(r"^ *(?:\.venv/bin/)?(harness [^\n]+)$", re.M)
"""Commands within a sentence, and on lines of their own in blocks of any kind, those that nobody types."""


def misnamed(text: str) -> list[str]:
    """Commands of `text`, where no such command is, or it has not an option that is given there."""
    wrong = []
    typed = [line for block in BLOCK.findall(text) for line in LINE.findall(block)]
    for line in [*INLINE.findall(BLOCK.sub("", text)), *typed]:
        words = shlex.split(line, comments=True)[1:]
        command, context = cli, click.Context(cli)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command, words = command.get_command(context, words[0]), words[1:]
        if command is None:
            wrong.append(line)
            continue
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
        wrong += [f"{line}: {name}" for name in sorted(given - options - {"--help"})]
    return wrong


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.stem != "reference"], ids=lambda page: page.stem
)
def test_commands_that_a_page_names_are_there_with_their_options(page):
    assert misnamed(page.read_text()) == []


def test_what_is_misnamed_is_seen():
    text = (
        "`harness runn --limit 3` and\nharness is no command\n\n    harness run --lmit 3 # so many\n"
        "```\nharness tell\n```\n"
    )
    assert misnamed(text) == [
        "harness runn --limit 3",
        "harness run --lmit 3 # so many: --lmit",
        "harness tell",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_marks_are_known_and_say_why(page):
    for block in blocks(page):
        assert re.fullmatch(r"|slow|file: [\w.-]+|not run: .{10,}|written by .*", block.mark), block.mark
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)


def anchors(page: Path) -> set[str]:
    """Anchors as GitHub and mkdocs make them of headings."""
    text = re.sub(r"^(```|~~~).*?^\1$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = re.sub(r"^(```|~~~).*?^\1$", "", page.read_text(), flags=re.M | re.S)
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


def test_every_page_is_in_the_navigation():
    navigation = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(navigation) == sorted(page.name for page in DOCS.glob("*.md"))
    index = (DOCS / "index.md").read_text()
    assert all(f"({page.name}" in index for page in DOCS.glob("*.md") if page.name != "index.md")


@pytest.mark.slow
def test_the_notebook_runs_and_is_kept_without_output(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    environment = {**os.environ, "HARNESS_STORE": str(tmp_path / "store")}
    resources = {"metadata": {"path": str(tmp_path)}}
    client = nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
    client.execute(env=environment)
    outputs = [output for cell in cells for output in cell.outputs]
    shown = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert "<img" in shown
    assert "<pre>" in shown
    assert not [output for output in outputs if output.output_type == "error"]


def test_generated_pages_are_current():
    spec = importlib.util.spec_from_file_location("docs_make", DOCS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    for name, write in make.PAGES.items():
        assert (DOCS / name).read_text() == write(), f"docs/{name} is stale; type: python docs/make.py"


def test_definitions_name_metrics_that_are_there():
    names = {ref.name for ref in plugins.available("metrics")}
    text = (DOCS / "metrics.md").read_text()
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    listed = {name for cell in first_cells for name in re.findall(r"`([a-z0-9-]+)`", cell)}
    assert listed
    assert listed <= names

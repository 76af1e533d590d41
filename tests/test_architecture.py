"""Imports point one way, the command line stays light, names stay out of the engine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sources
from commands import ROOT
from sources import is_script

import harness.decoders.catalogue as decoder_rows
import harness.encoders.catalogue as encoder_rows

PLUGIN_FOLDERS = ("encoders", "decoders", "benchmarks")
ENGINE = sorted((ROOT / "harness").rglob("*.py"))
DOORS = (ROOT / "harness" / "__main__.py", ROOT / "harness" / "notebook.py")
"""What a user enters by; it may import anything, as the command line may."""


def imported(file: Path) -> set[str]:
    """Absolute names of all harness modules that `file` imports, lazily or not."""
    return {name for name in sources.imported(file) if name.partition(".")[0] == "harness"}


def under(name: str, *allowed: str) -> bool:
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


@pytest.mark.parametrize("folder", PLUGIN_FOLDERS)
def test_plugins_import_contracts_and_blocks_only(folder):
    blocks = ("harness.nn", "harness.solvers", "harness.backbones", "harness.training")
    allowed = ("harness.api", "harness.catalogue", "harness.toolkit", *blocks, f"harness.{folder}")
    if folder in ("benchmarks", "encoders"):  # data, and models that others published
        allowed += ("harness.reading",)
    for file in (ROOT / folder).rglob("*.py"):
        if is_script(file):
            continue
        for name in imported(file) - {"harness"}:
            assert under(name, *allowed), f"{file.relative_to(ROOT)} imports {name}"


def test_reports_read_results_only():
    for file in (ROOT / "reports").rglob("*.py"):
        for name in imported(file) - {"harness"}:
            allowed = ("harness.results", "harness.statistics", "harness.reports", "harness.errors")
            allowed += ("harness.published",)
            assert under(name, *allowed), f"{file.relative_to(ROOT)} imports {name}"


def test_the_engine_imports_no_plugin_folder():
    for file in ENGINE:
        if file.is_relative_to(ROOT / "harness" / "cli") or file in DOORS or is_script(file):
            continue
        for name in imported(file):
            folders = tuple(f"harness.{f}" for f in (*PLUGIN_FOLDERS, "reports", "cli"))
            assert not under(name, *folders), f"{file.relative_to(ROOT)} imports {name}"


def test_nothing_comes_in_by_the_door_of_notebooks():
    """But the package that is called like the command."""
    importing = {file for file in ENGINE if any(under(name, "harness.notebook") for name in imported(file))}
    assert importing == {ROOT / "harness" / "run" / "__init__.py"}


def test_contracts_need_numpy_and_the_standard_library_only():
    for name in ("api", "catalogue", "data", "errors", "image_sets", "units"):
        for module in {e.module for e in sources.imports(ROOT / "harness" / f"{name}.py") if not e.level}:
            root = module.partition(".")[0]
            assert root == "numpy" or root in sys.stdlib_module_names, f"{name}.py imports {module}"


@pytest.mark.parametrize("layer", ["nn", "training", "backbones", "metrics"])
def test_building_blocks_do_not_know_the_pipeline(layer):
    allowed = (
        "harness.api",
        "harness.catalogue",
        "harness.data",
        "harness.errors",
        "harness.places",
        "harness.nn",
        "harness.solvers",
        "harness.backbones",
        f"harness.{layer}",
    )
    for file in (ROOT / "harness" / layer).rglob("*.py"):
        if is_script(file):
            continue
        for name in imported(file) - {"harness"}:
            assert under(name, *allowed), f"{file.relative_to(ROOT)} imports {name}"


ROOMS = (
    *(
        "cli",
        "testing",
        "judging",
        "submitting",
        "run",
        "scoring",
        "stages",
        "rows",
        "metrics",
        "backbones",
        "training",
    ),
    *("storage", "statistics", "solvers", "nn"),
)
"""From the top down; below all is the ground, single modules of ``harness``, and ``reading``."""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_below_it(room):
    above = ROOMS[: ROOMS.index(room)]
    for file in (ROOT / "harness" / room).rglob("*.py"):
        if is_script(file):
            continue
        for name in imported(file):
            where = f"{file.relative_to(ROOT)} imports {name}"
            assert not under(name, *(f"harness.{other}" for other in above)), where


def test_the_ground_carries_rooms_and_knows_none():
    for file in (ROOT / "harness").glob("*.py"):
        if file.name == "toolkit.py" or file in DOORS:
            continue
        for name in imported(file):
            where = f"{file.relative_to(ROOT)} imports {name}"
            assert not under(name, *(f"harness.{room}" for room in ROOMS)), where


def test_readers_know_errors_and_contracts_only():
    for file in (ROOT / "harness" / "reading").rglob("*.py"):
        for name in imported(file) - {"harness"}:
            ground = ("harness.api", "harness.data", "harness.errors", "harness.places", "harness.progress")
            assert under(name, *ground, "harness.reading"), f"{file.relative_to(ROOT)} imports {name}"


HEAVY = {
    *("torch", "torchvision", "transformers", "diffusers", "open_clip", "timm", "accelerate", "mamba_ssm"),
    *("pandas", "pyarrow", "scipy", "sklearn", "himalaya", "nltk", "altair", "vl_convert", "PIL", "h5py"),
}
"""What takes long to import, or a lot of memory."""


@pytest.mark.parametrize(
    "words", [["--help"], ["list"], *([name, "--help"] for name in ("run", "plan", "check"))]
)
def test_light_commands_import_nothing_heavy(words):
    code = (
        f"import sys; sys.argv = ['harness', *{words!r}]\n"
        "from harness.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"heavy = {HEAVY!r} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT.parent
    )
    assert done.returncode == 0, done.stderr


PLANS = """
import contextlib, io, sys
from harness import plugins
from harness.cli.main import main

for kind in ("encoder", "decoder"):
    for ref in plugins.available(f"{kind}s"):
        if ref.dist != plugins.HARNESS:
            continue
        said = io.StringIO()
        sys.argv = ["harness", "plan", f"--{kind}", ref.name]
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                main()
        except SystemExit as stop:
            # 2: what it needs is not there, in a line
            assert stop.code in (0, None, 2), said.getvalue()
        words = said.getvalue()
        assert "store" in words or words.startswith("harness: error:"), words
        loaded = {"torch", "torchvision", "transformers", "diffusers", "open_clip"} & set(sys.modules)
        assert not loaded, f"{ref.name}: {loaded}"
        print(ref.name)
"""


def test_a_plan_of_any_system_imports_no_network(tmp_path):
    """Parameters, presets, files of weights, costs and keys are said without what computes."""
    done = subprocess.run(
        [sys.executable, "-c", PLANS],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    names = {row.name for rows in (encoder_rows.ROWS, decoder_rows.ROWS) for row in rows}
    assert set(done.stdout.split()) == names


def test_modules_stay_small():
    files = [f for folder in ("harness", *PLUGIN_FOLDERS, "reports") for f in (ROOT / folder).rglob("*.py")]
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > 400}
    assert not long


def test_nothing_from_a_file_can_execute():
    for folder in ROOT.iterdir():
        for file in folder.rglob("*.py") if not folder.name.startswith(".") else ():
            source = file.read_text()
            # Only what loads, or says how numpy is to, is looked at.
            if ("load" in source or "allow_pickle" in source) and file != Path(__file__):
                for node in ast.walk(ast.parse(source)):
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                        executes_nothing(node, file)


SIGNED = ROOT / "harness" / "storage" / "signed.py"
"""Reads what processes of one run say to each other, once its signature was found to be theirs."""


def executes_nothing(node: ast.Call, file: Path) -> None:
    """Fail on a call of `file` that may execute what a file holds; those of tests are of their own files."""
    keywords = {k.arg: k.value for k in node.keywords}
    name = ast.unparse(node.func) if node.func.attr in ("load", "loads") else ""
    if name == "torch.load":
        value = keywords.get("weights_only")
        assert isinstance(value, ast.Constant), f"{file}: torch.load without weights_only=True"
        assert value.value is True, f"{file}: torch.load without weights_only=True"
    if "allow_pickle" in keywords and isinstance(keywords["allow_pickle"], ast.Constant):
        value = keywords["allow_pickle"].value
        assert value is False or "tests" in file.parts, f"{file}: allow_pickle"
    if name == "pickle.loads" and file == SIGNED:
        return
    assert name not in ("pickle.load", "pickle.loads", "yaml.load") or "tests" in file.parts, file


@pytest.mark.parametrize("folder", [*PLUGIN_FOLDERS, "reports"])
def test_imports_are_absolute_across_folders(folder):
    for file in (ROOT / folder).rglob("*.py"):
        depth = len(file.relative_to(ROOT).parts) - 1
        for entry in sources.imports(file):
            where = f"{file.relative_to(ROOT)}, line {entry.line}"
            assert entry.level <= depth, f"{where}: a relative import leaves its folder"


NAMED_OTHERWISE = {
    # what a whole run, command or chain keeps to, whichever modules it takes
    *("run/digits", "run/embedded_chain", "run/threads", "run/clusters", "encoders/ranked"),
    "decoders/mindeye2/chain",
    *("scoring/copy_runs", "scoring/lookalike_runs", "cli/bad_input", "cli/hostile_ids", "cli/wrong_words"),
    # one rule at every door
    *("reading/doors", "reading/image_doors", "reading/image_hints"),
    *("benchmarks/layouts/traps", "benchmarks/layouts/layout_runs"),
    # what all rows of a catalogue keep to
    *("metrics/properties", "metrics/encoding_properties", "metrics/copies", "metrics/golden"),
    # several modules of one family
    *("run/flags/parts", "run/flags/warnings", "statistics/subjects", "decoders/mindeye2/training"),
    *("benchmarks/paired_errors", "stages/missing_reconstructions"),
}
"""Test modules, as folder/name, that are named for a property; every other is named for a module."""


def test_a_test_lies_where_its_module_does_and_has_its_name():
    tests = ROOT / "tests"
    places = {}
    for file in tests.rglob("test_*.py"):
        if file.parent != tests:
            where = file.parent.relative_to(tests) / file.stem.removeprefix("test_")
            places[where.as_posix()] = file
    misplaced = []
    for name in sorted(places.keys() - NAMED_OTHERWISE):
        folder, _, module = name.rpartition("/")
        inside = [ROOT / name, ROOT / "harness" / name]
        package = folder.rpartition("/")[2] == module and [ROOT / folder, ROOT / "harness" / folder]
        files = [path.with_suffix(".py") for path in inside]
        files += [path / "__init__.py" for path in [*inside, *(package or [])]]
        if not any(file.is_file() for file in files):
            misplaced.append(f"tests/{folder}/test_{module}.py")
    assert not misplaced, f"no module has the name of {', '.join(misplaced)}"
    assert not NAMED_OTHERWISE - places.keys()


def bound_again(source: str) -> set[str]:
    """Names that a module gives twice: of two changes that came together, the first one is without effect."""
    names: list[str] = []
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=targets):
                names += [target.id for target in targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.append(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
    return {name for name in names if names.count(name) > 1}


@pytest.mark.parametrize("folder", ["harness", *PLUGIN_FOLDERS, "reports", "tests"])
def test_a_module_gives_a_name_once(folder):
    given = {file.relative_to(ROOT): bound_again(file.read_text()) for file in (ROOT / folder).rglob("*.py")}
    assert given
    assert not {file: names for file, names in given.items() if names}
    assert bound_again("A = 1\nA = 2\ndef f(): pass\nB: int = 1\nclass f: pass") == {"A", "f"}


SAYS_NOTHING = {"found", "made", "said", "one", "known"}
"""How a value came about; a name says what it holds: ``scores``, ``missing_ids``, ``reconstructions``."""


def bound_names(source: str) -> list[tuple[int, str]]:
    """(line, name) of all that `source` names: values, arguments, attributes, functions, classes, modules."""
    names = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.append((node.lineno, name))
            case ast.arg(arg=name) | ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                names.append((node.lineno, name))
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append((node.lineno, name))
            case (
                ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name))
            ):
                names.append((node.lineno, name))
    return sorted(names)


def says_nothing(name: str) -> bool:
    return name.strip("_").lower() in SAYS_NOTHING


@pytest.mark.parametrize("folder", ["harness", *PLUGIN_FOLDERS, "reports", "tests"])
def test_a_name_says_what_it_holds(folder):
    files = {file.relative_to(ROOT): file.read_text() for file in sorted((ROOT / folder).rglob("*.py"))}
    assert files
    lines = [
        f"{file}:{line}: '{name}' does not say what it holds; name it for that, like scores or missing_ids"
        for file, source in files.items()
        for line, name in bound_names(source)
        if says_nothing(name)
    ]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(
    "source",
    [
        "one = 1",
        "_known: int = 1",
        "a, *made = b",
        "self.said = 1",
        "for one in a: pass",
        "[one for one in a]",
        "{k: v for k, (v, one) in a}",
        "if (found := a): pass",
        "def f(known): pass",
        "def f(*one): pass",
        "def f(**known): pass",
        "def f(*, made): pass",
        "lambda one: 1",
        "def one(): pass",
        "async def _found(): pass",
        "class Made: pass",
        "import a as one",
        "from a import b as said",
        "with a as one: pass",
        "try: pass\nexcept A as found: pass",
        "match a:\n case [*one]: pass",
        "match a:\n case {'b': known}: pass",
        "match a:\n case {**known}: pass",
    ],
)
def test_no_way_to_name_a_value_is_overlooked(source):
    assert [name for _, name in bound_names(source) if says_nothing(name)]
    renamed = re.sub("|".join(SAYS_NOTHING), "scores", source, flags=re.IGNORECASE)
    assert bound_names(renamed)
    assert not any(says_nothing(name) for _, name in bound_names(renamed))

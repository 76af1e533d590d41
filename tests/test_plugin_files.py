"""Plugins in files: neighbours can be imported and, as files that parameters name, belong to the identity."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from commands import TOYS

from harness import plugin_files, plugins
from harness.cli.listing import diagnose
from harness.errors import ConfigError, PluginError
from harness.settings import resolve_params
from harness.stages.data import data_identity
from harness.stages.fit import plugin_identity
from harness.stages.model import Model
from harness.storage import identity
from harness.storage.identity import code_sha, named_files

FILES = {
    "plugin.py": "import helper\nfrom pack.inner import y\ndef z():\n    import lazy\n    return lazy.z\n",
    "helper.py": "import deeper\nx = 1\n",
    "deeper.py": "w = 1\n",
    "pack/inner.py": "from . import beside\ny = 1\n",
    "pack/beside.py": "v = 1\n",
    "lazy.py": "z = 1\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    return folder


@pytest.fixture(autouse=True)
def _as_in_a_fresh_process():
    """Modules, search path and what is remembered of them are as before."""
    modules, search_path, owners = set(sys.modules), list(sys.path), dict(plugin_files._OWNERS)
    yield
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in {Path(name).stem for name in (*FILES, "pack", "twin")}:
            del sys.modules[name]
    sys.path[:] = search_path
    plugin_files._OWNERS.clear()
    plugin_files._OWNERS.update(owners)


def fresh_sha(file: Path) -> str:
    """Code hash of the plugin in `file`, as another process takes it."""
    identity._closure_sha.cache_clear()
    plugin_files.neighbours.cache_clear()
    return code_sha(plugins.find("encoders", f"{file}:X"))


@pytest.mark.parametrize("changed", sorted(FILES))
def test_every_neighbour_belongs_to_the_identity(tmp_path, changed):
    file = write(tmp_path, FILES) / "plugin.py"
    before = fresh_sha(file)
    (tmp_path / "unrelated.py").write_text("a = 1\n")
    assert fresh_sha(file) == before
    (tmp_path / changed).write_text(FILES[changed] + "more = 1\n")
    assert fresh_sha(file) != before
    (tmp_path / changed).write_text(FILES[changed])
    assert fresh_sha(file) == before


def test_neighbours_are_imported_when_the_file_is_loaded_and_later(tmp_path):
    module = plugin_files.module_from_file(write(tmp_path, FILES) / "plugin.py")
    assert (module.helper.x, module.y, module.z()) == (1, 1, 1)


@pytest.mark.parametrize("name", ["json", "numpy", "yaml"])
def test_a_neighbour_shadows_neither_the_library_nor_an_installed_package(tmp_path, name, caplog):
    write(tmp_path, {"plugin.py": f"import {name}\n", f"{name}.py": "raise RuntimeError('shadowed')\n"})
    before = fresh_sha(tmp_path / "plugin.py")
    assert f"'{name}' is an installed package too" in caplog.text
    module = plugin_files.module_from_file(tmp_path / "plugin.py")
    assert getattr(module, name) is sys.modules[name]
    (tmp_path / f"{name}.py").write_text("raise RuntimeError('still')\n")
    assert fresh_sha(tmp_path / "plugin.py") == before


def test_two_files_with_neighbours_of_one_name_never_get_each_others(tmp_path):
    for folder in ("a", "b"):
        write(tmp_path / folder, {"plugin.py": "import twin\n", "twin.py": f"of = '{folder}'\n"})
    assert plugin_files.module_from_file(tmp_path / "a" / "plugin.py").twin.of == "a"
    with pytest.raises(
        PluginError, match=r"imports 'twin' from .*/b, and another plugin file has .*/a\. Rename"
    ):
        plugins.find("encoders", f"{tmp_path / 'b' / 'plugin.py'}:X").load()


def test_a_relative_import_is_explained(tmp_path):
    write(tmp_path, {"plugin.py": "from .helper import x\n", "helper.py": "x = 1\n"})
    with pytest.raises(PluginError, match="by name: import helper, from helper import x"):
        plugins.find("encoders", f"{tmp_path / 'plugin.py'}:X").load()


# Files that parameters name


@dataclass(frozen=True)
class Inner:
    file: str = ""


@dataclass(frozen=True)
class Outer:
    weights: str = ""
    inner: Inner = field(default_factory=Inner)
    several: tuple[Any, ...] = ()
    table: dict[str, Any] = field(default_factory=dict)
    number: int = 1


PLACES = {
    "plain": lambda name: Outer(weights=name),
    "path": lambda name: Outer(weights=Path(name)),
    "nested": lambda name: Outer(inner=Inner(name)),
    "sequence": lambda name: Outer(several=("none", name)),
    "mapping": lambda name: Outer(table={"a": {"b": name}}),
}


@pytest.mark.parametrize("place", sorted(PLACES))
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_file_or_folder_that_a_parameter_names_counts_by_content(tmp_path, place, kind):
    file = write(tmp_path, {"things/deep/part.txt": "one"}) / "things" / "deep" / "part.txt"
    params = PLACES[place](str(file if kind == "file" else tmp_path / "things"))
    before = named_files(params)
    assert len(before) == 1
    os.utime(file, ns=(1, 1))
    assert named_files(params) == before
    file.write_text("two")
    assert named_files(params) != before


@pytest.mark.parametrize("text", ["", "no such file", "a\0b", "x" * 10_000, "~nobody-of-this-name/x"])
def test_other_texts_name_nothing(text):
    assert named_files(Outer(weights=text)) == {}


def test_large_files_count_by_size_time_and_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(identity, "WHOLE", 10)
    monkeypatch.setattr(identity, "ENDS", 4)
    file = tmp_path / "weights.bin"
    seen = []
    for content, time in (
        (b"a" * 30, 5),
        (b"a" * 30, 5),
        (b"a" * 30, 6),
        (b"a" * 31, 5),
        (b"a" * 29 + b"b", 5),
    ):
        file.write_bytes(content)
        os.utime(file, ns=(time, time))
        seen.append(named_files(Outer(weights=str(file)))[".weights"])
    assert seen[0] == seen[1]
    assert len(set(seen)) == 4


def test_a_folder_of_too_many_files_is_not_walked_for_ever(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(identity, "FOLDER", 3)
    write(tmp_path, {f"{k}.txt": "x" for k in range(5)})
    before = named_files(Outer(weights=str(tmp_path)))
    assert "more than 3 files" in caplog.text
    os.utime(tmp_path, ns=(1, 1))
    assert named_files(Outer(weights=str(tmp_path))) != before


def test_what_a_run_writes_into_a_folder_is_no_part_of_it(tmp_path):
    write(tmp_path, {"data.txt": "x"})
    before = named_files(Outer(weights=str(tmp_path)))
    own = [
        "store/store.json",
        "store/fit/ab/x.npy",
        "runs/a/run.json",
        "runs/a/x.parquet",
        ".git/HEAD",
        ".hidden",
    ]
    write(tmp_path, dict.fromkeys([*own, "__pycache__/plugin.pyc"], "new"))
    assert named_files(Outer(weights=str(tmp_path))) == before
    write(tmp_path, {"deep/data.txt": "x"})
    assert named_files(Outer(weights=str(tmp_path))) != before


LAB = f"""
import sys
from dataclasses import dataclass
sys.path.insert(0, {str(TOYS.parent)!r})
import toys

@dataclass(frozen=True)
class P:
    file: str = ""
    base_dir: str = ""

class Cortex(toys.ToyBenchmark):
    Params = P

class Encoder(toys.ToyEncoder):
    Params = P

class Decoder(toys.ToyDecoder):
    Params = P
"""


def test_every_kind_of_plugin_that_is_kept_knows_the_files_of_its_parameters(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path, {"lab.py": LAB, "given.txt": "one", "elsewhere/given.txt": "one"}))
    refs = [plugins.find(g, f"lab.py:{c}") for g, c in (("encoders", "Encoder"), ("decoders", "Decoder"))]
    cortex = plugins.find("benchmarks", "lab.py:Cortex")

    def identities() -> list[Any]:
        models = [plugin_identity(ref, ref.load().Params("given.txt")) for ref in refs]
        here = [data_identity(cortex, cortex.load().Params("given.txt"), "toy01")]
        return (
            models + here + [data_identity(cortex, cortex.load().Params("given.txt", "elsewhere"), "toy01")]
        )

    before = identities()
    (tmp_path / "given.txt").write_text("two")
    assert [a != b for a, b in zip(before, identities())] == [True, True, True, False]
    (tmp_path / "elsewhere" / "given.txt").write_text("two")
    assert [a != b for a, b in zip(before, identities())] == [True] * 4


def test_a_run_follows_neighbours_and_named_files_also_in_workers(harness, tmp_path):
    source = f"""
    import sys
    from dataclasses import dataclass
    from pathlib import Path
    sys.path.insert(0, {str(TOYS.parent)!r})
    from toys import ToyDecoder
    import shade

    class Decoder(ToyDecoder):
        @dataclass(frozen=True)
        class Params:
            ridge: float = 10.0
            file: str = "level.txt"

        def decode(self, responses, *, seeds):
            decoded = super().decode(responses, seeds=seeds)
            level = int(Path(self.params.file).read_text())
            return type(decoded)(decoded.images // 2 + level + shade.LEVEL)
    """
    lines = "\n".join(line.removeprefix("    ") for line in source.splitlines())
    write(tmp_path, {"lab.py": lines, "shade.py": "LEVEL = 1\n", "level.txt": "0"})
    words = [
        "run",
        "--benchmark",
        f"{TOYS}:ToyBenchmark",
        "--decoder",
        "lab.py:Decoder",
        "--metrics",
        "pixcorr",
    ]
    words += ["--workers", "2", "--no-report"]
    harness(*words)
    write(tmp_path, {"shade.py": "LEVEL = 100\n"})
    output = harness(*words, "--workers", "2").stdout
    assert re.search(r"computed: decode \d+, fit 1", output), output
    write(tmp_path, {"level.txt": "9"})
    output = harness(*words).stdout
    assert re.search(r"computed: decode \d+, fit 1", output), output


def test_a_fit_that_cannot_be_loaded_says_which_folder_to_remove(tmp_path):
    ref = plugins.find("encoders", f"{TOYS}:ToyEncoder")
    (tmp_path / "weights.npy").write_bytes(b"planted")
    with pytest.raises(PluginError, match=f"cannot be loaded from {tmp_path} .remove that folder") as raised:
        Model(ref, ref.load().Params(), "key", str(tmp_path), "cpu").load(None)
    assert "\n" not in str(raised.value)


# Code that exits, and parameters that are none

EXITS = {
    "import": "sys.exit(0)",
    "benchmark load": "class Cortex(toys.ToyBenchmark):\n    def load(self, subject): sys.exit(0)",
    "benchmark subjects": "class Cortex(toys.ToyBenchmark):\n    def subjects(self): sys.exit(0)",
    "encoder built": "class Encoder(toys.ToyEncoder):\n    def __init__(self, params): sys.exit(0)",
    "encoder wants": "class Encoder(toys.ToyEncoder):\n    def wants(self): sys.exit(0)",
    "encoder fit": "class Encoder(toys.ToyEncoder):\n    def fit(self, *a, **k): sys.exit(0)",
    "encoder predict": "class Encoder(toys.ToyEncoder):\n    def predict(self, *a, **k): raise SystemExit",
    "decoder fit": "class Decoder(toys.ToyDecoder):\n    def fit(self, *a, **k): raise BaseException('end')",
    "decoder decode": "class Decoder(toys.ToyDecoder):\n    def decode(self, *a, **k): sys.exit('done')",
}


@pytest.fixture
def in_process(tmp_path, monkeypatch, capsys):
    """``harness WORDS`` by way of ``main``, in this process: (exit code, standard error)."""
    from harness.cli import main as command

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *words])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return ended.value.code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("where", sorted(EXITS))
def test_a_plugin_that_exits_never_ends_a_run_as_if_it_had_succeeded(in_process, tmp_path, where):
    head = f"import sys\nsys.path.insert(0, {str(TOYS.parent)!r})\nimport toys\n"
    head += "class Cortex(toys.ToyBenchmark): pass\nclass Encoder(toys.ToyEncoder): pass\n"
    write(tmp_path, {"lab.py": f"{head}class Decoder(toys.ToyDecoder): pass\n{EXITS[where]}\n"})
    names = ["--benchmark", "lab.py:Cortex", "--encoder", "lab.py:Encoder", "--decoder", "lab.py:Decoder"]
    code, errors = in_process("run", *names, "--metrics", "pixcorr", "--store", "store", "--no-report")
    assert code == 2
    assert errors.splitlines()[-1].startswith("harness: error: ")
    assert "lab.py" in errors.splitlines()[-1]
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ("inputs='images', prepare=lambda images: {'images': images}", "raise SystemExit(0)"),
        ("inputs='responses', targets=(), unit='set'", "raise BaseException('sys.exit(0)')"),
    ],
)
def test_a_metric_that_exits_costs_no_other(harness, tmp_path, toy_words, fields, body):
    source = (
        f"from harness.api import Metric\ndef score(result, target): {body}\n"
        f"QUITS = Metric(name='quits', score=score, {fields})\n"
    )
    info = {"METADATA": "Metadata-Version: 2.1\nName: quits\nVersion: 1\n"}
    info["entry_points.txt"] = "[harness.metrics]\nquits = quits_module:QUITS\n"
    write(tmp_path, {f"quits-1.dist-info/{name}": text for name, text in info.items()})
    write(tmp_path, {"quits_module.py": source})
    words = ["run", *toy_words, "--metrics", "quits,pixcorr", "--no-report"]
    done = harness(*words, PYTHONPATH=str(tmp_path), check=False)
    assert done.returncode == 2
    assert "quits" in done.stderr.splitlines()[-1]
    assert "every other score is kept" in done.stderr
    assert "sys.exit(0)" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_calls_a_plugin_that_exits_broken(tmp_path):
    write(tmp_path, {"plugin.py": "raise SystemExit(0)", "later.py": LATER})
    for file, group in (("plugin", "encoders"), ("later", "backbones")):
        state, why = diagnose(plugins.find(group, f"{tmp_path / file}.py:Quits"))
        assert (state, "sys.exit(0)" in why) == ("broken", True)


LATER = """
class Quits:
    version, layers, open, extract = "1", ("x",), None, None
    def identity(self): raise SystemExit(0)
"""


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("class Params:\n        x = 1", "Params is the class Params; expected a dataclass"),
        ("Params = {'x': 1}", "Params is a dict; expected a dataclass"),
        ("Params = None", "Params is a NoneType; expected a dataclass"),
    ],
)
def test_params_that_are_no_dataclass_are_one_line(tmp_path, params, message):
    head = f"import sys\nsys.path.insert(0, {str(TOYS.parent)!r})\nimport toys\n"
    write(tmp_path, {"plugin.py": f"{head}class Mine(toys.ToyEncoder):\n    {params}\n"})
    with pytest.raises(PluginError, match=message) as raised:
        plugins.find("encoders", f"{tmp_path / 'plugin.py'}:Mine").load()
    assert "\n" not in str(raised.value)


def test_params_of_types_that_cannot_be_read_are_one_line():
    unknown = dataclasses.make_dataclass("Unknown", [("x", "NoSuchType", None)], frozen=True)
    odd = dataclasses.make_dataclass("Odd", [("x", type("Strange", (), {}), None)], frozen=True)
    for params in (unknown, odd):
        with pytest.raises(
            ConfigError, match=f"encoder: the types of {params.__name__} cannot be read"
        ) as raised:
            resolve_params(params, {}, section="encoder")
        assert "\n" not in str(raised.value)


def test_an_installed_name_is_found_without_importing_it(tmp_path):
    """In a process of its own, as the harness starts."""
    write(tmp_path, {"plugin.py": "import torch\nimport helper\n", "helper.py": "x = 1\n", "torch.py": ""})
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.plugin_files import neighbours\n"
        f"print(sorted(neighbours(Path({str(tmp_path / 'plugin.py')!r}))), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "['helper'] False"

"""Keys hold all the code that an artifact depends on: an edit of any module recomputes exactly what it made.

The package is copied, and every module that some artifact depends on is edited in the copy, one after the
other; that the edit is a comment lets the numbers stay and shows what hangs on what.
"""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import TOYS
from sources import imported, modules, reached
from test_architecture import ENGINE, ROOT

FUNCTIONS = {
    "harness.stages.generating": {"generate_subject"},
    "harness.stages.extraction": {"extract_batch", "embed_captions"},
    "harness.stages.fitting": {"fit_model", "adapt_model"},
    "harness.stages.computing": {"write_values"},
    "harness.stages.predicting": {"predict_batch"},
    "harness.stages.decoding": {"decode_batch", "generate_batch"},
    "harness.stages.embedding": {"embed_batch"},
    "harness.stages.inverting": {"write_ridge"},
    "harness.rows.averaging": {"write_mean_image"},
    "harness.rows.best_sentences": {"write_best_sentences"},
    "harness.rows.components": {"write_components"},
    "harness.run.flags.small_copies": {"write_small_copies"},
    "harness.scoring.calls": {"score_one"},
    "harness.scoring.blocks": {"score_block"},
    "harness.scoring.contributing": {"write_contributions"},
    "harness.scoring.cosines": {"write_cosines"},
}
"""Module -> functions that make artifacts."""

SYSTEMS = ("encoders.ridge", "decoders.linear", "backbones.pixels")

KEEPING = (
    *("storage.cached", "storage.store", "storage.executors", "storage.identity", "storage.pruning"),
    *("stages.features", "stages.fit", "stages.encode", "stages.decode", "stages.data", "settings"),
    *("run.pipeline", "run.context", "run.plan", "scoring.driver", "scoring.compare", "scoring.context"),
)
"""Modules that say how artifacts are kept, ordered and put together, and nothing of what is in them."""

DIGESTS = """
import importlib, json, sys
from pathlib import Path
from harness import plugins
from harness.storage import identity

functions, systems, modules = json.loads(sys.argv[1])
assert Path(identity.__file__).is_relative_to(Path.cwd()), identity.__file__

def digests():
    identity._closure_sha.cache_clear()
    of = {name: identity.function_identity(getattr(importlib.import_module(module), name))["code"]
          for module, names in functions.items() for name in names}
    of |= {name: identity.code_sha(plugins.find(name.split(".")[0], name.split(".")[1])) for name in systems}
    return of

before, changed = digests(), {}
for name in modules:
    file = Path(importlib.util.find_spec(name).origin)
    source = file.read_text()
    file.write_text(source + "# edited\\n")
    after = digests()
    file.write_text(source)
    changed[name] = sorted(key for key in before if before[key] != after[key])
assert digests() == before
print(json.dumps(changed))
"""

RUNS = """
import json, sys
from pathlib import Path
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.stages.features import backbone_identity
from harness.storage import identity
from harness.storage.store import Store

toys, modules = json.loads(sys.argv[1])
values = {"run": {"metrics": ["pixcorr", "voxel-r", "pixel-2way"], "micro_batch": 4, "bottleneck": [2]}}

def computed():
    identity._closure_sha.cache_clear()
    backbone_identity.cache_clear()
    plan = make_plan(Request(f"{toys}:ToyBenchmark", "ridge", "linear", values=values))
    store = Store("store")
    run_plan(plan, store)
    return store.computed, store.reused

first, _ = computed()
counts = {"": first}
for name in modules:
    file = Path("harness", *name.split(".")).with_suffix(".py")
    file.write_text(file.read_text() + "# edited\\n")
    counts[name], reused = computed()
    assert not counts[name].keys() & {"plan"} and reused + counts[name] >= first, name
print(json.dumps(counts))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A folder with a copy of the package in which Python starts."""
    folder = tmp_path_factory.mktemp("copy")
    leave = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.npz", "*.png", "*.log")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=leave)
    for name in ("encoders", "decoders", "benchmarks", "reports", "configs"):
        shutil.copytree(ROOT / name, folder / "harness" / name, ignore=leave)
    return folder


def in_copy(package: Path, code: str, *given: object) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, '')\n{code}", json.dumps(given)],
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def closure(name: str) -> set[str]:
    """All modules of the package that the module `name` imports, directly or not, and itself."""
    return {name} | reached(name, lambda module: imported(modules()[module]) & modules().keys())


def kept_functions() -> dict[str, set[str]]:
    """Module -> functions that the engine hands to ``cached_map`` or ``cached``."""
    kept: dict[str, set[str]] = {}
    for file in ENGINE:
        if file.name == "cached.py":
            continue
        tree = ast.parse(file.read_text())
        names = {
            argument.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("cached_map", "cached", "_fit")
            for argument in node.args
            if isinstance(argument, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.name in names:
                        above = file.parents[node.level - 1].relative_to(ROOT).parts
                        kept.setdefault(".".join((*above, node.module)), set()).add(alias.name)
                        names.discard(alias.name)
    return kept


LATE = """
import json, sys
from harness import plugins
from harness.storage import identity

read = set()
real = identity.imported_names
identity.imported_names = lambda module, file: read.add(module) or real(module, file)
for group, name in json.loads(sys.argv[1]):
    assert identity.code_sha(plugins.find(group, name))
print(json.dumps([sorted(read), "torch" in sys.modules]))
"""


def test_a_key_holds_what_is_imported_late_and_imports_none_of_it():
    """Networks are imported in functions, so that to plan is quick; their code is in the key as ever."""
    systems = [("encoders", "chasm"), ("decoders", "mindeye2"), ("backbones", "clip@tiny")]
    done = subprocess.run(
        [sys.executable, "-c", LATE, json.dumps(systems)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read, torch_is_there = json.loads(done.stdout)
    late = {
        *("harness.encoders.chasm.stage1", "harness.encoders.chasm.stage2", "harness.training.running"),
        *("harness.decoders.mindeye2.tiny.networks", "harness.decoders.mindeye2.model"),
        "harness.backbones.tiny.networks.clip",
    }
    assert not late - set(read)
    assert not torch_is_there


def test_every_function_that_makes_artifacts_is_looked_at_here():
    assert kept_functions() == FUNCTIONS


def test_nothing_but_the_cached_map_writes_artifacts():
    for file in ENGINE:
        if file.parent.name == "storage":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert not called.endswith(("store.get", "store.writing", "store.writing_all")), file


def test_an_edit_of_a_module_changes_the_keys_of_what_its_code_makes_and_no_other(package):
    closures = {name: closure(module) for module, names in FUNCTIONS.items() for name in names}
    edited = sorted(set().union(*closures.values()) | {f"harness.{name}" for name in KEEPING})
    systems = {name: closure(f"harness.{name}") for name in SYSTEMS}
    plain = {name: sorted(names) for name, names in FUNCTIONS.items()}
    closures |= systems
    changed = in_copy(package, DIGESTS, plain, SYSTEMS, edited)
    for module in edited:
        wanted = sorted(name for name, reach in closures.items() if module in reach)
        assert changed[module] == wanted, module
    for name in KEEPING:
        assert not changed[f"harness.{name}"], f"{name} is in the keys of {changed[f'harness.{name}']}"


RECOMPUTED = {
    "run.pipeline": set(),
    "storage.executors": set(),
    "stages.generating": {"data"},
    "rows.averaging": {"controls"},
    "run.flags.small_copies": {"thumbnails"},
    "stages.decoding": {"decode"},
    "stages.predicting": {"encode"},
    "scoring.blocks": {"score"},
    "stages.extraction": {"features", "fit", "encode", "score"},
    "stages.fitting": {"fit", "encode", "decode"},
    "storage.content": {"data", "controls", "features", "fit", "encode", "decode", "score", "thumbnails"},
}
"""Edited module -> stages of which something is made again, where all numbers stay."""


def test_a_run_after_an_edit_recomputes_what_hangs_on_it_and_reuses_the_rest(package):
    shutil.copy(TOYS, package / "toys.py")
    counts = in_copy(package, RUNS, "toys.py", list(RECOMPUTED))
    first = counts.pop("")
    assert set(first) == RECOMPUTED["storage.content"]
    for module, stages in RECOMPUTED.items():
        again = counts[module]
        assert set(again) == stages, module
        # What a stage keeps is made again as a whole, but for scores, which functions of their own make.
        partly = {"score", "controls", "fit", "decode"} if module != "storage.content" else {"fit"}
        for stage in stages - partly:
            assert again[stage] == first[stage], (module, stage)
    # Of the two plugins only the encoder is fitted on features, which the edited module writes.
    assert counts["stages.extraction"]["fit"] == counts["storage.content"]["fit"] == 1
    assert counts["scoring.blocks"]["score"] < first["score"]

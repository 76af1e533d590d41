"""Every module has the test that one would look for: of its name, or in its folder, or said here where."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
import sources
from commands import ROOT, TESTS
from references import members, reached
from sources import is_script, module_name

FOLDERS = ("harness", "encoders", "decoders", "benchmarks", "reports")

TESTED_IN = {
    # networks, and what they are made of
    "harness/backbones/extraction.py": "backbones/test_pretrained.py",
    "harness/backbones/gnet_network.py": "backbones/test_gnet.py",
    "harness/backbones/texts.py": "metrics/test_captions.py",
    "harness/backbones/wordnet.py": "metrics/test_captions.py",
    **{
        f"harness/backbones/tiny/{place}{name}.py": "backbones/tiny/test_backbone.py"
        for place in ("", "networks/")
        for name in ("alexnet", "bigg", "clip", "dinov2", "efficientnet", "inception", "scenes", "swav")
    },
    # commands
    "decoders/neuroflow/fitting.py": "decoders/neuroflow/test_decoder.py",
    "encoders/pretrained/base.py": "encoders/pretrained/test_img2fmri.py",
    "encoders/brain_transformer/encoder.py": "encoders/common/test_network.py",
    "encoders/braincorl/encoder.py": "encoders/common/test_network.py",
    "encoders/fwrf/encoder.py": "encoders/common/test_network.py",
    "encoders/gnet/encoder.py": "encoders/common/test_network.py",
    "encoders/mindsimulator/encoder.py": "encoders/common/test_network.py",
    "encoders/neuroflow/encoder.py": "encoders/common/test_network.py",
    "encoders/nrf/encoder.py": "encoders/common/test_network.py",
    "encoders/synbrain/encoder.py": "encoders/common/test_network.py",
    "encoders/universal/encoder.py": "encoders/common/test_network.py",
    "encoders/common/batching.py": "encoders/chasm/test_training.py",
    "encoders/common/inputs.py": "encoders/common/test_network.py",
    "encoders/common/params.py": "encoders/common/test_network.py",
    "encoders/common/subjects.py": "encoders/common/test_solved.py",
    "encoders/common/training_data.py": "encoders/chasm/test_dataset.py",
    "encoders/common/tokens.py": "encoders/common/test_network.py",
    "encoders/common/readouts.py": "encoders/common/test_network.py",
    "encoders/sequences.py": "encoders/common/test_network.py",
    "encoders/stacked.py": "encoders/common/test_solved.py",
    "encoders/universal/network.py": "encoders/common/test_network.py",
    "harness/nn/contrast.py": "decoders/mindeye2/test_losses.py",
    "harness/nn/conv1d.py": "test_golden.py",
    "harness/nn/flow_vae.py": "test_golden.py",
    "harness/nn/latent_settings.py": "decoders/neuroflow/test_decoder.py",
    "harness/nn/sit.py": "test_golden.py",
    "harness/cli/against.py": "reports/test_published.py",
    "harness/cli/check.py": "testing/test_kinds.py",
    "benchmarks/assembly.py": "benchmarks/test_paired.py",
    "benchmarks/named_files.py": "benchmarks/test_lab.py",
    "benchmarks/layouts/benchmark.py": "benchmarks/layouts/test_layouts.py",
    "benchmarks/layouts/recording.py": "benchmarks/layouts/test_layouts.py",
    **{f"harness/judging/{name}.py": "judging/test_judge.py" for name in ("alignment", "pictures", "power")},
    **{
        f"harness/judging/{name}.py": "judging/test_judge.py"
        for name in ("reliability", "sessions", "verdict")
    },
    "harness/reading/terms.py": "benchmarks/layouts/test_layouts.py",
    "harness/cli/data.py": "benchmarks/layouts/test_layout_runs.py",
    "harness/cli/experiment.py": "run/test_suites.py",
    "harness/cli/inspect.py": "test_commands.py",
    "harness/cli/new.py": "testing/test_scaffold.py",
    "harness/cli/paths.py": "test_places.py",
    "harness/cli/prefetch.py": "test_places.py",
    "harness/cli/progress.py": "test_progress.py",
    "harness/cli/report.py": "test_commands.py",
    "harness/cli/run.py": "cli/test_wrong_words.py",
    "harness/cli/submit.py": "submitting/test_write.py",
    "harness/cli/suite_tables.py": "run/test_suites.py",
    "harness/cli/tables.py": "cli/test_compare.py",
    "harness/cli/store.py": "storage/test_pruning.py",
    "harness/storage/spool_worker.py": "storage/test_pooled.py",
    "harness/storage/tasks.py": "storage/test_pooled.py",
    # rows of catalogues, by what goes through them all
    "harness/catalogue.py": "test_plugins.py",
    # the other side of a decoder in another Python
    "harness/isolated.py": "test_isolation.py",
    "harness/scoring/catalogue.py": "test_extensions.py",
    # pixels and correlations where torch computes
    "harness/metrics/correlations_on_device.py": "scoring/test_devices.py",
    "harness/metrics/pixel_on_device.py": "scoring/test_devices.py",
    # every kind of file, at every door
    "harness/image_readers.py": "test_image_sets.py",
    "harness/reading/matlab.py": "reading/test_arrays.py",
    "harness/reading/pixels.py": "reading/test_image_doors.py",
    "harness/reading/plain_files.py": "reading/test_arrays.py",
    "harness/reading/tables.py": "reading/test_arrays.py",
    "harness/reading/torch_files.py": "reading/test_doors.py",
    # what a run does and says
    "harness/notices.py": "run/flags/test_warnings.py",
    "harness/run/descriptions.py": "test_run_record.py",
    "harness/run/encoding.py": "run/test_subjects.py",
    "harness/run/predictions.py": "cli/test_predict.py",
    "harness/cli/rsa.py": "benchmarks/test_kriegeskorte.py",
    "harness/run/similarities.py": "benchmarks/test_kriegeskorte.py",
    "harness/run/protocol_notes.py": "run/test_protocols.py",
    **{
        f"harness/run/flags/{name}.py": "run/flags/test_flags.py"
        for name in ("identification", "images", "leaks", "provenance", "responses", "training")
    },
    # scorers, by the metrics that they score
    "harness/stages/text_features.py": "metrics/test_captions.py",
    "harness/scoring/captions.py": "metrics/test_captions.py",
    "harness/scoring/contributions.py": "statistics/test_contributed.py",
    "harness/scoring/decoder_space.py": "metrics/test_retrieval.py",
    "harness/scoring/embedding.py": "metrics/test_networks.py",
    "harness/scoring/images.py": "metrics/test_copies.py",
    "harness/scoring/reencoded.py": "backbones/test_gnet.py",
    "harness/scoring/training.py": "metrics/test_nearest_train.py",
    # what makes an artifact, by the stage that keeps it; tests/test_closures.py edits each of them
    "harness/rows/averaging.py": "rows/test_controls.py",
    "harness/rows/best_sentences.py": "rows/test_caption_controls.py",
    "harness/scoring/blocks.py": "scoring/test_copy_runs.py",
    "harness/scoring/calls.py": "metrics/test_captions.py",
    "harness/scoring/contributing.py": "statistics/test_contributed.py",
    "harness/scoring/cosines.py": "metrics/test_retrieval.py",
    "harness/scoring/metric_ref.py": "scoring/test_devices.py",
    "harness/stages/computing.py": "stages/test_plugin_features.py",
    "harness/stages/embedding.py": "metrics/test_retrieval.py",
    "harness/stages/inverting.py": "stages/test_cheats.py",
    **{
        f"harness/stages/{name}.py": "run/test_pipeline.py"
        for name in ("decoding", "generating", "predicting")
    },
    # stages and storage
    "harness/solvers/saved.py": "storage/test_disk.py",
    "harness/stages/checks.py": "benchmarks/test_paired.py",
    "harness/stages/decode.py": "run/test_pipeline.py",
    "harness/stages/encode.py": "run/test_pipeline.py",
    "harness/stages/selection.py": "run/test_pipeline.py",
    "harness/storage/heard.py": "storage/test_processes.py",
    "harness/storage/references.py": "scoring/test_devices.py",
    "harness/storage/sharded.py": "stages/test_plugin_features.py",
    "harness/storage/worker.py": "run/test_threads.py",
    # a submission, by what is altered in one
    **{
        f"harness/submitting/{name}.py": "submitting/test_verify.py"
        for name in ("data", "findings", "tables")
    },
    "harness/verified.py": "submitting/test_verify.py",
    # the conformance kit, by plugins that break it
    **{
        f"harness/testing/{name}.py": "testing/test_encoders.py"
        for name in ("case", "fitting", "report", "watching")
    },
    "harness/training/checkpoints.py": "training/test_loop.py",
    "harness/training/devices.py": "training/test_loop.py",
    "harness/training/running.py": "training/test_loop.py",
    # how data of one's own are checked
    "benchmarks/paired_params.py": "benchmarks/test_paired_errors.py",
    "benchmarks/paired_responses.py": "benchmarks/test_paired_errors.py",
    # the small generator
    "decoders/mindeye2/parts.py": "decoders/mindeye2/test_core.py",
    "decoders/latent_diffusion/conditions.py": "decoders/latent_diffusion/test_painter.py",
    "decoders/mindbridge/settings.py": "decoders/mindbridge/test_decoder.py",
    "decoders/mindeye1/settings.py": "decoders/mindeye1/test_decoder.py",
    "decoders/mindhier/settings.py": "decoders/mindhier/test_core.py",
    "decoders/mindhier/given_files.py": "decoders/mindhier/test_checkpoints.py",
    "decoders/mindhier/published_low_level.py": "decoders/mindhier/test_decoder.py",
    "decoders/mindeye2/given_files.py": "decoders/mindeye2/test_decoder.py",
    "decoders/mindeye2/settings.py": "decoders/mindeye2/test_core.py",
    "decoders/mindeye2/tiny/networks.py": "decoders/mindeye2/test_decoder.py",
    "decoders/mindeye2/tiny/small.py": "decoders/mindeye2/test_training.py",
    # tables of reports
    "reports/compared_images.py": "cli/test_compare.py",
    "reports/functional.py": "scoring/test_responses.py",
    "reports/cortex_drawing.py": "reports/test_cortex.py",
    "harness/cli/cortex.py": "reports/test_cortex.py",
    "harness/cli/branches.py": "run/test_branches.py",
}
"""Module -> the test in another place, or of several modules, that tests it."""

COMMAND = {"check", "experiment", "data", "inspect", "new", "prefetch", "report", "run", "store"}

NO_LOGIC = {
    "harness/__main__.py": "python -m harness, which is harness.cli.main",
    "harness/backbones/gnet_sizes.py": "numbers of voxels",
    "harness/backbones/pins.py": "addresses and hashes of weights",
    "harness/metrics/meanings.py": "sentences, which tests/reports/test_glossary.py asks of every metric",
    "encoders/catalogue.py": "rows",
    "decoders/catalogue.py": "rows",
    "benchmarks/catalogue.py": "rows",
    "decoders/brain_diffuser/tiny/sizes.py": "sizes of a network",
}
"""Module -> what it holds, of which nothing is there to be tested."""


@cache
def modules() -> dict[str, Path]:
    """Place of each module, as ``harness/run/record.py``, but for packages and scripts."""
    files = (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py")))
    return {
        file.relative_to(ROOT).as_posix(): file
        for file in files
        if file.name != "__init__.py" and not is_script(file)
    }


@cache
def public(file: Path) -> frozenset[str]:
    """Functions, classes and constants that a module defines for others."""
    bound = members(ast.parse(file.read_text()).body)
    names = {name for name, node in bound if not isinstance(node, ast.Import | ast.ImportFrom)}
    return frozenset(name for name in names if not name.startswith("_"))


@cache
def imports(test: Path) -> frozenset[tuple[str, str]]:
    """(module, name) of all that a test module imports of the harness, anywhere in it."""
    return frozenset((e.module, e.name) for e in sources.imports(test) if e.module.startswith("harness"))


def dotted(module: str) -> str:
    """The name that a module is imported by."""
    return module_name(ROOT / module)


def names_it(test: Path, module: str) -> bool:
    """Whether `test` imports `module`, or something that it defines through its package."""
    full = dotted(module)
    package, _, stem = full.rpartition(".")
    for source, name in imports(test):
        if source == full or (source, name) == (package, stem):
            return True
        if source == package and name in public(modules()[module]):
            return True
    return False


def place(module: str) -> Path:
    """Where the tests of a module lie, without the file's name."""
    return TESTS / Path(module.removeprefix("harness/")).parent


def own_test(module: str) -> Path:
    return place(module) / f"test_{Path(module).stem}.py"


@cache
def beside(module: str) -> tuple[Path, ...]:
    """Tests of the module's folder, and of a system's package all that lie with it."""
    folder = place(module)
    lies = [file for file in folder.rglob("test_*.py")] if folder != TESTS else list(folder.glob("test_*.py"))
    if folder not in (TESTS, TESTS / Path(module).parts[0]):
        lies += folder.parent.glob(f"test_{folder.name}*.py")
    if Path(module).parts[0] in ("encoders", "decoders"):
        lies += (TESTS / "golden").glob("kinds_*.py")
    return tuple(lies)


@cache
def reached_by_systems(folder: Path) -> frozenset[str]:
    """What tests in the folder of a system, and checks against its authors' numbers, lead to."""
    tests = [*folder.rglob("test_*.py"), *(TESTS / "golden").glob("kinds_*.py")]
    return frozenset().union(*(reached(module_name(test)) for test in tests))


def goes_with_its_system(module: str) -> bool:
    """Whether a part of one encoder or decoder, or a network block, is tested through the whole."""
    first, *rest = Path(module).parts[:-1]
    if first in ("encoders", "decoders"):
        if rest and f".{rest[0]}" not in (ROOT / first / "catalogue.py").read_text():
            return True  # being written: no row leads to it yet
        return dotted(module) in reached_by_systems(TESTS / first / (rest[0] if rest else ""))
    return module.startswith("harness/nn/") and dotted(module) in reached_by_systems(TESTS / "nn")


def without_test() -> list[str]:
    """Modules that neither their name, nor a test beside, nor a table below leads to a test of."""
    return [
        module
        for module in modules()
        if not own_test(module).is_file()
        and not any(names_it(test, module) for test in beside(module))
        and not goes_with_its_system(module)
    ]


def test_every_module_has_its_test():
    missing = [name for name in without_test() if name not in TESTED_IN and name not in NO_LOGIC]
    assert not missing, (
        f"no test tells by its name or place that it is of {', '.join(missing)}; write one, or say in "
        "tests/test_mirrors.py where it is tested"
    )


@pytest.mark.parametrize(("module", "test"), TESTED_IN.items())
def test_what_is_tested_elsewhere_is_there(module, test):
    """A test that imports the module, perhaps through others, or a command that it types."""
    assert module in modules()
    assert not own_test(module).is_file(), f"{module} has a test of its own; take it off the table"
    command = Path(module).stem if module.startswith("harness/cli/") else ""
    if command in COMMAND:
        assert f'"{command}"' in (TESTS / test).read_text()
    else:
        assert dotted(module) in reached(f"tests.{test.removesuffix('.py').replace('/', '.')}")


@pytest.mark.parametrize("module", NO_LOGIC)
def test_what_has_no_logic_has_none(module):
    """Rows, constants, sizes and entry points; a function of three lines or more is logic."""
    defined = [
        node
        for node in ast.walk(ast.parse(modules()[module].read_text()))
        if isinstance(node, ast.FunctionDef) and len(node.body) > 3
    ]
    assert not defined, f"{module} defines {', '.join(node.name for node in defined)}"

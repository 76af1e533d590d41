"""Experiment suites: what a file says, what is computed of it, what is there already and what fails."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from commands import TOYS, call_harness

from harness.cli.experiment import _asked
from harness.cli.main import cli
from harness.cli.suite_tables import TABLES
from harness.errors import ConfigError
from harness.plugins import find
from harness.presets import presets_of
from harness.progress import Silent
from harness.run.cells import carry_out, cells
from harness.run.scheduling import Needs
from harness.run.suites import published_lines, read_suite, suite_names
from harness.storage.store import Store

SUITE = f"""
title: Toys
table: TABLE
benchmark: {{name: "{TOYS}:ToyBenchmark", n_test: 12}}
cheats: true
encoders:
  toy: {{encoder: "{TOYS}:ToyEncoder"}}
  truth: {{graded: {{}}}}
  noisy: {{graded: {{noise: 2}}}}
decoders:
  one: {{decoder: "{TOYS}:ToyDecoder"}}
  nearest: {{decoder: nearest-train}}
run: {{derangements: 2}}
metrics: [truth-r, pixcorr, voxel-r, decoded-agreement]
"""


@pytest.mark.parametrize("name", suite_names())
@pytest.mark.parametrize("smoke", [False, True])
def test_suites_that_come_with_the_harness_are_plans(tmp_path, name, smoke):
    from harness.run.plan import make_plan

    suite = read_suite(name, smoke=smoke)
    assert suite.table in TABLES
    planned = cells(suite, tmp_path)
    assert len(planned) == len(suite.encoders) * len(suite.decoders) * len(suite.seeds) * len(suite.subjects)
    first = {cell.decoder.label: cell for cell in reversed(planned) if cell.encoder.graded is None}
    first |= {cell.encoder.label: cell for cell in planned if cell.encoder.graded is None}
    plans = [make_plan(cell.request, need_decoder=False) for cell in first.values()]
    # Every column that is printed is a score of every cell.
    for plan in plans if suite.table in ("beside", "equal-terms") else ():
        named = {metric.ref.name for metric in plan.metrics}
        assert {column.partition("/")[0] for column in suite.columns} <= named


@pytest.mark.parametrize("name", suite_names())
def test_suites_are_files_for_measured_data_too(name):
    """Another benchmark takes the same file; no small network of this project is left in it."""
    suite = read_suite(name, measured=True)
    if suite.table in ("matrix", "which-score"):
        return
    assert not [metric for metric in suite.run["metrics"] if metric.endswith("@tiny")]
    assert not [v.label for v in suite.encoders if {"cls", "probes"} & {v.params.get("preset")}]


@pytest.mark.parametrize("measured", [False, True])
def test_linear_rows_of_chasms_table_are_pooled_and_a_flat_one_stands_beside_them(measured):
    variants = read_suite("chasm-1", measured=measured).encoders
    linear = {
        v.published: v.params for v in variants if v.published.startswith(("chasm-ridge", "chasm-probe"))
    }
    assert len(linear) == 5
    presets = presets_of(find("encoders", "ridge")).values
    for params in linear.values():
        assert {**presets.get(params.get("preset"), {}), **params}["tokens"] in ("mean", "rest")
    flat = [v.params for v in variants if v.plugin == "ridge" and not v.published]
    assert flat in ([{"preset": "cls-patches"}], [{"backbone": "dinov2", "layers": ["cls", "patches"]}])


def test_cells_of_one_fit_wait_for_it(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(
        "table: beside\nbenchmark: {name: embedded}\nmetrics: [voxel-r]\nencoders:\n"
        "  a: {encoder: chasm}\n"
        "  b: {encoder: chasm, intervention: what}\n"
        "  c: {encoder: chasm, predicts: clusters, intervention: where}\n"
        "  d: {encoder: chasm, topk: 0.5}\n"
    )
    needs = Needs([cell.fits for cell in cells(read_suite(str(file)), tmp_path)])
    assert needs.ready() == [0, 3]
    needs.finished(3)
    assert needs.ready() == []
    needs.finished(0)
    assert needs.ready() == [1, 2]
    other = cells(replace(read_suite(str(file)), benchmark_params={"n_train": 9}), tmp_path)
    assert not other[0].fits & cells(read_suite(str(file)), tmp_path)[0].fits


class Backwards:
    """An executor that has the last of its tasks first."""

    elsewhere, workers = True, 2

    def map(self, function, tasks):
        for task in reversed(list(tasks)):
            yield function(task)

    def close(self, *, wait=True):
        pass


def test_tables_of_several_suites_come_in_their_order_whatever_is_there_first(tmp_path):
    suites = []
    for seed, name in enumerate(("first", "second")):
        file = tmp_path / f"{name}.yaml"
        file.write_text(
            f"table: beside\nmetrics: [voxel-r]\nseeds: [{seed}]\n"
            f'benchmark: {{name: "{TOYS}:ToyBenchmark", n_test: 8}}\n'
            f'encoders: {{{name}: {{encoder: "{TOYS}:ToyEncoder"}}, b: {{encoder: nowhere}}}}\n'
        )
        suites.append(read_suite(str(file)))
    told, tables = [], []
    results = carry_out(
        suites,
        tmp_path,
        store=Store(tmp_path / "store"),
        reporter=Silent,
        executor=Backwards(),
        told=lambda suite, result, computed: told.append((suite.name, result.cell.encoder.label)),
        finished=lambda suite, results: tables.append((suite.name, [bool(r.run) for r in results])),
    )
    assert told == [(suite, label) for suite in ("second", "first") for label in ("b", suite)]
    assert tables == [("first", [True, False]), ("second", [True, False])]
    assert [result.cell.encoder.label for result in results] == ["first", "b", "second", "b"]
    assert results[2].run.folder.parent == tmp_path / "second"


def test_what_a_variant_stands_beside_is_a_published_line(tmp_path):
    lines = published_lines()
    named = {
        v.published
        for name in suite_names()
        for v in (*read_suite(name).encoders, *read_suite(name).decoders)
    }
    assert named - {""} <= lines.keys()
    # Lines of CHASMBrain, MindHier and SynBrain that no suite shows: those that it says are absent.
    left = {n for n in lines if n.startswith(("chasm", "mindhier", "synbrain-"))} - named
    assert left == {"chasm-3-schaefer"}
    (tmp_path / "x.yaml").write_text(
        "table: beside\nbenchmark: {name: embedded}\nencoders: {ridge: {cell: {published: chasn}}}"
    )
    with pytest.raises(ConfigError, match="did you mean 'chasm'"):
        read_suite(str(tmp_path / "x.yaml"))


BESIDE = f"""
title: Beside
table: beside
benchmark: {{name: "{TOYS}:ToyBenchmark", n_test: 12}}
encoders:
  toy: {{encoder: "{TOYS}:ToyEncoder", cell: {{published: chasm}}}}
  broken: {{encoder: nowhere}}
metrics: [voxel-r, voxel-mse]
absent: [{{what: another, why: nobody has it}}]
differs: [toys]
smoke: {{benchmark: {{name: "{TOYS}:ToyBenchmark", n_test: 8}}}}
"""


def test_a_table_stands_beside_the_printed_one_and_says_what_is_not_in_it(tmp_path):
    (tmp_path / "b.yaml").write_text(BESIDE)
    done = call_harness(tmp_path, "experiment", "b.yaml", "--smoke", "--workers", "2", check=False)
    assert done.returncode
    assert "1 of 2 cells failed" in done.stderr
    for text in (
        "(0.429)",
        "(0.261)",
        "failed: broken",
        "not in this table: another: nobody has it",
        "differs: toys",
    ):
        assert text in done.stdout, text
    assert "differs from print: simulated, not brain data, here; NSD there" in done.stdout
    table = (tmp_path / "runs" / "b-smoke" / "beside.csv").read_text()
    assert table.startswith("encoder,decoder,runs,column,mean")
    assert "toy" in table
    assert "0.429" in table


def test_a_suite_is_computed_once_and_prints_its_tables(tmp_path):
    file = tmp_path / "toys.yaml"
    file.write_text(SUITE.replace("TABLE", "which-score"))
    done = call_harness(tmp_path, "experiment", "toys.yaml")
    assert done.stderr.count(": computed") == 6
    assert "true order, by correlation with the noise-free truth: truth 1.000" in done.stdout
    counted = [
        json.loads(file.read_text())["computed"]["data"] for file in tmp_path.glob("runs/toys/*/run.json")
    ]
    assert [sum(of_run) for of_run in counted] == [1] * 6  # each run its own, not those before it too
    assert (tmp_path / "runs" / "toys" / "scores.csv").read_text().startswith("decoder,metric")
    file.write_text(SUITE.replace("TABLE", "matrix"))
    again = call_harness(tmp_path, "experiment", "toys.yaml")
    assert again.stderr.count(": is there") == 6
    assert "Kendall's tau" in again.stdout
    assert "one, nearest" in again.stdout
    assert "oracle" in again.stdout


def test_a_suite_is_computed_where_and_of_whom_is_asked(tmp_path, monkeypatch):
    """By every cell and by whoever computes the cells; nothing is opened before it is known to be sound."""
    opened = {}

    def note(name, **given):
        opened.update(given, name=name)
        raise ConfigError("enough")

    monkeypatch.setattr("harness.storage.opening.open_executor", note)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toys.yaml").write_text(SUITE.replace("TABLE", "matrix"))
    words = ["experiment", "toys.yaml", "--device", "cuda", "--executor", "slurm", "--store", "store"]
    words += [
        "--set",
        "run.slurm.partition=gpu",
        "--set",
        "run.slurm.minutes=30",
        "--set",
        "benchmark.n_test=8",
    ]
    with pytest.raises(ConfigError, match="enough"):
        cli.main(words, standalone_mode=False)
    assert (opened["name"], opened["device"]) == ("slurm", "cuda")
    assert (opened["slurm"].partition, opened["slurm"].minutes) == ("gpu", 30)
    given = {"benchmark": None, "values": {"benchmark": {}}, "smoke": False}
    given |= {"subjects": "subj02, 3", "device": "cuda"}
    suite = _asked("toys.yaml", given)
    planned = cells(suite, tmp_path)
    assert {cell.request.values["run"]["device"] for cell in planned} == {"cuda"}
    assert {cell.subject for cell in planned} == {"subj02", "3"}
    first, *others = suite.encoders
    own = replace(suite, encoders=(replace(first, subject="subj01"), *others))
    assert [cell.subject for cell in cells(own, tmp_path)].count("subj01") == len(suite.decoders)
    with pytest.raises(ConfigError, match=r"run\.slurm parameter 'partitoin'; did you mean 'partition'"):
        cli.main([*words, "--set", "run.slurm.partitoin=x"], standalone_mode=False)
    with pytest.raises(ConfigError, match=r"expected benchmark\.KEY=VALUE or run\.slurm\.KEY=VALUE"):
        cli.main([*words, "--set", "encoder.folds=3"], standalone_mode=False)


@pytest.mark.slow
def test_the_inverse_of_the_decoder_wins_a_decoded_score_and_loses_where_the_brain_counts(tmp_path):
    """Ranked among encoders made of the truth, a fitted ridge and a ridge on pixels."""
    import pandas as pd

    call_harness(tmp_path, "experiment", "which-score", "--smoke")
    table = pd.read_csv(tmp_path / "runs" / "which-score-smoke" / "scores.csv")
    place = table.set_index(["metric", "target"])["cheat_place"]
    last = table["encoders"].max()
    assert place["pixcorr@1", "stimulus"] == place["pixel-2way@1", "stimulus"] == 1
    assert place["voxel-r@1", "responses"] == last
    # With so few images it is not told apart from the ridge on pixels, which is about zero as well.
    assert place["decoded-agreement-controlled@2", "measured"] >= last - 1
    tau = table.set_index(["metric", "target"])["tau"]
    assert tau["voxel-r@1", "responses"] > 0.8 > 0.4 > tau["pixcorr@1", "stimulus"]


@pytest.mark.slow
def test_a_cell_that_fails_costs_no_other(tmp_path):
    text = SUITE.replace("TABLE", "matrix").replace(
        "noisy: {graded: {noise: 2}}", "broken: {encoder: nowhere}"
    )
    (tmp_path / "toys.yaml").write_text(text)
    done = call_harness(tmp_path, "experiment", "toys.yaml", check=False)
    assert done.returncode
    assert done.stderr.count(": computed") == 4
    assert done.stderr.count("broken × ") >= 2
    assert "2 of 6 cells failed" in done.stderr
    assert "Kendall's tau" in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("titel: x", "title"),
        ("table: matrix\nbenchmark: {name: embedded}", "'encoders' and 'decoders' are missing"),
        (SUITE.replace("graded: {}", "graded: {}, folds: 3"), "no other keys"),
        (SUITE + "published: [{what: x}]", "lacks value, source, differs"),
        (SUITE.replace("[truth-r", "truth-r #"), "expected a list"),
    ],
)
def test_files_that_are_no_suite(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_suite(str(tmp_path / "x.yaml"))


def test_names_that_are_none():
    with pytest.raises(ConfigError, match="which-score"):
        read_suite("which-scores")


def test_a_table_that_there_is_not_is_said_before_anything_is_computed(tmp_path):
    (tmp_path / "toys.yaml").write_text(SUITE.replace("TABLE", "matrx"))
    done = call_harness(tmp_path, "experiment", "toys.yaml", check=False)
    assert done.returncode
    assert "unknown table of a suite 'matrx'; did you mean 'matrix'" in done.stderr
    assert not (tmp_path / "runs").exists()

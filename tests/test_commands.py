"""The smaller commands, on the run of eight toy images that the other tests share."""

from __future__ import annotations

import base64
import importlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import HELPERS, WARM

from harness.cli.run import _as_assignments, run


@pytest.fixture
def finished(undisturbed, tmp_path) -> Path:
    """A copy of a finished run's folder."""
    (run,) = (undisturbed / "runs").iterdir()
    return Path(shutil.copytree(run, tmp_path / "finished"))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".md", ".tex"])
def test_export(harness, tmp_path, finished, suffix):
    harness("export", finished, f"table{suffix}")
    file = tmp_path / f"table{suffix}"
    if suffix in (".csv", ".parquet"):
        table = pd.read_csv(file) if suffix == ".csv" else pd.read_parquet(file)
        assert {"row", "metric", "mean", "low", "high", "n"} <= set(table.columns)
        assert {"measured", "predicted", "shuffled"} <= set(table.row)
    else:
        assert "mean-image" in file.read_text()


def test_export_of_single_values(harness, tmp_path, finished):
    harness("export", finished, "all.csv", "--per-image")
    assert len(pd.read_csv(tmp_path / "all.csv")) == len(pd.read_parquet(finished / "scores.parquet"))


@pytest.mark.parametrize(
    ("name", "file"),
    [("scores", "scores"), ("voxels", "voxel_scores"), ("sets", "set_scores"), ("regions", "region_scores")],
)
def test_export_of_a_runs_own_tables(harness, tmp_path, finished, name, file):
    harness("export", finished, "table.parquet", "--table", name)
    written, kept = (pd.read_parquet(f) for f in (tmp_path / "table.parquet", finished / f"{file}.parquet"))
    pd.testing.assert_frame_equal(written, kept)


def test_export_for_a_paper(harness, tmp_path, finished):
    harness("export", finished, "table.tex", "--wide", "--target", "measured")
    text = (tmp_path / "table.tex").read_text()
    assert text.count("\\toprule") == 1
    assert "measured fMRI" not in text  # it is what the others are compared with
    assert "predicted fMRI &" in text
    assert "--table" in harness("export", "--help").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "finished", "table.xls"], "unknown table format '.xls'"),
        (["export", "absent", "table.csv"], "holds no run.json"),
        (["report", "absent"], "holds no run.json"),
        (["export", "finished", "t.csv", "--table", "voxel"], "did you mean 'voxels'"),
        (["export", "finished", "t.csv", "--table", "captions"], "nothing for the table 'captions'"),
        (["export", "finished", "t.csv", "--table", "bottleneck"], "--set run.bottleneck=[0,8,64]"),
        (["export", "finished", "t.csv", "--target", "stimulis"], "did you mean 'stimulus'"),
        (["export", "finished", "t.csv", "--table", "rois", "--target", "stimulus"], "leave it out"),
        (["export", "finished", "t.csv", "--table", "voxels", "--wide"], "cannot be laid out wide"),
        (
            ["export", "finished", "t.csv", "--table", "sets", "--per-image"],
            "--per-image is the table scores",
        ),
        (
            ["export", "finished", "finished/run.json/t.csv"],
            "run.json is not a folder; give",
        ),
        (["export", "finished", "folder.csv"], "folder.csv is a folder; give a file in it"),
        (
            ["compare", "finished", "--csv", "finished/run.json/t.csv"],
            "run.json is not a folder; give",
        ),
        (["compare", "finished", "--csv", "finished"], "finished is a folder; give a file in it"),
        (["export", "finished", "t.csv", "--table", ""], "the value after --table is empty"),
        (["score", ""], "the value after score is empty"),
        (["plan", "--encoder", "ridge", "--subject="], "the value after --subject is empty"),
        (["list", "encoder"], "did you mean 'encoders'"),
        (["prefetch", "alexnt"], "did you mean 'alexnet'"),
        (["prefetch", "--from", "x.pth"], "--from takes one name"),
        (["inspect", "absent.mat"], "absent.mat"),
    ],
)
def test_wrong_words_are_one_line(harness, tmp_path, finished, words, message):
    (tmp_path / "folder.csv").mkdir()
    done = harness(*words, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["export", "finished", "a/new/folder/table.csv"],
        ["compare", "finished", "--row", "predicted", "--row", "oracle", "--csv", "a/new/folder/table.csv"],
    ],
)
def test_folders_of_outputs_are_made(harness, tmp_path, finished, words):
    harness(*words)
    assert len(pd.read_csv(tmp_path / "a" / "new" / "folder" / "table.csv"))


def test_a_damaged_run_says_so(harness, finished):
    (finished / "run.json").write_text('{"schema": 1')
    done = harness("report", "finished", check=False)
    assert done.returncode == 2
    assert "is damaged" in done.stderr


def test_what_may_be_handed_on_has_neither_stimuli_nor_measured_data(harness, finished):
    harness("report", "finished")
    whole = (finished / "report.html").read_text()
    assert "patterns-of-single-images" in whole
    assert "noise_ceiling" in pd.read_csv(finished / "figures" / "noise-ceilings.csv")
    assert (finished / "gallery" / "stimulus" / "00001.png").is_file()
    harness("report", "finished", "--shareable")
    assert (finished / "report.html").read_text() == whole
    files = {
        path.relative_to(finished / "shareable").as_posix() for path in (finished / "shareable").rglob("*.*")
    }
    assert {"report.html", "gallery.html", "methods.txt", "gallery/predicted/00001.png"} <= files
    assert not any(
        "stimulus" in name or "ceiling" in name.partition("/")[2] for name in files if "gallery/" in name
    )
    assert not any("patterns" in name or name.endswith((".npz", ".parquet", ".json")) for name in files)
    page = (finished / "shareable" / "report.html").read_text()
    assert "patterns-of-single-images" not in page
    tables = [pd.read_csv(finished / "shareable" / name) for name in files if name.endswith(".csv")]
    assert tables
    assert not any({"voxel", "noise_ceiling", "vertex"} & set(table.columns) for table in tables)
    assert not any("cortex" in name or "noise-ceiling" in name for name in files)
    assert "Single voxels are withheld" in page
    assert "Stimuli are withheld" in page
    stimuli = [(finished / path).read_bytes() for path in sorted(finished.glob("gallery/stimulus/*"))]
    encoded = [base64.b64encode(content).decode() for content in stimuli]
    handed_on = [path.read_bytes() for path in (finished / "shareable").rglob("*.*")]
    assert not any(content in handed_on for content in stimuli)
    assert not any(text in page for text in encoded)
    assert 'src="gallery/stimulus' not in (finished / "shareable" / "gallery.html").read_text()


def test_plan_computes_nothing(harness, tmp_path, toy_words):
    done = harness("plan", *toy_words, "--set", "encoder.ridge=3", "--out", "runs", "--no-report")
    assert "ridge=3.0" in done.stdout
    assert "oracle" in done.stdout
    assert "data are generated first" in done.stdout
    assert [p.name for p in (tmp_path / "store").iterdir() if p.name != "tmp"] == ["store.json"]
    assert not (tmp_path / "runs").exists()


def test_inspect_lists_arrays(harness, tmp_path):
    np.savez(tmp_path / "data.npz", betas=np.zeros((4, 7), np.float32), ids=np.array(["a", "b", "c", "d"]))
    lines = harness("inspect", "data.npz").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["betas", "ids"]
    assert "(4, 7)" in lines[0]


def test_doctor_finds_nothing_broken(harness):
    done = harness("doctor")
    assert "all plugins load" in done.stdout


def test_areas_of_lesions_are_named_or_all_groups():
    def settings(*words: str) -> list[str]:
        with run.make_context("run", ["--encoder", "ridge", *words]) as context:
            return [text for text in _as_assignments(context.params) if "lesions" in text]

    assert settings("--lesions", "--decoder", "linear") == ['run.lesions=["groups"]']
    assert settings("--lesions", "V1, a: b") == ['run.lesions=["V1", "a: b"]']
    assert settings() == []


def test_what_libraries_set_as_they_are_imported_starts_no_new_interpreter(harness):
    harness("--help")
    for name in ("sklearn", "torchvision", "open_clip", "transformers", "diffusers", "altair", "nltk"):
        importlib.import_module(name)
    assert WARM.serves(os.environ) == (os.environ["OMP_NUM_THREADS"] == "1")
    assert not WARM.serves({**os.environ, "LC_ALL": "C"})
    assert not WARM.serves({**os.environ, "PYTHONPATH": str(HELPERS / "skewed_clock")})

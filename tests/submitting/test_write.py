"""What a submission holds and what it does not; and both commands."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from commands import TOYS
from submissions import edit_table, rehash, set_value, submitted
from toy_runs import toy_run

from harness.cli.submit import submit, verify
from harness.errors import ConfigError, DataError
from harness.image_sets import image_sha
from harness.results import RunResult
from harness.storage.store import Store
from harness.submitting.cards import public_params
from harness.submitting.document import read_submission
from harness.submitting.independent import correlation
from harness.submitting.remade import remade_plan


def called(command, *words):
    return CliRunner().invoke(command, [str(word) for word in words])


def test_both_commands(run, kept, tmp_path):
    out = tmp_path / "submission"
    done = called(submit, run.folder, "-o", out, "--store", kept)
    assert done.exit_code == 0, done.output
    assert "harness verify" in done.output
    done = called(verify, out, "--store", kept, "--sample", 2)
    assert done.exit_code == 0, done.output
    assert "computed again: scores of images by scikit-image and numpy: 12 values" in done.output
    assert RunResult.open(out).verified.checked
    edit_table(out, "scores", lambda table: set_value(table, 0.9, row="predicted", metric="ssim@1"))
    rehash(out, derive=True)
    done = called(verify, out, "--store", kept, "--sample", 2)
    assert isinstance(done.exception, DataError)
    assert re.search("altered: .*ssim, image 'test-.*' is 0.9; recomputed", done.output)
    # What was submitted before is replaced, anything else is not.
    assert called(submit, run.folder, "-o", out, "--store", kept).exit_code == 0
    assert not (out / "verified.json").exists()
    assert isinstance(called(submit, run.folder, "-o", run.folder).exception, ConfigError)


def test_neither_stimuli_nor_measured_data_are_in_it(run, whole, kept):
    plan, _ = remade_plan(run.record)
    data = plan.benchmark_object().load(plan.subject)
    stimuli = {sha for split in (data.train, data.test) for sha in split.stimuli.image_hashes()}
    assert not (whole / "gallery.npz").exists()
    with np.load(whole / "reconstructions.npz") as file:
        assert {name.partition("/")[2] for name in file.files} == {"measured", "predicted"}
        shown = [image for name in file.files if name.startswith("images/") for image in file[name]]
    assert not stimuli & {image_sha(image) for image in shown}
    with np.load(whole / "predictions.npz") as file:
        assert set(file.files) == {"ids", "voxels", "predictions"}
        predicted = file["predictions"].astype(np.float32)
    assert correlation(predicted[0], data.test.responses.mean()[0]) < 0.99
    info = json.loads((whole / "run.json").read_text())
    assert "command" not in info
    assert {card.kind: card.licence for card in read_submission(whole).cards} == dict.fromkeys(
        ("benchmark", "encoder", "decoder"), "Apache-2.0"
    )


def test_where_files_lay_is_left_out():
    given = {"weights": "/home/me/w.pt", "sizes": [1, "~/x/y"], "nested": {"root": "/data"}, "word": "a/b"}
    assert public_params(given) == {
        "weights": "w.pt",
        "sizes": [1, "y"],
        "nested": {"root": "data"},
        "word": "a/b",
    }


def test_plugins_in_files_are_called_where_the_run_is_ones_own(tmp_path):
    store = tmp_path / "store"
    run = toy_run(tmp_path / "run", store, {"run": {"derangements": 2, "metrics": ["pixcorr", "voxel-r"]}})
    folder = submitted(run, tmp_path / "outside", Store(store))
    record = read_submission(folder)
    assert set(record.left_out) == {"reconstructions.npz", "predictions.npz"}
    assert "code that a record names is not run" in record.left_out["predictions.npz"]
    (encoder,) = [card for card in record.cards if card.kind == "encoder"]
    assert encoder.name == f"{TOYS}:ToyEncoder"
    assert encoder.citation.startswith("Small plugins for tests of the engine")  # read, not executed
    folder = submitted(run, tmp_path / "own", Store(store), own_code=True)
    assert (folder / "predictions.npz").is_file()


def test_a_decoder_that_shows_stimuli_submits_none(tmp_path):
    store = tmp_path / "store"
    values = {"run": {"derangements": 2, "metrics": ["pixcorr"]}}
    run = toy_run(tmp_path / "run", store, values, decoder="nearest-train")
    folder = submitted(run, tmp_path / "out", Store(store), own_code=True)
    assert not (folder / "reconstructions.npz").exists()
    assert "of its images are stimuli" in read_submission(folder).left_out["predicted"]


def test_a_run_whose_tables_were_edited_is_not_submitted(run, kept, tmp_path):
    import shutil

    shutil.copytree(run.folder, tmp_path / "edited")
    edit_table(tmp_path / "edited", "scores", lambda table: set_value(table, 0.9, row="predicted"))
    with pytest.raises(DataError, match="is not what the run wrote"):
        submitted(RunResult.open(tmp_path / "edited"), tmp_path / "out", Store(kept))
    assert not (tmp_path / "out").exists()

"""Reconstructions of some of the test images: refused, or scored alone with the others named."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from commands import TOYS, only_run
from given_files import save_images, write
from toy_runs import toy_run
from toys import ToyBenchmark

from harness import plugins
from harness.errors import ConfigError, DataError
from harness.stages.data import load_subject
from harness.stages.model import Configured
from harness.stages.reconstructions import GivenImages
from harness.storage.executors import Inline
from harness.storage.store import Store

PARAMS = {"n_test": 16}


@pytest.fixture
def data():
    return ToyBenchmark(ToyBenchmark.Params(**PARAMS)).load("toy01")


def test_the_images_that_are_there_are_scored_alone_and_flagged(harness, tmp_path, data):
    """Every row and control on one hashed subset, what any row lacks being left out of all."""
    stimuli = data.test.stimuli
    kept = [k for k in range(16) if k not in (0, 4, 5, 9)]
    ids = [stimuli.ids[k] for k in kept]
    images = stimuli.images()[kept]
    save_images(tmp_path / "r" / "measured", ids[1:], images[1:])
    np.savez(tmp_path / "r" / "predicted.npz", recons=images[:, ::-1], ids=np.array(ids))
    write(tmp_path / "p.npz", stimuli.ids, data.truth.mean())
    command = ["run", "--benchmark", f"{TOYS}:ToyBenchmark", "--set", "benchmark.n_test=16", "--no-report"]
    command += ["--encoder", "file:p.npz", "--decoder", "folder:r", "--metrics", "pixcorr,pattern-2way"]
    refused = harness(*command, check=False)
    assert refused.returncode == 2
    assert "lacks 5 of 16 test images (test-000, test-001, test-004, test-005, test-009)" in refused.stderr
    assert "To score the other 11 alone, add --allow-missing" in refused.stderr
    assert not (tmp_path / "runs").exists()
    done = harness(*command, "--allow-missing")
    run = only_run(tmp_path)
    assert run.info["subset"] == {
        "name": "present-11",
        "sha": hashlib.sha256("\n".join(ids[1:]).encode()).hexdigest(),
        "missing": 5,
        "first_missing": ["test-000", "test-001", "test-004", "test-005", "test-009"],
    }
    (flag,) = [flag for flag in run.info["flags"] if flag["name"] == "missing-reconstructions"]
    assert flag["message"].startswith("5 test images have no reconstruction (test-000, test-001, test-004")
    assert "5 test images have no reconstruction" in " ".join(done.stdout.split())
    by_row = run.scores.groupby("row").image_id.apply(lambda column: sorted(set(column)))
    assert {"measured", "predicted", "shuffled", "mean-image", "nearest-train-measured"} <= set(by_row.index)
    assert all(scored_ids == ids[1:] for scored_ids in by_row)
    assert set(run.scores.n) == {11}
    pixcorr = run.scores[run.scores.metric == "pixcorr@1"].groupby(["row", "target"]).value.mean()
    assert pixcorr["measured", "stimulus"] == pytest.approx(1)


def test_the_named_subset_is_drawn_before_what_is_missing_is_left_out(tmp_path, data):
    given, stimuli = GivenImages(str(tmp_path / "r.npz"), "file"), data.test.stimuli
    write(tmp_path / "r.npz", stimuli.ids[3:], stimuli.images()[3:], "reconstructions")
    loaded = {
        how: load_subject(
            Configured(plugins.find("benchmarks", f"{TOYS}:ToyBenchmark"), ToyBenchmark.Params(**PARAMS)),
            "toy01",
            store=Store(tmp_path / "store"),
            executor=Inline(),
            limit=8 if "limit" in how else None,
            present=given.present if "present" in how else None,
        )
        for how in ("", "limit", "present", "limit present")
    }
    there = {how: set(of.test.stimuli.ids) for how, (of, _, _) in loaded.items()}
    assert there["limit present"] == there["limit"] & there["present"]
    assert there["present"] == set(stimuli.ids[3:])
    missing = len(there["limit"] - there["present"])
    assert missing > 0
    assert {how: named and (named.name, named.missing) for how, (_, named, _) in loaded.items()} == {
        "": None,
        "limit": ("limit-8", 0),
        "present": ("present-13", 3),
        "limit present": (f"limit-8-present-{8 - missing}", missing),
    }
    hashes = {named.sha for _, named, _ in loaded.values() if named}
    assert len(hashes) == 3


def test_when_nothing_is_missing_the_option_changes_no_table(tmp_path, data):
    write(tmp_path / "r.npz", data.test.stimuli.ids, data.test.stimuli.images(), "reconstructions")
    plain, allowed = (
        toy_run(
            tmp_path / f"allowed-{allow}",
            tmp_path / "store",
            {"benchmark": PARAMS, "run": {"metrics": ["pixcorr"], "allow_missing": allow}},
            encoder=None,
            decoder=f"file:{tmp_path / 'r.npz'}",
        )
        for allow in (False, True)
    )
    assert plain.info["subset"] is allowed.info["subset"] is None
    assert plain.info["flags"] == allowed.info["flags"]
    pd.testing.assert_frame_equal(plain.scores.drop(columns="run"), allowed.scores.drop(columns="run"))


def test_a_decoder_that_runs_here_lacks_nothing(tmp_path):
    with pytest.raises(ConfigError, match="--allow-missing is for images or captions made elsewhere"):
        toy_run(tmp_path / "run", tmp_path / "store", {"benchmark": PARAMS, "run": {"allow_missing": True}})


def test_ids_that_all_differ_are_refused_whatever_is_allowed(tmp_path, data):
    stimuli = data.test.stimuli
    write(tmp_path / "r.npz", [f"x{name}" for name in stimuli.ids], stimuli.images(), "reconstructions")
    given = GivenImages(str(tmp_path / "r.npz"), "file")
    with pytest.raises(
        DataError, match=r"no test image .*ids such as xtest-000; expected ids such as test-000"
    ):
        given.present(stimuli.ids)
    with pytest.raises(DataError, match="lacks 16 of 16") as caught:
        given.rows(stimuli, flat_row="predicted")
    assert "--allow-missing" not in str(caught.value)

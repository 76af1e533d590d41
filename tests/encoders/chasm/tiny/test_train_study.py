"""The study of CHASMBrain: which images score, correlations, cells that are not computed twice."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from harness.benchmarks.embedded import Embedded2, Params
from harness.encoders.chasm.tiny import train_study as study


def test_validation_reads_training_images_and_test_the_test_images():
    data = Embedded2(Params(n_train=40, n_test=5)).load("subj03")
    held_out, measured = study.scored_images(data, "validation", 0, 0.1)
    assert len(held_out.ids) == 4
    assert set(held_out.ids) < set(data.train.stimuli.ids)
    assert np.array_equal(measured, data.train.select(held_out.ids).responses.mean())
    assert study.scored_images(data, "test", 0, 0.1)[0].ids == data.test.stimuli.ids


def test_correlations_are_per_voxel_and_by_group():
    data = Embedded2(Params(n_train=2, n_test=40)).load("subj03")
    truth = data.truth.mean()
    shuffled = truth.copy()
    shuffled[:, data.space.groups["early"]] = np.roll(truth, 1, axis=0)[:, data.space.groups["early"]]
    r = study.correlations(shuffled, truth, data)
    assert r["middle"] == r["higher"] == pytest.approx(1.0, abs=1e-3)
    assert abs(r["early"]) < 0.2


def test_a_cell_is_written_once(tmp_path, monkeypatch):
    words = ["study", str(tmp_path), "--images", "60", "--score", "validation", "--system", "ridge-pooled"]
    monkeypatch.setattr(sys, "argv", words)
    study.main()
    file = next(tmp_path.glob("*.json"))
    cell = json.loads(file.read_text())
    assert (cell["system"], cell["images"], cell["version"]) == ("ridge-pooled", 60, "2")
    assert set(cell["r"]) == {"all", "early", "middle", "higher"}
    monkeypatch.setattr(study, "cell", lambda *args, **more: pytest.fail("computed twice"))
    study.main()


def test_a_cell_of_chasm_has_ablations_and_interventions(tmp_path):
    quick = {"stage1_epochs": 1, "stage2_epochs": 1, "warmup_epochs": 0, "width": 64, "refine_width": 32}
    quick |= {"head_width": 32}
    where = {"version": "2", "images": 60, "seed": 0}
    cell = study.cell("chasm", quick, **where, score="validation", out=tmp_path)
    assert set(cell["r_with_the_part_of_another_image"]) == set(study.ABLATIONS)
    rows = cell["interventions"]
    assert set(rows) == {"weight", *study.INTERVENTIONS}
    assert sum(rows["weight"][name] for name in ("early", "middle", "higher")) == pytest.approx(1, abs=1e-3)
    for row in rows.values():
        assert set(row) == {"all", "early", "middle", "higher"}
    assert len({row["all"] for row in rows.values()}) > 3  # the streams are not one

"""Embedding: each image set once per backbone, batches that shrink to the memory there is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from commands import TOYS

from harness.backbones.pixels import Pixels
from harness.errors import PluginError
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.stages import extraction
from harness.storage.content import digest
from harness.storage.store import Store
from harness.storage.worker import forget

METRICS = ("pixel-2way", "pixel-2way-strict", "decoded-agreement", "decoded-agreement-controlled")


def run_of(store, *, metrics=METRICS, n_test=70, layers=()):
    """A run of the toys in this process, with a ridge on `layers` of 'pixels' in place of the toy encoder."""
    forget()
    values = {"run": {"metrics": list(metrics), "derangements": 3}, "benchmark": {"n_test": n_test}}
    if layers:
        values["encoder"] = {"layers": list(layers), "alphas": [1.0]}
    request = Request(
        benchmark=f"{TOYS}:ToyBenchmark",
        encoder="ridge" if layers else f"{TOYS}:ToyEncoder",
        decoder=f"{TOYS}:ToyDecoder",
        values=values,
    )
    return run_plan(make_plan(request), Store(store))


@pytest.fixture
def embedded(monkeypatch):
    """Counts how often the backbone 'pixels' saw each batch of images."""
    seen, extract = Counter(), Pixels.extract

    def counted(self, images, layers):
        seen[digest(np.asarray(images))] += 1
        return extract(self, images, layers)

    monkeypatch.setattr(Pixels, "extract", counted)
    return seen


def batches(outcome):
    """Distinct batches of all image sets that were scored."""
    sets = {s.sha: s for images in outcome.sets for s in (images.images, images.stimuli)}
    parts = [s.select(s.ids[k : k + extraction.BATCH]) for s in sets.values() for k in (0, extraction.BATCH)]
    return {digest(part.images()) for part in parts}


def test_each_image_set_is_embedded_once_whatever_the_metrics_rows_and_encoders(tmp_path, embedded):
    one_metric = run_of(tmp_path / "one", metrics=("pixel-2way",))
    assert len(one_metric.sets) > 6
    assert len(batches(one_metric)) > 12
    assert embedded == dict.fromkeys(batches(one_metric), 1)

    embedded.clear()
    all_metrics = run_of(tmp_path / "all")
    assert {s.metric.ref.name for s in all_metrics.scored.images} == set(METRICS)
    assert embedded == dict.fromkeys(batches(all_metrics), 1)

    # Another encoder has other predictions, and training images that it is fitted on; else all is there.
    before = set(embedded)
    another = run_of(tmp_path / "all", layers=["rgb8"])
    assert batches(another) - before
    assert set(embedded.values()) == {1}


def test_an_encoder_and_metrics_on_one_backbone_share_one_pass(tmp_path, embedded):
    outcome = run_of(tmp_path, layers=["rgb16", "grey8"])  # layers that no metric compares
    assert set(embedded) > batches(outcome)
    assert set(embedded.values()) == {1}


def test_a_backbone_that_raises_costs_its_own_metrics_only(tmp_path, monkeypatch, caplog):
    def broken(self, images, layers):
        raise ZeroDivisionError("an odd card")

    monkeypatch.setattr(Pixels, "extract", broken)
    outcome = run_of(tmp_path, metrics=("pixcorr", *METRICS), n_test=8)
    assert {s.metric.ref.name for s in outcome.scored.images} == {"pixcorr"}
    assert [f.metric.partition("@")[0] for f in outcome.scored.failures] == list(METRICS)
    assert {f.error for f in outcome.scored.failures} == {"ZeroDivisionError: an odd card"}
    assert "backbone 'pixels' fails: ZeroDivisionError: an odd card" in caplog.text


# Memory


class Small:
    """A backbone on a device that holds `room` images."""

    def __init__(self, room, error):
        self.room, self.error, self.calls = room, error, []

    def extract(self, images, layers):
        self.calls.append(len(images))
        if len(images) > self.room:
            raise self.error
        return {layer: images.reshape(len(images), -1) * np.float32(k + 1) for k, layer in enumerate(layers)}


@pytest.fixture
def opened(monkeypatch):
    """Puts a backbone in the place of the one that would be opened."""
    forget()

    def put(backbone):
        monkeypatch.setattr(extraction, "open_backbone", lambda name, device: backbone)
        return backbone

    yield put
    forget()


ERRORS = [
    MemoryError("no room"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_batches_are_halved_until_they_fit_and_stay_so(opened, caplog, error):
    backbone = opened(Small(room=20, error=error))
    images = np.random.default_rng(0).random((50, 2, 2, 3), np.float32)
    for _ in range(2):
        features = extraction.extract_in_memory("small", images, ["a", "b"], device="cpu")
        np.testing.assert_array_equal(features["a"], images.reshape(50, 12))
        np.testing.assert_array_equal(features["b"], 2 * images.reshape(50, 12))
    assert backbone.calls == [50, 25, *(2 * [12, 12, 12, 12, 2])]
    warnings = [r.getMessage() for r in caplog.records]
    assert len(warnings) == 2
    assert (
        "backbone 'small': 25 images at once do not fit into the memory of cpu, going on with 12"
        in (warnings[1])
    )


def test_one_image_that_does_not_fit_is_an_error_that_names_the_backbone(opened):
    opened(Small(room=0, error=MemoryError("no room")))
    images = np.zeros((3, 2, 2, 3), np.float32)
    with pytest.raises(PluginError, match=r"'small' does not fit into the memory of cpu .*\(no room\)"):
        extraction.extract_in_memory("small", images, ["a"], device="cpu")


def test_other_errors_are_not_mistaken_for_a_lack_of_memory(opened):
    backbone = opened(Small(room=2, error=RuntimeError("sizes do not match")))
    with pytest.raises(RuntimeError, match="sizes do not match"):
        extraction.extract_in_memory("small", np.zeros((3, 2, 2, 3), np.float32), ["a"], device="cpu")
    assert backbone.calls == [3]

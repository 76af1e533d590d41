"""Embedding: each image set once per backbone, batches that shrink to the memory there is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from commands import TOYS

from harness.backbones.pixels import Pixels
from harness.backbones.transformers_models import DINOv2
from harness.data import Stimuli
from harness.errors import PluginError
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.settings import Request
from harness.stages import extraction
from harness.stages import features as features_module
from harness.stages.features import FeatureStore
from harness.storage.content import digest
from harness.storage.executors import Inline
from harness.storage.sharded import ShardedArray
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


def pictures(count):
    images = np.random.default_rng(count).integers(0, 256, (count, 6, 6, 3)).astype(np.uint8)
    return Stimuli.from_array([f"image-{k:03d}" for k in range(count)], images)


def test_a_large_layer_stays_in_its_files_and_is_read_by_rows(tmp_path, monkeypatch):
    forget()
    store, stimuli = Store(tmp_path), pictures(150)
    features = FeatureStore(store, Inline(), device="cpu")
    whole = features.layer("pixels", "rgb8", stimuli)
    assert isinstance(whole, np.ndarray)
    saved = features.saved([("pixels", "rgb8")], [stimuli])
    monkeypatch.setattr(features_module, "LARGE", whole.nbytes - 1)
    turned = stimuli.select(stimuli.ids[::-1])
    for rows, expected in (
        (features.layer("pixels", "rgb8", stimuli), whole),
        (saved.layer("pixels", "rgb8", stimuli), whole),
        (saved.layer("pixels", "rgb8", turned), whole[::-1]),
    ):
        assert isinstance(rows, ShardedArray)
        assert (rows.shape, rows.dtype) == (whole.shape, np.float32)
        np.testing.assert_array_equal(rows[[149, 3, 70]], expected[[149, 3, 70]])
        np.testing.assert_array_equal(np.asarray(rows), expected)
    part = stimuli.select(stimuli.ids[5:9])
    np.testing.assert_array_equal(saved.layer("pixels", "rgb8", part), whole[5:9])
    assert isinstance(saved.layer("pixels", "rgb8", part), np.ndarray)


class Tokens:
    """A backbone whose layer ``tokens`` is kept as float16."""

    version, layers, half = "1", ("cls", "tokens"), ("tokens",)
    largest = 1.0

    def extract(self, images, layers):
        values = images.reshape(len(images), -1).astype(np.float32) / 3 * self.largest
        return dict.fromkeys(layers, values)


def test_tokens_are_kept_as_float16_and_nothing_else_is(opened, monkeypatch, tmp_path):
    backbone, stimuli = opened(Tokens()), pictures(70)
    monkeypatch.setattr(features_module, "backbone_identity", lambda name: {"backbone": name})
    features = FeatureStore(Store(tmp_path), Inline(), device="cpu")
    tokens, cls = (features.layer("small", layer, stimuli) for layer in ("tokens", "cls"))
    kinds = {
        layer: {
            np.load(folder / "features.npy").dtype.name
            for folder in features.folders("small", layer, stimuli)
        }
        for layer in ("tokens", "cls")
    }
    assert kinds == {"tokens": {"float16"}, "cls": {"float32"}}
    assert tokens.dtype == cls.dtype == np.float32
    np.testing.assert_array_equal(tokens, cls.astype(np.float16).astype(np.float32))
    backbone.largest = 1e4
    with pytest.raises(PluginError, match=r"'tokens' of backbone 'small' reaches .*float16.*65,504"):
        features.layer("small", "tokens", pictures(3))


def test_the_large_backbone_keeps_its_tokens_so():
    assert {"patches", "block12"} <= set(DINOv2.half) < set(DINOv2.layers)


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

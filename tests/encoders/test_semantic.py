"""A semantic read-out predicts what words explain, reads them where it says so, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from harness import plugins
from harness.api import ConfigError, DataError, Responses, Split, Stimuli, SubjectData, VoxelSpace
from harness.encoders.semantic import SemanticEncoder
from harness.run.requirements import missing_files
from harness.stages.encode import encode
from harness.stages.features import FeatureStore
from harness.stages.fit import fit_encoder
from harness.storage.executors import Inline
from harness.storage.store import Store
from harness.testing import check_encoder, toy_subject

KINDS, COLOURS = ("cup", "dog", "house", "tree", "car"), ("red", "green", "blue")
WORDS = (*KINDS, *COLOURS, "large")
N, TEST, V = 150, 50, 8


@dataclass(frozen=True)
class Words:
    """Texts as counts of words."""

    def text(self, backbone, texts):
        return np.array([[text.split().count(word) for word in WORDS] for text in texts], np.float32)


def case(*, shuffled=False):
    """A subject whose voxels follow the kind and the colour of what is shown; pixels are noise."""
    generator = np.random.default_rng(0)
    kind, colour = generator.integers(0, 5, N + TEST), generator.integers(0, 3, N + TEST)
    signal = generator.standard_normal((5, V))[kind] + generator.standard_normal((3, V))[colour]
    values = signal / signal.std(axis=0) + 0.5 * generator.standard_normal(signal.shape)
    if shuffled:
        values[:N] = values[generator.permutation(N)]
    captions = [(f"a {COLOURS[c]} {KINDS[k]}", f"{KINDS[k]} large") for k, c in zip(kind, colour)]
    images = generator.integers(0, 256, (N + TEST, 4, 4, 3), dtype=np.uint8)
    space = VoxelSpace("toy", "toy01", "all", V, "zscore", "semantic")
    parts = []
    for at in (slice(0, N), slice(N, None)):
        ids = [str(number) for number in range(N + TEST)[at]]
        labels = {"category": np.array(KINDS)[kind[at]]}
        stimuli = Stimuli.from_array(ids, images[at], captions=captions[at], labels=labels)
        parts.append(Split(stimuli, Responses.single(space, ids, values[at])))
    return SubjectData(space, *parts)


def error(subject, **params):
    """Mean squared error on test images, of the read-out and of the training mean."""
    encoder = SemanticEncoder(SemanticEncoder.Params(alphas=(1.0, 10.0, 100.0, 1000.0), **params))
    encoder.fit([subject.training()], Words(), seed=0, device="cpu", checkpoint_dir=None)
    seeds = np.zeros((TEST, 1), np.uint64)
    predicted = encoder.predict(subject.test.stimuli, Words(), space=subject.space, seeds=seeds)[:, 0]
    measured = subject.test.responses.mean()
    mean = subject.train.responses.mean().mean(axis=0)
    return np.square(predicted - measured).mean(), np.square(mean - measured).mean()


def test_words_explain_what_hangs_on_them_and_nothing_of_shuffled_responses():
    ours, mean = error(case())
    assert ours < 0.35 * mean
    shuffled, mean = error(case(shuffled=True))
    assert shuffled > 0.95 * mean


def test_what_is_read_is_what_is_known():
    """The kind alone, from labels or from captions that lack the colour, explains less than both."""
    both, _ = error(case())
    label, _ = error(case(), reads=("category",))
    together, _ = error(case(), reads=("captions", "category"))
    first, _ = error(case(), several="first")
    assert label > both + 0.1
    assert abs(together - both) < 0.05
    assert abs(first - both) < 0.05


def test_images_without_words_are_refused_with_what_to_type():
    subject = case()
    bare = Stimuli.from_array(["0"], np.zeros((1, 4, 4, 3), np.uint8))
    encoder = SemanticEncoder(SemanticEncoder.Params())
    with pytest.raises(DataError, match=r"reads captions, .* neither captions nor labels: --encoder ridge"):
        encoder.require(bare)
    labelled = Stimuli.from_array(["0"], np.zeros((1, 4, 4, 3), np.uint8), labels={"category": ["cup"]})
    with pytest.raises(DataError, match=r"they have category: --set encoder\.reads=\[category\]"):
        encoder.require(labelled)
    other = SemanticEncoder(SemanticEncoder.Params(reads=("colour",)))
    with pytest.raises(DataError, match=r"reads colour.*captions, category"):
        other.fit([subject.training()], Words(), seed=0, device="cpu", checkpoint_dir=None)


def test_it_keeps_its_contract():
    subjects = tuple(toy_subject(name, n_train=24, n_test=6, side=16) for name in ("toy01", "toy02", "toy03"))
    params = SemanticEncoder.Params(text="bigg@tiny", alphas=(1.0, 100.0))
    report = check_encoder(SemanticEncoder, params, subjects=subjects)
    assert report.ok, [str(finding) for finding in report]


def test_a_backbone_that_reads_nothing_is_refused_with_the_plan():
    ref = plugins.find("encoders", "semantic")
    with pytest.raises(ConfigError, match=r"'scenes@tiny' reads no texts; those that do: .*bigg@tiny"):
        missing_files([(ref, SemanticEncoder.Params(text="scenes@tiny"))], subjects=["toy01"])
    (line,) = missing_files([(ref, SemanticEncoder.Params(text="clip-l14-text"))], subjects=["toy01"])[:1]
    assert "harness prefetch" in line


def test_other_words_are_another_fit_and_other_predictions(tmp_path):
    """Captions are in no image's hash: of all encoders those that read them alone depend on them."""
    store = Store(tmp_path / "store")
    features = FeatureStore(store, Inline(), device="cpu")
    place = {"features": features, "store": store, "executor": Inline(), "seed": 0}
    subject = toy_subject(n_train=12, n_test=4, side=16)

    def written(stimuli, word):
        return Stimuli.from_array(stimuli.ids, stimuli.images(), captions=[f"a {word}"] * len(stimuli))

    def keys(name, params):
        """Of the fits of two subjects that differ in captions."""
        ref = plugins.find("encoders", name)
        trained = [
            replace(subject, train=Split(written(subject.train.stimuli, word), subject.train.responses))
            for word in ("dog", "house")
        ]
        models = [
            fit_encoder(ref, ref.load().Params(**params), [each], device="cpu", **place) for each in trained
        ]
        return models[0], models[0].key == models[1].key

    _, equal = keys("ridge", {"alphas": (1.0,)})
    assert equal
    model, equal = keys("semantic", {"text": "bigg@tiny", "alphas": (1.0,)})
    assert not equal
    ref = plugins.find("encoders", "semantic")
    model = fit_encoder(ref, model.params, [subject], device="cpu", **place)
    how = {**place, "space": subject.space, "samples": 1, "micro_batch": 4}
    predicted = [
        encode(model, written(subject.test.stimuli, word), **how) for word in ("red house", "green dog")
    ]
    assert not np.allclose(*predicted)

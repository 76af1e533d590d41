"""Retrieval in the decoder's embedding: definitions, galleries, cosines, and whole runs."""

from __future__ import annotations

import functools
import json
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import toys
from commands import TOYS, only_run
from hypothesis import given, settings
from hypothesis import strategies as st
from named_metrics import metric_named
from plain_features import PlainFeatures
from sklearn.metrics.pairwise import cosine_similarity

from harness import plugins
from harness.api import Metric
from harness.metrics.retrieval import GALLERY, galleries, random_galleries, top1
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import run_record
from harness.scoring.compare import derangements_of
from harness.scoring.cosines import write_cosines
from harness.scoring.decoder_space import Embedding
from harness.settings import Request
from harness.storage.store import Artifact, Store
from harness.storage.worker import forget

NAMES = ("image-retrieval", "brain-retrieval")


@functools.lru_cache
def metric(name):
    return metric_named(name)


def names(n):
    return tuple(f"image-{k:04d}" for k in range(n))


def brute(cosines, *, given):
    """Top-1 with one gallery of all, by looping: given the `brain` or the `image`, find the other."""
    values = []
    for k in range(len(cosines)):
        row = [cosines[k, i] if given == "brain" else cosines[i, k] for i in range(len(cosines))]
        best = max(row)
        values.append((row[k] == best) / row.count(best))
    return np.array(values)


# Definitions


def test_directions_are_what_their_names_say():
    generator = np.random.default_rng(0)
    similar = np.round(generator.standard_normal((40, 40)) + 2 * np.eye(40), 1)  # with ties
    image = metric("image-retrieval").score(similar, ids=names(40))
    brain = metric("brain-retrieval").score(similar, ids=names(40))
    np.testing.assert_allclose(image, brute(similar, given="brain"))
    np.testing.assert_allclose(brain, brute(similar, given="image"))
    # A hub, an image that every brain finds, spoils the one and says nothing about the other.
    hub = similar + 9 * (np.arange(40) == 3)
    hits = metric("image-retrieval").score(hub, ids=names(40))
    np.testing.assert_array_equal(hits, np.arange(40) == 3)
    np.testing.assert_array_equal(metric("brain-retrieval").score(hub, ids=names(40)), brain)
    np.testing.assert_allclose(metric("brain-retrieval").score(similar.T, ids=names(40)), image)


@pytest.mark.parametrize("name", NAMES)
def test_ties_count_by_share(name):
    retrieval = metric(name)
    same = np.full((8, 8), 0.5)
    np.testing.assert_allclose(retrieval.score(same, ids=names(8)), 1 / 8)
    pairs = np.kron(np.eye(4), np.ones((2, 2)))  # images in twos that cannot be told apart
    np.testing.assert_allclose(retrieval.score(pairs, ids=names(8)), 1 / 2)
    np.testing.assert_allclose(retrieval.score(np.eye(8), ids=names(8)), 1)
    np.testing.assert_allclose(retrieval.score(1 - np.eye(8), ids=names(8)), 0)
    nearly = np.eye(8)
    nearly[0, 1] = 1 + 1e-14  # rounding decides nothing
    assert top1(nearly)[0] == 1 / 2
    nearly[0, 1] = 1 + 1e-9
    assert top1(nearly)[0] == 0


def test_what_is_not_a_number_is_not_scored_and_nobodys_rival():
    similar = np.eye(6) + 0.5 * (np.arange(6) == 2)  # all but one's own lose against image 2
    similar[2, :] = np.nan
    similar[:, 2] = np.nan
    for name in NAMES:
        values = metric(name).score(similar, ids=names(6))
        np.testing.assert_array_equal(values, [1, 1, np.nan, 1, 1, 1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 30))
def test_order_of_images_changes_no_value(seed, n):
    generator = np.random.default_rng(seed)
    similar = np.round(generator.standard_normal((n, n)), 1)
    order = generator.permutation(n)
    ids = names(n)
    for name in NAMES:
        moved = metric(name).score(similar[np.ix_(order, order)], ids=[ids[k] for k in order])
        np.testing.assert_array_equal(moved, metric(name).score(similar, ids=ids)[order])


# Galleries


def test_galleries_are_disjoint_fixed_by_ids_and_full():
    ids = names(1000)
    parts = galleries(ids)
    assert [len(at) for at in parts] == [300, 300, 300]
    assert len(set(np.concatenate(parts))) == 900
    back = galleries(ids[::-1])
    assert [{ids[k] for k in at} for at in parts] == [{ids[::-1][k] for k in at} for at in back]
    # Hash order, not that of the ids: neighbours in time are spread.
    assert abs(np.mean(parts[0]) - 500) < 60
    assert [len(at) for at in galleries(names(300))] == [300]
    assert [len(at) for at in galleries(names(299))] == [299]
    assert [len(at) for at in galleries(names(1))] == [1]


def test_left_over_images_are_not_scored_and_chance_is_one_in_a_gallery():
    retrieval, generator = metric("image-retrieval"), np.random.default_rng(0)
    values = np.stack(
        [retrieval.score(generator.standard_normal((1000, 1000)), ids=names(1000)) for _ in range(8)]
    )
    assert (np.isfinite(values).sum(axis=1) == 900).all()
    assert np.nanmean(values) == pytest.approx(1 / 300, abs=3 * np.sqrt(1 / 300 / 7200))


@pytest.mark.parametrize(("name", "given"), [("image-retrieval", "brain"), ("brain-retrieval", "image")])
def test_the_fields_definition_is_the_mean_over_its_draws(name, given):
    generator = np.random.default_rng(1)
    ids = names(400)
    similar = generator.standard_normal((400, 400)) + 3 * np.eye(400)
    accuracies = []
    for draw in random_galleries(ids):
        assert len(set(draw)) == GALLERY
        part = similar[np.ix_(draw, draw)]
        accuracies.append((part.argmax(axis=1 if given == "brain" else 0) == np.arange(300)).mean())
    assert len(accuracies) == 30
    assert len({tuple(sorted(draw)) for draw in random_galleries(ids)}) == 30
    values = metric(f"{name}-300x30").score(similar, ids=ids)
    assert values.mean() == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert np.isnan(metric(f"{name}-300x30").score(similar[:299, :299], ids=ids[:299])).all()


@pytest.mark.parametrize("name", NAMES)
def test_metric_attributes(name):
    ours, field = metric(name), metric(f"{name}-300x30")
    for retrieval in (ours, field):
        assert isinstance(retrieval.row, Metric)
        assert (retrieval.inputs, retrieval.targets, retrieval.backbone) == (
            "decoder-embedding",
            ("stimulus",),
            None,
        )
        assert (retrieval.unit, retrieval.pool, retrieval.higher_is_better, retrieval.chance) == (
            "image",
            True,
            True,
            1 / 300,
        )
    assert (ours.default, field.default) == (True, False)
    assert (ours.gallery, field.gallery) == (300, None)
    assert len({metric(n).label for n in NAMES}) == 2
    assert name.split("-")[0] in ours.label


# Cosines


def kept(folder, arrays):
    """Artifacts that hold `arrays` as micro-batches of embeddings."""
    batches = []
    for k, array in enumerate(arrays):
        place = folder / f"batch{k}"
        place.mkdir(parents=True)
        np.save(place / "embedding.npy", array)
        batches.append(Artifact(place, f"{folder.name}-{k}"))
    return tuple(batches)


def cosines(folder, decoded, true):
    """(N, N) cosines of what was decoded and the true embedding of the same ids."""
    at = np.array([true.ids.index(name) for name in decoded.ids])
    write_cosines(folder, decoded.files, true.files, at)
    return np.load(folder / "cosines.npy")


def test_cosines_equal_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.scoring.cosines.BLOCK_NUMBERS", 64)  # several blocks of columns
    generator = np.random.default_rng(0)
    ids = names(7)
    decoded = generator.standard_normal((7, 5, 9)).astype(np.float32)
    true = generator.standard_normal((7, 45)).astype(np.float32)  # the same numbers, not as tokens
    decoded[4] = 0
    true[5, 3] = np.nan
    order = [6, 0, 3, 1, 2, 5, 4]
    ours = Embedding(ids, kept(tmp_path / "decoded", [decoded[:4], decoded[4:]]))
    theirs = Embedding(tuple(ids[k] for k in order), kept(tmp_path / "true", np.split(true[order], [2, 4])))
    assert (ours.width, theirs.width) == (45, 45)
    scores = cosines(tmp_path, ours, theirs)
    good = [0, 1, 2, 3, 4, 6]
    exact = cosine_similarity(decoded.reshape(7, -1).astype(float), true[good].astype(float))
    np.testing.assert_allclose(scores[:, good], exact, atol=1e-12)
    np.testing.assert_array_equal(scores[4, good], 0)
    assert np.isnan(scores[:, 5]).all()
    assert scores.dtype == np.float64
    # A row that has some of the images only.
    some = Embedding(ids[4:], ours.batches[1:])
    np.testing.assert_allclose(cosines(tmp_path, some, theirs), scores[4:, 4:], atol=1e-15)


def test_embeddings_of_unequal_sizes_have_no_width(tmp_path):
    batches = kept(tmp_path / "odd", [np.zeros((2, 3)), np.zeros((2, 4))])
    assert Embedding(names(4), batches).width == -1
    assert Embedding.of(SimpleNamespace(ids=names(4), batches=batches)).ids == names(4)
    (batches[1].folder / "embedding.npy").unlink()
    assert Embedding.of(SimpleNamespace(ids=names(4), batches=batches)) is None


# Runs


def outcome_of(root, *, decoder=f"{TOYS}:ToyDecoder", metrics=NAMES, **run):
    """A run of the toys in this process; (outcome, store)."""
    forget()
    store = Store(root)
    request = Request(
        benchmark=f"{TOYS}:ToyBenchmark",
        encoder=f"{TOYS}:ToyEncoder",
        decoder=str(decoder),
        values={"run": {"metrics": list(metrics), **run}, "benchmark": {"noise": 2.0, "n_test": 20}},
    )
    return run_plan(make_plan(request), store), store


def values_of(outcome, name, row, *, trial=-1):
    (scored,) = [
        s
        for s in outcome.scored.images
        if s.metric.ref.name == name and s.images.row == row and s.images.trial == trial
    ]
    return scored.values


@pytest.fixture
def truth():
    """Decoded and true embedding of the toys' measured responses, without any stage."""
    data = toys.ToyBenchmark(toys.ToyBenchmark.Params(noise=2.0, n_test=20)).load("toy01")
    decoder = toys.ToyDecoder(toys.ToyDecoder.Params())
    decoder.fit(data.training(), PlainFeatures(), seed=0, device="cpu", checkpoint_dir=None)
    decoder.open(data.space, device="cpu")
    decoded = decoder.decode(data.test.responses, seeds=np.zeros(20)).embedding
    return data, cosine_similarity(decoded, decoder.embed(data.test.stimuli.images()).astype(np.float64))


def test_a_run_retrieves_as_the_definition_says(tmp_path, truth):
    data, similar = truth
    outcome, _ = outcome_of(tmp_path, trial_rows=True, derangements=5)
    assert outcome.scored.left_out == []
    image, brain = (values_of(outcome, name, "measured") for name in NAMES)
    np.testing.assert_allclose(image, brute(similar, given="brain"))
    np.testing.assert_allclose(brain, brute(similar, given="image"))
    assert 1 / 20 < image.mean() < 1
    # The shuffled control is the mean over re-pairings, each scored by itself.
    orders = derangements_of(data.test.stimuli.ids, 5)
    expected = np.mean([brute(similar[order], given="brain") for order in orders], axis=0)
    np.testing.assert_allclose(values_of(outcome, "image-retrieval", "shuffled-measured"), expected)
    # Constant input: the same embedding for all, which every image likes equally.
    np.testing.assert_allclose(values_of(outcome, "brain-retrieval", "zero"), 1 / 20)
    assert values_of(outcome, "image-retrieval", "zero").mean() == pytest.approx(1 / 20)
    assert len(values_of(outcome, "image-retrieval", "measured-trial", trial=2)) == 20
    # Rows that no decoder made, and a generator ceiling that states no embedding, have no value.
    rows = {s.images.row for s in outcome.scored.images}
    assert rows >= {"measured", "predicted", "shuffled", "oracle", "remeasured"}
    assert not rows & {
        "mean-image",
        "flat-grey",
        "nearest-train",
        "nearest-train-measured",
        "generator-ceiling",
    }


def test_the_stimuli_are_embedded_once(tmp_path):
    first, store = outcome_of(tmp_path)
    assert store.computed["embed"] == 2  # 20 images in micro-batches of 16
    second, again = outcome_of(tmp_path)
    assert sum(again.computed.values()) == 0
    for a, b in zip(first.scored.images, second.scored.images, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
    _, other = outcome_of(tmp_path, metrics=("brain-retrieval",), micro_batch=8)
    assert other.computed["embed"] == 3


@pytest.fixture
def odd_decoders(tmp_path):
    """ToyDecoder without, or with an unfit, embedding: file -> ``file.py:Class``."""
    file = tmp_path / "odd.py"
    toy = (
        "import sys\nsys.path.insert(0, {!r})\nfrom toys import ToyDecoder\nfrom harness.api import Decoded\n"
    )
    file.write_text(
        toy.format(str(TOYS.parent))
        + textwrap.dedent("""
        class Silent(ToyDecoder):
            def decode(self, responses, *, seeds):
                return Decoded(super().decode(responses, seeds=seeds).images)

        class Other(ToyDecoder):
            def embed(self, images):
                return super().embed(images)[:, :5]

            def decode(self, responses, *, seeds):  # one candidate: nothing to choose with embed
                made = super().decode(responses, seeds=seeds)
                return Decoded(made.images[:, :1], embedding=made.embedding)

        class Fails(Other):
            def embed(self, images):
                raise ValueError('no such luck')

        class Shapeless(Other):
            def embed(self, images):
                return super().embed(images)[0]
        """)
    )
    return lambda name: f"{file}:{name}"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nearest-train", "decoder 'nearest-train' has no embed(images)"),
        ("Silent", "decodes no embedding along with its images"),
        (
            "Other",
            "an embedding of 192 numbers for the row 'measured' and its embed() gives an embedding of 5 ",
        ),
    ],
)
def test_decoders_without_a_fitting_embedding_are_left_out_in_one_line(
    tmp_path, odd_decoders, caplog, name, why
):
    decoder = name if name == "nearest-train" else odd_decoders(name)
    with caplog.at_level("WARNING"):
        outcome, _ = outcome_of(tmp_path / "store", decoder=decoder, metrics=("pixcorr", *NAMES))
    assert [metric for metric, _ in outcome.scored.left_out] == list(NAMES)
    assert all(why in reason for _, reason in outcome.scored.left_out)
    assert {s.metric.ref.name for s in outcome.scored.images} == {"pixcorr"}
    assert outcome.scored.failures == []
    (line,) = [r.getMessage() for r in caplog.records if r.name == "harness.scoring.driver"]
    assert line.startswith("not scored: image-retrieval, brain-retrieval: ")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "error"),
    [("Fails", "ValueError: no such luck"), ("Shapeless", "embedded 16 images as float64 of shape (5,)")],
)
def test_an_embed_that_fails_costs_the_retrieval_only(tmp_path, odd_decoders, name, error):
    outcome, _ = outcome_of(tmp_path / "store", decoder=odd_decoders(name), metrics=("pixcorr", *NAMES))
    assert [failure.metric for failure in outcome.scored.failures] == [f"{n}@1" for n in NAMES]
    assert all(error in failure.error for failure in outcome.scored.failures)
    assert {s.metric.ref.name for s in outcome.scored.images} == {"pixcorr"}


def test_by_default_only_decoders_that_embed_are_asked(tmp_path, monkeypatch):
    every = plugins.available  # only these metrics, so that no backbone is looked at

    def available(group):
        return [ref for ref in every(group) if group != "metrics" or "retrieval" in ref.name]

    monkeypatch.setattr(plugins, "available", available)

    def planned(decoder):
        plan = make_plan(Request(benchmark=f"{TOYS}:ToyBenchmark", decoder=decoder))
        left_out = {name: why for name, why in plan.left_out if name in NAMES}
        return {m.ref.name for m in plan.metrics}, left_out

    on, left_out = planned("linear")
    assert on == set(NAMES)  # the 300x30 ones are off
    assert not left_out
    on, left_out = planned("nearest-train")
    assert not on & set(NAMES)
    assert set(left_out) == set(NAMES)
    on, left_out = planned(f"folder:{tmp_path}")
    assert not on & set(NAMES)
    assert not left_out


def test_the_command_says_gallery_and_chance_whatever_the_workers(harness, tmp_path, toy_words):
    words = [*toy_words[:-1], "pixcorr,image-retrieval,brain-retrieval,image-retrieval-300x30"]
    done = harness("run", *words)
    run = only_run(tmp_path)
    metrics = {m["name"]: m for m in run.info["metrics"]}
    assert metrics["image-retrieval@1"]["label"] == "image retrieval, 8-way"
    assert (metrics["brain-retrieval@1"]["gallery"], metrics["brain-retrieval@1"]["chance"]) == (8, 1 / 8)
    assert metrics["image-retrieval-300x30@1"]["chance"] == 1 / 300
    assert "image retrieval, 8-way" in done.stdout
    assert "brain retrieval, 8-way" in (run.folder / "report.html").read_text()
    table = run.scores[run.scores.metric == "image-retrieval@1"]
    assert set(table.target) == {"stimulus"}
    assert (table.pool != "").all()
    assert run.scores[run.scores.metric == "image-retrieval-300x30@1"].value.isna().all()
    bytes_before = (run.folder / "scores.parquet").read_bytes()
    harness("run", *words, "--workers", "2", "--no-report", HARNESS_STORE=str(tmp_path / "another"))
    assert (run.folder / "scores.parquet").read_bytes() == bytes_before


def test_run_record_keeps_the_reason(tmp_path, odd_decoders):
    outcome, store = outcome_of(tmp_path / "store", decoder=odd_decoders("Silent"))
    record = run_record(outcome, command=[], store=store, gallery_rule="")
    assert [entry.metric for entry in record.left_out_metrics] == list(NAMES)
    json.dumps(record.content()["left_out_metrics"])


def test_one_image_is_not_scored():
    assert np.isnan(top1(np.ones((1, 1)))).all()

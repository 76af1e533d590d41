"""Images named by id: what was shown and what was made have the same hashes, parts and readers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from toy_runs import toy_run
from toys import scenes

import harness.api
import harness.data
from harness.errors import DataError
from harness.image_sets import ImageSet, Stimuli
from harness.rows.controls import constant_set, renamed

IDS = ("a", "b", "c", "d")


@pytest.fixture
def images() -> np.ndarray:
    return scenes(4, seed=3)


@pytest.mark.parametrize("kind", [ImageSet, Stimuli])
def test_both_kinds_read_choose_and_hash_alike(kind, images):
    shown = kind.from_array(IDS, images)
    assert type(shown) is type(shown.select(["d", "b"])) is kind
    np.testing.assert_array_equal(shown.select(["d", "b"]).images(), images[[3, 1]])
    assert shown.sha == Stimuli.from_array(IDS, images).sha
    assert shown.select(["d"]).image_hashes() == shown.image_hashes()[3:]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(shown)).images(["c"]), images[2:3])
    with pytest.raises(DataError, match="'a' occurs more than once"):
        kind.from_array(("a", "a", "b", "c"), images)
    with pytest.raises(DataError, match="hashes has 1 entries for 4 images"):
        kind.from_array(IDS, images, hashes=["x"])


def test_stimuli_alone_have_captions_and_labels_which_parts_keep(images):
    labels = {"category": np.array(["x", "y", "x", "y"])}
    shown = Stimuli.from_array(IDS, images, captions=list("wxyz"), labels=labels)
    for part, ids in ((shown.select(["d", "a"]), ("d", "a")), (shown.renamed("efgh"), tuple("efgh"))):
        assert part.ids == ids
    assert shown.select(["d", "a"]).captions == ("z", "w")
    assert shown.select(["d", "a"]).labels["category"].tolist() == ["y", "x"]
    assert shown.renamed("efgh").captions == tuple("wxyz")
    with pytest.raises(TypeError, match="captions"):
        ImageSet.from_array(IDS, images, captions=list("wxyz"))
    with pytest.raises(DataError, match="captions has 1 entries"):
        Stimuli.from_array(IDS, images, captions=["w"])
    assert not hasattr(ImageSet.from_array(IDS, images), "captions")


def test_controls_are_images_that_nobody_was_shown(images):
    shown = Stimuli.from_array(IDS, images, captions=list("wxyz"))
    for control in (constant_set(IDS, images[0]), renamed(shown, np.array([2, 2, 0, 1]), IDS)):
        assert type(control) is ImageSet


def test_contracts_and_data_offer_the_same_classes():
    assert harness.api.ImageSet is harness.data.ImageSet is ImageSet
    assert harness.api.Stimuli is harness.data.Stimuli is Stimuli


def test_what_a_run_makes_is_told_from_what_was_shown(tmp_path, monkeypatch):
    import toy_runs

    outcomes = []

    def kept(*words, **named):
        outcomes.append(run_plan(*words, **named))
        return outcomes[-1]

    run_plan = toy_runs.run_plan
    monkeypatch.setattr(toy_runs, "run_plan", kept)
    toy_run(tmp_path / "run", tmp_path / "store", {"run": {"metrics": ["pixcorr"], "derangements": 2}})
    (outcome,) = outcomes
    for row in outcome.sets:
        assert type(row.images) is ImageSet, row.row
        assert type(row.stimuli) is Stimuli

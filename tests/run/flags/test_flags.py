"""Every flag: a run that cheats in one thing raises it, and only it; an honest twin raises none."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from commands import TOYS

from harness.benchmarks.paired import Paired
from harness.decoders.mindeye2 import MindEye2Decoder
from harness.run.flags.uncertainty import uncertain_intervals
from harness.run.overlaps import Declared, shared_images
from harness.run.pipeline import run_plan
from harness.run.plan import make_plan
from harness.run.record import run_record
from harness.settings import Request
from harness.storage.store import Store
from harness.storage.worker import forget

CHEATS = TOYS.with_name("cheats.py")


@pytest.fixture(scope="module")
def raised(tmp_path_factory):
    """Flags of a run that differs from an honest one in what is given, as (name, level, message)."""
    store = tmp_path_factory.mktemp("flags") / "store"

    def raised(*, run=None, **plugins):
        forget()
        chosen = {"benchmark": "ToyBenchmark", "encoder": "ToyEncoder", "decoder": "ToyDecoder"} | plugins
        chosen = {
            kind: name if ":" in name else f"{TOYS if name.startswith('Toy') else CHEATS}:{name}"
            for kind, name in chosen.items()
        }
        request = Request(
            **chosen,
            values={
                "run": {
                    "metrics": ["pixcorr", "pixel-2way", "clip@tiny", "pattern-2way"],
                    "derangements": 2,
                    **(run or {}),
                },
                "benchmark": {"n_test": 16},
                # As noisy as what was measured; a noiseless prediction flatters a linear decoder.
                **({} if chosen["encoder"].startswith("file:") else {"encoder": {"noise": 0.6}}),
            },
        )
        here = Store(store)
        outcome = run_plan(make_plan(request), here)
        assert outcome.scored.failures == []
        record = run_record(outcome, command=[], store=here, gallery_rule="")
        # Sixteen easy images nearly all win, which says nothing of cheating.
        raised_flags = [flag for flag in record.flags if flag.name != "nearly-alike"]
        return [(flag.name, flag.level, flag.message) for flag in raised_flags]

    return raised


@pytest.mark.parametrize(
    "honest",
    [
        {},
        {"benchmark": "Shared1000"},
        {"benchmark": "Shared1000", "encoder": "FreshEncoder"},
        {"encoder": "AlgonautsEncoder"},
        {"decoder": "RemembersTrainingImages"},
        {"encoder": "BuiltOnAnother"},
        {"decoder": "SeesThroughAnother"},
        {"run": {"selection": "predicted-embedding"}},
    ],
    ids=lambda honest: "-".join(map(str, honest.values())) or "plain",
)
def test_honest_runs_raise_nothing(raised, honest):
    assert raised(**honest) == []


@pytest.mark.parametrize(
    ("cheat", "name", "level", "words"),
    [
        (
            {"benchmark": "TestImagesInTraining"},
            "test-images-in-training",
            "alarm",
            "3 of 16 test images are training images too (first: test-000)",
        ),
        (
            {"decoder": "RemembersTestImages"},
            "trained-on-test-images",
            "alarm",
            "RemembersTestImages' was trained on 1 of 16 test images, by their content (first: test-005)",
        ),
        (
            {"benchmark": "Shared1000", "encoder": "AlgonautsEncoder"},
            "trained-on-test-images",
            "alarm",
            "was trained on algonauts-2023-train, which shares images with the test set nsd-shared1000",
        ),
        (
            {"benchmark": "AlgonautsBenchmark"},
            "trained-on-test-images",
            "alarm",
            "the training split was trained on algonauts-2023-train",
        ),
        (
            {"run": {"selection": "gt-selected"}},
            "ground-truth-selection",
            "alarm",
            "the best of 2 candidates by comparison with the stimulus",
        ),
        (
            {"encoder": "ReadsCaptions"},
            "reads-annotations",
            "warning",
            "ReadsCaptions' predicts from what people wrote of the test images",
        ),
        ({"decoder": "Transductive"}, "transductive-decoder", "warning", "all test responses at once"),
        (
            {"encoder": "BuiltOnTheMetric"},
            "shared-backbone",
            "warning",
            "the encoder is built on 'pixels', which also scores pixel-2way@1:",
        ),
        (
            {"decoder": "SeesThroughTheMetric"},
            "shared-backbone",
            "warning",
            "SeesThroughTheMetric' looks through 'clip@tiny', which also scores clip@tiny@1:",
        ),
        (
            {"encoder": "InverseOfTheDecoder"},
            "decoder-prior-zone",
            "warning",
            "predicted fMRI scores above measured fMRI by",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "-" in value and " " not in value else "",
)
def test_a_cheat_raises_its_flag_and_no_other(raised, cheat, name, level, words):
    flags = raised(**cheat)
    assert {flag[0] for flag in flags} == {name}, flags
    assert flags[0][1] == level
    assert words in " ".join(flag[2] for flag in flags)


PEEKING = {"decoder": "RedrawsFromIds", "encoder": "KnowsTheTruth"}


def test_a_pair_that_peeks_through_ids_raises_both_flags(raised):
    flags = raised(**PEEKING)
    levels = {name: level for name, level, _ in flags}
    assert levels["control-equals-measured"] == levels["above-ceiling"] == "alarm"
    messages = [message for name, _, message in flags if name == "control-equals-measured"]
    assert len(messages) == 2
    assert (
        "zero fMRI are those of measured fMRI in all 16 images, which identify their stimulus" in messages[0]
    )
    assert "noise-free truth of the simulation" in next(m for n, _, m in flags if n == "above-ceiling")


def test_where_ids_are_hidden_it_sees_nothing_and_no_number_moves(raised):
    assert raised(benchmark="OpaqueBenchmark", **PEEKING) == []
    assert raised(benchmark="OpaqueBenchmark") == raised() == []


def test_what_a_fit_warned_of_stands_in_every_run_with_it(raised):
    for _ in range(2):  # the second takes the fit from the store
        assert raised(encoder="WarnsWhileFitting") == [("fit-warning", "warning", "the loss did not fall")]


def test_two_benchmarks_of_one_file_do_not_share_data(raised):
    """The honest twin ran in the same store before and after."""
    assert raised(benchmark="Shared1000") == []
    assert raised(benchmark="TestImagesInTraining") != []
    assert raised(benchmark="Shared1000") == []


def test_responses_of_other_images_are_called_misaligned(raised):
    flags = raised(benchmark="PermutedResponses")
    messages = [message for name, _, message in flags if name == "misaligned-ids"]
    assert any("reconstructions from measured responses" in message for message in messages)
    assert any("predicted responses identify the measured ones at chance" in message for message in messages)


def test_a_file_of_predictions_may_say_what_it_was_trained_on(raised, tmp_path):
    from toys import ToyBenchmark

    data = ToyBenchmark(ToyBenchmark.Params(n_test=16)).load("toy01")
    values = data.remeasured.mean()
    for sets, expected in ((["algonauts-2023-train"], {"trained-on-test-images"}), (["things"], set())):
        path = tmp_path / f"{sets[0]}.npz"
        np.savez(path, predictions=values, ids=np.array(data.test.stimuli.ids), training_sets=np.array(sets))
        flags = raised(benchmark="Shared1000", encoder=f"file:{path}")
        assert {flag[0] for flag in flags} == expected


def test_which_sets_share_images():
    tested = ("nsd-shared1000",)

    def why(name):
        return [reason for _, _, reason in shared_images([name], tested)]

    assert why("nsd-shared1000") == ["they are the same images"]
    assert why("nsd-special515") == ["nsd-shared1000 holds all of nsd-special515"]
    assert why("coco") == ["coco holds all of nsd-shared1000"]
    assert "last three sessions" in why("algonauts-2023-train")[0]
    assert why("things") == []
    assert list(shared_images(["coco"], ())) == []
    # Both ways round.
    for training_set in ("coco", "nsd-73k", "nsd-shared982", "algonauts-2023-train"):
        assert list(shared_images([tested[0]], [training_set]))


def test_a_users_own_data_may_name_their_sets():
    split = {"images": "images", "responses": "betas"}
    params = Paired.Params(
        train=split, test=split, units="raw", training_sets=("mine",), test_sets=("nsd-shared1000",)
    )
    assert Paired(params).test_sets() == ("nsd-shared1000",)
    assert Declared.of("it", Paired(params)).sets == ("mine",)


def test_mindeye2_declares_its_token_embedder():
    decoder = MindEye2Decoder(MindEye2Decoder.Params(weights="tiny"))
    assert Declared.of("it", decoder).networks == ("bigg@tiny",)


def uncertain(values, *, pool=True, chance=0.5):
    """Flags of one image score by its values."""
    score = SimpleNamespace(
        metric=SimpleNamespace(label="m@1", load=lambda: SimpleNamespace(pool=pool, chance=chance)),
        images=SimpleNamespace(row="predicted", trial=-1),
        values=np.asarray(values, float),
    )
    return {flag.name: flag for flag in uncertain_intervals([score], [])}


def test_intervals_that_may_cover_less_are_flagged():
    draw = np.random.default_rng(0)
    few = uncertain(draw.random(7))
    assert set(few) == {"few-images"}
    assert few["few-images"].level == "warning"
    assert "scores over 7 images" in few["few-images"].message
    assert not uncertain(draw.random(15))
    nearly = np.ones(50)
    nearly[:3] = 0.9
    flags = uncertain(nearly)
    assert set(flags) == {"nearly-alike"}
    assert "m@1 of predicted" in flags["nearly-alike"].message
    hits = np.arange(50) < 48  # all are 0 or 1: a proportion, whose interval is exact
    assert not uncertain(hits)
    assert set(uncertain(hits, pool=False, chance=None)) == {"nearly-alike"}

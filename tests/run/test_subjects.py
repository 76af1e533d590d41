"""Encoders fitted on several subjects and adapted to another: whom, which artifacts, which flags."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from commands import HELPERS, TOYS, only_run
from mean_encoders import OneSubject, brightness

from harness.data import Split, Stimuli
from harness.errors import ConfigError, PluginError
from harness.plugins import find
from harness.run.flags.training import images_in_others_training, several_subjects
from harness.run.pipeline import run_plan
from harness.run.plan import Plan, make_plan
from harness.run.subjects import subject_named
from harness.settings import Request, read_request
from harness.storage.store import Store

FILE = HELPERS / "mean_encoders.py"
SUBJECTS = f"{FILE}:FourSubjects"
SMALL = {"benchmark": {"n_train": 12, "n_test": 5}, "run": {"metrics": ["voxel-r"]}}


def planned(
    *trained: str, subject: str | None = None, encoder: str = f"{FILE}:Adaptable", images: int = 12, **params
) -> Plan:
    """A plan that scores responses alone; `params` are the encoder's."""
    values = {**SMALL, "benchmark": {"n_train": images, "n_test": 5}, "encoder": params}
    request = Request(SUBJECTS, encoder, subject=subject, train_subjects=trained, values=values)
    return make_plan(request, need_decoder=False)


@pytest.mark.parametrize(
    ("given", "subjects", "name"),
    [
        ("subj02", ("subj01", "subj02"), "subj02"),
        ("2", ("subj01", "subj02"), "subj02"),
        ("02", ("subj01", "subj02"), "subj02"),
        ("5", ("subj01", "subj02", "subj05"), "subj05"),
        ("2", ("anna", "bert"), "bert"),
    ],
)
def test_a_subject_is_named_by_its_name_its_number_or_its_place(given, subjects, name):
    assert subject_named(given, subjects, option="--subject") == name


@pytest.mark.parametrize(
    ("given", "subjects", "hint"),
    [
        ("sbj02", ("subj01", "subj02"), "subj02"),
        ("3", ("subj01", "subj02"), "subj01"),
        ("1", ("a01", "b1"), "a01 or b1"),
        ("0", ("anna", "bert"), "anna"),
    ],
)
def test_a_wrong_subject_is_refused_with_those_there_are(given, subjects, hint):
    with pytest.raises(ConfigError, match=hint):
        subject_named(given, subjects, option="--subject")


def test_training_subjects_are_put_in_order_once_and_the_scored_one_alone_is_the_usual_run():
    several = planned("2", "subj01", "1", subject="3")
    assert several.train_subjects == ("subj01", "subj02")
    assert several.transfers
    assert several.identity == planned("1", "2", subject="subj03").identity
    own = planned("3", subject="3")
    assert (own.identity, own.name) == (planned(subject="3").identity, planned(subject="3").name)
    assert not own.transfers
    others = {planned(*names, subject="3").identity for names in ((), ("1",), ("1", "2"), ("1", "3"))}
    assert len(others) == 4
    assert "from_subj01_subj02" in several.name


def test_a_yaml_file_and_the_command_line_name_subjects_in_the_same_ways(tmp_path):
    file = tmp_path / "run.yaml"
    for text in ("[1, subj02]", "'1,subj02'", "1,subj02"):
        file.write_text(f"plugins:\n  subject: 3\n  train_subjects: {text}\n")
        request = read_request(file, [], plugins={})
        assert (request.subject, request.train_subjects) == ("3", ("1", "subj02"))
    assert read_request(file, [], plugins={"train_subjects": "4"}).train_subjects == ("4",)
    file.write_text("plugins:\n  train_subjects: [1, {}]\n")
    with pytest.raises(ConfigError, match="train_subjects"):
        read_request(file, [], plugins={})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"encoder": "OneSubject"}, r"cannot be adapted to subj03.*--subject subj01"),
        ({"encoder": None}, "no encoder is fitted"),
        ({"trained": ("1", "subject9")}, "subject9"),
    ],
)
def test_what_cannot_be_fitted_or_adapted_is_refused_with_the_plan(words, message):
    trained = words.pop("trained", ("1", "2"))
    encoder = words.get("encoder", "Adaptable")
    request = Request(
        SUBJECTS,
        encoder and f"{FILE}:{encoder}",
        "linear",
        subject="subj03",
        train_subjects=trained,
        values=SMALL,
    )
    with pytest.raises(ConfigError, match=message) as refused:
        make_plan(request)
    assert "\n" not in str(refused.value)


def test_predictions_from_a_file_are_fitted_on_nobody(tmp_path):
    np.savez(tmp_path / "p.npz", predictions=np.zeros((2, 3)), ids=np.array(["a", "b"]))
    with pytest.raises(ConfigError, match="not fitted here"):
        planned("1", encoder=f"file:{tmp_path / 'p.npz'}")


def test_an_encoder_fitted_on_two_subjects_and_adapted_to_a_third_runs_through_the_command_line(
    harness, tmp_path
):
    words = [
        "run",
        "--benchmark",
        SUBJECTS,
        "--encoder",
        f"{FILE}:Adaptable",
        "--train-subjects",
        "1,2",
        "--subject",
        "3",
    ]
    words += ["--decoder", "linear", "--metrics", "pixcorr,voxel-r", "--set", "run.derangements=2"]
    words += ["--set", "benchmark.n_train=12", "--set", "benchmark.n_test=5", "--no-report"]
    first = harness(*words)
    assert "fitted on subj01, subj02, adapted to subj03" in first.stderr
    assert "fit 3," in first.stdout  # on two, to the third, and the decoder
    run = only_run(tmp_path)
    assert [part["subject"] for part in run.info["train_subjects"]] == ["subj01", "subj02"]
    assert set(run.info["artifacts"]) == {"encoder", "encoder before its transfer", "decoder"}
    (flag,) = [flag for flag in run.info["flags"] if flag["name"] == "several-subjects"]
    assert flag["level"] == "info"
    assert "subj01, subj02, and adapted to the training data of subj03" in flag["message"]
    predicted = run.scores[(run.scores.row == "predicted") & (run.scores.metric == "pixcorr@1")]
    assert np.isfinite(predicted.value).all()
    assert set(predicted.subject) == {"subj03"}
    assert "nothing was computed" in harness(*words).stdout


def test_predictions_are_those_of_the_fit_on_all_and_the_line_of_the_last(tmp_path):
    plan = planned("1", "2", subject="3")
    outcome = run_plan(plan, Store(tmp_path / "store"))
    subjects = {name: plan.benchmark_object().load(name) for name in ("subj01", "subj02", "subj03")}
    expected = OneSubject(OneSubject.Params())
    trained = [subjects[name].training() for name in ("subj01", "subj02")]
    expected.fit(trained, None, seed=0, device="cpu", checkpoint_dir=tmp_path)
    every = np.concatenate([brightness(subject.train.stimuli) for subject in trained])
    np.testing.assert_allclose(expected.shared, [every.mean(), every.std()])
    third = subjects["subj03"]
    expected._add(third.training())
    of_all = expected.predict(third.test.stimuli, None, space=third.space, seeds=np.zeros((5, 1), np.uint64))
    np.testing.assert_array_equal(outcome.predicted, of_all[:, 0])
    assert [part.subject for part in outcome.training] == ["subj01", "subj02"]
    assert all(part.test is None for part in outcome.training)


def test_each_fit_and_each_transfer_is_an_artifact_of_its_own(tmp_path):
    def fitted(*names: str, subject: str) -> int:
        store = Store(tmp_path / "store")
        outcome = run_plan(planned(*names, subject=subject), store)
        keys.append(outcome.keys)
        return store.computed["fit"]

    keys: list = []
    assert fitted("1", "2", subject="3") == 2
    assert fitted("1", "2", subject="3") == 0
    assert fitted("1", "2", subject="4") == 1  # adapted alone
    assert fitted("1", "2", subject="2") == 0  # fitted already, and never adapted
    assert fitted("1", subject="3") == 2
    assert len({of_run["encoder"] for of_run in keys}) == 4
    assert keys[0] == keys[1]
    before = "encoder before its transfer"
    assert keys[2][before] == keys[0][before] == keys[3]["encoder"]
    assert before not in keys[3]
    assert keys[4][before] != keys[0][before]


def test_a_stopped_transfer_goes_on_from_its_checkpoints(tmp_path):
    stopped = planned("1", "2", subject="3", scale=-1.0)
    for number in (1, 2):
        with pytest.raises(PluginError, match=f"pass {number} was stopped"):
            run_plan(stopped, Store(tmp_path / "store"))


def test_an_encoder_of_any_space_needs_no_transfer(tmp_path):
    plan = planned("1", "2", subject="3", encoder=f"{FILE}:AnySpace")
    assert not plan.transfers
    store = Store(tmp_path / "store")
    outcome = run_plan(plan, store)
    assert store.computed["fit"] == 1
    assert np.isfinite(outcome.predicted).all()
    (flag,) = several_subjects(outcome.data, outcome.training, adapted=plan.transfers)
    assert "without any data of it" in flag.message


def test_own_data_among_those_of_a_fit_are_only_said():
    data = find("benchmarks", f"{TOYS}:ToyBenchmark").load()
    loaded = [data(data.Params()).load(name) for name in ("toy01", "toy02")]
    training = [subject.training() for subject in loaded]
    assert not list(several_subjects(loaded[0], training[:1], adapted=False))
    assert not list(several_subjects(loaded[0], (), adapted=False))
    (flag,) = several_subjects(loaded[0], training, adapted=False)
    assert (flag.level, "toy01 among them" in flag.message) == ("info", True)


def test_test_images_that_another_subject_saw_in_training_raise_an_alarm():
    data = find("benchmarks", f"{TOYS}:ToyBenchmark").load()
    scored, other = (data(data.Params()).load(name) for name in ("toy01", "toy02"))
    assert not list(images_in_others_training(scored, [scored.training(), other.training()]))
    images = other.train.stimuli.images()
    images[3] = scored.test.stimuli.images()[0]
    leaky = Stimuli.from_array(other.train.stimuli.ids, images)
    seen = replace(other.training(), train=Split(leaky, other.train.responses))
    (flag,) = images_in_others_training(scored, [scored.training(), seen])
    assert flag.level == "alarm"
    assert "1 of 8 test images are training images of toy02 (first: test-000)" in flag.message


@pytest.mark.parametrize(
    ("encoder", "params"),
    [
        ("ridge", {"folds": 2}),
        pytest.param(
            "chasm",
            {
                **{"preset": "tiny", "width": 16, "head_width": 8, "stage1_epochs": 1, "stage2_epochs": 1},
                **{"refine_width": 16, "readout_width": 16, "queries": 2, "transfer_epochs": 2},
                **{"warmup_epochs": 1, "contrastive_width": 8, "kl_warmup": 1},
            },
        ),
    ],
)
def test_built_in_encoders_are_fitted_on_two_and_adapted_to_a_third(tmp_path, encoder, params):
    plan = planned("1", "2", subject="3", encoder=encoder, images=40, **params)
    assert plan.transfers
    store = Store(tmp_path / "store")
    outcome = run_plan(plan, store)
    assert store.computed["fit"] == 2
    assert np.isfinite(outcome.predicted).all()
    assert outcome.predicted[:, outcome.data.space.valid].std() > 0
    again = Store(tmp_path / "store")
    np.testing.assert_array_equal(run_plan(plan, again).predicted, outcome.predicted)
    assert not again.computed["fit"]

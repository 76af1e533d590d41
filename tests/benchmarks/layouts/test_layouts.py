"""Every layout gives the experiment that its files hold, aligned by id, in its units, with its test set."""

from __future__ import annotations

import shutil

import nibabel
import nsd_writers
import numpy as np
import other_writers
import pytest
from layout_experiment import N_IMAGES, N_OWN, N_SHARED, PER_SESSION, SESSIONS, SUBJECT, V, experiment
from layout_files import jpeg, path_of, save_volume
from layout_loading import load
from layout_writers import WRITERS
from nsd_writers import write_algonauts, write_nsd, write_nsd_fsaverage, write_nsd_mindeye2
from PIL import Image

from harness.api import ConfigError, DataError, SpaceMismatch
from harness.benchmarks.layouts.algonauts import Algonauts2023
from harness.benchmarks.layouts.bold5000 import Bold5000
from harness.benchmarks.layouts.god import GenericObjectDecoding, image_id
from harness.benchmarks.layouts.laion import LaionFmri
from harness.benchmarks.layouts.manifest import examine, manifest_names, read_manifest
from harness.benchmarks.layouts.mindeye1_files import NsdMindEye1
from harness.benchmarks.layouts.mindeye2_files import NsdMindEye2
from harness.benchmarks.layouts.mosaic import Mosaic
from harness.benchmarks.layouts.nsd import Nsd
from harness.benchmarks.layouts.nsd_design import Design, image_name
from harness.benchmarks.layouts.nsd_imagery import NsdImagery
from harness.benchmarks.layouts.nsd_surface import FSAVERAGE, NsdFsaverage, vertex_numbers
from harness.benchmarks.layouts.nsd_synthetic import NsdSynthetic
from harness.benchmarks.layouts.numpy_files import NsdBrainDiffuser, NsdSynBrain
from harness.benchmarks.layouts.things import ThingsFmri
from harness.plugins import find
from harness.units import converted

CLASSES = (
    *(Bold5000, LaionFmri, Mosaic, NsdImagery, NsdSynthetic),
    *(Algonauts2023, GenericObjectDecoding, NsdMindEye1, NsdMindEye2, Nsd, NsdFsaverage),
    *(NsdBrainDiffuser, NsdSynBrain, ThingsFmri),
)

NSD = (
    "nsd",
    "nsd-fsaverage",
    "nsd-mindeye2",
    "nsd-mindeye1",
    "nsd-brain-diffuser",
    "nsd-synbrain",
    "algonauts2023",
)
PICTURE_FILES = ("algonauts2023", "bold5000", "god", "laion-fmri", "mosaic", "nsd-mindeye1", "things-fmri")
"""Whose pictures are files of a size each."""

APART = ("nsd-synthetic", "nsd-imagery")
LOSSY = {"nsd-mindeye1": 12.0, "things-fmri": 12.0, "nsd-mindeye2": 0.5, "nsd-synthetic": 2.0}
LOSSY |= dict.fromkeys(("bold5000", "mosaic", "laion-fmri"), 12.0)
"""Layout -> how far its pictures may be from the original, of 255: JPEG, half floats."""


def row_of(name, image_id):
    """Place of an image among the experiment's pictures, by the id that the layout gives it."""
    if name in ("things-fmri", "bold5000", "mosaic", "laion-fmri"):
        return int(image_id.rpartition("_")[2])
    if name == "god":
        return int(image_id.partition("_")[0][1:]) - 1_500_000
    return int(image_id.removeprefix("nsd-"))


def expected(name, *, rounded=True):
    """(T, V) of the experiment as the layout's numbers become responses, before the mean over trials."""
    exp = experiment()
    betas = exp.betas
    if name in ("nsd", "nsd-brain-diffuser", "nsd-synbrain", *APART):
        betas = np.round(betas * 300) / 300
    out = np.empty_like(betas)
    by_session = name not in ("nsd-brain-diffuser", "nsd-synbrain", "god")
    session = exp.session.copy()
    if name == "bold5000":  # whose first session is a trial shorter
        session[PER_SESSION - 1] = 2
    for group in np.unique(session) if by_session else [0]:
        of = session == group if by_session else np.ones(len(betas), bool)
        fitted = betas[of & ~exp.is_shared]
        if name == "nsd-brain-diffuser":
            fitted = np.stack(
                [betas[exp.order == image].mean(0) for image in np.unique(exp.order[of & ~exp.is_shared])]
            )
        out[of] = (betas[of] - fitted.mean(0)) / fitted.std(0)
    return out


@pytest.mark.parametrize("name", WRITERS)
def test_a_layout_gives_the_experiment_back(name, tmp_path):
    exp = experiment()
    data = load(name, WRITERS[name](tmp_path / "root"))
    measured, places = expected(name), {row: k for k, row in enumerate(exp.rows)}
    if name != "algonauts2023":
        assert len(data.test) == (12 if name in APART else N_SHARED)
        assert len(data.train) == N_OWN
    for split in (data.train,) if name in APART else (data.train, data.test):
        means = split.responses.mean()[:, data.space.valid]
        for k, name_of_image in enumerate(split.stimuli.ids):
            row = row_of(name, name_of_image)
            trials = exp.order == places[row]
            np.testing.assert_allclose(means[k], measured[trials].mean(0), atol=2e-4)
            picture = np.asarray(split.stimuli.images([name_of_image])[0], np.float64)
            picture *= 255 if picture.max() <= 1 else 1
            assert np.abs(picture - exp.pictures[row]).mean() <= LOSSY.get(name, 0)


SCALED = ("bold5000", "nsd", "nsd-fsaverage", "nsd-synbrain", "nsd-brain-diffuser")
"""Layouts whose numbers are percent signal change, or become it."""


@pytest.mark.parametrize("name", SCALED)
def test_responses_come_in_the_units_of_an_evaluation_and_z_scores_lead_back_to_them(name, tmp_path):
    root = WRITERS[name](tmp_path / "root")
    percent, wanted = (load(name, root, normalise=units) for units in ("percent", "raw/2000"))
    assert (percent.space.units, wanted.space.units) == ("percent", "raw/2000")
    given = percent.train.responses.trials()
    np.testing.assert_allclose(wanted.train.responses.trials(), given * 0.15, rtol=1e-5, atol=1e-7)
    zscored = load(name, root, normalise="zscore")
    values, space = zscored.train.responses.trials(), zscored.space
    back = converted(values, "zscore", "raw/2000", space, what="predictions")
    np.testing.assert_allclose(back, given * 0.15, atol=1e-5)
    np.testing.assert_allclose(converted(back, "raw/2000", "zscore", space, what=""), values, atol=1e-4)


@pytest.mark.parametrize("name", ["nsd-mindeye2", "algonauts2023", "mosaic"])
def test_responses_that_come_z_scored_are_brought_to_no_other_units(name, tmp_path):
    root = WRITERS[name](tmp_path / "root")
    with pytest.raises(ConfigError, match=r"z-scored as they come.*; leave out normalise: raw/2000"):
        load(name, root, normalise="raw/2000")
    space = load(name, root).space
    with pytest.raises(
        SpaceMismatch, match=f"to 'percent'; responses of {space.subject} are '{space.units}' as"
    ):
        converted(np.zeros((1, space.n_voxels)), space.units, "percent", space, what="predictions")


def test_ids_of_nsd_are_the_same_in_every_layout(tmp_path):
    shared = {f"nsd-{row:05d}" for row in experiment().rows[:N_SHARED]}
    for name in NSD[:-1]:
        data = load(name, WRITERS[name](tmp_path / name))
        assert set(data.test.stimuli.ids) == shared, name


def test_volumes_and_matlabs_hdf5_give_the_same(tmp_path):
    volumes = load("nsd", write_nsd(tmp_path / "nii"))
    reverse = load("nsd", write_nsd(tmp_path / "hdf5", form="betas_hdf5"))
    assert volumes.space.sha == reverse.space.sha
    assert volumes.train.responses.sha == reverse.train.responses.sha
    assert volumes.test.responses.sha == reverse.test.responses.sha


def test_regions_ceilings_and_places_are_of_the_masks_voxels(tmp_path):
    exp, space = experiment(), load("nsd", write_nsd(tmp_path)).space
    np.testing.assert_array_equal(space.rois["V1"], exp.labels <= 2)
    np.testing.assert_array_equal(space.rois["V2v"], exp.labels == 3)
    np.testing.assert_allclose(space.ncsnr, np.linspace(0.1, 1, V))
    np.testing.assert_allclose(space.coordinates, np.argwhere(exp.mask) * 1.8)
    assert set(space.groups) == {"early", "middle", "higher"}


def test_a_vertex_without_data_is_masked(tmp_path):
    exp, root = experiment(), write_nsd_fsaverage(tmp_path)
    entry = read_manifest("nsd-fsaverage").entry("left_betas")
    for _, path in entry.find(root, subject=SUBJECT):
        values = np.asarray(nibabel.load(path).dataobj).copy()
        values[4] = np.nan
        save_volume(path, values)
    space = load("nsd-fsaverage", root).space
    np.testing.assert_array_equal(np.flatnonzero(~space.valid), [2])
    assert space.n_voxels == exp.mask.sum()


def test_fewer_sessions_train_on_fewer_trials_with_the_same_scale(tmp_path):
    root = write_nsd(tmp_path)
    all_of_them, two = load("nsd", root), load("nsd", root, sessions=2)
    assert set(two.train.responses.session) == {1, 2}
    assert two.test.responses.sha == all_of_them.test.responses.sha
    shared_ids = [name for name in two.train.stimuli.ids if name in all_of_them.train.stimuli.ids]
    few = two.train.responses.select(shared_ids[:1]).trials()
    many = all_of_them.train.responses.select(shared_ids[:1]).trials()
    np.testing.assert_array_equal(few, many[: len(few)])


def test_a_split_by_trials_is_flagged_and_holds_every_image_on_both_sides(tmp_path, caplog):
    data = load("nsd", write_nsd(tmp_path), split="trials")
    assert set(data.train.stimuli.ids) == set(data.test.stimuli.ids)
    assert any(getattr(record, "flag", "") == "trained-on-test-images" for record in caplog.records)


def test_old_test_trials_of_mindeye2_leave_the_other_shared_images_out(tmp_path):
    data = load("nsd-mindeye2", write_nsd_mindeye2(tmp_path), test="shared982")
    assert len(data.test) == N_SHARED - 1
    assert len(data.train) == N_OWN
    assert data.test.responses.session.max() < SESSIONS


def test_nsd_is_read_only_once_its_terms_are_accepted(tmp_path, monkeypatch):
    monkeypatch.delenv("HARNESS_ACCEPT_TERMS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = write_nsd(tmp_path / "root")
    with pytest.raises(ConfigError, match="type: harness data accept nsd"):
        load("nsd", root)
    from harness.reading.terms import accept_terms

    accept_terms("nsd")
    assert len(load("nsd", root).test) == N_SHARED


def test_a_preparation_that_was_killed_goes_on(tmp_path, monkeypatch):
    from harness.benchmarks.layouts import nsd

    root, read, calls = write_nsd(tmp_path / "root"), nsd.read_session, []

    def dies(path, mask):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(path, mask)

    monkeypatch.setattr(nsd, "read_session", dies)
    with pytest.raises(KeyboardInterrupt):
        load("nsd", root)
    resumed = load("nsd", root)
    assert calls[3:] == ["betas_session03.nii.gz", "betas_session04.nii.gz"]
    load("nsd", root)
    assert len(calls) == 5
    monkeypatch.setenv("HARNESS_PREPARED", str(tmp_path / "other"))
    assert load("nsd", root).train.responses.sha == resumed.train.responses.sha


def test_a_table_that_does_not_fit_the_disk_is_refused_before_it_is_written(tmp_path, monkeypatch):
    root = write_nsd(tmp_path / "root")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match="set HARNESS_PREPARED to a folder on a larger disk"):
        load("nsd", root)
    assert not list((tmp_path / "prepared").rglob("*.part"))


@pytest.mark.parametrize("name", manifest_names())
def test_a_manifest_says_units_and_source_of_every_file(name):
    manifest = read_manifest(name)
    assert manifest.ask
    assert manifest.cite
    for entry in manifest.files:
        assert entry.units, entry.name
        assert entry.source, entry.name
        assert set(entry.usual) <= set(entry.axes), entry.name


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_written_is_what_the_manifest_says(name, tmp_path):
    root = WRITERS[name](tmp_path)
    manifest = read_manifest(name)
    (subject,) = manifest.subjects(root)
    findings = examine(manifest, root, subject)
    assert [line for finding in findings for line in finding.problems] == []
    there = {f.entry.form_of for f in findings if f.files} - {""}
    absent = {f.entry.name for f in findings if not f.files and f.entry.form_of not in there}
    assert absent <= {"left_ncsnr", "right_ncsnr", "region_names", "left_vertices", "right_vertices"}


@pytest.mark.parametrize("name", PICTURE_FILES)
def test_pictures_of_two_sizes_are_brought_to_one_as_the_message_says(name, tmp_path, monkeypatch):
    higher = iter([16])

    def first_is_higher(picture):
        return jpeg(np.pad(picture, ((0, next(higher, 0)), (0, 0), (0, 0))))

    for module in (nsd_writers, other_writers):
        monkeypatch.setattr(module, "jpeg", first_is_higher)
    root = WRITERS[name](tmp_path)
    for path in sorted(root.rglob("*.png"))[:1]:
        Image.open(path).resize((64, 80)).save(path)
    with pytest.raises(DataError, match=r"give image_size: (64|80), to which pictures are cut"):
        load(name, root)
    assert load(name, root, image_size=64).test.stimuli.images().shape[1:3] == (64, 64)


@pytest.mark.parametrize("layout", CLASSES)
def test_a_layout_is_a_benchmark_of_its_name(layout):
    assert find("benchmarks", layout.layout).load() is layout


def test_test_sets_follow_from_the_design(tmp_path):
    """With NSD's sessions: shared images all seen, before the last three of 40, by all, three times by
    all."""
    root = write_nsd(tmp_path)
    design = Design.read(read_manifest("nsd"), root)
    shared = {image_name(row) for row in experiment().rows[:N_SHARED]}
    assert set(design.test_sets(750)["shared1000"]) == shared
    assert all(set(names) == shared for names in design.test_sets(750).values())
    few = design.test_sets(1)  # 30 trials of all, 37 public
    order = experiment().order
    assert len(few["shared907"]) == len({image for image in order[:30] if image < N_SHARED})
    assert len(few["shared982"]) == len({image for image in order[:37] if image < N_SHARED})
    assert few["special515"] == ()


@pytest.mark.parametrize(("label", "name"), [(1518878.005958, "n01518878_5958"), (12.0, "12")])
def test_labels_of_god_are_names_of_its_pictures(label, name):
    assert image_id(label) == name


@pytest.mark.parametrize(("name", "label"), [("things-fmri", "concept"), ("god", "synset")])
def test_images_have_the_categories_of_their_names(name, label, tmp_path):
    data = load(name, WRITERS[name](tmp_path / "root"))
    for part in (data.train, data.test):
        assert part.stimuli.labels[label].tolist() == [own.partition("_")[0] for own in part.stimuli.ids]


def test_shared_images_train_no_model_whichever_test_set_is_asked_for(tmp_path, monkeypatch):
    """A smaller test set leaves shared images out: they neither train nor set means and spreads."""
    from harness.benchmarks.layouts import nsd_design

    root = write_nsd(tmp_path)
    whole = load("nsd", root)
    some = frozenset(sorted(whole.test.stimuli.ids)[:5])
    names = Design.test_sets

    def smaller(design, per_session):
        sets = dict(names(design, per_session))
        return sets | {"special515": tuple(name for name in sets["shared1000"] if name in some)}

    monkeypatch.setattr(nsd_design.Design, "test_sets", smaller)
    fewer = load("nsd", root, test="special515")
    assert set(fewer.test.stimuli.ids) == some
    assert fewer.train.responses.sha == whole.train.responses.sha
    assert fewer.train.stimuli.ids == whole.train.stimuli.ids


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in APART])
def test_a_list_of_ids_is_a_test_set_of_any_layout(name, tmp_path):
    root = WRITERS[name](tmp_path / "root")
    own = sorted(load(name, root).train.stimuli.ids)[:6]
    listed = tmp_path / "test_ids.txt"
    listed.write_text("\n".join(own) + "\n")
    data = load(name, root, test=str(listed))
    assert sorted(data.test.stimuli.ids) == own
    assert len(data.train) == N_IMAGES - 6


def test_a_list_names_what_was_shown_and_no_image_set(tmp_path):
    root = write_nsd(tmp_path / "root")
    own = sorted(load("nsd", root).train.stimuli.ids)[:6]
    listed = tmp_path / "test_ids.txt"
    listed.write_text("\n".join(own) + "\n")
    assert Nsd(Nsd.Params(root=str(root), test=str(listed))).test_sets() == ()
    listed.write_text("\n".join([*own, "nsd-99999"]) + "\n")
    with pytest.raises(DataError, match="names 1 images that were not shown"):
        load("nsd", root, test=str(listed))


def test_vertices_of_fsaverage_are_numbered_left_then_right():
    left, right = np.zeros(FSAVERAGE, bool), np.zeros(FSAVERAGE, bool)
    left[[3, 9]], right[5] = True, True
    assert vertex_numbers([left, right]).tolist() == [3, 9, FSAVERAGE + 5]
    assert vertex_numbers([left[:100], right]) is None


def test_algonauts_says_which_vertices_of_fsaverage_its_responses_are(tmp_path):
    root = write_algonauts(tmp_path)
    assert load("algonauts2023", root).space.vertices is None
    for side, width in (("left", 20), ("right", V - 20)):
        mask = np.zeros(FSAVERAGE, np.int64)
        mask[:width] = 1
        np.save(path_of("algonauts2023", f"{side}_vertices", root, subject=SUBJECT), mask)
    vertices = load("algonauts2023", root).space.vertices
    assert vertices.tolist() == [*range(20), *range(FSAVERAGE, FSAVERAGE + V - 20)]
    np.save(path_of("algonauts2023", "left_vertices", root, subject=SUBJECT), mask)
    with pytest.raises(DataError, match="the masks of all vertices are not of the responses"):
        load("algonauts2023", root)

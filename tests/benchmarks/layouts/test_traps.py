"""Files as they go wrong in practice: each is refused in a line, or read rightly."""

from __future__ import annotations

import gzip
import io
import tarfile

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io
from hostile_pickles import Runs
from layout_experiment import SUBJECT, V, experiment
from layout_files import npy, save_volume, write_tar
from layout_loading import file_of, load
from nsd_writers import (
    behav,
    write_algonauts,
    write_nsd,
    write_nsd_fsaverage,
    write_nsd_mindeye2,
    write_numpy,
)
from other_writers import write_god, write_things

from harness.api import ConfigError, DataError
from harness.benchmarks.layouts.manifest import read_manifest


def betas(root, session):
    files = read_manifest("nsd").entry("betas").find(root, subject=SUBJECT)
    return files[session - 1][1]


def already_percent(root):
    values = nibabel.load(betas(root, 2)).get_fdata() / 300
    save_volume(betas(root, 2), values.astype(np.float32))


def a_session_is_missing(root):
    betas(root, 2).unlink()


def a_session_is_short(root):
    values = np.asarray(nibabel.load(betas(root, 4)).dataobj)
    save_volume(betas(root, 4), values[..., :-1])


def truncated(root):
    content = betas(root, 3).read_bytes()
    betas(root, 3).write_bytes(content[: len(content) // 2])


def lying_header(root):
    header = bytearray(gzip.decompress(betas(root, 1).read_bytes())[:352])
    header[40:56] = np.array([4, 30000, 30000, 30000, 30000, 1, 1, 1], "<i2").tobytes()
    betas(root, 1).write_bytes(gzip.compress(bytes(header)))


def other_grid(root):
    path = file_of("nsd", "mask", root, subject=SUBJECT)
    save_volume(path, np.ones((5, 5, 4), np.int16))


def counted_from_zero(root):
    path = file_of("nsd", "experiment_design", root)
    held = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    scipy.io.savemat(path, {k: v - 1 for k, v in held.items()})


def another_subject_only(root):
    path = file_of("nsd", "experiment_design", root)
    held = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
    scipy.io.savemat(path, {**held, "masterordering": held["masterordering"][:, :50]})


def no_picture_file(root):
    file_of("nsd", "stimuli", root).unlink()


def no_betas(root):
    for session in range(4, 0, -1):
        betas(root, session).unlink()


NSD = {
    no_betas: r"there is no .*betas_session.*\(1.05 GB at full size\)",
    already_percent: "holds float32; expected int16",
    a_session_is_missing: "session 2 of subj01 is not there and session 4 is",
    a_session_is_short: "has 26 trials_of_a_session; betas_session01.nii.gz has 27",
    truncated: "cannot be read|damaged|truncated",
    lying_header: "claims .* bytes of shape .* and holds",
    other_grid: "has 5 x; ",
    counted_from_zero: "counts from 0; NSD's own file counts from 1",
    another_subject_only: "lists 50 trials; these files hold",
    no_picture_file: r"there is no .*nsd_stimuli.hdf5 \(39.6 GB at full size\)",
}


@pytest.mark.parametrize("mutate", NSD, ids=lambda mutate: mutate.__name__)
def test_a_mutant_of_nsd_is_refused(mutate, tmp_path):
    root = write_nsd(tmp_path / "root")
    mutate(root)
    with pytest.raises(DataError, match=NSD[mutate]) as caught:
        load("nsd", root)
    assert "\n" not in str(caught.value)


def test_hdf5_whose_axes_were_set_right_is_refused(tmp_path):
    root = write_nsd(tmp_path / "root", form="betas_hdf5")
    for _, path in read_manifest("nsd").entry("betas_hdf5").find(root, subject=SUBJECT):
        with h5py.File(path) as file:
            values = file["betas"][()]
        with h5py.File(path, "w") as file:
            file["betas"] = values.T
    with pytest.raises(DataError, match=r"has \d+ (x|y|z|trials_of_a_session)|in reverse"):
        load("nsd", root)


def test_the_mask_is_what_is_above_zero(tmp_path):
    """-1 is outside and 0 is unlabelled: both were taken for voxels in public threads."""
    assert load("nsd", write_nsd(tmp_path)).space.n_voxels == V


def test_sides_of_fsaverage_need_the_same_sessions_without_a_gap(tmp_path):
    root, entry = write_nsd_fsaverage(tmp_path), read_manifest("nsd-fsaverage").entry("left_betas")
    left = [path for _, path in entry.find(root, subject=SUBJECT)]
    left[-1].unlink()
    with pytest.raises(DataError, match="subj01 has 3 left sessions and 4 right ones"):
        load("nsd-fsaverage", root)
    left[1].unlink()
    with pytest.raises(DataError, match="session 2 of subj01, left, is not there and session 3 is"):
        load("nsd-fsaverage", root)


def test_responses_that_come_z_scored_are_not_z_scored_again(tmp_path):
    root = write_nsd_mindeye2(tmp_path)
    with pytest.raises(ConfigError, match="are z-scored as they come"):
        load("nsd-mindeye2", root, normalise="zscore_session")


def test_trials_of_mindeye2_are_told_by_their_records_and_not_by_place(tmp_path):
    """The archives are shuffled, as a re-packed copy may be; the responses stay with their images."""
    straight = load("nsd-mindeye2", write_nsd_mindeye2(tmp_path / "a"))
    root = write_nsd_mindeye2(tmp_path / "b")
    exp = experiment()
    trials = np.flatnonzero(exp.is_shared)[::-1]
    path = file_of("nsd-mindeye2", "test_trials", root, subject=SUBJECT)
    write_tar(path, [{"behav.npy": npy(behav(trial))} for trial in trials])
    assert load("nsd-mindeye2", root).test.responses.sha == straight.test.responses.sha


def _records(root, change):
    exp = experiment()
    records = [behav(trial) for trial in np.flatnonzero(exp.is_shared)]
    change(records)
    path = file_of("nsd-mindeye2", "test_trials", root, subject=SUBJECT)
    write_tar(path, [{"behav.npy": npy(record)} for record in records])


def test_a_record_without_row_or_with_anothers_row_is_refused(tmp_path):
    root = write_nsd_mindeye2(tmp_path)
    _records(root, lambda records: records[0].__setitem__((0, 5), -1))
    with pytest.raises(DataError, match="with image, session and row"):
        load("nsd-mindeye2", root)
    _records(root, lambda records: records[0].__setitem__((0, 5), records[1][0, 5]))
    with pytest.raises(DataError, match="two records of trials name one row"):
        load("nsd-mindeye2", root)
    _records(root, lambda records: records[0].__setitem__((0, 5), 10_000))
    with pytest.raises(DataError, match="names row 10000"):
        load("nsd-mindeye2", root)


@pytest.mark.parametrize("content", ["pickle", "lying", "link"])
def test_archives_neither_run_code_nor_claim_memory_nor_lead_out(content, tmp_path):
    root = write_nsd_mindeye2(tmp_path / "root")
    path = file_of("nsd-mindeye2", "test_trials", root, subject=SUBJECT)
    marker = tmp_path / "ran"
    if content == "pickle":
        stream = io.BytesIO()
        np.save(stream, np.array(Runs(marker), object), allow_pickle=True)
        write_tar(path, [{"behav.npy": stream.getvalue()}])
    elif content == "lying":
        stream = io.BytesIO()
        head = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        np.lib.format.write_array_header_1_0(stream, head)
        write_tar(path, [{"behav.npy": stream.getvalue() + b"0" * 64}])
    else:
        with tarfile.open(path, "w") as archive:
            member = tarfile.TarInfo("../../../outside.behav.npy")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    with pytest.raises(DataError, match=r"claims|link or device"):
        load("nsd-mindeye2", root)
    assert not marker.exists()


def test_rows_without_the_experiments_design_are_not_called_by_anyones_ids(tmp_path):
    root = write_numpy(tmp_path, "nsd-synbrain")
    file_of("nsd-synbrain", "experiment_design", root).unlink()
    data = load("nsd-synbrain", root)
    assert all(name.startswith("test-") for name in data.test.stimuli.ids)


def test_rows_that_the_design_cannot_name_are_refused(tmp_path):
    root = write_numpy(tmp_path, "nsd-brain-diffuser")
    for entry in ("training_betas", "training_stimuli"):
        path = file_of("nsd-brain-diffuser", entry, root, subject=SUBJECT)
        np.save(path, np.load(path)[:-1])
    with pytest.raises(DataError, match=r"27 images; .* lists 28"):
        load("nsd-brain-diffuser", root)


def test_pictures_that_were_rescaled_are_refused(tmp_path):
    root = write_numpy(tmp_path, "nsd-brain-diffuser")
    path = file_of("nsd-brain-diffuser", "test_stimuli", root, subject=SUBJECT)
    np.save(path, np.load(path) / 255)
    with pytest.raises(DataError, match="were they rescaled"):
        load("nsd-brain-diffuser", root)


def test_pictures_of_algonauts_that_are_lost_or_renamed_are_named(tmp_path):
    root = write_algonauts(tmp_path)
    folder = tmp_path / SUBJECT / "training_split" / "training_images"
    first, second = sorted(folder.iterdir())[:2]
    second.unlink()
    with pytest.raises(DataError, match="train-0002 is not there"):
        load("algonauts2023", root)
    first.rename(folder / "picture1.png")
    with pytest.raises(DataError, match="which tells its row and its image"):
        load("algonauts2023", root)


def test_a_pickle_of_region_names_runs_nothing(tmp_path):
    root = write_algonauts(tmp_path)
    marker = tmp_path / "ran"
    np.save(file_of("algonauts2023", "region_names", root, subject=SUBJECT), {0: Runs(marker)})
    with pytest.raises(DataError, match="is no table of region names"):
        load("algonauts2023", root)
    assert not marker.exists()


def test_voxels_of_things_in_another_order_are_refused(tmp_path):
    root = write_things(tmp_path)
    path = file_of("things-fmri", "voxels", root, subject="sub-01")
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *rows[::-1]]) + "\n")
    with pytest.raises(DataError, match="other voxels, or in another order"):
        load("things-fmri", root)


def test_imagery_is_no_trial_of_an_image(tmp_path):
    data = load("god", write_god(tmp_path))
    assert data.train.responses.n_trials + data.test.responses.n_trials == len(experiment().order)


def test_an_unknown_test_set_subject_or_root_says_what_to_type(tmp_path):
    root = write_nsd(tmp_path / "root")
    with pytest.raises(ConfigError, match="did you mean 'shared1000'"):
        load("nsd", root, test="shared100")
    with pytest.raises(ConfigError, match=r"type --set benchmark\.root=DIR"):
        load("nsd", "")
    with pytest.raises(DataError, match="holds no subject"):
        load("nsd", tmp_path)
    with pytest.raises(ConfigError, match="sessions is 9; these files hold 4"):
        load("nsd", root, sessions=9)

"""Reconstructions in folders and files: matched by id, or refused in one line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from commands import call_harness, only_run
from given_files import FORMATS, save_images, write
from PIL import Image
from toys import ToyBenchmark

from harness.errors import DataError
from harness.stages.reconstructions import GivenImages


def toy_data():
    return ToyBenchmark(ToyBenchmark.Params(n_test=16)).load("toy01")


@pytest.fixture
def data():
    return toy_data()


@pytest.fixture(scope="module")
def words(toy_words):
    return [*toy_words[:2], *toy_words[4:], "--set", "benchmark.n_test=16"]


@pytest.fixture(scope="module")
def of_folder(tmp_path_factory, words):
    """The run of a folder with the stimuli as reconstructions."""
    place = tmp_path_factory.mktemp("of-folder")
    stimuli = toy_data().test.stimuli
    save_images(place / "recons", stimuli.ids, stimuli.images())
    call_harness(place, "score", "recons", *words[:2], *words[4:])
    return only_run(place)


def test_a_folder_of_reconstructions_is_scored_with_its_controls(of_folder):
    run = of_folder
    pixcorr = run.scores[run.scores.metric == "pixcorr@1"].groupby("row").value.mean()
    assert pixcorr["reconstructions"] == pytest.approx(1)
    assert {"shuffled-reconstructions", "mean-image", "flat-grey", "nearest-train-measured"} <= set(
        pixcorr.index
    )
    assert pixcorr["shuffled-reconstructions"] < 0.5
    labels = {row["name"]: row["label"] for row in run.info["rows"]}
    assert labels["shuffled-reconstructions"] == "given images, shuffled"
    assert "predicted, shuffled" not in (run.folder / "report.html").read_text("utf-8")


def test_a_folder_may_stand_for_the_decoder(harness, tmp_path, words, data):
    stimuli = data.test.stimuli
    save_images(tmp_path / "r" / "predicted", stimuli.ids, stimuli.images()[:, ::-1])
    save_images(tmp_path / "r" / "measured", stimuli.ids, stimuli.images())
    write(tmp_path / "p.npz", stimuli.ids, data.truth.mean())
    harness("run", *words[:2], *words[4:], "--encoder", "file:p.npz", "--decoder", "folder:r", "--no-report")
    run = only_run(tmp_path)
    assert {("predicted", "measured"), ("measured", "stimulus")} <= set(
        zip(run.scores.row, run.scores.target)
    )


def test_bad_folders(tmp_path, data):
    stimuli = data.test.stimuli
    with pytest.raises(DataError, match="there is no folder"):
        GivenImages(str(tmp_path / "none")).rows(stimuli, flat_row="predicted")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        GivenImages(str(tmp_path / "empty")).rows(stimuli, flat_row="predicted")
    save_images(tmp_path / "some", stimuli.ids[:5], stimuli.images()[:5])
    with pytest.raises(DataError, match=r"lacks 11 of 16 test images \(test-005, .* \.\.\.\)") as caught:
        GivenImages(str(tmp_path / "some")).rows(stimuli, flat_row="predicted")
    assert "expected files such as test-005.png" in str(caught.value)
    assert "To score the other 5 alone, add --allow-missing" in str(caught.value)
    save_images(tmp_path / "sizes", stimuli.ids, stimuli.images())
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "sizes" / "test-003.png")
    sizes = GivenImages(str(tmp_path / "sizes"))
    with pytest.raises(DataError, match=r"test-003\.png is 4 x 4 pixels and test-000\.png is 8 x 8"):
        sizes.rows(stimuli, flat_row="predicted")
    (tmp_path / "sizes" / "test-003.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="cannot be read as an image"):
        sizes.rows(stimuli, flat_row="predicted")
    shutil.copy(tmp_path / "sizes" / "test-001.png", tmp_path / "sizes" / "test-001.jpg")
    with pytest.raises(DataError, match=r"holds 'test-001\.jpg' and 'test-001\.png' for the id 'test-001'"):
        sizes.rows(stimuli, flat_row="predicted")


def test_folders_of_no_row_beside_rows_are_named(tmp_path, data, caplog):
    stimuli = data.test.stimuli
    for folder in ("measured", "predictd/deeper"):
        save_images(tmp_path / "r" / folder, stimuli.ids, stimuli.images())
    (tmp_path / "r" / "logs").mkdir()
    rows = GivenImages(str(tmp_path / "r")).rows(stimuli, flat_row="predicted")
    assert list(rows) == ["measured"]
    (record,) = (record for record in caplog.records if getattr(record, "flag", "") == "images-left-out")
    assert "predictd/ are left out" in record.getMessage()
    assert "did you mean 'predicted'?" in record.getMessage()


# Reconstructions in files


def test_every_format_and_layout_gives_the_same_images(tmp_path, data):
    stimuli = data.test.stimuli
    images, ids = stimuli.images(), list(stimuli.ids)
    order = np.random.default_rng(0).permutation(len(ids))
    moved, names = images[order], [ids[k] for k in order]
    for suffix in FORMATS:
        for first, layout in enumerate((moved, moved.transpose(0, 3, 1, 2))):
            for values in (layout, layout / np.float32(255)):
                path = tmp_path / f"r{first}{values.dtype}{suffix}"
                write(path, names, np.ascontiguousarray(values), "reconstructions")
                (given,) = GivenImages(str(path), "file").rows(stimuli, flat_row="predicted").values()
                assert given.ids == stimuli.ids
                expected = images if values.dtype == np.uint8 else images / np.float32(255)
                np.testing.assert_array_equal(given.images(), expected)
                np.testing.assert_array_equal(given.images(ids[5:2:-1]), expected[5:2:-1])


def test_a_file_may_hold_several_rows_and_a_folder_files_of_rows(tmp_path, data):
    stimuli = data.test.stimuli
    images, ids = stimuli.images(), np.array(stimuli.ids)
    np.savez(tmp_path / "both.npz", predicted=images[:, ::-1], measured=images, ids=ids)
    both = GivenImages(str(tmp_path / "both.npz"), "file").rows(stimuli, flat_row="predicted")
    (tmp_path / "r").mkdir()
    write(tmp_path / "r" / "predicted.pt", ids.tolist(), images[:, ::-1].copy(), "recons")
    save_images(tmp_path / "r" / "measured", stimuli.ids, images)
    mixed = GivenImages(str(tmp_path / "r")).rows(stimuli, flat_row="predicted")
    for rows in (both, mixed):
        assert set(rows) == {"predicted", "measured"}
        np.testing.assert_array_equal(rows["predicted"].images(), images[:, ::-1])
        np.testing.assert_array_equal(rows["measured"].images(), images)
    write(tmp_path / "r" / "measured.npz", ids.tolist(), images, "images")
    with pytest.raises(DataError, match="the row 'measured' twice"):
        GivenImages(str(tmp_path / "r")).rows(stimuli, flat_row="predicted")


def test_grey_whole_numbers_and_half_precision(tmp_path, data):
    stimuli = data.test.stimuli
    images = stimuli.images()

    def read(values):
        torch.save(values, tmp_path / "r.pt")
        (tmp_path / "r.ids.json").write_text(json.dumps(list(stimuli.ids)))
        (given,) = GivenImages(str(tmp_path / "r.pt"), "file").rows(stimuli, flat_row="predicted").values()
        return given.images()

    grey = np.repeat(images[..., :1], 3, axis=-1)
    for values in (images[..., 0], images[..., :1], images[..., :1].transpose(0, 3, 1, 2)):
        np.testing.assert_array_equal(read(torch.from_numpy(values.copy())), grey)
    whole = read(torch.from_numpy(images.astype(np.int64)))
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, images)
    for kind, error in ((torch.float16, 2**-11), (torch.bfloat16, 2**-8)):
        half = read(torch.from_numpy(images / 255.0).to(kind))
        assert half.dtype == np.float32
        np.testing.assert_allclose(half, images / 255.0, atol=error)
    slightly = read(torch.from_numpy(images / 255.0 + 5e-4))
    assert slightly.max() <= 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda ids, v: (ids[1:], v[1:]), r"lacks 1 of 16 test images \(test-000\); it holds ids such as"),
        (lambda ids, v: (ids[9:], v[9:]), r"lacks 9 of 16 .*test-004 \.\.\."),
        (lambda ids, v: (ids[1:], v), "15 ids for 16 reconstructions"),
        (lambda ids, v: ([ids[1], *ids[1:]], v), "'test-001' occurs more than once"),
        (lambda ids, v: (ids, v.astype(np.float32)), "if white is 255, save images / 255"),
        (
            lambda ids, v: (ids, v / 127.5 - 1),
            r"float64 images from -.*\(first: test-000\).*save \(images \+ 1\) / 2",
        ),
        (lambda ids, v: (ids, np.where(v < 9, np.nan, v / 255.0)), "holds NaN or inf .first: test-002."),
        (lambda ids, v: (ids, v.astype(np.int32) + 1), "expected uint8"),
        (lambda ids, v: (ids, v[..., :2]), r"expected \(N, H, W, 3\) or \(N, 3, H, W\)"),
        (lambda ids, v: (ids, v[:, None]), "images have shape"),
        (lambda ids, v: (ids, v[:, :3]), "which axis is colour"),
        (lambda ids, v: (ids, v > np.inf), "every pixel is 0, so all images are black"),
    ],
)
def test_bad_files_of_reconstructions(tmp_path, data, spoil, message):
    stimuli = data.test.stimuli
    for suffix in (".npz", ".pt"):
        ids, values = spoil(list(stimuli.ids), stimuli.images())
        write(tmp_path / f"r{suffix}", ids, values, "reconstructions")
        with pytest.raises(DataError, match=message):
            GivenImages(str(tmp_path / f"r{suffix}"), "file").rows(stimuli, flat_row="predicted")[
                "predicted"
            ].image_hashes()


class Runs:
    """What a pickle must never get to do."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def test_only_tensors_are_read_from_a_pickle(harness, tmp_path, words, data, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = GivenImages("r.pt", "file")
    objects = np.array([Runs()], object)
    for held in (Runs(), {"reconstructions": Runs()}, {"ids": objects}, {"ids": [Runs()]}, [1]):
        torch.save(held, tmp_path / "r.pt")
        with pytest.raises(DataError, match="something other than tensors"):
            given.rows(data.test.stimuli, flat_row="predicted")
    for held, message in (({"a": 1}, "has the keys a"), ({"images": None}, "is a NoneType that is no array")):
        torch.save(held, tmp_path / "r.pt")
        with pytest.raises(DataError, match=message):
            given.rows(data.test.stimuli, flat_row="predicted")
    torch.save(Runs(), tmp_path / "r.pt")
    done = harness("score", "r.pt", *words[:2], *words[4:], check=False)
    assert done.returncode == 2
    assert "torch.save({'reconstructions'" in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("ran"))


def test_a_file_of_reconstructions_is_scored_as_the_folder_is(harness, tmp_path, words, data, of_folder):
    stimuli = data.test.stimuli
    write(tmp_path / "r.pt", stimuli.ids[::-1], stimuli.images()[::-1].copy(), "reconstructions")
    harness("score", "r.pt", *words[:2], *words[4:], "--no-report")
    tables = [run.scores.drop(columns=["run", "decoder"]) for run in (only_run(tmp_path), of_folder)]
    assert "reconstructions" in set(tables[0].row)
    pd.testing.assert_frame_equal(*tables)


def test_what_is_not_there_is_said_before_any_work(harness, tmp_path, words):
    for path in ("absent", "absent.pt"):
        done = harness("score", path, *words[:2], check=False)
        assert done.returncode == 2
        assert f"{path}: there is no such file or folder; give a folder" in done.stderr
    for form, message in (("folder", "there is no folder absent"), ("file", "there is no file absent")):
        with pytest.raises(DataError, match=message):
            GivenImages.asked(f"{form}:absent")
    (tmp_path / "r.npz").write_bytes(b"")
    done = harness("run", *words[:2], "--encoder", "ridge", "--decoder", "folder:r.npz", check=False)
    assert "type file:r.npz" in done.stderr
    assert not (tmp_path / "runs").exists()

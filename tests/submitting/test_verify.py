"""Submissions: the honest one is verified, every altered one refused by the value that was altered."""

from __future__ import annotations

import json
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from submissions import edit_json, edit_table, rehash, set_value, verified

from harness.errors import DataError
from harness.progress import Silent
from harness.results import RunResult
from harness.storage.store import Store
from harness.submitting.anew import check_anew
from harness.submitting.verify import write_verified


def test_an_honest_submission_is_verified_with_its_data(copy, kept):
    findings = verified(copy, Store(kept), sample=12)
    assert findings.wrong == []
    counts = {check.what: check.values for check in findings.summary()}
    assert counts["scores of images by scikit-image and numpy"] >= 12 * 2 * 2
    assert counts["scores of responses by numpy"] > 2 * 1000
    assert counts["means, intervals, differences and tests"] > 500
    assert counts["what the record says of the data"] > 1000


def test_a_verification_holds_until_the_next_edit(copy, kept):
    assert RunResult.open(copy).verified is None
    write_verified(copy, verified(copy, Store(kept)))
    assert RunResult.open(copy).verified.checked
    # A second verification sees the same folder.
    assert verified(copy, Store(kept)).wrong == []
    (copy / "more.txt").write_text("x")
    assert RunResult.open(copy).verified is None
    (copy / "more.txt").unlink()
    assert RunResult.open(copy).verified is not None
    edit_json(copy, "run.json", lambda info: info.update(peak_memory_mb=1))
    assert RunResult.open(copy).verified is None
    rehash(copy)
    assert RunResult.open(copy).verified is None


SCORE = {"row": "predicted", "metric": "ssim@1", "target": "stimulus"}


def better(folder, **where):
    edit_table(folder, "scores", lambda table: set_value(table, 0.93, **where))


def without_a_row(folder):
    edit_table(folder, "scores", lambda table: table.drop(table.index[(table["row"] == "predicted")][0]))


def without_a_control(folder):
    edit_table(folder, "scores", lambda table: table[table["row"] != "shuffled"])
    edit_json(
        folder,
        "run.json",
        lambda info: info.update(rows=[r for r in info["rows"] if r["name"] != "shuffled"]),
    )


def doubled(folder):
    edit_table(folder, "scores", lambda table: pd.concat([table, table[table["row"] == "predicted"].head(1)]))


def other_images(folder):
    """Reconstructions of the measured row go as those of the predicted one."""
    with np.load(folder / "reconstructions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["images/predicted"] = arrays["images/measured"]
    np.savez(folder / "reconstructions.npz", **arrays)


def fewer_images(folder):
    with np.load(folder / "reconstructions.npz") as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(folder / "reconstructions.npz", **{name: array[2:6] for name, array in arrays.items()})


def in_record(*path, value):
    def change(info):
        for key in path[:-1]:
            info = info[key]
        info[path[-1]] = value

    return lambda folder: edit_json(folder, "run.json", change)


def in_card(key, value):
    def change(record):
        (card,) = [card for card in record["cards"] if card["kind"] == "encoder"]
        card[key] = value

    return lambda folder: edit_json(folder, "submission.json", change)


def in_csv(folder):
    file = folder / "summary.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    table.loc[3, "mean"] = "0.99"
    table.to_csv(file, index=False)


def in_table(name, value, **where):
    return lambda folder: edit_table(folder, name, lambda table: set_value(table, value, **where))


def text_in(name, text):
    return lambda folder: (folder / name).write_text(text)


def without(name):
    return lambda folder: (folder / name).unlink()


PREDICTED = {"row": "predicted", "metric": "voxel-r@1"}
HASHED, DERIVED = "hashes again", "hashes and derived tables again"

ALTERED = {
    # what the forger makes again afterwards -> alterations, each with what is said of it
    "a file": (
        None,
        [
            (in_csv, "summary.csv, line 5.*: mean is 0.99; recomputed"),
            (partial(better, **SCORE), "scores.parquet is another file"),
            (other_images, "reconstructions.npz is another file"),
            (without("rois.csv"), "rois.csv is missing"),
            (text_in("evil.py", "raise SystemExit"), "evil.py does not belong"),
        ],
    ),
    "what is derived": (
        HASHED,
        [
            (in_csv, "summary.csv, line 5.*: mean is 0.99; recomputed"),
            (partial(better, **SCORE), "summary.csv.*'predicted'.*'ssim@1'.*: mean is"),
            (without("rois.csv"), "rois.csv is missing, which the tables give"),
            (text_in("best.csv", "a\n1\n"), "best.csv is no table"),
        ],
    ),
    "the record": (
        HASHED,
        [
            (in_record("n_test", value=13), "run.json: n_test is 13; recomputed: 12"),
            (in_record("n_train", value=9000), "run.json: n_train is 9000; recomputed: 60"),
            (in_record("noise_ceiling", value=[0.9] * 1500), r"run.json: noise_ceiling\[0\] is 0.9"),
            (in_record("noise_floor_mse", value=0.5), "run.json: noise_floor_mse is 0.5"),
            (in_record("data_sha", "test_stimuli", value="0"), "run.json: data_sha.test_stimuli is '0'"),
            (in_record("metrics", 2, "chance", value=0.1), "run.json: chance of 'pixel-2way@1' is 0.1"),
            (in_record("metrics", 0, "higher_is_better", value=False), "higher_is_better of 'pixcorr@1'"),
            (in_record("encoder", "params", "folds", value=3), "encoder's card.folds is 5; recomputed: 3"),
            (in_record("decoder", "name", value="best"), "decoder is 'linear'; recomputed: 'best'"),
        ],
    ),
    "a card": (
        HASHED,
        [
            (in_card("licence", "none"), "licence of the encoder's card is 'none'"),
            (in_card("citation", "me"), "citation of the encoder's card is 'me'"),
            (in_card("version", "9"), "version of the encoder's card is '9'"),
            (in_card("training_sets", ["nsd-73k"]), r"training_sets of the encoder's card is .'nsd-73k',"),
            (in_card("params", {"folds": 3}), "params of the encoder's card.folds is 3"),
            (text_in("CARDS.md", "mine"), "CARDS.md is 'mine'"),
        ],
    ),
    "tables": (
        DERIVED,
        [
            (in_table("voxel_scores", 0.9, **PREDICTED), "row 'predicted', voxel-r, voxel '0' is 0.9"),
            (
                in_table("region_scores", 0.9, **PREDICTED, region="early"),
                "region_scores.parquet: row 'predicted', voxel-r@1, early is 0.9",
            ),
            (
                in_table("set_scores", 0.5, row="predicted", metric="voxel-r-low@1"),
                "set_scores.parquet: voxel-r-low of row 'predicted' is 0.5",
            ),
            (
                in_table("scores", 1.5, row="predicted", metric="pixel-2way@1"),
                "has 1.5, which no such score can be",
            ),
            (without_a_row, "image 'test-.*' is missing"),
            (without_a_control, "row 'predicted' has no row 'shuffled'"),
            (doubled, "stands there more than once"),
        ],
    ),
    "one score": (
        DERIVED,
        [
            (
                partial(better, **SCORE),
                "row 'predicted', target 'stimulus', ssim, image 'test-.*' is 0.93",
            )
        ],
    ),
    "images": (HASHED, [(other_images, "row 'predicted', target 'stimulus', pixcorr, image")]),
    "the choice of images": (HASHED, [(fewer_images, "reconstructions.npz: images of row")]),
    "bytes": (None, [(text_in("scores.parquet", "PAR1"), "scores.parquet is another file")]),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_altered_is_said(copy, kept, name):
    again, alterations = ALTERED[name]
    for alter, _ in alterations:
        alter(copy)
    if again:
        rehash(copy, derive=again == DERIVED)
    text = "\n".join(verified(copy, Store(kept)).wrong)
    for _, message in alterations:
        assert re.search(message, text), f"{message}\n{text}"


def test_a_run_made_anew_notices_what_no_other_check_can(copy, kept):
    """A flag that is gone, and a score of a network, all hashes and derived tables made again."""
    edit_json(copy, "run.json", lambda info: info.update(flags=[]))
    edit_table(copy, "scores", lambda t: set_value(t, 0.4, row="shuffled", metric="pixcorr@1"))
    rehash(copy, derive=True)
    store = Store(kept)
    assert verified(copy, store).wrong == []
    anew = partial(check_anew, store=store, reporter=Silent())
    wrong = verified(copy, store, anew=anew).wrong
    of_flags = [line for line in wrong if "run.json: flags" in line]
    assert "the length of run.json: flags is 0" in of_flags[0]
    (of_score,) = set(wrong) - set(of_flags)  # all else is as it was
    assert "scores.parquet: row shuffled" in of_score


def test_without_data_tables_are_verified_and_the_rest_is_said(copy, kept):
    findings = verified(copy, Store(kept), data=lambda run: (None, "they are elsewhere"))
    assert findings.wrong == []
    assert "data and single values: they are elsewhere" in findings.not_checked


def test_links_are_refused(copy, kept, tmp_path):
    (tmp_path / "outside").write_text("x")
    (copy / "rois.csv").unlink()
    (copy / "rois.csv").symlink_to(tmp_path / "outside")
    with pytest.raises(DataError, match=r"rois\.csv is a link"):
        verified(copy, Store(kept))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "damaged"),
        ("{", "cannot be read"),
        ('{"evil": 1}', "damaged at 'evil'"),
        ('{"schema_version": 99}', "reads up to 1"),
    ],
)
def test_documents_that_are_none(copy, kept, content, message):
    (copy / "submission.json").write_text(content)
    with pytest.raises(DataError, match=message):
        verified(copy, Store(kept))


def test_a_plain_run_is_no_submission(run, kept):
    with pytest.raises(DataError, match="harness submit RUN -o"):
        verified(run.folder, Store(kept))


def test_code_that_a_record_names_is_not_called(copy, kept, tmp_path):
    evil = tmp_path / "evil.py"
    evil.write_text(f"open({str(tmp_path / 'called')!r}, 'w')\nclass Evil: pass\n")
    for kind in ("encoder", "decoder", "benchmark"):
        edit_json(copy, "run.json", lambda info, kind=kind: info[kind].update(name=f"{evil}:Evil"))
    rehash(copy)
    findings = verified(copy, Store(kept), anew=partial(check_anew, store=Store(kept), reporter=Silent()))
    assert findings.wrong
    assert not (tmp_path / "called").exists()


def test_markup_in_a_card_stays_text(copy):
    """The page of cards holds what plugins say as code."""
    from harness.submitting.document import read_submission
    from harness.submitting.write import cards_page

    (card, *_) = read_submission(copy).cards
    page = cards_page([card.model_copy(update={"citation": "<script>x</script>\n# head\n```"})])
    assert all(line.startswith("    ") for line in page.splitlines() if "script" in line or "head" in line)
    assert json.dumps("\n# head")[1:-1] in page

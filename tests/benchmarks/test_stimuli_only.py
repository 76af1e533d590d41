"""Stimuli without responses: what was reconstructed or captioned elsewhere is scored with its controls."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from commands import SHARED, call_harness, only_run

from harness.benchmarks.stimuli_only import Params, StimuliOnly
from harness.errors import ConfigError, DataError
from harness.metrics.coco_captions import bleu, rouge_l
from harness.reports.comparison import compare
from harness.results import RunResult

KINDS = ["a red bus on a road", "two dogs on a couch", "a man rides a wave"]
REFERENCES = {
    str(k): [KINDS[k % 3], f"{KINDS[k % 3]} number {k}", f"there is {KINDS[k % 3]}"] for k in range(12)
}
CAPTIONS = {str(k): KINDS[k % 3] if k % 4 else "a street" for k in range(12)}
ROUGE = "caption-coco-rougel,caption-coco-bleu1"


@pytest.fixture(scope="module")
def captioned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    (folder / "references.json").write_text(json.dumps(REFERENCES))
    (folder / "said.json").write_text(json.dumps(CAPTIONS))
    words = ["--benchmark", "stimuli", "--set", "benchmark.captions=references.json", "--metrics", ROUGE]
    return folder, call_harness(folder, "score", "said.json", *words)


def scored(run, row, metric):
    table = run.scores[(run.scores["row"] == row) & (run.scores["metric"] == f"{metric}@1")]
    return table.set_index("image_id")["value"]


def test_captions_are_scored_against_all_references(captioned):
    run = only_run(captioned[0])
    ids = list(CAPTIONS)
    captions, references = list(CAPTIONS.values()), list(REFERENCES.values())
    np.testing.assert_allclose(
        scored(run, "captions", "caption-coco-rougel")[ids], rouge_l(captions, references)
    )
    expected = bleu(captions, references, order=1).mean()
    assert scored(run, "captions", "caption-coco-bleu1").mean() == pytest.approx(expected)
    human = rouge_l([texts[0] for texts in references], [texts[1:] for texts in references])
    np.testing.assert_allclose(scored(run, "human-caption", "caption-coco-rougel")[ids], human)
    own = scored(run, "captions", "caption-coco-rougel").mean()
    for control in ("shuffled-captions", "constant-caption"):
        assert scored(run, control, "caption-coco-rougel").mean() < own - 0.1


def test_the_answer_stands_beside_its_controls(captioned):
    shown = captioned[1].stdout
    assert "given captions" in shown
    assert "best control" in shown
    assert "another human caption" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--encoder", "ridge", "--decoder", "linear"], "stimuli and no responses"),
        (["score", "said.json", "--metrics", "ssim"], "scores images, and captions were given"),
        (["score", "references.json"], "has 3 captions of image '0'"),
        (["score", "few.json"], "lacks captions of 11 of 12 test images.*--allow-missing"),
        (["score", "other.json", "--allow-missing"], "no test image has a caption"),
    ],
)
def test_what_is_refused(captioned, words, message):
    folder = captioned[0]
    (folder / "few.json").write_text('{"3": "a bus"}')
    (folder / "other.json").write_text('{"x": "a bus"}')
    common = ["--benchmark", "stimuli", "--set", "benchmark.captions=references.json"]
    done = call_harness(folder, *words, *common, check=False)
    assert done.returncode
    line = done.stderr.strip().splitlines()[-1]
    assert re.search(message, line), line


def test_parameters_that_name_nothing():
    with pytest.raises(ConfigError, match="needs what was shown"):
        Params()
    with pytest.raises(ConfigError, match="captions bring their own"):
        Params(captions="a.json", ids="b.npz:ids")
    lines = StimuliOnly.missing(Params(images="absent/", captions="absent.json"), subject="all")
    assert len(lines) == 2


def test_pictures_that_are_not_there_are_not_made_up(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps(REFERENCES))
    data = StimuliOnly(Params(captions="r.json", base_dir=str(tmp_path))).load("all")
    assert data.test.stimuli.references[0] == tuple(REFERENCES["0"])
    assert not data.measured
    with pytest.raises(DataError, match="captions and no pictures"):
        data.test.stimuli.images()


def recons(folder, shapes, *, noise):
    ids = np.array([f"s{k:02d}" for k in range(len(shapes))])
    np.savez(folder / "stimuli.npz", shown=shapes, ids=ids)
    rng = np.random.default_rng(0)
    for name, level in noise.items():
        reconstructions = np.clip(shapes / 255 + level * rng.standard_normal(shapes.shape), 0, 1).astype(
            np.float32
        )
        np.savez(folder / f"{name}.npz", reconstructions=reconstructions, ids=ids)
    images = ["benchmark.images=stimuli.npz:shown", "benchmark.ids=stimuli.npz:ids"]
    return [word for key in (*images, "benchmark.image_layout=nhw") for word in ("--set", key)]


def test_images_are_scored_and_compared_without_any_response(tmp_path):
    shapes = (np.random.default_rng(1).random((14, 10, 10)) > 0.5).astype(np.uint8) * 255
    keys = recons(tmp_path, shapes, noise={"good": 0.3, "poor": 1.5})
    for name in ("good", "poor"):
        words = ["--benchmark", "stimuli", *keys, "--metrics", "pixcorr-native", "--no-report"]
        call_harness(tmp_path, "score", f"{name}.npz", *words)
    runs = [RunResult.open(folder) for folder in sorted((tmp_path / "runs").iterdir())]
    for run in runs:
        rows = set(run.scores["row"])
        assert rows == {"reconstructions", "shuffled-reconstructions", "flat-grey"}  # nothing to train on
    comparison = compare(runs, rows=("reconstructions",))
    (line,) = comparison.differences.itertuples()
    assert "good" in line.better


def test_captions_of_images_are_joined_by_id(tmp_path):
    shapes = (np.random.default_rng(1).random((3, 10, 10)) > 0.5).astype(np.uint8) * 255
    recons(tmp_path, shapes, noise={})
    (tmp_path / "r.json").write_text(json.dumps({f"s{k:02d}.png": ["x", f"y{k}"] for k in (2, 1, 0)}))
    params = Params(
        images="stimuli.npz:shown", ids="stimuli.npz:ids", captions="r.json", base_dir=str(tmp_path),
        image_layout="nhw",
    )  # fmt: skip
    stimuli = StimuliOnly(params).load("all").test.stimuli
    assert stimuli.references == (("x", "y0"), ("x", "y1"), ("x", "y2"))
    (tmp_path / "r.json").write_text('{"s00": "x"}')
    with pytest.raises(DataError, match="has no caption of 2 of 3 images"):
        StimuliOnly(params).load("all")


BRAINHUB = SHARED / "data" / "brainhub_subj01"
MIYAWAKI = SHARED / "data" / "miyawaki2008_reconstructions.npz"


@pytest.mark.slow
@pytest.mark.skipif(not BRAINHUB.is_dir(), reason="captions of four published decoders are not beside here")
def test_published_captions_beside_the_controls_that_their_tables_lack(tmp_path):
    """One sentence for all reaches 34.95: one decoder is not told apart from it, one is below."""
    words = ["--benchmark", "stimuli", "--set", f"benchmark.captions={BRAINHUB / 'references.json'}"]
    better = {}
    for name in ("onellm", "sdrecon", "umbrae"):
        done = [*words, "--metrics", "caption-coco-rougel", "--no-report", "--out", f"runs-{name}"]
        call_harness(tmp_path, "score", BRAINHUB / f"{name}.json", *done)
        (folder,) = (tmp_path / f"runs-{name}").iterdir()
        run = RunResult.open(folder)
        (line,) = compare([run], rows=("captions", "constant-caption")).differences.itertuples()
        better[name] = (line.difference, line.better)
        means = {row: 100 * scored(run, row, "caption-coco-rougel").mean() for row in set(run.scores["row"])}
        assert means["constant-caption"] == pytest.approx(34.95, abs=0.1)
        assert means["human-caption"] == pytest.approx(47.92, abs=0.1)
    assert better["onellm"] == (pytest.approx(0.0012, abs=0.002), "")
    assert better["sdrecon"] == (pytest.approx(-0.0980, abs=0.002), "best constant sentence")
    assert better["umbrae"] == (pytest.approx(0.0721, abs=0.002), "given captions")


AREAS = {"AllArea": (0.714, 0.613), "V1": (0.673, 0.562), "V2": (0.453, 0.327), "V3VP": (0.259, 0.164)}


@pytest.mark.slow
@pytest.mark.skipif(not MIYAWAKI.is_file(), reason="reconstructions of Miyawaki et al. are not beside here")
def test_reconstructions_of_miyawaki(tmp_path):
    """V1 > V2 > V3VP told apart with and without optimised combination, which is the better in every area."""
    runs = {}
    with np.load(MIYAWAKI, allow_pickle=False) as file:
        shown = file["stimuli"]
        keys = recons(tmp_path, shown, noise={})
        ids = np.array([f"s{k:02d}" for k in range(len(shown))])
        for area, figures in AREAS.items():
            for kind, figure in zip(("optimised", "no_opt"), figures):
                name = f"{area}_{kind}"
                np.savez(tmp_path / f"{name}.npz", reconstructions=file[name], ids=ids)
                words = [
                    *keys,
                    "--set",
                    "benchmark.image_max=1",
                    "--metrics",
                    "pixcorr-native",
                    "--no-report",
                ]
                out = tmp_path / f"runs-{name}"
                call_harness(tmp_path, "score", f"{name}.npz", "--benchmark", "stimuli", *words, "--out", out)
                (folder,) = out.iterdir()
                runs[name] = RunResult.open(folder)
                mean = scored(runs[name], "reconstructions", "pixcorr-native").mean()
                assert mean == pytest.approx(figure, abs=0.001)

    def told(first, second):
        (line,) = compare([runs[first], runs[second]], rows=("reconstructions",)).differences.itertuples()
        return line.better.endswith(f"{first}.npz")

    for kind in ("optimised", "no_opt"):
        assert told(f"V1_{kind}", f"V2_{kind}")
        assert told(f"V2_{kind}", f"V3VP_{kind}")
    assert all(told(f"{area}_optimised", f"{area}_no_opt") for area in AREAS)

"""Four extensions of the engine by a third party, each one new file, none of which edits a file here.

A preprocessing family, a network metric, a kind of score and an encoder, run through the command line.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import TOYS, call_harness

from harness.results import RunResult

ROOT = Path(__file__).resolve().parents[1]

FAMILY = """
    from harness.api import plugin
    from harness.backbones.preprocessing import IMAGENET, Preprocessing

    given = Preprocessing((96,), "bilinear", True, IMAGENET, "the lab's own: straight to 96 px")
    ROWS = (
        plugin(
            "backbones", "alexnet-lab@random", "harness.backbones.alexnet:AlexNetRandom",
            name="alexnet-lab@random", preprocessing=given, weights="",
        ),
    )
"""

NETWORK_METRIC = """
    from harness.api import Metric
    from harness.metrics.catalogue import identification

    ROW = Metric(
        name="lab-alexnet",
        label="Alex (lab)",
        meaning="two-way identification in an untrained network",
        backbone=("alexnet-lab@random", "features.4"),
        **identification(2),
    )
"""

KIND_OF_SCORE = """
    import numpy as np
    from harness.api import Metric, call, plugin
    from harness.scoring.compare import Comparison, Offer, compared, controls, derangements_of
    from harness.scoring.context import Scorer
    from harness.scoring.scores import Score, Scored

    def histogram(stimuli):
        edges = np.arange(0, 257, 32)
        images = stimuli.images()
        if images.dtype != np.uint8:
            images = np.round(images * 255)
        counts = [[np.histogram(image[..., c], edges)[0] for c in range(3)] for image in images]
        return np.array(counts).reshape(len(images), -1) / images[0, :, :, 0].size

    class HistogramScorer(Scorer):
        "Colour histograms of finished images against those of stimuli."

        inputs = "histograms"

        def score(self, metric):
            run, what, comparisons = self.run, [], []
            for images in run.once:
                pair = (Offer.of(histogram(images.images)), Offer.of(histogram(images.stimuli)))
                what.append(images)
                comparisons.append(Comparison(pair))
            for images, control in controls(run.once, run.shuffled):
                pair = (Offer.of(histogram(images.images)), Offer.of(histogram(images.stimuli)))
                what.append(control)
                orders = derangements_of(images.images.ids, run.derangements)
                comparisons.append(Comparison(pair, orders=orders))
            values = compared(metric, comparisons, store=run.store, executor=run.executor)
            return Scored(images=[Score(metric, one, "stimulus", v[""]) for one, v in zip(what, values)])

    def distance(result, target):
        return np.abs(result - target).sum(axis=1) / 3

    ROWS = (
        plugin("scorers", "histograms", "lab_histograms:HistogramScorer"),
        Metric(
            name="histogram-distance",
            inputs="histograms",
            score=call("lab_histograms:distance"),
            label="histogram distance",
            meaning="share of pixels whose colour is another",
            targets=("stimulus",),
            higher_is_better=False,
        ),
    )
"""

ENCODER = """
    from dataclasses import dataclass
    import numpy as np

    class MeanEncoder:
        version = "1"
        stochastic = False

        @dataclass(frozen=True)
        class Params:
            pass

        def __init__(self, params):
            pass

        def wants(self):
            return ()

        def fit(self, subjects, features, *, seed, device, checkpoint_dir):
            train = subjects[0].train
            x = train.stimuli.images().reshape(len(train), -1) / 255
            self.weights = np.linalg.lstsq(x, train.responses.mean(), rcond=None)[0]

        def predict(self, stimuli, features, *, space, seeds):
            x = stimuli.images().reshape(len(stimuli), -1) / 255
            return np.repeat((x @ self.weights)[:, None], seeds.shape[1], axis=1).astype(np.float32)

        def save(self, folder):
            np.save(folder / "weights.npy", self.weights)

        @classmethod
        def load(cls, folder, params, *, device):
            encoder = cls(params)
            encoder.weights = np.load(folder / "weights.npy")
            return encoder
"""

POINTS = {
    "lab_family": "[harness.catalogues]\nfamily = lab_family:ROWS\n",
    "lab_metric": "[harness.metrics]\nlab-alexnet = lab_metric:ROW\n",
    "lab_histograms": "[harness.catalogues]\nhistograms = lab_histograms:ROWS\n",
    "lab_encoder": "[harness.encoders]\nlab-mean = lab_encoder:MeanEncoder\n",
}
SOURCES = dict(zip(POINTS, (FAMILY, NETWORK_METRIC, KIND_OF_SCORE, ENCODER), strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> RunResult:
    """One run of the toy benchmark with all four, each a distribution of one file."""
    folder = tmp_path_factory.mktemp("extensions")
    installed = folder / "installed"
    for name, source in SOURCES.items():
        info = installed / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (installed / f"{name}.py").write_text(textwrap.dedent(source))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(POINTS[name])
    words = [
        *("--benchmark", f"{TOYS}:ToyBenchmark", "--encoder", "lab-mean", "--decoder", f"{TOYS}:ToyDecoder"),
        *("--metrics", "lab-alexnet,histogram-distance,voxel-r", "--no-report"),
    ]
    call_harness(folder, "run", *words, PYTHONPATH=str(installed))
    (run,) = (folder / "runs").iterdir()
    return RunResult.open(run)


def means(run: RunResult, metric: str) -> dict[str, float]:
    scores = run.scores.query("metric.str.startswith(@metric) and target == 'stimulus'")
    return scores.groupby("row")["value"].mean().to_dict()


def test_a_preprocessing_family_and_a_metric_on_its_network(finished):
    values = means(finished, "lab-alexnet")
    assert {"measured", "predicted", "shuffled", "flat-grey"} <= set(values)
    assert values["measured"] > 0.7
    assert values["flat-grey"] == pytest.approx(0.5)
    shown = finished.scores.query("metric.str.startswith('lab-alexnet')")["backbone"].unique()
    assert list(shown) == ["alexnet-lab@random:features.4"]


def test_a_kind_of_score(finished):
    values = means(finished, "histogram-distance")
    assert values["generator-ceiling"] == 0  # the toy's generator paints the true image
    assert 0 < values["measured"] < values["flat-grey"]
    assert values["shuffled"] > 0
    assert all(0 <= value <= 2 for value in values.values())


def test_an_encoder(finished):
    voxels = finished.voxel_scores.query("metric.str.startswith('voxel-r')")
    assert voxels[voxels.row == "predicted"]["value"].mean() > 0.5


def test_a_row_of_a_catalogue_is_listed_without_installing_again(tmp_path):
    """A copy of the tree, as it is imported: one line more, nothing else."""
    copied = tmp_path / "harness"
    skipped = shutil.ignore_patterns("*.safetensors", "__pycache__")
    shutil.copytree(ROOT / "harness", copied, ignore=skipped)
    for folder in ("encoders", "decoders", "benchmarks", "reports", "configs"):
        shutil.copytree(ROOT / folder, copied / folder, ignore=skipped)
    catalogue = copied / "encoders" / "catalogue.py"
    text = catalogue.read_text()
    (line,) = (line for line in text.splitlines(keepends=True) if 'plugin("encoders", "ridge",' in line)
    catalogue.write_text(text.replace(line, line + line.replace('"ridge"', '"ridge-too"')))
    code = (
        "import harness.plugins as p, harness; print(harness.__file__)\n"
        "print(*(ref.name for ref in p.available('encoders')))\n"
        "print(p.find('encoders', 'ridge-too').load().__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    file, names, loaded = done.stdout.splitlines()
    assert Path(file).is_relative_to(tmp_path)
    assert {"ridge", "ridge-too", "chasm"} <= set(names.split())
    assert loaded == "RidgeEncoder"

"""A layout's files through the command line give the scores of the same data from memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from commands import EMBEDDED_METRICS, call_harness
from layout_writers import WRITERS
from nsd_writers import write_nsd

from harness.benchmarks.layouts.manifest import manifest_names
from harness.plugins import find

QUICKLY = ("--metrics", EMBEDDED_METRICS, "--no-report")
RUN = ("--encoder", "ridge", "--decoder", "linear", *QUICKLY)


def scores(folder):
    (run,) = (child for child in folder.iterdir() if not child.name.startswith("."))
    table = pd.read_parquet(run / "scores.parquet")
    keys = ["row", "target", "image_id", "trial", "sample", "metric"]
    return table.set_index(keys)["value"].sort_index()


@pytest.mark.parametrize(
    "name", [n if n == "nsd" else pytest.param(n, marks=pytest.mark.slow) for n in WRITERS]
)
def test_a_run_on_files_has_the_scores_of_a_run_from_memory(name, tmp_path):
    """From memory: the same subject's data written as one .npz and read by ``paired``, to float32."""
    root = WRITERS[name](tmp_path / "root")
    benchmark_class = find("benchmarks", name).load()
    benchmark = benchmark_class(benchmark_class.Params(root=str(root)))
    data = benchmark.load(benchmark.subjects()[0])
    arrays = {}
    for split, part in (("train", data.train), ("test", data.test)):
        arrays |= {
            f"{split}_images": part.stimuli.images(),
            f"{split}_betas": part.responses.trials(),
            f"{split}_index": part.responses.image_index,
            f"{split}_ids": np.array(part.stimuli.ids),
        }
    np.savez(tmp_path / "data.npz", **arrays)
    keys = "{{images: {0}_images, responses: {0}_betas, image_index: {0}_index, ids: {0}_ids}}"
    (tmp_path / "memory.yaml").write_text(
        "benchmark:\n  file: data.npz\n  units: zscore\n  index_base: 0\n  image_layout: nhwc\n"
        "  exclude: [constant]\n"
        f"  train: {keys.format('train')}\n  test: {keys.format('test')}\n"
        "plugins: {benchmark: paired, encoder: ridge, decoder: linear}\n"
    )
    call_harness(tmp_path, "run", "--config", "memory.yaml", *QUICKLY, "--out", "memory")
    subject = ("--subject", benchmark.subjects()[0])
    given = ("--benchmark", name, "--set", "benchmark.root=root")
    call_harness(tmp_path, "run", *given, *subject, *RUN, "--out", "files")
    files, memory = scores(tmp_path / "files"), scores(tmp_path / "memory")
    assert files.index.equals(memory.index)
    np.testing.assert_allclose(files, memory, atol=1e-5)


def test_every_layout_is_written_in_the_tests():
    assert set(manifest_names()) == set(WRITERS)


def test_data_check_names_what_is_there_and_what_is_not(tmp_path):
    write_nsd(tmp_path / "root")
    shown = call_harness(tmp_path, "data", "check", "nsd", "--root", "root")
    assert "subj01" in shown.stdout
    assert "6 x 5 x 4 x 27 int16 (x, y, z, trials_of_a_session)" in " ".join(shown.stdout.split())
    assert "note: 27 trials_of_a_session (usually 750)" in shown.stdout
    assert "harness run --benchmark nsd --set benchmark.root=root" in shown.stdout
    (tmp_path / "root" / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5").unlink()
    shown = call_harness(tmp_path, "data", "check", "nsd", "--root", "root", check=False)
    assert (
        "there is no root/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5 (39.6 GB at full size)" in shown.stdout
    )
    assert "aws s3 sync" in shown.stdout


def test_data_prepare_and_the_plan_ask_for_terms_first(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_ACCEPT_TERMS")
    write_nsd(tmp_path / "root")
    refused = call_harness(tmp_path, "data", "prepare", "nsd", "--root", "root", check=False)
    assert "type: harness data accept nsd" in refused.stderr
    assert "accepted" in call_harness(tmp_path, "data", "accept", "nsd").stdout
    assert (
        "108 trials x 45 voxels" in call_harness(tmp_path, "data", "prepare", "nsd", "--root", "root").stdout
    )
    assert "nsd-mindeye2" in call_harness(tmp_path, "data", "list").stdout

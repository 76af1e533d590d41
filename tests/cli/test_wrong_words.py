"""Whatever is typed wrong: one line that begins ``harness: error``, exit 2, no traceback, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import TOYS

from harness.cli.main import main

PAIR = ["--encoder", "ridge", "--decoder", "linear"]
RUN = ["run", "--benchmark", f"{TOYS}:ToyBenchmark", "--encoder", f"{TOYS}:ToyEncoder"]
RUN += ["--decoder", f"{TOYS}:ToyDecoder", "--metrics", "pixcorr"]
DAMAGED = ("alone", "noscores", "noise", "columns", "newer", "schema", "list", "bytes", "nothing")
NOT_TEXT = bytes(range(128, 256)) * 4

TEXTS = {
    "list.yaml": "- a\n- b\n",
    "word.yaml": "hello",
    "open.yaml": "a: [1",
    "tab.yaml": "run:\n\tseed: 3\n",
    "number.yaml": "encoder: 3\n",
    "section.yaml": "encodr: {folds: 3}\n",
    "plugins.yaml": "plugins: {encoder: [a]}\n",
    "plugin.yaml": "plugins: {benchmark: 3}\n",
    "seed.yaml": "run: {seed: abc}\n",
    "device.yaml": "run: {device: [a]}\n",
    "metrics.yaml": "run: {metrics: pixcorr}\n",
    "key.yaml": "run: {3: 4}\n",
    "preset.yaml": "encoder: {preset: [a]}\n",
    "syntax.py": "def :",
    "empty.py": "",
    "plain.py": "class Plain: pass\nNUMBER = 3\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, undisturbed) -> Path:
    """A folder with files that are not what they should be, and with runs that were damaged."""
    place = tmp_path_factory.mktemp("wrong")
    for name, text in TEXTS.items():
        (place / name).write_text(text)
    for name in ("bytes.yaml", "bytes.npz", "bytes.npy", "bytes.mat", "bytes.h5", "bytes.pt", "bytes.py"):
        (place / name).write_bytes(NOT_TEXT)
    for name in ("empty.npz", "empty.npy", "empty.mat", "empty.h5", "empty.pt", "empty.png"):
        (place / name).write_bytes(b"")
    for name in ("folder", "folder.npz", "folder.yaml", "folder.py"):
        (place / name).mkdir()
    np.savez(place / "other.npz", other=np.zeros((2, 3)), more=np.zeros(2))
    (run,) = (undisturbed / "runs").iterdir()
    for name in (
        "whole",
        "alone",
        "noscores",
        "noise",
        "columns",
        "newer",
        "schema",
        "list",
        "bytes",
        "nothing",
    ):
        shutil.copytree(run, place / name)
    record = json.loads((run / "run.json").read_text())
    shutil.rmtree(place / "alone")
    (place / "alone").mkdir()
    shutil.copy(run / "run.json", place / "alone")
    (place / "noscores" / "scores.parquet").unlink()
    (place / "noise" / "scores.parquet").write_bytes(NOT_TEXT)
    pd.DataFrame({"a": [1]}).to_parquet(place / "columns" / "scores.parquet")
    for name, schema in (("newer", 99), ("schema", "x")):
        (place / name / "run.json").write_text(json.dumps({**record, "schema": schema}))
    (place / "list" / "run.json").write_text("[]")
    (place / "bytes" / "run.json").write_bytes(NOT_TEXT)
    (place / "nothing" / "run.json").write_text("")
    return place


def wrong_commands():
    """The words of every command, in :func:`place`."""
    for file in ("absent.npz", "bytes.npz", "empty.npz", "folder.npz", "folder", "other.npz", "list.yaml"):
        yield ["plan", "--encoder", f"file:{file}", "--decoder", "linear"]
        yield ["score", file, "--benchmark", f"{TOYS}:ToyBenchmark", "--metrics", "pixcorr"]
        yield [*RUN, "--decoder", f"file:{file}", "--no-report"]
    for file in ("absent.mat", "folder", "list.yaml", "run.json"):
        yield ["inspect", file]
    for kind in ("npz", "npy", "mat", "h5", "pt"):
        yield ["inspect", f"bytes.{kind}"]
        yield ["inspect", f"empty.{kind}"]
        yield ["plan", "--encoder", f"file:bytes.{kind}", "--decoder", "linear"]
    for file in ("absent.yaml", "folder.yaml", "bytes.yaml", *(name for name in TEXTS if "yaml" in name)):
        yield ["plan", *PAIR, "--config", file]
    for name in ("absent.py:X", "empty.py:X", "syntax.py:X", "bytes.py:X", "folder.py:X", "plain.py:Plain"):
        for option in ("--encoder", "--decoder", "--benchmark"):
            yield ["plan", *PAIR, option, name]
    for name in ("plain.py:NUMBER", "plain.py:", "plain.py", ":X", "x:y", "ridge:", "a/b"):
        yield ["plan", *PAIR, "--encoder", name]
    for text in (
        *("encoder", "encoder.x", "x.y=1", "encoder.folds=abc", "encoder.folds=[1", "encoder.folds={a: 1}"),
        *("encoder.alphas=3", "encoder.alphas=[a]", "encoder.layers=3", "encoder.layers=[3]", ".=1", "="),
        *("encoder.backbone=[a]", "encoder.backbone=xyz", "encoder.layers=[rgb61]", "encoder.preset=xx"),
        *("encoder.preset=[a]", "encoder.preset={a: b}", "encoder.preset=3", "run.seed=1.5", "run.device=3"),
        *("run.metrics=3", "run.metrics=[1]", "run.metrics={a: 1}", "run.bottleneck=8", "run.protocol=xx"),
        *("run.adapter=1", "run.seed.a=3", "run.limit=0", "run.workers=0", "encoder.folds=&a [*a]"),
        *("benchmark.n_train=0", "benchmark.repeats=0", "decoder.components=0", "encoder.folds=!!int x"),
    ):
        yield ["plan", *PAIR, "--set", text]
    for words in (
        *(["--limit", "0"], ["--limit", "-1"], ["--limit", "x"], ["--samples", "0"], ["--workers", "0"]),
        *(["--workers", "-1"], ["--shard-size", "0"], ["--seed", "-1"], ["--seed", "1e5"], ["--subject", ""]),
        *(["--subject", "x"], ["--metrics", ""], ["--metrics", "x"], ["--metrics", "[pixcorr"], ["--store="]),
        *(["--metrics", "a: b"], ["--device", "cuda:99"], ["--device", "cpu:7"], ["--device", "cuda:x"]),
        *(["--executor", "x"], ["--protocol", "x"], ["--selection", "x"], ["--adapter", "x"], ["--config"]),
        *(["--store", "empty.npz"], ["--store", "empty.npz/x"], ["--set"], ["--allow-missing"], ["extra"]),
    ):
        yield ["plan", *PAIR, *words]
    for run in DAMAGED:
        yield ["report", run]
        yield ["compare", run, "whole"]
        yield ["export", run, "table.csv"]
    for run in ("absent", "folder", "empty.npz"):
        yield ["report", run]
        yield ["compare", "whole", run]
        yield ["export", run, "table.csv"]
    for words in (
        *(["table"], ["table.xls"], ["folder"], ["empty.npz/table.csv"], ["t.csv", "--table", "x"]),
        *(["t.csv", "--target", "x"], ["t.csv", "extra"]),
    ):
        yield ["export", "whole", *words]
    for words in (
        *(["--row", "x"], ["--metrics", "x"], ["--regions", "x"], ["--csv", "folder"], ["--target", "x"]),
        *(["--csv", "empty.npz/x.csv"], ["--table", "x"], ["--metrics", ""]),
    ):
        yield ["compare", "whole", *words]
    yield from (["compare"], ["report"], ["export", "whole"], ["run"], ["score"], ["inspect"], ["xyz"])
    yield from (["--xyz"], ["list", "x"], ["list", "encoders", "x", "y"], ["doctor", "x"], ["prefetch", "x"])
    yield from (["prefetch", "alexnet", "--from", file] for file in ("absent", "folder", "empty.npz"))
    yield [*RUN, "--out", "empty.npz"]
    yield [*RUN, "--out", "empty.npz/runs"]
    yield [*RUN, "--store", "empty.npz"]


def in_part():
    """Every fourth command is typed in the usual loop, all of them with ``-m slow``."""
    for number, words in enumerate(wrong_commands()):
        name = " ".join(words).replace(str(TOYS), "toys.py")[-70:]
        yield pytest.param(words, id=name, marks=[pytest.mark.slow] if number % 4 else [])


@pytest.mark.parametrize("words", [*in_part()])
def test_one_line(words, place, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(place)
    monkeypatch.setenv("HARNESS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HARNESS_OFFLINE", "1")
    monkeypatch.setattr(sys, "argv", ["harness", *words])
    before = sorted(os.listdir(place))
    with pytest.raises(SystemExit) as end:
        main()
    last = capfd.readouterr().err.splitlines()[-1]
    assert end.value.code == 2
    assert last.startswith("harness: error: ")
    assert len(last) < 1000
    assert sorted(os.listdir(place)) == before

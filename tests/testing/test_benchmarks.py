"""Benchmarks that break one promise each: the kit names it in a sentence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from kit_plugins import GoodBenchmark
from kit_reports import broken, check_name, one_of

from harness import plugins
from harness.api import Split, Stimuli
from harness.settings import resolve_params
from harness.testing import (
    check_benchmark,
    toy_subject,
)


class _BrokenBenchmark:
    """The same of benchmarks."""

    class contract(GoodBenchmark):
        interface = 99

    class signatures(GoodBenchmark):
        simulated = "yes"

    class parameters(GoodBenchmark):
        @dataclass(frozen=True)
        class Params:
            n_test: int
            n_train: int = 12
            side: int = 16

    class subjects(GoodBenchmark):
        def subjects(self):
            return ("toy01", "toy01")

    class data(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            data.train.responses.data[0, data.space.valid] = np.nan
            return data

    class splits(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            twin = data.train.stimuli.images()[: len(data.test)]
            test = Stimuli.from_array(data.test.stimuli.ids, twin)
            return replace(data, test=Split(test, data.test.responses))

    class hashes(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            old = data.test.stimuli
            stated = Stimuli.from_array(old.ids, old.images(), hashes=[f"sha-{k}" for k in range(len(old))])
            return replace(data, test=Split(stated, data.test.responses))

    class space(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            data.space.ncsnr[:] = -1
            return data

    class scale(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            data.train.responses.data[:] *= 100
            return data

    class truth(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            some = data.test.stimuli.ids[1:]
            return replace(data, truth=data.truth.select(some))

    class same_twice(GoodBenchmark):
        def load(self, subject):
            data = super().load(subject)
            data.train.responses.data[:, data.space.valid] += np.random.default_rng().uniform()
            return data

    class random_state(GoodBenchmark):
        def load(self, subject):
            np.random.seed(0)
            return super().load(subject)


@pytest.mark.parametrize("name", broken(_BrokenBenchmark))
def test_a_broken_benchmark(name):
    one_of(check_benchmark(getattr(_BrokenBenchmark, name)), check_name(name))


def test_the_embedded_benchmark_conforms():
    plugin = plugins.find("benchmarks", "embedded").load()
    report = check_benchmark(
        plugin, resolve_params(plugin.Params, {"n_train": 48, "n_test": 8}, section="benchmark")
    )
    report.require()
    assert not report.skipped


def test_paired_data_conform(tmp_path):
    data = toy_subject("toy01", n_train=12, n_test=6, side=16)
    arrays = {}
    for name, split in (("train", data.train), ("test", data.test)):
        arrays[f"{name}_images"] = split.stimuli.images()
        arrays[f"{name}_betas"] = split.responses.trials()[:, data.space.valid]
        arrays[f"{name}_index"] = split.responses.image_index
    np.savez(tmp_path / "mine.npz", **arrays)
    splits = {
        name: {"images": f"{name}_images", "responses": f"{name}_betas", "image_index": f"{name}_index"}
        for name in ("train", "test")
    }
    more = {"image_layout": "nhwc", "index_base": 0, "units": "zscore"}
    given = {"file": "mine.npz", "base_dir": str(tmp_path), **splits, **more}
    plugin = plugins.find("benchmarks", "paired").load()
    report = check_benchmark(plugin, resolve_params(plugin.Params, given, section="benchmark"))
    report.require()
    assert not report.skipped

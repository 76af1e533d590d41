"""The conformance kit: silent about plugins that keep their contracts, else a sentence for each flaw."""

from __future__ import annotations

import contextlib
import random
import socket
from dataclasses import dataclass, replace

import numpy as np
import pytest
from commands import HELPERS, TOYS
from kit_plugins import GOOD_METRIC, GoodBackbone, GoodBenchmark, GoodDecoder, GoodEncoder, likeness

from harness import plugins
from harness.api import Decoded, Metric, Responses, Split, Stimuli, SubjectData, VoxelSpace, call
from harness.presets import plugin_defaults
from harness.scoring.context import Scorer
from harness.settings import resolve_params
from harness.testing import (
    Report,
    Sample,
    check_backbone,
    check_benchmark,
    check_decoder,
    check_encoder,
    check_metric,
    check_plugin,
    check_scorer,
    conformance,
    toy_subject,
)


def small() -> tuple[SubjectData, ...]:
    """New ones each time, since some plugins here write into them."""
    return tuple(toy_subject(name, n_train=12, n_test=6, side=16) for name in ("toy01", "toy02", "toy03"))


def encoder_report(plugin, **more) -> Report:
    return check_encoder(plugin, subjects=small(), **more)


def decoder_report(plugin, **more) -> Report:
    return check_decoder(plugin, subjects=small(), **more)


def test_good_plugins_pass_all_that_applies():
    encoder = encoder_report(GoodEncoder)
    assert encoder.ok
    assert not encoder.skipped
    decoder = decoder_report(GoodDecoder)
    assert decoder.ok
    assert [name for name, _ in decoder.skipped] == ["resuming"]
    assert check_metric(GOOD_METRIC).ok
    assert not check_metric(GOOD_METRIC).skipped
    assert check_benchmark(GoodBenchmark).ok
    assert check_backbone(GoodBackbone).ok


def one_of(reports: Report, check: str) -> str:
    """The sentence of `check`, which says what was expected, seen, and to be changed."""
    sentences = [str(finding) for finding in reports if finding.check == check]
    assert sentences, [str(finding) for finding in reports]
    assert sentences[0].startswith(f"{check}: expected ")
    assert "; got " in sentences[0]
    assert sentences[0].endswith(".")
    assert "\n" not in sentences[0]
    return sentences[0]


class _Broken:
    """Encoders that break one promise each; the name is that of the check which sees it."""

    class contract(GoodEncoder):
        predict = None
        interface = 99

    class signatures(GoodEncoder):
        def predict(self, stimuli, features, space):
            return None

    class parameters(GoodEncoder):
        @dataclass
        class Params:
            steps: int = 4
            noise: float = 0.1

    class wanted_layers(GoodEncoder):
        def wants(self):
            return (("pixels", "rgb9"),)

    class training_data(GoodEncoder):
        def fit(self, subjects, features, **more):
            subjects[0].test.stimuli.images()

    class output(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            return super().predict(stimuli, features, space=space, seeds=seeds).astype(np.float64)

    class seeds(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            return out + np.random.default_rng().standard_normal(out.shape).astype(np.float32)

    class inputs(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            seeds += np.uint64(1)
            return out

    class order(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            return out + np.arange(len(out), dtype=np.float32)[:, None, None]

    class micro_batches(GoodEncoder):
        def design(self, stimuli, features):
            x = super().design(stimuli, features)
            return x - x.mean(axis=0)

    class names(GoodEncoder):
        def predict(self, stimuli, features, *, space, seeds):
            out = super().predict(stimuli, features, space=space, seeds=seeds)
            return out + np.array([sum(i.encode()) for i in stimuli.ids], np.float32)[:, None, None]

    class spaces(GoodEncoder):
        def model(self, space):
            weights = next(iter(self.models.values()))[1]
            return np.resize(weights, (len(weights), space.n_valid))

    class same_seed(GoodEncoder):
        def fit(self, subjects, features, *, seed, device, checkpoint_dir):
            super().fit(
                subjects, features, seed=random.randrange(10**6), device=device, checkpoint_dir=checkpoint_dir
            )

    class masked_voxels(GoodEncoder):
        def learn(self, subject, features, seed, checkpoint):
            super().learn(subject, features, seed, checkpoint)
            space, weights = self.models[subject.space.sha]
            scale = 1 + subject.train.responses.trials().std()
            self.models[space.sha] = (space, weights * scale)

    class saving(GoodEncoder):
        def save(self, folder):
            super().save(folder)
            np.save(folder / "0" / "weights.npy", np.zeros_like(next(iter(self.models.values()))[1]))

    class resuming(GoodEncoder):
        def learn(self, subject, features, seed, checkpoint):
            if checkpoint.is_file():  # the steps are remembered, and what they led to is not
                kept = np.load(checkpoint)
                kept[1:] = 0
                np.save(checkpoint, kept)
            super().learn(subject, features, seed, checkpoint)

    class several_subjects(GoodEncoder):
        def fit(self, subjects, features, **more):
            super().fit(subjects[:1], features, **more)

    class adapting(GoodEncoder):
        def adapt(self, subject, features, **more):
            for sha, (space, weights) in self.models.items():
                self.models[sha] = (space, weights * 0)
            super().adapt(subject, features, **more)

    class printing(GoodEncoder):
        def fit(self, subjects, features, **more):
            print("epoch 1")
            super().fit(subjects, features, **more)

    class random_state(GoodEncoder):
        def fit(self, subjects, features, **more):
            np.random.seed(0)
            super().fit(subjects, features, **more)

    class network(GoodEncoder):
        def fit(self, subjects, features, **more):
            with contextlib.suppress(OSError):
                socket.create_connection(("example.org", 80), timeout=1)
            super().fit(subjects, features, **more)


def broken(namespace) -> list[str]:
    return [name for name in vars(namespace) if not name.startswith("_")]


def check_name(name: str) -> str:
    return {"micro_batches": "micro-batches", "trains_on": "trains_on"}.get(name, name.replace("_", " "))


@pytest.mark.parametrize("name", broken(_Broken))
def test_a_broken_encoder(name):
    one_of(encoder_report(getattr(_Broken, name)), check_name(name))


class _BrokenDecoder:
    """The same of decoders."""

    class contract(GoodDecoder):
        interface = 99

    class signatures(GoodDecoder):
        repeats = "means"

    class parameters(GoodDecoder):
        @dataclass(frozen=True)
        class Params:
            ridge: object = 1.0

    class training_data(GoodDecoder):
        def fit(self, subject, features, **more):
            super().fit(subject, features, **more)
            subject.train.responses.data[:] = 0

    class output(GoodDecoder):
        def paint(self, embedding):
            return super().paint(embedding) * 255

    class embedding(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            return Decoded(made.images, embedding=np.tile(made.embedding, (1, 2)))

    class seeds(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            return Decoded(np.clip(made.images * 0.9 + (seeds % 7)[:, None, None, None, None] / 100.0, 0, 1))

    class inputs(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            responses.data[:] = 0
            return made

    class order(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            shade = np.linspace(0.5, 1, len(made.images), dtype=np.float32)
            return Decoded(made.images * shade[:, None, None, None, None])

    class micro_batches(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            return Decoded(made.images / made.images.max())

    class names(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            return Decoded(made.images * (0.5 if responses.ids[0].startswith("test") else 1.0))

    class spaces(GoodDecoder):
        def open(self, space, *, device):
            return None

    class same_seed(GoodDecoder):
        def fit(self, subject, features, **more):
            super().fit(subject, features, **more)
            self.weights = self.weights + np.random.default_rng().standard_normal(self.weights.shape)

    class masked_voxels(GoodDecoder):
        def decode(self, responses, *, seeds):
            made = super().decode(responses, seeds=seeds)
            return Decoded(made.images * np.float32(1 / (1 + np.abs(responses.mean()).max())))

    class trains_on(GoodDecoder):
        def fit(self, subject, features, **more):
            super().fit(subject, features, **more)
            self.weights = self.weights + subject.train.responses.trials()[0].mean()

    class saving(GoodDecoder):
        def save(self, folder):
            super().save(folder)
            np.save(folder / "weights.npy", self.weights * 0)

    class printing(GoodDecoder):
        def decode(self, responses, *, seeds):
            print("decoding")
            return super().decode(responses, seeds=seeds)

    class random_state(GoodDecoder):
        def decode(self, responses, *, seeds):
            np.random.seed(0)
            return super().decode(responses, seeds=seeds)


@pytest.mark.parametrize("name", broken(_BrokenDecoder))
def test_a_broken_decoder(name):
    one_of(decoder_report(getattr(_BrokenDecoder, name)), check_name(name))


def scored(function, **fields) -> Metric:
    return replace(GOOD_METRIC, **{"score": function, "deranged": None, **fields})


def _overwriting(result, target):
    values = likeness(result, target)
    result[:] = 0
    return values


def _drawing(result, target):
    return likeness(result, target) + np.random.default_rng().standard_normal(len(result))


def _by_position(result, target):
    return likeness(result, target) + np.arange(len(result)) / 10


def _all_or_nothing(result, target):
    values = likeness(result, target)
    return values if np.isfinite(values).all() else np.full(len(values), np.nan)


def _zero_for_nan(result, target):
    return np.nan_to_num(likeness(result, target))


def _half(result, target):
    """Large numbers in half precision."""
    dtype = np.float16 if result.dtype == np.float32 else np.float64
    return likeness((result + 1000).astype(dtype), target)


def _asking(result, target):
    random.seed(0)
    return likeness(result, target)


BROKEN_METRICS = {
    "contract: no row": ("contract", "likeness"),
    "contract: no scorer": ("contract", replace(GOOD_METRIC, inputs="embeding")),
    "contract: a unit": ("contract", replace(GOOD_METRIC, unit="images")),
    "contract: no module": ("contract", replace(GOOD_METRIC, score=call("no_such_module:f"))),
    "contract: no keyword": ("contract", replace(GOOD_METRIC, gets=("rivalry",))),
    "identity": ("identity", replace(GOOD_METRIC, score=call("kit_plugins:likeness", by=print))),
    "explained": ("explained", replace(GOOD_METRIC, label="")),
    "shape": ("shape", scored(lambda result, target: likeness(result, target).mean())),
    "pure: overwrites": ("pure", scored(_overwriting)),
    "pure: draws": ("pure", scored(_drawing)),
    "order": ("order", scored(_by_position)),
    "missing values: all lost": ("missing values", scored(_all_or_nothing)),
    "missing values: 0": ("missing values", scored(_zero_for_nan)),
    "best": ("best", replace(GOOD_METRIC, higher_is_better=False)),
    "chance": ("chance", replace(GOOD_METRIC, chance=0.5)),
    "re-pairings": ("re-pairings", replace(GOOD_METRIC, deranged=lambda r, t, orders: likeness(r, t))),
    "precision": ("precision", scored(_half)),
    "random state": ("random state", scored(_asking)),
}


@pytest.mark.parametrize("case", BROKEN_METRICS)
def test_a_broken_metric(case):
    check, row = BROKEN_METRICS[case]
    one_of(check_metric(row), check)


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


class _BrokenBackbone:
    """The same of backbones."""

    class contract(GoodBackbone):
        layers = ()
        interface = 99

    class signatures(GoodBackbone):
        def extract(self, images):
            return {}

    class identity(GoodBackbone):
        def identity(self):
            return str(random.random())

    class output(GoodBackbone):
        def extract(self, images, layers):
            return {
                name: values.astype(np.float64) for name, values in super().extract(images, layers).items()
            }

    class micro_batches(GoodBackbone):
        def extract(self, images, layers):
            made = super().extract(images, layers)
            return {name: values - values.mean(axis=0) for name, values in made.items()}

    class same_twice(GoodBackbone):
        def extract(self, images, layers):
            noise = np.float32(np.random.default_rng().uniform())
            return {name: values + noise for name, values in super().extract(images, layers).items()}

    class floats(GoodBackbone):
        def extract(self, images, layers):
            return {layer: images.mean(axis=(1, 2)).astype(np.float32) for layer in layers}

    class texts(GoodBackbone):
        def extract_text(self, captions):
            return np.full((len(captions), 3), np.nan)

    class printing(GoodBackbone):
        def open(self, *, device):
            print("loading")

    class random_state(GoodBackbone):
        def open(self, *, device):
            random.seed(0)


@pytest.mark.parametrize("name", broken(_BrokenBackbone))
def test_a_broken_backbone(name):
    one_of(check_backbone(getattr(_BrokenBackbone, name)), check_name(name))


def test_a_decoder_of_before_there_were_features():
    class Older(GoodDecoder):
        def fit(self, subject, *, seed, device, checkpoint_dir):
            super().fit(subject, None, seed=seed, device=device, checkpoint_dir=checkpoint_dir)

    assert decoder_report(Older).ok


def test_a_scorer_without_a_score():
    class Lacking(Scorer):
        inputs = "nothing"

    one_of(check_scorer(Lacking), "contract")
    assert check_scorer(plugins.find("scorers", "images").load()).ok


QUICK = {
    "encoders": ("ridge",),
    "decoders": ("identification", "linear", "miyawaki", "nearest-train"),
    "backbones": ("pixels", "clip@tiny", "scenes@tiny", "clip", "minilm-text"),
    "scorers": tuple(ref.name for ref in plugins.available("scorers")),
    "metrics": ("pixel-2way", "image-retrieval", "caption-rougel", "voxel-r", "rsa", "energy-distance"),
}
BUILT_IN = [
    pytest.param(ref, id=f"{ref.kind}-{ref.name}", marks=() if quick else pytest.mark.slow)
    for group in plugins.GROUPS
    for ref in plugins.available(group)
    if ref.dist == "fmri-harness" and group != "benchmarks"
    for quick in [ref.name in QUICK.get(group, ())]
]


@pytest.mark.parametrize("ref", BUILT_IN)
def test_a_built_in_conforms(ref):
    params = None
    if ref.group in ("encoders", "decoders"):
        defaults = plugin_defaults(ref, benchmark=plugins.find("benchmarks", "embedded"), preset=None)
        params = resolve_params(ref.load().Params, {}, section=ref.kind, defaults=defaults)
    report = check_plugin(ref, params)
    report.require()
    assert "contract" in report.passed


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


def test_after_a_broken_contract_nothing_else_is_tried():
    report = encoder_report(type("Empty", (), {}))
    assert [finding.check for finding in report] == ["contract"]
    assert {why for _, why in report.skipped} == {"the contract is not met"}


def test_a_fit_that_fails_is_reported_once():
    class Failing(GoodEncoder):
        def fit(self, subjects, features, **more):
            raise ZeroDivisionError("no such luck")

    report = encoder_report(Failing)
    assert [f.check for f in report if "ZeroDivisionError" in f.seen] == ["training data"]
    assert sum("needs 'fit'" in why for _, why in report.skipped) > 5


def test_global_generators_are_as_before():
    class Careless(GoodEncoder):
        def fit(self, subjects, features, **more):
            np.random.seed(0)
            random.seed(0)
            super().fit(subjects, features, **more)

    np.random.seed(7)
    random.seed(7)
    expected = np.random.default_rng(0), np.random.get_state()[1].copy(), random.getstate()
    encoder_report(Careless)
    np.testing.assert_array_equal(np.random.get_state()[1], expected[1])
    assert random.getstate() == expected[2]


def test_expected_failures_are_excused_with_their_reason():
    report = encoder_report(_Broken.printing, expected_failures={"printing": "a progress bar"})
    assert report.ok
    assert [(finding.check, why) for finding, why in report.excused] == [("printing", "a progress bar")]
    with pytest.raises(ValueError, match="names no check"):
        encoder_report(GoodEncoder, expected_failures={"prints": "?"})


def test_require_lists_every_finding():
    with pytest.raises(AssertionError, match="does not conform:\nspaces: expected open to refuse"):
        decoder_report(_BrokenDecoder.spaces).require()


def test_a_metric_of_unknown_inputs_is_tried_on_what_is_given(monkeypatch):
    row = replace(GOOD_METRIC, inputs="smells", deranged=None, backbone=None)
    monkeypatch.setattr(plugins, "find", lambda group, name: None)
    report = check_metric(row)
    assert any("draw=" in why for _, why in report.skipped)

    def draw(row, n, seed, same):
        target, other = np.random.default_rng(seed).standard_normal((2, n, 9))
        return Sample((target.copy() if same else other, target))

    assert "chance" in check_metric(row, draw=draw).passed


def test_missing_weights_are_a_reason_and_no_finding(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_WEIGHTS", str(tmp_path))
    report = check_plugin(plugins.find("backbones", "clip"))
    assert report.ok
    assert any("harness prefetch clip" in why for _, why in report.skipped)


def test_a_plugin_that_cannot_be_imported(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text("import no_such_dependency\nclass Mine: pass\n")
    report = check_plugin(plugins.find("encoders", f"{file}:Mine"))
    assert "no_such_dependency" in one_of(report, "contract")


test_as_a_test = conformance("encoders", GoodEncoder, subjects=small())
test_metric_as_a_test = conformance("metrics", GOOD_METRIC)


def test_toys_differ_in_voxels_and_are_equal_twice():
    first, *others = small()
    assert first.space.n_voxels not in {subject.space.n_voxels for subject in others}
    again = small()[0]
    assert again.train.stimuli.sha == first.train.stimuli.sha
    assert again.train.responses.sha == first.train.responses.sha
    assert isinstance(again.space, VoxelSpace)
    assert isinstance(again.truth, Responses)
    assert set(again.train.responses.counts()) == {1, 2, 3}


def test_the_command_says_ok_or_why(harness):
    file = HELPERS / "kit_plugins.py"
    good = harness("check", f"{file}:GoodDecoder", "voxel-r", "--kind", "decoder", check=False)
    assert good.returncode == 2  # voxel-r is no decoder
    assert "voxel-r" in good.stderr
    done = harness("check", f"{file}:GoodDecoder", "nearest-train")
    assert [line.split(":")[0] for line in done.stdout.splitlines() if line.startswith("ok")] == [
        f"ok     decoder {file}",
        "ok     decoder nearest-train",
    ]
    failed = harness("check", f"{TOYS}:ToyDecoder", check=False)
    assert failed.returncode == 1
    assert "  spaces: expected open to refuse another subject's space" in failed.stdout
    assert harness("check", check=False).returncode == 2

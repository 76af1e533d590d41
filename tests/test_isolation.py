"""A decoder in an environment of its own, which has what this one lacks and lacks what this one has."""

from __future__ import annotations

import shutil
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from commands import TOYS, call_harness, only_run

from harness.api import PluginError, SpaceMismatch, VoxelSpace
from harness.errors import OutOfMemory
from harness.isolation import declared_python
from harness.plugins import find

DECODER = '''
from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

import only_there
from harness.api import Decoded, SpaceMismatch

PYTHON = "env/bin/python"


@dataclass(frozen=True)
class Params:
    strength: float = 0.5
    note: str = "plain"


class OutOfMemoryError(RuntimeError):
    """Torch's class is called so."""


class Grey:
    """Grey, as bright as the mean of the responses; says on its standard output what nobody asked."""

    version, stochastic, repeats, trains_on, transductive = "1", False, "inputs", "means", False
    Params = Params

    def __init__(self, params):
        self.params = params

    def fit(self, subject, *, seed, device, checkpoint_dir):
        print("fitting")
        assert "torch" not in sys.modules and np.__version__ == only_there.NUMPY
        try:
            import torch
        except ImportError:
            self.mean = float(subject.train.responses.trials().mean())
        self.sha = subject.space.sha
        self.shape = subject.train.stimuli.images()[0].shape

    def open(self, space, *, device):
        if space.sha != self.sha:
            raise SpaceMismatch("Grey was fitted in another space")

    def decode(self, responses, *, seeds):
        level = np.clip(0.5 + self.params.strength * (responses.mean().mean(axis=1) - self.mean), 0, 1)
        if self.params.note == "die":
            sys.exit("no more")
        if self.params.note == "full":
            raise OutOfMemoryError("tried to allocate 20 GB")
        if self.params.note == "fail":
            raise ValueError("a bad day")
        images = np.broadcast_to(level[:, None, None, None, None], (len(level), 1, *self.shape))
        return Decoded(images.astype(np.float32), embedding=level[:, None])

    def save(self, folder):
        np.savez(folder / "grey.npz", mean=self.mean, sha=self.sha, shape=self.shape)

    @classmethod
    def load(cls, folder, params, *, device):
        decoder, kept = cls(params), np.load(folder / "grey.npz")
        decoder.mean, decoder.sha = float(kept["mean"]), str(kept["sha"])
        decoder.shape = tuple(kept["shape"].tolist())
        return decoder
'''


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> Path:
    """A decoder beside its environment: numpy under another version and a package that is nowhere else."""
    place = tmp_path_factory.mktemp("isolated")
    venv.create(place / "env", with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = place / "env" / "lib" / version / "site-packages"
    shutil.copytree(
        Path(np.__file__).parent, packages / "numpy", ignore=shutil.ignore_patterns("tests", "*.pyi")
    )
    libraries = Path(np.__file__).parents[1] / "numpy.libs"
    if libraries.is_dir():
        (packages / "numpy.libs").symlink_to(libraries)
    stated = packages / "numpy" / "version.py"
    stated.write_text(stated.read_text() + '\nversion = __version__ = "0.0.other"\n')
    (packages / "only_there.py").write_text('NUMPY = "0.0.other"\n')
    (place / "grey.py").write_text(DECODER)
    return place / "grey.py"


def run_words(decoder, *more):
    words = ["run", "--benchmark", f"{TOYS}:ToyBenchmark", "--decoder", f"{decoder}:Grey", "--no-report"]
    return [*words, "--metrics", "pixcorr", "--set", "run.derangements=2", *more]


def test_a_run_decodes_in_the_other_environment_and_is_complete_the_second_time(decoder, tmp_path):
    call_harness(tmp_path, *run_words(decoder, "--set", "decoder.strength=0.25"))
    scores = only_run(tmp_path).scores
    assert "measured" in set(scores.row.astype(str))
    again = call_harness(tmp_path, *run_words(decoder, "--set", "decoder.strength=0.25"))
    assert "nothing was computed" in again.stdout


def loaded(decoder, **params):
    plugin = find("decoders", f"{decoder}:Grey").load()
    return plugin, plugin(plugin.Params(**params))


def test_it_is_a_decoder_like_another(decoder, tmp_path):
    import toys

    plugin, model = loaded(decoder)
    assert (plugin.version, plugin.repeats) == ("1", "inputs")
    assert plugin.Params().strength == 0.5
    assert not hasattr(plugin, "generate")
    data = toys.ToyBenchmark(toys.ToyBenchmark.Params()).load("toy01")
    model.fit(data.training(), seed=0, device="cpu", checkpoint_dir=tmp_path)
    seeds = np.arange(len(data.test), dtype=np.uint64)
    first = model.decode(data.test.responses, seeds=seeds)
    model.save(tmp_path)
    again = plugin.load(tmp_path, plugin.Params(), device="cpu")
    again.open(data.space, device="cpu")
    same = again.decode(data.test.responses, seeds=seeds)
    np.testing.assert_array_equal(first.images, same.images)
    np.testing.assert_array_equal(first.embedding, same.embedding)
    with pytest.raises(SpaceMismatch, match="fitted in another space"):
        again.open(VoxelSpace("toy", "s9", "all", 3, "zscore", "x"), device="cpu")
    full = plugin.load(tmp_path, plugin.Params(note="full"), device="cpu")
    with pytest.raises(OutOfMemory, match=r"Grey under .*: tried to allocate 20 GB"):
        full.decode(data.test.responses, seeds=seeds)
    for note, words in (("fail", "Grey under .*python: ValueError: a bad day"), ("die", "ended .*: no more")):
        broken = plugin.load(tmp_path, plugin.Params(note=note), device="cpu")
        with pytest.raises(PluginError, match=words) as problem:
            broken.decode(data.test.responses, seeds=seeds)
        assert "\n" not in str(problem.value)


def test_another_package_there_is_another_identity(decoder):
    from harness.isolation import isolated_class

    _, model = loaded(decoder)
    first = model.identity()
    (place,) = (decoder.parent / "env" / "lib").glob("*/site-packages")
    info = place / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    isolated_class.cache_clear()
    assert loaded(decoder)[1].identity() != first


def test_an_environment_that_is_not_there_is_named(tmp_path):
    file = tmp_path / "a.py"
    file.write_text('PYTHON = "env/bin/python"\nclass A: pass\n')
    with pytest.raises(PluginError, match=r"names the Python .*env/bin/python, which is not there; make the"):
        find("decoders", f"{file}:A").load()
    file.write_text("PYTHON = 3\nclass A: pass\n")
    assert declared_python(file) is None

"""Which rows are decoded, in what precision they are kept, and what is done where memory ends."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from commands import HELPERS, call_harness, only_run

from harness.backbones import preprocessing
from harness.errors import ConfigError, OutOfMemory, PluginError
from harness.plugins import PluginRef
from harness.results import RunResult
from harness.stages.decoding import stored
from harness.stages.guard import guarded

SMALL = '''
import sys

sys.path.insert(0, {helpers!r})
import numpy as np
from toys import Decoded, ToyBenchmark, ToyDecoder


CALLS = []


class OutOfMemoryError(RuntimeError):
    """As torch's."""


class Crowded(ToyDecoder):
    """Has room for {most} images at once; gives float16."""

    def decode(self, responses, *, seeds):
        CALLS.append(len(responses.ids))
        if len(responses.ids) > {most} and len(CALLS) > {late}:
            raise OutOfMemoryError("tried to allocate 20 GB")
        made = super().decode(responses, seeds=seeds)
        images = (made.images / np.float32(255)).astype(np.float16)
        return Decoded(images, embedding=made.embedding.astype(np.float16))
'''


def run(folder, *more, most=3, late=0, check=True):
    file = folder / "crowded.py"
    file.write_text(SMALL.format(helpers=str(HELPERS), most=most, late=late))
    words = ["run", "--benchmark", f"{file}:ToyBenchmark", "--decoder", f"{file}:Crowded", "--no-report"]
    words += ["--metrics", "pixcorr", "--set", "run.derangements=2", *more]
    return call_harness(folder, *words, check=check)


def test_where_memory_ends_the_batches_are_smaller_and_the_run_says_so(tmp_path):
    """The keys are those of the smaller micro-batch: the same as if it had been asked for."""
    run(tmp_path, "--rows", "zero")
    finished_run = only_run(tmp_path)
    flags = [flag for flag in finished_run.record.flags if flag.name == "out-of-memory"]
    assert {flag.message.partition("again ")[2] for flag in flags} == {
        f"in micro-batches of {size}, not 16: --set run.micro_batch={size} starts with these"
        for size in (8, 4, 2)
    }
    kept = sorted((tmp_path / "store").rglob("decode/*/*/images.npy")) or [
        f for f in (tmp_path / "store").rglob("images.npy") if "decode" in f.parts
    ]
    pictures = [np.load(file, mmap_mode="r") for file in kept]
    assert {(array.dtype.name, len(array) <= 2) for array in pictures} == {("float16", True)}
    scores = finished_run.scores
    assert set(scores.row.astype(str)) >= {"measured", "zero", "shuffled-measured", "mean-image"}
    assert not {"train-mean", "oracle", "generator-ceiling", "half-1"} & set(scores.row.astype(str))
    again = run(tmp_path, "--rows", "zero", "--set", "run.micro_batch=2")
    assert "decode" not in again.stdout.partition("computed:")[2].partition(";")[0]


def test_memory_that_ends_at_the_predictions_makes_all_rows_smaller(tmp_path):
    """Rows of two sizes of micro-batch would not be comparable."""
    toys = ("--rows", "zero", "--workers", "1", "--encoder", f"{HELPERS / 'toys.py'}:ToyEncoder")
    run(tmp_path, *toys, late=2)
    result = only_run(tmp_path)
    flags = [flag.message for flag in result.record.flags if flag.name == "out-of-memory"]
    assert sorted(text.partition("micro-batches of ")[2][0] for text in flags) == ["2", "4", "8"]
    again = run(tmp_path, *toys, "--set", "run.micro_batch=2", late=2)
    assert "decode" not in again.stdout.partition("computed:")[2].partition(";")[0]


def test_the_true_codes_stand_beside_what_was_decoded(tmp_path):
    """By `rebuild`, as the generator's ceiling by `generate`; a share of the rows leaves it out."""
    file = tmp_path / "coded.py"
    file.write_text(
        f"import sys\n\nsys.path.insert(0, {str(HELPERS)!r})\n"
        "from toys import Decoded, ToyBenchmark, ToyDecoder\n\n\n"
        "class Coded(ToyDecoder):\n"
        "    def rebuild(self, images, *, seeds):\n"
        "        return Decoded((images // 64 * 64 + 32)[:, None])\n"
    )
    words = ["--benchmark", f"{file}:ToyBenchmark", "--decoder", f"{file}:Coded"]
    words += ["--metrics", "pixcorr", "--set", "run.derangements=2"]
    assert "code-ceiling" in call_harness(tmp_path, "plan", *words).stdout
    words = ["run", *words, "--no-report"]
    call_harness(tmp_path, *words)
    scores = only_run(tmp_path).scores
    means = scores[scores.target == "stimulus"].groupby(scores.row.astype(str)).value.mean()
    assert 1 > means["code-ceiling"] > 0.9 > means["measured"]
    assert means["generator-ceiling"] == pytest.approx(1)
    again = call_harness(tmp_path, *words)
    assert "nothing was computed" in again.stdout
    call_harness(tmp_path, *words, "--rows", "zero")
    files = sorted(tmp_path.glob("runs/*/scores.parquet"))
    assert sorted("code-ceiling" in set(pd.read_parquet(file).row.astype(str)) for file in files) == [
        False,
        True,
    ]


def test_pictures_in_8_bit_where_they_are_asked_for(tmp_path):
    """A quarter of the disk; what a metric of 8-bit pictures says stays as it is."""
    run(tmp_path, "--rows", "zero", "--metrics", "brain-diffuser-pixcorr", most=99)
    run(
        tmp_path,
        "--rows",
        "zero",
        "--metrics",
        "brain-diffuser-pixcorr",
        "--set",
        "run.pictures=uint8",
        most=99,
    )
    kept = [np.load(file, mmap_mode="r") for file in (tmp_path / "store" / "decode").rglob("images.npy")]
    halves = [array for array in kept if array.dtype == np.float16]
    bytes_ = [array for array in kept if array.dtype == np.uint8]
    assert len(halves) == len(bytes_) == len(kept) // 2 > 0
    rounded = {preprocessed(np.asarray(array, np.float32)).tobytes() for array in halves}
    assert {array.tobytes() for array in bytes_} == rounded
    plain, small = (RunResult.open(folder).scores for folder in sorted((tmp_path / "runs").iterdir()))
    columns = ["metric", "row", "target", "image_id", "value"]
    pd.testing.assert_frame_equal(plain[columns].astype(str), small[columns].astype(str))


def preprocessed(images: np.ndarray) -> np.ndarray:
    return preprocessing.eight_bit(images.reshape(-1, *images.shape[2:])).reshape(images.shape)


def test_a_row_that_no_decoder_makes_is_refused_with_the_near_one(tmp_path):
    done = run(tmp_path, "--rows", "zerro", check=False)
    assert "--rows zerro: " in done.stderr
    assert "zero" in done.stderr.partition("zerro: ")[2]


def test_running_out_of_memory_is_known_by_its_class():
    ref = PluginRef("decoders", "toy", "toy:Toy", "toy", "1")
    kind = type("OutOfMemoryError", (RuntimeError,), {})

    def fail(problem):
        raise problem

    with pytest.raises(OutOfMemory, match="no room"):
        guarded(ref, "fails", lambda: fail(kind("no room")))
    with pytest.raises(PluginError) as other:
        guarded(ref, "fails", lambda: fail(RuntimeError("no room")))
    assert not isinstance(other.value, OutOfMemory)
    with pytest.raises(ConfigError):
        guarded(ref, "fails", lambda: fail(ConfigError("x")))


@pytest.mark.parametrize(
    ("given", "kept"), [("float16", "float16"), ("float32", "float32"), ("float64", "float32")]
)
def test_half_precision_is_kept_and_nothing_else_is(given, kept):
    values = np.linspace(0, 1, 7).astype(given)
    assert stored(values).dtype == kept
    np.testing.assert_array_equal(stored(values), values.astype(kept))

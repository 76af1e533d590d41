"""What decoding costs is said before anything is loaded, even where the weights are not there yet."""

from __future__ import annotations

import re

from commands import TOYS

COUNTING = '''

from harness.nn.costs import Count, DecodingCosts, PartCount


class CountingDecoder(ToyDecoder):
    """Says what it costs."""

    @staticmethod
    def costs(params, *, images):
        return DecodingCosts([PartCount("weights", images, 8, Count(1, 1, 1), 1)], 8)
'''


def test_a_plan_says_hours_disk_and_memory_of_a_full_size_decoder(harness, tmp_path):
    """MindHier draws 17 TFLOP per image: 229 ms of a 4090's float32 for its transformer alone."""
    paper = ("--set", "decoder.preset=paper", "--set", f"decoder.weights={tmp_path}", "--decoder", "mindhier")
    done = harness("plan", *paper, "--set", "run.micro_batch=1", "--metrics", "pixcorr", check=False)
    text = " ".join(done.stdout.split())
    assert "a row of 1,000 images: at best 4 min on one RTX 4090 or 4 min on one H100 SXM" in text
    assert "3.9 GB on disk" in text  # 512 x 512 x 3 and 257 x 768 numbers in float32
    assert "the 6 rows above that are decoded: at best 25 min on one RTX 4090" in text
    # Every network stays there, and so do keys and values of both halves of the guidance.
    assert re.search(
        r"memory of the device: 14\.\d GB at the peak \(transformer, scale of 32 x 32, 1 images at once\), "
        "with all that stays there",
        text,
    )


def test_a_small_decoder_costs_nothing_worth_saying(harness):
    assert "cost " not in harness("plan", "--decoder", "linear").stdout


def test_costs_are_counted_for_what_is_to_be_done_alone(harness, tmp_path, toy_words):
    plugins = tmp_path / "counting.py"
    plugins.write_text(TOYS.read_text() + COUNTING)
    words = (*toy_words, "--decoder", f"{plugins}:CountingDecoder", "--metrics", "pixcorr", "--no-report")
    assert "a row of 1,000 images" in harness("run", *words).stderr
    again = harness("run", *words)
    assert "nothing was computed" in again.stdout
    assert "cost " not in again.stderr
    assert "a row of 1,000 images" in harness("plan", *words[:-1]).stdout

"""What a message about images says, typed as printed, works."""

from __future__ import annotations

import re

import numpy as np
import pytest
from image_doors import ARRAYS, OVERSHOT, PICTURES, UNIT, stimuli_array

from harness.errors import DataError


def apply_hint(door, array, message, params):
    """The array and the parameters of the door once the hint of `message` is followed."""
    if door is stimuli_array and "save " not in message:
        for key, value in re.findall(r"(image_max|image_clip): ([\w.]+)", message):
            params = params | {key: True if value == "true" else float(value)}
        return array, params
    expression = re.search(r"save ([^;]+)$", message)[1]
    return eval(expression, {"images": array, "numpy": np}), params


HINTS = {
    "overshoot": (OVERSHOT, np.clip(OVERSHOT, 0, 1)),
    "overshoot in half precision": (OVERSHOT.astype(np.float16), np.clip(OVERSHOT, 0, 1)),
    "0 to 255": (UNIT * 255, UNIT),
    "0 to 255, overshot": (OVERSHOT * 255, np.clip(OVERSHOT, 0, 1)),
    "0 to 4095": ((UNIT * 4095).astype(np.uint16), UNIT),
    "0 to 65535": (PICTURES.astype(np.uint16) * 257, UNIT),
    "0 to 1.5": (UNIT * 1.5, UNIT),
    "-1 to 1": (UNIT * 2 - 1, UNIT),
    "0 and 1": ((PICTURES > 99).astype(np.uint8), (PICTURES > 99) * 1.0),
    "divided twice": (UNIT / 255, UNIT),
    "divided twice, in half precision": ((UNIT / 255).astype(np.float16), UNIT),
}


@pytest.mark.parametrize("door", ARRAYS)
@pytest.mark.parametrize("case", HINTS)
def test_hints_work_as_printed(tmp_path, door, case):
    """At most three steps, since each split of the stimuli and each trouble is told on its own."""
    array, expected = HINTS[case]
    params = {}
    with pytest.raises(DataError):
        door(tmp_path, array)
    for _ in range(3):
        try:
            images = door(tmp_path, array, **params)
            break
        except DataError as problem:
            message = str(problem)
            if "overshoot" in message and not case.startswith("0 to"):
                assert "255" not in message
            array, params = apply_hint(door, array, message, params)
    scale = 255 if images.dtype == np.uint8 else 1
    np.testing.assert_allclose(images / scale, expected, atol=2e-3)


def test_a_scale_that_makes_all_stimuli_black_is_refused(tmp_path):
    for array in (OVERSHOT, UNIT):
        with pytest.raises(DataError, match="of 255, so all images are black") as caught:
            stimuli_array(tmp_path, np.maximum(array, 0), image_max=255)
        assert re.search(r"image_clip: true|image_max: 1$", str(caught.value))
    with pytest.raises(DataError, match="of 65535, so all images are black; if white is 255, give image_max"):
        stimuli_array(tmp_path, PICTURES.astype(np.uint16), image_max=65535)


def test_what_lies_far_beyond_white_is_never_clipped(tmp_path):
    with pytest.raises(DataError, match="if white is"):
        stimuli_array(tmp_path, UNIT * 1.3, image_clip=True)

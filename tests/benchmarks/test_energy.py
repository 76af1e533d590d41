"""The energy model: full-resolution filtering, gratings, phase, hues."""

from __future__ import annotations

import numpy as np
import pytest

from harness.benchmarks.energy import (
    FREQUENCIES,
    GRID,
    N_CHANNELS,
    OPPONENT,
    ORIENTATIONS,
    _aperture,
    energy,
)
from harness.benchmarks.scenes import draw


def _grating(frequency: float, orientation: float, contrast: float = 0.4) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    angle = np.deg2rad(orientation)
    wave = np.cos(2 * np.pi * frequency / 64 * (x * np.cos(angle) + y * np.sin(angle)))
    grey = np.rint(127.5 + 127.5 * contrast * wave).astype(np.uint8)
    return np.repeat(grey[None, :, :, None], 3, axis=3)


def test_energy_equals_full_resolution_filtering() -> None:
    """The same log-Gabor filters applied to the whole image, envelopes read at the grid's points."""
    images = draw("energy", range(3))
    light = (images / 255.0 - 0.5) * _aperture()[None, :, :, None]
    spectrum = np.fft.fft2(light @ np.array([0.3, 0.6, 0.1]))
    k = np.fft.fftfreq(64, 1 / 64)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    radius = np.hypot(ky, kx)
    energies = energy(images)
    for number, (frequency, side) in enumerate(zip(FREQUENCIES, (16, 32, 48))):
        for angle_number, orientation in enumerate(ORIENTATIONS):
            with np.errstate(divide="ignore"):
                gain = np.exp(-(np.log(radius / frequency) ** 2) / (2 * np.log(0.65) ** 2))
            away = (np.rad2deg(np.arctan2(ky, kx)) - orientation + 180) % 360 - 180
            gain = 2 * gain * np.exp(-(away**2) / (2 * 25.0**2)) * (radius <= 32)
            # The trigonometric interpolation of the analytic image at the middle of every coarse cell.
            at = (np.arange(side) + 0.5) * 64 / side - 0.5
            waves = np.exp(2j * np.pi * np.outer(at, k) / 64) / 64
            envelope = waves @ (spectrum * gain) @ waves.T
            step = side // GRID
            expected = (np.abs(envelope) ** 2).reshape(3, GRID, step, GRID, step).mean(axis=(2, 4))
            channel = energies[:, number * len(ORIENTATIONS) + angle_number].reshape(3, GRID, GRID)
            assert np.abs(channel - expected).max() < 0.02 * expected.max()
            assert np.corrcoef(channel.ravel(), expected.ravel())[0, 1] > 0.9995


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_gratings_drive_their_own_channel_most(frequency: float, orientation: float) -> None:
    middle = energy(_grating(frequency, orientation)).reshape(N_CHANNELS, GRID, GRID)[:, 4:12, 4:12]
    strongest = int(middle.mean(axis=(1, 2))[: -len(OPPONENT)].argmax())
    own = FREQUENCIES.index(frequency) * len(ORIENTATIONS) + ORIENTATIONS.index(orientation)
    assert strongest == own


def test_energy_ignores_phase_and_is_quadratic_in_contrast() -> None:
    full_contrast = energy(_grating(7.0, 0.0))[0, 4].reshape(GRID, GRID)[4:12, 4:12]
    assert full_contrast.std() < 0.03 * full_contrast.mean()
    half = energy(_grating(7.0, 0.0, contrast=0.2))[0, 4].reshape(GRID, GRID)[4:12, 4:12]
    assert half.mean() / full_contrast.mean() == pytest.approx(0.25, rel=0.03)


def test_opponent_channels_tell_hues_apart() -> None:
    colours = {"red": (220, 40, 60), "green": (40, 200, 60), "blue": (30, 30, 220), "yellow": (210, 210, 20)}
    first = N_CHANNELS - len(OPPONENT)
    for name, rgb in colours.items():
        maps = energy(np.full((1, 64, 64, 3), rgb, np.uint8))[0]
        assert first + OPPONENT.index(name) == first + int(maps[first:].mean(axis=1).argmax())
    grey = energy(np.full((1, 64, 64, 3), 90, np.uint8))[0, first:]
    assert np.abs(grey).max() < 1e-20

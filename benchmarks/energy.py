"""What the simulated retina and V1 compute: local contrast energy and colour opponency.

Quadrature energy of log-Gabor filters (Field 1987, J Opt Soc Am A 4:2379; energy model: Adelson &
Bergen 1985) at three scales and four orientations, and half-rectified red-green and blue-yellow
signals, on a 16 x 16 grid.  The energy is the squared envelope of the analytic band-passed image; an
envelope survives demodulation, so each band is cut out of the spectrum and transformed back on a
coarse grid, exactly and at a fraction of the cost.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SIDE = 64
GRID = 16
FREQUENCIES = (3.5, 7.0, 14.0)
"""Cycles per image."""
ORIENTATIONS = (0.0, 45.0, 90.0, 135.0)
"""Degrees; the direction in which luminance changes."""
OPPONENT = ("red", "green", "blue", "yellow")
N_CHANNELS = len(FREQUENCIES) * len(ORIENTATIONS) + len(OPPONENT)

_BANDWIDTH = 0.65  # SD ratio of the log-Gabor: full width about 1.5 octaves
_SIDES = (16, 32, 48)  # coarse grids that hold the bands of FREQUENCIES
_ANGULAR_SD = 25.0
_BORDER = 4
_SURROUND_SD = 2.0  # cells of the grid
_SEMISATURATION = 0.5  # of the mean energy
_BATCH = 50  # images whose spectra fit a processor's cache


def energy(images: np.ndarray) -> np.ndarray:
    """Images (n, 64, 64, 3) uint8 -> (n, 16, 256) float64: channels x grid, row by row.

    Channels: frequency by frequency its orientations, then :data:`OPPONENT`.  All are >= 0 and
    quadratic in contrast.  The image is seen on a grey screen through an aperture with soft edges.
    """
    out = np.empty((len(images), N_CHANNELS, GRID, GRID))
    for start in range(0, len(images), _BATCH):
        out[start : start + _BATCH] = _maps(images[start : start + _BATCH])
    return out.reshape(len(images), N_CHANNELS, GRID * GRID)


def normalised(maps: np.ndarray) -> np.ndarray:
    """Energies (n, channels, 256), of mean 1 each, divided by what surrounds them (Heeger 1992).

    The pool of a frequency is the mean over its orientations, weighted by a Gaussian of
    :data:`_SURROUND_SD` cells around each place; that of colour, the mean over :data:`OPPONENT`.
    """
    pools = np.arange(N_CHANNELS) // len(ORIENTATIONS)  # as many opponent channels as orientations
    out = np.empty_like(maps)
    for pool in np.unique(pools):
        own = maps[:, pools == pool]
        around = own.mean(axis=1) @ _surround()
        out[:, pools == pool] = own / (_SEMISATURATION + around[:, None])
    return out


@lru_cache(maxsize=1)
def _surround() -> np.ndarray:
    """(256, 256) weights of each place (rows) in the surround of each other (columns, of sum 1)."""
    place = np.arange(GRID)
    along = np.exp(-((place[:, None] - place) ** 2) / (2 * _SURROUND_SD**2))
    weights = np.kron(along, along)
    return weights / weights.sum(axis=0)


def _maps(images: np.ndarray) -> np.ndarray:
    """(n, 16, 16, 16) channels x rows x columns."""
    light = (images.astype(np.float64) / 255.0 - 0.5) * _aperture()[:, :, None]
    red, green, blue = light[..., 0], light[..., 1], light[..., 2]
    spectrum = np.fft.fft2(0.3 * red + 0.6 * green + 0.1 * blue)
    out = np.empty((len(images), N_CHANNELS, GRID, GRID))
    channel = 0
    for frequency in FREQUENCIES:
        for orientation in ORIENTATIONS:
            rows, columns, band = _band(frequency, orientation)
            envelope = np.fft.ifft2(spectrum[:, rows[:, None], columns] * band)
            out[:, channel] = _pooled(envelope.real**2 + envelope.imag**2)
            channel += 1
    for difference in (red - green, blue - (red + green) / 2):
        local = _pooled(difference)
        out[:, channel] = np.maximum(local, 0.0) ** 2
        out[:, channel + 1] = np.maximum(-local, 0.0) ** 2
        channel += 2
    return out


def _pooled(maps: np.ndarray) -> np.ndarray:
    """(n, k GRID, k GRID) -> (n, GRID, GRID) means."""
    step = maps.shape[-1] // GRID
    return maps.reshape(len(maps), GRID, step, GRID, step).mean(axis=(2, 4))


@lru_cache(maxsize=1)
def _aperture() -> np.ndarray:
    """(64, 64) weights that rise from 0 to 1 within four pixels of the border."""
    edge = np.minimum(np.arange(SIDE) + 0.5, SIDE - 0.5 - np.arange(SIDE))
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge / _BORDER, 1.0))
    return ramp[:, None] * ramp[None, :]


@lru_cache(maxsize=16)
def _band(frequency: float, orientation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectrum rows and columns of a band, and its filter (side, side) complex128.

    The filter includes the shift that puts samples at the middle of grid cells, and the scale that
    makes the coarse inverse transform return amplitudes of the full image.
    """
    side = _SIDES[FREQUENCIES.index(frequency)]
    angle = np.deg2rad(orientation)
    centre_y = int(np.rint(frequency * np.sin(angle)))
    centre_x = int(np.rint(frequency * np.cos(angle)))
    offset = np.fft.ifftshift(np.arange(-side // 2, side // 2))
    ky, kx = centre_y + offset, centre_x + offset
    radius = np.hypot(ky[:, None], kx[None, :])
    direction = np.rad2deg(np.arctan2(ky[:, None], kx[None, :]))
    away = (direction - orientation + 180.0) % 360.0 - 180.0
    with np.errstate(divide="ignore"):
        radial = np.exp(-(np.log(radius / frequency) ** 2) / (2 * np.log(_BANDWIDTH) ** 2))
    gain = radial * np.exp(-(away**2) / (2 * _ANGULAR_SD**2))
    gain[radius > SIDE // 2] = 0.0
    middle = (SIDE / side - 1) / 2
    phase = np.exp(2j * np.pi * middle * (ky[:, None] + kx[None, :]) / SIDE)
    return ky % SIDE, kx % SIDE, 2.0 * gain * phase * (side / SIDE) ** 2

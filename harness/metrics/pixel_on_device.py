"""PixCorr and SSIM of :mod:`.pixel` as torch operations, for runs with ``--device cuda``.

The numpy ones are the definition; these equal them to 2e-6 in float32 and 1e-9 in float64 on any device.

Images cross the bus once per block and metric, as the bytes they are stored in, and one number per image
comes back.  There are no matrix products here, so TF32 has no say, and sums over pixels are in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..nn.resize import checked_images, tap_by_tap
from .pixel_families import C1, C2, CONTRAST_FLOOR, FAMILIES, GREY, RADIUS, window_taps

if TYPE_CHECKING:
    import torch

IMAGES = 16  # resized at once: 0.2 GB with what lies between, for images of 512 px

Prepared = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class _PixelsOn:
    """One family, by its name, on a torch device; in float64 if not `single`."""

    family: str
    device: str
    single: bool = True

    @property
    def side(self) -> int:
        """Of the images that are compared, px."""
        return FAMILIES[self.family].sizes[-1]

    def _planes(self, images: np.ndarray) -> Iterator[torch.Tensor]:
        """Planes (n, 3, H, W) on the device, a few images at a time; DataError as for numpy."""
        import torch

        images = checked_images(images)
        dtype = torch.float32 if self.single else torch.float64
        for start in range(0, len(images), IMAGES):
            part = torch.from_numpy(np.array(images[start : start + IMAGES])).to(self.device)
            planes = part.permute(0, 3, 1, 2).to(dtype, memory_format=torch.contiguous_format)
            yield planes / 255 if images.dtype == np.uint8 else planes

    def _through_sizes(self, planes: torch.Tensor) -> torch.Tensor:
        family = FAMILIES[self.family]
        for side in family.sizes:
            planes = tap_by_tap(planes, (side, side), antialias=family.antialias)
        return planes

    def _joined(self, parts: list[torch.Tensor], width: int) -> torch.Tensor:
        import torch

        return torch.cat(parts) if parts else torch.empty((0, width), device=self.device)


class PixCorrOn(_PixelsOn):
    """Pixel correlation."""

    def prepare(self, images: np.ndarray) -> dict[str, torch.Tensor]:
        """``vector`` (n, 3 S S) of mean 0 and norm 1; 0 for a constant image."""
        import torch

        parts = []
        for planes in self._planes(images):
            vectors = self._through_sizes(planes).flatten(1)
            vectors = vectors - vectors.mean(dim=1, keepdim=True, dtype=torch.float64).to(vectors.dtype)
            norm = (vectors * vectors).sum(dim=1, keepdim=True, dtype=torch.float64).sqrt()
            flat = norm < CONTRAST_FLOOR * vectors.shape[1] ** 0.5
            parts.append(torch.where(flat, 0.0, vectors / norm.to(vectors.dtype)))
        return {"vector": self._joined(parts, 3 * self.side**2)}

    def score(self, result: Prepared, target: Prepared) -> np.ndarray:
        """(n,) float64 correlation of image k of `result` with image k of `target`."""
        import torch

        products = (result["vector"] * target["vector"]).sum(dim=1, dtype=torch.float64)
        return products.clamp(-1.0, 1.0).cpu().numpy()


class SSIMOn(_PixelsOn):
    """Structural similarity."""

    def prepare(self, images: np.ndarray) -> dict[str, torch.Tensor]:
        """``grey`` (n, S, S) less ``level`` (n, 1, 1), local ``mean`` and ``variance`` of it."""
        import torch

        parts: dict[str, list[torch.Tensor]] = {"grey": [], "level": [], "mean": [], "variance": []}
        for planes in self._planes(images):
            weights = torch.tensor(GREY, dtype=planes.dtype, device=self.device)
            luminance = (planes * weights[:, None, None]).sum(dim=1, keepdim=True)
            grey = self._through_sizes(luminance)[:, 0]
            level = grey.mean(dim=(1, 2), keepdim=True, dtype=torch.float64).to(grey.dtype)
            grey = grey - level
            mean = window_mean(grey)
            prepared = {"grey": grey, "level": level, "mean": mean}
            prepared["variance"] = window_mean(grey * grey) - mean * mean
            for name, part in prepared.items():
                parts[name].append(part)
        return {name: self._joined(several, 1) for name, several in parts.items()}

    def score(self, result: Prepared, target: Prepared) -> np.ndarray:
        """(n,) float64 mean structural similarity of image k of `result` and image k of `target`."""
        import torch

        values = [np.empty(0)]
        for start in range(0, len(result["grey"]), IMAGES):
            few = slice(start, start + IMAGES)
            x, y = ({name: part[few] for name, part in side.items()} for side in (result, target))
            covariance = window_mean(x["grey"] * y["grey"]) - x["mean"] * y["mean"]
            light_x, light_y = x["mean"] + x["level"], y["mean"] + y["level"]
            twice = 2 * light_x * light_y + C1
            light = twice / ((light_x - light_y).square() + twice)  # x^2 + y^2 + C1 = (x - y)^2 + 2 x y + C1
            likeness = light * (2 * covariance + C2) / (x["variance"] + y["variance"] + C2)
            values.append(likeness.mean(dim=(1, 2), dtype=torch.float64).cpu().numpy())
        return np.concatenate(values)


def window_mean(planes: torch.Tensor) -> torch.Tensor:
    """Planes (n, H, W) -> (n, H - 10, W - 10) Gaussian-weighted mean of each whole 11 x 11 window."""
    taps = window_taps()
    for axis in (1, 2):
        length = planes.shape[axis] - 2 * RADIUS
        total = planes.narrow(axis, 0, length) * taps[0]
        for offset, weight in enumerate(taps[1:].tolist(), 1):
            total.add_(planes.narrow(axis, offset, length), alpha=weight)
        planes = total
    return planes

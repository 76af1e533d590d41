"""How published papers score reconstructions, side by side: ``run.protocol`` or ``--protocol``.

A protocol fixes what the scoring stage decides: metrics by their frozen definitions (resizing, network
input and normalisation are part of those) and how much of a decoder's blurry image is blended in.  What
lies before it, test images, units, repeats and stimulus files, is the benchmark's and the decoder's; there
the protocol is compared with the run, and every difference found is written down with the scores.

Encoding scores and decoded agreement are left as they are by default.

Sources, read as code: MindEyeV2 c184718 ``src/final_evaluations.ipynb`` and ``src/recon_inference.ipynb``;
brain-diffuser 31d52c0 ``scripts/``; SynBrain 9b4f4bb ``src/eval.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import ImageSet
from ..errors import ConfigError, DataError, PluginError, suggest
from ..nn.resize import resize, unit_range
from ..plugins import PluginRef

BLEND_SIDE = 256
"""Side at which MindEye2's notebook blends, antialias off."""


@dataclass(frozen=True)
class Protocol:
    """One paper's choices.  Words are for people; numbers and `metrics` are applied or compared.

    metrics : in place of the default scores of reconstructions against stimuli.
    blend : share of the decoder's low-level image in what is scored, 0 for none.
    test_images : theirs, 0 for all that the benchmark has.
    units : how they scaled responses; `unit_names` are the :class:`harness.data.VoxelSpace` units that agree.
    average : what is averaged over an image's repeats, ``inputs``, ``outputs`` or either, "".
    stimulus_side : pixels of the stimulus files, 0 for whatever is there.
    eight_bit : their metrics see 8-bit pictures: nothing is lost with ``run.pictures=uint8``.
    weights : the group of weights that ``harness prefetch`` knows.
    not_reproduced : what this harness does otherwise or leaves out.
    """

    name: str
    title: str
    source: str
    metrics: tuple[str, ...]
    test_images: int
    stimulus_side: int
    units: str
    unit_names: tuple[str, ...]
    repeats: str
    average: str
    reconstructions: str
    network_input: str
    antialias: str
    blend: float
    blending: str
    ties: str
    weights: str
    not_reproduced: tuple[str, ...]
    eight_bit: bool = False


_FIELD = ("pixcorr", "ssim", "alexnet2", "alexnet5", "inception", "clip", "efficientnet", "swav")
_TWO_WAY = ("alexnet2", "alexnet5", "inception", "clip")
_TIES_LOST = tuple(f"{name}-strict" if name in _TWO_WAY else name for name in _FIELD)
_RETRIEVAL = ("image-retrieval-300x30", "brain-retrieval-300x30")
_SWAPPED = "what they print as image retrieval is brain-retrieval-300x30 here: their notebook transposes"
_DRAWS = "the 30 draws of 300 images are fixed by ids here, by one global generator there"
_FLOAT = "CLIP is computed in float32 here, in float16 on a GPU there"

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="mindeye2",
            title="MindEye2 (Scotti et al. 2024), refined reconstructions",
            source="MindEyeV2 c184718 src/final_evaluations.ipynb",
            metrics=(*_TIES_LOST, *_RETRIEVAL),
            test_images=1000,
            stimulus_side=224,
            units="z-scored per session, by training trials",
            unit_names=("zscore_session", "zscore"),
            repeats="three, outputs of the backbone averaged; fewer than three padded by repetition",
            average="outputs",
            reconstructions="768 (512 in the shipped files) to 256, pixel metrics then at 425",
            network_input="AlexNet 256, Inception 342, EfficientNet 255, CLIP 224, SwAV 224, no crop",
            antialias="off (torchvision 0.16)",
            blend=0.25,
            blending="3 refined : 1 blurry at 256 px; the paper says 4 : 1",
            ties="lost",
            weights="metrics",
            not_reproduced=(
                _FLOAT,
                _DRAWS,
                _SWAPPED,
                "blending applies to every row whose decoder gives a low-level image; their unrefined "
                "rows are not blended",
                "brain correlation is scored when it is asked for (--metrics gnet-brain-correlation)",
                "captions are written by the decoder (mindeye2 with --set decoder.preset=paper) and scored "
                "when they are asked for (--metrics caption-meteor)",
                "retrieval embeds the stimuli at their own size here, resized to 256 px there",
            ),
        ),
        Protocol(
            name="brain-diffuser",
            title="Brain-Diffuser (Ozcelik & VanRullen 2023)",
            source="brain-diffuser 31d52c0 scripts/evaluate_reconstruction.py, eval_extract_features.py",
            metrics=tuple(f"brain-diffuser-{name}" for name in _TIES_LOST),
            test_images=982,
            stimulus_side=425,
            units="int16 betas / 300, z-scored per voxel by training means",
            unit_names=("zscore",),
            repeats="responses averaged",
            average="inputs",
            reconstructions="512 to 425 by Pillow's bicubic filter, 8 bit",
            network_input="every network 224 by Pillow's bilinear filter, no crop",
            antialias="on (Pillow always does)",
            blend=0.0,
            blending="none",
            ties="lost",
            weights="brain-diffuser",
            not_reproduced=(
                "their p-value takes n (n - 1) pairs for independent and is not computed",
                "EfficientNet-B1 has torchvision's first weights, as there; SSIM is that of columns, as "
                "there: neither is comparable with anybody else's",
            ),
            eight_bit=True,
        ),
        Protocol(
            name="synbrain",
            title="SynBrain (NeurIPS 2025), synthetic fMRI through MindEye2",
            source="SynBrain 9b4f4bb src/eval.py",
            metrics=(*_TIES_LOST, *_RETRIEVAL),
            test_images=1000,
            stimulus_side=0,
            units="int16 betas / 2000, not centred",
            unit_names=("raw/2000",),
            repeats="averaged for decoding; encoding scores per trial",
            average="",
            reconstructions="unrefined, 768 to 256, pixel metrics then at 425",
            network_input="as MindEye2",
            antialias="whatever their torchvision had; off here, as MindEye2",
            blend=0.0,
            blending="none",
            ties="lost",
            weights="metrics",
            not_reproduced=(
                _FLOAT,
                _DRAWS,
                _SWAPPED,
                "their encoding scores have names of their own: add synbrain-mse, synbrain-r, "
                "synbrain-cosine and synbrain-cka with --metrics",
            ),
        ),
        Protocol(
            name="strict",
            title="this harness's own recommendation",
            source="harness.run.protocols",
            metrics=(
                *(f"{name}-v2" for name in _FIELD),
                "clip-100way-v2",
                "clip-cos-v2",
                "dinov2",
                "dinov2-cos",
                "image-retrieval",
                "brain-retrieval",
            ),
            test_images=0,
            stimulus_side=0,
            units="any, if declared",
            unit_names=(),
            repeats="as the decoder declares",
            average="",
            reconstructions="any size to 256, pixel metrics then at 425, bilinear",
            network_input="AlexNet 256, Inception 342, EfficientNet 255, CLIP 224, SwAV 224, no crop",
            antialias="on",
            blend=0.0,
            blending="none: what is scored is what the decoder made",
            ties="half",
            weights="metrics",
            not_reproduced=(),
        ),
    )
}

ITEMS = (
    ("test images", "test_images"),
    ("stimulus files, px", "stimulus_side"),
    ("units of responses", "units"),
    ("repeats", "repeats"),
    ("reconstructions, px", "reconstructions"),
    ("network input, px", "network_input"),
    ("antialiasing", "antialias"),
    ("blending", "blending"),
    ("ties in two-way identification", "ties"),
)
"""Lines of the table that puts protocols side by side: (heading, field)."""


@dataclass(frozen=True)
class RunFacts:
    """What a run did in the places where protocols differ."""

    test_images: int
    stimulus_size: tuple[int, int]
    units: str
    average: str
    blended: float  # share of the decoder's low-level images
    scored: tuple[str, ...]


def protocol_named(name: str) -> Protocol | None:
    """The protocol called `name`, None for an empty name; ConfigError for an unknown one."""
    if not name:
        return None
    if name not in PROTOCOLS:
        raise ConfigError("run.protocol: " + suggest(name, PROTOCOLS, what="protocol"))
    return PROTOCOLS[name]


def differences(protocol: Protocol, run: RunFacts) -> list[str]:
    """One line for everything in which `run` is not what `protocol` says."""
    lines = []
    if protocol.test_images and run.test_images != protocol.test_images:
        lines.append(f"{run.test_images} test images here, {protocol.test_images} there")
    side = protocol.stimulus_side
    if side and run.stimulus_size != (side, side):
        height, width = run.stimulus_size
        lines.append(f"stimuli of {width} x {height} px here, {side} x {side} there")
    if protocol.unit_names and run.units not in protocol.unit_names:
        lines.append(f"responses in units '{run.units}' here; there: {protocol.units}")
    if protocol.average and run.average and run.average != protocol.average:
        lines.append(f"the decoder's {run.average} are averaged over repeats here; there: {protocol.repeats}")
    if protocol.blend and not run.blended:
        lines.append("nothing is blended here, for want of a decoder with low-level images; there: "
                     f"{protocol.blending}")  # fmt: skip
    missing = [name for name in protocol.metrics if name not in run.scored]
    if missing:
        lines.append(f"not scored here: {', '.join(missing)}")
    return [*lines, *protocol.not_reproduced]


def side_by_side() -> list[dict[str, str]]:
    """One line per item: its heading and the words of every protocol."""
    return [
        {
            "item": heading,
            **{protocol.name: _words(getattr(protocol, field)) for protocol in PROTOCOLS.values()},
        }
        for heading, field in ITEMS
    ]


def _words(value: str | int) -> str:
    if isinstance(value, int):
        return f"{value:,}" if value else "any"
    return value


def declared_blend(decoder: PluginRef, params: Any) -> float:
    """The share of its low-level images that a decoder wants mixed in, its ``blend``; 0 without one."""
    share = getattr(decoder.load()(params), "blend", 0.0)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise PluginError(
            f"decoder '{decoder.name}' has blend = {share!r}; expected a number from 0 to 1, the share of "
            "its low-level images in what is scored"
        )
    return float(share)


def blended(
    images: ImageSet, low_level: Sequence[np.ndarray], *, share: float, enlarge: bool = True
) -> ImageSet:
    """`images` with `share` of their low-level images mixed in, (N, 256, 256, 3) float32.

    low_level : parts (n, h, w, 3) in the order of ids, perhaps memory maps, N images in all.
    enlarge : False leaves what is smaller than 256 pixels as large as the larger of the two.

    Both are resized by the bilinear filter without antialiasing first, as MindEye2's notebook does.
    """
    side = (BLEND_SIDE, BLEND_SIDE)
    if not enlarge:
        larger = np.maximum(images.images(images.ids[:1]).shape[1:3], low_level[0].shape[1:3])
        side = tuple(int(pixels) for pixels in np.minimum(larger, BLEND_SIDE))
    count = sum(map(len, low_level))
    if count != len(images):
        raise DataError(f"{count} low-level images for {len(images)} reconstructions")
    return ImageSet(images.ids, BlendReader(images, tuple(low_level), share, side))


@dataclass(frozen=True)
class BlendReader:
    """Reads images with `share` of their low-level images mixed in; see :func:`blended`."""

    images: ImageSet
    low_level: tuple[np.ndarray, ...]
    share: float
    side: tuple[int, int]

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        where = [(part, k) for part in self.low_level for k in range(len(part))]
        sharp = unit_range(self.images.images([self.images.ids[k] for k in positions]))
        blurry = np.clip(unit_range(np.stack([where[k][0][where[k][1]] for k in positions])), 0, 1)
        sharp, blurry = (resize(part, self.side, antialias=False) for part in (sharp, blurry))
        return np.clip((1 - self.share) * sharp + self.share * blurry, 0, 1).astype(np.float32)

"""The parts at full size, from the files that MindEye2's authors publish (Hugging Face, pscotti/mindeyev2).

=====================================================  =========================================
file in the folder                                     what it gives
=====================================================  =========================================
``unclip6_epoch0_step110000.ckpt``                     UNet, its VAE, the bigG image tower
``sd_image_var_autoenc.pth``                           VAE of the low-level path
``convnext_xlarge_alpha0.75_fullckpt.pth``             its teacher, which only a fit reads
``train_logs/final_multisubject_SUBJECT/last.pth``     what was trained on the seven other subjects
``train_logs/final_SUBJECT_pretrained_40sess_24bs``    ``last.pth`` of a subject, for ``checkpoint: auto``
=====================================================  =========================================

With ``captions: true`` also these; GIT is not of the authors but of microsoft/git-large-coco:

=====================================================  =========================================
``bigG_to_L_epoch8.pth``                               bigG tokens -> CLIP ViT-L tokens
``git-large-coco/config.json``                         the captioner
``git-large-coco/model.safetensors``
``git-large-coco/tokenizer.json``
=====================================================  =========================================

With ``refine: true`` also these, and CLIP ViT-L/14 with its words from ``harness prefetch captions``; the
second is of laion/CLIP-ViT-bigG-14-laion2B-39B-b160k:

=====================================================  =========================================
``zavychromaxl_v30.safetensors``                       SDXL of the refinement
``open_clip_pytorch_model.bin``                        text tower of ViT-bigG, for its prompts
=====================================================  =========================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from harness.api import WeightsMissing
from harness.backbones import weights
from harness.backbones.openclip import BIGG_IMAGE, ImageSizes
from harness.backbones.texts import ClipL14Text, clip_tokenizer
from harness.decoders import files
from harness.nn.halving import DTYPES

from .captions import GIT_FILES, Captioner, ConverterSettings
from .checkpoints import read_weights
from .embedder import PatchTokens
from .generator import Generator, VaeSettings, load_vae
from .given_files import missing_checkpoint
from .inference import GeneratorSettings
from .model import ModelSettings
from .params import MindEye2Params
from .parts import Parts
from .refinement import Refiner, RefinerSizes
from .room import Later
from .teacher import ConvNeXtTokens, TeacherSettings
from .unclip import UNetSettings

GENERATOR = "unclip6_epoch0_step110000.ckpt"
LOW_LEVEL = "sd_image_var_autoenc.pth"
TEACHER = "convnext_xlarge_alpha0.75_fullckpt.pth"
CONVERTER = "bigG_to_L_epoch8.pth"
CAPTIONER = "git-large-coco"
REFINER = "zavychromaxl_v30.safetensors"
TEXTS = "open_clip_pytorch_model.bin"

_AUTHORS = "pscotti/mindeyev2"
_GIT = "microsoft/git-large-coco"
_LAION = "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k"
_FIXED = "madebyollin/sdxl-vae-fp16-fix"

PUBLISHED = "final_{}_pretrained_40sess_24bs"
"""Folder of a subject's published model."""

_SMALL = "--set decoder.preset=tiny for the small parts"
_PLAIN = "--set decoder.low_level=false to leave the low-level path out"


@dataclass(frozen=True)
class PublicSizes:
    """Sizes of what the files hold; the defaults are those of the released ones."""

    unet: UNetSettings = field(default_factory=UNetSettings)
    vae: VaeSettings = field(default_factory=VaeSettings)
    tower: ImageSizes = BIGG_IMAGE
    network: ModelSettings = field(default_factory=ModelSettings)
    drawing: GeneratorSettings = field(default_factory=GeneratorSettings)
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    converter: ConverterSettings = field(default_factory=ConverterSettings)
    refiner: RefinerSizes = field(default_factory=RefinerSizes)


def parts(params: MindEye2Params, sizes: PublicSizes | None = None) -> Parts:
    """Load UNet and VAEs; towers, captioner and refinement are read when they are first used."""
    sizes, dtype = sizes or PublicSizes(), DTYPES[params.half]
    folder = public_folder(params)
    generator = needed(folder / GENERATOR, _AUTHORS, _SMALL)
    vae = (
        load_vae(read_weights(needed(folder / LOW_LEVEL, _AUTHORS, _PLAIN)), sizes.vae)
        if params.low_level
        else None
    )
    backbone = replace(sizes.network.backbone, hidden=params.hidden, low_level=params.low_level)
    return Parts(
        embedder=Later(lambda: PatchTokens.from_public(generator, sizes.tower)),
        generator=Generator.from_public(
            generator,
            unet_settings=sizes.unet,
            vae_settings=sizes.vae,
            settings=replace(sizes.drawing, steps=params.steps, guidance=params.guidance),
            dtype=dtype,
            vae=fixed_vae(params, sizes),
        ),
        settings=replace(sizes.network, backbone=backbone),
        vae=vae,
        teacher=_teacher(params, sizes),
        captioner=_captioner(params, sizes),
        refiner=_refiner(params, sizes),
        pretrained=lambda space: shared_weights(params, space.subject),
        identity=fingerprint(params),
        dtype=dtype,
    )


def fixed_vae(params: MindEye2Params, sizes: PublicSizes) -> nn.Module | None:
    """SDXL's VAE as it was fixed for half precision, or None to take the checkpoints' own."""
    if not params.vae_fix:
        return None
    file = needed(*_fix_file(params))
    return load_vae(read_weights(file), sizes.vae, dtype=DTYPES[params.half])


def _teacher(params: MindEye2Params, sizes: PublicSizes) -> Callable[[], ConvNeXtTokens] | None:
    """What builds the low-level head's teacher; an absent file is named now."""
    if params.checkpoint or not (params.low_level and params.teacher):
        return None
    file = needed(*_teacher_file(params))
    return lambda: ConvNeXtTokens.from_public(file, sizes.teacher)


def _captioner(params: MindEye2Params, sizes: PublicSizes) -> Callable[[], Captioner] | None:
    """What builds the captioner; absent files are named now."""
    if not params.captions:
        return None
    converter, *git = (needed(*wanted) for wanted in _caption_files(params))
    return lambda: Captioner.from_public(converter, git[0].parent, sizes.converter)


def _refiner(params: MindEye2Params, sizes: PublicSizes) -> Callable[[], Refiner] | None:
    if not params.refine:
        return None
    checkpoint, texts = (needed(*wanted) for wanted in _refine_files(params))
    words = weights.locate(ClipL14Text.words)
    weights.locate(ClipL14Text.weights)
    return lambda: Refiner.from_public(
        checkpoint,
        clip=weights.load_state(ClipL14Text.weights),
        open_text=read_weights(texts),
        tokenizer=clip_tokenizer(words),
        sizes=sizes.refiner,
        settings=replace(params.refining(), picture=sizes.drawing.picture),
        dtype=DTYPES[params.half],
        vae=fixed_vae(params, sizes),
    )


def _teacher_file(params: MindEye2Params) -> tuple[Path, str, str]:
    """The teacher's file, as :func:`needed` takes it."""
    without = "--set decoder.teacher=false to leave the contrastive term of the low-level head out"
    return public_folder(params) / TEACHER, _AUTHORS, without


def _caption_files(params: MindEye2Params) -> list[tuple[Path, str, str]]:
    """What captions need besides, as :func:`needed` takes it."""
    folder, without = public_folder(params), "--set decoder.captions=false --set decoder.refine=false"
    git = [(folder / CAPTIONER / name, _GIT, without) for name in GIT_FILES]
    return [(folder / CONVERTER, _AUTHORS, without), *git]


def _refine_files(params: MindEye2Params) -> list[tuple[Path, str, str]]:
    folder, without = public_folder(params), "--set decoder.refine=false"
    return [(folder / REFINER, _AUTHORS, without), (folder / TEXTS, _LAION, without)]


def _fix_file(params: MindEye2Params) -> tuple[Path, str, str]:
    return Path(params.vae_fix).expanduser(), _FIXED, "--set decoder.vae_fix= for the VAE in float32"


def checkpoint_file(params: MindEye2Params, subject: str) -> Path:
    """The published model of `subject` that decodes without a fit."""
    if params.checkpoint != "auto":
        return Path(params.checkpoint).expanduser()
    return public_folder(params) / "train_logs" / PUBLISHED.format(subject) / "last.pth"


def _checkpoints(params: MindEye2Params) -> list[Path]:
    """Published models that `params` may decode with."""
    if params.checkpoint == "auto":
        return sorted(public_folder(params).glob(f"train_logs/{PUBLISHED.format('*')}/last.pth"))
    file = Path(params.checkpoint).expanduser()
    return [needed(file, without="to fit: leave decoder.checkpoint out")] if params.checkpoint else []


def shared_weights(params: MindEye2Params, subject: str):
    """Weights to start from, or None; :class:`WeightsMissing` names the file that is not there."""
    if params.pretrained == "none":
        return None
    if params.pretrained == "auto":
        return read_weights(needed(_shared_file(params, subject)))
    return read_weights(needed(Path(params.pretrained).expanduser()))


def public_folder(params: MindEye2Params) -> Path:
    """The folder of the public files."""
    return files.public_folder(params.weights, holds=f"{GENERATOR} of {_AUTHORS}")


def needed(
    file: Path,
    source: str = _AUTHORS,
    without: str = "--set decoder.pretrained=none or =FILE for the part trained on other subjects",
) -> Path:
    """See :func:`harness.decoders.files.needed`."""
    return files.needed(file, source, without)


def missing(params: MindEye2Params, subject: str) -> list[str]:
    """A line for each file that a fit for `subject` and decoding would read and that is not there."""
    try:
        checks = [partial(needed, *file) for file in _files(params, [_shared_file(params, subject)])]
        lines = missing_checkpoint(checkpoint_file(params, subject)) if params.checkpoint else []
    except WeightsMissing as problem:  # the folder itself
        return [str(problem)]
    if params.refine:
        checks += [partial(weights.locate, name) for name in (ClipL14Text.weights, ClipL14Text.words)]
    return lines + files.absent(checks)


def _files(params: MindEye2Params, shared: Sequence[Path]) -> list[tuple[Any, ...]]:
    """Every file that `params` name, as :func:`needed` takes it; `shared` are parts trained on others."""
    folder = public_folder(params)
    fits = not params.checkpoint
    starts = {"auto": shared, "none": ()}.get(params.pretrained, [Path(params.pretrained).expanduser()])
    wanted: list[tuple[Any, ...]] = [(folder / GENERATOR, _AUTHORS, _SMALL)]
    wanted += [(folder / LOW_LEVEL, _AUTHORS, _PLAIN)] if params.low_level else []
    wanted += [(file,) for file in starts] if fits else []
    wanted += [_teacher_file(params)] if fits and params.low_level and params.teacher else []
    wanted += [_fix_file(params)] if params.vae_fix else []
    wanted += _caption_files(params) if params.captions else []
    return wanted + (_refine_files(params) if params.refine else [])


def _shared_file(params: MindEye2Params, subject: str) -> Path:
    return public_folder(params) / "train_logs" / f"final_multisubject_{subject}" / "last.pth"


def fingerprint(params: MindEye2Params) -> str:
    """Identity of the files that `params` name: names, sizes and 64 blocks spread over each.

    Weights that ``harness prefetch`` keeps count by their hash.
    """
    folder = public_folder(params)
    shared = sorted(folder.glob("train_logs/final_multisubject_*/last.pth"))
    read = [needed(*file) for file in _files(params, shared)] + _checkpoints(params)
    total = hashlib.sha256()
    if params.refine:
        for name in (ClipL14Text.weights, ClipL14Text.words):
            total.update(weights.stored_sha(name).encode())
    files.add_samples(total, read)
    return total.hexdigest()

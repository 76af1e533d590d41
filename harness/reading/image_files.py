"""Image files as (H, W, 3) uint8, one rule for each thing that a file can hold, and folders of them.

What a viewer shows is what is read: upright by the EXIF orientation, 8 bits, opaque, one picture.  What
no viewer agrees upon (transparent parts, 16 bits, numbers, several frames) is refused by name.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import DataError, no_permission
from .ids import IMAGE_ENDINGS, comparable, match_ids, nearest_id, stem
from .pixels import Scale, stacked
from .present import existing_file
from .resizing import Resize

_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr")

_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""EXIF orientation -> how Pillow sets a picture upright (CIPA DC-008, tag 0x0112)."""


def read_image(path: Path, content: bytes | None = None) -> np.ndarray:
    """(H, W, 3) uint8 of an image file, upright; of its `content`, where that lies in an archive.

    Black and white, grey, palettes, CMYK and YCbCr become colour as Pillow converts them, which is what
    torchvision's folders give; colour profiles are not applied.

    Raises
    ------
    DataError
        A file that is damaged, cut off, or larger than any stimulus (a decompression bomb), that has
        transparent parts, more than 8 bits, or several frames.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Of broken EXIF data and of palettes that are opaque in many words: neither says what to do.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path if content is None else io.BytesIO(content)) as image:
                return _pixels(image, path)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise DataError(
            f"{path} claims more than {Image.MAX_IMAGE_PIXELS:,} pixels, which may exhaust the memory; save "
            "it at the size that was shown"
        ) from problem
    except FileNotFoundError:
        existing_file(path)  # says more: a link to nothing is listed with the other files
        raise
    except PermissionError as problem:
        raise no_permission(path) from problem
    except Exception as problem:  # decoders of damaged files raise nearly anything
        reason = " ".join(str(problem).split())[:120]
        raise DataError(f"{path} cannot be read as an image: {type(problem).__name__}: {reason}") from problem


def _pixels(image: Any, path: Path) -> np.ndarray:
    from PIL import Image

    if problem := _refusal(image):
        raise DataError(f"{path} {problem}")
    if image.has_transparency_data and _alpha(image).getextrema()[0] < 255:
        raise DataError(f"{path} has transparent parts; save it as 8-bit grey or colour")
    picture = image.convert("RGB")
    turn = _TURNS.get(_orientation(image))
    return np.asarray(picture if turn is None else picture.transpose(Image.Transpose[turn]))


def _orientation(image: Any) -> int:
    """The EXIF orientation, 1 to 8; 1, as stored, where the data are damaged, as viewers do."""
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # a parser of damaged data raises nearly anything
        return 1


def _refusal(image: Any) -> str:
    """Why an opened file cannot be read as one 8-bit picture; empty if it can."""
    # A phone's MPO holds a preview or a depth map behind the picture that viewers show.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        return f"has {image.n_frames} frames or pages; save the one that was shown"
    deep = [str(part) for part in image.tile if ";16" in str(part)]  # Pillow drops 8 of 16 bits of colour
    if deep and image.mode in _MODES:
        return "has pixels of 16 bits; save it as 8-bit grey or colour"
    if image.mode not in _MODES:
        return f"has pixels of type {image.mode}; save it as 8-bit grey or colour"
    return ""


def _alpha(image: Any) -> Any:
    """The opacity of each pixel, of an alpha channel, a transparent palette entry or a transparent colour."""
    return image.convert("RGBA").getchannel("A")


class ImageFolder:
    """Image files below a folder, called by ids.

    An id is the name of a file, with or without its ending; with slashes it is a path below the folder
    (``n0001/n0001_17.jpg``).  Subfolders are looked into for such ids, and where all images lie there.

    Attributes
    ----------
    ids : N ids; files : their files, None where there is none; missing : ids without a file.
    names : of all image files, as paths below the folder.
    """

    def __init__(
        self,
        folder: Path,
        ids: Sequence[str],
        *,
        scale: Scale,
        resize: Resize | None = None,
    ) -> None:
        self.folder, self.what = folder, f"folder {folder.name}"
        self.ids, self.scale, self.resize = tuple(ids), scale, resize or Resize()
        below = any("/" in comparable(name) for name in self.ids)
        self.names = image_names(folder, below=below) or image_names(folder, below=True)
        if not self.names:
            raise DataError(f"{folder} holds no image file ({', '.join(IMAGE_ENDINGS)})")
        matches = match_ids(self.ids, self.names, what=str(folder))
        self.files = tuple(folder / matches[name] if name in matches else None for name in self.ids)
        self.missing = tuple(name for name in self.ids if name not in matches)

    def __len__(self) -> int:
        return len(self.ids)

    def complete(self) -> ImageFolder:
        """These images; an id without a file is a :class:`DataError`."""
        if self.missing:
            raise DataError(
                f"{self.folder} holds no picture for {len(self.missing)} of {len(self)} images, for example "
                f"'{self.missing[0]}'"
            )
        return self

    def near(self, name: str, *others: ImageFolder) -> str:
        """The file that looks most like the id `name` and is no image of this or the `others`; else ""."""
        claimed = {file for images in (self, *others) for file in images.files}
        free = (stem(other) for other in self.names if self.folder / other not in claimed)
        return nearest_id(stem(name), free)

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Images (n, H, W, 3) of the ids at `positions`; all must have one size, or are given one."""
        images = []
        for k in positions:
            file = self.files[k]
            if file is None:
                raise DataError(f"{self.folder} holds no image file for the id '{self.ids[k]}'")
            image = self.scale.pixels(read_image(file), what=str(file))
            name = str(file) if images else file.name
            images.append((name, self.resize.image(image, what=str(file))))
        return stacked(images, door=self.scale.door)


def image_names(folder: Path, *, below: bool) -> tuple[str, ...]:
    """Sorted paths of the image files in `folder`, with slashes; with `below` those of its subfolders too."""
    files = folder.rglob("*") if below else folder.iterdir()
    names = (PurePosixPath(*file.relative_to(folder).parts) for file in files)
    return tuple(sorted(str(name) for name in names if name.suffix.lower() in IMAGE_ENDINGS))

"""One set of rules for images, whichever door they come in by: stimuli, reconstructions, folders, arrays."""

from __future__ import annotations

import io
import re
import struct
import unicodedata
import warnings
import zlib

import numpy as np
import pytest
from image_doors import (
    ARRAYS,
    FOLDERS,
    IDS,
    PICTURES,
    UNIT,
    encoded,
    reconstruction_file,
    save_files,
    stimuli_folder,
)
from PIL import Image

from harness.benchmarks.paired import Paired
from harness.data import Stimuli
from harness.errors import DataError
from harness.settings import resolve_params
from harness.stages.reconstructions import GivenImages

# Files.


def picture(mode="RGB"):
    return Image.fromarray(PICTURES[1]).convert(mode)


def with_alpha(lowest):
    alpha = np.full((8, 8, 1), 255, np.uint8)
    alpha[0, 0] = lowest
    return Image.fromarray(np.concatenate([PICTURES[1], alpha], axis=-1))


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(), exif=exif)


def deep_png(colours):
    """A PNG of 16 bits a channel, which Pillow does not write in colour."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[colours]
    rows = np.full((8, 8, colours), 0xFFFF, ">u2")
    rows[..., 0] = 1000

    def chunk(name, content):
        body = name + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def exif_with(first, last):
    """A quarter turn in EXIF data that are damaged at the end or at their first bytes."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(), exif=first + exif.tobytes()[6 + len(first) : last])


def palette(*, transparent):
    image = picture().quantize(16)
    return encoded(image, transparency=image.getpixel((0, 0))) if transparent else encoded(image)


def frames(kind, suffix):
    others = [Image.fromarray(other) for other in PICTURES[2:]]
    return suffix, encoded(picture(), kind, save_all=True, append_images=others)


def as_rgb(image):
    return np.asarray(image.convert("RGB"))


JPEG = encoded(picture(), "JPEG")
STORED = PICTURES[1]
READ = {
    "png": (".png", encoded(picture()), STORED),
    "bmp, capital ending": (".BMP", encoded(picture(), "BMP"), STORED),
    "webp": (".webp", encoded(picture(), "WEBP", lossless=True), STORED),
    "jpeg": (".jpeg", JPEG, as_rgb(Image.open(io.BytesIO(JPEG)))),
    "one bit": (".png", encoded(picture("1")), as_rgb(picture("1"))),
    "grey": (".png", encoded(picture("L")), as_rgb(picture("L"))),
    "palette": (".png", palette(transparent=False), as_rgb(picture().quantize(16))),
    "cmyk": (".tif", encoded(picture("CMYK"), "TIFF"), as_rgb(picture("CMYK"))),
    "ycbcr": (".tif", encoded(picture("YCbCr"), "TIFF"), as_rgb(picture("YCbCr"))),
    "opaque": (".png", encoded(with_alpha(255)), STORED),
    "opaque grey": (".png", encoded(picture("LA")), as_rgb(picture("L"))),
    "mirrored": (".png", turned(2), STORED[:, ::-1]),
    "upside down": (".png", turned(3), STORED[::-1, ::-1]),
    "mirrored upside down": (".png", turned(4), STORED[::-1]),
    "transposed": (".png", turned(5), STORED.transpose(1, 0, 2)),
    "quarter turn": (".png", turned(6), np.rot90(STORED, -1)),
    "transverse": (".png", turned(7), np.rot90(STORED, 2).transpose(1, 0, 2)),
    "quarter turn back": (".png", turned(8), np.rot90(STORED)),
    "turned in tiff": (".tif", encoded(picture(), "TIFF", tiffinfo={0x0112: 6}), np.rot90(STORED, -1)),
    "damaged exif": (".png", exif_with(b"??", None), STORED),
    "cut off exif": (".png", exif_with(b"", -9), STORED),
    "opaque palette": (
        ".png",
        encoded(picture().quantize(16), transparency=b"\xff" * 16),
        as_rgb(picture().quantize(16)),
    ),
    "preview behind": (*frames("MPO", ".jpg"), as_rgb(Image.open(io.BytesIO(JPEG)))),
}
REFUSED = {
    "16 bits, grey": (".png", deep_png(1), "pixels of type I;16; save it as 8-bit"),
    "16 bits, grey and alpha": (".png", deep_png(2), "pixels of 16 bits; save it as 8-bit"),
    "16 bits, colour": (".png", deep_png(3), "pixels of 16 bits; save it as 8-bit"),
    "16 bits, colour and alpha": (".png", deep_png(4), "pixels of 16 bits; save it as 8-bit"),
    "32 bits": (".tif", encoded(picture("I"), "TIFF"), "pixels of type I;"),
    "float": (".tif", encoded(picture("F"), "TIFF"), "pixels of type F;"),
    "lab": (".tif", encoded(Image.new("LAB", (8, 8)), "TIFF"), "pixels of type LAB;"),
    "transparent": (".png", encoded(with_alpha(254)), "has transparent parts; save it as 8-bit"),
    "transparent webp": (".webp", encoded(with_alpha(0), "WEBP", lossless=True), "has transparent parts"),
    "transparent palette": (".png", palette(transparent=True), "has transparent parts"),
    "transparent palette, alpha": (".tif", encoded(Image.new("PA", (8, 8)), "TIFF"), "has transparent parts"),
    "transparent colour": (
        ".png",
        encoded(picture(), transparency=tuple(map(int, STORED[0, 0]))),
        "has transparent parts",
    ),
    "transparent grey": (
        ".png",
        encoded(picture("L"), transparency=picture("L").getpixel((0, 0))),
        "has transparent parts",
    ),
    "animated png": (*frames("PNG", ".png"), "has 3 frames or pages; save the one that was shown"),
    "animated webp": (*frames("WEBP", ".webp"), "has 3 frames or pages"),
    "pages": (*frames("TIFF", ".tif"), "has 3 frames or pages"),
    "cut off": (".png", encoded(picture())[:-60], "cannot be read as an image"),
    "no image": (".png", b"not an image", "cannot be read as an image"),
    "empty": (".jpg", b"", "cannot be read as an image"),
}


def among_others(suffix, content):
    files = {f"{name}.png": encoded(Image.fromarray(image)) for name, image in zip(IDS, PICTURES)}
    del files["t1.png"]
    return files | {f"t1{suffix}": content}


@pytest.mark.parametrize("door", FOLDERS)
@pytest.mark.parametrize("case", READ)
def test_files_are_read_as_viewers_show_them(tmp_path, door, case):
    suffix, content, expected = READ[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = door(tmp_path, among_others(suffix, content))
    np.testing.assert_array_equal(images[1], expected)
    np.testing.assert_array_equal(images[[0, 2, 3]], PICTURES[[0, 2, 3]])


@pytest.mark.parametrize("door", FOLDERS)
@pytest.mark.parametrize("case", REFUSED)
def test_files_that_no_viewer_agrees_upon_are_refused_by_name(tmp_path, door, case):
    suffix, content, message = REFUSED[case]
    with pytest.raises(DataError, match=message) as caught:
        door(tmp_path, among_others(suffix, content))
    assert f"t1{suffix}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", FOLDERS)
@pytest.mark.parametrize("limit", [40, 20])  # Pillow warns above its limit and raises above its double
def test_decompression_bombs_are_refused_by_name(tmp_path, door, limit, monkeypatch):
    files = among_others(".png", encoded(Image.new("RGB", (9, 8))))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=rf"t\d\.png claims more than {limit} pixels") as caught:
        door(tmp_path, files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("door", FOLDERS)
def test_files_of_several_sizes_are_named(tmp_path, door):
    with pytest.raises(DataError, match=r"t1\.png is 8 x 9 pixels and t0\.png is 8 x 8; all images of a run"):
        door(tmp_path, among_others(".png", encoded(Image.new("RGB", (9, 8)))))


@pytest.mark.parametrize("door", FOLDERS)
@pytest.mark.parametrize(
    "names", ["{}.JPEG.png", "{}.webp", "a/{}.png", unicodedata.normalize("NFD", "é/{}.png")]
)
def test_ids_are_files_with_any_ending_and_in_a_subfolder_where_all_are(tmp_path, door, names):
    root = tmp_path / ("im" if door is stimuli_folder else "rec")
    (root / names).parent.mkdir(parents=True)
    kind = {"lossless": True} if "webp" in names else {}
    for name, image in zip(IDS, PICTURES):
        Image.fromarray(image).save(root / names.format(name), **kind)
    np.testing.assert_array_equal(door(tmp_path, {}), PICTURES)


@pytest.mark.parametrize("door", [*FOLDERS, reconstruction_file])
def test_two_files_that_may_be_one_id_are_named(tmp_path, door):
    if door is reconstruction_file:
        names = ("t0.png", "t1.jpg", "t1.png", "t2.png", "t3.png")
        given, ids = PICTURES[[0, 1, 1, 2, 3]], {"ids": names}
    else:
        given, ids = among_others(".png", encoded(picture())) | {"t1.jpg": JPEG}, {}
    with pytest.raises(DataError, match=r"holds 't1\.jpg' and 't1\.png' for the id 't1'; keep one of them"):
        door(tmp_path, given, **ids)


def test_ids_with_endings_are_those_of_files_without(tmp_path):
    """Made by listing a folder, as the benchmark's own message advises; everything else has other endings."""
    names = [f"{name}.JPEG" for name in IDS]
    wanted = Stimuli.from_array(names, PICTURES)
    save_files(tmp_path / "rec", {f"{n}.png": encoded(Image.fromarray(i)) for n, i in zip(IDS, PICTURES)})
    np.savez(tmp_path / "rec.npz", reconstructions=PICTURES[::-1], ids=np.array(IDS[::-1]))
    for path, form in ((tmp_path / "rec", "folder"), (tmp_path / "rec.npz", "file")):
        (images,) = GivenImages(str(path), form).rows(wanted, flat_row="reconstructions").values()
        np.testing.assert_array_equal(images.images(), PICTURES)
    (tmp_path / "shown.txt").write_text("\n".join(f"{name}.webp" for name in IDS[::-1]))
    (tmp_path / "ids.txt").write_text("\n".join(names))
    np.save(tmp_path / "y.npy", np.random.default_rng(1).normal(size=(4, 3)))
    data = {"images": "rec/", "responses": "y.npy", "ids": "ids.txt", "image_ids": "shown.txt"}
    given = {"base_dir": str(tmp_path), "data": data, "test_ids": ["t3.png"], "units": "raw"}
    loaded = Paired(resolve_params(Paired.Params, given, section="benchmark")).load("subj01")
    assert loaded.test.stimuli.ids == ("t3.JPEG",)
    np.testing.assert_array_equal(loaded.train.stimuli.images(), PICTURES[:3])
    y = np.load(tmp_path / "y.npy").astype(np.float32)
    np.testing.assert_array_equal(loaded.train.responses.mean(), y[:0:-1])


# Arrays.


@pytest.mark.parametrize("door", ARRAYS)
@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (PICTURES, PICTURES),
        (PICTURES.astype(np.int64), PICTURES),
        (PICTURES.astype(np.uint16), PICTURES),
        (PICTURES > 99, (PICTURES > 99) * np.uint8(255)),
        (UNIT, UNIT.astype(np.float32)),
        (UNIT.astype(np.float16), UNIT.astype(np.float16).astype(np.float32)),
        (UNIT * 1.0009, np.clip(UNIT * 1.0009, 0, 1).astype(np.float32)),
        (UNIT - 0.0009, np.clip(UNIT - 0.0009, 0, 1).astype(np.float32)),
    ],
)
def test_arrays_are_uint8_or_float_from_0_to_1(tmp_path, door, array, expected):
    images = door(tmp_path, array)
    assert images.dtype == expected.dtype
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize("door", ARRAYS)
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.where(PICTURES > 250, np.nan, UNIT), "holds NaN or inf"),
        (np.where(PICTURES > 250, np.inf, UNIT), "holds NaN or inf"),
        (UNIT.astype(str), "expected images"),
        (UNIT - 3, "by the values of black and white"),
        (UNIT * 300 - 200, "by the values of black and white"),
    ],
)
def test_numbers_that_are_no_images_are_refused(tmp_path, door, array, message):
    with pytest.raises(DataError, match=message) as caught:
        door(tmp_path, array)
    assert "\n" not in str(caught.value)


def test_hint_of_unequal_sizes_works_as_printed(tmp_path):
    files = among_others(".png", encoded(picture().resize((12, 9))))
    with pytest.raises(DataError, match="all images of a run need one size") as caught:
        stimuli_folder(tmp_path, files)
    size, how, fit = re.search(
        r"add image_resize: (\[\d+, \d+\]), image_filter: (\w+) and image_fit: ([\w-]+)", str(caught.value)
    ).groups()
    assert "stretch" in str(caught.value)
    size = tuple(map(int, size[1:-1].split(",")))
    images = stimuli_folder(tmp_path, files, image_resize=size, image_filter=how, image_fit=fit)
    np.testing.assert_array_equal(images[[0, 2, 3]], PICTURES[[0, 2, 3]])
    cut = picture().resize((12, 9)).resize((8, 8), Image.Resampling.BOX, box=(1.5, 0, 10.5, 9))
    np.testing.assert_array_equal(images[1], np.asarray(cut))


# Sets.


def through(door, folder, images):
    """Images (4, 8, 8, 3) uint8 through any door, as PNGs where it is a folder."""
    if door in ARRAYS:
        return door(folder, images)
    return door(folder, {f"{n}.png": encoded(Image.fromarray(i)) for n, i in zip(IDS, images)})


@pytest.mark.parametrize("door", FOLDERS + ARRAYS)
@pytest.mark.parametrize(("scale", "message"), [(0, "every pixel is 0"), (1, "largest pixel is 1 of 255")])
def test_sets_that_are_all_black_are_refused(tmp_path, door, scale, message):
    with pytest.raises(DataError, match=f"{message}.*all images are black"):
        through(door, tmp_path, (PICTURES > 99).astype(np.uint8) * np.uint8(scale))


@pytest.mark.parametrize("door", FOLDERS + ARRAYS)
def test_some_black_images_are_images(tmp_path, door):
    some = PICTURES.copy()
    some[1] = 0
    np.testing.assert_array_equal(through(door, tmp_path, some), some)

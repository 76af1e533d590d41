"""Files of fitted weights that parameters name; no network is imported to look for them."""

from __future__ import annotations

from pathlib import Path

from harness.api import WeightsMissing

ENCODERS = ("encoder.safetensors", "last-hierarchy-vitl.pth")
TRANSFORMER = "transformer.safetensors"


def pretrained_files(given: str) -> tuple[Path, Path]:
    """Files of both stages in the folder ``pretrained``."""
    folder = Path(given).expanduser()
    encoder = next((folder / name for name in ENCODERS if (folder / name).is_file()), folder / ENCODERS[0])
    for file in (encoder, folder / TRANSFORMER):
        if not file.is_file():
            raise WeightsMissing(
                f"{file} is not there; decoder.pretrained is a folder with {' or '.join(ENCODERS)} and "
                f"{TRANSFORMER}, or leave it out to fit"
            )
    return encoder, folder / TRANSFORMER

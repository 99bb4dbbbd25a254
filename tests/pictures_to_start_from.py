"""Picture files for tests, small and of every kind."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

ORIENTATION = 0x0112


def noise(width: int = 40, height: int = 24, seed: int = 1) -> Image.Image:
    """Return a picture that is no single colour."""
    pixels = random.Random(seed).randbytes(width * height * 3)
    return Image.frombytes("RGB", (width, height), pixels)


def write(path: Path, image: Image.Image | None = None, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or noise()).save(path, **more)  # type: ignore[arg-type]
    return path


def turned(path: Path, orientation: int, image: Image.Image | None = None) -> Path:
    """Write a picture that its EXIF says to turn, as phones do."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return write(path, image, exif=exif)

"""Pictures with the same pixels have the same digest, whatever else their files say."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from stablenew.pipeline.pixel_digest import pixel_digest


def noise(seed: int, mode: str = "RGB", size: tuple[int, int] = (32, 24)) -> Image.Image:
    chance = random.Random(seed)
    return Image.frombytes(mode, size, chance.randbytes(size[0] * size[1] * len(mode)))


def encoded(image: Image.Image, kind: str, said: str = "", **how: object) -> bytes:
    """Return a picture with some words about it, where its format keeps such."""
    if said and kind == "PNG":
        info = PngInfo()
        info.add_text("parameters", said)
        how["pnginfo"] = info
    elif said:
        exif = Image.Exif()
        exif[0x010E] = said
        how["exif"] = exif
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


KINDS = pytest.mark.parametrize(
    ("kind", "how"),
    [("PNG", {}), ("JPEG", {"quality": 85}), ("WEBP", {}), ("WEBP", {"lossless": True})],
    ids=["png", "jpeg", "webp", "webp lossless"],
)


@KINDS
def test_words_about_the_pixels_change_nothing(kind: str, how: dict[str, object]) -> None:
    digests = {
        pixel_digest(encoded(noise(1), kind, said, **how))
        for said in ("", "Sampler: Euler", "Sampler: Heun, Steps: 20")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 32


@KINDS
def test_other_pixels_have_another_digest(kind: str, how: dict[str, object]) -> None:
    pictures = [noise(1), noise(2), noise(1, size=(24, 32))]
    assert len({pixel_digest(encoded(each, kind, "", **how)) for each in pictures}) == 3


def test_one_pixel_makes_a_difference() -> None:
    other = noise(1)
    other.putpixel((31, 23), (1, 2, 3))
    assert pixel_digest(encoded(other, "PNG")) != pixel_digest(encoded(noise(1), "PNG"))


def test_a_palette_is_part_of_the_pixels() -> None:
    one, other = (noise(1).convert("P") for _ in range(2))
    other.putpalette(bytes(range(255, -1, -1)) * 3)
    assert pixel_digest(encoded(one, "PNG")) != pixel_digest(encoded(other, "PNG"))


@pytest.mark.parametrize("data", [b"", b"no picture at all", b"\xff\xd8", b"RIFF\0\0\0\0WEBP"])
def test_what_is_no_picture_has_none(data: bytes) -> None:
    assert pixel_digest(data) == ""


@KINDS
def test_a_picture_that_is_cut_short_is_no_error(kind: str, how: dict[str, object]) -> None:
    data = encoded(noise(1), kind, "words", **how)
    assert {len(pixel_digest(data[:end])) for end in range(len(data))} <= {0, 32}

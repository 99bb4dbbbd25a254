"""Which pictures are one single colour."""

from __future__ import annotations

import io
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from stablenew.pipeline.blank_picture import is_blank

GREY = (97, 98, 99)


def encoded(image: Image.Image, kind: str = "PNG", **how: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def plain(mode: str = "RGB", colour: object = GREY, side: int = 64) -> Image.Image:
    return Image.new(mode, (side, side), colour)  # type: ignore[arg-type]


def noise(least: int, most: int, side: int = 64) -> Image.Image:
    chance = random.Random(1)
    values = bytes(chance.randint(least, most) for _ in range(side * side * 3))
    return Image.frombytes("RGB", (side, side), values)


def dotted(image: Image.Image, colour: object = (255, 0, 0)) -> Image.Image:
    """Return a picture with a dot at its end, where only a whole look finds it."""
    image.putpixel((image.width - 1, image.height - 1), colour)  # type: ignore[arg-type]
    return image


@pytest.mark.parametrize(
    "data",
    [
        encoded(plain(colour=(0, 0, 0))),
        encoded(plain(side=300), compress_level=0),
        encoded(plain("L", 30)),
        encoded(plain("1", 1)),
        encoded(plain("RGBA", (1, 2, 3, 0))),
        encoded(plain("P", 7)),
        encoded(plain("I;16", 40_000)),
        encoded(dotted(plain("I;16", 40_000), 40_300)),
        encoded(noise(100, 102)),
        encoded(plain(), "JPEG", quality=50),
        encoded(plain("L", 33, 200), "JPEG", quality=90),
        encoded(plain(colour=(10, 200, 30), side=128), "WEBP", quality=60),
        encoded(plain(), "WEBP", lossless=True, exif=bytes(9_000)),
    ],
)
def test_one_colour_is_blank_in_every_format(data: bytes) -> None:
    assert is_blank(data)


@pytest.mark.parametrize(
    "data",
    [
        encoded(dotted(plain(side=200))),
        encoded(dotted(plain("L", 30, 200), 40)),
        encoded(dotted(plain("I;16", 40_000), 41_000)),
        encoded(dotted(plain("RGBA", (0, 0, 0, 255)), (0, 0, 0, 0))),
        encoded(noise(100, 104)),
        encoded(noise(0, 255), "JPEG"),
        encoded(noise(0, 255, 256), "WEBP"),
        encoded(dotted(plain()), "WEBP", lossless=True),
    ],
)
def test_anything_else_is_not(data: bytes) -> None:
    assert not is_blank(data)


def test_a_jpeg_whose_small_version_is_one_colour_is_looked_at_as_a_whole() -> None:
    fine = Image.new("L", (64, 64))
    fine.putdata([255 * ((x + y) % 2) for y in range(64) for x in range(64)])
    assert not is_blank(encoded(fine, "JPEG", quality=95))


def test_colours_of_a_palette_count_and_not_their_numbers() -> None:
    image = dotted(plain("P", 1), 200)
    image.putpalette([9, 9, 9] * 256)
    assert is_blank(encoded(image))


def test_a_workflow_inside_makes_no_picture_of_it() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", "node " * 40_000)
    assert is_blank(encoded(plain(), pnginfo=text))


@pytest.mark.parametrize("colours", [1, 2])
def test_an_interlaced_picture_is_looked_at_as_a_whole(colours: int) -> None:
    side, last = 200, 80 if colours == 1 else 200
    starts = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    rows = b"".join(
        (b"\0" + bytes([80 if index < 6 else last]) * len(range(x, side, across)))
        * len(range(y, side, down))
        for index, (x, y, across, down) in enumerate(starts)
    )
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 1)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        crc = zlib.crc32(kind + body)
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    assert is_blank(data) == (colours == 1)


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"RIFF1234WEBP"])
def test_what_is_no_picture_is_not_blank(data: bytes) -> None:
    assert not is_blank(data)


def test_half_a_picture_is_not_blank() -> None:
    data = encoded(plain(side=400), compress_level=0)
    assert not is_blank(data[: len(data) // 2])


@given(st.binary(min_size=12, max_size=12), st.integers(1, 200), st.sampled_from(["PNG", "WEBP"]))
def test_a_quick_look_finds_what_a_whole_one_does(colours: bytes, height: int, kind: str) -> None:
    image = Image.new("RGB", (2, height * 2))
    for half in range(2):
        for x in range(2):
            colour = tuple(colours[6 * half + 3 * x :][:3])
            image.paste(colour, (x, half * height, x + 1, (half + 1) * height))
    apart = max(high - low for low, high in image.getextrema())  # type: ignore[misc]
    assert is_blank(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {}))) == (
        apart <= (2 if kind == "PNG" else 8)
    )

"""The contact sheet: one row per value, one column per picture, labelled."""

from __future__ import annotations

import io
import unicodedata
from functools import cache
from pathlib import Path

import attrs
from PIL import Image, ImageDraw, ImageFont

from stablenew.report.sheet_layout import SheetLayout

_PAPER, _INK, _FAINT, _EMPTY = "#fbfaf7", "#1f2328", "#6b7280", "#ece9e2"
_LETTER_WIDTH = 0.62
# Pillow's own font has ASCII alone; these are found by name where a machine has them.
_FONTS = (
    "NotoSansCJK-Regular.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "Arial.ttf",
    "LiberationSans-Regular.ttf",
)


@attrs.frozen(kw_only=True)
class SheetRow:
    """One value and its pictures.

    Attributes:
        label: The value, as it is written beside the row.
        pictures: Paths of the pictures.
        note: Shown in place of the first picture that is missing.
    """

    label: str
    pictures: tuple[Path, ...]
    note: str = ""


def draw_contact_sheet(
    layout: SheetLayout, title: str, subtitle: str, columns: tuple[str, ...], rows: list[SheetRow]
) -> bytes:
    """Draw a contact sheet; for a worker thread.

    Args:
        layout: Sizes.
        title: What was explored.
        subtitle: The prompt.
        columns: A label for each column.
        rows: From top to bottom.

    Returns:
        A PNG file.
    """
    sheet = Image.new("RGB", layout.size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    large, small = _font(layout.text * 3 // 2), _font(layout.text)
    margin, width = 2 * layout.gap + layout.text // 2, layout.size[0]
    draw.text((margin, layout.gap * 2), _fitted(title, width, layout.text * 3 / 2), _INK, large)
    below = layout.gap * 2 + layout.text * 2
    draw.text((margin, below), _fitted(subtitle, width, layout.text), _FAINT, small)
    for column, label in enumerate(columns):
        x = layout.corner(0, column)[0]
        text = _fitted(label, layout.cell, layout.text)
        draw.text((x, layout.top), text, _FAINT, small, anchor="lb")
    for index, row in enumerate(rows):
        x, y = layout.corner(index, 0)
        text = _fitted(row.label, layout.left, layout.text)
        anchor = (x - 2 * layout.gap - layout.text // 2, y + layout.cell // 2)
        draw.text(anchor, text, _INK, small, anchor="rm")
        _draw_row(sheet, draw, layout, index, row)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _draw_row(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, layout: SheetLayout, index: int, row: SheetRow
) -> None:
    for column in range(layout.columns):
        x, y = layout.corner(index, column)
        if column < len(row.pictures):
            thumbnail = _thumbnail(row.pictures[column], layout.cell)
            inset = (layout.cell - thumbnail.width) // 2, (layout.cell - thumbnail.height) // 2
            sheet.paste(thumbnail, (x + inset[0], y + inset[1]))
            continue
        draw.rectangle((x, y, x + layout.cell - 1, y + layout.cell - 1), fill=_EMPTY)
        if column == len(row.pictures) and row.note:
            font = _font(layout.text)
            lines = _wrapped(row.note, layout)
            draw.multiline_text((x + layout.gap, y + layout.gap), lines, _FAINT, font)


def _thumbnail(path: Path, cell: int) -> Image.Image:
    """Return a picture fitted into a cell; small ones grow with hard edges, as pixels."""
    with Image.open(path) as image:
        scale = cell / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        smaller = scale < 1
        filter_ = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
        return image.convert("RGB").resize(size, filter_)


@cache
def _wide_font() -> str | None:
    """Return a font of this machine that has more than ASCII, if there is one."""
    for name in _FONTS:
        try:
            ImageFont.truetype(name, 10)
        except OSError:
            continue
        return name
    return None


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    name = _wide_font()
    return ImageFont.truetype(name, size) if name else ImageFont.load_default(size)


def _drawable(text: str) -> str:
    """Return a text on one line, without what the font would draw as a box."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    if _wide_font():
        return line
    plain = unicodedata.normalize("NFKD", line)
    letters = (c for c in plain if not unicodedata.combining(c))
    return "".join(c if c.isascii() else "?" for c in letters)


def _fitted(text: str, width: int, height: float) -> str:
    """Cut a text to what fits on one line."""
    letters = max(1, int(width / (height * _LETTER_WIDTH)))
    line = _drawable(text)
    return line if len(line) <= letters else line[: letters - 1] + "…"


def _wrapped(text: str, layout: SheetLayout) -> str:
    letters = max(4, int(layout.cell / (layout.text * _LETTER_WIDTH)))
    words = _drawable(text)
    lines = [words[start : start + letters] for start in range(0, len(words), letters)]
    return "\n".join(lines[: max(1, layout.cell // (layout.text * 3 // 2))])

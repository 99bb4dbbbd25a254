"""The contact sheet: the pictures of a plan side by side, with what sets them apart beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path

import attrs
from PIL import Image, ImageDraw

from stablenew.errors import ConfigError
from stablenew.learning.choice_labels import distinct
from stablenew.pipeline.picture_decoding import small_picture
from stablenew.report.lettering import Lettering, machine_fonts
from stablenew.report.sheet_layout import LINE, MOST_LINES, SheetAxis, SheetLayout, margin

_PAPER, _INK, _FAINT, _EMPTY, _MARK = "#fbfaf7", "#1f2328", "#6b7280", "#ece9e2", "#b4451f"
_SUBTITLE_LINES = 2
_TITLED = 4.4
"""How many letters high the start picture beside the title is."""

_LEAST_IMAGE = 8
"""Pixels of a start picture from which on there is something to see."""

_LEAST_NOTED = 4
"""How many letters high a cell is at the least in which something is written."""

Position = tuple[int, ...]
"""Which value of each axis a step has, from 0."""


@attrs.frozen(kw_only=True)
class SheetPicture:
    """A picture on a sheet.

    Attributes:
        blank: Whether it is one single colour, which is said on it.
    """

    path: Path
    blank: bool = False


@attrs.frozen(kw_only=True)
class SheetCell:
    """What one step made.

    Attributes:
        pictures: In order.
        note: Shown in place of the first picture that is missing.
        image: The file of the picture that they start from; "" for none.
    """

    pictures: tuple[SheetPicture, ...] = ()
    note: str = ""
    image: str = ""


def draw_contact_sheet(
    layout: SheetLayout,
    axes: Sequence[SheetAxis],
    cells: Mapping[Position, SheetCell],
    *,
    title: str,
    subtitle: str = "",
    pictures: Sequence[str] = (),
) -> bytes:
    """Draw a contact sheet; for a worker thread.

    Args:
        layout: Of these axes.
        axes: One, or two: across and down.
        cells: By the position of their step on these axes; one that is not there stays empty.
        title: What was explored.
        subtitle: The prompt.
        pictures: A label for each picture of a step, where each has a column.

    Returns:
        A PNG file.
    """
    sheet = _Sheet(layout)
    images = {cell.image for cell in cells.values()} - {""}
    sheet.write_titles(title, subtitle, images.pop() if len(images) == 1 else "")
    beside = () if layout.wrapped else axes[0].labels if layout.by_picture else axes[1].labels
    above = pictures if layout.by_picture else axes[0].labels
    if layout.wrapped:
        sheet.write_captions(above)
        sheet.draw_images_above(axes[0].images)
    else:
        sheet.write_heads(above)
        sheet.write_sides(beside)
        sheet.draw_images_above(() if layout.by_picture else axes[0].images)
        sheet.draw_images_beside(axes[0 if layout.by_picture else 1].images)
    for position in product(*(range(len(axis.labels)) for axis in axes)):
        sheet.draw_cell(position, cells.get(position, SheetCell()))
    return sheet.encoded()


class _Sheet:
    """A sheet on which one thing after the other is drawn."""

    def __init__(self, layout: SheetLayout) -> None:
        self._layout = layout
        self._letters = _lettering()
        self._image = Image.new("RGB", (layout.width, layout.height), _PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._margin = margin(layout.gap, layout.text)

    def write_titles(self, title: str, subtitle: str, image: str = "") -> None:
        """Write what the sheet is about; beside it, the picture that all of it starts from."""
        layout, text = self._layout, self._layout.text
        width = layout.width - 2 * self._margin
        if image:
            side = round(_TITLED * text)
            width -= side + text
            self._draw_image((layout.width - self._margin - side, text // 2), image, side)
            subtitle = " · ".join(filter(None, [subtitle, f"from {Path(image).name}"]))
        large = text * 3 // 2
        self._write(self._margin, 2 * text, self._fit(title, width, large), _INK, large)
        lines = self._letters.wrapped(_drawable(subtitle), width, _SUBTITLE_LINES, text)
        self._write_lines(self._margin, round(2 * text + LINE * text), lines, _FAINT)

    def write_heads(self, labels: Sequence[str]) -> None:
        """Write a label above each column, as many as there is room for."""
        width, text = self._layout.box[0], self._layout.text
        every = -(-3 * text // (width + self._layout.gap))
        shown = self._labels(labels, width * every, MOST_LINES)
        for column, lines in list(enumerate(shown))[::every]:
            x = self._layout.box_corner(0, column)[0]
            y = self._layout.top - round((len(lines) - 1) * LINE * text + 0.3 * text)
            self._write_lines(x, y, lines, _INK)

    def write_sides(self, labels: Sequence[str]) -> None:
        """Write a label beside each row, as many as there is room for."""
        height, text = self._layout.box[1], self._layout.text
        pitch = height + self._layout.gap
        every = -(-round(LINE * text) // max(pitch, 1))
        most = max(1, int(pitch * every / (LINE * text)))
        width = self._layout.left - self._margin - text - self._layout.image
        for row, lines in list(enumerate(self._labels(labels, width, most)))[::every]:
            middle = self._layout.box_corner(row, 0)[1] + height / 2
            y = middle + (0.7 - (len(lines) - 1) * LINE) * text / 2
            for number, line in enumerate(lines):
                x = self._layout.left - text - self._letters.width(line, text)
                self._write(x, y + number * LINE * text, line, _INK, text)

    def write_captions(self, labels: Sequence[str]) -> None:
        """Write a label above each box."""
        layout = self._layout
        most = int(layout.caption / (LINE * layout.text))
        if not most:
            return
        for index, lines in enumerate(self._labels(labels, layout.box[0], most)):
            x, y = layout.box_corner(*divmod(index, layout.columns))
            y -= round((len(lines) - 1) * LINE * layout.text + 0.3 * layout.text)
            self._write_lines(x, y, lines, _INK)

    def draw_images_above(self, images: Sequence[str]) -> None:
        """Draw the picture that each column, or each box, starts from above its label."""
        layout = self._layout
        for index, image in enumerate(images):
            row, column = divmod(index, layout.columns) if layout.wrapped else (0, index)
            x, y = layout.box_corner(row, column)
            top = y - layout.caption if layout.wrapped else layout.top - layout.head
            self._draw_image((x, top), image, layout.image - layout.gap)

    def draw_images_beside(self, images: Sequence[str]) -> None:
        """Draw the picture that each row starts from beside its label."""
        layout = self._layout
        for row, image in enumerate(images):
            side = layout.image - layout.gap
            y = layout.box_corner(row, 0)[1] + (layout.box[1] - side) // 2
            self._draw_image((self._margin, y), image, side)

    def _draw_image(self, corner: tuple[int, int], image: str, side: int) -> None:
        """Draw a start picture, small; nothing where it is gone."""
        if not image or side < _LEAST_IMAGE:
            return
        with suppress(ConfigError, OSError):
            self._image.paste(small_picture(Path(image).read_bytes(), side), corner)

    def draw_cell(self, position: Position, cell: SheetCell) -> None:
        layout = self._layout
        for number in range(layout.images):
            corner = layout.corner(position, number)
            if number < len(cell.pictures):
                self._draw_picture(corner, cell.pictures[number])
            else:
                self._draw_nothing(corner, cell.note if number == len(cell.pictures) else "")

    def encoded(self) -> bytes:
        buffer = io.BytesIO()
        self._image.save(buffer, "PNG", compress_level=3)
        return buffer.getvalue()

    def _draw_picture(self, corner: tuple[int, int], picture: SheetPicture) -> None:
        (x, y), cell = corner, self._layout.cell
        try:
            thumbnail = _thumbnail(picture.path, cell)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            self._draw_nothing(corner, f"{picture.path.name} cannot be read")
            return
        inset = (cell - thumbnail.width) // 2, (cell - thumbnail.height) // 2
        self._image.paste(thumbnail, (x + inset[0], y + inset[1]))
        if picture.blank and cell >= _LEAST_NOTED * self._layout.text:
            self._tag(corner, "blank")

    def _draw_nothing(self, corner: tuple[int, int], note: str) -> None:
        """Draw an empty cell, and write in it."""
        (x, y), text, cell = corner, self._layout.text, self._layout.cell
        self._draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=_EMPTY)
        if note and cell >= _LEAST_NOTED * text:
            most = int((cell - text) / (LINE * text))
            lines = self._letters.wrapped(_drawable(note), cell - text, most, text)
            self._write_lines(x + text // 2, y + text * 3 // 2, lines, _FAINT)

    def _tag(self, corner: tuple[int, int], word: str) -> None:
        """Write a word on a picture."""
        (x, y), text = corner, self._layout.text
        width = self._letters.width(word, text)
        self._draw.rectangle((x, y, x + width + text, y + LINE * text), fill=_PAPER)
        self._write(x + text // 2, y + text, word, _MARK, text)

    def _labels(
        self, labels: Sequence[str], width: float, lines: int
    ) -> tuple[tuple[str, ...], ...]:
        """Return the lines of each label; no two the same."""
        text = self._layout.text

        def shortened(label: str) -> str:
            return "\n".join(self._letters.wrapped(_drawable(label), width, lines, text))

        return tuple(tuple(each.split("\n")) for each in distinct(labels, shortened))

    def _fit(self, text: str, width: float, size: int) -> str:
        return self._letters.fitted(_drawable(text), width, size)

    def _write_lines(self, x: float, y: float, lines: Sequence[str], colour: str) -> None:
        """Write lines below each other, the first one on the base line `y`."""
        text = self._layout.text
        for number, line in enumerate(lines):
            self._write(x, y + number * LINE * text, line, colour, text)

    def _write(self, x: float, y: float, line: str, colour: str, size: int) -> None:
        self._letters.draw(self._draw, (x, y), line, size, colour)


def _thumbnail(path: Path, cell: int) -> Image.Image:
    """Return a picture fitted into a cell; small ones grow with hard edges, as pixels."""
    with path.open("rb") as file, Image.open(file) as image:
        image.draft("RGB", (cell, cell))
        scale = cell / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        smaller = scale < 1
        filter_ = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
        return image.convert("RGB").resize(size, filter_)


@cache
def _fonts() -> tuple[Path, ...]:
    return tuple(machine_fonts())


def _wide_font() -> str | None:
    """Return the font that is asked first for a letter; None where only Pillow's own is there."""
    return str(_fonts()[0]) if _fonts() else None


@cache
def _lettering() -> Lettering:
    return Lettering(_fonts())


def _drawable(text: str) -> str:
    """Return a text on one line, without what would be drawn as a box."""
    return _lettering().drawable(text)

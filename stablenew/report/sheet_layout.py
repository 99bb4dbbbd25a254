"""Where everything on a contact sheet is, and how big: that follows from the plan alone.

Pure, and for any number of axes:

- One axis with several pictures per value: a row for each value, a column for each picture.
- One axis with one picture per value: the values one after the other, wrapped into rows. So are
  values that would make a narrow strip.
- Two axes: the first one across, the second one down; several pictures of a step lie together.
- More than two: such a sheet for each choice of the others (`sheets_of`).

No plan is too large: cells shrink until the sheet is within bounds, to single pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import attrs

from stablenew.learning.choice_labels import breadth

T = TypeVar("T")

MOST_PIXELS = 40_000_000
"""A PNG of this size takes about a second to write; Pillow warns at twice as many."""

_MOST_PIXELS_OF_ALL = 10 * MOST_PIXELS
"""Of a plan's sheets together: a few seconds, and as many hundred megabytes at the most."""

LONGEST_SIDE = 16_000
LARGEST_CELL, SMALLEST_TEXT = 256, 10
MOST_LINES = 3
"""Of a label above a cell."""

LETTER_WIDTH = 0.62
"""Of the height of a letter, about."""

LINE = 1.35
_MOST_ROWS = 240
_IN_A_ROW = 5
"""Values that are not wrapped."""

_STRIP = 4
"""How many times as many values as pictures of each make a strip, which is wrapped instead."""

_LABEL_LETTERS = 28
_TITLE_LETTERS = 36


@attrs.frozen(kw_only=True)
class SheetAxis:
    """What one axis of a plan says on a sheet.

    Attributes:
        name: The setting, as the title has it.
        labels: Of its values, in the order of the sheet; no two the same.
        images: Of its values, the file of the picture that they start from; "" for none.
    """

    name: str
    labels: tuple[str, ...]
    images: tuple[str, ...] = ()

    @property
    def has_images(self) -> bool:
        """Whether a picture stands beside each label."""
        return any(self.images)


@attrs.frozen(kw_only=True)
class SheetLayout:
    """Places and sizes, in pixels.

    A box holds the pictures of one step, or a single one of them where each has a column.

    Attributes:
        rows: Of boxes.
        columns: Of boxes.
        images: Pictures of a step.
        across: Pictures side by side in a box.
        down: Pictures one below the other in a box.
        wrapped: Whether boxes follow each other from row to row, each with its label above it.
        by_picture: Whether each picture of a step has a column.
        cell: The side of the square that a picture is fitted into.
        gap: Between boxes and around the sheet.
        text: The height of a label's letters.
        left: The width of the row labels.
        top: The height of everything above the boxes.
        head: The height of the column labels, which is a part of `top`.
        caption: The height of the label above each box.
        image: The side of the square that a start picture is fitted into, beside or above a label,
            with the gap between them; 0 where there is none.
        width: Of the sheet.
        height: Of the sheet.
    """

    rows: int
    columns: int
    images: int
    across: int
    down: int
    wrapped: bool
    by_picture: bool
    cell: int
    gap: int
    text: int
    left: int
    top: int
    head: int
    caption: int
    image: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int]:
        """Width and height of a box, without its caption."""
        inner = _inner(self.gap)
        return _span(self.across, self.cell, inner), _span(self.down, self.cell, inner)

    def box_corner(self, row: int, column: int) -> tuple[int, int]:
        """Return the top left corner of a box, below its caption."""
        width, height = self.box
        x = self.left + self.gap + column * (width + self.gap)
        return x, self.top + self.gap + row * (height + self.caption + self.gap) + self.caption

    def corner(self, position: Sequence[int], picture: int = 0) -> tuple[int, int]:
        """Return the top left corner of a step's picture.

        Args:
            position: The step's: which value of each axis, from 0; axes after the second choose the
                sheet.
            picture: Which of the step's pictures, from 0.
        """
        if self.by_picture:
            return self.box_corner(position[0], picture)
        row, column = divmod(position[0], self.columns) if self.wrapped else position[1::-1]
        x, y = self.box_corner(row, column)
        below, beside = divmod(picture, self.across)
        pitch = self.cell + _inner(self.gap)
        return x + beside * pitch, y + below * pitch


def lay_out(axes: Sequence[SheetAxis], images: int, sheets: int = 1) -> SheetLayout:
    """Choose the largest cells with which a sheet stays within bounds.

    Args:
        axes: One or more, each with a value or more.
        images: Pictures of a step, 1 or more.
        sheets: How many of them there will be.
    """
    order = _Order.of(axes, images)
    most = min(MOST_PIXELS, _MOST_PIXELS_OF_ALL // max(sheets, 1))
    for cell in range(LARGEST_CELL, 1, -1):
        layout = _sized(order, cell)
        longest = max(layout.width, layout.height)
        if longest <= LONGEST_SIDE and layout.width * layout.height <= most:
            return layout
    return _sized(order, 1)


def sheets_of(
    axes: Sequence[SheetAxis], cells: Mapping[tuple[int, ...], T]
) -> list[tuple[str, dict[tuple[int, ...], T]]]:
    """Return the sheets of a plan: one for all that have the same values of the axes after two.

    Args:
        axes: Across, down, and those of which each sheet has one value.
        cells: By the position of their step, as labels of each axis, from 0.

    Returns:
        For each sheet that has a cell, in order, what its steps share, in words, and its cells by
        their position on it.
    """
    found: dict[tuple[int, ...], dict[tuple[int, ...], T]] = {}
    for position in sorted(cells, key=lambda each: each[:1:-1]):
        found.setdefault(position[2:], {})[position[:2]] = cells[position]
    return [
        (", ".join(a.labels[n] for a, n in zip(axes[2:], shared, strict=True)), some)
        for shared, some in found.items()
    ]


@attrs.frozen
class _Order:
    """What is beside and above what; `beside` and `above` are the letters of the longest labels."""

    rows: int
    columns: int
    images: int
    across: int
    down: int
    wrapped: bool
    by_picture: bool
    beside: float
    above: float
    images_beside: bool = False
    images_above: bool = False

    @classmethod
    def of(cls, axes: Sequence[SheetAxis], images: int) -> _Order:
        first = len(axes[0].labels)
        across = math.isqrt(images - 1) + 1
        box = images, across, math.ceil(images / across)
        letters = [max(map(breadth, axis.labels), default=0) for axis in axes[:2]]
        if len(axes) > 1:
            second = len(axes[1].labels)
            shown = axes[1].has_images, axes[0].has_images
            return cls(second, first, *box, False, False, letters[1], letters[0], *shown)
        if images > 1 and first <= min(_MOST_ROWS, max(_IN_A_ROW, _STRIP * images)):
            own = axes[0].has_images
            return cls(first, images, images, 1, 1, False, True, letters[0], 0, own)
        columns = _columns(first, box[2] / across)
        rows, own = math.ceil(first / columns), axes[0].has_images
        return cls(rows, columns, *box, True, False, 0, letters[0], images_above=own)


def _sized(order: _Order, cell: int) -> SheetLayout:
    """Return the layout that has cells of a given size."""
    text, gap = max(SMALLEST_TEXT, cell // 14), max(cell // 32, 1) if cell >= 8 else 0
    width = _span(order.across, cell, _inner(gap))
    height = _span(order.down, cell, _inner(gap))
    letters = max(1, int(width / (text * LETTER_WIDTH)))
    above = LINE * text * max(1, min(MOST_LINES, math.ceil(order.above / letters)))
    caption = round(above + 0.6 * text) if order.wrapped and width >= 2 * text else 0
    image = cell // 3 if order.images_above or order.images_beside else 0
    caption += image * (order.images_above and order.wrapped)
    head = 0 if order.wrapped else round(above + 0.3 * text) + image * order.images_above
    top = round(5.4 * text) + head
    paper = margin(gap, text)
    left = paper - gap
    if order.beside:
        left += round(min(max(order.beside, 6), _LABEL_LETTERS) * text * LETTER_WIDTH) + text
    left += image * order.images_beside
    return SheetLayout(
        rows=order.rows,
        columns=order.columns,
        images=order.images,
        across=order.across,
        down=order.down,
        wrapped=order.wrapped,
        by_picture=order.by_picture,
        cell=cell,
        gap=gap,
        text=text,
        left=left,
        top=top,
        head=head,
        caption=caption,
        image=image,
        width=max(left + order.columns * (width + gap), _TITLE_LETTERS * text) + paper,
        height=top + order.rows * (height + caption + gap) + paper,
    )


def margin(gap: int, text: int) -> int:
    """Return the width of the paper around everything."""
    return 2 * gap + text // 2


def _columns(count: int, height: float) -> int:
    """Return how many values a row has: a sheet about half as wide again as high, with few gaps.

    Args:
        count: How many values there are.
        height: Of a box, by its width.
    """
    if count <= _IN_A_ROW:
        return count
    best = math.sqrt(1.5 * count * height)
    choices = range(math.ceil(0.8 * best), math.ceil(1.35 * best) + 1)
    return min(choices, key=lambda columns: (-count % columns / columns, abs(columns - best)))


def _span(count: int, cell: int, inner: int) -> int:
    return count * cell + (count - 1) * inner


def _inner(gap: int) -> int:
    """Return the space between the pictures of one box."""
    return gap // 3

"""How big everything on a contact sheet is: decided from the plan, before anything runs. Pure."""

from __future__ import annotations

import math

import attrs

MOST_PIXELS = 40_000_000
"""A PNG of this size takes about a second to write; Pillow warns at twice as many."""

LONGEST_SIDE = 16_000
LARGEST_CELL, SMALLEST_CELL = 256, 8


@attrs.frozen(kw_only=True)
class SheetLayout:
    """Sizes in pixels.

    Attributes:
        rows: One per value.
        columns: One per picture of a step.
        cell: The side of the square that a picture is fitted into.
        gap: Between cells and around the sheet.
        text: The height of a label's letters.
        left: The width of the row labels.
        top: The height of title and column labels.
        longest_label: Letters in the longest row label.
    """

    rows: int
    columns: int
    cell: int
    gap: int
    text: int
    left: int
    top: int
    longest_label: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        step = self.cell + self.gap
        return self.left + self.columns * step + self.gap, self.top + self.rows * step + self.gap

    def corner(self, row: int, column: int) -> tuple[int, int]:
        """Return the top left corner of a cell."""
        step = self.cell + self.gap
        return self.left + self.gap + column * step, self.top + self.gap + row * step


def lay_out(rows: int, columns: int, longest_label: int) -> SheetLayout:
    """Choose the largest cells with which the sheet stays within bounds.

    Args:
        rows: Values, 1 or more.
        columns: Pictures per value, 1 or more.
        longest_label: Letters in the longest row label.
    """
    rows, columns = max(rows, 1), max(columns, 1)
    by_area = math.isqrt(MOST_PIXELS // (2 * rows * columns))
    by_side = LONGEST_SIDE // max(rows, columns) * 3 // 4
    cell = max(SMALLEST_CELL, min(LARGEST_CELL, by_area, by_side))
    text = max(8, cell // 14)
    return SheetLayout(
        rows=rows,
        columns=columns,
        cell=cell,
        gap=max(1, cell // 32),
        text=text,
        left=min(max(longest_label, 6), 28) * text * 5 // 8 + 2 * text,
        top=6 * text,
        longest_label=longest_label,
    )

"""Where things are on a contact sheet, for any number of axes."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stablenew.report.sheet_layout import (
    LONGEST_SIDE,
    MOST_PIXELS,
    SheetAxis,
    SheetLayout,
    lay_out,
    sheets_of,
)


def axis(count: int, label: str = "value") -> SheetAxis:
    return SheetAxis(name="txt2img.x", labels=tuple(f"{label} {n}" for n in range(count)))


def corners(layout: SheetLayout, counts: list[int], images: int) -> list[tuple[int, int]]:
    places = product(*map(range, counts))
    return [layout.corner(place, picture) for place in places for picture in range(images)]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=2), st.integers(1, 7), st.integers(0, 60))
def test_cells_do_not_overlap_and_stay_on_the_sheet(
    counts: list[int], images: int, letters: int
) -> None:
    layout = lay_out([axis(count, "x" * letters) for count in counts], images)
    found = corners(layout, counts, images)
    assert len(set(found)) == len(found)
    for x, y in found:
        assert layout.left <= x <= layout.width - layout.cell
        assert layout.top <= y <= layout.height - layout.cell
    for (a, b), (x, y) in zip(sorted(found), sorted(found)[1:], strict=False):
        assert abs(a - x) >= layout.cell or abs(b - y) >= layout.cell


@pytest.mark.parametrize(
    ("counts", "images"),
    [
        ([3_000], 100),
        ([300], 8),
        ([90_000], 1),
        ([2_000, 900], 4),
        ([3, 9_000], 1),
        ([4_000, 2], 9),
    ],
)
def test_no_plan_is_too_large(counts: list[int], images: int) -> None:
    layout = lay_out([axis(count) for count in counts], images)
    assert layout.width * layout.height <= MOST_PIXELS
    assert max(layout.width, layout.height) <= LONGEST_SIDE
    x, y = layout.corner([count - 1 for count in counts], images - 1)
    assert (x + layout.cell <= layout.width, y + layout.cell <= layout.height) == (True, True)


def test_two_axes_are_across_and_down() -> None:
    layout = lay_out([axis(5), axis(4)], 1)
    assert (layout.columns, layout.rows) == (5, 4)
    assert layout.height < 2 * layout.width
    x, y = layout.corner((0, 0))
    assert layout.corner((1, 0))[0] > x
    assert layout.corner((1, 0))[1] == y
    assert layout.corner((0, 1))[0] == x
    assert layout.corner((0, 1))[1] > y


def test_the_pictures_of_a_step_lie_together() -> None:
    layout = lay_out([axis(3), axis(2)], 4)
    assert (layout.across, layout.down) == (2, 2)
    first = [layout.corner((1, 1), picture) for picture in range(4)]
    assert first == sorted(first, key=lambda place: (place[1], place[0]))
    beside, next_step = first[1][0] - first[0][0], layout.corner((2, 1))[0] - first[0][0]
    assert beside < next_step < 2.1 * beside


def test_several_pictures_of_one_axis_have_a_column_each() -> None:
    layout = lay_out([axis(4)], 3)
    assert (layout.columns, layout.rows) == (3, 4)
    assert layout.corner((2,), 1)[1] == layout.corner((2,), 0)[1]
    assert layout.corner((2,), 1)[0] == layout.corner((0,), 1)[0]


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (4, 4), (5, 5), (6, 3), (8, 4), (12, 4), (20, 5), (100, 10)]
)
def test_one_picture_for_each_value_wraps_into_rows(count: int, columns: int) -> None:
    layout = lay_out([axis(count)], 1)
    assert layout.wrapped
    assert layout.columns == columns
    assert layout.rows == -(-count // columns)
    places = [layout.corner((number,)) for number in range(count)]
    assert places == sorted(places, key=lambda place: (place[1], place[0]))
    assert layout.caption > layout.text


@pytest.mark.parametrize(("count", "columns"), [(5, 1), (8, 1), (9, 3), (60, 6)])
def test_more_values_than_a_strip_wraps_have_their_pictures_side_by_side(
    count: int, columns: int
) -> None:
    layout = lay_out([axis(count)], 2)
    assert layout.wrapped == (columns > 1)
    assert layout.columns == (columns if layout.wrapped else 2)
    assert layout.height < 4.5 * layout.width


def test_more_axes_are_a_sheet_for_each_choice_of_the_others_that_has_a_step() -> None:
    axes = [axis(3), axis(2), axis(2, "style"), axis(3, "model")]
    cells: dict[tuple[int, ...], str] = {
        (0, 1, 0, 2): "a",
        (2, 1, 1, 0): "b",
        (0, 0, 1, 0): "c",
        (1, 0, 0, 0): "d",
    }
    assert sheets_of(axes, cells) == [
        ("style 0, model 0", {(1, 0): "d"}),
        ("style 1, model 0", {(2, 1): "b", (0, 0): "c"}),
        ("style 0, model 2", {(0, 1): "a"}),
    ]
    assert sheets_of(axes[:1], {(2,): "a"}) == [("", {(2,): "a"})]
    assert lay_out(axes, 1) == lay_out(axes[:2], 1)
    assert lay_out(axes, 1).corner((2, 1, 1, 0)) == lay_out(axes, 1).corner((2, 1))


def test_many_sheets_have_smaller_cells() -> None:
    axes = [axis(10), axis(10)]
    one, hundred = lay_out(axes, 1), lay_out(axes, 1, sheets=100)
    assert one.cell > hundred.cell > 100
    assert hundred.width * hundred.height <= MOST_PIXELS // 10

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stablenew.report import contact_sheet
from stablenew.report.contact_sheet import SheetRow, draw_contact_sheet
from stablenew.report.sheet_layout import LONGEST_SIDE, MOST_PIXELS, SMALLEST_CELL, lay_out


@given(rows=st.integers(1, 3_000), columns=st.integers(1, 100), letters=st.integers(0, 200))
def test_a_sheet_is_never_too_large_until_its_cells_are_the_smallest(
    rows: int, columns: int, letters: int
) -> None:
    layout = lay_out(rows, columns, letters)
    width, height = layout.size
    if layout.cell > SMALLEST_CELL:
        assert width * height <= MOST_PIXELS * 1.2
        assert max(width, height) <= LONGEST_SIDE * 1.2


@given(rows=st.integers(1, 30), columns=st.integers(1, 30))
def test_cells_do_not_overlap_and_stay_on_the_sheet(rows: int, columns: int) -> None:
    layout = lay_out(rows, columns, 10)
    x, y = layout.corner(rows - 1, columns - 1)
    assert x + layout.cell < layout.size[0]
    assert y + layout.cell < layout.size[1]
    assert layout.corner(1, 1)[0] - layout.corner(0, 0)[0] > layout.cell


def picture(path: Path, colour: str, size: tuple[int, int] = (64, 64)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def draw(rows: list[SheetRow], columns: int = 2, title: str = "cfg") -> Image.Image:
    layout = lay_out(len(rows), columns, 12)
    labels = tuple(f"seed {number}" for number in range(columns))
    data = draw_contact_sheet(layout, title, "a cat", labels, rows)
    image = Image.open(io.BytesIO(data))
    assert image.size == layout.size
    return image.convert("RGB")


def middle(image: Image.Image, rows: int, row: int, column: int) -> object:
    layout = lay_out(rows, 2, 12)
    x, y = layout.corner(row, column)
    return image.getpixel((x + layout.cell // 2, y + layout.cell // 2))


def test_each_picture_is_in_its_row_and_column(tmp_path: Path) -> None:
    colours = [["#ff0000", "#00ff00"], ["#0000ff", "#ffff00"]]
    rows = [
        SheetRow(
            label=f"cfg {row}",
            pictures=tuple(
                picture(tmp_path / f"{row}{column}.png", colour)
                for column, colour in enumerate(line)
            ),
        )
        for row, line in enumerate(colours)
    ]
    image = draw(rows)
    for row, line in enumerate(colours):
        for column, colour in enumerate(line):
            expected = tuple(bytes.fromhex(colour[1:]))
            assert middle(image, 2, row, column) == expected


def test_a_missing_picture_is_a_cell_with_a_note(tmp_path: Path) -> None:
    rows = [
        SheetRow(label="ok", pictures=(picture(tmp_path / "a.png", "#ff0000"),) * 2),
        SheetRow(label="failed", pictures=(), note="upscale: no progress for 120 s " * 20),
    ]
    image = draw(rows)
    blank = draw([rows[0], SheetRow(label="failed", pictures=())])
    assert middle(image, 2, 0, 1) == (255, 0, 0)
    assert middle(blank, 2, 1, 0) != (255, 0, 0)
    assert image.tobytes() != blank.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (8, 64), (1024, 256), (30, 2_000)])
def test_pictures_of_any_shape_are_fitted_in(tmp_path: Path, size: tuple[int, int]) -> None:
    row = SheetRow(label="x", pictures=(picture(tmp_path / "a.png", "#00ff00", size),))
    assert middle(draw([row]), 1, 0, 0) == (0, 255, 0)


def test_long_and_strange_labels_do_no_harm(tmp_path: Path) -> None:
    row = SheetRow(label="prompt " + "日本\n" * 100, pictures=())
    draw([row], title="x" * 5_000)


def test_a_sheet_of_two_thousand_pictures_is_drawn(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", "#ff0000", (16, 16))
    rows = [SheetRow(label=str(number), pictures=(path,) * 4) for number in range(500)]
    image = draw(rows, columns=4)
    assert image.width * image.height <= MOST_PIXELS * 1.2


@pytest.mark.parametrize("text", ["montañoso, atmósfera", "美丽的日式花园", "\x1b[31mred"])
def test_text_that_the_font_lacks_is_no_row_of_boxes(text: str) -> None:
    drawable = contact_sheet._drawable(text)
    assert drawable.isprintable()
    if contact_sheet._wide_font() is None:
        assert drawable.isascii()
        assert "montanoso" in drawable or "?" in drawable or "red" in drawable

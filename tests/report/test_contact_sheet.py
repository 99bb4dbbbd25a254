"""What is drawn on a contact sheet, and where."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from stablenew.report import contact_sheet, sheet_layout
from stablenew.report.contact_sheet import SheetCell, SheetPicture, draw_contact_sheet
from stablenew.report.lettering import Lettering
from stablenew.report.sheet_layout import SheetAxis, SheetLayout, lay_out


def axis(*labels: str) -> SheetAxis:
    return SheetAxis(name="txt2img.x", labels=labels)


def picture(path: Path, colour: str, size: tuple[int, int] = (64, 64)) -> SheetPicture:
    Image.new("RGB", size, colour).save(path)
    return SheetPicture(path=path)


def cell(*pictures: SheetPicture, note: str = "") -> SheetCell:
    return SheetCell(pictures=pictures, note=note)


def draw(
    axes: Sequence[SheetAxis],
    cells: Mapping[tuple[int, ...], SheetCell],
    images: int = 1,
    title: str = "cfg",
) -> tuple[Image.Image, SheetLayout]:
    layout = lay_out(axes, images)
    labels = [f"seed {number}" for number in range(images)]
    data = draw_contact_sheet(layout, axes, cells, title=title, subtitle="a cat", pictures=labels)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    assert image.size == (layout.width, layout.height)
    return image, layout


def middle(image: Image.Image, layout: SheetLayout, position: tuple[int, ...], number: int = 0) -> object:  # fmt: skip  # noqa: E501
    x, y = layout.corner(position, number)
    return image.getpixel((x + layout.cell // 2, y + layout.cell // 2))


def crop(image: Image.Image, layout: SheetLayout, position: tuple[int, ...]) -> bytes:
    x, y = layout.corner(position)
    return image.crop((x, y, x + layout.cell, y + layout.cell)).tobytes()


@pytest.mark.parametrize(("counts", "images"), [((4,), 1), ((2,), 3), ((2, 3), 1), ((2, 2), 4)])
def test_each_picture_is_in_its_place(tmp_path: Path, counts: tuple[int, ...], images: int) -> None:
    axes = [axis(*(f"v{n}" for n in range(count))) for count in counts]
    colours: dict[tuple[tuple[int, ...], int], tuple[int, ...]] = {}
    cells: dict[tuple[int, ...], SheetCell] = {}
    for place in product(*map(range, counts)):
        shown = []
        for number in range(images):
            colours[place, number] = (len(colours) * 9 % 256, 200, 40 + len(colours))
            name = "#" + bytes(colours[place, number]).hex()
            shown.append(picture(tmp_path / f"{len(colours)}.png", name))
        cells[place] = cell(*shown)
    image, layout = draw(axes, cells, images)
    for (place, number), colour in colours.items():
        assert middle(image, layout, place, number) == colour


def test_a_missing_picture_is_a_cell_with_a_note(tmp_path: Path) -> None:
    good = picture(tmp_path / "a.png", "#ff0000")
    noted, layout = draw([axis("a", "b")], {(0,): cell(good), (1,): cell(note="no answer " * 40)})
    empty, _ = draw([axis("a", "b")], {(0,): cell(good), (1,): cell()})
    not_run, _ = draw([axis("a", "b")], {(0,): cell(good)})
    assert middle(noted, layout, (0,)) == (255, 0, 0)
    assert crop(noted, layout, (1,)) != crop(empty, layout, (1,)) == crop(not_run, layout, (1,))


def test_a_blank_picture_is_called_blank(tmp_path: Path) -> None:
    black = picture(tmp_path / "a.png", "#000000")
    marked = SheetPicture(path=black.path, blank=True)
    image, layout = draw([axis("a", "b")], {(0,): cell(black), (1,): cell(marked)})
    assert crop(image, layout, (0,)) != crop(image, layout, (1,))
    assert middle(image, layout, (1,)) == (0, 0, 0)


def test_a_picture_that_cannot_be_read_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"\x89PNG broken")
    cells: dict[tuple[int, ...], SheetCell] = {
        (0,): cell(picture(tmp_path / "a.png", "#00ff00")),
        (1,): cell(SheetPicture(path=tmp_path / "b.png")),
        (2,): cell(SheetPicture(path=tmp_path / "gone.png")),
    }
    image, layout = draw([axis("a", "b", "c")], cells)
    empty, _ = draw([axis("a", "b", "c")], {})
    assert middle(image, layout, (0,)) == (0, 255, 0)
    assert crop(image, layout, (1,)) != crop(empty, layout, (1,))
    assert crop(image, layout, (2,)) != crop(empty, layout, (2,))


@pytest.mark.parametrize("size", [(1, 1), (8, 64), (1024, 256), (30, 2_000)])
def test_pictures_of_any_shape_are_fitted_in(tmp_path: Path, size: tuple[int, int]) -> None:
    image, layout = draw([axis("x")], {(0,): cell(picture(tmp_path / "a.png", "#00ff00", size))})
    assert middle(image, layout, (0,)) == (0, 255, 0)


def strips(axes: Sequence[SheetAxis], images: int = 1) -> tuple[list[bytes], list[bytes]]:
    """Return what is above each column and what is beside each row."""
    image, layout = draw(axes, {}, images)
    width, height = layout.box
    above, beside = [], []
    for column in range(layout.columns):
        x, y = layout.box_corner(0, column)
        above.append(image.crop((x, y - layout.head, x + width, y)).tobytes())
    for row in range(layout.rows):
        y = layout.box_corner(row, 0)[1]
        beside.append(image.crop((0, y, layout.left, y + height)).tobytes())
    return above, beside


LONG = ("a house by the river in autumn with golden light " * 3).strip()


@pytest.mark.parametrize(
    ("axes", "images"),
    [
        ([axis("cfg_scale 3", "cfg_scale 7"), axis("steps 4", "steps 8", "steps 12")], 1),
        ([axis(*(f"{LONG} {n}" for n in range(3))), axis(*(f"{LONG} {n}" for n in range(9)))], 1),
        ([axis(*(f"{n} {LONG}" for n in range(3))), axis(*(f"{LONG[:n]}" for n in (40, 60)))], 4),
        ([axis(*(f"{LONG} {n} {LONG}" for n in range(4)))], 2),
        ([axis("猫", "犬", "鳥"), axis("مرحبا", "शब्द", "คำ")], 1),
    ],
)
def test_rows_and_columns_can_be_told_apart(axes: list[SheetAxis], images: int) -> None:
    above, beside = strips(axes, images)
    assert len(set(above)) == len(above)
    assert len(set(beside)) == len(beside)


def test_labels_that_are_cut_or_lack_letters_can_be_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poor = Lettering()
    monkeypatch.setattr(contact_sheet, "_lettering", lambda: poor)
    assert poor.drawable("猫") == poor.drawable("犬") == "?"
    above, beside = strips([axis("猫", "犬"), axis("鳥", "魚", "馬")])
    assert len(set(above)) == 2
    assert len(set(beside)) == 3


def test_captions_of_wrapped_values_can_be_told_apart() -> None:
    image, layout = draw([axis(*(f"{LONG} {n} {LONG}" for n in range(7)))], {})
    width = layout.box[0]
    captions = []
    for number in range(7):
        x, y = layout.corner((number,))
        captions.append(image.crop((x, y - layout.caption, x + width, y)).tobytes())
    assert len(set(captions)) == 7


def test_long_and_strange_texts_do_no_harm() -> None:
    draw([axis("prompt " + "日本\n" * 100, "\x1b[31m\u202e")], {}, title="x" * 5_000)


@pytest.mark.parametrize(("counts", "images"), [((60,), 4), ((40, 20), 1), ((900,), 1)])
def test_large_sheets_are_drawn(
    tmp_path: Path, counts: tuple[int, ...], images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_layout, "MOST_PIXELS", 4_000_000)  # 40 take half a gigabyte
    shown = picture(tmp_path / "a.png", "#ff0000", (4, 4))
    axes = [axis(*(str(n) for n in range(count))) for count in counts]
    last = tuple(count - 1 for count in counts)
    image, layout = draw(axes, {last: cell(*[shown] * images)}, images)
    assert middle(image, layout, last, images - 1) == (255, 0, 0)


@pytest.mark.parametrize("text", ["montañoso, atmósfera", "美丽的日式花园", "مرحبا", "👍🏽😀"])
def test_no_letter_on_this_machine_is_a_box(text: str) -> None:
    name = contact_sheet._wide_font()
    font = ImageFont.truetype(name, 20) if name else ImageFont.load_default(20)
    box = font.getmask("\uffff")
    lettering = contact_sheet._lettering()
    for run, used in lettering._runs(contact_sheet._drawable(text), 20):
        for letter in run.replace(" ", ""):
            mask = used.getmask(letter)
            assert (mask.size, bytes(mask)) != (box.size, bytes(box))


def pictured(tmp_path: Path, *colours: str) -> SheetAxis:
    """Return an axis of start pictures, each of one colour."""
    files = [tmp_path / f"{colour}.png" for colour in colours]
    for file, colour in zip(files, colours, strict=True):
        Image.new("RGB", (40, 30), colour).save(file)
    return SheetAxis(name="image", labels=colours, images=tuple(map(str, files)))


def colours_in(image: Image.Image, box: tuple[int, int, int, int]) -> set[object]:
    return {colour for _, colour in image.crop(box).getcolors(maxcolors=2**24) or ()}


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize("images", [1, 2])
def test_a_row_has_the_picture_that_it_starts_from_beside_its_label(
    tmp_path: Path, images: int
) -> None:
    own = pictured(tmp_path, "red", "blue")
    axes = [own] if images > 1 else [axis("a", "b"), own]
    image, layout = draw(axes, {}, images)
    for row, (there, other) in enumerate([(RED, BLUE), (BLUE, RED)]):
        top = layout.box_corner(row, 0)[1]
        beside = colours_in(image, (0, top, layout.left, top + layout.cell))
        assert there in beside
        assert other not in beside


@pytest.mark.parametrize("axes", [1, 2])
def test_a_column_has_the_picture_that_it_starts_from_above_its_label(
    tmp_path: Path, axes: int
) -> None:
    own = pictured(tmp_path, "red", "blue")
    image, layout = draw([own, *[axis("a", "b")] * (axes - 1)], {})
    for column, (there, other) in enumerate([(RED, BLUE), (BLUE, RED)]):
        left, top = layout.box_corner(0, column)
        above = colours_in(image, (left, 0, left + layout.cell, top))
        assert there in above
        assert other not in above


def test_what_all_of_a_sheet_starts_from_is_beside_its_title(tmp_path: Path) -> None:
    red, blue = pictured(tmp_path, "red", "blue").images
    cells: dict[tuple[int, ...], SheetCell] = {
        (0,): SheetCell(image=red),
        (1,): SheetCell(image=red),
        (2,): SheetCell(),
    }
    image, layout = draw([axis("a", "b", "c")], cells)
    titled = (0, 0, layout.width, layout.top)
    assert RED in colours_in(image, titled)
    image, _ = draw([axis("a", "b", "c")], {**cells, (1,): SheetCell(image=blue)})
    assert not {RED, BLUE} & colours_in(image, titled)


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_start_picture_that_is_gone_leaves_its_place_empty(
    tmp_path: Path, content: bytes | None
) -> None:
    own = pictured(tmp_path, "red", "blue")
    Path(own.images[0]).unlink()
    if content is not None:
        Path(own.images[0]).write_bytes(content)
    image, layout = draw([own], {(0,): SheetCell(image=own.images[0])})
    assert BLUE in colours_in(image, (0, 0, layout.width, layout.height))

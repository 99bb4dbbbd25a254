"""No letter is drawn as a box, whatever fonts there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from stablenew.report.lettering import Lettering, machine_fonts
from tests.report.fonts import write_font


def drawn(lettering: Lettering, text: str) -> bytes:
    image = Image.new("L", (200, 40))
    lettering.draw(ImageDraw.Draw(image), (4, 30), lettering.drawable(text), 20, "white")
    return image.tobytes()


def box_of(font: Path | None) -> tuple[tuple[int, int], bytes]:
    chosen = ImageFont.truetype(font, 20) if font else ImageFont.load_default(20)
    mask = chosen.getmask("\uffff")
    return mask.size, bytes(mask)


@pytest.fixture
def cats(tmp_path: Path) -> Path:
    return write_font(tmp_path / "cats.ttf", {"猫": 300, "a": 200})


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    return write_font(tmp_path / "dogs.ttf", {"犬": 600, "猫": 500})


def test_a_letter_that_a_font_lacks_is_drawn_with_another_one(cats: Path, dogs: Path) -> None:
    both = Lettering([cats, dogs])
    assert both.drawable("猫 犬") == "猫 犬"
    assert drawn(both, "犬") == drawn(Lettering([dogs]), "犬")
    assert drawn(both, "猫") == drawn(Lettering([cats]), "猫")  # by the first that has it
    assert drawn(both, "猫猫犬") != drawn(both, "猫猫猫")
    assert [run for run, _ in both._runs("猫猫犬犬猫", 20)] == ["猫猫", "犬犬猫"]


def test_a_letter_that_no_font_has_is_plain(cats: Path) -> None:
    assert Lettering([cats]).drawable("猫 犬 cat") == "猫 ? cat"
    lettering = Lettering()
    assert lettering.drawable("montañoso, Łódź, ＡＢ①") == "montanoso, Lodz, AB1"
    assert lettering.drawable("8 × 9 – a …") == "8 x 9 - a …"
    assert lettering.drawable("猫\u0301\u0301 a") == "? a"
    assert lettering.drawable("👍🏽👩\u200d🚀!") == "???!"


@pytest.mark.parametrize(
    "text", ["\x1b[31mred", "two\nlines\tand  more", "\u202eturned\u2066", "\0"]
)
def test_what_is_not_seen_is_left_out(text: str) -> None:
    line = Lettering().drawable(text)
    assert line.isprintable()
    assert line == line.strip()
    assert "  " not in line


@given(st.text(max_size=40))
def test_no_letter_of_any_text_is_a_box(text: str) -> None:
    lettering = Lettering()
    font = ImageFont.load_default(20)
    for letter in lettering.drawable(text):
        mask = font.getmask(letter)
        assert letter == " " or (mask.size, bytes(mask)) != box_of(None)


def test_a_file_that_is_no_font_is_left_out(tmp_path: Path, dogs: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    missing = tmp_path / "missing.ttf"
    assert Lettering([tmp_path / "broken.ttf", missing, dogs]).drawable("犬 x") == "犬 x"


def test_what_is_cut_keeps_its_end_and_fits() -> None:
    lettering = Lettering()
    text = "a long text about a house by the river, and <lora:film:0.6>"
    cut = lettering.fitted(text, 300, 20)
    assert lettering.width(cut, 20) <= 300
    assert cut.endswith(" <lora:film:0.6>")
    assert cut.startswith("a lo")
    assert lettering.fitted("short", 300, 20) == "short"


def test_lines_are_as_wide_and_as_many_as_they_may_be() -> None:
    lettering = Lettering()
    text = (
        "some words and a_word_that_is_longer_than_any_line_here and then some more words, the end"
    )
    for most in range(1, 6):
        lines = lettering.wrapped(text, 200, most, 20)
        assert 1 <= len(lines) <= most
        assert all(lettering.width(line, 20) <= 200 for line in lines)
        assert lines[-1].endswith("end")
    assert lettering.wrapped("", 200, 2, 20) == ("",)


@pytest.mark.parametrize(
    ("platform", "name", "folder"),
    [
        ("linux", "XDG_DATA_DIRS", "fonts"),
        ("linux", "XDG_DATA_HOME", "fonts"),
        ("win32", "WINDIR", "Fonts"),
        ("win32", "LOCALAPPDATA", "Microsoft/Windows/Fonts"),
        ("darwin", "HOME", "Library/Fonts"),
    ],
)
def test_fonts_are_found_where_a_system_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, name: str, folder: str
) -> None:
    for each in ("XDG_DATA_DIRS", "XDG_DATA_HOME", "WINDIR", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(each, str(tmp_path / "nowhere"))
    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("sys.platform", platform)
    inside = tmp_path / folder / "deep"
    inside.mkdir(parents=True)
    for file in ("zz.ttf", "NotoSansCJK-Regular.ttc", "dejavusans.ttf", "aa.OTF", "readme.txt"):
        (inside / file).touch()
    found = [path.name for path in machine_fonts() if tmp_path in path.parents]
    assert found == ["dejavusans.ttf", "NotoSansCJK-Regular.ttc", "aa.OTF", "zz.ttf"]

"""Text on pictures, in whatever fonts a machine has: no letter is ever drawn as a box.

A letter that the first font lacks is drawn with the first other one that has it; where none has,
it is written as its plain letters (`é` as `e`), and else as `?`.
"""

from __future__ import annotations

import fnmatch
import os
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import ImageDraw, ImageFont

from stablenew.learning.choice_labels import ELLIPSIS, elided

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PREFERRED = (
    # Latin, Greek, Cyrillic, and more
    *("DejaVuSans.ttf", "NotoSans-Regular.*", "segoeui.ttf", "Arial.ttf", "Helvetica.ttc"),
    *("LiberationSans-Regular.ttf", "FreeSans.*", "Roboto-Regular.ttf", "Ubuntu-R.ttf"),
    # Chinese, Japanese, Korean
    *("NotoSansCJK*-Regular.*", "NotoSans[JKST]*-Regular.*", "SourceHanSans*-Regular.*"),
    *("msyh.ttc", "meiryo.ttc", "YuGothR.ttc", "malgun.ttf", "simsun.ttc", "PingFang.ttc"),
    *("Hiragino*", "AppleSDGothicNeo.ttc", "wqy-*.ttc", "DroidSansFallback*.ttf", "ipag*.tt?"),
    # Arabic, Hebrew, the scripts of India, Thai; symbols and emoji
    *("Arial Unicode.ttf", "GeezaPro.ttc", "tahoma.ttf", "Nirmala.tt?", "leelawui.ttf"),
    *("NotoSans*-Regular.*", "NotoNaskhArabic-Regular.*", "NotoEmoji*.ttf", "seguiemj.ttf"),
    *("seguisym.ttf", "Symbola*", "unifont*"),
)
"""Fonts that people have, the best first, as patterns of file names."""

_MOST_OTHERS = 40
"""Further fonts that are looked into for a letter."""

_IN_NO_FONT = "\uffff"
"""Is drawn as what a font has in place of a letter that it lacks."""

_PROBE_SIZE = 24


class Lettering:
    """Measures, cuts and draws text.

    Args:
        fonts: Files, the best first; those that cannot be used are left out. Pillow's own font
            comes last, which has little more than ASCII.
    """

    def __init__(self, fonts: Sequence[str | Path] = ()) -> None:
        self._paths: list[str | None] = [*map(str, fonts), None]
        self._fonts: dict[tuple[int, int], Font | None] = {}
        self._boxes: dict[int, object] = {}
        self._chosen: dict[str, int | None] = {}
        self._widths: dict[int, dict[str, float]] = defaultdict(dict)

    def drawable(self, text: str) -> str:
        """Return a text as it can be drawn: on one line, with every letter in some font."""
        drawn, whole = "", True
        for letter in " ".join("".join(map(_visible, text)).split()):
            if unicodedata.category(letter) in _MARKS and not whole:
                continue  # an accent of a letter that is not there
            letters = self._letters(letter)
            drawn, whole = drawn + letters, letters == letter
        return drawn

    def width(self, text: str, size: int) -> float:
        """Return how wide a drawable text is."""
        return sum(font.getlength(run) for run, font in self._runs(text, size))

    def fitted(self, text: str, width: float, size: int) -> str:
        """Cut a drawable text to a width; its end stays."""
        return self._longest(text, lambda cut: self._about(cut, size) <= width)

    def wrapped(self, text: str, width: float, lines: int, size: int) -> tuple[str, ...]:
        """Break a drawable text into lines of a width, and cut it to so many of them."""
        fits = self._longest(text, lambda cut: len(self._broken(cut, width, size)) <= lines)
        return tuple(self._broken(fits, width, size))

    def draw(
        self, draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, fill: str
    ) -> None:
        """Draw a drawable text from its left end; `place` is on its base line."""
        x, y = place
        for run, font in self._runs(text, size):
            draw.text((x, y), run, fill, font, anchor="ls")
            x += font.getlength(run)

    def _longest(self, text: str, fits: Callable[[str], bool]) -> str:
        """Return a text, cut to as many letters as fit."""
        if fits(text):
            return text
        ellipsis = self.drawable(ELLIPSIS)
        least, most = 0, len(text) - 1
        while least < most:
            middle = (least + most + 1) // 2
            if fits(elided(text, middle, ellipsis)):
                least = middle
            else:
                most = middle - 1
        return elided(text, least, ellipsis)

    def _broken(self, text: str, width: float, size: int) -> list[str]:
        """Break a text into lines; a word that is longer than one goes on in the next."""
        lines, used, space = [""], 0.0, self._about(" ", size)
        for word in text.split(" "):
            wide = self._about(word, size)
            if lines[-1] and used + space + wide <= width:
                lines[-1], used = f"{lines[-1]} {word}", used + space + wide
                continue
            if lines[-1]:
                lines.append("")
            lines[-1], used = word, wide
            if wide > width:
                lines[-1:], used = self._split(word, width, size)
        return lines

    def _split(self, word: str, width: float, size: int) -> tuple[list[str], float]:
        """Break a word into lines; return also how wide the last one is."""
        lines, used = [""], 0.0
        for letter in word:
            wide = self._about(letter, size)
            if lines[-1] and used + wide > width:
                lines.append("")
                used = 0.0
            lines[-1], used = lines[-1] + letter, used + wide
        return lines, used

    def _about(self, text: str, size: int) -> float:
        """Return how wide the letters of a text are one by one: quick, and seldom too little."""
        widths = self._widths[size]
        for letter in text:
            if letter not in widths:
                font = self._font(self._choice(letter) or 0, size)
                widths[letter] = font.getlength(letter)
        return sum(widths[letter] for letter in text)

    def _runs(self, text: str, size: int) -> Iterator[tuple[str, Font]]:
        """Yield pieces of a text, each with a font that has all of its letters."""
        run, last = "", 0
        for letter in text:
            chosen = last if run and self._has(last, letter) else self._choice(letter) or 0
            if run and chosen != last:
                yield run, self._font(last, size)
                run = ""
            run, last = run + letter, chosen
        if run:
            yield run, self._font(last, size)

    def _letters(self, letter: str) -> str:
        """Return what is drawn for a letter."""
        if self._choice(letter) is not None:
            return letter
        if unicodedata.category(letter) in (*_MARKS, "Sk"):  # Sk: the colour of a hand
            return ""
        plain = [
            each
            for each in _PLAIN.get(letter) or unicodedata.normalize("NFKD", letter)
            if unicodedata.category(each) not in _MARKS and self._choice(each) is not None
        ]
        return "".join(plain) or "?"

    def _choice(self, letter: str) -> int | None:
        """Return the first font that has a letter, None where none has."""
        if letter not in self._chosen:
            numbers = range(len(self._paths))
            self._chosen[letter] = next((n for n in numbers if self._has(n, letter)), None)
        return self._chosen[letter]

    def _has(self, number: int, letter: str) -> bool:
        font = self._loaded(number, _PROBE_SIZE)
        if font is None:
            return False
        if letter == " ":
            return True
        if number not in self._boxes:
            self._boxes[number] = _mask(font, _IN_NO_FONT)
        return _mask(font, letter) not in (None, self._boxes[number])

    def _font(self, number: int, size: int) -> Font:
        return self._loaded(number, size) or ImageFont.load_default(size)

    def _loaded(self, number: int, size: int) -> Font | None:
        if (number, size) not in self._fonts:
            path = self._paths[number]
            try:
                font = ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
            except OSError:  # not a font, or one of bitmaps in another size
                self._fonts[number, size] = None
            else:
                self._fonts[number, size] = font
        return self._fonts[number, size]


_MARKS = ("Mn", "Me", "Mc")
"""Categories of what changes the letter before it, such as an accent."""

_PLAIN = {"×": "x", "–": "-", "—": "-", "−": "-", "·": "-", "’": "'", "“": '"', "”": '"', "ß": "ss",
          "Ł": "L", "ł": "l", "Ø": "O", "ø": "o", "Æ": "AE", "æ": "ae"}  # fmt: skip
"""Plain letters that Unicode does not give."""


def _visible(letter: str) -> str:
    """Return a letter, or what stands for one that is not seen."""
    if letter.isprintable():
        return letter
    return "" if unicodedata.category(letter) == "Cf" else " "  # joiners, marks of direction


def _mask(font: Font, letter: str) -> object:
    """Return what a letter looks like; None where the font cannot draw it."""
    try:
        mask = font.getmask(letter)
    except (UnicodeEncodeError, ValueError, OSError):
        return None
    return mask.size, bytes(mask)


def machine_fonts() -> list[Path]:
    """Return the fonts of this machine, those that are known to be good first; blocks."""
    found = {path.name.lower(): path for folder in _font_folders() for path in _fonts_in(folder)}
    best = [
        found.pop(name)
        for pattern in _PREFERRED
        for name in sorted(fnmatch.filter(found, pattern.lower()))
    ]
    return best + [found[name] for name in sorted(found)[:_MOST_OTHERS]]


def _fonts_in(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith((".ttf", ".ttc", ".otf")):
                yield Path(place, name)


def _font_folders() -> list[Path]:
    """Return where this system keeps fonts."""
    home, environment = Path.home(), os.environ
    if sys.platform == "win32":
        local = environment.get("LOCALAPPDATA", str(home / "AppData" / "Local"))
        system = environment.get("WINDIR", "C:\\Windows")
        return [Path(system, "Fonts"), Path(local, "Microsoft", "Windows", "Fonts")]
    if sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts")]
        return [*folders, home / "Library" / "Fonts"]
    shared = environment.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    own = environment.get("XDG_DATA_HOME") or str(home / ".local" / "share")
    folders = [Path(each, "fonts") for each in [*shared.split(":"), own]]
    return [*folders, home / ".fonts"]

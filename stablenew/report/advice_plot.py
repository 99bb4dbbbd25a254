"""A picture of the joint advice: a curve for each number, bars for names, the strongest pair."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw

from stablenew.advice.joint_advice import JointAdvice, Point
from stablenew.advice.strongest_pair import StrongestPair
from stablenew.advice.value_axis import is_number
from stablenew.config.pipeline_config import Setting
from stablenew.learning.axis import label_of
from stablenew.report.lettering import Lettering, machine_fonts

_WIDE, _HIGH, _MARGIN, _TEXT = 420, 300, 44, 13
_MOST_PANELS = 24
_INK, _PALE, _LINE, _BEST, _GRID = "#222222", "#cfe0f3", "#2b6cb0", "#c05621", "#e2e8f0"
_MOST_BARS = 12

Place = tuple[float, float, float, float]


def plot_advice(joint: JointAdvice, lettering: Lettering | None = None) -> bytes:
    """Return a PNG of what is believed of each setting's values, the others being as advised.

    Args:
        joint: The advice.
        lettering: Draws the labels; in the fonts of this machine if not given.
    """
    plot = _Plot(lettering or Lettering(machine_fonts()))
    panels: list[Callable[[Place], None]] = []
    for path, points in [*joint.curves.items()][:_MOST_PANELS]:
        numbers = all(is_number(each.value) for each in points)
        draw = plot.curve if numbers and len(points) > 1 else plot.bars
        panels.append(_panel(draw, path, points, joint.settings[path]))
    if (pair := joint.pair) is not None:
        panels.append(lambda place: plot.heat_map(place, pair))
    return plot.drawn(panels)


def _panel(
    draw: Callable[[Place, str, Sequence[Point], Setting], None],
    path: str,
    points: Sequence[Point],
    best: Setting,
) -> Callable[[Place], None]:
    return lambda place: draw(place, path, points, best)


class _Plot:
    """Draws panels, each in a place of its own."""

    def __init__(self, lettering: Lettering) -> None:
        self._lettering = lettering
        self._draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))

    def drawn(self, panels: Sequence[Callable[[Place], None]]) -> bytes:
        across = max(1, math.ceil(math.sqrt(len(panels))))
        down = max(1, math.ceil(len(panels) / across))
        image = Image.new("RGB", (across * _WIDE, down * _HIGH), "white")
        self._draw = ImageDraw.Draw(image)
        for number, panel in enumerate(panels):
            x, y = number % across * _WIDE, number // across * _HIGH
            panel((x + _MARGIN, y + _MARGIN, x + _WIDE - 16, y + _HIGH - _MARGIN))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def curve(self, place: Place, path: str, points: Sequence[Point], best: Setting) -> None:
        """Draw the quality of a number's values with its 90 % interval."""
        self._frame(place, path)
        xs = [float(each.value) for each in points]  # type: ignore[arg-type]
        log = xs[0] > 0 and xs[-1] / xs[0] >= 8
        scale = [math.log(x) for x in xs] if log else xs
        left, _, right, _ = place
        at = [left + (x - scale[0]) / (scale[-1] - scale[0]) * (right - left) for x in scale]
        low, mean, high = (
            [(x, _height(place, value)) for x, value in zip(at, values, strict=True)]
            for values in zip(*((each.low, each.mean, each.high) for each in points), strict=True)
        )
        self._draw.polygon([*high, *reversed(low)], fill=_PALE)
        self._draw.line(mean, fill=_LINE, width=2)
        for number in (0, len(points) - 1):
            self._label(at[number], place[3] + 18, label_of(points[number].value), place)
        for x, point in zip(at, points, strict=True):
            if point.value == best:
                self._draw.line([(x, place[1]), (x, place[3])], fill=_BEST)
                self._label(x, place[3] + 34, label_of(best), place, _BEST)

    def bars(self, place: Place, path: str, points: Sequence[Point], best: Setting) -> None:
        """Draw the quality of names, the best first, with their 90 % intervals."""
        self._frame(place, path)
        shown = sorted(points, key=lambda each: -each.mean)[:_MOST_BARS]
        wide = (place[2] - place[0]) / len(shown)
        for number, point in enumerate(shown):
            x = place[0] + number * wide
            top, floor = _height(place, point.mean), place[3]
            fill = _BEST if point.value == best else _LINE
            self._draw.rectangle([x + 3, min(top, floor), x + wide - 3, floor], fill=fill)
            middle = x + wide / 2
            ends = [(middle, _height(place, each)) for each in (point.low, point.high)]
            self._draw.line(ends, fill=_INK, width=2)
            text = self._lettering.fitted(
                self._lettering.drawable(label_of(point.value)), wide - 4, _TEXT
            )
            self._label(middle, place[3] + 18, text, place)

    def heat_map(self, place: Place, pair: StrongestPair) -> None:
        """Draw the quality of two settings' values: the first across, the second up."""
        left, top, right, floor = place
        names = (pair.first.rpartition(".")[2], pair.second.rpartition(".")[2])
        self._title(place, f"{names[0]} × {names[1]}")
        lowest = min(map(min, pair.quality))
        span = max(max(map(max, pair.quality)) - lowest, 1e-9)
        wide = (right - left) / len(pair.first_values)
        high = (floor - top) / len(pair.second_values)
        for across, row in enumerate(pair.quality):
            for up, quality in enumerate(row):
                x, y = left + across * wide, floor - (up + 1) * high
                shade = round(245 - 200 * (quality - lowest) / span)
                self._draw.rectangle([x, y, x + wide, y + high], fill=(shade, shade, 250))
        for end, x in ((0, left), (-1, right)):
            self._label(x, floor + 18, label_of(pair.first_values[end]), place)
        for end, y in ((0, floor), (-1, top + _TEXT)):
            text = self._lettering.drawable(label_of(pair.second_values[end]))
            text = self._lettering.fitted(text, _MARGIN - 6, _TEXT)
            self._lettering.draw(self._draw, (left - _MARGIN + 4, y), text, _TEXT, _INK)

    def _frame(self, place: Place, path: str) -> None:
        self._title(place, path)
        for rating in range(1, 6):
            y = _height(place, rating)
            self._draw.line([(place[0], y), (place[2], y)], fill=_GRID)
            self._lettering.draw(self._draw, (place[0] - 14, y + 5), str(rating), _TEXT, _INK)

    def _title(self, place: Place, text: str) -> None:
        shown = self._lettering.fitted(
            self._lettering.drawable(text), place[2] - place[0], _TEXT + 2
        )
        self._lettering.draw(self._draw, (place[0], place[1] - 12), shown, _TEXT + 2, _INK)

    def _label(self, x: float, y: float, text: str, place: Place, fill: str = _INK) -> None:
        """Draw a text around a place, within the panel."""
        shown = self._lettering.fitted(self._lettering.drawable(text), place[2] - place[0], _TEXT)
        half = self._lettering.width(shown, _TEXT) / 2
        x = min(max(x - half, place[0] - 8), place[2] - 2 * half + 8)
        self._lettering.draw(self._draw, (x, y), shown, _TEXT, fill)


def _height(place: Place, rating: float) -> float:
    """Return where a rating is in a panel: 1 at its floor, 5 at its top."""
    return place[3] - (rating - 1.0) / 4.0 * (place[3] - place[1])

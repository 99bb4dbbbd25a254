"""Ranges of numbers as people type them: `1:9:2`, `1:9`, and the WebUI's `1-10 (+2)`, `1-10 [5]`.

And spans of them, `1..12`, of which an exploration picks what it tries.

Counted in decimal arithmetic, the stop included. Without a step it is 1 towards the stop, where
both ends are whole.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from decimal import Decimal

MOST_VALUES = 100_000
"""How many values a sweep may have."""

_NUMBER = r"([+-]?(?:\d{1,19}\.?\d{0,19}|\.\d{1,19}))"  # as long as a seed may be
_WEBUI = re.compile(
    rf"{_NUMBER} *- *{_NUMBER} *(?:\( *{_NUMBER} *\)|\[ *(\d{{1,9}}) *\])?", re.ASCII
)

_DIGITS = Decimal("0.000001")
"""What numbers that no step gave are rounded to: a third has no end."""


def is_range(text: str) -> bool:
    """Return whether a text stands for several numbers, if it is to stand for numbers."""
    return ":" in text or is_webui_range(text)


def is_webui_range(text: str) -> bool:
    """Return whether a text is a range as the WebUI's X/Y/Z plot takes it."""
    return _WEBUI.fullmatch(text) is not None


def webui_range(text: str, *, whole: bool) -> Iterator[Decimal]:
    """Yield the numbers of `1-10`, `1-10 (+2)` or `1-10 [5]`.

    Args:
        text: One of these.
        whole: Whether the numbers in between are to be whole: then they are cut, as the WebUI does.

    Raises:
        ValueError: It has no values, too many, or one of them twice.
    """
    found = _WEBUI.fullmatch(text)
    assert found is not None
    start, stop, step, count = found.groups()
    if count is None:
        yield from counted(
            text, Decimal(start), Decimal(stop), None if step is None else Decimal(step)
        )
    else:
        yield from _spread(text, Decimal(start), Decimal(stop), int(count), whole=whole)


def counted(text: str, start: Decimal, stop: Decimal, step: Decimal | None) -> Iterator[Decimal]:
    """Yield the numbers from a start to a stop.

    Args:
        text: What was given, for messages.
        start: The first.
        stop: The last, where a step meets it.
        step: Between two; None for 1 towards the stop.

    Raises:
        ValueError: It has no values, or too many.
    """
    if step is None:
        if start != start.to_integral_value() or stop != stop.to_integral_value():
            example = f"{start}:{stop}:{'-' if start > stop else ''}0.1"
            raise ValueError(
                f"given {text!r}, whose step is 1 only between whole numbers;"
                f" expected start:stop:step such as {example}"
            )
        step = Decimal(1 if start <= stop else -1)
    if step == 0:
        raise ValueError(f"given {text!r}, whose step is 0; expected another")
    if (start < stop) != (step > 0) and start != stop:
        raise ValueError(f"given {text!r}, which has no value: the step leads away")
    if abs(stop - start) >= MOST_VALUES * abs(step):  # before a division that may overflow
        raise ValueError(f"given {text!r}, expected at most {MOST_VALUES:,} values")
    for index in range(int((stop - start) / step) + 1):
        yield start + index * step


def _spread(
    text: str, start: Decimal, stop: Decimal, count: int, *, whole: bool
) -> Iterator[Decimal]:
    """Yield so many numbers from a start to a stop, evenly spread."""
    if not 1 <= count <= MOST_VALUES:
        raise ValueError(f"given {text!r}, expected 1 to {MOST_VALUES:,} values")
    numbers = [start + (stop - start) * index / max(count - 1, 1) for index in range(count)]
    if whole:
        numbers = [Decimal(int(number)) for number in numbers]
    if len(set(numbers)) < count:
        there = f"there are {len(set(numbers))} whole numbers"
        raise ValueError(f"given {text!r}, but {there} from {start} to {stop}")
    for number in numbers:
        yield number if number == round(number, 6) else number.quantize(_DIGITS).normalize()


_STEPS = 40
"""Into how many steps a span is cut, at the most."""

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
"""What a step's first digits may be: people set a cfg of 6.5 and not of 6.475."""


def numbers_between(
    low: float, high: float, *, whole: bool = False, log: bool = False, multiple: int = 1
) -> tuple[float, ...]:
    """Return the numbers of a span that are worth a thought, both ends included, ascending.

    Args:
        low: The lowest, below the highest.
        high: That.
        whole: Whether they are whole.
        log: Whether each is to be so many times the one before.
        multiple: Of what whole numbers between the ends are multiples.
    """
    found = {low, high, *_between(low, high, whole, log, multiple)}
    return tuple(sorted(found))


def _between(low: float, high: float, whole: bool, log: bool, multiple: int) -> list[float]:
    if whole and multiple == 1 and high - low <= _STEPS:
        return [float(n) for n in range(math.ceil(low), math.floor(high) + 1)]
    if log:
        count = _STEPS - 10
        points = [low * (high / low) ** (n / (count - 1)) for n in range(1, count - 1)]
        digits = 0 if whole else 2 - math.floor(math.log10(high))
        return [round(each, digits) for each in points]
    step = nice_step((high - low) / _STEPS)
    if whole:
        step = max(1, math.ceil(round(step) / multiple)) * multiple
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{n * step:.6g}") for n in range(first, last + 1)]


def nice_step(smallest: float) -> float:
    """Return the smallest step of few digits that is not below another."""
    power = 10.0 ** math.floor(math.log10(smallest))
    return next(power * digits for digits in _NICE if power * digits >= smallest * 0.999)

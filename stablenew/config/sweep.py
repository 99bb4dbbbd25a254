"""Settings, sweeps and spans as a person types them: `txt2img.cfg_scale=1,3,5:9:2`, or `1..12`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation

from stablenew._arguments import checked
from stablenew.config.number_range import (
    MOST_VALUES,
    counted,
    is_webui_range,
    numbers_between,
    webui_range,
)
from stablenew.config.overrides import value_type
from stablenew.config.pipeline_config import Setting
from stablenew.errors import OverrideError

MOST = 10**30
"""A number beyond any that a setting could take."""

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)

Named = Callable[[str], tuple[str, type]]
"""Returns what a path stands for: that of a config, and the type of its values."""

_BOOLS = {"true": True, "false": False}


def by_config(path: str) -> tuple[str, type]:
    """Return a config's path as it is, and the type of its values.

    Raises:
        OverrideError: No such path.
    """
    return path, value_type(path)


def parse_assignment(text: str, named: Named = by_config) -> tuple[str, Setting]:
    """Read `img2img.enabled=true` as a path and a value of the setting's type.

    Raises:
        OverrideError: No `=`, an unknown path, or a value of another type.
    """
    path, value = _split(text)
    path, kind = named(path)
    return path, _value(path, value, kind)


def parse_sweep(text: str, named: Named = by_config) -> tuple[str, tuple[Setting, ...]]:
    """Read `txt2img.steps=10,20,30:50:10` as a path and its values.

    Raises:
        OverrideError: An unknown path, a value of another type, a stray quote, or no value at all.
    """
    path, values = _split(text)
    path, kind = named(path)
    return path, parse_values(path, values, kind)


def parse_values(path: str, text: str, kind: type | None = None) -> tuple[Setting, ...]:
    """Read the values of a sweep over `path`: `1,3,5:9:2`.

    Values are separated by commas, in double quotes where they hold one; in those, `""` is a quote.
    Of numbers, one may be a range: `start:stop:step`, `start:stop` for steps of 1, or as the
    WebUI has them: `1-10`, `1-10 (+2)`, `1-10 [5]`. Whole numbers stay whole.

    Raises:
        OverrideError: A value of another type, a stray quote, or no value at all.
    """
    items = split_items(path, text)
    if not any(item.strip() for item in items):
        raise OverrideError(f"{path}: given no values, expected some: {path}=1,2 or 1:9:2")
    kind = kind or value_type(path)
    values: list[Setting] = []
    for item in items:
        values.extend(_values(path, item, kind))
        if len(values) > MOST_VALUES:
            raise OverrideError(f"{path}: given more than {MOST_VALUES:,} values")
    return tuple(values)


def parse_exploration(text: str, named: Named = by_config) -> tuple[str, tuple[Setting, ...]]:
    """Read `txt2img.cfg_scale=1..12` as a path and all that is worth trying; or a list of values.

    Raises:
        OverrideError: An unknown path, a value of another type, a span with nothing in it, a seed,
            a prompt, or fewer than two values.
    """
    path, given = _split(text)
    path, kind = named(path)
    if path.rpartition(".")[2] in _LUCK:
        raise OverrideError(f"{path}: a seed is luck and no choice; expected another setting")
    if path.rpartition(".")[2] in _CONDITIONS:
        instead = "expected a setting, and several prompts by --prompt or --pack"
        raise OverrideError(f"{path}: settings are compared under a prompt; {instead}")
    if ".." in given and "," in given and kind in (int, float):
        raise OverrideError(
            f"{path}: given {given!r}, expected LOW..HIGH alone, or a list of values"
        )
    values = parse_span(path, given, kind) or parse_values(path, given, kind)
    if len(values) < 2 and not any(sign in str(values[0]) for sign in "*?"):  # of names
        ways = f"expected {path}=LOW..HIGH, or several values, to choose from"
        raise OverrideError(f"{path}: given {given!r} alone; {ways}")
    return path, values


_LUCK = ("seed", "noise_seed", "subseed")
_CONDITIONS = ("prompt", "negative_prompt")
_SIDES, _SIDE_STEP = ("width", "height"), 64


def parse_span(path: str, text: str, kind: type | None = None) -> tuple[Setting, ...]:
    """Read `1..12` as the numbers of that span that are worth trying; nothing where it is none.

    Raises:
        OverrideError: There is nothing between the two, or one is no number.
    """
    low, dots, high = (part.strip() for part in text.partition(".."))
    if not dots or "," in text or '"' in text:
        return ()
    kind = kind or value_type(path)
    if kind not in (int, float, object):
        return ()  # a text that has two dots in it
    ends = [_number(path, _decimal(path, end, kind), kind) for end in (low, high)]
    first, last = map(float, ends)
    if not first < last:
        raise OverrideError(f"{path}: given {text!r}, expected a lower and a higher number")
    whole = kind is int or (kind is object and "." not in low + high)
    side = path.rpartition(".")[2] in _SIDES
    step = _SIDE_STEP if side and last - first >= 2 * _SIDE_STEP else 1
    log = first > 0 and last / first >= _GROWS
    numbers = numbers_between(first, last, whole=whole, log=log, multiple=step)
    if len(numbers) < 3:
        said = f"given {text!r}, which has nothing in between"
        raise OverrideError(f"{path}: {said}; expected a wider one, or the values: {low},{high}")
    return tuple(int(each) if each == int(each) else each for each in numbers)


_GROWS = 100.0
"""A span that grows so many times is cut into equal factors."""

_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(?:,|\Z)')


def split_items(name: str, text: str) -> list[str]:
    """Return what commas separate; a quote that quotes no whole item is refused, not guessed at.

    Args:
        name: What to call it in messages.
        text: Items, in double quotes where they hold a comma.

    Raises:
        OverrideError: A stray quote, with its place.
    """
    items: list[str] = []
    place = 0
    while place <= len(text):
        item = _ITEM.match(text, place)
        assert item is not None  # anything up to a comma will do
        quoted, bare = item.groups()
        if bare is not None and (bare.startswith('"') or bare.count('"') % 2):
            quote = text.index('"', place)
            kind = "an unclosed quote" if text.count('"', quote) % 2 else "a stray quote"
            raise OverrideError(
                f"{name}: {kind} at {text[quote : quote + 20]!r} (character {quote + 1});"
                ' quote a whole value, each quote in it twice: "a ""red"" cat, sitting"'
            )
        items.append(bare if quoted is None else quoted.replace('""', '"'))
        place = item.end() + (item.end() == len(text) and not item[0].endswith(","))
    return items


def _split(text: str) -> tuple[str, str]:
    path, equals, value = checked("sweep", text, str).partition("=")
    if not equals:
        raise OverrideError(f"given {text!r}, expected PATH=VALUE such as txt2img.steps=20")
    return path.strip(), value.strip()


def _values(path: str, item: str, kind: type) -> Iterable[Setting]:
    """Return the values that an item stands for."""
    if kind in (int, float) or (kind is object and _is_numbers(item)):
        return _numbers(path, item, kind)
    return (_value(path, item, kind),)


def _is_numbers(item: str) -> bool:
    """Return whether an item of no type that anybody knows is a number, or several."""
    return all(map(_NUMBER.fullmatch, item.split(":"))) or is_webui_range(item.strip())


def _value(path: str, text: str, kind: type) -> Setting:
    text = text.strip()
    if kind is object:
        if _NUMBER.fullmatch(text):
            return _number(path, _decimal(path, text, kind), kind)
        return _BOOLS.get(text.lower(), text)
    if kind is bool:
        if text.lower() not in _BOOLS:
            raise OverrideError(f"{path}: given {text!r}, expected true or false")
        return _BOOLS[text.lower()]
    return text if kind is str else _number(path, _decimal(path, text, kind), kind)


def _numbers(path: str, text: str, kind: type) -> Iterator[Setting]:
    """Yield the numbers that an item stands for: one, or those of a range."""
    text = text.strip()
    try:
        for number in _decimals(path, text, kind):
            yield _number(path, number, kind)
    except ValueError as error:
        raise OverrideError(f"{path}: {error}") from None


def _decimals(path: str, text: str, kind: type) -> Iterable[Decimal]:
    if ":" in text:
        start, stop, *step = (_decimal(path, part, kind) for part in text.split(":"))
        if len(step) > 1:
            raise ValueError(f"given {text!r}, expected start:stop:step such as 1:9:2")
        return counted(text, start, stop, step[0] if step else None)
    if is_webui_range(text):
        return webui_range(text, whole=kind is int)
    return (_decimal(path, text, kind),)


def _decimal(path: str, text: str, kind: type) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number) > MOST:
        expected = "a whole number" if kind is int else "a number"
        raise OverrideError(f"{path}: given {text!r}, expected {expected}")
    return number


def _number(path: str, number: Decimal, kind: type) -> int | float:
    if number == number.to_integral_value() and abs(number) < 2**64:
        return int(number)
    if kind is int:
        raise OverrideError(f"{path}: given {number}, expected a whole number")
    return float(number)

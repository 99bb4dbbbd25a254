"""What stands beside the pictures of a contact sheet: what sets each value apart. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile

ELLIPSIS, NOTHING = "…", "–"

_LONG = 24
"""Letters from which on what values have in common is left out, and a setting's name with it."""

_WORD = re.compile(r"[^\s,/\\]*[\s,/\\]+|[^\s,/\\]+")
"""A word of a prompt or a folder of a path, with what ends it."""

_SHORT = 8
"""Letters in common up to which they are not left out."""

_SNAP = 10
"""Letters of half a word that may go as well."""

_WIDE = 1.6
"""How many letters an East Asian one is as wide as."""


def breadth(text: str) -> float:
    """Return how wide a text is, in letters."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + (_WIDE - 1) * wide


def value_labels(name: str, values: Sequence[object]) -> tuple[str, ...]:
    """Return the labels of an axis: no two the same, and of long ones what sets them apart.

    Args:
        name: The setting's, such as `cfg_scale`; written before values that are short.
        values: In the order of the sheet.
    """
    texts = [_text(value) or NOTHING for value in values]
    if _are_long(texts):
        begin, end = _in_common(texts)
        texts = [_between(text, len(begin), len(end)) for text in texts]
    elif max((breadth(f"{name} {text}") for text in texts), default=0) <= _LONG:
        texts = [f"{name} {text}" for text in texts]
    return distinct(texts, str)


def in_common(values: Sequence[object]) -> str:
    """Return what long values have in common, with an ellipsis where they differ; or ""."""
    texts = [_text(value) for value in values]
    begin, end = _in_common(texts) if _are_long(texts) else ("", "")
    return begin + ELLIPSIS + (f" {end}" if end else "") if begin or end else ""


def distinct(labels: Sequence[str], shortened: Callable[[str], str]) -> tuple[str, ...]:
    """Return labels as they are shown; those that come out the same get their number in front."""
    shown = [shortened(label) for label in labels]
    counted = Counter(shown)
    return tuple(
        text if counted[text] == 1 else shortened(f"{number}: {label}")
        for number, (label, text) in enumerate(zip(labels, shown, strict=True), start=1)
    )


def elided(text: str, letters: int, ellipsis: str = ELLIPSIS) -> str:
    """Cut a text to some letters: its end stays, which is where long ones differ, and its begin."""
    if len(text) <= letters:
        return text
    room = max(letters - len(ellipsis), 0)
    first = room // 3
    last = len(text) - (room - first)
    space = text.find(" ", last, last + _SNAP)
    if last and text[last - 1] != " " and space >= 0:
        last = space
    return text[:first].rstrip() + ellipsis + text[last:].lstrip()


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())


def _are_long(texts: Sequence[str]) -> bool:
    return len(texts) > 1 and max(map(breadth, texts)) > _LONG


def _in_common(texts: Sequence[str]) -> tuple[str, str]:
    """Return how texts begin and how they end, all of them alike, in whole words.

    Where nothing would be left of one of them, the last word that they share stays.
    """
    words = [_WORD.findall(text) for text in texts]
    first = _alike(words)
    last = _alike([each[first:][::-1] for each in words])
    if any(first + last == len(each) for each in words):
        first, last = (first - 1, last) if first else (first, last - 1)
    begin, end = "".join(words[0][:first]), "".join(words[0][len(words[0]) - last :])
    return begin * (len(begin) > _SHORT), end * (len(end) > _SHORT)


def _alike(words: Sequence[Sequence[str]]) -> int:
    """Return how many words come first in all."""
    return sum(1 for _ in takewhile(lambda each: len(set(each)) == 1, zip(*words, strict=False)))


def _between(text: str, begin: int, end: int) -> str:
    middle = text[begin : len(text) - end].strip(" ,")
    return (ELLIPSIS if begin else "") + middle + (ELLIPSIS if end else "")

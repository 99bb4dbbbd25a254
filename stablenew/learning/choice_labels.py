"""What to call the choices of an axis: of long ones, what sets each apart. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import takewhile

ELLIPSIS, NOTHING = "…", "–"

_LONG = 24
"""Letters from which on what values have in common is left out, and a setting's name with it."""

LABEL_LETTERS = 60
"""Of a choice in the name of a step at the most; a prompt may have a thousand."""

_WORD = re.compile(r"[^\s,/\\]*[\s,/\\]+|[^\s,/\\]+")
"""A word of a prompt or a folder of a path, with what ends it."""

_TAG = re.compile(r"<(?:lora|lyco|hypernet):([^:<>]+):([^:<>]+)[^<>]*>")

_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")

_SHORT = 8
"""Letters in common up to which they are not left out."""

_SNAP = 10
"""Letters of half a word that may go as well."""

_WIDE = 1.6
"""How many letters an East Asian one is as wide as."""


def breadth(text: str) -> float:
    """Return how wide a text is, in letters."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + (_WIDE - 1) * wide


def value_labels(name: str, values: Sequence[object]) -> tuple[str, ...]:
    """Return the labels of an axis: no two the same, and of long ones what sets them apart.

    Args:
        name: The setting's, such as `cfg_scale`; written before values that are short.
        values: In order.
    """
    texts = [_text(value) or NOTHING for value in values]
    short = max((breadth(f"{name} {text}") for text in texts), default=0) <= _LONG
    if short and not _are_long(texts):
        return distinct([f"{name} {text}" for text in texts], str)
    return labels_apart(texts)


def labels_apart(values: Sequence[object], most: int | None = None) -> tuple[str, ...]:
    """Return a text for each value, no two the same; of long ones what sets them apart.

    A LoRA's tag that does is said in words: `film 0.2`.

    Args:
        values: In order.
        most: Letters of one at the most; its end stays.
    """
    texts = [_text(value) or NOTHING for value in values]
    if _are_long(texts):
        begin, end = _in_common(texts)
        texts = [_between(text, len(begin), len(end)) for text in texts]
    return distinct(texts, lambda text: text if most is None else elided(text, most))


def in_common(values: Sequence[object]) -> str:
    """Return what long values have in common, with an ellipsis where they differ; or ""."""
    texts = [_text(value) for value in values]
    begin, end = _in_common(texts) if _are_long(texts) else ("", "")
    return begin + ELLIPSIS + (f" {end}" if end else "") if begin or end else ""


def distinct(labels: Sequence[str], shortened: Callable[[str], str]) -> tuple[str, ...]:
    """Return labels as they are shown; those that come out the same get their number in front."""
    shown = [shortened(label) for label in labels]
    counted = Counter(shown)
    numbered = [shortened(f"{number}: {label}") for number, label in enumerate(labels, start=1)]
    told = [
        text if counted[text] == 1 else other for text, other in zip(shown, numbered, strict=True)
    ]
    return tuple(told if len({*told}) == len(told) else numbered)  # one may be called "1: a"


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
    """Return a value on one line, without what would turn around the text beside it."""
    return "" if value is None else " ".join(_TURNS.sub("", str(value)).split())


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
    in_words = _TAG.sub(r"\1 \2", middle)
    if in_words != middle and not _TAG.sub("", middle).strip(" ,"):
        return in_words  # nothing but tags, which need no ellipsis to say that they are not all
    return (ELLIPSIS if begin else "") + in_words + (ELLIPSIS if end else "")

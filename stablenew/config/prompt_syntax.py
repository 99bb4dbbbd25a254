"""The prompt language of AUTOMATIC1111: weights, and what else brackets and words mean. Pure.

`(x)` weighs 1.1, `[x]` 1/1.1, `(x:1.3)` 1.3, all of them multiplied where they are nested; a
backslash takes a bracket literally. `BREAK`, `AND`, `[from:to:when]`, `[one|other]` and
`<hypernet:…>` do more than weigh.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

BREAK, AND = "BREAK", "AND"
SCHEDULE, ALTERNATE, HYPERNET = "[from:to:when]", "[one|other]", "<hypernet:…>"

SYNTAX = (BREAK, AND, SCHEDULE, ALTERNATE, HYPERNET)
"""What is more than a weight."""

ROUND, SQUARE = 1.1, 1 / 1.1

_TOKEN = re.compile(r"\\[()\[\]\\]|\\|[(\[]|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|[)\]]|[^\\()\[\]:]+|:")
_WHEN = re.compile(r":\s*[+-]?\d*\.?\d+\s*$")
_WORDS = {
    BREAK: re.compile(r"\bBREAK\b"),
    AND: re.compile(r"\bAND\b"),
    HYPERNET: re.compile(r"<hypernet:[^>]*>"),
}


def special_syntax(text: str) -> Iterator[tuple[str, str]]:
    """Yield what in a prompt is more than a weight: one of `SYNTAX`, and how it stands there."""
    for kind, pattern in _WORDS.items():
        if found := pattern.search(text):
            yield kind, found[0]
    opened: list[tuple[int, bool]] = []
    for token in _TOKEN.finditer(text):
        if token[0] == "[":
            opened.append((token.start(), False))
        elif "|" in token[0] and opened:
            opened[-1] = (opened[-1][0], True)
        elif token[0] == "]" and opened:
            start, bar = opened.pop()
            if bar or _WHEN.search(text[start : token.start()]):
                yield ALTERNATE if bar else SCHEDULE, text[start : token.end()]


def weighted_parts(text: str) -> list[tuple[str, float]]:
    r"""Return a prompt's parts with their weights, as AUTOMATIC1111 reads them.

    A bracket that is never closed weighs all that follows. `\(` is a bracket, and a backslash
    before anything else is left out.

    Raises:
        ValueError: A weight is no number: `1.2.3`.
    """
    parts: list[tuple[str, float]] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}

    def weigh(start: int, factor: float) -> None:
        parts[start:] = [(part, weight * factor) for part, weight in parts[start:]]

    for token in _TOKEN.finditer(text):
        said, weight = token[0], token["weight"]
        if said.startswith("\\"):
            parts.append((said[1:], 1.0))
        elif said in opened:
            opened[said].append(len(parts))
        elif weight is not None and opened["("]:
            weigh(opened["("].pop(), float(weight))
        elif said == ")" and opened["("]:
            weigh(opened["("].pop(), ROUND)
        elif said == "]" and opened["["]:
            weigh(opened["["].pop(), SQUARE)
        else:
            parts.append((said, 1.0))
    for kind, factor in (("(", ROUND), ("[", SQUARE)):
        for start in opened[kind]:
            weigh(start, factor)
    return _joined(parts)


def _joined(parts: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return parts with neighbours of one weight in one piece, and none that is empty."""
    joined: list[tuple[str, float]] = []
    for part, weight in parts:
        if joined and joined[-1][1] == weight:
            joined[-1] = (joined[-1][0] + part, weight)
        elif part:
            joined.append((part, weight))
    return joined

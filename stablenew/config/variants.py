r"""The variants of a prompt: what `{a|b}` and `__name__` in it can stand for.

The words of `dynamicprompts`, which A1111's extension of that name reads:

- `{red|blue}`: one of them; `{3::red|1::blue}` draws red three times as often.
- `{2$$red|blue|green}`: two of them, with a comma between; `{2$$ and $$…}` with ` and `;
  `{1-2$$…}`, `{2-$$…}` and `{-2$$…}` from so many to so many, 100 at the most.
- `__colours__`: a value of that wildcard (`wildcards.py`), `{2$$__colours__}` two of its values.
- All may be nested. `\{`, `\|`, `\}` and `\_` are the letters.

Its variables, samplers and comments are no part of this; the first two are refused by name.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable

import attrs

from stablenew.config.prompt import Prompt
from stablenew.config.variant_nodes import Choice, Node, Row, Text
from stablenew.config.wildcards import Option, Wildcards
from stablenew.errors import ConfigError

MOST_VARIANTS = 100_000
"""How many variants can be made of a prompt."""

_MISSES = 1_000
"""Draws in a row that bring nothing new, after which the rest is taken in order."""

_DEEPEST = 50
_MOST_AT_ONCE = 100
_BETWEEN = "\0"
"""Between a prompt and its negative one, which no prompt holds."""

_NAME = r"__(?=\S)(?P<name>(?:(?!__)[\w*?/.\- ~!@])+)(?P<given>\([^()]*\))?(?<=\S)__"
_TOKEN = re.compile(rf"\\(?P<escaped>[{{|}}_])|{_NAME}|(?P<mark>[{{|}}]|[$%](?={{))")
_BOUNDS = re.compile(
    r"\s*(?=[\d-])(?P<low>\d*)(?P<to>-?)(?P<high>\d*)\$\$(?:(?P<separator>[^${}]*)\$\$)?"
)
_SPACE = re.compile(r"\s*(?:(?P<weight>\d+\.?\d*|\.\d+)::)?")
_UNEXPANDED = re.compile(rf"\{{[^{{}}]*\|[^{{}}]*\}}|\{{[\d-]+\$\$[^{{}}]*\}}|{_NAME}")
_TAG = re.compile(r"<[^<>]*>")


@attrs.frozen
class Variants:
    """The variants of a prompt, and of its negative one."""

    prompt: Prompt
    _node: Node

    @property
    def count(self) -> int:
        """How many there are; two that turn out the same count as two."""
        return self._node.count

    def all(self) -> tuple[Prompt, ...]:
        """Return every one, the last choice changing quickest.

        Raises:
            ConfigError: There are too many.
        """
        check_count(self.count, repr(self.prompt.positive[:60]))
        return tuple(map(self._prompt, self._every()))

    def drawn(self, number: int, seed: object = "") -> tuple[Prompt, ...]:
        """Return so many, drawn by their weights, no one twice; all where there are no more.

        A larger number begins with those of a smaller one.

        Args:
            number: How many.
            seed: What they are drawn with, beside the prompt itself.
        """
        text = f"{seed}\n{self.prompt.positive}\n{self.prompt.negative}"
        chance = random.Random(text.encode(errors="surrogatepass"))
        texts: dict[str, None] = {}
        misses = 0
        while len(texts) < number and misses < _MISSES:
            text = _stripped(self._node.draw(chance))
            misses = misses + 1 if text in texts else 0
            texts[text] = None
        if len(texts) < number and self.count <= MOST_VARIANTS:
            texts.update(self._every())
        return tuple(map(self._prompt, [*texts][:number]))

    def _every(self) -> dict[str, None]:
        return dict.fromkeys(map(_stripped, self._node.texts()))

    def _prompt(self, text: str) -> Prompt:
        positive, _, negative = text.partition(_BETWEEN)
        return attrs.evolve(self.prompt, positive=positive, negative=negative)


def _stripped(text: str) -> str:
    return _BETWEEN.join(part.strip() for part in text.split(_BETWEEN))


def variants_of(prompt: Prompt, wildcards: Wildcards | None = None) -> Variants:
    """Read what a prompt and its negative one leave to choose.

    Args:
        prompt: With `{a|b}` and `__name__` in it.
        wildcards: What the names stand for.

    Raises:
        ConfigError: A brace without another, a wildcard without a file: with its place.
    """
    return VariantReader(wildcards).variants_of(prompt)


def check_count(count: int, of: str) -> None:
    """See that so many variants can be made.

    Raises:
        ConfigError: There are too many.
    """
    if count > MOST_VARIANTS:
        raise ConfigError(
            f"variants: {_in_words(count)} of {of}, expected {MOST_VARIANTS:,} at the most;"
            " --variants 20 draws 20"
        )


def unexpanded(texts: Iterable[str | None]) -> tuple[str, ...]:
    """Return the choices and wildcards that texts have, each once, as they are written."""
    found = (
        match[0] for text in texts if text for match in _UNEXPANDED.finditer(_TAG.sub(" ", text))
    )
    return tuple(dict.fromkeys(found))


class VariantReader:
    """Reads prompts, and each wildcard that they name once.

    Args:
        wildcards: What `__name__` stands for.
    """

    def __init__(self, wildcards: Wildcards | None = None) -> None:
        self._wildcards = wildcards
        self._values: dict[str, Choice] = {}
        self._within: list[str] = []  # the names of wildcards, "" for braces

    def variants_of(self, prompt: Prompt) -> Variants:
        """Read what a prompt and its negative one leave to choose.

        Raises:
            ConfigError: A brace without another, a wildcard without a file: with its place.
        """
        positive = self._text(prompt.positive, "prompt")
        negative = self._text(prompt.negative, "negative prompt")
        return Variants(prompt, Row((positive, Text(_BETWEEN), negative)))

    def _text(self, text: str, where: str) -> Node:
        """Return a whole text as a node; an error says where it is."""
        try:
            return self._row(text, 0, None)[0]
        except ConfigError as error:
            raise ConfigError(*(f"{where}: {each}" for each in error.problems)) from None

    def _row(self, text: str, place: int, brace: int | None) -> tuple[Node, int]:
        """Read up to the end, or within a brace to the end of the option; return where that is."""
        parts: list[Node] = []
        while token := _TOKEN.search(text, place):
            parts.append(Text(text[place : token.start()]))
            if token["mark"] in ("|", "}") and brace is not None:
                return _row_of(parts), token.start()
            if token["mark"] == "{":
                node, place = self._braces(text, token.start())
            else:
                node, place = self._piece(text, token), token.end()
            parts.append(node)
        if brace is not None:
            raise ConfigError(rf"a {{ that is never closed, {_at(text, brace)}; \{{ is a {{")
        return _row_of([*parts, Text(text[place:])]), len(text)

    def _piece(self, text: str, token: re.Match[str]) -> Node:
        """Return what a token other than a brace that opens stands for."""
        if token["name"]:
            return self._wildcard(text, token)
        if token["mark"] == "}":
            at = _at(text, token.start())
            raise ConfigError(rf"a }} that closes nothing, {at}; \}} is a }}")
        if token["mark"] in ("$", "%"):
            kind = "variables" if token["mark"] == "$" else "wraps"
            raise ConfigError(f"{kind} are not known here, {_at(text, token.start())}")
        return Text(token["escaped"] or token[0])

    def _braces(self, text: str, brace: int) -> tuple[Node, int]:
        """Read from a brace to the one that closes it; return where that ends."""
        place = brace + 1
        self._enter("", text, brace)
        if text[place : place + 1] in ("~", "!", "@"):
            raise ConfigError(f"how to draw is said for all (--variants), {_at(text, brace)}")
        bounds = _BOUNDS.match(text, place)
        place = bounds.end() if bounds else place
        options: list[tuple[Node, float]] = []
        while True:
            start = _SPACE.match(text, place)
            assert start is not None  # nothing will do
            node, place = self._row(text, start.end(), brace)
            options.append((node, float(start["weight"] or 1)))
            place += 1
            if text[place - 1] == "}":
                break
        self._within.pop()
        if bounds and len(options) == 1 and isinstance(options[0][0], Choice):
            inner = options[0][0]  # `{2$$__colours__}` takes two of the colours
            options = [*zip(inner.options, inner.weights, strict=True)]
        try:
            return _choice_of(options, bounds), place
        except ConfigError as error:
            raise ConfigError(f"{error}, {_at(text, brace)}") from None

    def _wildcard(self, text: str, token: re.Match[str]) -> Node:
        name, place = token["name"], token.start()
        if token["given"] or name[0] in "~!@":
            raise ConfigError(f"expected a name alone between the __, {_at(text, place)}")
        if name not in self._values:
            within_tag = text.rfind("<", 0, place) > text.rfind(">", 0, place)
            if within_tag and not (self._wildcards and self._wildcards.matching(name)):
                return Text(token[0])  # the name of a LoRA may have them
            if self._wildcards is None:
                raise ConfigError(f"{token[0]}: of which folder? expected --wildcards DIR as well")
            if name in self._within:
                chain = " → ".join([each for each in self._within if each] + [name])
                raise ConfigError(
                    f"{token[0]}: a wildcard that has itself among its values: {chain}"
                )
            self._enter(name, text, place)
            options = self._wildcards.options(name)
            nodes = [(self._value(name, each), each.weight) for each in options]
            self._within.pop()
            self._values[name] = _choice_of(nodes, None)
        return self._values[name]

    def _value(self, name: str, option: Option) -> Node:
        return self._text(option.text, f"__{name}__ {option.text[:40]!r}")

    def _enter(self, name: str, text: str, place: int) -> None:
        if len(self._within) == _DEEPEST:
            raise ConfigError(f"nested more than {_DEEPEST} deep, {_at(text, place)}")
        self._within.append(name)


def _row_of(parts: Iterable[Node]) -> Node:
    """Return pieces in a row, those that leave no choice put together."""
    row: list[Node] = []
    for part in parts:
        for each in part.parts if isinstance(part, Row) else (part,):
            if isinstance(each, Text) and row and isinstance(row[-1], Text):
                row[-1] = Text(row[-1].text + each.text)
            elif not isinstance(each, Text) or each.text:
                row.append(each)
    return row[0] if len(row) == 1 else Row(row) if row else Text("")


def _choice_of(options: Iterable[tuple[Node, float]], bounds: re.Match[str] | None) -> Choice:
    """Return a choice; options with the same text are one, and those of weight 0 none."""
    nodes: dict[object, Node] = {}
    weights: dict[object, float] = {}
    for node, weight in options:
        if weight:
            key = node.text if isinstance(node, Text) else id(node)
            nodes[key] = node
            weights[key] = weights.get(key, 0.0) + weight
    if not weights:
        raise ConfigError("every option has the weight 0")
    low = high = 1
    if bounds:
        low = int(bounds["low"] or 1)
        high = int(bounds["high"] or len(weights)) if bounds["to"] else low
        if not low <= min(high, len(weights)):
            raise ConfigError(f"given {low} to {high} of {len(weights)} options")
        if low > _MOST_AT_ONCE:
            raise ConfigError(f"given {low} options at once, expected {_MOST_AT_ONCE} at the most")
    separator = bounds["separator"] if bounds else None
    return Choice(
        options=tuple(nodes.values()),
        weights=tuple(weights.values()),
        low=low,
        high=min(high, len(weights), _MOST_AT_ONCE),
        separator="," if separator is None else separator,
    )


def _at(text: str, place: int) -> str:
    return f"at character {place + 1}: {text[place : place + 20]!r}"


def _in_words(count: int) -> str:
    return f"{count:,}" if count < 10**15 else f"10^{int(math.log10(count))} and more"

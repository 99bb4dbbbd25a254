"""From a prompt to what the denoiser is told: words, their weights, a small transformer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from stablenew.backends.embedded.convolution import Array
from stablenew.backends.embedded.layers import Layers, attention
from stablenew.backends.embedded.network import CROSS_ATTENTION, Conditioning

_START, _PADDING = 1, 0
_HIDDEN = np.float32(-1e9)
_TAG = re.compile(r"<[^>]*>")
# What others expand before or while they draw: {a|b}, __wildcard__, [a|b], [from:to:when].
_UNEXPANDED = re.compile(r"\{[^{}]*\}|__\S+?__|\[[^\[\]]*[|:][^\[\]]*\]")
_WORD = re.compile(r"[^\W_]+")  # of any script, so that a word it does not know is told whole
# The WebUI's attention syntax: (words:1.3), (words) for 1.1, [words] for 0.9.
_WEIGHTED = re.compile(
    r"\((?P<given>[^():]+):\s*(?P<weight>[0-9.]+)\)"
    r"|\((?P<more>[^()]+)\)|\[(?P<less>[^\[\]]+)\]|(?P<plain>[^()\[\]]+)"
)
_PLAIN_WEIGHTS = {"more": 1.1, "less": 0.9, "plain": 1.0}
_ENDINGS = (("ies", "y"), ("es", ""), ("s", ""), ("ing", ""), ("ing", "e"), ("ed", ""), ("y", ""))


@attrs.frozen(kw_only=True)
class Tokens:
    """A prompt as the model reads it.

    Attributes:
        ids: Numbers of words, the start token first.
        weights: How much each counts, 1.0 plainly.
        used: The words that were understood, in order.
        ignored: The words that the model does not know.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    used: tuple[str, ...]
    ignored: tuple[str, ...]


class Tokenizer:
    """Looks up words, by their stem or an alias where they are not known themselves.

    Args:
        vocabulary: Every word, at its number.
        stop_words: Words that say nothing.
        aliases: Known words for unknown ones, such as kitten → cat.
        length: How many tokens a prompt has at the most, the start token included.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        stop_words: Sequence[str],
        aliases: Mapping[str, str],
        length: int,
    ) -> None:
        self._numbers = {word: number for number, word in enumerate(vocabulary)}
        self._stop_words = frozenset(stop_words)
        self._aliases = aliases
        self._length = length

    def __call__(self, prompt: str) -> Tokens:
        """Read a prompt; `<lora:…>` and the like are left out, words past the end are dropped."""
        ids, weights, used, ignored = [_START], [1.0], [], []
        for word, weight in _weighted_words(prompt):
            if word in self._stop_words:
                continue
            entry = self._in_vocabulary(word)
            if entry is None:
                ignored.append(word)
            elif len(ids) < self._length:
                ids.append(self._numbers[entry])
                weights.append(weight)
                used.append(word)
        return Tokens(
            ids=tuple(ids), weights=tuple(weights), used=tuple(used), ignored=tuple(ignored)
        )

    def left_out(self, prompt: str) -> tuple[str, ...]:
        """Return what a prompt says to no effect.

        Unknown words, tags such as `<lora:…>`, and what is read as plain words: `{a|b}`, `__a__`.
        """
        bare = _TAG.sub(" ", prompt)
        tags, unexpanded = _TAG.findall(prompt), _UNEXPANDED.findall(bare)
        return (*self(prompt).ignored, *tags, *unexpanded)

    def _in_vocabulary(self, word: str) -> str | None:
        if word in self._numbers:
            return word
        for ending, instead in _ENDINGS:
            stem = word.removesuffix(ending)
            if stem != word and len(stem) > 2 and stem + instead in self._numbers:
                return stem + instead
        return self._aliases.get(word)


class TextEncoder:
    """A transformer over the words (Vaswani et al. 2017, norm first), run once per prompt.

    Args:
        layers: The network's layers.
        depth: Transformer layers.
        heads: Attention heads.
    """

    def __init__(self, layers: Layers, *, depth: int, heads: int) -> None:
        self._layers = layers
        self._depth = depth
        self._heads = heads

    def __call__(self, prompts: Sequence[Tokens]) -> Conditioning:
        """Encode prompts, one batch row each."""
        length = max(len(prompt.ids) for prompt in prompts)
        ids = np.array([_padded(prompt.ids, length, _PADDING) for prompt in prompts])
        weights = np.array([_padded(p.weights, length, 1.0) for p in prompts], np.float32)
        operands = self._layers.operands
        x = operands["text.emb.weight"][ids] * weights[..., None]
        x = x + operands["text.pos"][None, :length]
        real = ids != _PADDING
        mask = np.where(real, np.float32(0), _HIDDEN)[:, None, None, :]
        for depth in range(self._depth):
            x = self._layer(x, f"text.L.{depth}", mask)
        x = self._norm(x, "text.n")
        counted = real[..., None].astype(np.float32)
        pooled = self._layers.linear((x * counted).sum(1) / counted.sum(1), "text.p")
        keys_values = {}
        for block in CROSS_ATTENTION:
            key, value = np.split(self._layers.linear(x, f"{block}.kv"), 2, axis=-1)
            keys_values[block] = (key, value)
        return Conditioning(mask=mask, pooled=pooled, keys_values=keys_values)

    def _layer(self, x: Array, name: str, mask: Array) -> Array:
        normed = self._layers.linear(self._norm(x, f"{name}.n1"), f"{name}.qkv")
        query, key, value = np.split(normed, 3, axis=-1)
        x = x + self._layers.linear(attention(query, key, value, self._heads, mask), f"{name}.o")
        half = self._layers.linear(self._norm(x, f"{name}.n2"), f"{name}.a") * 0.5
        return x + self._layers.linear(half * (1 + np.tanh(half)), f"{name}.b")

    def _norm(self, x: Array, name: str) -> Array:
        """Layer norm (Ba et al. 2016)."""
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(1e-5))
        operands = self._layers.operands
        normed: Array = centred / deviation * operands[f"{name}.w"] + operands[f"{name}.b"]
        return normed


def _weighted_words(prompt: str) -> Iterator[tuple[str, float]]:
    for match in _WEIGHTED.finditer(_TAG.sub(" ", prompt.lower())):
        kind = match.lastgroup or "plain"
        if kind == "weight":
            text, weight = match["given"], _number(match["weight"])
        else:
            text, weight = match[kind], _PLAIN_WEIGHTS[kind]
        for word in _WORD.findall(text.replace("'s", "").replace("'", "")):
            yield word, weight


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # (word:1.2.3), as people mistype it
        return 1.0


def _padded(values: Sequence[float], length: int, filler: float) -> list[float]:
    return [*values, *[filler] * (length - len(values))]

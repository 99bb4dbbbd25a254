"""The denoiser: a UNet in pixel space with EDM preconditioning (Karras et al. 2022).

The picture is folded 2×2 into channels, goes down to a quarter of that size with attention to
itself and to the text, and up again with skip connections. A block's name is its weights' name.
"""

from __future__ import annotations

import math

import attrs
import numpy as np

from stablenew.backends.embedded.convolution import Array
from stablenew.backends.embedded.layers import Layers, attention, silu

CROSS_ATTENTION = ("x1", "y0", "y1", "x2")
"""The blocks that attend to the text."""

_BLOCKS = ("d0", "d1", "d1b", "m0", "m1", "u1", "u1b", "u0", "u0b")
_LOWEST_FREQUENCY, _FREQUENCIES, _FREQUENCY_SPAN = 1.0, 32, 200.0


@attrs.frozen(eq=False, kw_only=True)
class Conditioning:
    """What the text says to the denoiser.

    Attributes:
        mask: (batch, 1, 1, tokens): 0 for a token, very negative for padding.
        pooled: (batch, embedding): the whole text as one vector.
        keys_values: For each cross-attention block its keys and values, (batch, tokens, channels).
    """

    mask: Array
    pooled: Array
    keys_values: dict[str, tuple[Array, Array]]


class Denoiser:
    """D(x; σ, text): the picture that a noisy one most likely came from.

    Args:
        layers: The network's layers.
        heads: Attention heads.
        sigma_data: The standard deviation of pictures, for the preconditioning.
    """

    def __init__(self, layers: Layers, *, heads: int, sigma_data: float) -> None:
        self._layers = layers
        self._heads = heads
        self._sigma_data = sigma_data
        spread = np.linspace(0.0, math.log(_FREQUENCY_SPAN), _FREQUENCIES)
        self._frequencies = (_LOWEST_FREQUENCY * np.exp(spread)).astype(np.float32)
        film = [layers.operands[f"{block}.f.weight"] for block in _BLOCKS]
        self._film_weight = np.concatenate(film, axis=1)
        self._film_bias = np.concatenate([layers.operands[f"{b}.f.bias"] for b in _BLOCKS])
        self._film_ends = np.cumsum([weight.shape[1] for weight in film])[:-1]

    def __call__(self, x: Array, sigma: float, text: Conditioning) -> Array:
        """Denoise pictures.

        Args:
            x: (batch, height, width, 3), about −1 to 1 under noise of deviation `sigma`.
            sigma: How strong the noise is, above 0.
            text: What the pictures show; its batch is 1 or that of `x`.
        """
        variance = sigma * sigma + self._sigma_data**2
        root = math.sqrt(variance)
        folded = _fold(x * np.float32(1 / root))
        change = _unfold(self._unet(folded, self._films(sigma, text, len(x)), text))
        change *= np.float32(sigma * self._sigma_data / root)
        change += x * np.float32(self._sigma_data**2 / variance)
        return change

    def _films(self, sigma: float, text: Conditioning, batch: int) -> dict[str, Array]:
        """Return each block's scale and shift for this noise and text, in one product."""
        phase = np.float32(math.log(sigma) / 4) * self._frequencies
        wave = np.concatenate([np.sin(phase), np.cos(phase)])[None]
        hidden = self._layers.linear(silu(self._layers.linear(wave, "e1")), "e2")
        embedding = silu(hidden + text.pooled)
        if len(embedding) != batch:
            embedding = np.repeat(embedding, batch // len(embedding), axis=0)
        films = embedding @ self._film_weight + self._film_bias
        return dict(zip(_BLOCKS, np.split(films, self._film_ends, axis=1), strict=True))

    def _unet(self, x: Array, films: dict[str, Array], text: Conditioning) -> Array:
        def residual(x: Array, block: str) -> Array:
            return self._residual(x, block, films[block])

        x = wide = residual(self._layers.conv(x, "cin"), "d0")
        x = residual(self._layers.conv(x, "dn0", stride=2), "d1")
        x = middle = residual(self._cross(x, "x1", text), "d1b")
        x = residual(self._layers.conv(x, "dn1", stride=2), "m0")
        x = self._cross(self._self(x, "s0"), "y0", text)
        x = self._cross(self._self(residual(x, "m1"), "s1"), "y1", text)
        x = np.concatenate([_doubled(self._layers.linear(x, "up1")), middle], axis=-1)
        x = residual(self._cross(residual(x, "u1"), "x2", text), "u1b")
        x = np.concatenate([_doubled(self._layers.linear(x, "up0")), wide], axis=-1)
        x = residual(residual(x, "u0"), "u0b")
        return self._layers.norm_silu_conv(x, "no", "co")

    def _residual(self, x: Array, name: str, film: Array) -> Array:
        """Two convolutions around the identity (He et al. 2016), the second told by `film`."""
        h = self._layers.norm_silu_conv(x, f"{name}.n1", f"{name}.c1")
        h = self._layers.norm_silu_conv(h, f"{name}.n2", f"{name}.c2", film)
        h += self._layers.linear(x, f"{name}.k") if f"{name}.k" in self._layers else x
        return h

    def _self(self, x: Array, name: str) -> Array:
        """Let each place look at all others."""
        tokens = self._tokens(x, name)
        query, key, value = np.split(self._layers.linear(tokens, f"{name}.qkv"), 3, axis=-1)
        return self._mixed(x, name, attention(query, key, value, self._heads, None))

    def _cross(self, x: Array, name: str, text: Conditioning) -> Array:
        """Let each place look at the words."""
        query = self._layers.linear(self._tokens(x, name), f"{name}.q")
        key, value = text.keys_values[name]
        return self._mixed(x, name, attention(query, key, value, self._heads, text.mask))

    def _tokens(self, x: Array, name: str) -> Array:
        scale, shift = self._layers.norm(x, f"{name}.n")
        normed = x * scale
        normed += shift
        return normed.reshape(len(x), -1, x.shape[-1])

    def _mixed(self, x: Array, name: str, heard: Array) -> Array:
        return x + self._layers.linear(heard, f"{name}.o").reshape(x.shape)


def _fold(x: Array) -> Array:
    """Turn each 2×2 square of pixels into channels (Shi et al. 2016, backwards)."""
    batch, height, width, _ = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, 3)
    return squares.transpose(0, 1, 3, 5, 2, 4).reshape(batch, height // 2, width // 2, 12)


def _unfold(x: Array) -> Array:
    """Undo `_fold`."""
    batch, height, width, _ = x.shape
    squares = x.reshape(batch, height, width, 3, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return squares.reshape(batch, 2 * height, 2 * width, 3)


def _doubled(x: Array) -> Array:
    """Return `x` at twice the size, each value four times."""
    return x.repeat(2, axis=1).repeat(2, axis=2)

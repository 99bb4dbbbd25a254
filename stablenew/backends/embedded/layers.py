"""The layers of the denoiser, on float32 arrays of shape (batch, height, width, channels)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stablenew.backends.embedded.convolution import (
    Array,
    Scratch,
    direct,
    direct_weight,
    winograd,
    winograd_weight,
)

EPSILON = 1e-5
_KEPT_AS_ROWS = ("text.emb.weight", "text.pos")
_STRIDED = ("dn0.weight", "dn1.weight")


def as_operands(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Turn stored weights into right-hand sides of matrix products.

    A linear layer or 1×1 convolution (out, in) becomes (in, out), a 3×3 convolution what its way
    of convolving takes; embeddings and vectors stay as they are.
    """
    operands = {}
    for name, weight in weights.items():
        if weight.ndim == 4 and weight.shape[2] == 3:
            weight = direct_weight(weight) if name in _STRIDED else winograd_weight(weight)
        elif weight.ndim >= 2 and name not in _KEPT_AS_ROWS:
            weight = weight.reshape(weight.shape[:2]).T
        operands[name] = np.ascontiguousarray(weight, dtype=np.float32)
    return operands


def softmax(scores: Array) -> Array:
    """Return the softmax over the last axis, in place."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


def silu(x: Array) -> Array:
    """Return x·σ(x), by way of tanh, which is numpy's faster function."""
    half = x * 0.5
    return np.asarray(half * (np.tanh(half) + 1.0), np.float32)


def attention(query: Array, key: Array, value: Array, heads: int, mask: Array | None) -> Array:
    """Multi-head scaled dot-product attention (Vaswani et al. 2017).

    Args:
        query: (batch, n, channels).
        key: (batch, m, channels).
        value: (batch, m, channels).
        heads: How many heads share the channels.
        mask: Added to the scores, broadcastable to (batch, heads, n, m).
    """
    batch, count, channels = query.shape
    width = channels // heads

    def split(x: Array) -> Array:
        return x.reshape(batch, -1, heads, width).transpose(0, 2, 1, 3)

    scores = np.matmul(split(query * np.float32(width**-0.5)), split(key).transpose(0, 1, 3, 2))
    if mask is not None:
        scores += mask
    mixed: Array = np.matmul(softmax(scores), split(value))
    return mixed.transpose(0, 2, 1, 3).reshape(batch, count, channels)


class Layers:
    """Layers by the names of their weights.

    Args:
        operands: What `as_operands` made.
        groups: How many groups a group norm has.
    """

    def __init__(self, operands: Mapping[str, Array], groups: int) -> None:
        self.operands = operands
        self._groups = groups
        self._scratch = Scratch()

    def __contains__(self, name: str) -> bool:
        return f"{name}.weight" in self.operands

    def linear(self, x: Array, name: str) -> Array:
        """Return x·W + b over the last axis."""
        rows = x.reshape(-1, x.shape[-1]) @ self.operands[f"{name}.weight"]
        rows += self.operands[f"{name}.bias"]
        return rows.reshape(*x.shape[:-1], -1)

    def conv(self, x: Array, name: str, stride: int = 1) -> Array:
        """Return the 3×3 convolution of `x`."""
        padded = self._scratch.padded(x.shape)
        padded[:, 1:-1, 1:-1] = x
        return self._convolved(padded, name, stride)

    def norm(self, x: Array, name: str, film: Array | None = None) -> tuple[Array, Array]:
        """Return a group norm (Wu and He 2018) as one scale and one shift per channel.

        Args:
            x: What is normalised.
            name: The layer.
            film: (batch, 2·channels): a further scale − 1 and shift (Perez et al. 2018).
        """
        batch, height, width, channels = x.shape
        flat = x.reshape(batch, height * width, channels)
        mean_row = self._mean_row(height * width)
        squares = np.multiply(flat, flat, out=self._scratch.buffer("squares", *flat.shape))
        mean = self._by_group(mean_row @ flat)
        variance = self._by_group(mean_row @ squares) - mean * mean
        inverse = (1.0 / np.sqrt(np.maximum(variance, 0) + EPSILON)).astype(np.float32)
        weight = self.operands[f"{name}.w"].reshape(1, self._groups, -1)
        scale = (inverse * weight).reshape(batch, channels)
        shift = self.operands[f"{name}.b"] - (mean * inverse * weight).reshape(batch, channels)
        if film is not None:
            gain = 1.0 + film[:, :channels]
            scale, shift = scale * gain, shift * gain + film[:, channels:]
        return scale[:, None, None], shift[:, None, None]

    def norm_silu_conv(self, x: Array, norm: str, conv: str, film: Array | None = None) -> Array:
        """Return the convolution of SiLU of the group norm of `x`."""
        scale, shift = self.norm(x, norm, film)
        half = np.multiply(x, scale * 0.5, out=self._scratch.buffer("half", *x.shape))
        half += shift * 0.5
        gate = np.tanh(half, out=self._scratch.buffer("gate", *x.shape))
        gate += 1.0
        padded = self._scratch.padded(x.shape)
        np.multiply(half, gate, out=padded[:, 1:-1, 1:-1])
        return self._convolved(padded, conv)

    def _convolved(self, padded: Array, name: str, stride: int = 1) -> Array:
        weight = self.operands[f"{name}.weight"]
        if stride == 1:
            out = winograd(padded, weight, self._scratch)
        else:
            out = direct(padded, weight, stride, self._scratch)
        out += self.operands[f"{name}.bias"]
        return out

    def _mean_row(self, count: int) -> Array:
        row = self._scratch.buffer("mean row", 1, count)
        if row[0, 0] == 0:
            row[...] = 1.0 / count
        return row

    def _by_group(self, rows: Array) -> Array:
        grouped: Array = rows[:, 0].reshape(len(rows), self._groups, -1).mean(2, keepdims=True)
        return grouped

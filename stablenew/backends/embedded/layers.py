"""The layers of the denoiser, on float32 arrays of shape (batch, height, width, channels).

Convolutions gather their 3×3 windows into one matrix and multiply once (im2col). Scratch arrays
are kept between calls, so a model is for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[np.float32]

EPSILON = 1e-5
_KEPT_AS_ROWS = ("text.emb.weight", "text.pos")


def as_operands(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Turn stored weights into right-hand sides of a matrix product.

    A convolution (out, in, 3, 3) becomes (9·in, out), a linear layer (out, in) becomes (in, out);
    embeddings and vectors stay as they are.
    """
    operands = {}
    for name, weight in weights.items():
        if weight.ndim == 4:
            matrix = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
        elif weight.ndim == 2 and name not in _KEPT_AS_ROWS:
            matrix = weight.T
        else:
            matrix = weight
        operands[name] = np.ascontiguousarray(matrix, dtype=np.float32)
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
        self._scratch: dict[tuple[str, tuple[int, ...]], Array] = {}

    def __contains__(self, name: str) -> bool:
        return f"{name}.weight" in self.operands

    def linear(self, x: Array, name: str) -> Array:
        """Return x·W + b over the last axis."""
        rows = x.reshape(-1, x.shape[-1]) @ self.operands[f"{name}.weight"]
        rows += self.operands[f"{name}.bias"]
        return rows.reshape(*x.shape[:-1], -1)

    def padded(self, shape: tuple[int, ...]) -> Array:
        """Return an array for `shape` with a border of zeros; write to its interior."""
        batch, height, width, channels = shape
        return self._buffer("padded", (batch, height + 2, width + 2, channels))

    def conv(self, padded: Array, name: str, stride: int = 1) -> Array:
        """Return the 3×3 convolution of what is inside a border of zeros."""
        batch, height, width, channels = padded.shape
        rows, columns = (height - 2) // stride, (width - 2) // stride
        step = padded.strides
        shape = (batch, rows, columns, 3, 3 * channels)
        windows = as_strided(
            padded, shape, (step[0], step[1] * stride, step[2] * stride, step[1], step[3])
        )
        matrix = self._buffer("windows", shape)
        np.copyto(matrix, windows)
        out = matrix.reshape(batch * rows * columns, 9 * channels) @ self.operands[f"{name}.weight"]
        out += self.operands[f"{name}.bias"]
        return out.reshape(batch, rows, columns, -1)

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
        squares = np.multiply(flat, flat, out=self._buffer("squares", flat.shape))
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

    def norm_silu_conv(
        self, x: Array, norm: str, conv: str, film: Array | None = None, stride: int = 1
    ) -> Array:
        """Return the convolution of SiLU of the group norm of `x`."""
        scale, shift = self.norm(x, norm, film)
        half = np.multiply(x, scale * 0.5, out=self._buffer("squares", x.shape))
        half += shift * 0.5
        gate = np.tanh(half, out=self._buffer("gate", x.shape))
        gate += 1.0
        padded = self.padded(x.shape)
        np.multiply(half, gate, out=padded[:, 1:-1, 1:-1])
        return self.conv(padded, conv, stride)

    def _mean_row(self, count: int) -> Array:
        row = self._buffer("mean row", (1, count))
        if row[0, 0] == 0:
            row[...] = 1.0 / count
        return row

    def _by_group(self, rows: Array) -> Array:
        grouped: Array = rows[:, 0].reshape(len(rows), self._groups, -1).mean(2, keepdims=True)
        return grouped

    def _buffer(self, use: str, shape: tuple[int, ...]) -> Array:
        found = self._scratch.get((use, shape))
        if found is None:
            found = self._scratch[use, shape] = np.zeros(shape, np.float32)
        return found

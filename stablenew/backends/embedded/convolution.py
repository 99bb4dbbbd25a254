"""3×3 convolutions in numpy, on float32 arrays of shape (batch, height, width, channels).

Two ways: gather every window and multiply once (im2col), for any stride; or Winograd's minimal
filtering F(2×2, 3×3) (Lavin and Gray 2016), which needs 2.25 times fewer multiplications, for
stride 1. Both take what is inside a border of zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[np.float32]

_FILTER_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


class Scratch:
    """Arrays that are used again and again, by their use and shape. For one thread at a time."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, tuple[int, ...]], Array] = {}

    def buffer(self, use: str, *shape: int) -> Array:
        """Return an array with whatever was left in it; zeros the first time."""
        found = self._buffers.get((use, shape))
        if found is None:
            found = self._buffers[use, shape] = np.zeros(shape, np.float32)
        return found

    def padded(self, shape: tuple[int, ...]) -> Array:
        """Return an array for `shape` with a border of zeros; write to its interior alone."""
        batch, height, width, channels = shape
        return self.buffer("padded", batch, height + 2, width + 2, channels)


def direct_weight(weight: Array) -> Array:
    """Turn a stored weight (out, in, 3, 3) into the matrix (9·in, out) that `direct` takes."""
    matrix: Array = weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])
    return matrix


def winograd_weight(weight: Array) -> Array:
    """Turn a stored weight (out, in, 3, 3) into the matrices (16, in, out) for `winograd`."""
    transform = _FILTER_TRANSFORM
    tiles = np.einsum("ia,jb,ocab->ijco", transform, transform, weight, optimize=True)
    matrices: Array = tiles.reshape(16, weight.shape[1], weight.shape[0]).astype(np.float32)
    return matrices


def direct(padded: Array, weight: Array, stride: int, scratch: Scratch) -> Array:
    """Convolve by gathering windows.

    Args:
        padded: (batch, height + 2, width + 2, channels).
        weight: From `direct_weight`.
        stride: 1 or 2.
        scratch: Where the windows go.

    Returns:
        (batch, height / stride, width / stride, out).
    """
    batch, height, width, channels = padded.shape
    rows, columns = (height - 2) // stride, (width - 2) // stride
    step = padded.strides
    windows = as_strided(
        padded,
        (batch, rows, columns, 3, 3 * channels),
        (step[0], step[1] * stride, step[2] * stride, step[1], step[3]),
    )
    matrix = scratch.buffer("windows", batch, rows, columns, 3, 3 * channels)
    np.copyto(matrix, windows)
    out: Array = matrix.reshape(batch * rows * columns, 9 * channels) @ weight
    return out.reshape(batch, rows, columns, -1)


def winograd(padded: Array, weight: Array, scratch: Scratch) -> Array:
    """Convolve with stride 1 in tiles of 2×2; height and width are even.

    Args:
        padded: (batch, height + 2, width + 2, channels).
        weight: From `winograd_weight`.
        scratch: Where the tiles go.

    Returns:
        (batch, height, width, out).
    """
    batch, height, width, channels = padded.shape
    rows, columns, outputs = height // 2 - 1, width // 2 - 1, weight.shape[2]
    lines = scratch.buffer("lines", 4, batch, rows, width, channels)
    _transform(padded.transpose(1, 0, 2, 3), lines.transpose(0, 2, 1, 3, 4))
    tiles = scratch.buffer("tiles", 4, 4, batch, rows, columns, channels)
    _transform(lines.transpose(3, 0, 1, 2, 4), tiles.transpose(1, 4, 0, 2, 3, 5))
    products = scratch.buffer("products", 16, batch * rows * columns, outputs)
    np.matmul(tiles.reshape(16, -1, channels), weight, out=products)
    halves = scratch.buffer("halves", 2, 4, batch, rows, columns, outputs)
    _gather(products.reshape(4, 4, batch, rows, columns, outputs), halves)
    out = np.empty((batch, rows, 2, columns, 2, outputs), np.float32)
    _gather(halves.swapaxes(0, 1), out.transpose(4, 2, 0, 1, 3, 5))
    return out.reshape(batch, 2 * rows, 2 * columns, outputs)


def _transform(x: Array, out: Array) -> None:
    """Transform overlapping fours along the first axis of `x`: (2n + 2, …) to (4, n, …)."""
    first, second, third, fourth = x[0:-2:2], x[1:-1:2], x[2::2], x[3::2]
    np.subtract(first, third, out=out[0])
    np.add(second, third, out=out[1])
    np.subtract(third, second, out=out[2])
    np.subtract(second, fourth, out=out[3])


def _gather(x: Array, out: Array) -> None:
    """Sum the four transformed parts along the first axis of `x` into two: (4, …) to (2, …)."""
    np.add(x[0], x[1], out=out[0])
    out[0] += x[2]
    np.subtract(x[1], x[2], out=out[1])
    out[1] -= x[3]

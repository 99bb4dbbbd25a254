"""The embedded model's speed: 20 steps with guidance, on one core.

Prints, from one interleaved run: our time, the time of the matrix products alone (the floor), and,
where a reference implementation is given (`--reference FILE`, a module with `TinyDiffusion`), its
time. Ratios are what counts; each is of the fastest of several rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from stablenew.backends.embedded import layers
from stablenew.backends.embedded.model import WEIGHTS, Drawing, Model

DRAWING = Drawing(
    prompt="a red mushroom in a forest",
    negative_prompt="",
    seed=1,
    steps=20,
    cfg_scale=4.0,
    sampler_name="DPM++ 2M",
    scheduler="Karras",
)


class Reference(Protocol):
    """What the reference implementation has."""

    def txt2img(self, prompt: str, *, seed: int) -> object:
        """Draw with the same settings, which are its defaults."""
        ...


def load_reference(path: Path) -> Reference:
    """Load the reference implementation from its file."""
    spec = importlib.util.spec_from_file_location("reference", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    reference: Reference = module.TinyDiffusion.load(WEIGHTS)
    return reference


def matrix_products(model: Model) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the operands of every weight product of one picture, in order."""
    noted: list[tuple[np.ndarray, np.ndarray]] = []
    known: dict[tuple[int, ...], np.ndarray] = {}

    class Noting(np.ndarray):
        """A weight that notes what it is multiplied with."""

        def __array_ufunc__(
            self, ufunc: np.ufunc, method: str, *inputs: np.ndarray, **options: object
        ) -> object:
            plain = [np.asarray(each) for each in inputs]
            if ufunc is np.matmul:
                left = known.setdefault(plain[0].shape, np.ones(plain[0].shape, np.float32))
                noted.append((left, plain[1]))
            return getattr(ufunc, method)(*plain, **options)

    operands = model.denoise._layers.operands
    assert isinstance(operands, dict)
    plain = dict(operands)
    for name, weight in plain.items():
        if weight.ndim > 1 and name not in layers._KEPT_AS_ROWS:
            operands[name] = weight.view(Noting)
    model.txt2img(DRAWING, nobody)
    operands.update(plain)
    return noted


def multiply(products: list[tuple[np.ndarray, np.ndarray]]) -> None:
    for left, right in products:
        shape = (*left.shape[:-1], right.shape[-1])
        out = _results.setdefault(shape, np.empty(shape, np.float32))
        np.matmul(left, right, out=out)


_results: dict[tuple[int, ...], np.ndarray] = {}


def nobody(_step: int, _steps: int) -> None:
    """Hear of a step."""


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    model = Model()
    products = matrix_products(model)
    rivals: dict[str, Callable[[], object]] = {
        "ours": lambda: model.txt2img(DRAWING, nobody),
        "matrix products alone": lambda: multiply(products),
    }
    if options.reference:
        reference = load_reference(options.reference)
        rivals["reference"] = lambda: reference.txt2img(DRAWING.prompt, seed=DRAWING.seed)
    times: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(options.rounds):
        for name, call in rivals.items():
            times[name].append(timed(call))
    best = {name: min(values) for name, values in times.items()}
    for name, seconds in best.items():
        median = float(np.median(times[name]))
        ratio = best["ours"] / seconds
        print(f"{name:<24} best {seconds:.3f} s, median {median:.3f} s, ours / it {ratio:.2f}")
    print(f"weight products: {len(products)}")


if __name__ == "__main__":
    main()

"""The model as a whole: weights, text and denoiser put together to draw pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypedDict

import attrs
import numpy as np
from numpy.typing import NDArray

from stablenew.backends.embedded.convolution import Array
from stablenew.backends.embedded.layers import Layers, as_operands
from stablenew.backends.embedded.network import Conditioning, Denoiser
from stablenew.backends.embedded.samplers import (
    FIRST_SIGMA,
    SAMPLERS,
    Callback,
    Denoise,
    sigmas_for,
)
from stablenew.backends.embedded.text import TextEncoder, Tokenizer

Pixels = NDArray[np.uint8]

WEIGHTS = Path(__file__).parent / "stablenew-tiny-v1.npz"


@attrs.frozen(kw_only=True)
class Drawing:
    """What to draw, in the WebUI's words.

    Attributes:
        seed: Of the noise; its lowest 32 bits count.
        steps: Sampling steps, 1 or more.
        cfg_scale: Classifier-free guidance (Ho and Salimans 2022); 1 is none.
    """

    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    cfg_scale: float
    sampler_name: str
    scheduler: str


class _Meta(TypedDict):
    """What the weights' file says of itself."""

    cfg: dict[str, int]
    vocab: list[str]
    stop: list[str]
    alias: dict[str, str]


@attrs.frozen(kw_only=True)
class Weights:
    """What a weights' file holds, ready to be multiplied with.

    Attributes:
        operands: What `as_operands` made; all models of a process share them.
    """

    name: str
    hash: str
    meta: _Meta
    operands: Mapping[str, Array]


class Model:
    """A text-to-image diffusion model of 64×64 pixels. For one thread at a time.

    Attributes:
        size: The side of its pictures in pixels.
        name: What infotext calls it.
        hash: The first ten hexadecimal digits of its file's SHA-256, as the WebUI shows it.
    """

    size = 64

    def __init__(self, path: Path = WEIGHTS) -> None:
        weights = load_weights(path)
        self.name = weights.name
        self.hash = weights.hash
        meta = weights.meta
        shape = meta["cfg"]
        layers = Layers(weights.operands, shape["groups"])
        self.tokenizer = Tokenizer(meta["vocab"], meta["stop"], meta["alias"], shape["T"])
        self.encode = TextEncoder(layers, depth=shape["TL"], heads=shape["TH"])
        self.denoise = Denoiser(layers, heads=shape["heads"], sigma_data=shape["sd"])

    def txt2img(self, drawing: Drawing, callback: Callback) -> Pixels:
        """Draw a picture, (64, 64, 3); `callback` hears of every step and may raise to stop."""
        sigmas = sigmas_for(drawing.steps, drawing.scheduler, FIRST_SIGMA)
        return self._sample(drawing, sigmas, np.float32(0), callback)

    def img2img(
        self, drawing: Drawing, image: Pixels, denoising_strength: float, callback: Callback
    ) -> Pixels:
        """Redraw `image`, (64, 64, 3), from the noise level that the strength (0 to 1) asks for."""
        steps = max(1, min(drawing.steps, round(drawing.steps * denoising_strength)))
        sigmas = sigmas_for(drawing.steps, drawing.scheduler)[drawing.steps - steps :]
        start = image.astype(np.float32)[None] / np.float32(127.5) - np.float32(1)
        return self._sample(drawing, sigmas, start, callback)

    def _sample(
        self, drawing: Drawing, sigmas: list[float], start: Array | np.float32, callback: Callback
    ) -> Pixels:
        # The legacy generator's stream is frozen: the same seed, the same picture, for good.
        generator = np.random.RandomState(drawing.seed & 0xFFFFFFFF)

        def noise() -> Array:
            shape = (1, self.size, self.size, 3)
            return generator.standard_normal(shape).astype(np.float32)

        x = noise() * np.float32(sigmas[0]) + start
        sampler = SAMPLERS[drawing.sampler_name]
        x = sampler(self._guided(drawing), x, sigmas, noise, callback)
        pixels: Pixels = np.clip(np.rint((x[0] + 1) * 127.5), 0, 255).astype(np.uint8)
        return pixels

    def _guided(self, drawing: Drawing) -> Denoise:
        """Return the denoiser with classifier-free guidance; the two sides go as one batch."""
        scale = np.float32(drawing.cfg_scale)
        prompts = [self.tokenizer(drawing.prompt)]
        if scale == 1:
            text = self.encode(prompts)
            return lambda x, sigma: self.denoise(x, sigma, text)
        both: Conditioning = self.encode([*prompts, self.tokenizer(drawing.negative_prompt)])

        def guided(x: Array, sigma: float) -> Array:
            wanted, unwanted = self.denoise(np.concatenate([x, x]), sigma, both)
            mixed: Array = unwanted + scale * (wanted - unwanted)
            return mixed[None]

        return guided


@cache
def load_weights(path: Path) -> Weights:
    """Read a weights' file once: a process that opens many backends holds its 40 MB once."""
    weights, meta = _read(path)
    operands = as_operands(weights)
    for operand in operands.values():
        operand.setflags(write=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Weights(name=path.stem, hash=digest[:10], meta=meta, operands=operands)


def _read(path: Path) -> tuple[dict[str, Array], _Meta]:
    """Read the weights: int8 rows with float16 scales, and what the file says of itself."""
    weights: dict[str, Array] = {}
    with np.load(path, allow_pickle=False) as file:
        meta: _Meta = json.loads(bytes(file["__meta__"]))
        for name in file.files:
            if name.startswith("__") or name.endswith(".scale"):
                continue
            weight = file[name].astype(np.float32)
            if file[name].dtype == np.int8:
                scale = file[f"{name}.scale"].astype(np.float32)
                weight *= scale.reshape(-1, *[1] * (weight.ndim - 1))
            weights[name] = weight
    return weights, meta

"""Simulated people for tests: a truth over two or three settings, rated with noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from stablenew.advice.judgements import Chosen, Judged, Rated
from stablenew.advice.setting_axis import SettingAxis
from stablenew.config.pipeline_config import Setting

CFG = SettingAxis(path="txt2img.cfg_scale", low=1, high=12)
STEPS = SettingAxis(path="txt2img.steps", low=4, high=40, log=True, whole=True)
SAMPLER = SettingAxis(path="txt2img.sampler_name", names=("Euler", "Heun", "LMS"))
AXES = (CFG, STEPS, SAMPLER)


def worth(settings: Mapping[str, Setting]) -> float:
    """Return what settings are worth: cfg 5 is best with Euler, 8 with others; steps do nothing."""
    best = 5.0 if settings[SAMPLER.path] == "Euler" else 8.0
    away = float(settings[CFG.path] or 0) - best
    return 1.8 + 2.6 * math.exp(-0.5 * (away / 2.5) ** 2) - 0.5 * (settings[SAMPLER.path] == "LMS")


def some_settings(random: np.random.Generator) -> dict[str, Setting]:
    """Return a configuration at random."""
    return {axis.path: axis.values[int(random.integers(len(axis.values)))] for axis in AXES}


def some_ratings(count: int, *, seed: int = 1, noise: float = 0.6, prompts: int = 3) -> list[Rated]:
    """Return ratings of configurations at random."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        settings = some_settings(random)
        said = round(worth(settings) + random.normal(0, noise))
        picture = Judged(settings=settings, prompt=number % prompts, seed=number % 2)
        found.append(Rated(picture=picture, rating=int(np.clip(said, 1, 5))))
    return found


def some_choices(count: int, *, seed: int = 1, noise: float = 0.6) -> list[Chosen]:
    """Return choices between two configurations at random, under one prompt."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        one, other = (Judged(settings=some_settings(random), prompt="a") for _ in range(2))
        apart = worth(one.settings) - worth(other.settings) + random.normal(0, noise * 1.4)
        better, worse = (one, other) if apart > 0 else (other, one)
        found.append(Chosen(better=better, worse=worse))
    return found

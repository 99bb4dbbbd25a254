"""Simulated people for benchmarks: what they like of a space of settings, and how they rate.

What somebody likes is a sum of shapes, one for each setting, some of them shifted by another
setting, scaled so that the best is worth 4.1 to 4.7 points and the average 1.3 to 1.9 less.
`inside` says where the best of a number lies: inside its range, at an end of it, or either. A
prompt moves all its pictures, tilts one setting, and has seeds with luck of their own; a person has
noise and marks. Everybody is made from the space and a number: the same in every run, whatever is
asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from stablenew.advice.setting_axis import SettingAxis
from stablenew.config.pipeline_config import Setting

Array = NDArray[np.float64]
Shape = Callable[[Array], Array]

CFG = SettingAxis(path="txt2img.cfg_scale", low=1, high=15)
STEPS = SettingAxis(path="txt2img.steps", low=4, high=50, log=True, whole=True)
STRENGTH = SettingAxis(path="img2img.denoising_strength", low=0.1, high=0.9)
ETA = SettingAxis(path="txt2img.eta", low=0, high=1)
SCALE = SettingAxis(path="txt2img.hr_scale", low=1, high=3)
SAMPLER = SettingAxis(
    path="txt2img.sampler_name", names=("Euler", "Euler a", "Heun", "DPM++ 2M", "DDIM", "LMS")
)
SCHEDULER = SettingAxis(path="txt2img.scheduler", names=("Normal", "Karras", "Exponential"))
MODEL = SettingAxis(path="txt2img.model", names=("alpha", "beta", "gamma", "delta", "epsilon"))

SPACES: Mapping[str, tuple[SettingAxis, ...]] = {
    "cfg": (CFG,),
    "cfg, steps": (CFG, STEPS),
    "cfg, steps, sampler": (CFG, STEPS, SAMPLER),
    "five, with names": (CFG, STEPS, STRENGTH, SAMPLER, SCHEDULER),
    "five numbers": (CFG, STEPS, STRENGTH, ETA, SCALE),
    "three names": (SAMPLER, SCHEDULER, MODEL),
}

WHERE = ("inside", "ends", "either")
"""Where the best of a number lies."""

_SEEDS = 8
_RATED = 3_000


class Person:
    """Somebody who likes some settings better than others.

    Args:
        space: Of `SPACES`.
        number: Of the person.
        inside: One of `WHERE`.
    """

    def __init__(self, space: str, number: int, inside: str = "inside") -> None:
        self.axes = SPACES[space]
        self.random = np.random.default_rng([[*SPACES].index(space), number, WHERE.index(inside)])
        self._shapes = [self._shape(axis, inside) for axis in self.axes]
        self._idle = self._some_idle()
        self._leads = [self._lead(j) for j in range(len(self.axes))]
        self._shifts = [float(self.random.normal(0, 0.22)) for _ in self.axes]
        grid = np.stack(
            [self.random.permuted(np.resize(axis.places, 6_000)) for axis in self.axes], axis=1
        )
        self._stretch, self._base = 1.0, 0.0
        raw = self._raw(grid)
        self._stretch = self.random.uniform(1.3, 1.9) / max(float(raw.max() - raw.mean()), 1e-9)
        self._base = self.random.uniform(4.1, 4.7) - self._stretch * float(raw.max())
        self.prompts = int(self.random.integers(3, 9))
        self._prompt = self.random.normal(0, 0.4, self.prompts)
        self._seed = self.random.normal(0, 0.3, (self.prompts, _SEEDS))
        self._tilt = self.random.normal(0, 0.35, self.prompts)
        self.noise = float(self.random.uniform(0.5, 1.0))
        self._marks = (np.array([1.5, 2.5, 3.5, 4.5]) - 3.0) * self.random.uniform(
            0.8, 1.15
        ) + self.random.normal(3.0, 0.25)
        self._luck = self.random.standard_normal(_RATED)
        self._looks = 0
        self.best = self._climbed(grid)

    def _shape(self, axis: SettingAxis, inside: str) -> Shape:
        if axis.names:
            worth = self.random.normal(0, 0.5, len(axis.names))
            return lambda places: np.asarray(worth[places.astype(int)])
        kind = inside if inside != "either" else str(self.random.choice(WHERE[:2]))
        height = float(self.random.uniform(0.7, 1.5))
        if kind == "ends":
            steep, up = float(self.random.uniform(1.0, 5.0)), float(self.random.choice([-1, 1]))
            return lambda u: height * np.tanh(steep * (0.5 + up * (u - 0.5))) / math.tanh(steep)
        centre, width = float(self.random.uniform(0.2, 0.8)), float(self.random.uniform(0.12, 0.35))
        if self.random.random() < 0.25:  # a lower hill besides
            second = centre + 0.45 if centre < 0.5 else centre - 0.45
            return lambda u: (
                height
                * np.maximum(_hill(u, centre, width * 0.7), 0.75 * _hill(u, second, width * 0.7))
            )
        return lambda u: height * _hill(u, centre, width)

    def _some_idle(self) -> set[int]:
        count = len(self.axes)
        if count < 2 or self.random.random() < 0.6:
            return set()
        return set(self.random.choice(count, count // 2, replace=False).tolist())

    def _lead(self, j: int) -> int | None:
        """Return the setting that shifts another one's best, None for most."""
        others = [k for k in range(len(self.axes)) if k != j and k not in self._idle]
        if not others or self.random.random() < 0.5:
            return None
        return int(self.random.choice(others))

    def _raw(self, rows: Array) -> Array:
        found = np.zeros(len(rows))
        for j, shape in enumerate(self._shapes):
            if j in self._idle:
                continue
            places, lead = rows[:, j], self._leads[j]
            if lead is not None and not self.axes[j].names:
                other = rows[:, lead]
                if self.axes[lead].names:  # every name shifts it elsewhere
                    move = np.sin(2.4 * other + 40.0 * self._shifts[j])
                else:
                    move = 2.0 * other - 1.0
                places = np.clip(places + self._shifts[j] * move, 0.0, 1.0)
            found += shape(places)
        return found

    def _worth(self, rows: Array) -> Array:
        tilt = float(self._tilt.mean()) * self._tilted(rows)
        return self._stretch * self._raw(rows) + self._base + tilt

    def _tilted(self, rows: Array) -> Array:
        size = len(self.axes[0].names) - 1 if self.axes[0].names else 1
        return np.asarray(rows[:, 0] / size - 0.5)

    def _climbed(self, grid: Array) -> float:
        """Return what the best configuration is worth."""
        starts = grid[np.argsort(-self._worth(grid))[:8]]
        best = -math.inf
        for row in starts:
            for _ in range(6):
                for j, axis in enumerate(self.axes):
                    near = np.tile(row, (len(axis.places), 1))
                    near[:, j] = axis.places
                    row = near[int(self._worth(near).argmax())]
            best = max(best, float(self._worth(row[None, :])[0]))
        return best

    def row(self, settings: Mapping[str, Setting]) -> Array:
        return np.array([[axis.places_of([settings[axis.path]])[0] for axis in self.axes]])

    def worth(self, settings: Mapping[str, Setting]) -> float:
        """Return what settings are worth over all prompts and seeds."""
        return float(self._worth(self.row(settings))[0])

    def expected_rating(self, settings: Mapping[str, Setting]) -> float:
        """Return what settings are worth on this person's own scale, over their prompts and seeds.

        Someone whose marks stand low calls a 3.2 a 4: an advice is of their ratings.
        """
        own = self.worth(settings) + float(self._prompt.mean() + self._seed.mean())
        middle, apart = float(self._marks.mean()), float(self._marks[-1] - self._marks[0]) / 3.0
        return min(max(3.0 + (own - middle) / apart, 1.0), 5.0)

    @property
    def matters(self) -> list[bool]:
        """For each setting whether it does anything; prompts together may tilt the first one."""
        tilted = abs(float(self._tilt.mean())) > 0.1
        return [j not in self._idle or (j == 0 and tilted) for j in range(len(self.axes))]

    def regret(self, settings: Mapping[str, Setting]) -> float:
        return max(0.0, self.best - self.worth(settings))

    def impression(self, settings: Mapping[str, Setting], prompt: int, seed: int) -> float:
        row = self.row(settings)
        own = (self._tilt[prompt] - self._tilt.mean()) * self._tilted(row)[0]
        self._looks += 1
        luck = self.noise * self._luck[self._looks % _RATED]
        said = self._worth(row)[0] + own + self._prompt[prompt] + self._seed[prompt, seed] + luck
        return float(said)

    def rate(self, settings: Mapping[str, Setting], prompt: int, seed: int) -> int:
        return 1 + int((self.impression(settings, prompt, seed) > self._marks).sum())


def _hill(u: Array, centre: float, width: float) -> Array:
    return np.asarray(np.exp(-0.5 * ((u - centre) / width) ** 2))

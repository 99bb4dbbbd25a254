"""How good the advice is: simulated people rate simulated settings, and the regret is measured.

A truth is a quality for each of 12 values (smooth, with two hills, or of unordered names); a person
rounds it to 1–5 with noise and a seed's own luck. Pictures are rated one after the other: at
random, or as the recommender asks (its most promising candidate). The regret is the quality of the
best value less that of the advised one. Beside the advice: the value with the best mean rating, the
value that was rated most, and Optuna's GP sampler where it is installed (with torch).

Usage: bench_recommend.py [--people 60]
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stablenew.advice.evidence import evidence_of
from stablenew.advice.observations import Observations, Picture
from stablenew.advice.preference_model import believe
from stablenew.advice.recommendation import advise
from stablenew.advice.value_axis import indices, points
from stablenew.config.pipeline_config import Setting

VALUES: tuple[Setting, ...] = tuple(range(1, 13))
NAMES: tuple[Setting, ...] = tuple("abcdefghijkl")
CHECKED = (10, 20, 40)
PATH = "txt2img.cfg_scale"

Truth = dict[Setting, float]


def smooth(random: np.random.Generator) -> Truth:
    peak, width = random.uniform(2, 11), random.uniform(2.5, 6)
    return {v: 1.8 + 2.6 * float(np.exp(-(((float(v) - peak) / width) ** 2))) for v in VALUES}  # type: ignore[arg-type]


def two_hills(random: np.random.Generator) -> Truth:
    one, other = random.uniform(1, 5), random.uniform(8, 12)
    return {
        v: 1.6 + max(2.8 * float(np.exp(-(((float(v) - one) / 1.5) ** 2))),  # type: ignore[arg-type]
                     2.2 * float(np.exp(-(((float(v) - other) / 2.0) ** 2))))  # type: ignore[arg-type]
        for v in VALUES
    }  # fmt: skip


def names(random: np.random.Generator) -> Truth:
    return {v: float(random.uniform(1.5, 4.5)) for v in NAMES}


def rate(truth: Truth, value: Setting, luck: float, random: np.random.Generator) -> int:
    return int(np.clip(round(truth[value] + luck + random.normal(0, 0.7)), 1, 5))


class Person:
    """Somebody who rates one picture after the other."""

    def __init__(self, truth: Truth, seed: int) -> None:
        self.truth = truth
        self.random = np.random.default_rng(seed)
        self.luck = self.random.normal(0, 0.4, 8)
        self.pictures: dict[tuple[str, str], Picture] = {}

    def look(self, value: Setting) -> None:
        number = len(self.pictures)
        seed = number % len(self.luck)
        rating = rate(self.truth, value, float(self.luck[seed]), self.random)
        picture = Picture(
            run_id=f"r{number}",
            image_id="x",
            settings={PATH: value},
            context=str(seed),
            rating=rating,
        )
        self.pictures[picture.key] = picture

    @property
    def seen(self) -> Observations:
        return Observations(pictures=self.pictures)

    def regret(self, value: Setting) -> float:
        return max(self.truth.values()) - self.truth[value]


def at_random(person: Person, values: tuple[Setting, ...]) -> Setting:
    return values[int(person.random.integers(len(values)))]


def as_asked(person: Person, values: tuple[Setting, ...]) -> Setting:
    """Return the candidate that may be expected to beat the best by most."""
    if len(person.pictures) < 3:
        return values[(0, len(values) // 2, len(values) - 1)[len(person.pictures)]]
    evidence = evidence_of(PATH, person.seen, indices(values), None, None)
    draws = believe(points(values), len(values), evidence).draws
    best = draws.mean(axis=0).max()
    return values[int(np.argmax(np.maximum(draws - best, 0).mean(axis=0)))]


def by_mean(person: Person) -> Setting:
    scores: dict[Setting, list[int]] = {}
    for picture in person.pictures.values():
        assert picture.rating is not None
        scores.setdefault(picture.settings[PATH], []).append(picture.rating)
    return max(scores, key=lambda value: statistics.mean(scores[value]))


def by_count(person: Person) -> Setting:
    counts: dict[Setting, int] = {}
    for picture in person.pictures.values():
        counts[picture.settings[PATH]] = counts.get(picture.settings[PATH], 0) + 1
    return max(counts, key=lambda value: counts[value])


def ours(person: Person) -> Setting:
    return advise(person.seen)[0].value


def measure(
    make: Callable[[np.random.Generator], Truth],
    choose: Callable[[Person, tuple[Setting, ...]], Setting],
    people: int,
) -> dict[str, list[list[float]]]:
    found: dict[str, list[list[float]]] = {}
    for seed in range(people):
        truth = make(np.random.default_rng(1_000 + seed))
        person = Person(truth, seed)
        for count in range(1, CHECKED[-1] + 1):
            person.look(choose(person, tuple(truth)))
            if count in CHECKED:
                for label, advice in (("advice", ours), ("mean", by_mean), ("most", by_count)):
                    found.setdefault(label, [[] for _ in CHECKED])[CHECKED.index(count)].append(
                        person.regret(advice(person))
                    )
    return found


def by_optuna(make: Callable[[np.random.Generator], Truth], people: int) -> list[list[float]]:
    optuna: Any = importlib.import_module("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    regrets: list[list[float]] = [[] for _ in CHECKED]
    for seed in range(people):
        truth = make(np.random.default_rng(1_000 + seed))
        person = Person(truth, seed)
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.GPSampler(seed=seed)
        )
        for count in range(1, CHECKED[-1] + 1):
            trial = study.ask()
            person.look(trial.suggest_int("v", 1, 12))
            rating = list(person.pictures.values())[-1].rating
            study.tell(trial, rating)
            if count in CHECKED:
                regrets[CHECKED.index(count)].append(person.regret(study.best_params["v"]))
    return regrets


def shown(label: str, regrets: list[list[float]]) -> None:
    cells = [f"{statistics.mean(each):.2f}" for each in regrets]
    print(f"  {label:<44}" + "  ".join(cells))


def speed(count: int) -> float:
    """Return the median time of an advice from so many ratings, in ms."""
    random = np.random.default_rng(1)
    truth = smooth(random)
    person = Person(truth, 1)
    for _ in range(count):
        person.look(at_random(person, tuple(truth)))
    times = []
    for _ in range(9):
        started = time.perf_counter()
        ours(person)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def main(people: int) -> None:
    print(f"regret after {CHECKED} ratings, mean of {people} people (a rating has five points)")
    for make in (smooth, two_hills, names):
        print(make.__name__)
        randomly, asked = (measure(make, choose, people) for choose in (at_random, as_asked))
        shown("advice, pictures at random", randomly["advice"])
        shown("best mean rating, pictures at random", randomly["mean"])
        shown("most rated, pictures at random", randomly["most"])
        shown("advice, pictures as the recommender asks", asked["advice"])
        if make is not names:
            try:
                shown("optuna's GP sampler and its best", by_optuna(make, min(people, 20)))
            except ImportError:
                print("  optuna or torch is not installed; its GP sampler is left out")
    for count in (60, 5_000):
        print(f"an advice from {count} ratings: {speed(count):.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=60)
    main(parser.parse_args().people)

"""How good the joint advice is: simulated people rate, and the regret of the advice is measured.

The regret is what the best settings are worth less what the advised ones are, over all prompts. A
rating has five points. Beside the joint model: a table (an even spread of pictures, and the mean of
each setting's values), today's advice setting by setting on pictures at random, and Optuna's TPE
where it is installed. Prompts and seeds take turns for those.

Usage: bench_advice.py [--people 12] [--first 0] [--spaces "cfg, steps"] [--inside inside,ends]
                       [--prior hump_share=1] [--methods joint,table]
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core: what a suggestion may have

import argparse
import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
import numpy as np
from simulated_people import SPACES, Person

from stablenew.advice.asking import FIRST, ask
from stablenew.advice.asking_pairs import ask_pairs
from stablenew.advice.joint_advice import IDLE, MATTERS, advise_jointly
from stablenew.advice.joint_model import Draws, JointModel
from stablenew.advice.judgements import Chosen, Judged, Rated
from stablenew.advice.observations import Observations, Picture
from stablenew.advice.priors import Prior, read_priors
from stablenew.advice.recommendation import advise
from stablenew.config.pipeline_config import Setting

CHECKED = (20, 40, 60)
EVERY = tuple(range(5, 61, 5))
CLOSE = 0.25

Settings = dict[str, Setting]


class Method(Protocol):
    """Asks for pictures, and says which settings are best."""

    def next(self, count: int) -> Sequence[tuple[Settings, int, int]]: ...
    def hear(self, rated: Sequence[tuple[Settings, int, int, int]]) -> None: ...
    def best(self) -> Settings: ...


class Joint:
    """The joint model, in batches of four."""

    def __init__(self, person: Person, prior: Prior, seed: int) -> None:
        self.model = JointModel(person.axes, prior, seed=seed)
        self.draws: Draws | None = None
        self.prompts = np.random.default_rng(seed).permutation(person.prompts).tolist()
        self.seconds: list[float] = []

    def next(self, count: int) -> Sequence[tuple[Settings, int, int]]:
        started = time.process_time()
        if self.model.count:
            self.draws = self.model.fit()
        asked = ask(self.model, self.draws, batch=count, prompts=self.prompts, seeds=range(8))
        self.seconds.append(time.process_time() - started)
        return [(dict(each.settings), int(each.prompt), int(each.seed)) for each in asked]  # type: ignore[call-overload]  # they are those of `prompts` and `seeds`

    def hear(self, rated: Sequence[tuple[Settings, int, int, int]]) -> None:
        self.model.tell(
            Rated(picture=Judged(settings=settings, prompt=prompt, seed=seed), rating=rating)
            for settings, prompt, seed, rating in rated
        )

    def best(self) -> Settings:
        self.advice = advise_jointly(self.model, self.model.fit())
        return dict(self.advice.settings)


class JointByChoices(Joint):
    """The joint model, told which of two pictures is better, a pair at a time."""

    def choose(self, person: Person) -> int:
        """Have somebody choose, and return how often."""
        draws = self.model.fit() if self.model.count else None
        pairs = ask_pairs(self.model, draws, count=1, prompts=self.prompts, seeds=range(8))
        for pair in pairs:
            liked = [person.impression(each.settings, each.prompt, each.seed) for each in pair]  # type: ignore[arg-type]  # they are those of `prompts` and `seeds`
            better, worse = pair if liked[0] > liked[1] else pair[::-1]
            self.model.tell(choices=[Chosen(better=better, worse=worse)])
        return len(pairs)


class Turns:
    """Prompts and seeds take turns; settings at random."""

    def __init__(self, person: Person, _: Prior, seed: int) -> None:
        self.axes, self.count = person.axes, person.prompts
        self.random = np.random.default_rng(seed)
        self.rated: list[tuple[Settings, int, int, int]] = []

    def settings(self) -> Settings:
        return {
            axis.path: axis.values[int(self.random.integers(len(axis.values)))]
            for axis in self.axes
        }

    def next(self, count: int) -> Sequence[tuple[Settings, int, int]]:
        first = len(self.rated)
        return [
            (self.settings(), n % self.count, int(self.random.integers(8)))
            for n in range(first, first + count)
        ]

    def hear(self, rated: Sequence[tuple[Settings, int, int, int]]) -> None:
        self.rated += rated


class Table(Turns):
    """Means of each setting's values, numbers in five parts; a ridge regression of all of them."""

    def best(self) -> Settings:
        levels = [self._levels(axis.path) for axis in self.axes]
        columns = np.concatenate(
            [level[:, None] == np.arange(level.max() + 1) for level in levels], axis=1
        ).astype(float)
        ratings = np.array([rating for *_, rating in self.rated], dtype=float)
        ridge = columns.T @ columns + np.eye(columns.shape[1])
        weights = np.linalg.solve(ridge, columns.T @ (ratings - ratings.mean()))
        found: Settings = {}
        for axis, level in zip(self.axes, levels, strict=True):
            own, weights = weights[: level.max() + 1], weights[level.max() + 1 :]
            best = int(own.argmax())
            places = axis.places
            parts = len(axis.names) or 5
            middle = best if axis.names else (best + 0.5) / parts
            found[axis.path] = axis.values[int(np.abs(places - middle).argmin())]
        return found

    def _levels(self, path: str) -> np.ndarray[Any, np.dtype[np.intp]]:
        axis = next(each for each in self.axes if each.path == path)
        places = axis.places_of([settings[path] for settings, *_ in self.rated])
        return places.astype(int) if axis.names else np.minimum((places * 5).astype(int), 4)


class SettingBySetting(Turns):
    """The advice for each setting by itself."""

    def best(self) -> Settings:
        pictures = {}
        for number, (settings, prompt, seed, rating) in enumerate(self.rated):
            picture = Picture(
                run_id=f"r{number}",
                image_id="x",
                settings=settings,
                context=f"{prompt}/{seed}",
                rating=rating,
            )
            pictures[picture.key] = picture
        return {each.parameter: each.value for each in advise(Observations(pictures=pictures))}


class Tpe(Turns):
    """Optuna's tree-structured Parzen estimator, and its best trial."""

    def __init__(self, person: Person, prior: Prior, seed: int) -> None:
        super().__init__(person, prior, seed)
        optuna: Any = importlib.import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed)
        )
        self.open: list[Any] = []

    def settings(self) -> Settings:
        trial = self.study.ask()
        self.open.append(trial)
        return {
            axis.path: trial.suggest_categorical(axis.path, axis.values)
            if axis.names
            else axis.values[trial.suggest_int(axis.path, 0, len(axis.values) - 1)]
            for axis in self.axes
        }

    def hear(self, rated: Sequence[tuple[Settings, int, int, int]]) -> None:
        super().hear(rated)
        for *_, rating in rated:
            self.study.tell(self.open.pop(0), rating)

    def best(self) -> Settings:
        return {
            axis.path: value if axis.names else axis.values[value]
            for axis in self.axes
            for value in [self.study.best_params[axis.path]]
        }


METHODS: dict[str, Callable[[Person, Prior, int], Any]] = {
    "joint": Joint,
    "joint by choices": JointByChoices,
    "setting by setting": SettingBySetting,
    "table": Table,
    "TPE": Tpe,
}


@attrs.define
class Seen:
    """What became of one person.

    Attributes:
        regrets: After each of `EVERY` ratings.
        covered: Whether the told interval held the truth, after each of `CHECKED`.
        enough: After each of `EVERY`, whether it was said to be enough.
        expected: What was expected of the regret, after each of `CHECKED`.
        matters: For each setting the probability that it matters, and whether it does, likewise.
        seconds: The median of the last suggestions.
    """

    regrets: list[float] = attrs.field(factory=list)
    covered: list[bool] = attrs.field(factory=list)
    enough: list[bool] = attrs.field(factory=list)
    expected: list[float] = attrs.field(factory=list)
    matters: list[list[tuple[float, bool]]] = attrs.field(factory=list)
    seconds: float = 0.0


def look(method: Method, person: Person) -> Seen:
    seen, count = Seen(), 0
    while count < EVERY[-1]:
        due = next(each for each in EVERY if each > count)
        wanted = min(FIRST if count == 0 else 4, due - count)
        if isinstance(method, JointByChoices):
            count += method.choose(person)
        else:
            asked = method.next(wanted)
            method.hear([(s, p, seed, person.rate(s, p, seed)) for s, p, seed in asked])
            count += len(asked)
        if count < due:
            continue
        best = method.best()
        seen.regrets.append(person.regret(best))
        if isinstance(method, Joint):
            seen.enough.append(method.advice.enough)
            if count in CHECKED:
                advice, worth = method.advice, person.expected_rating(best)
                low, high = advice.low, advice.high
                seen.covered.append(low is not None and high is not None and low <= worth <= high)
                seen.expected.append(advice.expected_regret)
                if len(person.axes) > 1:
                    shares = method.model.matters()
                    seen.matters.append([*zip(shares.tolist(), person.matters, strict=True)])
    if isinstance(method, Joint) and method.seconds:
        seen.seconds = float(np.median(method.seconds[-5:]))
    return seen


def shown(label: str, people: Sequence[Seen]) -> None:
    regrets = np.array([each.regrets for each in people])
    at = [EVERY.index(each) for each in CHECKED]
    error = regrets[:, at].std(axis=0) / max(len(people) - 1, 1) ** 0.5
    cells = [f"{m:.2f}±{e:.2f}" for m, e in zip(regrets[:, at].mean(axis=0), error, strict=True)]
    reached = [n for n, mean in zip(EVERY, regrets.mean(axis=0), strict=True) if mean <= CLOSE]
    typical = [
        n for n, each in zip(EVERY, np.median(regrets, axis=0), strict=True) if each <= CLOSE
    ]
    first = f"{reached[0] if reached else '>60'} ({typical[0] if typical else '>60'})"
    print(f"  {label:<22}{'  '.join(cells)}   to {CLOSE}: {first}", end="")
    if people[0].covered:
        told = [pair for each in people for pairs in each.matters for pair in pairs]
        idle = [not truth for share, truth in told if share < IDLE]
        matters = [truth for share, truth in told if share >= MATTERS]
        covered = np.mean([each.covered for each in people], axis=0)
        expected = np.mean([each.expected for each in people], axis=0)
        said = [
            regret <= CLOSE
            for each in people
            for regret, enough in zip(each.regrets, each.enough, strict=True)
            if enough
        ]
        ever = sum(any(each.enough) for each in people)
        print(
            f"   expected {' '.join(f'{each:.2f}' for each in expected)}"
            f"   covered {' '.join(f'{each:.2f}' for each in covered)}"
            f"   enough {sum(said)} right of {len(said)}, ever {ever} of {len(people)}"
            f"   matters {sum(matters)} right of {len(matters)},"
            f" does not {sum(idle)} of {len(idle)}, of {len(told)}"
            f"   {1e3 * np.median([each.seconds for each in people]):.0f} ms",
            end="",
        )
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--spaces", default=";".join(SPACES))
    parser.add_argument("--inside", default="inside,ends")
    parser.add_argument("--prior", action="append", default=[])
    parser.add_argument("--methods", default=",".join(METHODS))
    flags = parser.parse_args()
    pairs = [each.split("=") for each in flags.prior]
    changes: dict[str, Any] = {name: float(value) for name, value in pairs}
    prior = attrs.evolve(read_priors(), **changes)
    print(
        f"regret after {CHECKED} ratings, people {flags.first} to {flags.first + flags.people - 1}"
    )
    for inside in flags.inside.split(","):
        for space in flags.spaces.split(";"):
            print(f"{space.strip()}; the best of a number: {inside}")
            for label in flags.methods.split(","):
                try:
                    people = [
                        look(METHODS[label](person, prior, number), person)
                        for number in range(flags.first, flags.first + flags.people)
                        for person in [Person(space.strip(), number, inside)]
                    ]
                except ImportError:
                    print(f"  {label:<22}not installed")
                else:
                    shown(label, people)


if __name__ == "__main__":
    main()

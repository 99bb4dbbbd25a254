"""What the joint advice costs: a suggestion, in processor seconds, and the loop beside a fit.

Usage: bench_advice_speed.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core: what a suggestion may have

import asyncio
import resource
import time

import numpy as np
from bench_support import heartbeat, shown
from simulated_people import Person

from stablenew.advice.asking import ask
from stablenew.advice.joint_model import Draws, JointModel, restore, state
from stablenew.advice.judgements import Judged, Rated


def some_ratings(person: Person, count: int) -> list[Rated]:
    """Return a person's ratings of configurations at random."""
    random = np.random.default_rng(0)
    ratings = []
    for n in range(count):
        settings = {
            axis.path: axis.values[int(random.integers(len(axis.values)))] for axis in person.axes
        }
        prompt, seed = n % person.prompts, int(random.integers(4))
        picture = Judged(settings=settings, prompt=prompt, seed=seed)
        ratings.append(Rated(picture=picture, rating=person.rate(settings, prompt, seed)))
    return ratings


def speed(count: int, repeats: int) -> None:
    """Print what a suggestion from so many ratings costs, and what a fit costs the loop beside it.

    A suggestion begins anew, goes on in one process, or goes on from the file that another left.
    """
    person = Person("five, with names", 0)
    ratings = some_ratings(person, count + 4)
    times: dict[str, list[float]] = {"anew": [], "goes on": [], "from the file": []}
    for _ in range(repeats):
        model = JointModel(person.axes)
        model.tell(ratings[:count])
        for label in ("anew", "goes on"):
            started = time.process_time()
            suggest(model, model.fit(), person)
            times[label].append(time.process_time() - started)
        again = JointModel(person.axes)
        again.tell(ratings)
        restore(again, state(model))
        started = time.process_time()
        suggest(again, again.fit(), person)
        times["from the file"].append(time.process_time() - started)
    cells = ", ".join(f"{label} {1e3 * np.median(each):.0f} ms" for label, each in times.items())
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"a suggestion from {count:,} ratings of five settings: {cells}; {most:.0f} MB at most")

    async def fits() -> None:
        def fit() -> None:
            for _ in range(repeats):
                again = JointModel(person.axes)
                again.tell(ratings)
                suggest(again, again.fit(), person)

        await asyncio.to_thread(fit)

    async def nothing() -> None:
        await asyncio.to_thread(time.sleep, 1.0)

    late, idle = (asyncio.run(heartbeat(each, 0.005)) for each in (fits, nothing))
    print(f"  the loop beside it: {shown(late)}; with nothing beside it: {shown(idle)}")


def suggest(model: JointModel, draws: Draws, person: Person) -> None:
    ask(model, draws, batch=4, prompts=range(person.prompts), seeds=range(4))


if __name__ == "__main__":
    for ratings, times in ((60, 7), (1_000, 5), (5_000, 3)):
        speed(ratings, times)

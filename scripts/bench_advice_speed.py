"""What the joint advice costs: a suggestion, in processor seconds, and the loop beside a fit.

Usage: bench_advice_speed.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core: what a suggestion may have

import asyncio
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_support import shown
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

    def fits() -> None:
        for _ in range(repeats):
            again = JointModel(person.axes)
            again.tell(ratings)
            suggest(again, again.fit(), person)

    print(f"  Python's lock held up the loop beside it: {shown(asyncio.run(held_up(fits)))}")


async def held_up(work: Callable[[], None]) -> list[float]:
    """Return by how many ms each beat of the loop came late while a thread worked, for its sake.

    What the loop waited for a processor does not count, and no beat counts for more than the thread
    computed meanwhile: other programs keep this machine busy. Needs Linux.
    """
    threads: list[int] = []

    def begun() -> None:
        threads.append(threading.get_native_id())
        work()

    working = asyncio.ensure_future(asyncio.to_thread(begun))
    await asyncio.sleep(0.02)
    late: list[float] = []
    while not working.done():
        waited, computed = _schedule()[1], _schedule(threads[0])[0]
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        beat = (time.perf_counter() - started - 0.005) * 1e3
        if not working.done():
            beat -= _schedule()[1] - waited
            late.append(max(0.0, min(beat, _schedule(threads[0])[0] - computed)))
    await working
    return late


def _schedule(thread: int | None = None) -> tuple[float, float]:
    """Return for how many ms a thread computed, and waited to; this one if not given."""
    number = thread or threading.get_native_id()
    words = Path(f"/proc/self/task/{number}/schedstat").read_text().split()
    return int(words[0]) / 1e6, int(words[1]) / 1e6


def suggest(model: JointModel, draws: Draws, person: Person) -> None:
    ask(model, draws, batch=4, prompts=range(person.prompts), seeds=range(4))


if __name__ == "__main__":
    for ratings, times in ((60, 7), (1_000, 5), (5_000, 3)):
        speed(ratings, times)

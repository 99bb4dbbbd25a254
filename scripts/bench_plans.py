"""What a plan costs before its first picture, a step of it, and a step that is run.

python scripts/bench_plans.py [--steps 10000]

Plans four axes with so many steps in all (a model among them, so that steps are put in order) and
makes each step once; prints the time a step, what all of them take when they are kept, and what
`attrs.evolve` of the configs alone takes. Then runs the plan up to its first picture: the time and
the memory from the call of `run_learning_plan` until that is asked for. Last, a dry run of a
million steps in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import attrs

from stablenew import (
    FakeBackend,
    LearningPlan,
    Picture,
    PipelineConfig,
    Settings,
    StageRequest,
    open_app,
)
from stablenew.backends.base import ReportProgress
from stablenew.learning.axis import Axis, axis_of_values
from stablenew.learning.learning_steps import derive_steps
from stablenew.learning.step_order import in_order

BASE = PipelineConfig.from_dict({"txt2img": {"prompt": "a cat", "seed": 1}})
MILLION = [f"--sweep=txt2img.{name}=1:100" for name in ("cfg_scale", "steps", "seed")]


class Nothing(FakeBackend):
    """Makes no picture.

    Attributes:
        asked: When the first one was asked for.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        super().__init__()
        self.asked: float | None = None
        self._cancel = cancel

    async def run_stage(self, request: StageRequest, report: ReportProgress) -> Sequence[Picture]:
        """Note the time, and cancel everything."""
        if self.asked is None:
            self.asked = time.perf_counter()
            self._cancel()
        return await super().run_stage(request, report)


def axes(steps: int) -> list[Axis]:
    """Return four axes with about so many cells."""
    side = round((steps / 2) ** (1 / 3))
    numbers = range(1, side + 1)
    return [
        axis_of_values("txt2img.cfg_scale", numbers),
        axis_of_values("txt2img.model", ["fake-model", "other-model"]),
        axis_of_values("txt2img.steps", numbers),
        axis_of_values("txt2img.seed", range(1, -(-steps // (2 * side * side)) + 1)),
    ]


def planning(plan: LearningPlan) -> None:
    """Print what making every step costs, beside what their configs alone do."""
    before = time.perf_counter()
    steps = derive_steps(plan, BASE)
    derived = time.perf_counter()
    for _ in in_order(plan, steps):
        pass
    made = time.perf_counter() - derived
    now = time.perf_counter()
    for number in range(len(steps)):
        attrs.evolve(BASE, txt2img=attrs.evolve(BASE.txt2img, seed=number, cfg_scale=7))
    evolved = time.perf_counter() - now
    tracemalloc.start()
    kept = list(steps)
    memory = tracemalloc.get_traced_memory()[0] / len(kept)
    tracemalloc.stop()
    each = 1e6 / len(steps)
    print(f"planning {len(steps):,} steps over {len(plan.axes)} axes")
    print(f"  derived and checked       {1e3 * (derived - before):8.1f} ms")
    print(f"  a step, in order          {each * made:8.1f} µs (wanted: 30)")
    print(f"  its config alone          {each * evolved:8.1f} µs, {evolved / made:.0%} of that")
    print(f"  a step that is kept       {memory:8.0f} bytes (wanted: 1,024)")


async def starting(plan: LearningPlan) -> None:
    """Print how long a plan takes, and what memory, until its first picture is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        for measured in ("time", "memory"):
            with anyio.CancelScope() as scope:
                backend = Nothing(scope.cancel)
                async with open_app(Settings(out=Path(folder) / measured), backend=backend) as app:
                    before = time.perf_counter()
                    if measured == "memory":
                        tracemalloc.start()
                    await app.learning.run_learning_plan(plan, BASE)
            assert backend.asked is not None
            if measured == "time":
                seconds = backend.asked - before
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    print(f"starting them\n  until the first picture   {1e3 * seconds:8.1f} ms (wanted: 1,000)")
    print(f"  memory at the most        {peak / plan.count:8.0f} bytes a step (wanted: 1,024)")


def dry_run() -> None:
    """Print what a dry run of a million steps takes, beside one of a single step."""
    words = (sys.executable, "-m", "stablenew.run", "--prompt", "a cat", "--dry-run")
    print("a dry run, in a process of its own")
    for name, sweeps in (("of one step", []), ("of a million", MILLION)):
        before = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([*words, *sweeps], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - before
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"  {name:<25} {1e3 * seconds:8.1f} ms, {memory:.0f} MB (wanted: 1,000 and 200)")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=10_000)
    flags = parser.parse_args()
    plan = LearningPlan(axes=axes(flags.steps))
    planning(plan)
    anyio.run(starting, plan)
    dry_run()


if __name__ == "__main__":
    main()

"""A real process of the embedded model killed while a plan runs on it and another one."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import anyio
import attrs
import pytest

from stablenew.app import open_app
from stablenew.backends.embedded.backend import EmbeddedBackend
from stablenew.backends.worker.backend import WorkerBackend
from stablenew.cli.workers import WorkerProcess, start_worker
from stablenew.config.settings import Settings
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning import step_scheduler
from stablenew.learning.learning_events import NodeReturned, StepFinished, StepMoved, StepStarted
from stablenew.pipeline.stage_events import StageProgress
from tests.learning_v2.test_several_nodes import pictures, records
from tests.support import Listener, config, rounds

STEPS = 5
PLAN = {
    "target_variable": "txt2img.cfg_scale",
    "sweep_values": [1.0 + number for number in range(STEPS)],
}
CONFIG = config(txt2img={"steps": 3, "sampler_name": "Euler"})


@attrs.define(eq=False)
class Kill:
    """Kills a process at a moment of one of its steps; has its plan go on when it is back.

    Attributes:
        node: Whose process is killed.
        fraction: How far a picture of it is then; 0 as soon as its step begins.
        after: How many steps it has begun before.
        processes: Those that were started, in order; by node.
        taken: Set when its step is another's, or was done just before; only then it is back.
    """

    node: str
    fraction: float
    after: int
    processes: dict[str, list[WorkerProcess]] = attrs.field(factory=dict)
    taken: anyio.Event = attrs.field(factory=anyio.Event)
    steps: int = 0
    done: bool = False

    def backends(self) -> list[WorkerBackend]:
        return [self._backend(f"embedded {number}") for number in (1, 2)]

    def _backend(self, name: str) -> WorkerBackend:
        async def start() -> WorkerProcess:
            if name in self.processes:  # else it might take its own step again
                await self.taken.wait()
            process = await start_worker()
            self.processes.setdefault(name, []).append(process)
            return process

        return WorkerBackend(name, start)

    def due(self, event: Event) -> bool:
        """Return whether it is time; kills it then."""
        self.steps += isinstance(event, StepStarted) and event.node == self.node
        begins = isinstance(event, StepStarted) and self.fraction == 0.0
        late = isinstance(event, StageProgress) and event.fraction >= self.fraction
        if self.done or not (begins or late) or event.node != self.node:
            return False
        if self.steps <= self.after:
            return False
        self.done = True
        os.kill(self.processes[self.node][-1].process.pid, signal.SIGKILL)
        return True


async def killed(runs: Path, kill: Kill) -> Listener:
    """Run the plan on two processes, one of which is killed; it pauses until that is back."""
    settings = Settings(out=runs, learning_enabled=True)
    async with open_app(settings, backends=kill.backends()) as app:
        moving: list[int] = []

        async def watch(event: Event) -> None:
            if kill.due(event):
                return
            if isinstance(event, StepMoved):
                moving.append(event.index)
            elif isinstance(event, StepStarted) and event.index in moving:
                app.learning.pause()
                kill.taken.set()
            elif isinstance(event, StepFinished) and kill.done and event.node == kill.node:
                kill.taken.set()
            elif isinstance(event, NodeReturned):
                app.learning.resume()

        app.bus.subscribe(Event, watch, overflow=Overflow.WAIT, name="kill")
        listener = Listener(app.bus)
        result = await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="p")
        await app.bus.drain()
    assert result.success, result.summary
    return listener


async def test_a_process_that_is_killed_costs_the_picture_in_the_making_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_scheduler, "_FIRST_PAUSE", 0.05)
    one = tmp_path / "one"
    settings = Settings(out=one, learning_enabled=True)
    async with open_app(settings, backends=[EmbeddedBackend()]) as app:
        assert (await app.learning.run_learning_plan(PLAN, CONFIG, plan_id="p")).success
    moments, moved = random.Random(17), 0
    for number in range(rounds(1, 8)):
        runs = tmp_path / f"two-{number}"
        # At the first moment a picture is always in the making; later it may be done already.
        fraction = 0.0 if number == 0 else moments.choice([0.0, 0.2, 0.4])
        after = 0 if number == 0 else moments.randint(0, 1)
        kill = Kill(f"embedded {number % 2 + 1}", fraction, after)
        heard = await killed(runs, kill)
        assert pictures(runs) == pictures(one)
        assert records(runs) == records(one)
        moved += was_moved(heard, kill)
    assert moved > 0


def was_moved(heard: Listener, kill: Kill) -> bool:
    """Return whether a step went to the other process; look at what became of the killed one."""
    if not kill.done:  # it was slow to start, and had no such step
        return False
    (back,) = heard.of(NodeReturned)
    assert back.node == kill.node
    assert len(kill.processes[kill.node]) == 2, "it was started again"
    for moved in heard.of(StepMoved):
        assert moved.node == kill.node
        (first, again) = (e.node for e in heard.of(StepStarted) if e.index == moved.index)
        assert first == kill.node != again
    return len(heard.of(StepMoved)) == 1

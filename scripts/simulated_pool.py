"""A pool of nodes on a virtual clock: what they make, when, and what is lost on the way."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush

import attrs

from stablenew.learning.step_scheduler import NodeState, StepScheduler


@attrs.define(eq=False, kw_only=True)
class Simulation:
    """Runs all steps of a scheduler.

    Attributes:
        seconds: How long a node takes for the step at a place, at a time.
        dies: Whether it goes away in it instead.
        fails: Whether the step fails there.
        ahead: Whether a node is told what it gets next while it is busy.
        now: The clock.
        made: By which node each step was made, in the order of their ends.
        deaths: How often a node went away.
        aside: The nodes that were set aside.
        scheduling: Seconds of real time that the scheduler took.
    """

    scheduler: StepScheduler
    nodes: list[str]
    seconds: Callable[[str, int], float] = lambda _, __: 1.0
    dies: Callable[[str, int], bool] = lambda _, __: False
    fails: Callable[[str, int], bool] = lambda _, __: False
    away_for: float = 5.0
    ahead: bool = False
    now: float = 0.0
    made: dict[int, str] = attrs.field(factory=dict)
    deaths: int = 0
    aside: list[str] = attrs.field(factory=list)
    scheduling: float = 0.0
    _events: list[tuple[float, int, str, int | None]] = attrs.field(factory=list)
    _back_at: dict[str, float] = attrs.field(factory=dict)
    _number: int = 0
    _idle: set[str] = attrs.field(factory=set)

    def run(self) -> None:
        """Run until nothing more happens."""
        for node in self.nodes:
            self._hand_out(node)
        while self._events:
            self.now, _, node, place = heappop(self._events)
            began = time.perf_counter()
            self._take(node, place)
            self.scheduling += time.perf_counter() - began

    def _at(self, when: float, node: str, place: int | None) -> None:
        self._number += 1
        heappush(self._events, (when, self._number, node, place))

    def _hand_out(self, node: str) -> None:
        place = self.scheduler.next_step(node, self.now)
        if place is None:
            self._idle.add(node)
        else:
            self._at(self.now + self.seconds(node, place), node, place)
            if self.ahead:
                self.scheduler.reserve(node, self.now)

    def _take(self, node: str, place: int | None) -> None:
        if place is None:
            self._look_for(node)
        elif self.dies(node, place):
            self.deaths += 1
            self._back_at[node] = self.now + self.away_for
            self.scheduler.lost(node)
            if self.scheduler.state(node) is NodeState.AWAY:
                self._at(self.now + self.scheduler.pause(node), node, None)
            else:
                self.aside.append(node)
            self._wake()
        else:
            good = not self.fails(node, place)
            assert place not in self.made, f"step {place} was made twice"
            self.made[place] = node
            if self.scheduler.ended(node, self.now, good=good):
                self.aside.append(node)
                self._wake()
            else:
                self._hand_out(node)

    def _look_for(self, node: str) -> None:
        if self.now < self._back_at[node]:
            self._at(self.now + self.scheduler.still_away(node), node, None)
        else:
            self.scheduler.returned(node)
            self._hand_out(node)

    def _wake(self) -> None:
        for node in list(self._idle):
            if not self.scheduler.waiting:
                return
            if self.scheduler.state(node) is NodeState.READY:
                self._idle.discard(node)
                self._hand_out(node)


def large(nodes: int, steps: int, *, models: int = 3, failing: float = 0.01) -> Simulation:
    """Return a large pool: nodes of all speeds, of which a part is away at any time."""
    draw = random.Random(7)
    names = [f"node {number}" for number in range(nodes)]
    speed = {name: draw.uniform(1, 8) for name in names}
    costs = [draw.choice((1.0, 1.0, 1.0, 4.0)) for _ in range(64)]
    scheduler = StepScheduler(
        names,
        (place * models // steps for place in range(steps)),
        fits=lambda node, need: hash((node, need)) % 10 > 0,  # a tenth lacks it
        load=lambda need: need,
        cost=lambda place: costs[place % 64],
    )
    # Away for as long as 5 steps of a usual node; so often that so many are away at any time.
    away = 5 * 4.5 * 1.75
    often = failing * 4.5 * 1.75 / away
    return Simulation(
        scheduler=scheduler,
        nodes=names,
        seconds=lambda node, place: speed[node] * costs[place % 64] * draw.uniform(0.9, 1.1),
        dies=lambda _, __: draw.random() < often,
        away_for=away,
    )


def counted(simulation: Simulation) -> Counter[str]:
    """Return how many steps each node made."""
    return Counter(simulation.made.values())

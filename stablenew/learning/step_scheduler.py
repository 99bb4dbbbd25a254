"""Which node gets which step: decided from what is known by now; no I/O, and time is given to it.

- A node gets no step that it cannot make.
- A step goes where its model is loaded already; else nodes spread over the models that are left.
- Steps go in their order; towards the end the longest go first, so that nobody waits for one
  straggler, and a node leaves a step to others that would be done with it sooner.
- A step that is settled for a busy node goes to one that would be done with it before.
- A node that goes away gives its step back, to be the next; it is looked for with growing pauses.
- A node that fails three steps in a row while others succeed is set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from enum import StrEnum
from heapq import nsmallest

import attrs

from stablenew.learning.waiting_steps import StepGroup, WaitingSteps

_FAILURES = 3
"""Steps in a row that fail while others succeed, after which a node is set aside."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a node that went away is looked for; each time twice as long."""

_END = 4
"""Steps for each node that are left when the longest begin to go first."""

_LAST = 32
"""Steps that are left when a node may leave one to others."""


class NodeState(StrEnum):
    """What a node is doing, as far as a plan is concerned."""

    READY = "ready"
    BUSY = "busy"
    AWAY = "away"
    ASIDE = "aside"


@attrs.define(eq=False)
class _Node:
    """One node.

    Attributes:
        loaded: What it has loaded, as far as is known.
        group: What the step is from that it makes; None where it makes none.
        place: That step's.
        cost: Likewise.
        began: When it began that.
        loads: Whether it had to load something for it.
        seconds: That its finished steps took, without loading.
        costs: Of those, summed.
        failures: Steps in a row that failed.
        failing_since: When the first of those began.
        succeeded_at: When a step of it succeeded last.
        reserved: What it gets next, where that is settled.
        pause: Seconds after which it was looked for last; 0 where it did not go away lately.
    """

    state: NodeState = NodeState.READY
    loaded: Hashable = None
    group: StepGroup | None = None
    place: int = -1
    cost: float = 1.0
    began: float = 0.0
    loads: bool = False
    seconds: float = 0.0
    costs: float = 0.0
    failures: int = 0
    failing_since: float = 0.0
    succeeded_at: float = float("-inf")
    reserved: tuple[StepGroup, int] | None = None
    pause: float = 0.0


def _whatever(_: object) -> None:
    """Return what steps have a node load of which nothing is known."""


class StepScheduler:
    """Hands the steps of a plan to nodes; see the module.

    Args:
        nodes: Their names.
        needs: For each step, in the order in which they are to run, what it needs of a node: those
            with the same need can be made by the same nodes.
        fits: Whether a node can make steps with a need; asked once for each.
        load: What steps with a need have a node load.
        cost: How long the step at a place takes, compared with others; in any unit.
    """

    def __init__(
        self,
        nodes: Iterable[str],
        needs: Iterable[Hashable],
        *,
        fits: Callable[[str, Hashable], bool] = lambda _, __: True,
        load: Callable[[Hashable], Hashable] = _whatever,
        cost: Callable[[int], float] = lambda _: 1.0,
    ) -> None:
        self._nodes = {name: _Node() for name in nodes}
        self._steps = WaitingSteps(needs, load, cost)
        self._fits = fits
        self._fitting: dict[tuple[str, Hashable], bool] = {}
        self._working: Counter[Hashable] = Counter({None: len(self._nodes)})  # by what is loaded
        self._all = _Node()  # what was measured of all of them
        self._loading, self._loads = 0.0, 0  # seconds, and how often that was measured

    @property
    def waiting(self) -> int:
        """How many steps no node has."""
        return len(self._steps)

    @property
    def here(self) -> Sequence[str]:
        """The nodes that are ready or busy."""
        there = (NodeState.READY, NodeState.BUSY)
        return [name for name, node in self._nodes.items() if node.state in there]

    @property
    def states(self) -> Mapping[str, NodeState]:
        """What each node is doing."""
        return {name: node.state for name, node in self._nodes.items()}

    def knows(self, node: str) -> bool:
        """Return whether a node is one of its own."""
        return node in self._nodes

    def state(self, node: str) -> NodeState:
        """Return what a node is doing."""
        return self._nodes[node].state

    def pause(self, node: str) -> float:
        """Return the seconds after which to look for a node that went away."""
        return self._nodes[node].pause

    def join(self, node: str) -> None:
        """Take another node in."""
        self._nodes[node] = _Node()
        self._working[None] += 1

    def note_loaded(self, node: str, load: Hashable) -> None:
        """Note what a node has loaded before its first step."""
        self._has_loaded(self._nodes[node], load)

    def next_step(self, node: str, now: float) -> int | None:
        """Give a node that is ready a step, by its place; None where there is none for it now.

        Whoever got none asks again when a step was given back, or another node went away.
        """
        state = self._nodes[node]
        if self.reserve(node, now) is None and not self._take_over(node, now):
            return None
        assert state.reserved is not None
        group, place = state.reserved
        state.state, state.group, state.place, state.began = NodeState.BUSY, group, place, now
        state.reserved = None
        state.cost = self._steps.cost(place)
        state.loads = state.loaded != group.load
        self._has_loaded(state, group.load)
        return place

    def reserve(self, node: str, now: float) -> int | None:
        """Return the step that a node gets next; nobody else gets it until it is released."""
        state = self._nodes[node]
        if state.reserved is None:
            group = self._chosen(node, now)
            if group is None:
                return None
            state.reserved = group, self._steps.take(group)
        return state.reserved[1]

    def release(self, node: str) -> None:
        """Give what a node would get next back to all."""
        state = self._nodes[node]
        if state.reserved is not None:
            self._steps.give_back(*state.reserved)
            state.reserved = None

    def ended(self, node: str, now: float, *, good: bool | None) -> bool:
        """Note that a node is done with its step; return whether it is set aside.

        Args:
            node: The node.
            now: The time.
            good: Whether the step succeeded; None where that says nothing of the node: it was
                cancelled, or its pictures were there.
        """
        state = self._nodes[node]
        state.state, state.group = NodeState.READY, None
        if good:
            self._measure(state, now - state.began)
            state.failures, state.pause, state.succeeded_at = 0, 0.0, now
        aside = good is False and self._failed(state)
        if aside:
            self.release(node)
        return aside

    def lost(self, node: str, *, again: bool = True) -> None:
        """Note that a node went away in its step; `pause` says when to look for it.

        Args:
            node: The node.
            again: Whether its step is to be made again, by whoever is next.
        """
        state = self._nodes[node]
        assert state.group is not None, f"{node} has no step"
        self.release(node)
        if again:
            self._steps.give_back(state.group, state.place)
        state.group = None
        if not self._failed(state):
            self._leave(state, NodeState.AWAY)
            state.loaded = None  # what a server has loaded that starts again is not known
            self.still_away(node)

    def still_away(self, node: str) -> float:
        """Return the seconds after which to look for a node that does not answer."""
        state = self._nodes[node]
        state.pause = min(2 * state.pause or _FIRST_PAUSE, _LONGEST_PAUSE)
        return state.pause

    def returned(self, node: str) -> None:
        """Note that a node answers again."""
        state = self._nodes[node]
        state.state = NodeState.READY
        self._working[state.loaded] += 1

    def _failed(self, state: _Node) -> bool:
        """Note that a step of a node failed; return whether it is set aside for that."""
        if not state.failures:
            state.failing_since = state.began
        state.failures += 1
        others = (each.succeeded_at for each in self._nodes.values() if each is not state)
        aside = state.failures >= _FAILURES and max(others, default=-1.0) > state.failing_since
        if aside:
            self._leave(state, NodeState.ASIDE)
        return aside

    def _leave(self, state: _Node, becomes: NodeState) -> None:
        state.state = becomes
        self._working[state.loaded] -= 1

    def _has_loaded(self, state: _Node, load: Hashable) -> None:
        self._working[state.loaded] -= 1
        self._working[load] += 1
        state.loaded = load

    def _measure(self, state: _Node, seconds: float) -> None:
        """Learn from a step that succeeded: how fast the node is, or how long loading takes."""
        if not state.loads:
            for each in (state, self._all):
                each.seconds += seconds
                each.costs += state.cost
        elif state.costs:
            self._loading += max(seconds - state.cost * state.seconds / state.costs, 0.0)
            self._loads += 1

    def _can(self, node: str, group: StepGroup) -> bool:
        key = node, group.need
        if (known := self._fitting.get(key)) is None:
            known = self._fitting[key] = self._fits(node, group.need)
        return known

    def _chosen(self, node: str, now: float) -> StepGroup | None:
        """Return the group that a node takes its next step from."""
        if not self._steps:
            return None
        if len(self._nodes) > 1 and len(self._steps) <= _END * len(self._nodes):
            self._steps.begin_end()

        def can(group: StepGroup) -> bool:
            return self._can(node, group)

        left, loaded = self._steps.left, self._nodes[node].loaded
        group = self._steps.first(loaded, can) if left[loaded] else None
        if group is None:
            # Most steps for each node that is at them; where it is the same, in order.
            loads = [load for load, count in left.items() if count and load != loaded]
            loads.sort(key=lambda load: -left[load] / (self._working[load] + 1))
            group = next(filter(None, (self._steps.first(load, can) for load in loads)), None)
        if group is None or len(self._steps) > _LAST or not self._others_sooner(node, group, now):
            return group
        return None

    def _take_over(self, node: str, now: float) -> bool:
        """Settle for a node what another one would be done with later; say whether there is any."""
        state, gains = self._nodes[node], dict[str, float]()
        for name, other in self._nodes.items():
            if other.state is NodeState.BUSY and other.reserved and name != node:
                group, place = other.reserved
                what = self._steps.cost(place), group.load
                if self._can(node, group):
                    free = self._free_at(other, now)
                    gains[name] = free + self._seconds(other, *what) - self._seconds(state, *what)
        best = max(gains, key=gains.__getitem__, default="")
        if gains.get(best, now) <= now:
            return False
        state.reserved, self._nodes[best].reserved = self._nodes[best].reserved, None
        return True

    def _seconds(self, state: _Node, cost: float, load: Hashable) -> float:
        """Return how long a node will take for a step; 0 where nothing is known of any."""
        known = state if state.costs else self._all
        speed = known.seconds / known.costs if known.costs else 0.0
        loading = self._loading / self._loads if self._loads and load != state.loaded else 0.0
        return cost * speed + loading

    def _free_at(self, state: _Node, now: float) -> float:
        """Return when a node will be done with its step."""
        if state.state is not NodeState.BUSY:
            return now
        return max(now, state.began + self._seconds(state, state.cost, state.loaded))

    def _others_sooner(self, node: str, group: StepGroup, now: float) -> bool:
        """Return whether busy nodes would be done with all that waits before this one with a step.

        So nobody waits for a step of a slow node, or for one that loads a model for it.
        """
        busy = [
            each
            for name, each in self._nodes.items()
            if each.state is NodeState.BUSY and name != node and self._can(name, group)
        ]
        if not busy or not self._all.costs:
            return False
        cost, state = self._steps.cost(group.places[0]), self._nodes[node]
        own = self._free_at(state, now) + self._seconds(state, cost, group.load)
        free = {each: self._free_at(each, now) for each in busy}
        soon = nsmallest(_LAST, busy, key=free.__getitem__)
        for place, load in self._steps.all():
            cost = self._steps.cost(place)
            ends = {each: free[each] + self._seconds(each, cost, load) for each in soon}
            first = min(soon, key=ends.__getitem__)
            free[first] = ends[first]
            if free[first] >= own:
                return False
        return True

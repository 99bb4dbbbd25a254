"""The steps of a plan that nobody makes yet, found by what they need and what they have loaded."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush

import attrs


@attrs.define(eq=False)
class StepGroup:
    """The waiting steps that need the same of a node, the next one first.

    Attributes:
        load: What they have a node load.
        places: Theirs among all steps.
    """

    number: int
    need: Hashable
    load: Hashable
    places: deque[int] = attrs.field(factory=deque)


class WaitingSteps:
    """Waiting steps: in their order, and the longest first once the end has begun.

    A step that was given back comes before all others.

    Args:
        needs: What each step needs of a node, in their order.
        load: What steps with a need have a node load.
        cost: How long the step at a place takes, compared with others.

    Attributes:
        left: How many there are, by what they have a node load.
    """

    def __init__(
        self,
        needs: Iterable[Hashable],
        load: Callable[[Hashable], Hashable],
        cost: Callable[[int], float],
    ) -> None:
        self.left: Counter[Hashable] = Counter()
        self._cost = cost
        self._costs: dict[int, float] | None = None  # of what is left, once the end has begun
        self._given_back: set[int] = set()
        groups: dict[Hashable, StepGroup] = {}
        self._count = 0
        for place, need in enumerate(needs):
            if (group := groups.get(need)) is None:
                group = groups[need] = StepGroup(len(groups), need, load(need))
            group.places.append(place)
            self._count += 1
        self._groups = list(groups.values())
        self._heads: dict[Hashable, list[tuple[float, int, int]]] = {}
        for group in self._groups:
            self.left[group.load] += len(group.places)
            self._push(group)

    def __len__(self) -> int:
        return self._count

    def cost(self, place: int) -> float:
        """Return how long a step takes, compared with others."""
        known = None if self._costs is None else self._costs.get(place)
        return self._cost(place) if known is None else known

    def first(self, load: Hashable, fits: Callable[[StepGroup], bool]) -> StepGroup | None:
        """Return the group whose first step is the next one of those that fit and load this."""
        heads, passed = self._heads.get(load, []), []
        found = None
        while heads:
            group = self._groups[heads[0][2]]
            if not group.places or heads[0] != self._head(group):
                heappop(heads)  # its first step is another one by now
            elif fits(group):
                found = group
                break
            else:
                passed.append(heappop(heads))
        for each in passed:
            heappush(heads, each)
        return found

    def take(self, group: StepGroup) -> int:
        """Take the first step of a group; return its place."""
        place = group.places.popleft()
        self._given_back.discard(place)
        self._change(group, -1)
        return place

    def give_back(self, group: StepGroup, place: int) -> None:
        """Take back what somebody took: it is the next one."""
        group.places.appendleft(place)
        self._given_back.add(place)
        if self._costs is not None:
            self._costs[place] = self._cost(place)
        self._change(group, 1)

    def begin_end(self) -> None:
        """Have the longest of what is left go first; once is enough."""
        if self._costs is not None:
            return
        self._costs = {place: self._cost(place) for each in self._groups for place in each.places}
        self._heads = {}
        for group in self._groups:
            group.places = deque(sorted(group.places, key=self._rank))
            if group.places:
                self._heads.setdefault(group.load, []).append(self._head(group))
        for heads in self._heads.values():
            heapify(heads)

    def all(self) -> list[tuple[int, Hashable]]:
        """Return the place of each in its rank, and what it has a node load."""
        waiting = [(place, group.load) for group in self._groups for place in group.places]
        return sorted(waiting, key=lambda each: self._rank(each[0]))

    def _change(self, group: StepGroup, by: int) -> None:
        self._count += by
        self.left[group.load] += by
        self._push(group)

    def _push(self, group: StepGroup) -> None:
        """Have a group found by its first step."""
        if group.places:
            heappush(self._heads.setdefault(group.load, []), self._head(group))

    def _head(self, group: StepGroup) -> tuple[float, int, int]:
        return *self._rank(group.places[0]), group.number

    def _rank(self, place: int) -> tuple[float, int]:
        if place in self._given_back:
            return float("-inf"), place
        return 0.0 if self._costs is None else -self._costs[place], place

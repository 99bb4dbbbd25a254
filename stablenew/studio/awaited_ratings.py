"""How many pictures an exploration waits for to be rated, as its events tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from stablenew.events.event import Event
from stablenew.learning.learning_events import (
    PlanFinished,
    RatingsAwaited,
    StepFinished,
    StepStarted,
)

EVENTS = (RatingsAwaited, StepStarted, StepFinished, PlanFinished)
"""What tells of it."""

Key = tuple[str, str]


@attrs.define(eq=False)
class AwaitedRatings:
    """The pictures of one plan that nobody rated yet."""

    _batches: list[set[Key]] = attrs.field(factory=list)
    _under_way: set[int] = attrs.field(factory=set)

    @property
    def plain(self) -> Mapping[str, object] | None:
        """What the page is told; None where nothing is to be rated."""
        count = sum(map(len, self._batches))
        return {"ratings": count, "blocked": not self._under_way} if count else None

    def take(self, event: Event) -> None:
        """Take up what happened."""
        if isinstance(event, RatingsAwaited):
            self._batches.append({(run_id, image_id) for run_id, image_id in event.pictures})
        elif isinstance(event, StepStarted):
            self._under_way.add(event.index)
        elif isinstance(event, StepFinished):
            self._under_way.discard(event.index)
        elif isinstance(event, PlanFinished):
            self._batches.clear()

    def heard(self, keys: Iterable[Key]) -> None:
        """Take up what was rated, or chosen; what came before that is passed over."""
        said = set(keys)
        for number, batch in reversed([*enumerate(self._batches)]):
            if batch & said:
                batch -= said
                del self._batches[:number]
                return

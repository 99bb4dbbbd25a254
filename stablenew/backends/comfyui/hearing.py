"""What a server tells of one prompt while it runs: how far it is, and what it looks like.

Steps are counted by value and greatest value, never by messages: some samplers send one several
times, or leave some out. A node from the cache sends nothing, and a detector begins anew with each
face; so each node has a weight from the graph, and the sum never goes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import anyio

_MOST = 0.99
"""How far it is at the most before the picture is here."""

_BY_MODEL = ("ImageUpscaleWithModel",)
_SMALL = 0.25
"""The weight of a node that counts nothing, in sampling steps."""

_LARGE = 4.0


class Hearing:
    """What was heard of a prompt.

    Args:
        nodes: Of its graph.
        steps: For each node that counts steps, how many it makes.
        clock: Tells the time; the loop's, but for tests.

    Attributes:
        preview: The newest picture in the making; None where none has come since it was taken.
        times: How often something was heard.
        last: When something was heard last; None before.
        stepping: Whether the node that runs has begun to count.
        news: Set when something is heard; replaced by whoever waits for the next.
    """

    def __init__(
        self,
        nodes: Mapping[str, Mapping[str, object]],
        steps: Mapping[str, int],
        clock: Callable[[], float] = anyio.current_time,
    ) -> None:
        self.preview: bytes | None = None
        self.times = 0
        self.last: float | None = None
        self.stepping = False
        self.news = anyio.Event()
        self._clock = clock
        self._weights = {
            name: float(steps.get(name, 0)) or _weight(str(node["class_type"]))
            for name, node in nodes.items()
        }
        self._done = dict.fromkeys(self._weights, 0.0)
        self._node = ""
        self._first: tuple[float, float] | None = None

    def hear(self, kind: str, data: Mapping[str, object]) -> None:
        """Take a message that is of this prompt."""
        self._note()
        if kind == "execution_cached":
            cached = data.get("nodes")
            for name in cached if isinstance(cached, list) else []:
                self._is_at(str(name), 1.0)
        elif kind == "executing":
            self._is_at(self._node, 1.0)
            self._node, self.stepping = str(data.get("node") or ""), False
        elif kind == "progress":
            value, most = data.get("value"), data.get("max")
            if isinstance(value, int | float) and isinstance(most, int | float) and most > 0:
                self.stepping = True
                self._is_at(str(data.get("node")), min(value / most, 1.0))
                self._first = self._first or (self._clock(), self.fraction)

    def see(self, preview: bytes) -> None:
        """Take a picture in the making."""
        self._note()
        self.preview = preview

    def heard_within(self, seconds: float) -> bool:
        """Return whether something was heard within so many seconds."""
        return self.last is not None and self._clock() - self.last < seconds

    def shown(self) -> bytes | None:
        """Return the newest picture in the making, once."""
        preview, self.preview = self.preview, None
        return preview

    @property
    def fraction(self) -> float:
        """How much of it is done; never less than before, for no node goes back."""
        done = sum(self._weights[name] * part for name, part in self._done.items())
        return min(done / sum(self._weights.values()), _MOST)

    @property
    def seconds_left(self) -> float | None:
        """How long it takes still, as fast as it went since its first step."""
        if self._first is None:
            return None
        began, before = self._first
        fraction = self.fraction
        if fraction <= before:
            return None
        return (self._clock() - began) * (1 - fraction) / (fraction - before)

    def _note(self) -> None:
        self.times += 1
        self.last = self._clock()
        self.news.set()

    def _is_at(self, node: str, part: float) -> None:
        if node in self._done:
            self._done[node] = max(self._done[node], part)


def _weight(kind: str) -> float:
    return _LARGE if kind in _BY_MODEL else _SMALL

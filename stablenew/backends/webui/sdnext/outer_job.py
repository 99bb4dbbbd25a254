"""Whose request SD.Next is at, though it shows each as many jobs, one inside another.

One request loads, encodes, samples, decodes and saves; each of these has an id and a timestamp of
its own, with nothing to be seen between them. Only the history knows the whole request: it begins
with `api-txt` or `api-img`, and ends so. It is long and its reading counts against the limit, so it
is asked before an interrupt, and now and then while it is not clear whose job runs. What is asked
all the time is `/internal/progress`, which costs nothing.

A request of ours is the one that runs if it is the only one that began since ours was sent, if it
began right after that, and if nothing of another job came to its end in between.

A job that failed is shown as running until another begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import anyio
import attrs
import msgspec

from stablenew.backends.server_client import ServerClient
from stablenew.backends.webui.holder import Holder
from stablenew.backends.webui.progress import PROGRESS, TASK, Snapshot, read_snapshot
from stablenew.backends.webui.server import entries

HISTORY = "/sdapi/v1/history"
STATUS = "/sdapi/v1/status"

_QUESTION = msgspec.json.encode({"id_task": "undefined", "id_live_preview": -1})
"""Asks for whatever runs: it does not know the requests of the API by an id."""

_LOADING = "Load model"
"""While this one runs, an interrupt is lost."""

_OUTER = "api-"
_CLEAR_WITHIN = 2.0
"""Seconds after ours was sent in which what begins is ours."""

_TOLD_WITHIN = 0.5
"""Seconds that an answer may take: of a slow one nobody knows when it was true, and so whether
another client's request began before ours was sent."""

_KNOWN_FOR = 1.0
"""Seconds for which an answer of the history is good: a request that runs does so until its end."""

_ASKED_AGAIN = 2.0
"""Seconds after which the history is asked again while it is not clear whose job runs."""

_PREVIEW_EVERY = 1.0
_ROUNDED = 0.01
"""Seconds to which the server rounds."""


async def look_inside(client: ServerClient) -> Snapshot | None:
    """Return the inner job that runs; None where the server does not tell."""
    data = await client.send(TASK, _QUESTION)
    return _inner(data) if isinstance(data, Mapping) and "active" in data else None


@attrs.frozen(kw_only=True)
class Moment:
    """When something was asked: the answer was made between the two, by our clock."""

    asked: float
    told: float


class OuterJob:
    """A request of ours on an SD.Next.

    Args:
        client: Talks to it.
        before: What it was doing when ours was sent; None where it did not tell.
    """

    def __init__(self, client: ServerClient, before: Snapshot | None) -> None:
        self._client = client
        self._idle_before = before is not None and not before.busy
        self._sent_at = anyio.current_time()
        self._inner: Snapshot | None = None
        self._known: tuple[float, Holder] | None = None
        self._preview_at = 0.0

    async def look(self, *, preview: bool) -> tuple[Snapshot | None, Holder]:
        """Return the inner job that runs, and whose request that seems to be.

        Args:
            preview: Whether to look at the picture so far as well, which is done once a second.
        """
        self._inner = await look_inside(self._client)
        if self._inner is None:
            return None, Holder.UNCLEAR
        if not self._inner.busy:
            return self._inner, Holder.NOBODY
        holder = Holder.OURS if self._idle_before else await self._holder(_ASKED_AGAIN)
        now = anyio.current_time()
        if preview and holder is Holder.OURS and now - self._preview_at > _PREVIEW_EVERY:
            self._preview_at = now
            path = PROGRESS.replace("=true", "=false")
            shown = read_snapshot(await self._client.get(path, tries=1))
            self._inner = attrs.evolve(self._inner, preview=shown.preview if shown else None)
        return self._inner, holder

    async def interruptible(self) -> Holder:
        """Return whose request it is that an interrupt would stop now; nobody's while it loads."""
        if self._inner is None or not self._inner.busy or self._inner.mark[0] == _LOADING:
            return Holder.NOBODY
        return await self._holder(_KNOWN_FOR)

    async def idle(self) -> bool:
        """Return whether no request is under way, be it between two of its inner jobs."""
        inner = await look_inside(self._client)
        if inner is None or inner.busy:
            return False
        outer = [each for each in await self._history() if _is_outer(each)]
        return not outer or outer[-1].get("op") == "end"

    async def _holder(self, good_for: float) -> Holder:
        """Return whose request runs, as the history tells or told a moment ago."""
        if self._known is not None and anyio.current_time() - self._known[0] < good_for:
            return self._known[1]
        asked = anyio.current_time()
        status = await self._client.get(STATUS, tries=1)
        moment = Moment(asked=asked - self._sent_at, told=anyio.current_time() - self._sent_at)
        holder = Holder.UNCLEAR
        if isinstance(status, Mapping):
            holder = _holder_of(status, moment, await self._history())
        self._known = (anyio.current_time(), holder)
        return holder

    async def _history(self) -> Sequence[Mapping[str, object]]:
        return list(entries(await self._client.get(HISTORY, tries=1)))


def _holder_of(
    status: Mapping[str, object], moment: Moment, history: Sequence[Mapping[str, object]]
) -> Holder:
    """Return whose request runs.

    Args:
        status: What the server is at: the inner job's id, and the seconds that it took by now.
        moment: When that was told, in seconds since our request was sent.
        history: What began and ended on the server, by its own clock.
    """
    if moment.told - moment.asked > _TOLD_WITHIN:
        return Holder.UNCLEAR
    began = [each for each in history if each.get("op") == "begin"]
    inner = [_time(each) for each in began if each.get("id") == status.get("id")]
    outer = [each for each in began if _is_outer(each)]
    if not (inner and outer) or _has_ended(outer[-1], history):
        return Holder.UNCLEAR
    now = inner[-1] + _number(status.get("elapsed"))
    # Ours was sent between these two, by the server's clock.
    earliest, latest = now - moment.told - _ROUNDED, now - moment.asked + _ROUNDED
    since = [_time(each) for each in outer if _time(each) >= earliest]
    if not since:
        return Holder.OTHERS
    between = any(latest < _time(each) < since[-1] for each in history)
    soon = since[-1] - latest < _CLEAR_WITHIN
    return Holder.OURS if len(since) == 1 and soon and not between else Holder.UNCLEAR


def _has_ended(begun: Mapping[str, object], history: Sequence[Mapping[str, object]]) -> bool:
    return any(each.get("op") == "end" and each.get("id") == begun.get("id") for each in history)


def _is_outer(entry: Mapping[str, object]) -> bool:
    return str(entry.get("job") or "").lower().startswith(_OUTER)


def _inner(data: Mapping[str, object]) -> Snapshot:
    name, step = str(data.get("job") or ""), _number(data.get("step"))
    fraction = min(max(_number(data.get("progress")), 0.0), 1.0)
    left = data.get("eta")
    return Snapshot(
        fraction=fraction,
        seconds_left=max(_number(left), 0.0) if left is not None else None,
        busy=bool(data.get("active")),
        begun=step > 0,
        mark=(name, step),
    )


def _time(entry: Mapping[str, object]) -> float:
    return _number(entry.get("timestamp"))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

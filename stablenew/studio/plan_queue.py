"""Plans one after the other: what waits, what runs, what has ended since the studio was started.

What waited and what ran when the studio was killed, or closed, is there again when it starts: what
ran as `interrupted`; then nothing starts by itself (`held`) until somebody says so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint

from stablenew.app import App
from stablenew.cli.job import Job
from stablenew.errors import StableNewError
from stablenew.events.event import Event
from stablenew.learning.learning_events import PlanStarted
from stablenew.pipeline.stage_events import RunStarted
from stablenew.studio.answers import NotNowError, NotThereError
from stablenew.studio.awaited_ratings import EVENTS, AwaitedRatings, Key
from stablenew.studio.feed import Feed
from stablenew.studio.item_run import run_item
from stablenew.studio.queue_file import QueueFile
from stablenew.studio.queue_item import Item, KeptItem
from stablenew.studio.servers import Servers

logger = logging.getLogger(__name__)

Draft = Callable[[Mapping[str, object]], Awaitable[Job]]
"""Reads what the page asked for as a job."""

_KEPT = 50
"""Ended ones that are still shown."""


class PlanQueue:
    """Runs plans, one at a time, each as the command line does.

    Args:
        host: The app of the program around: while it runs something itself, the queue waits.
        feed: Hears what happens.
        servers: Those that may be talked to.
        draft: Reads what was asked for before the studio was started again.

    Attributes:
        held: Whether what waits does not start by itself, because something was interrupted.
        restored: Set once what an earlier studio left is taken up.
    """

    def __init__(self, host: App, feed: Feed, servers: Servers, draft: Draft) -> None:
        self.held = False
        self._host = host
        self._feed = feed
        self._servers = servers
        self._draft = draft
        self._file = QueueFile(host.settings.out)
        self._numbers = count(1)
        self._ended: list[Item] = []
        self._interrupted: list[Item] = []
        self._waiting: list[Item] = []
        self._current: Item | None = None
        self._awaited = AwaitedRatings()
        self._app: App | None = None
        self._news = anyio.Event()
        self.restored = anyio.Event()
        self._keeping = anyio.Lock()
        self._closing = False

    @property
    def items(self) -> list[Item]:
        """All: ended, running, interrupted, waiting."""
        running = [self._current] if self._current is not None else []
        return [*self._ended, *running, *self._interrupted, *self._waiting]

    @property
    def notes(self) -> Sequence[str]:
        """What a person should be told of it, a line each."""
        return self._file.notes

    @property
    def plain(self) -> list[dict[str, object]]:
        """The items as data."""
        return [self.plain_of(each) for each in self.items]

    def plain_of(self, item: Item) -> dict[str, object]:
        """Return an item as data."""
        paused = item is self._current and self._app is not None and self._app.learning.paused
        state = {"state": "paused"} if paused and item.state == "running" else {}
        return {**item.plain, **state}

    async def restore(self, is_done: Callable[[KeptItem], bool]) -> None:
        """Take up what an earlier studio left; once, before anything else.

        Args:
            is_done: Says whether one that was running is finished; blocks.
        """

        def read() -> list[tuple[KeptItem, bool]]:
            return [(each, each.began and is_done(each)) for each in self._file.open()]

        for kept, done in await anyio.to_thread.run_sync(read):
            item = Item.of_kept(kept)
            self._servers.name_again(item.servers)
            if done:
                item.state, item.outcome = "ended", "succeeded"
                self._ended.append(item)
            else:
                (self._interrupted if kept.began else self._waiting).append(item)
        taken = [int(e.id[1:]) for e in self.items if e.id[1:].isdecimal()]
        self._numbers = count(max(taken, default=0) + 1)
        self.held = bool(self._interrupted)
        self.restored.set()
        if self.items:
            await self._changed()

    async def add(self, job: Job, asked: Mapping[str, object], **told: Any) -> Item:
        """Put a job at the end; it starts when its turn comes. It is on disk then.

        Raises:
            NotNowError: That plan is in the queue already, or the studio ends.
        """
        await self.restored.wait()
        if self._closing:
            raise NotNowError("the studio ends")
        if job.resumed is not None:
            self._check_resumed(job.resumed.plan_id)
        item = Item.of(f"q{next(self._numbers)}", job, asked, **told)
        self._waiting.append(item)
        self.held = False
        await self._changed()
        return item

    async def move(self, id_: str, before: str | None) -> None:
        """Put one that waits before another one, or at the end.

        Raises:
            NotNowError: One of them does not wait.
            NotThereError: There is no such one.
        """
        item = self._that_waits(id_)
        other = None if before is None else self._that_waits(before)
        if item is not other:
            self._waiting.remove(item)
            place = len(self._waiting) if other is None else self._waiting.index(other)
            self._waiting.insert(place, item)
        await self._changed()

    async def remove(self, id_: str) -> None:
        """Take one out that waits, was interrupted or has ended.

        Raises:
            NotNowError: It is under way.
            NotThereError: There is no such one.
        """
        item = self._get(id_)
        if item is self._current:
            raise NotNowError(f"{id_} is under way; cancel it first")
        for items in (self._waiting, self._interrupted, self._ended):
            if item in items:
                items.remove(item)
        await self._changed()

    async def start(self) -> None:
        """Have what waits start, though something was interrupted."""
        self.held = False
        await self._changed()

    async def go_on(self, id_: str) -> Item:
        """Go on with what was interrupted, before all that waits.

        Raises:
            NotNowError: It was not interrupted.
            NotThereError: There is no such one.
        """
        item = self._get(id_)
        if item not in self._interrupted:
            raise NotNowError(f"{id_} was not interrupted")
        self._interrupted.remove(item)
        item.go_on()
        self._waiting.insert(0, item)
        self.held = False
        await self._changed()
        return item

    async def pause(self) -> Item:
        """Pause what runs before its next step."""
        item, app = self._running()
        app.learning.pause()
        await self._changed()
        return item

    async def resume(self) -> Item:
        """Go on with what was paused."""
        item, app = self._running()
        app.learning.resume()
        await self._changed()
        return item

    def skip_step(self) -> Item:
        """Cancel the step under way; the plan goes on."""
        item, app = self._running()
        app.learning.cancel_step()
        return item

    async def cancel(self) -> Item:
        """Cancel what runs, and return it once it has ended."""
        item, app = self._running()
        item.state = "stopping"
        app.pipeline.cancel()
        await self._changed()
        await item.ended.wait()
        return item

    def heard(self, keys: Iterable[Key]) -> None:
        """Take up that pictures were rated, which an exploration may wait for."""
        if self._current is not None:
            self._awaited.heard(keys)
            self._tell_awaited(self._current)

    async def close(self) -> None:
        """Start nothing more, and cancel what runs; all of it is there at the next start."""
        self._closing = True
        async with self._keeping:
            self._file.close()
        while self._current is not None:
            if self._app is not None:
                await self.cancel()
            else:
                await checkpoint()
        await self._changed()

    async def run(self) -> None:
        """Run what waits, for ever."""
        while True:
            while not self._waiting or self.held or self._closing:
                await self._news.wait()
            await self._host.idle()
            if not self._waiting or self.held or self._closing:
                continue
            item = self._current = self._waiting.pop(0)
            item.state, self._awaited = "running", AwaitedRatings()
            await self._changed()
            try:
                await self._run(item)
            except StableNewError as error:
                item.outcome, item.error = "failed", str(error)
            except Exception as error:  # what goes wrong here ends this plan, and not the queue
                logger.exception("%s failed", item.id)
                item.outcome, item.error = "failed", f"{type(error).__name__}: {error}"
            finally:
                self._end(item)
            await self._changed()

    def _end(self, item: Item) -> None:
        item.state, item.outcome = "ended", item.outcome or "cancelled"
        item.awaits = None
        self._current = self._app = None
        self._ended = [*self._ended, item][-_KEPT:]
        item.ended.set()
        self._tell()

    async def _run(self, item: Item) -> None:
        job = item.job = item.job or await self._draft(item.asked)

        def hear(app: App) -> None:
            app.bus.subscribe((PlanStarted, RunStarted), _noting(self, item), name="queue")
            app.bus.subscribe(EVENTS, _counting(self, item), name="awaited ratings")

        def begin(app: App) -> None:
            self._app = app

        await run_item(item, job, self._servers, self._feed, hear=hear, begin=begin)

    def _check_resumed(self, plan_id: str) -> None:
        """See that a plan which goes on is not there already; interrupted, it is there no more."""
        if any(each.resumes == plan_id for each in self._waiting):
            raise NotNowError(f"{plan_id} is in the queue already")
        if (now := self._current) is not None and plan_id in (now.folder, now.resumes):
            raise NotNowError(f"{plan_id} is under way")
        others = (each for each in self._interrupted if plan_id not in (each.folder, each.resumes))
        self._interrupted = [*others]

    def _running(self) -> tuple[Item, App]:
        if self._current is None or self._app is None:
            raise NotNowError("nothing runs")
        return self._current, self._app

    def _get(self, id_: str) -> Item:
        for item in self.items:
            if item.id == id_:
                return item
        raise NotThereError(f"queue: given {id_[:100]!r}, which is not in it")

    def _that_waits(self, id_: str) -> Item:
        item = self._get(id_)
        if item not in self._waiting:
            raise NotNowError(f"{id_} does not wait any more")
        return item

    async def _changed(self) -> None:
        """Tell every tab; whoever waits for this knows that it is on disk as well."""
        self._tell()
        async with self._keeping:
            kept = [e.kept for e in self.items if e.state != "ended"]
            await self._file.write(kept)

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
        self._feed.tell("queue", items=self.plain, held=self.held)

    def _tell_awaited(self, item: Item) -> None:
        if item.awaits != (awaits := self._awaited.plain):
            item.awaits = awaits
            self._tell()


def _noting(queue: PlanQueue, item: Item) -> Any:
    async def note(event: Event) -> None:
        if item.folder is None:
            item.folder = event.plan_id or event.run_id
            await queue._changed()

    return note


def _counting(queue: PlanQueue, item: Item) -> Any:
    async def take(event: Event) -> None:
        queue._awaited.take(event)
        queue._tell_awaited(item)

    return take

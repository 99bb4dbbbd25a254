"""Plans one after the other: what waits, what runs, what has ended since the studio was started."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import count
from typing import Any

import anyio
import anyio.to_thread
import attrs
from anyio.lowlevel import checkpoint

from stablenew._convert import unstructure
from stablenew.app import App, open_app
from stablenew.backends.base import Draining, InterruptReceipt
from stablenew.cli.ending import Ended
from stablenew.cli.job import Job
from stablenew.cli.run_command import run_on
from stablenew.config.settings import prepare_out_folder
from stablenew.errors import ConfigError, StableNewError
from stablenew.events.event import Event
from stablenew.learning.learning_events import PlanStarted
from stablenew.pipeline.durations import Estimate
from stablenew.pipeline.stage_events import RunStarted
from stablenew.studio.answers import NotNowError, NotThereError
from stablenew.studio.feed import Feed
from stablenew.studio.jobs import server_of, titled
from stablenew.studio.lent_backend import LentBackend
from stablenew.studio.servers import Servers

logger = logging.getLogger(__name__)

_KEPT = 50
"""Ended ones that are still shown."""

_WAITED_FOR = 10.0
"""Seconds that a server has to be rid of what was cancelled before the next plan."""


@attrs.define(eq=False, kw_only=True)
class Item:
    """One plan, or single run, of the queue.

    Attributes:
        job: What to do.
        command: The command line that does the same.
        state: `waiting`, `running`, `stopping` or `ended`.
        folder: Its id, once it has begun.
        receipt: What the server said to a cancel.
    """

    id: str
    job: Job
    command: str
    state: str = "waiting"
    folder: str | None = None
    outcome: str | None = None
    error: str | None = None
    summary: str | None = None
    receipt: InterruptReceipt | None = None
    pictures: int = 0
    step_count: int = 0
    estimate: Estimate | None = None
    ended: anyio.Event = attrs.field(factory=anyio.Event)


class PlanQueue:
    """Runs plans, one at a time, each as the command line does.

    Args:
        host: The app of the program around: while it runs something itself, the queue waits.
        feed: Hears what happens.
        servers: Those that may be talked to.
    """

    def __init__(self, host: App, feed: Feed, servers: Servers) -> None:
        self._host = host
        self._feed = feed
        self._servers = servers
        self._numbers = count(1)
        self._ended: list[Item] = []
        self._waiting: list[Item] = []
        self._current: Item | None = None
        self._app: App | None = None
        self._news = anyio.Event()
        self._closing = False

    @property
    def items(self) -> list[Item]:
        """All: ended, running, waiting."""
        running = [self._current] if self._current is not None else []
        return [*self._ended, *running, *self._waiting]

    @property
    def plain(self) -> list[dict[str, object]]:
        """The same as data."""
        return [self.plain_of(each) for each in self.items]

    def plain_of(self, item: Item) -> dict[str, object]:
        """Return an item as data."""
        paused = item is self._current and self._app is not None and self._app.learning.paused
        job = item.job
        names = ("id", "outcome", "error", "summary", "command", "pictures", "step_count")
        return {
            **{name: getattr(item, name) for name in names},
            "state": "paused" if paused and item.state == "running" else item.state,
            "title": titled(job),
            "kind": "run" if job.plan is None else "plan",
            "plan_id": item.folder,
            "resumes": job.resumed and job.resumed.plan_id,
            "receipt": unstructure(item.receipt),
            "estimate": plain_estimate(item.estimate),
        }

    def add(self, job: Job, command: str, sizes: Mapping[str, Any]) -> Item:
        """Put a job at the end; it starts when its turn comes.

        Raises:
            NotNowError: That plan is in the queue already, or the studio ends.
        """
        if self._closing:
            raise NotNowError("the studio ends")
        going = [each.job.resumed for each in self.items if each.state != "ended"]
        if job.resumed is not None:
            if any(each and each.plan_id == job.resumed.plan_id for each in going):
                raise NotNowError(f"{job.resumed.plan_id} is in the queue already")
            if any(each.folder == job.resumed.plan_id for each in self.items if not each.outcome):
                raise NotNowError(f"{job.resumed.plan_id} is under way")
        item = Item(id=f"q{next(self._numbers)}", job=job, command=command, **sizes)
        self._waiting.append(item)
        self._changed()
        return item

    def move(self, id_: str, before: str | None) -> None:
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
        self._changed()

    def remove(self, id_: str) -> None:
        """Take one out that waits or has ended.

        Raises:
            NotNowError: It is under way.
            NotThereError: There is no such one.
        """
        item = self._get(id_)
        if item is self._current:
            raise NotNowError(f"{id_} is under way; cancel it first")
        for items in (self._waiting, self._ended):
            if item in items:
                items.remove(item)
        self._changed()

    def pause(self) -> Item:
        """Pause what runs before its next step."""
        item, app = self._running()
        app.learning.pause()
        self._changed()
        return item

    def resume(self) -> Item:
        """Go on with what was paused."""
        item, app = self._running()
        app.learning.resume()
        self._changed()
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
        self._changed()
        await item.ended.wait()
        return item

    async def close(self) -> None:
        """Start nothing more, and cancel what runs."""
        self._closing = True
        self._waiting.clear()
        while self._current is not None:
            if self._app is not None:
                await self.cancel()
            else:
                await checkpoint()
        self._changed()

    async def run(self) -> None:
        """Run what waits, for ever."""
        while True:
            while not self._waiting:
                await self._news.wait()
            await self._host.idle()
            if not self._waiting:
                continue
            item = self._current = self._waiting.pop(0)
            item.state = "running"
            self._changed()
            try:
                await self._run(item)
            except StableNewError as error:
                item.outcome, item.error = "failed", str(error)
            except Exception as error:  # what goes wrong here ends this plan, and not the queue
                logger.exception("%s failed", item.id)
                item.outcome, item.error = "failed", f"{type(error).__name__}: {error}"
            finally:
                self._end(item)

    def _end(self, item: Item) -> None:
        item.state, item.outcome = "ended", item.outcome or "cancelled"
        self._current = self._app = None
        self._ended = [*self._ended, item][-_KEPT:]
        item.ended.set()
        self._changed()

    async def _run(self, item: Item) -> None:
        own = self._servers.own.get(server_of(item.job))
        backend = None if own is None else LentBackend(own)
        async with open_app(item.job.settings, backend=backend) as app:
            with self._feed.hearing(app):
                app.bus.subscribe((PlanStarted, RunStarted), _noting(self, item), name="queue")
                capabilities = await app.pipeline.capabilities()
                job = await item.job.spelled(capabilities).with_pictures()
                if job.problems:
                    raise ConfigError(*job.problems)
                await anyio.to_thread.run_sync(prepare_out_folder, job.settings.out)
                self._app = app
                self._fill_in(item, await run_on(app, job))
                if isinstance(app.backend, Draining) and app.backend.pending:
                    with anyio.move_on_after(_WAITED_FOR):
                        await app.backend.drained()
                await app.reports.drained()
                await app.bus.drain()

    def _fill_in(self, item: Item, ended: Ended) -> None:
        item.folder, item.outcome, item.summary = ended.folder, str(ended.outcome), ended.summary
        item.error = None if ended.error is None else str(ended.error)
        for run in ended.runs:
            if item.job.plan is None and run.error is not None:
                item.error = str(run.error)
            for stage in run.stage_results:
                item.receipt = stage.receipt or item.receipt

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

    def _changed(self) -> None:
        self._news.set()
        self._news = anyio.Event()
        self._feed.tell("queue", items=self.plain)


def _noting(queue: PlanQueue, item: Item) -> Any:
    async def note(event: Event) -> None:
        if item.folder is None:
            item.folder = event.plan_id or event.run_id
            queue._changed()

    return note


def plain_estimate(estimate: Estimate | None) -> dict[str, object] | None:
    """Return an estimate as data."""
    if estimate is None:
        return None
    return {"seconds": estimate.seconds, "words": str(estimate)}

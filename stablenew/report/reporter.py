"""Makes a plan's page as its steps finish, and its contact sheet when it ends: a subscriber."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import attrs

from stablenew._clock import Clock
from stablenew.errors import RecordError
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.events.subscription import Subscription
from stablenew.learning.learning_events import (
    PlanEvent,
    PlanFinished,
    PlanStarted,
    StepFinished,
)
from stablenew.report.plan_sheet import CONTACT_SHEET as CONTACT_SHEET
from stablenew.report.plan_sheet import PlanSheet
from stablenew.storage import files

if TYPE_CHECKING:  # it loads Pillow: in a thread, when it is needed
    from stablenew.report.page import Page

logger = logging.getLogger(__name__)

PAGE = "report.html"

_PAGE_EVERY = 1.0
"""Seconds between two writings of a page at the least; 20 times as long as one takes, if longer."""


@attrs.define(eq=False)
class _Plan:
    folder: Path
    sheet: PlanSheet
    waiting: deque[StepFinished] = attrs.field(factory=deque)
    page: Page | None = None
    written_at: float = float("-inf")
    pause: float = _PAGE_EVERY


class Reporter:
    """Writes `report.html` and `contact_sheet.png` for every plan.

    Args:
        base_dir: The folder of all runs.
        clock: Where times come from.

    Attributes:
        problem: Why the last page or sheet could not be written, None if it was.
    """

    def __init__(self, base_dir: Path, *, clock: Clock = Clock()) -> None:
        self.problem: str | None = None
        self._base_dir = base_dir
        self._clock = clock
        self._plans: dict[str | None, _Plan] = {}

    def subscribe(self, bus: EventBus) -> Subscription:
        """Report every plan from now on."""
        return bus.subscribe(
            (PlanEvent, StepFinished), self.take, overflow=Overflow.WAIT, name="reporter"
        )

    def conclude(self, folder: Path) -> None:
        """Have the page of a plan whose process was killed say that it has ended; blocks."""
        from stablenew.report.page import rebuild_page

        try:
            rebuild_page(folder, written=self._clock.now().isoformat(), done=True)
        except (OSError, LookupError, TypeError, ValueError, AttributeError, RecordError) as error:
            logger.warning("%s: page not written: %s", folder, error)

    async def take(self, event: Event) -> None:
        """Note a step and show it on the page; draw the sheet when its plan has ended."""
        if isinstance(event, PlanStarted):
            plan = _Plan(self._base_dir / str(event.plan_id), PlanSheet(event))
            self._plans[event.plan_id] = plan
            await self._in_thread(self._open_page, plan)
        elif isinstance(event, StepFinished) and event.plan_id in self._plans:
            plan = self._plans[event.plan_id]
            plan.sheet.steps.append(event)
            plan.waiting.append(event)
            if self._clock.monotonic() - plan.written_at >= plan.pause:
                await self._in_thread(self._write_page, plan, False)
        elif isinstance(event, PlanFinished):
            await self._end(self._plans.pop(event.plan_id, None))

    async def _end(self, plan: _Plan | None) -> None:
        if plan is not None:
            await self._in_thread(self._write_page, plan, True)
            if not plan.sheet.is_empty:
                await self._write_sheets(plan)

    async def _in_thread(self, work: Callable[..., None], *values: object) -> None:
        """Work on a page; a disk that says no fails no run."""
        try:
            await anyio.to_thread.run_sync(work, *values)
        except (OSError, RecordError) as error:
            self.problem = f"{PAGE}: {getattr(error, 'strerror', None) or error}"
            logger.warning("page not written: %s", self.problem)

    def _open_page(self, plan: _Plan) -> None:
        """Begin a page; a plan that left no `plan.json` has none."""
        from stablenew.report.page import open_page

        plan.page = open_page(plan.folder)
        self._write_page(plan, False)

    def _write_page(self, plan: _Plan, done: bool) -> None:
        """Write a page with the steps that have ended since it was last written."""
        if plan.page is None:
            return
        before = self._clock.monotonic()
        while plan.waiting:
            event = plan.waiting.popleft()
            error = None if event.error is None else str(event.error)
            plan.page.add(event.index, event.run_id or "", str(event.outcome), error, event.places)
        plan.page.write(done=done, written=self._clock.now().isoformat())
        plan.written_at = self._clock.monotonic()
        plan.pause = max(_PAGE_EVERY, 20 * (plan.written_at - before))

    async def _write_sheets(self, plan: _Plan) -> None:
        self.problem = None
        sheets = plan.sheet.draw(self._base_dir)
        try:
            while (sheet := await anyio.to_thread.run_sync(next, sheets, None)) is not None:
                name, data = sheet
                await files.replace(plan.folder / name, data)
        except OSError as error:
            self.problem = f"{plan.folder / CONTACT_SHEET}: {error.strerror or error}"
            logger.warning("contact sheet not written: %s", self.problem)

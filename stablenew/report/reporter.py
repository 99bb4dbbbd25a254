"""Makes a plan's page as its steps finish, and its contact sheet when it ends: a subscriber."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import attrs

from stablenew._clock import Clock
from stablenew.config.pipeline_config import Setting
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.events.subscription import Subscription
from stablenew.learning.learning_events import (
    PlanEvent,
    PlanExtended,
    PlanFinished,
    PlanStarted,
    StepFinished,
)
from stablenew.learning.learning_plan import step_label
from stablenew.report.sheet_layout import SheetLayout, lay_out
from stablenew.storage import files

if TYPE_CHECKING:  # it loads Pillow: in a thread, when it is needed
    from stablenew.report.page import Page

logger = logging.getLogger(__name__)

PAGE = "report.html"
CONTACT_SHEET = "contact_sheet.png"


_PAGE_EVERY = 1.0
"""Seconds between two writings of a page at the least; 20 times as long as one takes, if longer."""


@attrs.define(eq=False)
class _Sheet:
    started: PlanStarted
    layout: SheetLayout
    page: Page | None = None
    written_at: float = float("-inf")
    pause: float = _PAGE_EVERY
    steps: list[StepFinished] = attrs.field(factory=list)


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
        self._sheets: dict[str | None, _Sheet] = {}

    def subscribe(self, bus: EventBus) -> Subscription:
        """Report every plan from now on."""
        return bus.subscribe(
            (PlanEvent, StepFinished), self.take, overflow=Overflow.WAIT, name="reporter"
        )

    def settle(self, folder: Path) -> None:
        """Have the page of a plan whose process was killed say that it has ended; blocks."""
        from stablenew.report.page import rebuild_page

        try:
            rebuild_page(folder, written=self._clock.now().isoformat(), done=True)
        except (OSError, LookupError, TypeError, ValueError) as error:
            logger.warning("%s: page not written: %s", folder, error)

    async def take(self, event: Event) -> None:
        """Note a step and show it on the page; draw the sheet when its plan has ended."""
        if isinstance(event, PlanStarted):
            labels = [_label(event, value, y) for value, y in _pairs(event)]
            layout = lay_out(len(labels), event.images, max(map(len, labels), default=0))
            self._sheets[event.plan_id] = sheet = _Sheet(event, layout)
            await self._in_thread(self._open_page, sheet)
        elif isinstance(event, PlanExtended) and event.plan_id in self._sheets:
            sheet = self._sheets[event.plan_id]
            layout = sheet.layout
            sheet.layout = lay_out(event.steps, layout.columns, layout.longest_label)
        elif isinstance(event, StepFinished) and event.plan_id in self._sheets:
            sheet = self._sheets[event.plan_id]
            sheet.steps.append(event)
            await self._in_thread(self._show, sheet, event)
        elif isinstance(event, PlanFinished):
            await self._end(self._sheets.pop(event.plan_id, None))

    async def _end(self, sheet: _Sheet | None) -> None:
        if sheet is not None:
            await self._in_thread(self._write_page, sheet, True)
            if any(step.outputs for step in sheet.steps):
                await self._write(sheet)

    async def _in_thread(self, work: Callable[..., None], *values: object) -> None:
        """Work on a page; a disk that says no fails no run."""
        try:
            await anyio.to_thread.run_sync(work, *values)
        except OSError as error:
            self.problem = f"{PAGE}: {error.strerror or error}"
            logger.warning("page not written: %s", self.problem)

    def _open_page(self, sheet: _Sheet) -> None:
        """Begin a page; a plan that left no `plan.json` has none."""
        from stablenew.report.page import open_page

        sheet.page = open_page(self._base_dir / str(sheet.started.plan_id))
        self._write_page(sheet, False)

    def _show(self, sheet: _Sheet, event: StepFinished) -> None:
        if sheet.page is not None:
            error = None if event.error is None else str(event.error)
            sheet.page.add(event.index, event.run_id or "", str(event.outcome), error)
            if self._clock.monotonic() - sheet.written_at >= sheet.pause:
                self._write_page(sheet, False)

    def _write_page(self, sheet: _Sheet, done: bool) -> None:
        if sheet.page is None:
            return
        before = self._clock.monotonic()
        sheet.page.write(done=done, written=self._clock.now().isoformat())
        sheet.written_at = self._clock.monotonic()
        sheet.pause = max(_PAGE_EVERY, 20 * (sheet.written_at - before))

    async def _write(self, sheet: _Sheet) -> None:
        path = self._base_dir / str(sheet.started.plan_id) / CONTACT_SHEET
        self.problem = None
        try:
            data = await anyio.to_thread.run_sync(_draw, sheet, self._base_dir)
            await files.replace(path, data)
        except OSError as error:
            self.problem = f"{path}: {error.strerror or error}"
            logger.warning("contact sheet not written: %s", self.problem)


def _pairs(started: PlanStarted) -> Iterator[tuple[Setting, Setting]]:
    yield from zip(started.values, started.y_values or started.values, strict=True)


def _label(started: PlanStarted, value: Setting, y_value: Setting) -> str:
    label = step_label(started.variable, value, started.y_variable, y_value)
    return label.replace("=", " ")


def _draw(sheet: _Sheet, base_dir: Path) -> bytes:
    """Draw the sheet, in a worker thread: Pillow is loaded here, when it is needed."""
    from stablenew.report.contact_sheet import SheetRow, draw_contact_sheet

    rows = [
        SheetRow(
            label=_label(sheet.started, step.value, step.y_value),
            pictures=tuple(base_dir / output.path for output in step.outputs),
            note=str(step.error or step.outcome),
        )
        for step in sheet.steps
    ]
    shown = next(step.outputs for step in sheet.steps if step.outputs)
    name = sheet.started.metadata.get("experiment_name")
    title = f"{sheet.started.stage}.{sheet.started.variable}"
    return draw_contact_sheet(
        sheet.layout,
        f"{name}: {title}" if name else title,
        "" if sheet.started.variable == "prompt" else str(shown[0].settings.get("prompt") or ""),
        _column_labels(sheet),
        rows,
    )


def _column_labels(sheet: _Sheet) -> tuple[str, ...]:
    """Return the seeds, which are the same in every row unless the seed is what is swept."""
    outputs = max((step.outputs for step in sheet.steps), key=len)
    if sheet.started.variable == "seed":
        return tuple(f"picture {number}" for number in range(1, len(outputs) + 1))
    return tuple(f"seed {output.settings.get('seed', '?')}" for output in outputs)

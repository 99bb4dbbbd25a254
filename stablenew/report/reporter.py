"""Makes a plan's contact sheet when it ends: a subscriber that keeps only paths."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import attrs

from stablenew import _files
from stablenew.config.pipeline_config import Setting
from stablenew.events.bus import EventBus, Subscription
from stablenew.events.event import Event
from stablenew.events.mailbox import Overflow
from stablenew.learning.learning_events import PlanEvent, PlanFinished, PlanStarted, StepFinished
from stablenew.learning.learning_plan import step_label
from stablenew.report.sheet_layout import SheetLayout, lay_out

logger = logging.getLogger(__name__)

CONTACT_SHEET = "contact_sheet.png"


@attrs.define(eq=False)
class _Sheet:
    started: PlanStarted
    layout: SheetLayout
    steps: list[StepFinished] = attrs.field(factory=list)


class Reporter:
    """Writes `<plan_id>/contact_sheet.png` for every plan that made a picture.

    Args:
        base_dir: The folder of all runs.

    Attributes:
        problem: Why the last sheet could not be written, None if it was.
    """

    def __init__(self, base_dir: Path) -> None:
        self.problem: str | None = None
        self._base_dir = base_dir
        self._sheets: dict[str | None, _Sheet] = {}

    def subscribe(self, bus: EventBus) -> Subscription:
        """Report every plan from now on."""
        return bus.subscribe(
            (PlanEvent, StepFinished), self.take, overflow=Overflow.WAIT, name="reporter"
        )

    async def take(self, event: Event) -> None:
        """Note a step; draw when its plan has ended."""
        if isinstance(event, PlanStarted):
            labels = [_label(event, value, y) for value, y in _pairs(event)]
            layout = lay_out(len(labels), event.images, max(map(len, labels), default=0))
            self._sheets[event.plan_id] = _Sheet(event, layout)
        elif isinstance(event, StepFinished) and event.plan_id in self._sheets:
            self._sheets[event.plan_id].steps.append(event)
        elif isinstance(event, PlanFinished):
            sheet = self._sheets.pop(event.plan_id, None)
            if sheet and any(step.outputs for step in sheet.steps):
                await self._write(sheet)

    async def _write(self, sheet: _Sheet) -> None:
        path = self._base_dir / str(sheet.started.plan_id) / CONTACT_SHEET
        self.problem = None
        try:
            data = await anyio.to_thread.run_sync(_draw, sheet, self._base_dir)
            await _files.replace(path, data)
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

"""What a person sees on stderr while something runs: a bar in a terminal, else a line a step."""

from __future__ import annotations

import sys
from collections.abc import Collection
from types import TracebackType
from typing import Protocol, Self

from stablenew.cli.printing import printable, say
from stablenew.events.event import Event
from stablenew.learning.learning_events import (
    AdviceGiven,
    PlanStarted,
    RatingsAwaited,
    StepFinished,
    StepStarted,
)
from stablenew.pipeline.results import StageOutput
from stablenew.pipeline.stage_events import (
    BackendAwaited,
    BackendLost,
    BackendReturned,
    RunFinished,
    RunStarted,
    StageFinished,
    StageProgress,
    StageStarted,
)


def counted(outputs: Collection[StageOutput]) -> str:
    """Say how many pictures there are: `pictures: 4, 3 of them reused, blank: 1`."""
    reused = sum(output.reused for output in outputs)
    how_many = "all" if reused == len(outputs) else str(reused)
    blank = sum(output.blank for output in outputs)
    again = f", {how_many} of them reused" if reused else ""
    return f"pictures: {len(outputs)}{again}" + (f", blank: {blank}" if blank else "")


class Display(Protocol):
    """Shows how far things are."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, label: str, fraction: float) -> None:
        """Show what is going on and how much of everything is done, 0 to 1."""
        ...

    def tell(self, line: str) -> None:
        """Leave a line."""
        ...


class Progress:
    """Turns events into a label and a fraction of the whole.

    Args:
        display: What shows them.
        out: The folder of all runs, for hints.
    """

    def __init__(self, display: Display, out: str = "runs") -> None:
        self._display = display
        self._out = out
        self._in_plan = False
        self._step, self._steps = 0, 1
        self._label = ""
        self._stages: tuple[str, ...] = ()
        self._stages_done = 0

    async def take(self, event: Event) -> None:
        """Show an event, if there is something to show."""
        if isinstance(event, StageProgress):
            self._show(f"{event.stage} {event.image}/{event.images}", event.fraction)
        elif isinstance(event, StageStarted):
            self._show(event.stage, 0.0)
        elif isinstance(event, BackendLost | BackendAwaited | BackendReturned):
            self._take_absence(event)
        elif isinstance(event, StageFinished):
            self._stages_done += 1
            self._show(event.stage, 0.0)
        else:
            self._take_run(event)

    def _take_absence(self, event: BackendLost | BackendAwaited | BackendReturned) -> None:
        """Say that the backend is away, count down, and say that it is back."""
        if isinstance(event, BackendLost):
            self._display.tell(f"{event.error}; waiting up to {event.patience:g} s for it")
        elif isinstance(event, BackendAwaited):
            self._show(f"{event.stage}: waiting, {event.seconds_left:.0f} s left", 0.0)
        else:
            self._display.tell(f"it is back after {event.seconds:.0f} s")

    def _take_run(self, event: Event) -> None:
        if isinstance(event, PlanStarted):
            self._in_plan = True
        elif isinstance(event, RatingsAwaited):
            where = f"stablenew rate {self._out}/{event.plan_id}"
            self._display.tell(f"{len(event.pictures)} pictures to rate; elsewhere: {where}")
        elif isinstance(event, AdviceGiven):
            shown = "" if event.mean is None else f", {event.mean:.1f} of 5"
            self._display.tell(f"so far: {event.parameter}={event.value}{shown}; {event.why}")
        elif isinstance(event, StepStarted):
            self._step, self._steps, self._label = event.index, event.steps, event.label
        elif isinstance(event, RunStarted):
            self._stages, self._stages_done = event.stages, 0
        elif isinstance(event, StepFinished):
            self._display.tell(self._step_line(event))
        elif isinstance(event, RunFinished) and not self._in_plan and event.result.error:
            self._display.tell(f"{event.result.outcome}: {event.result.error}")

    def _show(self, stage: str, fraction: float) -> None:
        within = (self._stages_done + fraction) / max(len(self._stages), 1)
        done = (self._step + min(within, 1.0)) / self._steps
        step = f"step {self._step + 1}/{self._steps} {self._label}  "
        self._display.show((step if self._in_plan else "") + stage, done)

    def _step_line(self, event: StepFinished) -> str:
        line = f"step {event.index + 1}/{event.steps}  {event.label}  {event.outcome}"
        if event.outcome.good:
            return f"{line}, {counted(event.outputs)}"
        return f"{line}: {event.error}" if event.error else line


class LineDisplay:
    """Leaves lines and shows nothing in between, for logs and pipes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def show(self, label: str, fraction: float) -> None:
        """Show nothing: a line for each would be a flood."""

    def tell(self, line: str) -> None:
        """Print a line to stderr."""
        say(line, err=True, flush=True)


_BESIDE_LABEL = 27
"""Cells that the smallest bar, the percentage and the time take."""

_TAIL = 20
"""Cells of the end of a label that is cut."""


class BarDisplay:
    """A bar with the time left, in a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=1.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, label: str, fraction: float) -> None:
        """Move the bar."""
        room = self._bar.console.width - _BESIDE_LABEL
        self._bar.update(
            self._task, description=_fitted(printable(label), room), completed=fraction
        )

    def tell(self, line: str) -> None:
        """Leave a line above the bar."""
        self._bar.console.print(
            printable(line), highlight=False, markup=False, emoji=False, soft_wrap=True
        )


def _fitted(label: str, cells: int) -> str:
    """Cut the middle out of a label that is too wide: its ends say the step and the stage."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(label) <= cells:
        return label
    tail = set_cell_size(label[::-1], _TAIL)[::-1]
    return f"{set_cell_size(label, max(cells - _TAIL - 1, _TAIL))}…{tail}"


def make_display() -> Display:
    """Return a bar if stderr is a terminal, else lines."""
    return BarDisplay() if sys.stderr.isatty() else LineDisplay()

"""What a person sees on stderr while something runs: a bar in a terminal, else a line a step."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import attrs

from stablenew.cli.printing import printable, say
from stablenew.events.event import Event
from stablenew.learning.axis import label_of, without_stage
from stablenew.learning.learning_events import (
    AdviceGiven,
    NodeReturned,
    NodesAwaited,
    NodeSetAside,
    PlanStarted,
    RatingsAwaited,
    StepFinished,
    StepMoved,
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

if TYPE_CHECKING:  # where there is a terminal
    from rich.console import RenderableType


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

    def show(self, label: str, fraction: float, nodes: Sequence[str] = ()) -> None:
        """Show what is going on and how much of everything is done, 0 to 1.

        Args:
            label: In words.
            fraction: Of everything.
            nodes: What each of several servers is doing, in words.
        """
        ...

    def tell(self, line: str) -> None:
        """Leave a line."""
        ...


@attrs.define
class _Run:
    """A run under way.

    Attributes:
        step: Which step of the plan it is, from 0.
        label: What sets that apart.
        node: Where it runs.
        stages: That it will go through.
        done: How many of them have ended.
        doing: What it is at, in words.
        fraction: How much of it is done.
    """

    step: int = 0
    label: str = ""
    node: str | None = None
    stages: tuple[str, ...] = ()
    done: int = 0
    doing: str = ""
    fraction: float = 0.0


class Progress:
    """Turns events into a label and a fraction of the whole.

    Args:
        display: What shows them.
        out: The folder of all runs, for hints.
        asks: Whether a person rates here: who knows the values rates the values, so none is shown.
    """

    def __init__(self, display: Display, out: str = "runs", *, asks: bool = False) -> None:
        self._display = display
        self._out = out
        self._asks = asks
        self._in_plan = False
        self._ended, self._steps = 0, 1
        self._runs: dict[str | None, _Run] = {}
        self._nodes: set[str | None] = set()

    async def take(self, event: Event) -> None:
        """Show an event, if there is something to show."""
        if isinstance(event, StageProgress):
            self._show(event, f"{event.stage} {event.image}/{event.images}", event.fraction)
        elif isinstance(event, StageStarted):
            self._show(event, event.stage, 0.0)
        elif isinstance(event, BackendLost | BackendAwaited | BackendReturned):
            self._take_absence(event)
        elif isinstance(event, StageFinished):
            self._of(event).done += 1
            self._show(event, event.stage, 0.0)
        elif isinstance(event, StepMoved | NodeReturned | NodeSetAside | NodesAwaited):
            self._take_node(event)
        else:
            self._take_run(event)

    def _of(self, event: Event) -> _Run:
        return self._runs.setdefault(event.run_id, _Run())

    def _take_absence(self, event: BackendLost | BackendAwaited | BackendReturned) -> None:
        """Say that the backend is away, count down, and say that it is back."""
        if isinstance(event, BackendLost):
            self._display.tell(f"{event.error}; waiting up to {event.patience:g} s for it")
        elif isinstance(event, BackendAwaited):
            self._show(event, f"{event.stage}: waiting, {event.seconds_left:.0f} s left", 0.0)
        else:
            self._display.tell(f"it is back after {event.seconds:.0f} s")

    def _take_node(self, event: StepMoved | NodeReturned | NodeSetAside | NodesAwaited) -> None:
        """Say what became of one of several servers."""
        if isinstance(event, StepMoved):
            self._runs.pop(event.run_id, None)
            step = f"step {event.index + 1}/{event.steps}  {event.label}"
            self._display.tell(f"{step}  {event.error}; it goes to another server")
        elif isinstance(event, NodeReturned):
            self._display.tell(f"{event.node} is back after {event.seconds:.0f} s")
        elif isinstance(event, NodeSetAside):
            self._display.tell(f"{event.node} gets no more steps: {event.error}")
        else:
            waiting = f"waiting for a server, {event.seconds_left:.0f} s left"
            self._display.show(waiting, self._ended / self._steps)

    def _take_run(self, event: Event) -> None:
        if isinstance(event, PlanStarted):
            self._in_plan = True
        elif isinstance(event, RatingsAwaited) and not self._asks:
            where = f"stablenew rate {self._out}/{event.plan_id}"
            self._display.tell(f"pictures to rate: {len(event.pictures)}; elsewhere: {where}")
        elif isinstance(event, AdviceGiven):
            shown = "" if event.mean is None else f": {event.mean:.1f} of 5"
            best = ", ".join(f"{without_stage(p)}={label_of(v)}" for p, v in event.settings.items())
            self._display.tell(f"so far {best}{shown}; {event.why}")
        elif isinstance(event, StepStarted):
            self._steps = event.steps
            self._nodes.add(event.node)
            self._runs[event.run_id] = _Run(event.index, event.label, event.node)
        elif isinstance(event, RunStarted):
            run = self._of(event)
            run.stages, run.done = event.stages, 0
        elif isinstance(event, StepFinished):
            self._ended += 1
            self._runs.pop(event.run_id, None)
            self._display.tell(self._step_line(event))
        elif isinstance(event, RunFinished) and not self._in_plan and event.result.error:
            self._display.tell(f"{event.result.outcome}: {event.result.error}")

    def _show(self, event: Event, doing: str, fraction: float) -> None:
        run = self._of(event)
        run.doing = doing
        run.fraction = min((run.done + fraction) / max(len(run.stages), 1), 1.0)
        if len(self._nodes) > 1:
            self._show_all()
            return
        step = f"step {run.step + 1}/{self._steps} {run.label}  "
        done = (run.step + run.fraction) / self._steps
        self._display.show((step if self._in_plan else "") + doing, done)

    def _show_all(self) -> None:
        """Show one bar for the plan, and what each server is doing."""
        done = self._ended + sum(run.fraction for run in self._runs.values())
        doing = sorted(self._runs.values(), key=lambda run: str(run.node))
        nodes = [f"{run.node}  step {run.step + 1} {run.label}  {run.doing}" for run in doing]
        label = f"{self._ended} of {self._steps} steps, {len(nodes)} servers"
        self._display.show(label, min(done / self._steps, 1.0), nodes)

    def _step_line(self, event: StepFinished) -> str:
        label = "" if self._asks else f"  {event.label}"
        line = f"step {event.index + 1}/{event.steps}{label}  {event.outcome}"
        where = f", on {event.node}" if len(self._nodes) > 1 and event.node else ""
        if event.outcome.good:
            return f"{line}, {counted(event.outputs)}{where}"
        return f"{line}{where}: {event.error}" if event.error else line + where


class LineDisplay:
    """Leaves lines and shows nothing in between, for logs and pipes."""

    def __init__(self) -> None:
        self._kept: list[str] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep lines until the end of this: a person is being asked something in a line."""
        self._kept = []
        try:
            yield
        finally:
            kept, self._kept = self._kept, None
            for line in kept:
                self.tell(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def show(self, label: str, fraction: float, nodes: Sequence[str] = ()) -> None:
        """Show nothing: a line for each would be a flood."""

    def tell(self, line: str) -> None:
        """Print a line to stderr."""
        if self._kept is None:
            say(line, err=True, flush=True)
        else:
            self._kept.append(line)


_BESIDE_LABEL = 27
"""Cells that the smallest bar, the percentage and the time take."""

_TAIL = 20
"""Cells of the end of a label that is cut."""


_NODES = 8
"""Servers of which is shown what they do; of more, how many."""


class BarDisplay:
    """A bar with the time left, in a terminal; below it what each of several servers does."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.text import Text

        class Bar(RichProgress):
            nodes: Sequence[str] = ()

            def get_renderables(self) -> Iterator[RenderableType]:
                yield from super().get_renderables()
                yield from map(Text, self.nodes)

        self._bar = Bar(
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

    def show(self, label: str, fraction: float, nodes: Sequence[str] = ()) -> None:
        """Move the bar."""
        more = [f"  … and {len(nodes) - _NODES} more"] if len(nodes) > _NODES else []
        whole = self._bar.console.width - 3
        self._bar.nodes = [f"  {_fitted(printable(each), whole)}" for each in nodes[:_NODES]] + more
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

"""What the demo windows share: what there is to see of a plan, and what each button does.

Nothing here knows of a toolkit; `demo_tk.py`, `demo_qt.py` and `demo_textual.py` draw it.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import time
from pathlib import Path
from typing import Protocol

import anyio.to_thread
import attrs
from PIL import Image

from stablenew import (
    App,
    Event,
    PictureSaved,
    PlanEvent,
    PlanFinished,
    PlanStarted,
    RunFinished,
    RunStarted,
    Settings,
    StableNewError,
    StageEvent,
    StageProgress,
    StageStarted,
    State,
    StepEvent,
    StepFinished,
    parse_sweep,
)
from stablenew.cli.printing import printable
from stablenew.learning.axis import label_of

PROMPT = "a red mushroom in a forest"
SWEEP = "txt2img.cfg_scale=1,3,5,8"
SHOWN_EVERY = 0.1
"""Seconds between two showings of progress."""

THUMBNAIL = 96
"""Pixels, at the longer side."""


@attrs.frozen
class Row:
    """A step, as a window shows it."""

    label: str
    state: str = "waiting"
    fraction: float = 0.0


class View(Protocol):
    """What a window can show; called in the window's own thread."""

    def show_status(self, text: str, *, running: bool) -> None:
        """Say what is going on, and whether there is something to cancel."""
        ...

    def show_rows(self, rows: list[Row]) -> None:
        """Show the steps of a plan that begins, and no pictures."""
        ...

    def show_row(self, index: int, row: Row) -> None:
        """Show a step anew."""
        ...

    def show_fraction(self, fraction: float) -> None:
        """Show how much of the plan is done, 0 to 1."""
        ...

    def add_picture(self, label: str, picture: bytes) -> None:
        """Show a picture, a small PNG."""
        ...


class Session:
    """An app and a window.

    Args:
        app: The app, open.
        view: The window.

    Attributes:
        rows: What is shown of each step.
    """

    def __init__(self, app: App, view: View) -> None:
        self.rows: list[Row] = []
        self._app = app
        self._view = view
        self._task: asyncio.Task[None] | None = None
        self._step = 0
        self._shown_at = 0.0
        self._labels: dict[str | None, str] = {}
        self._stages = 1
        self._stage = 0
        self._plan: PlanStarted | None = None
        # Progress and pictures drop what comes too quickly; a window must not hold up a run.
        self._progress = app.bus.subscribe(
            (PlanEvent, StepEvent, RunStarted, RunFinished, StageEvent),
            self._take,
            name="demo window",
        )
        self._pictures = app.bus.subscribe(
            PictureSaved, self._take_picture, mailbox=32, name="demo pictures"
        )
        view.show_status("; ".join(map(str, app.interrupted)) or "ready", running=False)

    @property
    def dropped(self) -> int:
        """How many events and pictures this window was too slow for."""
        return self._progress.dropped + self._pictures.dropped

    def start(self, prompt: str, sweep: str, *, learn: bool) -> None:
        """Start a plan, or a single run where there is no sweep."""
        if self._app.learning.state not in (State.IDLE, State.ERROR):
            return
        self._app.pipeline.learning_enabled = learn
        self._view.show_status("starting", running=True)
        # A task of the loop and not of a task group: a button's handler may run outside any task.
        self._task = asyncio.get_running_loop().create_task(self._run(prompt, sweep))

    def cancel(self) -> None:
        """Cancel what is under way."""
        self._app.pipeline.cancel()

    def pause_or_resume(self) -> None:
        """Wait before the next step, or go on."""
        if self._app.learning.paused:
            self._app.learning.resume()
        else:
            self._app.learning.pause()

    async def _run(self, prompt: str, sweep: str) -> None:
        config = {"txt2img": {"prompt": prompt, "seed": 7}}
        try:
            if sweep.strip():
                path, values = parse_sweep(sweep)
                plan = {"target_variable": path, "sweep_values": list(values)}
                outcome = (await self._app.learning.run_learning_plan(plan, config)).outcome
            else:
                outcome = (await self._app.pipeline.run_pipeline(config)).outcome
        except (StableNewError, OSError) as error:
            self._view.show_status(str(error), running=False)
            return
        await self._progress.drained()
        await self._pictures.drained()
        done = sum(row.state in ("succeeded", "reused") for row in self.rows)
        text = f"{outcome}: {done} of {len(self.rows)} succeeded"
        if self.dropped:
            text += f"; {self.dropped} events dropped"
        self._view.show_status(text, running=False)

    async def _take(self, event: Event) -> None:
        if isinstance(event, PlanStarted):
            self._begin(event)
        elif isinstance(event, RunStarted):
            self._begin_run(event)
        elif isinstance(event, StageStarted):
            self._stage += 1
        elif isinstance(event, StageProgress) and self._is_time():
            part = (self._stage - 1 + event.fraction) / self._stages
            self._show(f"{event.stage} {part:.0%}", part)
        elif isinstance(event, StepEvent):
            self._take_step(event)
        elif isinstance(event, RunFinished) and self._plan is None:
            self._show(str(event.result.outcome), 1.0)
        elif isinstance(event, PlanFinished):
            self._view.show_fraction(1.0)
            self._plan = None
        elif isinstance(event, PlanEvent):
            self._view.show_status(type(event).__name__.removeprefix("Plan").lower(), running=True)

    def _is_time(self) -> bool:
        """Return whether progress is to be shown again: a person sees ten a second."""
        now = time.monotonic()
        if now - self._shown_at < SHOWN_EVERY:
            return False
        self._shown_at = now
        return True

    def _take_step(self, event: StepEvent) -> None:
        self._step = event.index
        label = self._labels[event.run_id] = printable(event.label)
        if self._step < len(self.rows):
            self.rows[self._step] = attrs.evolve(self.rows[self._step], label=label)
        if isinstance(event, StepFinished):
            self._show(str(event.outcome), 1.0)
        else:
            self._show("starting", 0.0)

    def _begin(self, event: PlanStarted) -> None:
        self._plan = event
        # The rest of what sets a step apart is told when it begins.
        names = [f"{event.variable}={label_of(value)}" for value in event.values]
        self.rows = [Row(printable(name)) for name in names]
        self._labels.clear()
        self._view.show_rows(self.rows)
        self._view.show_status(f"running {event.steps} steps", running=True)

    def _begin_run(self, event: RunStarted) -> None:
        self._stages, self._stage = len(event.stages), 0
        if self._plan is None:
            self._step, self.rows = 0, [Row("a single run")]
            self._view.show_rows(self.rows)
            self._view.show_status("running", running=True)

    def _show(self, state: str, fraction: float) -> None:
        if self._step >= len(self.rows):  # an adaptive plan has more than it began with
            return
        row = self.rows[self._step] = Row(self.rows[self._step].label, state, fraction)
        self._view.show_row(self._step, row)
        self._view.show_fraction((self._step + fraction) / len(self.rows))

    async def _take_picture(self, event: PictureSaved) -> None:
        path = self._app.settings.out / event.output.path
        small = await anyio.to_thread.run_sync(thumbnail, path)
        self._view.add_picture(self._labels.get(event.run_id, ""), small)


def thumbnail(path: Path) -> bytes:
    """Return a picture made small, as a PNG; for a thread."""
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    data = io.BytesIO()
    small.save(data, "PNG")
    return data.getvalue()


def read_settings(description: str) -> Settings:
    """Return the settings that the command line asks for."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs"), help="the folder of all runs")
    parser.add_argument("--backend", default="embedded", help="embedded, webui or fake")
    parser.add_argument("--url", default=Settings().url, help="the server's, for webui")
    flags = parser.parse_args()
    return Settings(out=flags.out, backend=flags.backend, url=flags.url)

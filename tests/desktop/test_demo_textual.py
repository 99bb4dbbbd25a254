"""The terminal screen from inside, with Textual's pilot."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from demo_textual import COLUMNS, Demo, Picture
from textual.pilot import Pilot
from textual.widgets import Button, Checkbox, DataTable, Input, Label

from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from tests.support import until


@asynccontextmanager
async def shown(runs: Path, backend: FakeBackend) -> AsyncIterator[tuple[Demo, Pilot[None]]]:
    """Show the screen; no thread of ours is left when it is closed."""
    demo = Demo(Settings(out=runs), backend=backend)
    async with demo.run_test(size=(120, 45)) as pilot:
        await until(lambda: status(demo) == "ready")
        yield demo, pilot
        await pilot.press("ctrl+q")
    assert not any("stablenew" in thread.name for thread in threading.enumerate())


def status(demo: Demo) -> str:
    return str(demo.query_one("#status", Label).render())


def states(demo: Demo) -> list[str]:
    table = demo.query_one(DataTable)
    return [str(table.get_row_at(row)[1]) for row in range(table.row_count)]


def pictures(demo: Demo) -> int:
    return demo.shown


async def test_progress_and_pictures_are_shown_as_they_come(runs: Path) -> None:
    async with shown(runs, FakeBackend(Behaviour(delay=0.5))) as (demo, pilot):
        await pilot.click("#start")
        await until(lambda: states(demo)[1:2] == ["txt2img 50%"])
        assert states(demo) == ["succeeded", "txt2img 50%", "waiting", "waiting"]
        assert demo.query_one("#start", Button).disabled
        assert not demo.query_one("#cancel", Button).disabled
        assert pictures(demo) == 1
        await until(lambda: status(demo) == "succeeded: 4 of 4 succeeded")
        await until(lambda: pictures(demo) == 4)
        second = demo.query(Picture)[1]
        assert second.label == "cfg_scale=3"
        assert second.render_line(1).text == "▀" * COLUMNS


async def test_cancel_in_the_middle_and_start_again(runs: Path) -> None:
    hangs = [True]
    backend = FakeBackend(lambda request, call: Behaviour(hang=hangs[0] and call == 2))
    async with shown(runs, backend) as (demo, pilot):
        await pilot.press("enter")
        await until(lambda: len(backend.calls) == 2)
        await pilot.press("escape")
        await until(lambda: status(demo) == "cancelled: 1 of 4 succeeded")
        assert states(demo) == ["succeeded", "cancelled", "waiting", "waiting"]
        hangs[0] = False
        demo.query_one("#sweep", Input).value = "txt2img.steps=1:20:1"
        demo.query_one(Checkbox).value = False
        await pilot.click("#start")
        await until(lambda: status(demo) == "succeeded: 20 of 20 succeeded")
        await until(lambda: pictures(demo) == 20)


async def test_prompts_with_markup_are_shown_as_they_are(runs: Path) -> None:
    async with shown(runs, FakeBackend()) as (demo, pilot):
        sweep = demo.query_one("#sweep", Input)
        sweep.value = "txt2img.prompt=[/x] bird :cat:,a [cat|dog]\x1b[2J"
        await pilot.click("#start")
        await until(lambda: status(demo) == "succeeded: 2 of 2 succeeded")
        table = demo.query_one(DataTable)
        labels = [str(table.get_row_at(row)[0]) for row in range(table.row_count)]
        assert labels == ["prompt=[/x] bird :cat:", r"prompt=a [cat|dog]\x1b[2J"]
        await until(lambda: pictures(demo) == 2)
        assert demo.query(Picture)[1].render_line(0).text == r"prompt=a [cat|dog]\x1b[2J"[:COLUMNS]
        sweep.value = "txt2img.steps=[/x]"
        await pilot.click("#start")
        await until(lambda: "given '[/x]'" in status(demo))


async def test_closing_in_the_middle_of_a_run_cancels_it(runs: Path) -> None:
    backend = FakeBackend(Behaviour(hang=True))
    async with shown(runs, backend) as (_, pilot):
        await pilot.press("enter")
        await until(lambda: backend.calls)
    (events,) = runs.glob("*/events.jsonl")
    assert b'"outcome":"cancelled"' in events.read_bytes().splitlines()[-1]

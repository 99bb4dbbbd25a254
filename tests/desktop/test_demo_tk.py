"""The Tk window from inside: what it shows, and what its buttons do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import demo_tk
import pytest
from demo_tk import Window

from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from tests.desktop.driving import virtual_display
from tests.support import live_threads, until, wait_for_threads

Drive = Callable[[Window], Coroutine[object, object, None]]


@pytest.fixture(scope="module", autouse=True)
def display() -> Iterator[None]:
    with virtual_display() as name:
        before = os.environ.get("DISPLAY")
        os.environ["DISPLAY"] = name
        yield
        os.environ.pop("DISPLAY")
        if before is not None:
            os.environ["DISPLAY"] = before


def show(runs: Path, backend: FakeBackend, drive: Drive) -> None:
    """Show the window; nothing of it is left when it is closed."""
    threads = live_threads()
    asyncio.run(demo_tk.run(Settings(out=runs), backend=backend, drive=drive))
    wait_for_threads(threads)


def states(window: Window) -> list[str]:
    return [str(window.steps.set(row, "state")) for row in window.steps.get_children()]


def test_progress_and_pictures_are_shown_as_they_come(runs: Path) -> None:
    seen: list[list[str]] = []
    backend = FakeBackend(Behaviour(delay=0.5))

    async def drive(window: Window) -> None:
        assert window.status.get() == "ready"
        window.start_button.invoke()
        await until(lambda: states(window)[1:2] == ["txt2img 50%"])
        seen.append(states(window))
        assert window.start_button.instate(["disabled"])
        assert window.cancel_button.instate(["!disabled"])
        assert 0.25 < window.progress["value"] < 0.5
        assert len(window.pictures) == 1
        await until(lambda: window.status.get() == "succeeded: 4 of 4 succeeded")
        assert [label["text"] for _, label in window.pictures] == [
            "cfg_scale=1", "cfg_scale=3", "cfg_scale=5", "cfg_scale=8",
        ]  # fmt: skip
        assert window.start_button.instate(["!disabled"])
        window.close()

    show(runs, backend, drive)
    assert seen[0][0] == "succeeded"
    assert seen[0][2:] == ["waiting", "waiting"]


def test_cancel_in_the_middle_start_again_and_close(runs: Path) -> None:
    hangs = [True]
    backend = FakeBackend(lambda request, call: Behaviour(hang=hangs[0] and call == 2))

    async def drive(window: Window) -> None:
        window.root.event_generate("<Return>")
        await until(lambda: len(backend.calls) == 2)
        window.cancel_button.invoke()
        await until(lambda: window.status.get() == "cancelled: 1 of 4 succeeded")
        assert states(window) == ["succeeded", "cancelled", "waiting", "waiting"]
        hangs[0] = False
        window.sweep.set("txt2img.steps=4,5")
        window.start_button.invoke()
        await until(lambda: window.status.get() == "succeeded: 2 of 2 succeeded")
        assert len(window.pictures) == 2
        window.close()

    show(runs, backend, drive)


def test_closing_in_the_middle_of_a_run_cancels_it(runs: Path) -> None:
    backend = FakeBackend(Behaviour(hang=True))

    async def drive(window: Window) -> None:
        window.start_button.invoke()
        await until(lambda: backend.calls)
        window.close()

    show(runs, backend, drive)
    (events,) = runs.glob("*/events.jsonl")
    assert b'"outcome":"cancelled"' in events.read_bytes().splitlines()[-1]


def test_only_so_many_pictures_are_kept(runs: Path) -> None:
    async def drive(window: Window) -> None:
        window.sweep.set("txt2img.steps=1:20:1")
        window.start_button.invoke()
        await until(lambda: "20 of 20" in window.status.get())
        assert len(window.pictures) <= 2 * demo_tk.COLUMNS
        window.close()

    show(runs, FakeBackend(), drive)

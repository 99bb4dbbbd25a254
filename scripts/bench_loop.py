"""Does the loop stay smooth? A 5 ms heartbeat in each kind of host, while a plan of 80 steps runs.

python scripts/bench_loop.py [--hosts tk,qt] [--steps 80] [--server-step 0.005]

Prints by how much the beats came late, p99 and longest, on the embedded backend and on the WebUI
that the tests run against (in a process of its own), with the windows of `demo_tk.py`, `demo_qt.py`
and `demo_textual.py`, with plain asyncio, and with a plain Tk window that has the app in a thread.
Beside them a control: an idle loop next to a thread that never rests, which is what Python's lock
costs with nothing of ours. Each runs in a process of its own. Needs the group `desktop` and Xvfb.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import tkinter as tk
from collections.abc import Callable
from pathlib import Path
from tkinter import ttk

import anyio
from bench_support import ROOT, SERVE, heartbeat, p99, process
from demo_session import PROMPT, Row, Session

from stablenew import Settings, StageProgress, ThreadHost, open_app, parse_sweep

INTERVAL = 0.005
GOAL = 16.0
"""Milliseconds: a frame."""

PUMP = 20
"""Milliseconds between two looks of a plain Tk window at what its host has for it."""


class NoView:
    """A window that shows nothing."""

    def __init__(self) -> None:
        self.running = False

    def show_status(self, text: str, *, running: bool) -> None:
        """Note whether there is something to cancel."""
        del text
        self.running = running

    def show_rows(self, rows: list[Row]) -> None:
        """Show nothing."""

    def show_row(self, index: int, row: Row) -> None:
        """Show nothing."""

    def show_fraction(self, fraction: float) -> None:
        """Show nothing."""

    def add_picture(self, label: str, picture: bytes) -> None:
        """Show nothing."""


async def beats_of(start: Callable[[], None], running: Callable[[], bool]) -> list[float]:
    """Return how late the beats came from the start of a plan to its end."""

    async def work() -> None:
        start()
        while running():  # noqa: ASYNC110  # a window has no event for it
            await anyio.sleep(0.05)

    return await heartbeat(work, INTERVAL)


def on_asyncio(settings: Settings, sweep: str) -> list[float]:
    async def main() -> list[float]:
        view = NoView()
        async with open_app(settings) as app:
            session = Session(app, view)
            return await beats_of(
                lambda: session.start(PROMPT, sweep, learn=True), lambda: view.running
            )

    return asyncio.run(main())


def on_tk(settings: Settings, sweep: str) -> list[float]:
    import demo_tk

    late: list[float] = []

    async def drive(window: demo_tk.Window) -> None:
        window.sweep.set(sweep)
        late.extend(await beats_of(window.start, lambda: window.start_button.instate(["disabled"])))
        window.close()

    asyncio.run(demo_tk.run(settings, drive=drive))
    return late


def on_qt(settings: Settings, sweep: str) -> list[float]:
    import demo_qt
    import qasync
    from PySide6.QtWidgets import QApplication

    late: list[float] = []

    async def drive(window: demo_qt.Window) -> None:
        window.sweep.setText(sweep)
        late.extend(await beats_of(window.start, lambda: not window.start_button.isEnabled()))
        window.close()

    application = QApplication([])
    qasync.run(demo_qt.run(settings, drive=drive))
    application.quit()
    return late


def on_textual(settings: Settings, sweep: str) -> list[float]:
    from demo_textual import Demo
    from textual.widgets import Button, Input

    async def main() -> list[float]:
        demo = Demo(settings)
        async with demo.run_test(size=(120, 45)) as pilot:
            while demo.session is None:
                await pilot.pause(0.05)
            demo.query_one("#sweep", Input).value = sweep
            start = demo.query_one("#start", Button)
            late = await beats_of(demo.on_input_submitted, lambda: start.disabled)
            await pilot.press("ctrl+q")
        return late

    return asyncio.run(main())


def on_thread_host(settings: Settings, sweep: str) -> list[float]:
    """Beat in Tk's own loop, with `after`."""
    late: list[float] = []
    done = False
    path, values = parse_sweep(sweep)
    root = tk.Tk()
    bar = ttk.Progressbar(root, maximum=1.0)
    bar.pack()

    def show(event: StageProgress) -> None:
        bar["value"] = event.fraction

    def end(_: object) -> None:
        nonlocal done
        done = True

    def beat(before: float) -> None:
        now = time.perf_counter()
        late.append((now - before - INTERVAL) * 1e3)
        if done:
            root.destroy()
        else:
            root.after(int(INTERVAL * 1000), beat, now)

    def pump() -> None:
        host.pump()
        root.after(PUMP, pump)

    with ThreadHost(settings) as host:
        host.set_learning(True)
        host.subscribe(StageProgress, show)
        plan = {"target_variable": path, "sweep_values": list(values)}
        host.run_learning_plan(plan, {"txt2img": {"prompt": PROMPT, "seed": 7}}, done=end)
        root.after(PUMP, pump)
        root.after(int(INTERVAL * 1000), beat, time.perf_counter())
        root.mainloop()
    return late


def control(settings: Settings, sweep: str) -> list[float]:
    """Beat in an idle loop, next to a thread that never rests."""
    ended = threading.Event()

    def toil() -> None:
        number = 0
        while not ended.is_set():
            number += 1

    async def main() -> list[float]:
        async def wait() -> None:
            await asyncio.sleep(5)

        return await heartbeat(wait, INTERVAL)

    thread = threading.Thread(target=toil)
    thread.start()
    try:
        return asyncio.run(main())
    finally:
        ended.set()
        thread.join()


HOSTS = {
    "asyncio": on_asyncio,
    "tk": on_tk,
    "qt": on_qt,
    "textual": on_textual,
    "threadhost": on_thread_host,
    "control": control,
}


def measured(host: str, backend: str, steps: int, url: str) -> list[float]:
    """Return the beats of one host, run in a process of its own."""
    words = ["--one", host, "--backend", backend, "--steps", str(steps), "--url", url]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_LOGGING_RULES": "*=false"},
        stdout=subprocess.PIPE,
        check=True,
    )
    late: list[float] = json.loads(done.stdout.splitlines()[-1])
    return late


def one(host: str, backend: str, steps: int, url: str) -> None:
    """Print the beats of a host as JSON."""
    sweep = f"txt2img.cfg_scale=0.1:{steps / 10}:0.1"
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(out=Path(folder) / "runs", backend=backend, url=url)
        late = HOSTS[host](settings, sweep)
        if host != "control":
            steps_done = len(list(settings.out.glob("*/run_metadata.json")))
            assert steps_done == steps, f"{host}: {steps_done} of {steps} steps"
    print(json.dumps(late))


def main(hosts: list[str], steps: int, server_step: float) -> None:
    """Print the table."""
    sys.path.insert(0, str(ROOT))
    from tests.desktop.driving import virtual_display

    print(f"{'host':12}{'backend':10}{'beats':>8}{'p99 ms':>9}{'longest':>9}")
    with virtual_display() as display, process("-c", SERVE, str(server_step)) as url:
        os.environ["DISPLAY"] = display
        for host in hosts:
            for backend in ("-",) if host == "control" else ("embedded", "webui"):
                late = measured(host, backend, steps, url)
                over = "" if p99(late) <= GOAL or host == "control" else "  over the goal"
                print(
                    f"{host:12}{backend:10}{len(late):8}{p99(late):9.1f}{max(late):9.1f}{over}",
                    flush=True,
                )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", default=",".join(HOSTS))
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--server-step", type=float, default=0.005)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--backend", default="", help=argparse.SUPPRESS)
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        one(flags.one, flags.backend, flags.steps, flags.url)
    else:
        main(flags.hosts.split(","), flags.steps, flags.server_step)

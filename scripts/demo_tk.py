"""A Tk window in StableNew's own loop, with async-tkinter-loop.

python scripts/demo_tk.py

Return starts, Escape cancels, Control-P pauses and goes on, Control-Q closes.
"""

from __future__ import annotations

import asyncio
import gc
import tkinter as tk
from collections.abc import Callable, Coroutine
from tkinter import ttk

import anyio
from async_tkinter_loop import main_loop
from demo_session import PROMPT, SWEEP, Row, Session, read_settings

from stablenew import Backend, Settings, open_app

COLUMNS = 8
"""Pictures in a row; the last two rows are shown."""


class Window:
    """What is seen: it only draws, and hands what is pressed to its session."""

    def __init__(self, root: tk.Tk) -> None:
        self.root = root
        self.session: Session | None = None
        self.closed = False
        self.prompt = tk.StringVar(root, PROMPT)
        self.sweep = tk.StringVar(root, SWEEP)
        self.learn = tk.BooleanVar(root, True)
        self.status = tk.StringVar(root, "")
        self.pictures: list[tuple[tk.PhotoImage, ttk.Label]] = []
        root.withdraw()  # until there is an app behind it
        root.title("StableNew")
        root.geometry("820x560")
        ttk.Style(root).theme_use("clam")
        root.columnconfigure(1, weight=1)
        root.rowconfigure(4, weight=1)
        self._build_form()
        self._build_results()
        for keys, action in (
            ("<Return>", self.start),
            ("<Escape>", self.cancel),
            ("<Control-p>", self.pause),
            ("<Control-q>", self.close),
        ):
            root.bind(keys, lambda _, action=action: action())  # type: ignore[misc]
        root.protocol("WM_DELETE_WINDOW", self.close)
        self.entry.focus_set()

    def _build_form(self) -> None:
        ttk.Label(self.root, text="Prompt").grid(row=0, column=0, sticky="w", padx=8, pady=4)
        self.entry = ttk.Entry(self.root, textvariable=self.prompt, width=60)
        self.entry.grid(row=0, column=1, sticky="ew", padx=8, pady=4)
        ttk.Label(self.root, text="Sweep").grid(row=1, column=0, sticky="w", padx=8, pady=4)
        sweep = ttk.Entry(self.root, textvariable=self.sweep)
        sweep.grid(row=1, column=1, sticky="ew", padx=8, pady=4)
        bar = ttk.Frame(self.root)
        bar.grid(row=2, column=0, columnspan=2, sticky="ew", padx=8, pady=4)
        self.start_button = ttk.Button(bar, text="Start", command=self.start)
        self.cancel_button = ttk.Button(bar, text="Cancel", command=self.cancel, state="disabled")
        self.pause_button = ttk.Button(bar, text="Pause", command=self.pause, state="disabled")
        learn = ttk.Checkbutton(bar, text="Learning records", variable=self.learn)
        for button in (self.start_button, self.cancel_button, self.pause_button, learn):
            button.pack(side="left", padx=4)
        ttk.Label(bar, textvariable=self.status).pack(side="left", padx=12)

    def _build_results(self) -> None:
        self.progress = ttk.Progressbar(self.root, maximum=1.0)
        self.progress.grid(row=3, column=0, columnspan=2, sticky="ew", padx=8, pady=4)
        self.steps = ttk.Treeview(self.root, columns=("state",), height=8)
        self.steps.heading("#0", text="Step", anchor="w")
        self.steps.heading("state", text="State", anchor="w")
        self.steps.grid(row=4, column=0, columnspan=2, sticky="nsew", padx=8, pady=4)
        self.strip = ttk.Frame(self.root, height=120)
        self.strip.grid(row=5, column=0, columnspan=2, sticky="w", padx=8, pady=4)

    def start(self) -> None:
        """Start what the form says."""
        if self.session is not None:
            self.session.start(self.prompt.get(), self.sweep.get(), learn=self.learn.get())

    def cancel(self) -> None:
        """Cancel what is under way."""
        if self.session is not None:
            self.session.cancel()

    def pause(self) -> None:
        """Pause, or go on."""
        if self.session is not None:
            self.session.pause_or_resume()

    def close(self) -> None:
        """Let the window go; what is under way is cancelled and waited for in `run`."""
        self.closed = True
        self.root.destroy()

    def show_status(self, text: str, *, running: bool) -> None:
        if self.closed:
            return
        self.status.set(text)
        self.start_button.state(["disabled" if running else "!disabled"])
        for button in (self.cancel_button, self.pause_button):
            button.state(["!disabled" if running else "disabled"])

    def show_rows(self, rows: list[Row]) -> None:
        if self.closed:
            return
        self.steps.delete(*self.steps.get_children())
        for index, row in enumerate(rows):
            self.steps.insert("", "end", iid=str(index), text=row.label, values=(row.state,))
        for _, label in self.pictures:
            label.destroy()
        self.pictures.clear()

    def show_row(self, index: int, row: Row) -> None:
        if not self.closed:
            self.steps.set(str(index), "state", row.state)
            self.steps.see(str(index))

    def show_fraction(self, fraction: float) -> None:
        if not self.closed:
            self.progress["value"] = fraction

    def add_picture(self, label: str, picture: bytes) -> None:
        if self.closed:
            return
        image = tk.PhotoImage(master=self.root, data=picture)
        shown = ttk.Label(self.strip, image=image, text=label, compound="top")
        self.pictures.append((image, shown))
        if len(self.pictures) > 2 * COLUMNS:
            self.pictures.pop(0)[1].destroy()
        for place, (_, each) in enumerate(self.pictures):
            each.grid(row=place // COLUMNS, column=place % COLUMNS, padx=2)


async def run(
    settings: Settings,
    *,
    backend: Backend | None = None,
    drive: Callable[[Window], Coroutine[object, object, None]] | None = None,
) -> None:
    """Show the window until it is closed.

    Args:
        settings: The app's.
        backend: In place of the one that the settings name.
        drive: Awaited beside the window, to press its buttons in a test.
    """
    window = Window(tk.Tk())
    async with (
        open_app(settings, backend=backend) as app,
        anyio.create_task_group() as tasks,
    ):
        window.session = Session(app, window)
        window.root.deiconify()
        if drive is not None:
            tasks.start_soon(drive, window)
        try:
            await main_loop(window.root)
        finally:
            tasks.cancel_scope.cancel()
    del window
    gc.collect()  # Tk's variables must be freed in its own thread; any other may collect them later


if __name__ == "__main__":
    asyncio.run(run(read_settings(__doc__ or "")))

"""The same in a terminal, with Textual.

python scripts/demo_textual.py

Return starts, Escape cancels, Control-P pauses and goes on, Control-Q closes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import ClassVar

import anyio
from demo_session import PROMPT, SWEEP, Row, Session, read_settings
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Button, Checkbox, DataTable, Footer, Input, Label, ProgressBar

from stablenew import Backend, Settings, open_app

COLUMNS = 24
PLACES = 4


class Demo(App[None]):
    """What is seen: it only draws, and hands what is pressed to its session.

    Args:
        settings: Of StableNew's app.
        backend: In place of the one that the settings name.
    """

    TITLE = "StableNew"
    CSS = """
    Input { height: 3; }
    #bar { height: 3; }
    #bar Button { margin-right: 1; }
    #status { padding: 1; }
    DataTable { height: 11; }
    #pictures { height: 1fr; }
    Picture { width: 24; height: 14; margin-right: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", priority=True),
        Binding("ctrl+p", "pause", "Pause", priority=True),
        Binding("ctrl+q", "quit", "Close", priority=True),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, settings: Settings, *, backend: Backend | None = None) -> None:
        super().__init__()
        self.session: Session | None = None
        self._settings = settings
        self._stablenew_backend = backend
        self._leaving = anyio.Event()
        self.shown = 0

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Input(PROMPT, id="prompt", placeholder="prompt")
        yield Input(SWEEP, id="sweep", placeholder="sweep")
        with Horizontal(id="bar"):
            yield Button("Start", id="start", variant="success")
            yield Button("Cancel", id="cancel", disabled=True)
            yield Button("Pause", id="pause", disabled=True)
            yield Checkbox("Learning records", True, id="learn")
            yield Label("", id="status", markup=False)  # errors quote what they were given
        yield ProgressBar(total=1.0, show_eta=False)
        yield DataTable(cursor_type="none")
        with Horizontal(id="pictures"):
            for _ in range(PLACES):  # filled one after the other: to mount widgets costs a frame
                yield Picture()
        yield Footer()

    def on_mount(self) -> None:
        """Open StableNew's app in a task of its own."""
        table = self.query_one(DataTable)
        table.add_column("Step", width=40)
        self._state_column = table.add_column("State", width=24)
        self._host_worker = self.run_worker(self._host(), name="stablenew")

    async def _host(self) -> None:
        async with open_app(self._settings, backend=self._stablenew_backend) as app:
            self.session = Session(app, self)
            await self._leaving.wait()

    def on_input_submitted(self) -> None:
        """Start what the form says."""
        if self.session is not None:
            prompt, sweep = (self.query_one(name, Input).value for name in ("#prompt", "#sweep"))
            self.session.start(prompt, sweep, learn=self.query_one(Checkbox).value)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do what the button says."""
        if event.button.id == "start":
            self.on_input_submitted()
        elif event.button.id == "cancel":
            self.action_cancel()
        else:
            self.action_pause()

    def action_cancel(self) -> None:
        """Cancel what is under way."""
        if self.session is not None:
            self.session.cancel()

    def action_pause(self) -> None:
        """Pause, or go on."""
        if self.session is not None:
            self.session.pause_or_resume()

    async def action_quit(self) -> None:
        """Cancel what is under way, wait for its end, and close."""
        self._leaving.set()
        await self._host_worker.wait()
        self.exit()

    def show_status(self, text: str, *, running: bool) -> None:
        self.query_one("#status", Label).update(text)
        self.query_one("#start", Button).disabled = running
        self.query_one("#cancel", Button).disabled = not running
        self.query_one("#pause", Button).disabled = not running

    def show_rows(self, rows: list[Row]) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for index, row in enumerate(rows):
            table.add_row(Text(row.label), row.state, key=str(index))  # as a str it is markup
        self.shown = 0
        for place in self.query(Picture):
            place.show("", [])

    def show_row(self, index: int, row: Row) -> None:
        table = self.query_one(DataTable)
        table.update_cell(str(index), self._state_column, row.state)
        if index != table.cursor_row:
            table.move_cursor(row=index)

    def show_fraction(self, fraction: float) -> None:
        self.query_one(ProgressBar).update(progress=fraction)

    def add_picture(self, label: str, picture: bytes) -> None:
        self.query(Picture)[self.shown % PLACES].show(label, in_blocks(picture))
        self.shown += 1


class Picture(Widget):
    """A picture in half blocks under its label.

    It draws its lines itself: text with a style for each letter would take a frame to lay out.

    Attributes:
        label: What stands above it.
    """

    label = ""
    _lines: Sequence[Strip] = ()

    def show(self, label: str, lines: Sequence[Strip]) -> None:
        """Show another picture."""
        self.label, self._lines = label, lines
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return a line: the label, then the picture."""
        if y == 0:
            return Strip([Segment(self.label[:COLUMNS])])
        return self._lines[y - 1] if y <= len(self._lines) else Strip([])


def in_blocks(picture: bytes) -> list[Strip]:
    """Return a picture as lines: each letter is two pixels, one above the other."""
    with Image.open(io.BytesIO(picture)) as opened:
        lines = max(1, round(opened.height / opened.width * COLUMNS / 2))
        pixels = opened.convert("RGB").resize((COLUMNS, 2 * lines)).tobytes()
    colours = [Color.from_rgb(*pixels[at : at + 3]) for at in range(0, len(pixels), 3)]
    rows = [colours[at : at + COLUMNS] for at in range(0, len(colours), COLUMNS)]
    return [
        Strip([Segment("▀", Style(color=a, bgcolor=b)) for a, b in zip(above, below, strict=True)])
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    ]


if __name__ == "__main__":
    Demo(read_settings(__doc__ or "")).run()

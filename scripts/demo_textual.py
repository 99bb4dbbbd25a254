"""The same in a terminal, with Textual.

python scripts/demo_textual.py

Return starts, Escape cancels, Control-P pauses and goes on, Control-Q closes.
"""

from __future__ import annotations

import io
from typing import ClassVar

import anyio
from demo_session import PROMPT, SWEEP, Row, Session, read_settings
from PIL import Image
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, HorizontalScroll
from textual.widgets import Button, Checkbox, DataTable, Footer, Input, Label, ProgressBar, Static

from stablenew import Backend, Settings, open_app

COLUMNS = 24
MOST_PICTURES = 12


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
    DataTable { height: 1fr; }
    #pictures { height: 16; }
    #pictures Static { width: auto; margin-right: 1; }
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

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Input(PROMPT, id="prompt", placeholder="prompt")
        yield Input(SWEEP, id="sweep", placeholder="sweep")
        with Horizontal(id="bar"):
            yield Button("Start", id="start", variant="success")
            yield Button("Cancel", id="cancel", disabled=True)
            yield Button("Pause", id="pause", disabled=True)
            yield Checkbox("Learning records", True, id="learn")
            yield Label("", id="status")
        yield ProgressBar(total=1.0, show_eta=False)
        yield DataTable(cursor_type="none")
        yield HorizontalScroll(id="pictures")
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
            table.add_row(row.label, row.state, key=str(index))
        self.query_one("#pictures").remove_children()

    def show_row(self, index: int, row: Row) -> None:
        table = self.query_one(DataTable)
        table.update_cell(str(index), self._state_column, row.state)
        table.move_cursor(row=index)

    def show_fraction(self, fraction: float) -> None:
        self.query_one(ProgressBar).update(progress=fraction)

    def add_picture(self, label: str, picture: bytes) -> None:
        strip = self.query_one("#pictures")
        strip.mount(Static(in_blocks(label, picture)))
        for old in strip.children[:-MOST_PICTURES]:
            old.remove()


def in_blocks(label: str, picture: bytes) -> Text:
    """Return a picture as text: each letter is two pixels, one above the other."""
    with Image.open(io.BytesIO(picture)) as opened:
        lines = max(1, round(opened.height / opened.width * COLUMNS / 2))
        pixels = opened.convert("RGB").resize((COLUMNS, 2 * lines)).tobytes()
    text = Text(f"{label}\n")
    for line in range(lines):
        for column in range(COLUMNS):
            above, below = (3 * ((2 * line + each) * COLUMNS + column) for each in (0, 1))
            colours = [f"rgb({','.join(map(str, pixels[at : at + 3]))})" for at in (above, below)]
            text.append("▀", style=" on ".join(colours))
        text.append("\n")
    return text


if __name__ == "__main__":
    Demo(read_settings(__doc__ or "")).run()

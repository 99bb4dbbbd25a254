"""The same window with PySide6, in Qt's loop by way of qasync.

python scripts/demo_qt.py

Return starts, Escape cancels, Control-P pauses and goes on, Control-Q closes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine

import anyio
import qasync
from demo_session import PROMPT, SWEEP, THUMBNAIL, Row, Session, read_settings
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QCloseEvent, QIcon, QKeySequence, QPixmap, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from stablenew import Backend, Settings, open_app

MOST_PICTURES = 64


class Window(QWidget):
    """What is seen: it only draws, and hands what is pressed to its session."""

    def __init__(self) -> None:
        super().__init__()
        self.session: Session | None = None
        self.closed = anyio.Event()
        self.setWindowTitle("StableNew")
        self.resize(820, 560)
        self.prompt = QLineEdit(PROMPT)
        self.sweep = QLineEdit(SWEEP)
        self.learn = QCheckBox("Learning records")
        self.learn.setChecked(True)
        self.start_button = QPushButton("Start")
        self.cancel_button = QPushButton("Cancel")
        self.pause_button = QPushButton("Pause")
        self.status = QLabel()
        self.status.setTextFormat(Qt.TextFormat.PlainText)  # errors quote what they were given
        self.progress = QProgressBar()
        self.progress.setMaximum(1000)
        self.steps = QTableWidget(0, 2)
        self.steps.setHorizontalHeaderLabels(["Step", "State"])
        self.steps.horizontalHeader().setStretchLastSection(True)
        self.pictures = QListWidget()
        self.pictures.setViewMode(QListView.ViewMode.IconMode)
        self.pictures.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self._lay_out()
        self._connect()

    def _connect(self) -> None:
        for entry in (self.prompt, self.sweep):
            entry.returnPressed.connect(self.start)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.pause_button.clicked.connect(self.pause)
        for keys, action in (("Esc", self.cancel), ("Ctrl+P", self.pause), ("Ctrl+Q", self.close)):
            QShortcut(QKeySequence(keys), self).activated.connect(action)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Prompt", self.prompt)
        form.addRow("Sweep", self.sweep)
        bar = QHBoxLayout()
        for widget in (self.start_button, self.cancel_button, self.pause_button, self.learn):
            bar.addWidget(widget)
        bar.addWidget(self.status, stretch=1)
        whole = QVBoxLayout(self)
        whole.addLayout(form)
        whole.addLayout(bar)
        for part in (self.progress, self.steps, self.pictures):
            whole.addWidget(part)

    def start(self) -> None:
        """Start what the form says."""
        if self.session is not None:
            learn = self.learn.isChecked()
            self.session.start(self.prompt.text(), self.sweep.text(), learn=learn)

    def cancel(self) -> None:
        """Cancel what is under way."""
        if self.session is not None:
            self.session.cancel()

    def pause(self) -> None:
        """Pause, or go on."""
        if self.session is not None:
            self.session.pause_or_resume()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802  # Qt's name
        """Let the window go; what is under way is cancelled and waited for in `run`."""
        self.closed.set()
        event.accept()

    def show_status(self, text: str, *, running: bool) -> None:
        self.status.setText(text)
        self.start_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.pause_button.setEnabled(running)

    def show_rows(self, rows: list[Row]) -> None:
        self.pictures.clear()
        self.steps.setRowCount(len(rows))
        for index, row in enumerate(rows):
            self.steps.setItem(index, 0, QTableWidgetItem(row.label))
            self.steps.setItem(index, 1, QTableWidgetItem(row.state))

    def show_row(self, index: int, row: Row) -> None:
        item = self.steps.item(index, 1)
        if item is not None:
            item.setText(row.state)
            self.steps.scrollToItem(item)

    def show_fraction(self, fraction: float) -> None:
        self.progress.setValue(round(1000 * fraction))

    def add_picture(self, label: str, picture: bytes) -> None:
        pixels = QPixmap()
        pixels.loadFromData(picture)
        self.pictures.addItem(QListWidgetItem(QIcon(pixels), label))
        if self.pictures.count() > MOST_PICTURES:
            self.pictures.takeItem(0)


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
    QApplication.setQuitOnLastWindowClosed(False)  # the loop has to go on until all has ended
    window = Window()
    async with (
        open_app(settings, backend=backend) as app,
        anyio.create_task_group() as tasks,
    ):
        window.session = Session(app, window)
        window.show()
        if drive is not None:
            tasks.start_soon(drive, window)
        await window.closed.wait()
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    chosen = read_settings(__doc__ or "")
    application = QApplication([])
    qasync.run(run(chosen))

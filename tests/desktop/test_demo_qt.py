"""The Qt window from inside, offscreen: what it shows, and what its buttons do."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import demo_qt
import pytest
import qasync
from demo_qt import Window
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from tests.support import live_threads, until, wait_for_threads

Drive = Callable[[Window], Coroutine[object, object, None]]
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(scope="module", autouse=True)
def application() -> QApplication:
    existing = QApplication.instance()
    return existing if isinstance(existing, QApplication) else QApplication([])


def show(runs: Path, backend: FakeBackend, drive: Drive) -> None:
    """Show the window; nothing of it is left when it is closed."""
    threads = live_threads()
    qasync.run(demo_qt.run(Settings(out=runs), backend=backend, drive=drive))
    wait_for_threads(threads)


def states(window: Window) -> list[str]:
    items = [window.steps.item(row, 1) for row in range(window.steps.rowCount())]
    return [item.text() for item in items if item is not None]


def test_progress_and_pictures_are_shown_as_they_come(runs: Path) -> None:
    seen: list[list[str]] = []

    async def drive(window: Window) -> None:
        assert window.status.text() == "ready"
        QTest.mouseClick(window.start_button, LEFT)
        await until(lambda: states(window)[1:2] == ["txt2img 50%"])
        seen.append(states(window))
        assert not window.start_button.isEnabled()
        assert window.cancel_button.isEnabled()
        assert 250 < window.progress.value() < 500
        assert window.pictures.count() == 1
        await until(lambda: window.status.text() == "succeeded: 4 of 4 succeeded")
        labels = [window.pictures.item(place).text() for place in range(4)]
        assert labels == ["cfg_scale=1", "cfg_scale=3", "cfg_scale=5", "cfg_scale=8"]
        window.close()

    show(runs, FakeBackend(Behaviour(delay=0.5)), drive)
    assert seen == [["succeeded", "txt2img 50%", "waiting", "waiting"]]


def test_cancel_in_the_middle_start_again_and_close(runs: Path) -> None:
    hangs = [True]
    backend = FakeBackend(lambda request, call: Behaviour(hang=hangs[0] and call == 2))

    async def drive(window: Window) -> None:
        QTest.keyClick(window.prompt, Qt.Key.Key_Return)
        await until(lambda: len(backend.calls) == 2)
        QTest.mouseClick(window.cancel_button, LEFT)
        await until(lambda: window.status.text() == "cancelled: 1 of 4 succeeded")
        assert states(window) == ["succeeded", "cancelled", "waiting", "waiting"]
        hangs[0] = False
        window.sweep.setText("txt2img.steps=4,5")
        QTest.mouseClick(window.start_button, LEFT)
        await until(lambda: window.status.text() == "succeeded: 2 of 2 succeeded")
        assert window.pictures.count() == 2
        window.close()

    show(runs, backend, drive)


def test_closing_in_the_middle_of_a_run_cancels_it(runs: Path) -> None:
    backend = FakeBackend(Behaviour(hang=True))

    async def drive(window: Window) -> None:
        QTest.mouseClick(window.start_button, LEFT)
        await until(lambda: backend.calls)
        window.close()

    show(runs, backend, drive)
    (events,) = runs.glob("*/events.jsonl")
    assert b'"outcome":"cancelled"' in events.read_bytes().splitlines()[-1]


def test_learning_is_what_the_box_says(runs: Path) -> None:
    async def drive(window: Window) -> None:
        window.learn.setChecked(False)
        QTest.mouseClick(window.start_button, LEFT)
        await until(lambda: "4 of 4" in window.status.text())
        assert not (runs / "learning_records.jsonl").exists()
        window.learn.setChecked(True)
        QTest.mouseClick(window.start_button, LEFT)
        await until((runs / "learning_records.jsonl").exists)
        window.close()

    show(runs, FakeBackend(), drive)

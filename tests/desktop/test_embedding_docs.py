"""The examples of `docs/embedding.md`, each pasted into a file and used."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stablenew.controller import marker
from tests.desktop.driving import (
    CLOSES_WITHIN,
    Program,
    TerminalProgram,
    XProgram,
    told,
    types,
    virtual_display,
    wait_for,
)

DOCUMENT = (Path(__file__).parents[2] / "docs" / "embedding.md").read_text()


def examples(heading: str) -> list[str]:
    section = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


TK, QT, TEXTUAL = (examples(name)[0] for name in ("Tk", "Qt", "Textual"))
THREAD_TK, THREAD_QT = examples("ThreadHost")


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with virtual_display() as name:
        yield name


def pasted(folder: Path, text: str) -> str:
    (folder / "example.py").write_text(text)
    return "example.py"


def run(folder: Path, text: str) -> str:
    done = subprocess.run(
        [sys.executable, pasted(folder, text)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    return done.stdout


def test_a_script(tmp_path: Path) -> None:
    lines = run(tmp_path, examples("asyncio")[0]).splitlines()
    assert lines[:3] == ["1 of 3 1 succeeded", "2 of 3 3 succeeded", "3 of 3 5 succeeded"]
    assert "'succeeded': 3" in lines[3]


def test_automation(tmp_path: Path) -> None:
    lines = run(tmp_path, examples("Automation")[0]).splitlines()
    assert lines[:3] == ["1 succeeded", "3 succeeded", "5 succeeded"]
    assert lines[3] == "succeeded 0 7 files"


def use(
    program: Program, runs: Path, start: object, stop: object, *, has_both: bool = True
) -> None:
    """Start (twice, where a button does that alone), stop, start again, close in the middle."""
    assert callable(start)
    assert callable(stop)
    start()
    wait_for(lambda: "StepStarted" in types(runs, 0))
    if has_both:
        start()
    wait_for(lambda: "StepFinished" in types(runs, 0))
    stop()
    wait_for(lambda: "PlanFinished" in types(runs, 0))
    assert told(runs)[0][-1]["outcome"] == "cancelled"
    time.sleep(0.3)  # until a person would press again
    start()
    wait_for(lambda: "StepStarted" in types(runs, 1))
    before = time.monotonic()
    program.close_window()
    assert program.ended() == 0
    assert time.monotonic() - before < CLOSES_WITHIN
    assert told(runs)[1][-1]["type"] == "PlanFinished"
    assert told(runs)[1][-1]["outcome"] == "cancelled"
    assert list((runs / marker.FOLDER).iterdir()) == []


@pytest.mark.parametrize(
    ("text", "stop"),
    [(TK, 0.75), (QT, 0.75), (THREAD_TK, 0.75), (THREAD_QT, 0.5)],
    ids=["tk", "qt", "thread-tk", "thread-qt"],
)
def test_a_window(tmp_path: Path, display: str, text: str, stop: float) -> None:
    program = XProgram([pasted(tmp_path, text)], tmp_path, display)
    try:
        first = 0.5 if stop == 0.5 else 0.25
        use(
            program,
            tmp_path / "runs",
            lambda: program.click(0.5, first),
            lambda: program.click(0.5, stop),
            has_both=stop != first,
        )
    finally:
        program.process.kill()
        program.process.wait()
    log = program.log.read_text()
    assert "Traceback" not in log, log


def test_a_terminal_screen(tmp_path: Path) -> None:
    program = TerminalProgram([pasted(tmp_path, TEXTUAL)], tmp_path)
    at = "start"

    def press(button: str) -> None:
        nonlocal at
        if button != at:  # there are two buttons and one way around
            program.press("Tab")
        at = button
        program.press("Return")

    try:
        use(program, tmp_path / "runs", lambda: press("start"), lambda: press("stop"))
    finally:
        program.process.kill()
        program.process.wait()
    assert b"Traceback" not in program.shown


def test_every_example_was_used() -> None:
    used = [TK, QT, TEXTUAL, THREAD_TK, THREAD_QT, *examples("asyncio"), *examples("Automation")]
    used += examples("Notebook")  # by `tests/test_docs.py`
    assert sorted(re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)) == sorted(used)

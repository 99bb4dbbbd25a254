"""The demos as their users have them: a program each, started, stopped and closed from outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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
from tests.support import leftovers, lines

SCRIPTS = Path(__file__).parents[2] / "scripts"
Start = Callable[[str], Program]
DEMOS = ["demo_tk.py", "demo_qt.py", "demo_textual.py"]


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with virtual_display() as name:
        yield name


@pytest.fixture
def start(runs: Path, tmp_path: Path, display: str) -> Iterator[Start]:
    started: list[Program] = []

    def begin(script: str) -> Program:
        words = (str(SCRIPTS / script), "--out", str(runs))
        if script == "demo_textual.py":
            started.append(TerminalProgram(words, tmp_path))
        else:
            started.append(XProgram(words, tmp_path, display))
        return started[-1]

    yield begin
    for program in started:
        program.process.kill()
        program.process.wait()
    log = tmp_path / "log"
    assert "Traceback" not in (log.read_text() if log.exists() else "")


@pytest.mark.parametrize("script", DEMOS)
def test_start_cancel_start_again_and_close_in_the_middle(
    start: Start, runs: Path, script: str
) -> None:
    program = start(script)
    program.press("Return")
    wait_for(lambda: "StepFinished" in types(runs, 0))
    program.press("Escape")
    wait_for(lambda: "PlanFinished" in types(runs, 0))
    assert told(runs)[0][-1]["outcome"] == "cancelled"
    time.sleep(0.3)  # until a person would press again
    program.press("Return")
    wait_for(lambda: "StepStarted" in types(runs, 1))
    before = time.monotonic()
    program.close_window()
    assert program.ended() == 0
    assert time.monotonic() - before < CLOSES_WITHIN
    assert told(runs)[1][-1]["type"] == "PlanFinished"
    assert told(runs)[1][-1]["outcome"] == "cancelled"
    # Learning is on: a record for each run that has its pictures, made or from before.
    ended = [e for plan in told(runs) for e in plan if e["type"] == "StepFinished"]
    done = [event for event in ended if event["outcome"] in ("succeeded", "reused")]
    assert len(lines(runs / "learning_records.jsonl")) == len(done)
    assert list((runs / marker.FOLDER).iterdir()) == []
    assert leftovers(runs) == []


@pytest.mark.parametrize("script", DEMOS)
def test_a_plan_runs_to_its_end_and_the_window_stays(start: Start, runs: Path, script: str) -> None:
    program = start(script)
    program.press("Return")
    wait_for(lambda: "PlanFinished" in types(runs, 0))
    assert told(runs)[0][-1]["outcome"] == "succeeded"
    assert program.process.poll() is None
    program.close_window()
    assert program.ended() == 0

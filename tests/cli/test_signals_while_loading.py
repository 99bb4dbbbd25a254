"""A signal that comes while the program still loads: no traceback, and an envelope."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.program import environment
from tests.support import rounds

HARNESS = """
import json, os, signal, sys

entry, number, moments, out, *words = json.loads(sys.argv[1])
import stablenew.run as run

arm = run.Stops.arm


def program(moment):
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"
        if event == "call" and calls == moment:
            os.kill(os.getpid(), number)

    def armed(stops):
        arm(stops)
        sys.setprofile(count)

    run.Stops.arm = armed
    sys.argv[1:] = words
    code = getattr(run, entry)()
    sys.setprofile(None)
    return code, calls


def forked(moment):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for stream in (1, 2):
        os.dup2(os.open(f"{out}/{moment}.{stream}", os.O_CREAT | os.O_WRONLY), stream)
    code, calls = program(moment)
    with open(f"{out}/calls", "w") as file:
        file.write(str(calls))
    sys.exit(code)


codes = {0: forked(0)}
with open(f"{out}/calls") as file:
    calls = int(file.read())
for part in range(moments):
    moment = 1 + part * (calls - 1) // moments
    codes[moment] = forked(moment)
print(json.dumps(codes))
"""
"""Runs the program again and again, each time with a signal at another call of a function.

Each run is a fork of a Python that has loaded the entry and nothing else.
"""
MOMENTS = rounds(2, 150)
WORDS = ("--backend", "fake", "--prompt", "a cat", "--dry-run")


def stopped(entry: str, number: int, out: Path, *words: str) -> dict[str, int]:
    """Return the exit code of the program at each moment; "0" is without a signal."""
    given = json.dumps([entry, number, MOMENTS, str(out), *words])
    done = subprocess.run(
        [sys.executable, "-c", HARNESS, given],
        capture_output=True,
        check=False,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    codes: dict[str, int] = json.loads(done.stdout)
    return codes


@pytest.mark.parametrize(
    ("entry", "first", "number"),
    [("main", (), signal.SIGINT), ("command", ("run",), signal.SIGTERM)],
)
def test_a_signal_while_it_loads_is_an_exit_code_and_an_envelope(
    tmp_path: Path, entry: str, first: tuple[str, ...], number: signal.Signals
) -> None:
    codes = stopped(entry, number, tmp_path, *first, *WORDS, "--json")
    assert codes.pop("0") == 0
    assert len(codes) == MOMENTS
    assert set(codes.values()) == {128 + number}
    for moment in codes:
        assert (tmp_path / f"{moment}.2").read_text() == ""
        *_, last = (tmp_path / f"{moment}.1").read_text().splitlines()
        envelope = json.loads(last)
        assert (envelope["type"], envelope["exit_code"]) == ("envelope", 128 + number)


def test_a_signal_while_another_command_loads_is_an_exit_code(tmp_path: Path) -> None:
    words = ("recommend", "--out", str(tmp_path))
    codes = stopped("command", signal.SIGINT, tmp_path, *words)
    assert codes.pop("0") == 0
    assert set(codes.values()) == {130}
    assert {(tmp_path / f"{moment}.2").read_text() for moment in codes} <= {""}


def test_nothing_is_imported_before_signals_are_taken() -> None:
    """Whatever is imported by then is time in which Ctrl-C is a traceback."""
    code = (
        "import __future__, contextlib, functools, runpy, sys\n"  # `python -m` has these anyhow
        "before = set(sys.modules)\n"
        "import stablenew.run\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == [
        "stablenew", "stablenew.cli", "stablenew.cli.stops", "stablenew.run",
    ]  # fmt: skip

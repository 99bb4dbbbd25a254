"""A display of our own, and the demos as programs: started, typed at, looked at from outside."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
STARTUP = 30.0
CLOSES_WITHIN = 10.0


def needed(program: str) -> str:
    path = shutil.which(program)
    assert path, f"{program} is not installed; `make test-desktop` sees to it"
    return path


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    """Start an X server that shows its screen to nobody."""
    ours, theirs = os.pipe()
    words = [needed("Xvfb"), "-displayfd", str(theirs), "-screen", "0", "1000x700x24", "-nolisten"]
    server = subprocess.Popen(
        [*words, "tcp"], pass_fds=[theirs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(theirs)
    try:
        number = os.read(ours, 16).strip().decode()
        assert number, "Xvfb did not start"
        yield f":{number}"
    finally:
        os.close(ours)
        server.terminate()
        server.wait()


def wait_for(condition: Callable[[], object], seconds: float = STARTUP) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.02)


def told(runs: Path) -> list[list[dict[str, object]]]:
    """Return what each plan has told so far, the oldest plan first."""
    paths = sorted(runs.glob("*/events.jsonl"))
    return [
        [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if b"\n" in line]
        for path in paths
    ]


def types(runs: Path, plan: int) -> list[object]:
    plans = told(runs)
    return [event["type"] for event in plans[plan]] if len(plans) > plan else []


class Program:
    """A demo that runs as a program of its own."""

    process: subprocess.Popen[bytes]

    def press(self, key: str) -> None:
        raise NotImplementedError

    def close_window(self) -> None:
        """Close it as its user would who does not know its keys."""
        raise NotImplementedError

    def ended(self) -> int:
        """Wait for its end; return its exit code."""
        return self.process.wait(CLOSES_WITHIN)


class XProgram(Program):
    """One with a window on an X display, typed at with xdotool."""

    def __init__(self, script: str, runs: Path, display: str, log: Path) -> None:
        platform = {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
        self._environ = {**os.environ, **platform}
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPTS / script), "--out", str(runs)],
                env=self._environ,
                stdout=output,
                stderr=output,
            )
        self._window = b""
        wait_for(self._find)
        self._xdotool("windowfocus", "--sync", self._window.decode())

    def press(self, key: str) -> None:
        self._xdotool("key", key)

    def close_window(self) -> None:
        # What a window manager does; there is none here.
        self._xdotool("key", "ctrl+q")

    def _find(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        found = self._xdotool("search", "--onlyvisible", "--name", "^StableNew$", check=False)
        self._window = found.split()[0] if found.split() else b""
        return bool(self._window)

    def _xdotool(self, *words: str, check: bool = True) -> bytes:
        done = subprocess.run(
            [needed("xdotool"), *words],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=check,
            timeout=20,
        )
        return done.stdout


class TerminalProgram(Program):
    """One that fills a terminal."""

    KEYS = {"Return": b"\r", "Escape": b"\x1b", "ctrl+q": b"\x11"}  # noqa: RUF012  # never changed

    def __init__(self, script: str, runs: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / script), "--out", str(runs)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
        )
        os.close(theirs)
        self.shown = b""
        self._reader = threading.Thread(target=self._read)  # a terminal that nobody reads is stuck
        self._reader.start()
        wait_for(lambda: b"ready" in self.shown)

    def press(self, key: str) -> None:
        os.write(self._ours, self.KEYS[key])

    def close_window(self) -> None:
        self.press("ctrl+q")

    def ended(self) -> int:
        code = super().ended()
        self._reader.join()
        os.close(self._ours)
        return code

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # it has ended
            while piece := os.read(self._ours, 65_536):
                self.shown += piece

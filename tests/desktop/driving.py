"""A display of our own, and the demos as programs: started, typed at, looked at from outside."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import json
import os
import pty
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

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
    words = [needed("Xvfb"), "-displayfd", str(theirs), "-screen", "0", "1000x700x24"]
    # It resets itself when the last client leaves, and refuses who comes meanwhile.
    words += ["-noreset", "-nolisten", "tcp"]
    server = subprocess.Popen(
        words, pass_fds=[theirs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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


class _ClientMessage(ctypes.Structure):
    """Xlib's `XClientMessageEvent`, as long as an `XEvent`."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 12),
    )


_CLIENT_MESSAGE = 33


def ask_to_close(display: str, window: int) -> None:
    """Do what a window manager does when somebody clicks on a window's cross."""
    x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    opened = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (
        x11.XInternAtom(opened, name, False) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW")
    )
    message = _ClientMessage(
        type=_CLIENT_MESSAGE,
        window=window,
        message_type=protocols,
        format=32,
        data=(ctypes.c_long * 5)(delete),
    )
    x11.XSendEvent(opened, ctypes.c_ulong(window), False, ctypes.c_long(0), ctypes.byref(message))
    x11.XFlush(opened)
    x11.XCloseDisplay(opened)


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

    def __init__(self, words: Sequence[str], folder: Path, display: str) -> None:
        platform = {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb"}
        self._environ = {**os.environ, **platform}
        self.log = folder / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *words],
                cwd=folder,
                env=self._environ,
                stdout=output,
                stderr=output,
            )
        self._window = b""
        wait_for(self._find)
        self._xdotool("windowfocus", "--sync", self._window.decode())

    def press(self, key: str) -> None:
        self._xdotool("key", key)

    def click(self, across: float, down: float) -> None:
        """Click at a place of the window, each coordinate from 0 to 1."""
        shell = self._xdotool("getwindowgeometry", "--shell", self._window.decode()).decode()
        size = dict(line.split("=") for line in shell.split())
        x, y = int(float(size["WIDTH"]) * across), int(float(size["HEIGHT"]) * down)
        where = ("--window", self._window.decode(), str(x), str(y))
        self._xdotool("mousemove", *where, "click", "1")

    def close_window(self) -> None:
        ask_to_close(self._environ["DISPLAY"], int(self._window))

    def _find(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        found = self._xdotool("search", "--onlyvisible", "--name", "^StableNew", check=False)
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

    KEYS: ClassVar = {"Return": b"\r", "Escape": b"\x1b", "Tab": b"\t", "ctrl+q": b"\x11"}

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
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

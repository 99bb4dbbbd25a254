"""The command line for tests: in this process, or as one of its own where that is the point."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TextIO
from unittest import mock

from stablenew.run import command, main

RUN = (sys.executable, "-m", "stablenew.run")
Done = subprocess.CompletedProcess[str]
Entry = Callable[[Sequence[str]], int]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STABLENEW_")}


def run(
    *words: str,
    cwd: Path,
    expect: int | None = 0,
    keys: str = "",
    entry: Entry = main,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Done:
    """Run a command line in this process and return what it printed.

    Its streams are files, its folder and its environment its own, as if it were another program.

    Args:
        words: What follows `python -m stablenew.run`.
        cwd: The folder it runs in.
        expect: The exit code; None for any.
        keys: What it finds on stdin.
        entry: What to call.
        environ: Variables that it has besides.
    """
    with (
        _stream(keys) as stdin,
        _stream() as stdout,
        _stream() as stderr,
        contextlib.chdir(cwd),
        mock.patch.dict(os.environ, {**environment(), **environ}, clear=True),
        mock.patch.multiple(sys, stdin=stdin, stdout=stdout, stderr=stderr),
        _own_logging(),
    ):
        try:
            code = entry(words)
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = [_read(each) for each in (stdout, stderr)]
    done = subprocess.CompletedProcess(words, code, *printed)
    assert expect in (None, done.returncode), done.stderr
    assert expect is None or "Traceback" not in done.stderr
    return done


def run_command(folder: Path, *words: str, keys: str = "") -> Done:
    """Run `stablenew COMMAND …` in this process."""
    return run(*words, cwd=folder, expect=None, keys=keys, entry=command)


def start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """Start the program as a process and go on; both its streams are pipes."""
    return subprocess.Popen(
        [*RUN, *words],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def _stream(content: str = "") -> TextIO:
    """Return a real file, for what has descriptors is treated as such."""
    file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  # closed by who asks
    file.write(content)
    file.seek(0)
    return file


def _read(stream: TextIO) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Let the program set its logging up: pytest's handlers would make that do nothing."""
    root, backends = logging.getLogger(), logging.getLogger("stablenew.backends")
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        backends.setLevel(logging.NOTSET)

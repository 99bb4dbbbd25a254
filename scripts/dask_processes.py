"""A Dask scheduler and its workers as processes that can be killed and started again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        port: int = each.getsockname()[1]
        return port


@attrs.define(eq=False)
class Program:
    """A program of Dask's.

    Attributes:
        words: Its module and what it is given.
        environ: What its environment has besides ours.
    """

    words: Sequence[str]
    environ: dict[str, str] = attrs.field(factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.running:
            return
        quiet = {"DASK_LOGGING__DISTRIBUTED": "critical"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *self.words],
            cwd=ROOT,
            env={**os.environ, **quiet, **self.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def worker(address: str, folder: Path, **environ: str) -> Program:
    """Return a worker of the scheduler at an address."""
    words = ["distributed.cli.dask_worker", address, "--local-directory", str(folder)]
    words += ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--memory-limit", "0"]
    return Program([*words, "--death-timeout", "20"], environ)


@attrs.define(eq=False)
class Processes:
    """A scheduler that is always at the same address, and its workers."""

    address: str
    scheduler: Program
    workers: Sequence[Program]

    def start(self) -> None:
        """Start all that does not run, as whoever keeps a cluster up does."""
        for each in (self.scheduler, *self.workers):
            each.start()

    def kill(self) -> None:
        """Kill all."""
        for each in (*self.workers, self.scheduler):
            each.kill()


@contextmanager
def processes(count: int, folder: Path) -> Iterator[Processes]:
    """Run a scheduler and so many workers."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port)]
    scheduler = Program([*words, "--dashboard-address", "127.0.0.1:0", "--no-show"])
    cluster = Processes(address, scheduler, [worker(address, folder) for _ in range(count)])
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill()

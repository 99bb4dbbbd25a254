"""What happens at the end to a job that the server has not begun yet."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import anyio
import anyio.lowlevel
import pytest

from stablenew import app
from stablenew.backends.base import Draining, StageRequest
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.backends.server_backend import ServerBackend
from stablenew.cli import leaving
from tests.cli.program import Done, run

LEFT = "left behind on the server: it waits behind another client's job"


class Queued(FakeBackend):
    """A backend with a cancelled job that does not begin: for `seconds`, or until a signal."""

    def __init__(self, seconds: float = math.inf) -> None:
        super().__init__(_stopped)
        self.pending = 1
        self._seconds = seconds

    @property
    def left_behind(self) -> Sequence[str]:
        return [LEFT] * self.pending

    async def drained(self) -> None:
        await anyio.lowlevel.checkpoint()  # what waits beside it begins
        if self._seconds == math.inf:
            os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep(self._seconds)
        self.pending = 0


def _stopped(_: StageRequest, call: int) -> Behaviour:
    os.kill(os.getpid(), signal.SIGINT)
    return Behaviour(hang=True)


def run_with(backend: FakeBackend, folder: Path, *words: str) -> Done:
    with mock.patch.dict(app.BACKENDS, fake=lambda _: backend):
        words = ("--backend", "fake", "--prompt", "a cat", *words)
        return run(*words, cwd=folder, expect=130)


def test_what_answers_at_a_url_is_waited_for_as_well() -> None:
    assert isinstance(ServerBackend("http://127.0.0.1:1"), Draining)


def test_a_second_signal_leaves_the_job_and_says_so(tmp_path: Path) -> None:
    done = run_with(Queued(), tmp_path, "--json")
    said = done.stderr.splitlines()
    assert (
        "waiting up to 10:00 until the server is rid of our job; once more to leave it" in said[1]
    )
    assert said[-1] == LEFT
    assert json.loads(done.stdout.splitlines()[-1])["errors"] == [LEFT]


def test_a_job_that_begins_and_is_stopped_is_not_left(tmp_path: Path) -> None:
    done = run_with(Queued(0.01), tmp_path)
    assert "waiting up to" in done.stderr
    assert "left behind" not in done.stderr


def test_a_job_that_never_begins_is_left_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaving, "_WITHIN", 0.02)
    assert run_with(Queued(3600), tmp_path).stderr.splitlines()[-1] == LEFT

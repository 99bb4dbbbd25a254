"""Stop the program itself at every moment of a plan: it always ends in the same few ways."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stablenew.cli import run_command
from stablenew.controller import marker
from stablenew.learning.learning_record_reader import read_records
from stablenew.run import main
from tests.support import cancelled_at, leftovers, moments

WORDS = (
    "--backend", "fake", "--prompt", "a cat", "--sweep", "txt2img.steps=4,5,6", "--learn",
    "--set", "upscale.enabled=true", "--json",
)  # fmt: skip
MOST_MOMENTS = 1000


class Stdin:
    """Our input, as a pipe whose other end can be closed."""

    def __init__(self) -> None:
        self._kept = os.dup(0)
        ours, self._theirs = os.pipe()
        os.dup2(ours, 0)
        os.close(ours)
        self._open = True

    def close(self) -> None:
        if self._open:
            os.close(self._theirs)
            self._open = False

    def restore(self) -> None:
        self.close()
        os.dup2(self._kept, 0)
        os.close(self._kept)


@pytest.fixture
def stdin() -> Iterator[list[Stdin]]:
    opened: list[Stdin] = []
    yield opened
    for each in opened:
        each.restore()


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send_soon(number: int) -> None:
    """Send ourselves a signal between two steps of the loop, as a shell would."""
    asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)


def stopped_at(moment: int, stop: Callable[[], object], out: Path) -> tuple[int, bool]:
    """Run the program in this process; return its exit code, and whether it got to the moment."""
    reached = False
    run_job = run_command.run_job

    async def stepped(*arguments: Any, **more: Any) -> Any:
        nonlocal reached
        code, reached = await cancelled_at(moment, stop, run_job(*arguments, **more))
        return code

    run_command.run_job = stepped
    try:
        code = main([*WORDS, "--out", str(out), "--cancel-on-stdin-close"])
    finally:
        run_command.run_job = run_job
    return code, reached


def check(out: Path, printed: bytes, code: int) -> object:
    """See that it ended as it should; return its outcome."""
    told = [json.loads(line) for line in printed.splitlines()]
    assert [line["type"] for line in told].count("envelope") == 1
    envelope = told[-1]
    assert envelope["type"] == "envelope"
    assert envelope["exit_code"] == code
    assert [line["sequence"] for line in told] == list(range(1, len(told) + 1))
    names = [line["type"] for line in told]
    for kind in ("Plan", "Step", "Run", "Stage"):
        started, finished = names.count(f"{kind}Started"), names.count(f"{kind}Finished")
        assert started <= finished if kind == "Step" else started == finished
    done = [line["run_id"] for line in told if line["type"] == "StepFinished"]
    succeeded = [
        line["run_id"]
        for line in told
        if line["type"] == "RunFinished" and line["result"]["outcome"] == "succeeded"
    ]
    assert [record.run_id for record in read_records(out / "learning_records.jsonl")] == succeeded
    assert len(done) >= len(succeeded)
    if out.exists():
        assert leftovers(out) == []
    marked = out / marker.FOLDER
    assert not marked.exists() or list(marked.iterdir()) == []
    return envelope["outcome"]


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "stdin"])
def test_whenever_it_is_stopped_it_ends_in_the_same_few_ways(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], stdin: list[Stdin], how: str
) -> None:
    number = None if how == "stdin" else signal.Signals[how]
    ends: set[tuple[object, int]] = set()
    for moment in moments(every=4):
        assert moment < MOST_MOMENTS
        stdin.append(Stdin())
        stop = stdin[-1].close if number is None else partial(send_soon, number)
        out = tmp_path / str(moment)
        code, reached = stopped_at(moment, stop, out)
        stdin.pop().restore()
        ends.add((check(out, capsysbinary.readouterr().out, code), code))
        if not reached and code == 0:
            break
    assert moment > 30
    stopped = 1 if number is None else 128 + number
    expected = {("succeeded", 0), ("cancelled", stopped)}
    assert expected <= ends
    assert ends <= {*expected, (None, stopped), ("succeeded", stopped)}

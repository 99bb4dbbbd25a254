from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import ClassVar

import attrs
import pytest

from stablenew.events import event_log
from stablenew.events.bus import EventBus
from stablenew.events.event import Event
from stablenew.events.event_log import EventLog, encode_event
from stablenew.events.mailbox import Overflow
from stablenew.storage import files
from tests.support import lines


@attrs.frozen(kw_only=True)
class Noted(Event):
    number: int
    where: Path = Path("a/b")


@attrs.frozen(kw_only=True)
class Ended(Event):
    terminal: ClassVar[bool] = True


def test_a_line_has_the_same_head_for_every_event() -> None:
    line = json.loads(encode_event(Noted(number=3, run_id="r")))
    assert list(line) == [
        "schema",
        "type",
        "sequence",
        "at",
        "plan_id",
        "run_id",
        "node",
        "number",
        "where",
    ]
    assert line["schema"] == "stablenew.event/1"
    assert line["type"] == "Noted"
    assert (line["plan_id"], line["run_id"], line["number"]) == (None, "r", 3)


async def test_events_are_written_in_batches_and_forced_by_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        forced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(event_log, "_MOST_SECONDS", 60)  # on a busy machine a batch takes a while
    path = tmp_path / "events.jsonl"
    log = EventLog(path, forced_by=(Ended,))
    async with EventBus(strict=True) as bus:
        subscription = bus.subscribe(Event, log.write, overflow=Overflow.WAIT)
        for number in range(10):
            await bus.publish(Noted(number=number))
        await subscription.drained()
        assert lines(path) == []
        await bus.publish(Ended())
        await subscription.drained()
        assert [json.loads(line)["sequence"] for line in lines(path)] == list(range(1, 12))
        assert len(forced) == 1
        for number in range(256):
            await bus.publish(Noted(number=number))
        await subscription.drained()
        assert len(lines(path)) == 267
        assert len(forced) == 1


async def test_a_log_of_one_plan_leaves_out_the_others(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path, forced_by=(Ended,), plan_id="mine")
    await log.write(Noted(number=1, plan_id="mine"))
    await log.write(Noted(number=2, plan_id="other"))
    await log.write(Ended(plan_id="mine"))
    assert [json.loads(line)["type"] for line in lines(path)] == ["Noted", "Ended"]


@pytest.mark.parametrize(("kept", "error"), [(3, OSError), (2, OSError), (0, TimeoutError)])
async def test_a_disk_that_says_no_fails_nobody_and_gets_it_with_the_next_batch(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
    error: type[OSError],
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise error(errno.ENOSPC, "no room")

    monkeypatch.setattr(event_log, "_MOST_KEPT", kept)
    path = tmp_path / "events.jsonl"
    log = EventLog(path, forced_by=(Ended,))
    with monkeypatch.context() as patch:
        patch.setattr(files, "append", full)
        for number in range(2):
            await log.write(Noted(number=number))
        await log.write(Ended())
    assert "3 events wait" in caplog.text
    await log.write(Ended())
    types = [json.loads(line)["type"] for line in lines(path)]
    assert types == ["Noted", "Noted", "Ended", "Ended"][3 - kept :]
    assert log.lost == 3 - kept


async def test_what_was_told_does_not_wait_long_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("stablenew.events.event_log.monotonic", lambda: now)
    log = EventLog(tmp_path / "events.jsonl", forced_by=())
    await log.write(Event())
    assert not (tmp_path / "events.jsonl").exists()
    now += 0.6
    await log.write(Event())
    assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) == 2
    await log.write(Event())
    assert len((tmp_path / "events.jsonl").read_bytes().splitlines()) == 2

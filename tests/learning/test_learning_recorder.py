from __future__ import annotations

import logging
from pathlib import Path

import anyio
import attrs
import pytest

from stablenew.errors import RecordError
from stablenew.events.bus import EventBus
from stablenew.learning.learning_record import LearningRecord
from stablenew.learning.learning_recorder import LearningRecorder
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.stage_events import RunFinished

BOTH_LOOPS = True


@attrs.define(eq=False)
class ListWriter:
    records: list[LearningRecord] = attrs.field(factory=list)
    error: Exception | None = None

    async def append_record(self, record: LearningRecord) -> None:
        if self.error:
            raise self.error
        self.records.append(record)


def finished(run_id: str, outcome: Outcome = Outcome.SUCCEEDED) -> RunFinished:
    result = PipelineRunResult(run_id=run_id, outcome=outcome)
    return RunFinished(run_id=run_id, result=result)


async def record(
    *events: RunFinished, error: Exception | None = None
) -> tuple[ListWriter, LearningRecorder]:
    writer = ListWriter(error=error)
    recorder = LearningRecorder(writer)
    async with EventBus(strict=True) as bus:
        recorder.subscribe(bus)
        for event in events:
            await bus.publish(event)
    return writer, recorder


async def test_a_run_that_succeeded_leaves_one_record() -> None:
    writer, recorder = await record(finished("a"), finished("b"))
    assert [each.run_id for each in writer.records] == ["a", "b"]
    assert (recorder.recorded, recorder.failed, recorder.problem) == (2, 0, None)


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED, Outcome.TIMED_OUT])
async def test_a_run_that_did_not_succeed_leaves_none(outcome: Outcome) -> None:
    writer, _ = await record(finished("a", outcome))
    assert writer.records == []


async def test_there_is_at_most_one_record_a_run() -> None:
    writer, _ = await record(finished("a"), finished("a"))
    assert len(writer.records) == 1


FULL = [RecordError("full", path=Path("r")), OSError(28, "full"), ValueError("full")]


@pytest.mark.parametrize("error", FULL)
async def test_a_failing_writer_is_logged_and_counted_and_fails_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    _, recorder = await record(finished("a"), finished("b"), error=error)
    assert (recorder.recorded, recorder.failed) == (0, 2)
    assert recorder.problem is not None
    assert "full" in recorder.problem
    assert [each.levelno for each in caplog.records] == [logging.ERROR, logging.ERROR]


async def test_a_thousand_runs_may_wait_for_the_disk_and_none_is_dropped() -> None:
    gate = anyio.Event()

    class Slow(ListWriter):
        async def append_record(self, record: LearningRecord) -> None:
            await gate.wait()
            await super().append_record(record)

    writer = Slow()
    async with EventBus(strict=True) as bus:
        LearningRecorder(writer).subscribe(bus)
        with anyio.fail_after(5):
            for number in range(1_000):  # none of them waits
                await bus.publish(finished(f"run-{number}"))
        async with anyio.create_task_group() as tasks:
            for number in range(1_000, 1_010):
                tasks.start_soon(bus.publish, finished(f"run-{number}"))
            await anyio.wait_all_tasks_blocked()
            gate.set()
    assert len(writer.records) == 1_010

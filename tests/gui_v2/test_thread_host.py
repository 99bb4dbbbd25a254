"""The app in a thread of its own, driven from a thread that has no loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from stablenew.app import App
from stablenew.backends.fake import Behaviour, FakeBackend
from stablenew.config.settings import Settings
from stablenew.errors import ConfigError, StableNewError
from stablenew.hosts import Ended, ThreadHost
from stablenew.learning.learning_events import StepFinished
from stablenew.learning.learning_record_reader import read_records
from stablenew.learning.learning_result import LearningExecutionResult
from stablenew.pipeline.results import Outcome, PipelineRunResult
from stablenew.pipeline.stage_events import StageFinished, StageProgress, StageStarted

PLAN = {"target_variable": "txt2img.steps", "sweep_values": [1, 2, 3]}
CONFIG = {"txt2img": {"prompt": "a cat", "seed": 1}}


def until(host: ThreadHost, condition: Callable[[], object], seconds: float = 50) -> None:
    """Be a GUI's loop until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        host.pump()
        time.sleep(0.002)


def test_a_plan_is_started_in_one_handler_and_seen_in_the_guis_thread(runs: Path) -> None:
    here = threading.get_ident()
    heard: list[tuple[int, object]] = []
    ended: list[Ended[LearningExecutionResult]] = []
    settings = Settings(out=runs, learning_enabled=True)
    with ThreadHost(settings, backend=FakeBackend()) as host:
        host.subscribe(
            StepFinished, lambda event: heard.append((threading.get_ident(), event.value))
        )
        host.run_learning_plan(PLAN, CONFIG, done=ended.append)
        until(host, lambda: ended)
        until(host, lambda: len(heard) == 3)
        assert host.state == "idle"
        assert host.last_result is not None
    assert heard == [(here, 1), (here, 2), (here, 3)]
    assert ended[0].result is not None
    assert ended[0].result.success
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 3


def test_another_handler_stops_it_and_it_can_be_started_again(runs: Path) -> None:
    hangs = [True]
    backend = FakeBackend(lambda request, call: Behaviour(hang=hangs[0]))
    ended: list[Ended[LearningExecutionResult]] = []
    progress: list[float] = []
    with ThreadHost(Settings(out=runs), backend=backend) as host:
        host.subscribe(StageProgress, lambda event: progress.append(event.fraction))
        host.run_learning_plan(PLAN, CONFIG, done=ended.append)
        until(host, lambda: progress)
        host.cancel()
        until(host, lambda: ended)
        assert ended[0].result is not None
        assert ended[0].result.outcome is Outcome.CANCELLED
        hangs[0] = False
        host.run_learning_plan(PLAN, CONFIG, done=ended.append)
        until(host, lambda: len(ended) == 2)
        assert ended[1].result is not None
        assert ended[1].result.success


def test_a_step_can_be_cancelled_and_the_plan_goes_on(runs: Path) -> None:
    backend = FakeBackend(lambda request, call: Behaviour(hang=call == 1))
    ended: list[Ended[LearningExecutionResult]] = []
    with ThreadHost(Settings(out=runs), backend=backend) as host:
        host.run_learning_plan(PLAN, CONFIG, done=ended.append)
        until(host, lambda: backend.calls)
        host.cancel_step()
        until(host, lambda: ended)
    assert ended[0].result is not None
    outcomes = [step.outcome for step in ended[0].result.step_results]
    assert outcomes == [Outcome.CANCELLED, Outcome.SUCCEEDED, Outcome.SUCCEEDED]


def test_a_plan_that_was_cut_is_gone_on_with(runs: Path) -> None:
    backend = FakeBackend(lambda request, call: Behaviour(hang=call == 2))
    ended: list[Ended[LearningExecutionResult]] = []
    with ThreadHost(Settings(out=runs), backend=backend) as host:
        host.run_learning_plan(PLAN, CONFIG, plan_id="mine", done=ended.append)
        until(host, lambda: len(backend.calls) == 2)
        host.cancel()
        until(host, lambda: ended)
        assert (runs / "mine" / "plan.json").exists()
        host.resume_plan("mine", only_failed=True, done=ended.append)
        until(host, lambda: len(ended) == 2)
        assert len(backend.calls) == 2
        host.resume_plan("mine", done=ended.append)
        until(host, lambda: len(ended) == 3)
    assert ended[2].result is not None
    outcomes = [step.outcome for step in ended[2].result.step_results]
    assert outcomes == [Outcome.REUSED, Outcome.SUCCEEDED, Outcome.SUCCEEDED]


def test_a_limit_of_time_arrives(runs: Path) -> None:
    with ThreadHost(Settings(out=runs), backend=FakeBackend()) as host:
        host.run_learning_plan(PLAN, CONFIG, plan_id="mine", max_steps=1).result(10)
        with pytest.raises(ConfigError, match="max_seconds"):
            host.run_learning_plan(PLAN, CONFIG, max_seconds=0).result(10)
        with pytest.raises(ConfigError, match="max_seconds"):
            host.resume_plan("mine", max_seconds=0).result(10)


def test_what_was_asked_for_is_running_and_can_be_cancelled_at_once(runs: Path) -> None:
    backend = FakeBackend()
    with ThreadHost(Settings(out=runs), backend=backend) as host:
        starts: list[Callable[[], Future[LearningExecutionResult] | Future[PipelineRunResult]]] = [
            lambda: host.run_learning_plan(PLAN, CONFIG),
            lambda: host.resume_plan("mine"),
            lambda: host.run_pipeline(CONFIG),
        ]
        host.run_learning_plan(PLAN, CONFIG, plan_id="mine", max_steps=1).result(10)
        for start in starts:
            future = start()
            assert host.state == "running"
            host.cancel()
            assert future.result(10).outcome is Outcome.CANCELLED
        assert len(backend.calls) == 1


def test_who_has_unsubscribed_hears_nothing_more(runs: Path) -> None:
    heard: list[str] = []
    ended: list[Ended[PipelineRunResult]] = []

    def hear(event: StageStarted | StageFinished) -> None:
        heard.append(type(event).__name__)

    async def asked_for_stages(app: App) -> bool:
        return app.bus.asked_for(StageStarted)

    with ThreadHost(Settings(out=runs), backend=FakeBackend()) as host:
        unsubscribe = host.subscribe((StageStarted, StageFinished), hear)
        host.run_pipeline(CONFIG).result(10)
        host.submit(lambda app: app.bus.drain()).result(10)
        unsubscribe()  # what waits to be called is not called
        host.pump()
        assert heard == []
        unsubscribe = host.subscribe((StageStarted, StageFinished), hear)
        host.run_pipeline(CONFIG, done=ended.append)
        until(host, lambda: ended and len(heard) == 2)
        unsubscribe()
        assert not host.submit(asked_for_stages).result(10)
        assert heard == ["StageStarted", "StageFinished"]
    unsubscribe()


def test_closing_in_the_middle_cancels_waits_and_leaves_no_thread(runs: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    backend = FakeBackend(Behaviour(hang=True))
    ended: list[Ended[PipelineRunResult]] = []
    host = ThreadHost(Settings(out=runs), backend=backend)
    host.start()
    host.run_pipeline(CONFIG, done=ended.append)
    until(host, lambda: backend.calls)
    started = time.monotonic()
    host.close()
    assert time.monotonic() - started < 10
    host.pump()
    assert ended[0].result is not None
    assert ended[0].result.outcome is Outcome.CANCELLED
    left = {thread.name for thread in threading.enumerate()} - before
    assert not any("stablenew" in name for name in left)
    host.start()
    assert host.state == "idle"
    host.close()


def test_errors_come_back_as_what_they_are(runs: Path) -> None:
    ended: list[Ended[LearningExecutionResult]] = []
    with ThreadHost(Settings(out=runs), backend=FakeBackend()) as host:
        host.run_learning_plan({**PLAN, "sweep_values": []}, CONFIG, done=ended.append)
        until(host, lambda: ended)
        with pytest.raises(StableNewError, match="started already"):
            host.start()
    assert isinstance(ended[0].error, ConfigError)
    with pytest.raises(StableNewError, match="not started"):
        host.cancel()


def test_a_host_that_cannot_be_opened_can_be_tried_again(runs: Path) -> None:
    host = ThreadHost(Settings(out=runs, backend="nope"))
    for _ in range(2):
        with pytest.raises(ConfigError, match="backend"):
            host.start()


def test_calls_are_handed_back_by_the_function_that_the_gui_gives(runs: Path) -> None:
    handed: list[Callable[[], None]] = []
    ended: list[Ended[PipelineRunResult]] = []
    backend = FakeBackend()
    with ThreadHost(Settings(out=runs), backend=backend, call_back=handed.append) as host:
        host.run_pipeline(CONFIG, done=ended.append).result(10)
        until(host, lambda: handed)
        assert ended == []
        assert host.pump() == 0
    for call in handed:
        call()
    assert ended[0].result is not None


def test_learning_is_turned_on_between_runs(runs: Path) -> None:
    with ThreadHost(Settings(out=runs), backend=FakeBackend()) as host:
        host.run_pipeline(CONFIG).result(10)
        host.set_learning(True)
        host.run_pipeline(CONFIG).result(10)
    assert len(list(read_records(runs / "learning_records.jsonl"))) == 1


def test_fifty_rounds_of_start_and_cancel_leave_nothing(runs: Path) -> None:
    backend = FakeBackend(Behaviour(delay=5))
    with ThreadHost(Settings(out=runs), backend=backend) as host:
        for number in range(50):
            future = host.run_learning_plan(PLAN, CONFIG)
            if number % 2:
                while len(backend.calls) <= number // 2:
                    time.sleep(0.001)
            host.cancel()
            if not future.result(10).step_results:
                assert future.result().outcome is Outcome.CANCELLED
            assert host.state == "idle"
    assert threading.active_count() < 20


def test_a_handler_that_raises_is_logged_and_the_next_one_called(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[object] = []
    ended: list[Ended[LearningExecutionResult]] = []

    def broken(event: StepFinished) -> None:
        raise ValueError("a bug in a GUI")

    with ThreadHost(Settings(out=runs), backend=FakeBackend()) as host:
        host.subscribe(StepFinished, broken)
        host.subscribe(StepFinished, heard.append)
        host.run_learning_plan(PLAN, CONFIG, done=ended.append)
        until(host, lambda: ended and len(heard) == 3)
    assert "a bug in a GUI" in caplog.text
